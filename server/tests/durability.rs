//! What is acknowledged is there: after kill -9 under load, with another number of shards, and after a stop
//! in good order.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringwire_protocol::code::Code;
use ringwire_protocol::message::{Kind, ServerFrame};
use support::{DRIVERS, Raw, Server};

/// Acknowledged texts by room and sequence.
type Acknowledged = Arc<Mutex<BTreeMap<(String, u64), String>>>;

/// Publishes into a room until the connection ends; notes what was acknowledged.
fn write_until_cut(mut raw: Raw, last: u64, name: &str, room: &str, acknowledged: &Acknowledged) {
    let text = |n: u64| format!("{name} {n}");
    let mut next = last + 1;
    let mut unanswered = last + 1;
    loop {
        while next < unanswered + 32 {
            raw.publish(room, next, text(next).as_bytes());
            next += 1;
        }
        let Ok(frame) = raw.next_or_end() else { return };
        match frame.get() {
            ServerFrame::Ack(ack) => {
                assert_eq!(ack.client_sequence, unanswered, "acknowledgements come in order");
                unanswered += 1;
                let key = (room.to_owned(), ack.sequence);
                let before = acknowledged.lock().unwrap().insert(key, text(ack.client_sequence));
                assert_eq!(before, None, "one sequence was acknowledged twice");
            }
            ServerFrame::Message(_) => {}
            ServerFrame::Reject(reject) if reject.code == Code::OVERLOADED => {
                // Go back and send again from the oldest that is not answered.
                next = unanswered;
                std::thread::sleep(Duration::from_millis(u64::from(reject.retry_after_ms)));
            }
            ServerFrame::Reject(reject) if reject.code == Code::SEQUENCE_GAP => next = unanswered,
            other => panic!("{other:?}"),
        }
    }
}

fn check(address: std::net::SocketAddr, rooms: &[String], acknowledged: &Acknowledged, round: usize) {
    let mut raw = Raw::sign_in(address, "checker");
    for room in rooms {
        raw.join(room);
        let history = raw.history(room);
        for (at, (sequence, ..)) in history.iter().enumerate() {
            assert_eq!(*sequence, at as u64 + 1, "round {round}: sequences of {room} are dense");
        }
        let mut seen = BTreeMap::new();
        for (sequence, body, kind) in &history {
            if *kind == Kind::Text {
                let text = String::from_utf8(body.clone()).unwrap();
                assert_eq!(
                    seen.insert(text.clone(), *sequence),
                    None,
                    "round {round}: {text} is stored twice"
                );
            }
        }
        for ((_, sequence), text) in acknowledged.lock().unwrap().iter().filter(|((r, _), _)| r == room) {
            assert_eq!(
                seen.get(text),
                Some(sequence),
                "round {round}: {text} was acknowledged in {room} as {sequence}"
            );
        }
    }
}

/// How many rounds: `RINGWIRE_KILL_ROUNDS`, else few enough for every test run.
fn rounds() -> usize {
    std::env::var("RINGWIRE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_under_load() {
    let data = tempfile::tempdir().unwrap();
    let rooms: Vec<String> = (0..4).map(|n| format!("room-{n}")).collect();
    let acknowledged = Acknowledged::default();
    let rounds = rounds();
    for round in 0..rounds {
        let shards = ["1", "2", "3"][round % 3];
        let driver = DRIVERS[round % 2];
        // Small segments, so that rolling and sealing happen in between.
        let set = ["--shards", shards, "--driver", driver, "--set", "store.segment=1 MiB"];
        let server = Server::start(data.path(), &set);
        let address = server.address;
        check(address, &rooms, &acknowledged, round);
        let writers: Vec<_> = (0..8)
            .map(|n| {
                let (room, acknowledged) = (rooms[n % 4].clone(), Arc::clone(&acknowledged));
                let name = format!("w{n}");
                let mut raw = Raw::sign_in(address, &name);
                let (_, last) = raw.join(&room);
                std::thread::spawn(move || write_until_cut(raw, last, &name, &room, &acknowledged))
            })
            .collect();
        let before = acknowledged.lock().unwrap().len();
        let until = std::time::Instant::now() + support::PATIENCE;
        while acknowledged.lock().unwrap().len() < before + 200 + round * 7 {
            assert!(std::time::Instant::now() < until, "the server acknowledges nothing: {}", server.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        server.kill();
        for writer in writers {
            writer.join().unwrap();
        }
    }
    let server = Server::start(data.path(), &[]);
    check(server.address, &rooms, &acknowledged, rounds);
    let total = acknowledged.lock().unwrap().len();
    println!("{rounds} rounds of kill -9: {total} acknowledged, all there, none twice");
    assert_eq!(server.terminate(), Some(0));
    let verify = std::process::Command::new(env!("CARGO_BIN_EXE_ringwire"))
        .args(["store", "verify", "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

#[test]
fn a_stop_in_good_order_says_goodbye_and_keeps_everything() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let set = ["--driver", driver, "--set", "serve.drain=500ms"];
        let server = Server::start(data.path(), &set);
        let mut raw = Raw::sign_in(server.address, "alice");
        raw.join("lobby");
        raw.publish("lobby", 1, b"hello");
        raw.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
        server.signal("TERM");
        let goodbye = raw.next_where(|frame| matches!(frame, ServerFrame::GoAway(_)));
        assert!(matches!(goodbye.get(), ServerFrame::GoAway(g) if g.code == Code::SHUTTING_DOWN));
        let mut server = server;
        assert_eq!(server.wait(), Some(0), "{driver}: {}", server.log());
        let server = Server::start(data.path(), &set);
        let mut raw = Raw::sign_in(server.address, "alice");
        assert_eq!(raw.join("lobby"), (2, 1), "{driver}: head and client sequence survive");
    }
}
