//! TLS of the operators' port: the same certificate, the same reload, and everybody who asks there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use ringwire_client::media::{Media, Progress};

use crate::client::{Files, Peer, ask, get, wait_for};
use crate::program::{block_on, client, pin};
use crate::support::{PATIENCE, Server};

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[test]
fn the_operators_port_has_the_same_certificate_and_the_same_reload() {
    let data = tempfile::tempdir().unwrap();
    let files = Files::make(data.path(), -1, 30);
    let settings = files.settings();
    let server = Server::start(data.path(), &["--set", &settings[0], "--set", &settings[1]]);
    let plane = server.plane.unwrap();
    let (before, stranger) = (Peer::new(&files), Peer::new(&files));
    assert!(get(before.connect_to(plane), "/healthz").starts_with("HTTP/1.1 200 "));
    let newer = Files::make(&data.path().join("newer"), -1, 30);
    std::fs::copy(&newer.certificate, &files.certificate).unwrap();
    std::fs::copy(&newer.key, &files.key).unwrap();
    server.signal("HUP");
    wait_for(&server, "new connections get the new certificate");
    assert!(get(Peer::new(&newer).connect_to(plane), "/readyz").starts_with("HTTP/1.1 200 "));
    assert!(stranger.connect_to(plane).is_err(), "the old certificate is not offered any more");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn http_in_the_clear_is_told_so_unless_the_operator_wants_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--tls-dev"]);
    let answer = String::from_utf8(ask(server.plane.unwrap(), REQUEST)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    // An alert (21) says why.
    assert_eq!(ask(server.plane.unwrap(), &[0; 600]).first(), Some(&21));
    drop(server);
    let server = Server::start(data.path(), &["--tls-dev", "--set", "plane.tls=false"]);
    let answer = String::from_utf8(ask(server.plane.unwrap(), REQUEST)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn greetings_that_do_not_end_keep_nobody_out_for_long() {
    let data = tempfile::tempdir().unwrap();
    let files = Files::make(data.path(), -1, 30);
    let settings = files.settings();
    let server = Server::start(data.path(), &["--set", &settings[0], "--set", &settings[1]]);
    let (plane, peer) = (server.plane.unwrap(), Peer::new(&files));
    let connect = |greeting: &[u8]| {
        let mut stream = TcpStream::connect(plane).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(greeting).unwrap();
        stream
    };
    // Who says nothing at all takes nobody's turn.
    let silent: Vec<TcpStream> = (0..200).map(|_| connect(&[])).collect();
    let began = Instant::now();
    assert!(get(peer.connect_to(plane), "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(began.elapsed().as_secs() < 8, "not before any of them was given up");
    let hanging: Vec<TcpStream> = (0..100).map(|_| connect(&[22, 3, 1, 2, 0, 1])).collect();
    assert!(get(peer.connect_to(plane), "/healthz").starts_with("HTTP/1.1 200 "));
    for mut stream in silent.into_iter().chain(hanging) {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "cut without a word");
    }
    // And one that hangs does not keep the process from ending.
    let _hanging = connect(&[22, 3, 1, 2, 0, 1]);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn media_go_over_tls_and_are_believed_by_the_same_pin() {
    block_on(async {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(&data.path().join("data"), &["--tls-dev"]);
        let alice = client(&server, &server.url(), "alice").connect().await.unwrap();
        let room = alice.join("gallery").await.unwrap();
        let url = format!("https://{}/v1/media", server.plane.unwrap());
        let media = Media::new(&url, "dev:alice").unwrap();
        let path = data.path().join("lake.bin");
        std::fs::write(&path, vec![7; 300_000]).unwrap();
        let kind = "application/octet-stream";
        let error = media.upload(room.id(), &path, kind).await.expect_err("nobody vouches for it");
        assert!(error.to_string().contains("certificate"), "{error}");
        let wrong = media.clone().pin_certificate([7; 32]).unwrap();
        let error = wrong.upload(room.id(), &path, kind).await.expect_err("not the pinned one");
        assert!(error.to_string().contains(server.sha256.as_deref().unwrap()), "{error}");
        let media = media.pin_certificate(pin(&server)).unwrap();
        let mut upload = media.upload(room.id(), &path, kind).await.unwrap();
        let attachment = upload.finish(|Progress { .. }| {}).await.unwrap();
        let saved = data.path().join("saved.bin");
        media.download(room.id(), attachment.media, &saved, |Progress { .. }| {}).await.unwrap();
        assert_eq!(std::fs::read(&saved).unwrap(), vec![7; 300_000]);
    });
}

#[test]
fn the_command_line_follows() {
    let data = tempfile::tempdir().unwrap();
    let key = data.path().join("admin.key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let setting = format!("plane.admin_key_file={}", key.display());
    let server = Server::start(data.path(), &["--tls-dev", "--set", &setting]);
    let (plane, hash) = (server.plane.unwrap(), server.sha256.clone().unwrap());
    let ringwire = |arguments: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringwire"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who does not read it may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let key = key.display().to_string();
    let (secure, clear) = (format!("https://{plane}"), format!("http://{plane}"));
    let asks = ["dead-letters", "replay", "--key-file", &key, "--plane"];
    let (done, said) = ringwire(&[&asks[..], &[&secure, "--pin", &hash]].concat(), "");
    assert!(done && said == "0 replayed\n", "{said}");
    let (done, said) = ringwire(&[&asks[..], &[&secure]].concat(), "");
    assert!(!done && said.contains("--pin"), "{said}");
    let (done, said) = ringwire(&[&asks[..], &[&clear]].concat(), "");
    assert!(!done && said.contains("https://"), "{said}");
    let path = data.path().join("note.txt");
    std::fs::write(&path, "a note").unwrap();
    let (url, media) = (server.url(), format!("{secure}/v1/media"));
    let chat = ["chat", "--url", &url, "--pin", &hash, "--media", &media, "--as", "ada", "--commands"];
    let (done, said) = ringwire(&chat, &format!("/send {}\n", path.display()));
    assert!(done, "{said}");
}
