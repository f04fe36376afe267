//! The inbox: who signs in is told of all conversations, newest first, each once, whoever has written them and
//! however many shards there are.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::collections::BTreeMap;

use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{
    Action, CAPABILITY_INBOX, Change, InboxEntry, Leave, Ping, Read, Role, ServerFrame,
};
use support::{DRIVERS, Raw, Server};

const SHARDS: [&str; 3] = ["1", "2", "3"];

/// What a test looks at in an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    name: String,
    head: u64,
    unread: u64,
    time_ms: u64,
    role: Role,
}

fn seen(entry: InboxEntry<'_>) -> Seen {
    let InboxEntry { head, unread, time_ms, role, .. } = entry;
    assert_eq!(entry.conversation, ConversationId::from_name(entry.name));
    Seen { name: entry.name.to_owned(), head, unread, time_ms, role }
}

fn sign_in(server: &Server, name: &str, device: &str) -> Raw {
    let mut raw = Raw::connect(server.address);
    raw.capabilities = CAPABILITY_INBOX;
    raw.hello(&format!("dev:{name}"), device);
    raw.next_where(|frame| matches!(frame, ServerFrame::Welcome(_)));
    raw
}

/// The frames of one whole inbox.
fn inbox(raw: &mut Raw) -> Vec<Vec<Seen>> {
    let mut frames = Vec::new();
    loop {
        let frame = raw.next_where(|frame| matches!(frame, ServerFrame::Inbox(_)));
        let ServerFrame::Inbox(inbox) = frame.get() else { unreachable!("it was asked for") };
        frames.push(inbox.entries.iter().map(seen).collect());
        if inbox.complete {
            return frames;
        }
    }
}

/// Publishes and waits until all is acknowledged.
fn publish(raw: &mut Raw, room: &str, from: u64, count: u64) {
    for client_sequence in from..from + count {
        raw.publish(room, client_sequence, b"hello");
    }
    for _ in 0..count {
        raw.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
    }
}

/// Waits until everything that was asked before is done.
fn settle(raw: &mut Raw) {
    raw.frame(|encoder, out| Ping { token: 5 }.encode(encoder, out));
    raw.next_where(|frame| matches!(frame, ServerFrame::Pong(_)));
}

#[test]
fn everything_is_listed_once_and_newest_first_after_any_start() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &["--driver", driver, "--shards", "2"]);
        let rooms: Vec<String> = (0..300).map(|i| format!("room-{i}")).collect();
        let mut bob = Raw::sign_in(server.address, "bob");
        let mut ada = Raw::sign_in(server.address, "ada");
        for room in &rooms {
            ada.join(room);
            bob.join(room);
        }
        drop(ada);
        // In an order of its own, and in some of them.
        let mut unread = BTreeMap::new();
        for (nth, room) in rooms.iter().enumerate().filter(|(nth, _)| nth % 3 == 0).rev() {
            let count = 1 + nth as u64 % 4;
            publish(&mut bob, room, 1, count);
            unread.insert(room.clone(), count);
        }
        let check = |frames: Vec<Vec<Seen>>| {
            assert!(frames.len() > 1 && frames.iter().all(|frame| frame.len() <= 128), "bounded frames");
            let all: Vec<Seen> = frames.into_iter().flatten().collect();
            let mut names: Vec<&str> = all.iter().map(|entry| &*entry.name).collect();
            assert!(all.is_sorted_by(|one, other| one.time_ms >= other.time_ms), "newest first");
            names.sort_unstable();
            names.dedup();
            assert_eq!((names.len(), all.len()), (300, 300), "each once");
            for entry in &all {
                // Who joined first read everything up to there; bob's joining came after that.
                let expected = 1 + unread.get(&entry.name).copied().unwrap_or(0);
                assert_eq!((entry.unread, entry.head), (expected, 1 + expected), "{}", entry.name);
                assert_eq!(entry.role, Role::Owner, "{}", entry.name);
            }
            all
        };
        let before = check(inbox(&mut sign_in(&server, "ada", "phone")));
        server.kill();
        for shards in SHARDS {
            let server = Server::start(data.path(), &["--driver", driver, "--shards", shards]);
            assert_eq!(check(inbox(&mut sign_in(&server, "ada", "phone"))), before, "{shards} shards");
            assert_eq!(inbox(&mut sign_in(&server, "nobody", "phone")), [vec![]], "nothing is an answer");
            server.kill();
        }
    }
}

#[test]
fn what_changes_is_told_and_what_was_read_is_read_everywhere() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &["--driver", driver, "--shards", "3"]);
        let mut phone = sign_in(&server, "ada", "phone");
        assert_eq!(inbox(&mut phone), [vec![]]);
        // Another device joins: the first one learns of it without asking.
        let mut laptop = Raw::sign_in_on(server.address, "ada", "laptop");
        for room in ["one", "two", "three"] {
            laptop.join(room);
            let frames = inbox(&mut phone);
            assert_eq!(frames.concat().iter().map(|entry| &*entry.name).collect::<Vec<_>>(), [room]);
        }
        // Times are milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        publish(&mut laptop, "two", 1, 9);
        let conversation = ConversationId::from_name("two");
        laptop.frame(|encoder, out| Read { conversation, sequence: 7 }.encode(encoder, out));
        // Cursors are written once a second at most.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let conversation = ConversationId::from_name("one");
        laptop.frame(|encoder, out| Leave { request: 3, conversation }.encode(encoder, out));
        laptop.next_where(|frame| matches!(frame, ServerFrame::Done(done) if done.request == 3));
        settle(&mut laptop);
        let all = inbox(&mut sign_in(&server, "ada", "tablet")).concat();
        let stand: Vec<_> = all.iter().map(|entry| (&*entry.name, entry.head, entry.unread)).collect();
        assert_eq!(stand, [("two", 10, 3), ("three", 1, 0)], "{driver}");
    }
}

#[test]
fn what_a_user_was_put_out_of_or_has_left_is_gone_from_every_open_inbox_at_once() {
    for shards in SHARDS {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &["--shards", shards]);
        let mut ada = Raw::sign_in(server.address, "ada");
        let mut bob = Raw::sign_in(server.address, "bob");
        for room in ["one", "two", "three"] {
            ada.join(room);
            bob.join(room);
        }
        // Two sessions that receive no conversation, only the inbox; and one that wants none.
        let mut open = [sign_in(&server, "bob", "phone"), sign_in(&server, "bob", "tablet")];
        for raw in &mut open {
            assert_eq!(inbox(raw).concat().len(), 3);
        }
        let change = Change {
            request: 3,
            conversation: ConversationId::from_name("two"),
            user: UserId::from_name("bob"),
            action: Action::Removed,
            role: Role::Reader,
            name: "bob",
        };
        ada.ask(|encoder, out| change.encode(encoder, out));
        let leave = Leave { request: 4, conversation: ConversationId::from_name("one") };
        bob.ask(|encoder, out| leave.encode(encoder, out));
        for raw in &mut open {
            let gone = [next_entry(raw), next_entry(raw)];
            let mut gone = gone.map(|(conversation, head)| {
                assert_eq!(head, 0, "it names what is gone");
                conversation
            });
            gone.sort_unstable();
            let mut expected = ["one", "two"].map(ConversationId::from_name);
            expected.sort_unstable();
            assert_eq!(gone, expected);
        }
        // Let in again, it is there again.
        ada.ask(|encoder, out| {
            Change { action: Action::Added, role: Role::Member, ..change }.encode(encoder, out)
        });
        for raw in &mut open {
            let (conversation, head) = next_entry(raw);
            assert!(conversation == ConversationId::from_name("two") && head > 0);
        }
    }
}

/// The next news of one conversation: which, and its head.
fn next_entry(raw: &mut Raw) -> (ConversationId, u64) {
    let frame = raw.next_where(|frame| matches!(frame, ServerFrame::Inbox(_)));
    let ServerFrame::Inbox(inbox) = frame.get() else { unreachable!("it was asked for") };
    let mut entries = inbox.entries.iter();
    let entry = entries.next().expect("news have an entry");
    assert!(entries.next().is_none() && inbox.complete);
    (entry.conversation, entry.head)
}
