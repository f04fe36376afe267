//! Everything that is refused: with a status, a problem that says why, and nothing stored.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ringwire_protocol::id::ConversationId;

use crate::client::{Announced, UPLOADS, User, content, files, object, parts, until};
use crate::http::{Http, ask};
use crate::support::{Raw, Server};

const STREAM: (&str, &str) = ("content-type", "application/offset+octet-stream");

struct World {
    data: tempfile::TempDir,
    server: Server,
}

impl World {
    /// A server with Ada in the lobby.
    fn new(extra: &[&str]) -> World {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), extra);
        Raw::sign_in(server.address, "ada").join("lobby");
        World { data, server }
    }

    fn user(&self, name: &str) -> User {
        User::new(&self.server, name)
    }

    /// Nothing was stored, and no upload is under way.
    fn is_clean(&self) {
        assert_eq!(files(&self.data.path().join("media")), 0, "nothing is stored");
        assert_eq!(files(&self.data.path().join("media-spool")), 0, "nothing is under way");
    }
}

#[test]
fn announcements_that_cannot_be_kept_are_refused() {
    let world = World::new(&["--set", "media.bytes_max=1 MiB", "--set", "media.spool_bytes=2 MiB"]);
    let ada = world.user("ada");
    let good = Announced::file("lobby", 10);
    for (announced, status, code) in [
        (Announced { length: (1 << 20) + 1, ..good.clone() }, 413, "too_large"),
        (Announced { kind: "text/html", ..good.clone() }, 415, "type_not_allowed"),
        (Announced { kind: "image/svg+xml", ..good.clone() }, 415, "type_not_allowed"),
        (Announced { kind: "png", ..good.clone() }, 400, "bad_metadata"),
        (Announced { name: "../../etc/passwd", ..good.clone() }, 400, "bad_name"),
        (Announced { name: "a\\b", ..good.clone() }, 400, "bad_name"),
        (Announced { name: "a\u{202e}b", ..good.clone() }, 400, "bad_name"),
        (Announced { hash: Some("zz".into()), ..good.clone() }, 400, "bad_metadata"),
        (Announced { conversation: "", ..good.clone() }, 400, "bad_metadata"),
        (Announced { conversation: "elsewhere", ..good.clone() }, 403, "not_a_member"),
    ] {
        let answer = ada.create(&announced);
        assert_eq!((answer.status, &*answer.problem()), (status, code), "{answer:?}");
        assert_eq!(answer.header("tus-resumable"), "1.0.0");
    }
    let metadata = good.metadata();
    let metadata = ("upload-metadata", &*metadata);
    for (headers, status, code) in [
        (&[metadata][..], 400, "missing_header"),
        (&[metadata, ("upload-length", "-1")], 400, "bad_header"),
        (&[metadata, ("upload-length", "1e3")], 400, "bad_header"),
        (&[metadata, ("upload-length", "99999999999999999999")], 400, "bad_header"),
        (&[metadata, ("upload-defer-length", "1")], 400, "not_supported"),
        (&[metadata, ("upload-length", "10"), ("upload-concat", "partial")], 400, "not_supported"),
        (&[("upload-length", "10")], 400, "bad_metadata"),
        (&[("upload-length", "10"), ("upload-metadata", "filename ???")], 400, "bad_metadata"),
        (&[metadata, ("upload-length", "10"), ("upload-checksum", "md5 AAAA")], 400, "unknown_checksum"),
    ] {
        let answer = ada.ask("POST", UPLOADS, headers, b"");
        assert_eq!((answer.status, &*answer.problem()), (status, code), "{headers:?}");
    }
    // A version of the protocol that is not spoken here.
    let headers = [("tus-resumable", "0.2.2"), ("authorization", "Bearer dev:ada")];
    let answer = ask(ada.address, "POST", UPLOADS, &headers, b"");
    assert_eq!((answer.status, &*answer.problem()), (412, "tus_version"));
    assert_eq!(answer.header("tus-version"), "1.0.0");
    let answer = ada.ask("PUT", UPLOADS, &[], b"");
    assert_eq!((answer.status, &*answer.problem()), (405, "method_not_allowed"));
    world.is_clean();
}

#[test]
fn bytes_that_do_not_fit_are_refused_and_the_upload_goes_on() {
    let world = World::new(&[]);
    let ada = world.user("ada");
    let bytes = content(100_000, 1);
    let path = ada.begin(&Announced::file("lobby", bytes.len()));
    assert_eq!(ada.patch(&path, 0, &[], &bytes[..1000]).status, 204);
    let wrong = STANDARD.encode([7; 20]);
    let wrong = format!("sha1 {wrong}");
    for (offset, more, body, status, code) in [
        (0, &[][..], &bytes[..10], 409, "wrong_offset"),
        (2000, &[], &bytes[..10], 409, "wrong_offset"),
        (1000, &[("upload-checksum", &*wrong)], &bytes[1000..], 460, "checksum_mismatch"),
        (1000, &[("upload-checksum", "md5 AAAA")], &bytes[1000..], 400, "unknown_checksum"),
        (1000, &[("upload-checksum", "sha1")], &bytes[1000..], 400, "bad_checksum"),
        // Longer than announced, by its own length and by what comes.
        (1000, &[], &bytes[..], 413, "upload_too_long"),
    ] {
        let answer = ada.patch(&path, offset, more, body);
        assert_eq!((answer.status, &*answer.problem()), (status, code), "{answer:?}");
        assert_eq!(ada.offset(&path), Some(1000), "{code}");
    }
    let mut http = Http::connect(ada.address);
    http.head(
        "PATCH",
        &path,
        &ada.headers(&[("upload-offset", "1000"), STREAM, ("transfer-encoding", "chunked")]),
    );
    for chunk in bytes.chunks(10_000) {
        http.send(format!("{:x}\r\n", chunk.len()).as_bytes());
        http.send(chunk);
        http.send(b"\r\n");
    }
    assert_eq!(http.answer("PATCH").problem(), "upload_too_long");
    assert_eq!(ada.offset(&path), Some(1000));
    let headers = [("upload-offset", "1000"), ("content-type", "text/plain")];
    let answer = ada.ask("PATCH", &path, &headers, b"x");
    assert_eq!((answer.status, &*answer.problem()), (415, "bad_content_type"));
    let answer = ada.ask("PATCH", &path, &[STREAM], b"x");
    assert_eq!((answer.status, &*answer.problem()), (400, "missing_header"));
    // Shorter than its own Content-Length: what came is kept, and it is no object yet.
    let mut http = Http::connect(ada.address);
    http.head("PATCH", &path, &ada.headers(&[("upload-offset", "1000"), STREAM, ("content-length", "500")]));
    http.send(&bytes[1000..1200]);
    // Whoever asks for the offset takes the upload over, so first it has to be there.
    until("it is on the disk", || parts(world.data.path()) == [1200]);
    drop(http);
    assert_eq!(ada.offset(&path), Some(1200));
    assert_eq!(ada.get(&object("lobby", &bytes), &[]).problem(), "no_such_object");
    assert_eq!(files(&world.data.path().join("media")), 0);
    assert_eq!(ada.patch(&path, 1200, &[], &bytes[1200..]).status, 204);
    assert!(ada.get(&object("lobby", &bytes), &[]).body == bytes);
    // More of what is whole is refused, and nothing of it once more is an answer again.
    assert_eq!(ada.patch(&path, bytes.len(), &[], b"x").problem(), "upload_too_long");
    assert_eq!(ada.patch(&path, bytes.len(), &[], b"").status, 204);
}

#[test]
fn content_that_is_not_what_was_announced_is_not_stored() {
    let world = World::new(&[]);
    let ada = world.user("ada");
    let page = b"<html><script>alert(1)</script></html>";
    let image = Announced { kind: "image/png", name: "cat.png", ..Announced::file("lobby", page.len()) };
    let path = ada.begin(&image);
    let answer = ada.patch(&path, 0, &[], page);
    assert_eq!((answer.status, &*answer.problem()), (415, "type_mismatch"));
    let other =
        Announced { hash: Some(blake3::hash(b"other").to_string()), ..Announced::file("lobby", page.len()) };
    let path = ada.begin(&other);
    let answer = ada.patch(&path, 0, &[], page);
    assert_eq!((answer.status, &*answer.problem()), (460, "content_mismatch"));
    assert_eq!(ada.patch(&path, 0, &[], page).problem(), "no_such_upload");
    // Refused together with its announcement.
    let metadata = image.metadata();
    let headers = [("upload-length", "38"), ("upload-metadata", &*metadata), STREAM];
    assert_eq!(ada.ask("POST", UPLOADS, &headers, page).problem(), "type_mismatch");
    let path = ada.begin(&image);
    assert_eq!(ada.ask("DELETE", &path, &[], b"").status, 204);
    assert_eq!(ada.ask("HEAD", &path, &[], b"").status, 404);
    world.is_clean();
}

#[test]
fn an_operator_who_allows_pages_does_not_have_them_shown() {
    let world = World::new(&["--set", "media.types=text/html,image/*"]);
    let ada = world.user("ada");
    for (kind, bytes, disposition) in [
        ("text/html", &b"<script>alert(1)</script>"[..], "attachment"),
        ("image/svg+xml", b"<svg onload='alert(1)'/>", "attachment"),
        ("image/png", b"\x89PNG\r\n\x1a\n", "inline"),
    ] {
        let announced = Announced { kind, ..Announced::file("lobby", bytes.len()) };
        let got = ada.get(&ada.upload(&announced, bytes), &[]);
        assert!(got.header("content-disposition").starts_with(disposition), "{got:?}");
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        assert_eq!(got.header("content-security-policy"), "default-src 'none'; sandbox");
    }
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let world = World::new(&[]);
    let ada = world.user("ada");
    let bytes = content(1000, 1);
    let path = ada.upload(&Announced::file("lobby", bytes.len()), &bytes);
    for range in ["bytes=1000-", "bytes=5000-6000", "bytes=-0"] {
        let answer = ada.get(&path, &[("range", range)]);
        assert_eq!((answer.status, &*answer.problem()), (416, "range_outside"), "{range}");
        assert_eq!(answer.header("content-range"), "bytes */1000");
    }
    for range in ["bytes=9-1", "bytes=x-y", "bytes=", "nonsense", "bytes=1-2-3"] {
        let answer = ada.get(&path, &[("range", range)]);
        assert_eq!((answer.status, &*answer.problem()), (400, "bad_range"), "{range}");
    }
    for range in ["lines=1-2", "bytes=0-1,5-9"] {
        assert_eq!(ada.get(&path, &[("range", range)]).body, bytes, "{range}");
    }
    assert_eq!(ada.get(&path, &[("if-match", "\"x\"")]).problem(), "other_object");
    let lobby = ConversationId::from_name("lobby");
    for path in [
        "/v1/media".to_owned(),
        "/v1/media/".to_owned(),
        "/v1/media/x/y".to_owned(),
        format!("/v1/media/{lobby}/{}", blake3::hash(b"other")),
        format!("/v1/media/{lobby}/..%2f..%2fetc%2fpasswd"),
        format!("/v1/media/{lobby}/../../journal"),
        format!("{UPLOADS}/../../../etc/passwd"),
    ] {
        assert_eq!(ada.get(&path, &[]).status, 404, "{path}");
    }
}

fn token(user: &str, expires_in_s: i64, secret: &[u8]) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = serde_json::json!({
        "sub": user, "exp": now.checked_add_signed(expires_in_s).unwrap(), "join": ["*"],
    });
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret)).unwrap()
}

#[test]
fn tokens_decide_who_may_do_what() {
    let secret = "0123456789abcdef0123456789abcdef";
    let setting = format!("auth.hs256_secret={secret}");
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", &setting]);
    let secret = secret.as_bytes();
    let mut raw = Raw::connect(server.address);
    raw.hello(&token("ada", 600, secret), "ada");
    raw.next();
    raw.join("lobby");
    let ada = User::with_token(&server, &token("ada", 600, secret));
    let bytes = content(100, 1);
    let path = ada.begin(&Announced::file("lobby", bytes.len()));
    let object_path = ada.upload(&Announced::file("lobby", bytes.len()), &bytes);
    for (shown, code) in [
        (token("ada", -60, secret), "token_expired"),
        (token("ada", 600, b"another secret, as long as the first"), "token_invalid"),
        ("dev:ada".to_owned(), "token_invalid"),
        ("nonsense".to_owned(), "token_invalid"),
        (String::new(), "token_missing"),
    ] {
        let user = User::with_token(&server, &shown);
        let answers = [
            user.create(&Announced::file("lobby", 10)),
            user.patch(&path, 0, &[], &bytes),
            user.get(&object_path, &[]),
            user.ask("DELETE", &object_path, &[], b""),
            user.ask("DELETE", &path, &[], b""),
        ];
        for answer in answers {
            assert_eq!((answer.status, &*answer.problem()), (401, code), "{shown}");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
        assert_eq!(user.ask("HEAD", &path, &[], b"").status, 401);
    }
    let answer = ask(ada.address, "GET", &object_path, &[], b"");
    assert_eq!((answer.status, &*answer.problem()), (401, "token_missing"));
    // A user with a token of his own is not the one who uploads, and no member.
    let eve = User::with_token(&server, &token("eve", 600, secret));
    assert_eq!(eve.patch(&path, 0, &[], &bytes).problem(), "not_your_upload");
    assert_eq!(eve.ask("DELETE", &path, &[], b"").problem(), "not_your_upload");
    assert_eq!(eve.get(&object_path, &[]).problem(), "not_a_member");
    assert_eq!(eve.ask("DELETE", &object_path, &[], b"").problem(), "not_a_member");
    // One who leaves is none any more, also in the middle of an upload.
    raw.frame(|encoder, out| {
        let conversation = ConversationId::from_name("lobby");
        ringwire_protocol::message::Leave { request: 9, conversation }.encode(encoder, out);
    });
    raw.next_where(|frame| matches!(frame, ringwire_protocol::message::ServerFrame::Done(_)));
    assert_eq!(ada.patch(&path, 0, &[], &bytes).problem(), "not_a_member");
    assert_eq!(ada.get(&object_path, &[]).problem(), "not_a_member");
    assert_eq!(files(&data.path().join("media/objects")), 1);
}

#[test]
fn pages_of_other_origins_are_refused() {
    let world = World::new(&["--set", "sessions.origins=https://app.example"]);
    let ada = world.user("ada");
    for (method, path) in [("OPTIONS", UPLOADS), ("POST", UPLOADS), ("GET", "/v1/media/x/y")] {
        let answer = ada.ask(method, path, &[("origin", "https://evil.example")], b"");
        assert_eq!((answer.status, &*answer.problem()), (403, "origin_forbidden"));
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    let answer = ada.ask("OPTIONS", UPLOADS, &[("origin", "https://app.example")], b"");
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
}

#[test]
fn places_are_limited_and_come_back() {
    let world = World::new(&[
        "--set",
        "media.uploads_per_user=2",
        "--set",
        "media.bytes_max=10 kB",
        "--set",
        "media.spool_bytes=25 kB",
    ]);
    Raw::sign_in(world.server.address, "bob").join("lobby");
    let (ada, bob) = (world.user("ada"), world.user("bob"));
    let first = ada.begin(&Announced::file("lobby", 10_000));
    ada.begin(&Announced::file("lobby", 10_000));
    let answer = ada.create(&Announced::file("lobby", 1));
    assert_eq!((answer.status, &*answer.problem()), (429, "too_many_uploads"));
    let answer = bob.create(&Announced::file("lobby", 10_000));
    assert_eq!((answer.status, &*answer.problem()), (503, "spool_full"));
    assert_eq!(answer.header("retry-after"), "60");
    assert_eq!(ada.ask("DELETE", &first, &[], b"").status, 204);
    bob.begin(&Announced::file("lobby", 10_000));
}

#[test]
fn an_upload_that_stands_still_is_cut_and_goes_on_later() {
    let world = World::new(&["--set", "media.stall_timeout=500ms"]);
    let ada = world.user("ada");
    let bytes = content(100_000, 1);
    let path = ada.begin(&Announced::file("lobby", bytes.len()));
    let mut http = Http::connect(ada.address);
    http.head("PATCH", &path, &ada.headers(&[("upload-offset", "0"), STREAM, ("content-length", "100000")]));
    http.send(&bytes[..5000]);
    let answer = http.answer("PATCH");
    assert_eq!((answer.status, &*answer.problem()), (408, "stalled"));
    assert_eq!(ada.offset(&path), Some(5000));
    // A byte now and then is standing still, too.
    let mut http = Http::connect(ada.address);
    http.head(
        "PATCH",
        &path,
        &ada.headers(&[("upload-offset", "5000"), STREAM, ("content-length", "95000")]),
    );
    let began = Instant::now();
    for byte in &bytes[5000..5020] {
        if !http.send(&[*byte]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(http.answer("PATCH").problem(), "stalled");
    assert!(began.elapsed() < Duration::from_secs(20));
    let offset = ada.offset(&path).unwrap() as usize;
    assert!((5001..5020).contains(&offset), "{offset}");
    assert_eq!(ada.patch(&path, offset, &[], &bytes[offset..]).status, 204);
    assert!(ada.get(&object("lobby", &bytes), &[]).body == bytes);
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
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_uploads_and_nothing_else() {
    let Some(disk) = SmallDisk::mount("2m") else {
        println!("not root: no small disk can be mounted, this is not tested");
        return;
    };
    let spool = format!("media.spool={}", disk.0.path().join("spool").display());
    let world = World::new(&["--set", &spool]);
    let ada = world.user("ada");
    let bytes = content(4 << 20, 1);
    let path = ada.begin(&Announced::file("lobby", bytes.len()));
    assert_eq!(ada.patch(&path, 0, &[], &bytes[..1000]).status, 204);
    let answer = ada.patch(&path, 1000, &[], &bytes[1000..]);
    assert_eq!((answer.status, &*answer.problem()), (507, "disk_full"), "{answer:?}");
    assert_eq!(ada.offset(&path), Some(1000), "what was acknowledged is there, and nothing else");
    assert_eq!(files(&world.data.path().join("media")), 0);
    // The room is back, and messages went on all the time.
    let small = ada.upload(&Announced::file("lobby", 1000), &bytes[..1000]);
    assert_eq!(ada.get(&small, &[]).body, bytes[..1000]);
    assert!(
        std::process::Command::new("mount")
            .args(["-o", "remount,size=16m"])
            .arg(disk.0.path())
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(ada.patch(&path, 1000, &[], &bytes[1000..]).status, 204);
    assert!(ada.get(&object("lobby", &bytes), &[]).body == bytes);
}

#[test]
fn a_full_store_refuses_and_the_upload_waits() {
    let Some(disk) = SmallDisk::mount("2m") else {
        println!("not root: no small disk can be mounted, this is not tested");
        return;
    };
    let store = format!("media.store={}", disk.0.path().join("media").display());
    let world = World::new(&["--set", &store]);
    let ada = world.user("ada");
    let bytes = content(4 << 20, 1);
    let path = ada.begin(&Announced::file("lobby", bytes.len()));
    let answer = ada.patch(&path, 0, &[], &bytes);
    assert_eq!((answer.status, &*answer.problem()), (507, "store_full"), "{answer:?}");
    assert_eq!(files(disk.0.path()), 0, "nothing is stored");
    assert!(
        std::process::Command::new("mount")
            .args(["-o", "remount,size=16m"])
            .arg(disk.0.path())
            .status()
            .unwrap()
            .success()
    );
    // Whoever asks for it then finds it stored.
    assert_eq!(ada.offset(&path), Some(bytes.len() as u64));
    assert!(ada.get(&object("lobby", &bytes), &[]).body == bytes);
}

#[test]
fn what_keeps_media_from_starting_is_named() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("file"), "x").unwrap();
    let inside = data.path().join("file/inside");
    for name in ["media.store", "media.spool"] {
        let setting = format!("{name}={}", inside.display());
        let Err(refusal) = Server::try_start(data.path(), &["--set", &setting]) else { panic!("{name}") };
        assert_eq!(refusal.code, Some(1));
        assert!(refusal.text.contains(name) && refusal.text.contains("media.store=off"), "{}", refusal.text);
    }
    let server = Server::start(data.path(), &["--set", "media.store=off"]);
    assert_eq!(User::new(&server, "ada").get("/v1/media/x/y", &[]).problem(), "media_off");
    assert_eq!(server.terminate(), Some(0));
}
