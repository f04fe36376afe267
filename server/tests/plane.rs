//! The operators' port of the real binary.

#![allow(clippy::disallowed_methods, reason = "tests use sockets and files")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use support::{PATIENCE, Raw, Server};

/// Sends bytes and reads until the server closes: status, head and body.
fn exchange(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("the plane listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("settable");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String, String) {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"))
}

/// One line of a metrics page, added up over shards.
fn metric(page: &str, name: &str) -> u64 {
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(&format!("{name}{{"))).collect();
    assert!(!lines.is_empty(), "{name} is missing in\n{page}");
    lines
        .iter()
        .map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number"))
        .sum()
}

#[test]
fn health_readiness_and_metrics_are_told() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path(), &["--shards", "2"]);
    let plane = server.plane.expect("it has a plane");
    assert_eq!(get(plane, "/healthz", "").0, 200);
    assert_eq!(get(plane, "/readyz", "").0, 200);

    let mut alice = Raw::sign_in(server.address, "alice");
    alice.join("room");
    alice.publish("room", 1, b"one");
    alice.next_where(|frame| matches!(frame, ringwire_protocol::message::ServerFrame::Ack(_)));
    let (status, head, page) = get(plane, "/metrics", "");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert_eq!(metric(&page, "ringwire_sessions"), 1);
    assert_eq!(metric(&page, "ringwire_conversations"), 1);
    // The joining is an entry too.
    assert!(metric(&page, "ringwire_messages_published_total") >= 1, "{page}");
    assert!(page.contains("ringwire_conversations{shard=\"1\"}"), "{page}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn the_admin_interface_opens_for_its_key_only() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path(), &[]);
    let (status, _, body) = get(server.plane.expect("a plane"), "/admin/nothing", "");
    assert_eq!(status, 403);
    assert!(body.contains("plane.admin_key_file"), "{body}");
    drop(server);

    let key = data.path().join("admin.key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").expect("written");
    let setting = format!("plane.admin_key_file={}", key.display());
    let server = Server::start(data.path(), &["--set", &setting]);
    let plane = server.plane.expect("a plane");
    let (status, head, _) = get(plane, "/admin/nothing", "");
    assert_eq!(status, 401);
    assert!(head.contains("www-authenticate: bearer"), "{head}");
    assert_eq!(get(plane, "/admin/nothing", "authorization: Bearer wrong\r\n").0, 401);
    let shown = "authorization: Bearer 0123456789abcdef0123456789abcdef\r\n";
    assert_eq!(get(plane, "/admin/nothing", shown).0, 404);
}

#[test]
fn bad_requests_are_answered_or_cut_and_harm_nobody() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path(), &[]);
    let plane = server.plane.expect("a plane");
    let (status, _, body) = get(plane, "/nowhere", "");
    assert_eq!(status, 404);
    assert!(body.contains("/nowhere") && body.contains("not_found"), "{body}");
    let post = "POST /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (status, head, _) = exchange(plane, post);
    assert_eq!(status, 405);
    assert!(head.contains("allow: get"), "{head}");
    assert_eq!(exchange(plane, "this is no HTTP\r\n\r\n").0, 400);
    // One that hangs in its head, and one that vanishes, are nobody else's business.
    let mut hanging = TcpStream::connect(plane).expect("it listens");
    hanging.write_all(b"GET /healthz HT").expect("sent");
    drop(TcpStream::connect(plane).expect("it listens"));
    assert_eq!(get(plane, "/healthz", "").0, 200);
    assert_eq!(server.terminate(), Some(0), "a hanging request does not keep it from ending");
}

#[test]
fn what_keeps_the_plane_from_starting_is_named() {
    let data = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let short = data.path().join("short.key");
    std::fs::write(&short, "short").expect("written");
    let short = format!("plane.admin_key_file={}", short.display());
    for (extra, named) in [
        (&["--plane", &address][..], &[&address[..], "in use"][..]),
        (&["--plane", "nowhere"], &["--plane", "127.0.0.1:7400", "off"]),
        (&["--set", "plane.admin_key_file=/nonexistent/key"], &["plane.admin_key_file", "/nonexistent/key"]),
        (&["--set", &short], &["plane.admin_key_file", "short.key", "openssl"]),
    ] {
        let Err(refusal) = Server::try_start(&data.path().join("data"), extra) else {
            panic!("{extra:?} should be refused");
        };
        assert_eq!(refusal.code, Some(1));
        for word in named {
            assert!(refusal.text.contains(word), "{word} is missing in: {}", refusal.text);
        }
    }
}

#[test]
fn the_command_line_asks_a_running_server_for_its_dead_letters() {
    let data = tempfile::tempdir().expect("a directory");
    let key = data.path().join("admin.key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").expect("written");
    let setting = format!("plane.admin_key_file={}", key.display());
    let server = Server::start(data.path(), &["--set", &setting]);
    let plane = format!("http://{}", server.plane.expect("a plane"));
    let run = |arguments: &[&str], key: &std::path::Path| {
        std::process::Command::new(env!("CARGO_BIN_EXE_ringwire"))
            .arg("dead-letters")
            .args(arguments)
            .args(["--plane", &plane, "--key-file"])
            .arg(key)
            .output()
            .expect("the binary is there")
    };
    let listed = run(&["list"], &key);
    assert!(listed.status.success() && listed.stdout.is_empty(), "{listed:?}");
    assert_eq!(run(&["replay"], &key).stdout, b"0 replayed\n");
    assert_eq!(run(&["forget", "--all"], &key).stdout, b"0 forgotten\n");
    let wrong = data.path().join("wrong.key");
    std::fs::write(&wrong, "another").expect("written");
    for (output, named) in [
        (run(&["replay", "7"], &key), "there is no dead letter 7"),
        (run(&["list"], &wrong), "401"),
        (run(&["list"], &data.path().join("none")), "--key-file"),
        (run(&["forget"], &key), "<ID>"),
    ] {
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(named), "{named} is missing in: {said}");
    }
}

#[test]
fn a_server_without_a_plane_serves() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path(), &["--plane", "off"]);
    assert_eq!(server.plane, None);
    Raw::sign_in(server.address, "alice").join("room");
    assert_eq!(server.terminate(), Some(0));
}
