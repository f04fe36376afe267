//! The Rust client's uploads and downloads against the real binary, over a network that breaks.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringwire_client::media::{Media, MediaError, ObjectName, Progress};
use ringwire_client::{Client, ConversationId, Kind};

use crate::client::{content, files};
use crate::support::{Raw, Server};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn media(address: SocketAddr, name: &str) -> Media {
    Media::new(&format!("http://{address}/v1/media"), format!("dev:{name}")).unwrap()
}

/// Passes bytes on, and cuts connections after so many of them, as long as cuts are left.
fn breaking_network(server: SocketAddr, after: usize, cuts: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let left = Arc::new(AtomicUsize::new(cuts));
    let counter = Arc::clone(&left);
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(server) else { continue };
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                let left = Arc::clone(&left);
                std::thread::spawn(move || {
                    let (mut buffer, mut passed) = ([0; 16 * 1024], 0);
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        passed += length;
                        let cut = |n: usize| n.checked_sub(1).filter(|_| passed > after);
                        let is_cut = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, cut).is_ok();
                        if is_cut || to.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                    let _ = from.shutdown(Shutdown::Both);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    (address, counter)
}

#[test]
fn a_file_goes_from_one_member_to_another_over_a_network_that_breaks() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let (broken, cuts) = breaking_network(server.plane.unwrap(), 700_000, 6);
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(5 << 20, 1);
    let source = folder.path().join("cat.bin");
    std::fs::write(&source, &bytes).unwrap();
    block_on(async {
        let ada = Client::builder(server.url()).token("dev:ada").connect().await.unwrap();
        let bob = Client::builder(server.url()).token("dev:bob").connect().await.unwrap();
        let room = ada.join("lobby").await.unwrap();
        let mut heard = bob.join("lobby").await.unwrap();
        let mut seen = Vec::new();
        let ada_media = media(broken, "ada");
        let mut upload = ada_media.upload(room.id(), &source, "application/octet-stream").await.unwrap();
        let cat = upload.finish(|progress| seen.push(progress)).await.unwrap();
        assert_eq!(seen.last(), Some(&Progress { bytes: 5 << 20, of: 5 << 20 }));
        assert_eq!((&*cat.name, cat.bytes, &*cat.kind), ("cat.bin", 5 << 20, "application/octet-stream"));
        room.publish(cat.draft()).await.unwrap();
        let message = loop {
            let message = heard.next_message().await.unwrap();
            if message.kind == Kind::Media {
                break message;
            }
        };
        assert_eq!(message.attachment(), Some(cat.clone()));
        let bob_media = media(broken, "bob");
        let saved = folder.path().join("saved.bin");
        let mut last = None;
        bob_media.download(heard.id(), cat.media, &saved, |progress| last = Some(progress)).await.unwrap();
        assert!(std::fs::read(&saved).unwrap() == bytes, "the content is the same");
        assert_eq!(last, Some(Progress { bytes: 5 << 20, of: 5 << 20 }));
        assert_eq!(cuts.load(Ordering::SeqCst), 0, "the network broke as often as it should");
        assert!(!folder.path().join("saved.bin.part").exists());
        let part = bob_media.read(heard.id(), cat.media, 100..200).await.unwrap();
        assert_eq!(part, bytes[100..200]);
        // Not over what is there.
        let error = bob_media.download(heard.id(), cat.media, &saved, |_| ()).await.unwrap_err();
        assert!(matches!(error, MediaError::File { .. }), "{error}");
    });
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn an_upload_survives_both_ends() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    Raw::sign_in(server.address, "ada").join("lobby");
    let plane = server.plane.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("large.bin");
    let bytes = content(6 << 20, 2);
    std::fs::write(&source, &bytes).unwrap();
    let kind = "application/octet-stream";
    let lobby = ConversationId::from_name("lobby");
    // The client ends in the middle, and the server is killed; both come back.
    let location = block_on(async {
        let mut upload = media(plane, "ada").upload(lobby, &source, kind).await.unwrap();
        let (enough, mut is_enough) = tokio::sync::mpsc::unbounded_channel();
        let progress = |progress: Progress| {
            if progress.bytes > 1 << 20 {
                enough.send(()).unwrap();
            }
        };
        tokio::select! {
            biased;
            _ = is_enough.recv() => {}
            result = upload.finish(progress) => panic!("it ends too early: {result:?}"),
        }
        upload.location().to_owned()
    });
    server.kill();
    let server = Server::start(data.path(), &[]);
    let ada = media(server.plane.unwrap(), "ada");
    block_on(async {
        let mut first = None;
        let mut upload = ada.resume(&location, &source, kind).await.unwrap();
        let object = upload.finish(|progress| _ = first.get_or_insert(progress.bytes)).await.unwrap();
        assert!(first.unwrap() > 1 << 20, "it goes on where it was: {first:?}");
        // A download that was left goes on as well, and one of something else is found out.
        let saved = folder.path().join("saved.bin");
        let part = folder.path().join("saved.bin.part");
        std::fs::write(&part, &bytes[..4 << 20]).unwrap();
        let mut first = None;
        ada.download(lobby, object.media, &saved, |progress| _ = first.get_or_insert(progress.bytes))
            .await
            .unwrap();
        assert_eq!(first, Some(4 << 20));
        assert!(std::fs::read(&saved).unwrap() == bytes, "the content is the same");
        for other in [&content(1 << 20, 9)[..], &content(6 << 20, 9), &content(7 << 20, 9)] {
            let saved = folder.path().join("other.bin");
            let part = folder.path().join("other.bin.part");
            std::fs::write(&part, other).unwrap();
            let error = ada.download(lobby, object.media, &saved, |_| ()).await.unwrap_err();
            assert!(matches!(error, MediaError::Corrupt), "{error}");
            assert!(!saved.exists() && !part.exists(), "so that the next one begins anew");
            ada.download(lobby, object.media, &saved, |_| ()).await.unwrap();
            std::fs::remove_file(saved).unwrap();
        }
        assert!(ada.resume(&location, &saved, kind).await.is_ok(), "the same content");
        std::fs::write(&source, b"another").unwrap();
        assert!(matches!(ada.resume(&location, &source, kind).await, Err(MediaError::Changed)));
    });
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn what_is_not_what_it_should_be_is_not_kept() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    Raw::sign_in(server.address, "ada").join("lobby");
    let folder = tempfile::tempdir().unwrap();
    let lobby = ConversationId::from_name("lobby");
    let ada = media(server.plane.unwrap(), "ada");
    let source = folder.path().join("a.bin");
    block_on(async {
        std::fs::write(&source, content(300_000, 1)).unwrap();
        let refused = |error: MediaError| match error {
            MediaError::Refused(problem) => problem.code,
            other => panic!("{other}"),
        };
        let error = ada.upload(lobby, &source, "text/html").await.unwrap_err();
        assert_eq!(refused(error), "type_not_allowed");
        let error =
            ada.upload(ConversationId::from_name("elsewhere"), &source, "text/plain").await.unwrap_err();
        assert_eq!(refused(error), "not_a_member");
        let mut upload = ada.upload(lobby, &source, "image/png").await.unwrap();
        assert_eq!(refused(upload.finish(|_| ()).await.unwrap_err()), "type_mismatch");
        // A file that changes under its upload is another file.
        let mut upload = ada.upload(lobby, &source, "text/plain").await.unwrap();
        std::fs::write(&source, content(300_000, 2)).unwrap();
        let error = upload.finish(|_| ()).await.unwrap_err();
        assert!(matches!(&error, MediaError::Refused(p) if p.code == "content_mismatch"), "{error}");
        let mut upload = ada.upload(lobby, &source, "text/plain").await.unwrap();
        std::fs::write(&source, b"short").unwrap();
        assert!(matches!(upload.finish(|_| ()).await, Err(MediaError::Changed)));
        assert_eq!(files(&data.path().join("media")), 0);
        let none = ObjectName::new(blake3::hash(b"none"));
        let error = ada.download(lobby, none, &folder.path().join("x"), |_| ()).await.unwrap_err();
        assert_eq!(refused(error), "no_such_object");
    });
}

/// `ringwire chat` as a script: its exit code and its events.
fn chat(server: &Server, name: &str, lines: &str) -> (Option<i32>, Vec<serde_json::Value>) {
    let media = format!("http://{}/v1/media", server.plane.unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringwire"))
        .args(["chat", "--url", &server.url(), "--media", &media, "--as", name, "--room", "lobby"])
        .args(["--commands", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn a_script_sends_a_file_and_another_saves_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let (source, saved) = (folder.path().join("a cat.bin"), folder.path().join("saved"));
    let bytes = content(700_000, 4);
    std::fs::write(&source, &bytes).unwrap();
    let (code, events) = chat(&server, "ada", &format!("/send {}\n", source.display()));
    assert_eq!(code, Some(0), "{events:?}");
    let done = events.iter().find(|event| event["event"] == "done").expect("it is done");
    let text = done["text"].as_str().unwrap();
    let sequence: u64 = text.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{text}"));
    let (code, events) = chat(&server, "bob", &format!("/save {sequence} {}\n", saved.display()));
    assert_eq!(code, Some(0), "{events:?}");
    assert!(std::fs::read(&saved).unwrap() == bytes, "the content is the same");
    // What cannot be is refused with whose fault it is, and changes nothing.
    let wrong = format!("/save {sequence} {}\n/save 1\n/send /nonexistent\n", saved.display());
    let (code, events) = chat(&server, "bob", &wrong);
    assert_eq!(code, Some(5), "{events:?}");
    let errors: Vec<_> = events.iter().filter(|event| event["event"] == "error").collect();
    assert_eq!(errors.len(), 3, "{events:?}");
    assert!(errors.iter().all(|error| error["fault"] == "caller"), "{errors:?}");
    assert!(std::fs::read(&saved).unwrap() == bytes);
}
