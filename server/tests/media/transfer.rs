//! What goes well, and what goes on after it has gone wrong.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Announced, UPLOADS, User, content, files, object, parts, until};
use crate::http::{Http, ask};
use crate::support::{Raw, Server};

#[test]
fn what_is_uploaded_is_what_members_download() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    Raw::sign_in(server.address, "ada").join("lobby");
    Raw::sign_in(server.address, "bob").join("lobby");
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let options = ask(ada.address, "OPTIONS", UPLOADS, &[], b"");
    assert_eq!((options.status, options.header("tus-version")), (204, "1.0.0"));
    assert!(options.header("tus-extension").contains("creation"));
    assert_eq!(options.header("tus-max-size"), (100 << 20).to_string());

    // Larger than a part of the store and than any buffer.
    let bytes = content(20 << 20, 1);
    let announced =
        Announced { hash: Some(blake3::hash(&bytes).to_string()), ..Announced::file("lobby", bytes.len()) };
    let path = ada.begin(&announced);
    assert_eq!(ada.offset(&path), Some(0));
    for (at, chunk) in bytes.chunks(7 << 20).enumerate() {
        let sum = format!("blake3 {}", STANDARD.encode(blake3::hash(chunk).as_bytes()));
        let answer = ada.patch(&path, at * (7 << 20), &[("upload-checksum", &sum)], chunk);
        assert_eq!((answer.status, answer.header("tus-resumable")), (204, "1.0.0"), "{answer:?}");
        assert!(answer.header("upload-expires").ends_with("GMT"));
    }
    let done = ada.ask("HEAD", &path, &[], b"");
    assert_eq!(done.header("upload-offset"), done.header("upload-length"));
    assert_eq!(done.header("upload-metadata"), announced.metadata());
    assert_eq!(done.header("cache-control"), "no-store");
    let object_path = object("lobby", &bytes);
    assert_eq!(done.header("content-location"), object_path);

    let whole = bob.get(&object_path, &[]);
    assert_eq!(whole.status, 200);
    assert!(whole.body == bytes, "the content is the same");
    let tag = format!("\"{}\"", blake3::hash(&bytes));
    assert_eq!(whole.header("etag"), tag);
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    assert_eq!(whole.header("content-disposition"), "attachment; filename=\"a file.bin\"");
    assert!(whole.header("content-security-policy").contains("sandbox"));
    assert!(whole.header("cache-control").starts_with("private"));
    assert!(whole.header("vary").contains("Authorization"));

    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=1000000-3000000", 1_000_000, 3_000_001),
        ("bytes=20971519-", 20_971_519, 20_971_520),
        ("bytes=-100", 20_971_420, 20_971_520),
    ] {
        let part = bob.get(&object_path, &[("range", range), ("if-range", &tag)]);
        assert_eq!(part.status, 206, "{range}");
        assert!(part.body == bytes[from..to], "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{}", to - 1, bytes.len()));
    }
    let head = bob.ask("HEAD", &object_path, &[("range", "bytes=0-9")], b"");
    assert_eq!((head.status, head.header("content-length")), (200, "20971520"));
    let known = bob.get(&object_path, &[("if-none-match", &tag), ("range", "bytes=0-9")]);
    assert_eq!((known.status, known.header("etag")), (304, &*tag));
    let other = bob.get(&object_path, &[("range", "bytes=0-9"), ("if-range", "\"other\"")]);
    assert_eq!((other.status, other.body.len()), (200, bytes.len()));
    assert_eq!(files(&data.path().join("media-spool")), 1, "only the note stays of a finished upload");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn small_and_empty_files_go_in_one_request() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    Raw::sign_in(server.address, "ada").join("lobby");
    let ada = User::new(&server, "ada");
    for bytes in [&b""[..], b"hello"] {
        let announced =
            Announced { name: "é \"x\".txt", kind: "text/plain", ..Announced::file("lobby", bytes.len()) };
        let (length, metadata) = (bytes.len().to_string(), announced.metadata());
        let headers = [
            ("upload-length", &*length),
            ("upload-metadata", &metadata),
            ("content-type", "application/offset+octet-stream"),
        ];
        let answer = ada.ask("POST", UPLOADS, &headers, bytes);
        assert_eq!((answer.status, answer.header("upload-offset")), (201, &*length));
        let got = ada.get(answer.header("content-location"), &[]);
        assert_eq!((got.status, &*got.body), (200, bytes));
        assert_eq!(
            got.header("content-disposition"),
            "attachment; filename=\"_ _x_.txt\"; filename*=UTF-8''%C3%A9%20%22x%22.txt"
        );
    }
    // A browser asks first, and is told; a proxy that knows no PATCH is got round.
    let page = ("origin", "https://app.example");
    let preflight = ada.ask("OPTIONS", UPLOADS, &[page], b"");
    assert_eq!(preflight.header("access-control-allow-origin"), "https://app.example");
    assert!(preflight.header("access-control-allow-methods").contains("PATCH"));
    assert!(preflight.header("access-control-allow-headers").contains("Upload-Offset"));
    let path = ada.begin(&Announced::file("lobby", 3));
    let headers = [
        ("x-http-method-override", "PATCH"),
        ("upload-offset", "0"),
        ("content-type", "application/offset+octet-stream"),
        page,
    ];
    let answer = ada.ask("POST", &path, &headers, b"abc");
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-expose-headers").contains("Upload-Offset"));
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn an_upload_goes_on_after_kill_9_and_comes_out_the_same() {
    let data = tempfile::tempdir().unwrap();
    let bytes = content(12 << 20, 2);
    let mut path = String::new();
    let mut at = 0;
    for round in 0..4 {
        let server = Server::start(data.path(), &[]);
        if round == 0 {
            Raw::sign_in(server.address, "ada").join("lobby");
        }
        let ada = User::new(&server, "ada");
        if round == 0 {
            path = ada.begin(&Announced::file("lobby", bytes.len()));
        }
        let offset = ada.offset(&path).expect("the upload is known") as usize;
        assert!(offset >= at, "round {round}: {at} bytes were acknowledged, {offset} are there");
        // One piece that is acknowledged, one that is under way when the process is killed.
        let end = offset + (1 << 20);
        assert_eq!(ada.patch(&path, offset, &[], &bytes[offset..end]).status, 204);
        at = end;
        let mut http = Http::connect(ada.address);
        let (length, offset) = ((bytes.len() - at).to_string(), at.to_string());
        let more = [
            ("upload-offset", &*offset),
            ("content-type", "application/offset+octet-stream"),
            ("content-length", &length),
        ];
        http.head("PATCH", &path, &ada.headers(&more));
        http.send(&bytes[at..at + (1 << 19) + round]);
        until("some of it is on the disk", || parts(data.path())[0] > at as u64);
        server.kill();
    }
    let server = Server::start(data.path(), &[]);
    let ada = User::new(&server, "ada");
    let offset = ada.offset(&path).expect("the upload is known") as usize;
    assert!(offset > at, "what was not acknowledged is kept as well: {offset} of {at}");
    let answer = ada.patch(&path, offset, &[], &bytes[offset..]);
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(ada.get(&object("lobby", &bytes), &[]).body == bytes, "the content is the same");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_connection_that_breaks_costs_nothing_that_came() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    Raw::sign_in(server.address, "ada").join("lobby");
    let ada = User::new(&server, "ada");
    let bytes = content(1 << 20, 3);
    let path = ada.begin(&Announced::file("lobby", bytes.len()));
    let begun = |sent: usize| {
        let mut http = Http::connect(ada.address);
        let (length, offset) = (bytes.len().to_string(), "0");
        let more = [
            ("upload-offset", offset),
            ("content-type", "application/offset+octet-stream"),
            ("content-length", &*length),
        ];
        http.head("PATCH", &path, &ada.headers(&more));
        http.send(&bytes[..sent]);
        http
    };
    let http = begun(300_000);
    until("it is on the disk", || parts(data.path()) == [300_000]);
    drop(http);
    assert_eq!(ada.offset(&path), Some(300_000), "what came is kept");
    // A connection that hangs instead gives way to whoever asks next.
    let mut http = Http::connect(ada.address);
    let more = [
        ("upload-offset", "300000"),
        ("content-type", "application/offset+octet-stream"),
        ("content-length", "748576"),
    ];
    http.head("PATCH", &path, &ada.headers(&more));
    http.send(&bytes[300_000..400_000]);
    until("it is on the disk", || parts(data.path()) == [400_000]);
    let began = Instant::now();
    let offset = ada.offset(&path).expect("known") as usize;
    assert!(began.elapsed() < Duration::from_secs(4), "it does not wait for the stall time-out");
    assert_eq!(offset, 400_000);
    assert_eq!(http.answer("PATCH").problem(), "superseded");
    assert_eq!(ada.patch(&path, offset, &[], &bytes[offset..]).status, 204);
    assert!(ada.get(&object("lobby", &bytes), &[]).body == bytes);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn one_content_is_stored_once_and_goes_with_its_last_reference() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", "media.sweep=1s"]);
    Raw::sign_in(server.address, "ada").join("lobby");
    Raw::sign_in(server.address, "ada").join("attic");
    Raw::sign_in(server.address, "bob").join("attic");
    Raw::sign_in(server.address, "bob").join("lobby");
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let bytes = content(5000, 4);
    let objects = data.path().join("media/objects");
    let in_lobby = ada.upload(&Announced::file("lobby", bytes.len()), &bytes);
    let in_attic = ada.upload(&Announced::file("attic", bytes.len()), &bytes);
    assert_eq!(files(&objects), 1);
    // Bob may read it and may not take it away; the conversation's owner and who uploaded it may.
    assert_eq!(bob.ask("DELETE", &in_lobby, &[], b"").problem(), "forbidden");
    assert_eq!(ada.ask("DELETE", &in_lobby, &[], b"").status, 204);
    assert_eq!(bob.get(&in_lobby, &[]).problem(), "no_such_object");
    assert!(bob.get(&in_attic, &[]).body == bytes, "the other conversation keeps it");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(files(&objects), 1, "a sweep leaves what is referred to");
    assert_eq!(ada.ask("DELETE", &in_attic, &[], b"").status, 204);
    until("a sweep removes what nobody refers to", || files(&objects) == 0);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn retention_removes_and_survives_kill_9() {
    let data = tempfile::tempdir().unwrap();
    let keep = ["--set", "media.sweep=24h"];
    let server = Server::start(data.path(), &keep);
    Raw::sign_in(server.address, "ada").join("lobby");
    let ada = User::new(&server, "ada");
    for seed in 0..20 {
        ada.upload(&Announced::file("lobby", 100), &content(100, seed));
    }
    let abandoned = ada.begin(&Announced::file("lobby", 100));
    server.kill();
    let short =
        ["--set", "media.sweep=1s", "--set", "media.retention=2s", "--set", "media.upload_expires=2s"];
    std::thread::sleep(Duration::from_millis(2100));
    let media = data.path().join("media");
    let mut rounds = 0;
    while files(&media) > 0 {
        let server = Server::start(data.path(), &short);
        std::thread::sleep(Duration::from_millis(300));
        if files(&media) == 0 {
            // What was announced before keeps the time that it was told.
            assert_eq!(User::new(&server, "ada").offset(&abandoned), Some(0));
            assert_eq!(server.terminate(), Some(0));
        } else {
            server.kill();
        }
        rounds += 1;
        assert!(rounds < 100, "{} files stay", files(&media));
    }
    let server = Server::start(data.path(), &short);
    let ada = User::new(&server, "ada");
    let path = ada.begin(&Announced::file("lobby", 100));
    until("an upload expires", || {
        let answer = ada.ask("HEAD", &path, &[], b"");
        answer.status == 410 || answer.status == 404
    });
    until("its bytes go, and the other's stay", || parts(data.path()).len() == 1);
    // What is uploaded again stays from then on.
    let fresh = ada.upload(&Announced::file("lobby", 100), &content(100, 1));
    assert_eq!(ada.get(&fresh, &[]).status, 200);
    assert_eq!(server.terminate(), Some(0));
}
