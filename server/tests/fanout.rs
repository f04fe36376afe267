//! Who gets what, and when: push and pull, slow readers, memory durability.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Close, Durability, Kind, Open, Publish, ServerFrame};
use support::{DRIVERS, End, Owned, Raw, Server};

fn text_sequence(frame: &Owned) -> Option<u64> {
    match frame.get() {
        ServerFrame::Message(message) if message.kind == Kind::Text => Some(message.sequence),
        _ => None,
    }
}

/// Fills a room with 1024 messages of 16 KiB while `stalled` does not read: more than the kernel's buffers of
/// both sides and the outbox hold.
fn flood(server: &Server, room: &str) -> Raw {
    let mut writer = Raw::sign_in(server.address, "writer");
    writer.join(room);
    let body = vec![b'x'; 16 * 1024];
    for n in 1..=1024 {
        writer.publish(room, n, &body);
        writer.next_where(|frame| matches!(frame, ServerFrame::Ack(ack) if ack.client_sequence == n));
    }
    writer
}

#[test]
fn a_slow_reader_is_told_heads_and_loses_nothing() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let set = ["--driver", driver, "--set", "limits.outbox=64 KiB", "--set", "limits.send_buffer=16 KiB"];
        let server = Server::start(data.path(), &set);
        let mut slow = Raw::sign_in(server.address, "slow");
        slow.join("busy");
        let mut writer = flood(&server, "busy");
        // It reads again: what was kept comes in order, and what was not is announced by heads.
        let (mut last, mut known, mut kept) = (2, 0, 0);
        while known < 1026 {
            let frame = slow.next();
            if let Some(sequence) = text_sequence(&frame) {
                assert!(sequence > last, "{driver}: {sequence} came after {last}");
                last = sequence;
                known = known.max(sequence);
                kept += 1;
            }
            if let ServerFrame::Head(head) = frame.get() {
                assert!(head.head > last, "{driver}: a head is ahead of what was kept");
                known = known.max(head.head);
            }
        }
        assert!(kept < 1000, "{driver}: {kept} messages were kept for a reader that did not read");
        assert_eq!(slow.history("busy").len(), 1026, "{driver}");
        // And it is live again.
        writer.publish("busy", 1025, b"welcome back");
        let live = slow.next_where(|frame| matches!(frame, ServerFrame::Message(_)));
        assert_eq!(text_sequence(&live), Some(1027), "{driver}");
    }
}

#[test]
fn a_reader_that_never_reads_is_cut_and_the_others_are_not() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let set = [
            "--driver",
            driver,
            "--set",
            "limits.outbox=64 KiB",
            "--set",
            "limits.send_buffer=16 KiB",
            "--set",
            "limits.stall_timeout=1s",
        ];
        let server = Server::start(data.path(), &set);
        let mut stalled = Raw::sign_in(server.address, "stalled");
        stalled.join("busy");
        let mut writer = flood(&server, "busy");
        let until = std::time::Instant::now() + support::PATIENCE;
        while !server.log().contains("does not keep up") {
            assert!(std::time::Instant::now() < until, "{driver}: it is never cut");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(server.log().contains("stalled"), "{driver}: the log names the client");
        assert_eq!(stalled.until_end().1, End::Eof, "{driver}");
        writer.publish("busy", 1025, b"still here");
        writer.next_where(|frame| matches!(frame, ServerFrame::Ack(ack) if ack.client_sequence == 1025));
    }
}

#[test]
fn a_large_conversation_is_fed_to_those_who_have_it_open_and_announced_to_the_others() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--shards", "2", "--set", "fanout.push_below=3"]);
    let conversation = ConversationId::from_name("hall");
    let mut writer = Raw::sign_in(server.address, "writer");
    writer.join("hall");
    let mut reader = Raw::sign_in(server.address, "reader");
    reader.join("hall");
    reader.frame(|encoder, out| Close { request: 7, conversation }.encode(encoder, out));
    reader.next_where(|frame| matches!(frame, ServerFrame::Done(done) if done.request == 7));
    // Two members: pushed, open or not.
    writer.publish("hall", 1, b"small");
    let pushed = reader.next_where(|frame| !matches!(frame, ServerFrame::Done(_)));
    assert_eq!(text_sequence(&pushed), Some(3));
    // A third member, and it is pulled: the closed reader is told the head, the open one gets the message.
    let mut third = Raw::sign_in(server.address, "third");
    third.join("hall");
    writer.publish("hall", 2, b"large");
    let live = third.next_where(|frame| matches!(frame, ServerFrame::Message(_)));
    assert_eq!(text_sequence(&live), Some(5));
    let mut told = 0;
    while told < 5 {
        let frame = reader.next();
        match frame.get() {
            ServerFrame::Head(head) => told = head.head,
            ServerFrame::Message(message) => panic!("a closed reader was pushed {}", message.sequence),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reader.history("hall").len(), 5, "nothing is lost between the two ways");
    // Opened, it is fed live; what came in between is announced by Joined.
    reader.frame(|encoder, out| Open { request: 8, conversation, after: 5 }.encode(encoder, out));
    reader.next_where(|frame| matches!(frame, ServerFrame::Joined(joined) if joined.head == 5));
    writer.publish("hall", 3, b"live");
    let live = reader.next_where(|frame| matches!(frame, ServerFrame::Message(_)));
    assert_eq!(text_sequence(&live), Some(6));
}

fn publish_to_memory(raw: &mut Raw, room: &str, client_sequence: u64) -> (u64, Durability) {
    let publish = Publish {
        conversation: ConversationId::from_name(room),
        client_sequence,
        reference: 0,
        kind: Kind::Text,
        durability: Durability::Memory,
        body: b"quick",
    };
    raw.frame(|encoder, out| publish.encode(encoder, out));
    let ack = raw.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
    let ServerFrame::Ack(ack) = ack.get() else { unreachable!() };
    (ack.sequence, ack.durability)
}

#[test]
fn a_sequence_shown_from_memory_is_never_given_again() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &["--driver", driver]);
        let mut raw = Raw::sign_in(server.address, "alice");
        raw.join("lobby");
        // The first one waits for the reservation, and says so; later ones do not.
        assert_eq!(publish_to_memory(&mut raw, "lobby", 1), (2, Durability::Synced), "{driver}");
        let mut shown = Vec::new();
        for n in 2..50 {
            shown.push(publish_to_memory(&mut raw, "lobby", n));
        }
        assert!(shown.iter().any(|(_, durability)| *durability == Durability::Memory), "{driver}: {shown:?}");
        server.kill();
        let server = Server::start(data.path(), &["--driver", driver]);
        let mut raw = Raw::sign_in(server.address, "alice");
        let (head, last) = raw.join("lobby");
        assert!(head >= 50, "{driver}: {head} was shown before");
        raw.publish("lobby", last + 1, b"after the crash");
        let ack = raw.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
        assert!(matches!(ack.get(), ServerFrame::Ack(ack) if ack.sequence == head + 1), "{driver}");
        // The hole is named, and what is behind it is there.
        let history = raw.history("lobby");
        assert_eq!(
            history.last().map(|(sequence, body, _)| (*sequence, &body[..])),
            Some((head + 1, &b"after the crash"[..]))
        );
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn a_stop_in_good_order_leaves_no_gap_behind_memory_publishes() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", "serve.drain=200ms"]);
    let mut raw = Raw::sign_in(server.address, "alice");
    raw.join("lobby");
    for n in 1..20 {
        publish_to_memory(&mut raw, "lobby", n);
    }
    assert_eq!(server.terminate(), Some(0));
    let server = Server::start(data.path(), &[]);
    let mut raw = Raw::sign_in(server.address, "alice");
    assert_eq!(raw.join("lobby"), (20, 19));
    drop(server);
}
