//! What keeps a server from starting is said in words that help, with a non-zero exit code.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use ringwire_protocol::code::Code;
use ringwire_protocol::message::ServerFrame;
use support::{Raw, Server};

fn refused(data: &std::path::Path, extra: &[&str], words: &[&str]) {
    let Err(refusal) = Server::try_start(data, extra) else { panic!("{extra:?}: it started") };
    assert_eq!(refusal.code, Some(1), "{extra:?}: {}", refusal.text);
    for word in words {
        assert!(refusal.text.contains(word), "{extra:?}: \"{word}\" is not in: {}", refusal.text);
    }
    assert!(!refusal.text.contains("panicked"), "{}", refusal.text);
}

#[test]
fn what_cannot_be_had_is_named() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(data.path(), &["--listen", &address], &[&address, "in use"]);
    refused(
        data.path(),
        &["--listen", "192.0.2.1:7400", "--set", "auth.dev=false"],
        &["no key is configured"],
    );
    refused(data.path(), &["--dev", "--listen", "0.0.0.0:0"], &["auth.dev", "127.0.0.1"]);
    refused(data.path(), &["--set", "serve.lisen=x"], &["did you mean serve.listen?"]);
    refused(data.path(), &["--driver", "kqueue"], &["auto, uring or epoll"]);
    refused(data.path(), &["--config", "/nonexistent/ringwire.toml"], &["/nonexistent/ringwire.toml"]);
    let file = data.path().join("file");
    std::fs::write(&file, "x").unwrap();
    refused(&file.join("data"), &[], &["file/data"]);
}

#[test]
fn a_data_directory_has_one_server() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    refused(data.path(), &[], &["in use", &server.pid().to_string()]);
}

#[test]
fn a_corrupt_segment_is_named_and_nothing_is_changed_until_it_is_accepted() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--shards", "1"]);
    let mut raw = Raw::sign_in(server.address, "alice");
    raw.join("lobby");
    for n in 1..=50 {
        raw.publish("lobby", n, format!("message {n}").as_bytes());
        raw.next_where(|frame| matches!(frame, ServerFrame::Ack(ack) if ack.client_sequence == n));
    }
    server.kill();
    let journal = data.path().join("journal");
    let segment = std::fs::read_dir(&journal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "seg"))
        .expect("a segment");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(10).position(|window| window == b"message 20").expect("stored as it was sent");
    bytes[at] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let verify = || {
        let verify = std::process::Command::new(env!("CARGO_BIN_EXE_ringwire"))
            .args(["store", "verify", "--data"])
            .arg(data.path())
            .output()
            .unwrap();
        (verify.status.code(), String::from_utf8(verify.stdout).unwrap())
    };
    let name = segment.file_stem().unwrap().to_str().unwrap().to_owned();
    refused(data.path(), &[], &[&name, "corrupt"]);
    let (code, report) = verify();
    assert!(code == Some(1) && report.contains("CORRUPT") && report.contains(&name), "{report}");
    assert_eq!(std::fs::read(&segment).unwrap(), bytes, "a refused start changes nothing");
    let server = Server::start(data.path(), &["--set", "store.accept_corruption=true"]);
    assert!(server.log().contains("lost"), "{}", server.log());
    let mut raw = Raw::sign_in(server.address, "alice");
    let (head, _) = raw.join("lobby");
    assert_eq!(head, 51, "what is behind the damage is kept");
}

/// A file system of its own, too small for what is asked of it.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status();
        status.is_ok_and(|status| status.success()).then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because the kernel lets go of a killed process's files a moment after the process.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount("8m") else {
        // Mounting needs root; the simulation covers the rest of the behaviour without it.
        println!("not root: the full disk is only simulated");
        return;
    };
    let set = ["--shards", "1", "--set", "store.segment=1 MiB"];
    let server = Server::start(disk.0.path(), &set);
    let mut raw = Raw::sign_in(server.address, "alice");
    raw.join("lobby");
    let body = vec![b'x'; 16 * 1024];
    let mut acknowledged = 0;
    'full: loop {
        raw.publish("lobby", acknowledged + 1, &body);
        loop {
            let Ok(frame) = raw.next_or_end() else { break 'full };
            match frame.get() {
                ServerFrame::Ack(ack) => {
                    acknowledged = ack.client_sequence;
                    break;
                }
                ServerFrame::Reject(reject) if reject.code == Code::OVERLOADED => {
                    std::thread::sleep(std::time::Duration::from_millis(u64::from(reject.retry_after_ms)));
                    break;
                }
                // What is refused is known not to be stored. What was under way is not answered at all, because
                // nobody knows; the connection ends, and the client sends it again.
                ServerFrame::Reject(reject) => {
                    assert!(matches!(reject.code, Code::STORAGE_FULL | Code::STORAGE_FAILED), "{reject:?}");
                    break 'full;
                }
                _ => {}
            }
        }
        assert!(acknowledged < 1000, "8 MiB hold no 16 MiB");
    }
    let mut server = server;
    assert_eq!(server.wait(), Some(1), "a server that cannot write ends: {}", server.log());
    assert!(server.log().contains("space"), "the log names the cause: {}", server.log());
    drop(server);
    // Room is made, and everything acknowledged is there.
    let status =
        std::process::Command::new("mount").args(["-o", "remount,size=64m"]).arg(disk.0.path()).status();
    assert!(status.unwrap().success());
    let server = Server::start(disk.0.path(), &set);
    let mut raw = Raw::sign_in(server.address, "alice");
    let (head, client_sequence) = raw.join("lobby");
    assert!(
        head > acknowledged && client_sequence >= acknowledged,
        "{head} {client_sequence} {acknowledged}"
    );
}
