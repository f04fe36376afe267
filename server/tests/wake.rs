//! From a message to the device of somebody who is away, with the real binary: one wake-up per conversation until
//! the return, whatever happens between.

#![allow(clippy::disallowed_methods, reason = "tests start processes, wait, and use sockets")]

#[path = "support/hook.rs"]
mod hook;
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use hook::Hook;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Delivered, Mute, Provider, Register, ServerFrame, Unregister};
use support::{DRIVERS, PATIENCE, Raw, Server};

const ADMIN_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Longer than a wake-up takes, where none is to come.
const NOTHING_COMES: Duration = Duration::from_millis(700);

fn start(data: &Path, hook: &Hook, extra: &[&str]) -> Server {
    let key = data.join("secret");
    std::fs::write(&key, ADMIN_KEY).expect("written");
    let settings = [
        format!("push.webhook_url={}", hook.url),
        format!("push.webhook_secret_file={}", key.display()),
        format!("plane.admin_key_file={}", key.display()),
        "push.attempts=3".to_owned(),
        "serve.drain=100ms".to_owned(),
    ];
    let mut all = extra.to_vec();
    settings.iter().for_each(|setting| all.extend(["--set", setting]));
    Server::start(&data.join("data"), &all)
}

fn done(raw: &mut Raw, request: u32) {
    raw.next_where(|frame| match frame {
        ServerFrame::Done(done) => done.request == request,
        ServerFrame::Reject(reject) => panic!("refused: {reject:?}"),
        _ => false,
    });
}

fn register(raw: &mut Raw, token: &str) {
    let register =
        Register { request: 90, provider: Provider::Webhook, token, app: "", key: &[], secret: &[] };
    raw.frame(|encoder, out| register.encode(encoder, out));
    done(raw, 90);
}

/// Publishes and waits for the acknowledgement: the sequence.
fn publish(raw: &mut Raw, room: &str, client_sequence: u64) -> u64 {
    raw.publish(room, client_sequence, b"something new");
    let ack = raw.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
    let ServerFrame::Ack(ack) = ack.get() else { unreachable!("it was asked for") };
    ack.sequence
}

/// Says that a device has everything up to there.
fn delivered(raw: &mut Raw, room: &str, sequence: u64) {
    let conversation = ConversationId::from_name(room);
    raw.frame(|encoder, out| Delivered { conversation, sequence }.encode(encoder, out));
}

/// Joins the rooms, registers a device, and goes away; the server has noticed when this returns.
fn go_away(server: &Server, user: &str, rooms: &[&str]) {
    let mut raw = Raw::sign_in(server.address, user);
    rooms.iter().for_each(|room| {
        raw.join(room);
    });
    register(&mut raw, &format!("device of {user}").replace(' ', "-"));
    leave(server, raw);
}

/// Ends a session; the server has noticed when this returns.
fn leave(server: &Server, raw: Raw) {
    let before = sessions(server);
    drop(raw);
    let until = std::time::Instant::now() + PATIENCE;
    while sessions(server) >= before {
        assert!(std::time::Instant::now() < until, "the session does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Its home has told the conversations a turn or two later.
    std::thread::sleep(Duration::from_millis(50));
}

fn sessions(server: &Server) -> u64 {
    metric(server, "ringwire_sessions{")
}

/// The sum of a metric's lines that begin so.
fn metric(server: &Server, name: &str) -> u64 {
    let (_, page) = request(server, "GET", "/metrics");
    let lines = page.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number")).sum()
}

fn wait_for_metric(server: &Server, name: &str, value: u64) {
    let until = std::time::Instant::now() + PATIENCE;
    while metric(server, name) != value {
        assert!(std::time::Instant::now() < until, "{name} is {}", metric(server, name));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn request(server: &Server, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.plane.expect("a plane")).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("settable");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {ADMIN_KEY}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
    (status, body.to_owned())
}

/// What `ringwire dead-letters` prints.
fn command(server: &Server, data: &Path, arguments: &[&str]) -> String {
    let plane = format!("http://{}", server.plane.expect("a plane"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringwire"))
        .arg("dead-letters")
        .args(arguments)
        .args(["--plane", &plane, "--key-file"])
        .arg(data.join("secret"))
        .output()
        .expect("the binary is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn room_id(room: &str) -> String {
    ConversationId::from_name(room).to_string()
}

#[test]
fn one_wake_up_per_conversation_until_the_return() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().expect("a directory");
        let hook = Hook::start();
        let server = start(data.path(), &hook, &["--driver", driver, "--shards", "2"]);
        let rooms = ["one", "two", "three"];
        let mut alice = Raw::sign_in(server.address, "alice");
        rooms.iter().for_each(|room| {
            alice.join(room);
        });
        go_away(&server, "bob", &rooms);

        let first: Vec<u64> = rooms.iter().map(|room| publish(&mut alice, room, 1)).collect();
        rooms.iter().for_each(|room| {
            publish(&mut alice, room, 2);
        });
        hook.wait_for(3);
        std::thread::sleep(NOTHING_COMES);
        let woken = hook.woken();
        assert_eq!(woken.len(), 3, "{driver}: one for each conversation, not for each message: {woken:?}");
        for (room, sequence) in rooms.iter().zip(&first) {
            let of_room =
                woken.iter().find(|woken| woken.conversation == room_id(room)).expect("one for each");
            assert_eq!((of_room.sequence, &*of_room.token), (*sequence, "device-of-bob"));
        }

        // While he is there nothing wakes him; when he has gone again, the next message does.
        let mut bob = Raw::sign_in(server.address, "bob");
        for room in rooms {
            delivered(&mut bob, room, publish(&mut alice, room, 3));
        }
        std::thread::sleep(NOTHING_COMES);
        assert_eq!(hook.woken().len(), 3, "{driver}: he was there");
        leave(&server, bob);
        let sequence = publish(&mut alice, "one", 4);
        publish(&mut alice, "one", 5);
        assert_eq!(hook.wait_for(4)[3].sequence, sequence);
        std::thread::sleep(NOTHING_COMES);
        let ids: BTreeSet<String> = hook.woken().into_iter().map(|woken| woken.wake).collect();
        assert_eq!(ids.len(), 4, "{driver}: each has an id of its own");
        assert_eq!(metric(&server, "ringwire_wakes_taken_total"), 4);
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn a_wake_up_that_a_kill_took_is_made_good_however_late_the_start() {
    let data = tempfile::tempdir().expect("a directory");
    let hook = Hook::start();
    let server = start(data.path(), &hook, &["--shards", "2"]);
    let mut alice = Raw::sign_in(server.address, "alice");
    alice.join("room");
    alice.join("old");
    go_away(&server, "bob", &["room", "old"]);
    publish(&mut alice, "old", 1);
    hook.wait_for(1);
    assert_eq!(server.terminate(), Some(0));
    // Without a plane, wake-ups get as far as they do where the kill comes before the plane has written them.
    let server = Server::start(&data.path().join("data"), &["--shards", "1", "--plane", "off"]);
    let mut alice = Raw::sign_in(server.address, "alice");
    let sequence = publish(&mut alice, "room", 1);
    server.kill();
    std::thread::sleep(Duration::from_secs(61));
    assert_eq!(hook.woken().len(), 1, "nobody could be woken");
    let server = start(data.path(), &hook, &["--shards", "2"]);
    let woken = hook.wait_for(2);
    assert_eq!((&*woken[1].conversation, woken[1].sequence), (&*room_id("room"), sequence));
    // Once; and for what he was woken for before, not again.
    server.kill();
    let _server = start(data.path(), &hook, &["--shards", "3"]);
    std::thread::sleep(NOTHING_COMES);
    assert_eq!(hook.woken().len(), 2);
}

#[test]
fn what_came_as_he_went_wakes_unless_a_device_has_it() {
    let data = tempfile::tempdir().expect("a directory");
    let hook = Hook::start();
    let server = start(data.path(), &hook, &["--shards", "2"]);
    let mut alice = Raw::sign_in(server.address, "alice");
    ["seen", "unseen", "own"].iter().for_each(|room| {
        alice.join(room);
    });
    let mut bob = Raw::sign_in(server.address, "bob");
    ["seen", "unseen", "own"].iter().for_each(|room| {
        bob.join(room);
    });
    register(&mut bob, "bob's");
    let sequence = publish(&mut alice, "seen", 1);
    publish(&mut alice, "unseen", 1);
    publish(&mut bob, "own", 1);
    delivered(&mut bob, "seen", sequence);
    leave(&server, bob);
    hook.wait_for(1);
    std::thread::sleep(NOTHING_COMES);
    let woken: Vec<String> = hook.woken().into_iter().map(|woken| woken.conversation).collect();
    assert_eq!(woken, [room_id("unseen")]);
    // For the others he is still to be woken.
    publish(&mut alice, "seen", 2);
    publish(&mut alice, "own", 1);
    publish(&mut alice, "unseen", 2);
    hook.wait_for(3);
    std::thread::sleep(NOTHING_COMES);
    assert_eq!(hook.woken().len(), 3);
}

#[test]
fn who_wants_no_wake_up_gets_none() {
    let data = tempfile::tempdir().expect("a directory");
    let hook = Hook::start();
    let server = start(data.path(), &hook, &["--shards", "2"]);
    let mut alice = Raw::sign_in(server.address, "alice");
    ["muted", "loud"].iter().for_each(|room| {
        alice.join(room);
    });
    register(&mut alice, "alice's");
    // Bob mutes one of two rooms; eve has changed her mind about being woken; carol left the room.
    let mut bob = Raw::sign_in(server.address, "bob");
    ["muted", "loud"].iter().for_each(|room| {
        bob.join(room);
    });
    register(&mut bob, "bob's");
    let mute = Mute { request: 7, conversation: ConversationId::from_name("muted"), until_ms: u64::MAX };
    bob.frame(|encoder, out| mute.encode(encoder, out));
    done(&mut bob, 7);
    let mut eve = Raw::sign_in(server.address, "eve");
    eve.join("loud");
    register(&mut eve, "eve's");
    eve.frame(|encoder, out| Unregister { request: 8 }.encode(encoder, out));
    done(&mut eve, 8);
    let mut carol = Raw::sign_in(server.address, "carol");
    carol.join("loud");
    register(&mut carol, "carol's");
    let left =
        ringwire_protocol::message::Leave { request: 9, conversation: ConversationId::from_name("loud") };
    carol.frame(|encoder, out| left.encode(encoder, out));
    done(&mut carol, 9);
    for raw in [bob, eve, carol] {
        leave(&server, raw);
    }
    publish(&mut alice, "muted", 1);
    publish(&mut alice, "loud", 1);
    hook.wait_for(1);
    std::thread::sleep(NOTHING_COMES);
    let woken: Vec<_> = hook.woken().into_iter().map(|woken| (woken.token, woken.conversation)).collect();
    assert_eq!(woken, [("bob's".to_owned(), room_id("loud"))]);
}

#[test]
fn a_kill_loses_no_wake_up_and_repeats_are_told_by_their_id() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().expect("a directory");
        let hook = Hook::start();
        hook.answer(503);
        let server = start(data.path(), &hook, &["--driver", driver, "--shards", "2"]);
        let rooms: Vec<String> = (0..40).map(|at| format!("room-{at}")).collect();
        let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
        let mut alice = Raw::sign_in(server.address, "alice");
        rooms.iter().for_each(|room| {
            alice.join(room);
        });
        go_away(&server, "bob", &rooms);
        let sent: BTreeSet<(String, u64)> =
            rooms.iter().map(|room| (room_id(room), publish(&mut alice, room, 1))).collect();
        // Some were tried, none was taken.
        hook.wait_for(5);
        server.kill();
        let tried = hook.woken().len();
        hook.answer(200);

        let server = start(data.path(), &hook, &["--driver", driver, "--shards", "3"]);
        let until = std::time::Instant::now() + PATIENCE;
        let arrived = loop {
            let woken = hook.woken();
            let arrived: BTreeSet<(String, u64)> =
                woken[tried..].iter().map(|woken| (woken.conversation.clone(), woken.sequence)).collect();
            if arrived.len() >= sent.len() {
                break arrived;
            }
            let missing: Vec<_> = sent.difference(&arrived).collect();
            assert!(std::time::Instant::now() < until, "{driver}: lost: {missing:?}");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(arrived, sent, "{driver}: every wake-up arrives at least once");
        let ids: BTreeSet<String> = hook.woken().into_iter().map(|woken| woken.wake).collect();
        assert_eq!(ids.len(), sent.len(), "{driver}: counted by its id, each once");

        // He was woken, and was not back: another message wakes him neither before nor after the restart.
        let mut alice = Raw::sign_in(server.address, "alice");
        rooms.iter().for_each(|room| {
            alice.join(room);
        });
        publish(&mut alice, "room-0", 2);
        std::thread::sleep(NOTHING_COMES);
        let ids: BTreeSet<String> = hook.woken().into_iter().map(|woken| woken.wake).collect();
        assert_eq!(ids.len(), sent.len(), "{driver}");
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn who_was_away_before_the_start_is_woken_after_it() {
    let data = tempfile::tempdir().expect("a directory");
    let hook = Hook::start();
    let server = start(data.path(), &hook, &["--shards", "2"]);
    Raw::sign_in(server.address, "alice").join("room");
    go_away(&server, "bob", &["room"]);
    assert_eq!(server.terminate(), Some(0));
    let server = start(data.path(), &hook, &["--shards", "3"]);
    let mut alice = Raw::sign_in(server.address, "alice");
    alice.join("room");
    let sequence = publish(&mut alice, "room", 1);
    assert_eq!(hook.wait_for(1)[0].sequence, sequence);
}

#[test]
fn a_device_that_is_gone_is_not_pushed_to_again() {
    let data = tempfile::tempdir().expect("a directory");
    let hook = Hook::start();
    let server = start(data.path(), &hook, &["--shards", "2"]);
    let mut alice = Raw::sign_in(server.address, "alice");
    alice.join("room");
    go_away(&server, "bob", &["room"]);
    hook.answer(410);
    publish(&mut alice, "room", 1);
    hook.wait_for(1);
    wait_for_metric(&server, "ringwire_registrations_dropped_total{", 1);
    hook.answer(200);
    let bob = Raw::sign_in(server.address, "bob");
    leave(&server, bob);
    publish(&mut alice, "room", 2);
    std::thread::sleep(NOTHING_COMES);
    assert_eq!(hook.woken().len(), 1, "the device is gone");
    // A new token is a new start.
    go_away(&server, "bob", &[]);
    publish(&mut alice, "room", 3);
    hook.wait_for(2);
}

#[test]
fn an_operator_lists_and_replays_dead_letters() {
    let data = tempfile::tempdir().expect("a directory");
    let hook = Hook::start();
    hook.answer(400);
    let server = start(data.path(), &hook, &[]);
    let mut alice = Raw::sign_in(server.address, "alice");
    alice.join("room");
    go_away(&server, "bob", &["room"]);
    publish(&mut alice, "room", 1);
    let until = std::time::Instant::now() + PATIENCE;
    let list = loop {
        let (status, body) = request(&server, "GET", "/admin/dead-letters");
        assert_eq!(status, 200);
        let list: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        if list["total"] == 1 {
            break list;
        }
        assert!(std::time::Instant::now() < until, "no dead letter: {body}");
        std::thread::sleep(Duration::from_millis(10));
    };
    let letter = &list["dead_letters"][0];
    assert_eq!((&letter["provider"], &letter["attempts"]), (&"webhook".into(), &1.into()));
    assert_eq!(letter["wake"], *hook.woken()[0].wake);
    assert!(letter["why"].as_str().is_some_and(|why| why.contains("400")), "{letter}");
    assert!(!list.to_string().contains("device-of-bob"), "a token is not shown");
    for (method, path, status) in [
        ("GET", "/admin/dead-letters?after=x", 400),
        ("GET", "/admin/dead-letters?colour=red", 400),
        ("POST", "/admin/dead-letters/999/replay", 404),
        ("POST", "/admin/dead-letters/x/replay", 400),
        ("PUT", "/admin/dead-letters", 405),
        ("DELETE", "/admin/dead-letters/999", 404),
        ("GET", "/admin/dead-letters/1/2/3", 404),
    ] {
        assert_eq!(request(&server, method, path).0, status, "{method} {path}");
    }
    hook.answer(200);
    let id = &letter["id"];
    let listed = command(&server, data.path(), &["list"]);
    assert!(listed.starts_with(&format!("{id}\twebhook\t1 tries\t400")), "{listed}");
    assert_eq!(command(&server, data.path(), &["replay", &id.to_string()]), "1 replayed\n");
    let woken = hook.wait_for(2);
    assert_eq!(woken[0].wake, woken[1].wake);
    assert_eq!(request(&server, "DELETE", "/admin/dead-letters"), (200, r#"{"changed":0}"#.into()));
    wait_for_metric(&server, "ringwire_pushes_delivered_total{provider=\"webhook\"}", 1);
}
