//! Retention: old messages are given up with the files that they are in, and nothing else is: not what is kept, not
//! who is a member, not what was published, not how far anybody is. Whatever the number of shards, and wherever the
//! process is killed.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringwire_client::{Client, Gap, GapCause, Missing, Start, Update};
use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{CAPABILITY_INBOX, Direction, Fetch, Kind, Open, Read, ServerFrame, View};
use support::{PATIENCE, Raw, Server};

const ROOM: &str = "town square";
const KEPT: u64 = 40;

/// Every journal file holds about forty messages of this size.
static BODY: [u8; 24 * 1024] = [b'x'; 24 * 1024];

fn room() -> ConversationId {
    ConversationId::from_name(ROOM)
}

fn start(data: &Path, shards: &str) -> Server {
    let set = ["store.segment=1 MiB", "retention.group_messages=40", "retention.sweep=1s"];
    let set = set.iter().flat_map(|set| ["--set", set]);
    Server::start(data, &["--shards", shards].into_iter().chain(set).collect::<Vec<_>>())
}

/// The first sequence that is kept, and the head.
fn joined(raw: &mut Raw) -> (u64, u64) {
    let conversation = room();
    let answer = raw.ask(|encoder, out| Open { request: 5, conversation, after: 0 }.encode(encoder, out));
    let ServerFrame::Joined(joined) = answer.get() else { panic!("{:?}", answer.get()) };
    (joined.first, joined.head)
}

/// Publishes so many and waits for their acknowledgements; the sequence of the last.
fn publish(raw: &mut Raw, from: u64, count: u64) -> u64 {
    let mut last = 0;
    for client_sequence in from..from + count {
        raw.publish(ROOM, client_sequence, &BODY);
        let ack = raw.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
        let ServerFrame::Ack(ack) = ack.get() else { unreachable!("it was asked for") };
        last = ack.sequence;
    }
    last
}

/// Everything from 1 on, forward: the gap that is told, if one is, and the sequences.
fn read_all(raw: &mut Raw) -> (Option<(u64, u64)>, Vec<u64>) {
    let (mut gap, mut sequences, mut from) = (None, Vec::new(), 1);
    loop {
        let fetch = Fetch {
            request: 9,
            conversation: room(),
            from,
            limit: 256,
            direction: Direction::Forward,
            view: View::Raw,
        };
        raw.frame(|encoder, out| fetch.encode(encoder, out));
        loop {
            let frame = raw.next_where(|frame| matches!(frame, ServerFrame::Gap(_) | ServerFrame::Page(_)));
            match frame.get() {
                // More may go while it is read: then what was read before has gone, too.
                ServerFrame::Gap(told) => {
                    assert_eq!(
                        (told.cause, told.from),
                        (GapCause::Expired, from),
                        "the next that was asked for"
                    );
                    (gap, from) = (Some((1, told.to)), told.to + 1);
                    sequences.clear();
                }
                ServerFrame::Page(page) => {
                    // One that was given up while it was read has nothing in it.
                    if !page.frames.is_empty() {
                        sequences.extend(page.from..=page.to);
                    }
                    from = page.to + 1;
                    if page.complete {
                        return (gap, sequences);
                    }
                    break;
                }
                other => unreachable!("{other:?} was not asked for"),
            }
        }
    }
}

fn wait_until_expired(raw: &mut Raw, more_than: u64) -> (u64, u64) {
    let since = Instant::now();
    loop {
        let (first, head) = joined(raw);
        if first > more_than {
            return (first, head);
        }
        assert!(since.elapsed() < PATIENCE, "nothing was given up: {first} of {head}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn journal_bytes(data: &Path) -> u64 {
    let entries = std::fs::read_dir(data.join("journal")).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn verify(data: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringwire"))
        .args(["store", "verify", "--data"])
        .arg(data)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_beyond_retention_goes_and_nothing_else_does() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path(), "1");
    let mut ada = Raw::sign_in(server.address, "ada");
    let mut bob = Raw::sign_in(server.address, "bob");
    ada.join(ROOM);
    bob.join(ROOM);
    let conversation = room();
    bob.frame(|encoder, out| Read { conversation, sequence: 2 }.encode(encoder, out));
    publish(&mut ada, 1, 200);
    let before = journal_bytes(data.path());
    let (first, head) = wait_until_expired(&mut ada, 100);
    // Two joined, two hundred were written; forty are kept at least, and less than two files more.
    assert_eq!(head, 202);
    assert!(first <= head - KEPT + 1 && first > head - KEPT - 100, "{first}");
    let since = Instant::now();
    while journal_bytes(data.path()) > before - 2 * (1 << 20) {
        assert!(since.elapsed() < PATIENCE, "the disk has no room back: {before}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let check = |server: &Server, least: u64| {
        let mut ada = Raw::sign_in(server.address, "ada");
        let (first, head) = joined(&mut ada);
        assert!(first >= least && head == 202, "{first} {head}");
        let (gap, sequences) = read_all(&mut ada);
        assert_eq!((gap, sequences), (Some((1, first - 1)), (first..=head).collect()));
        // Backward it ends with the first that is kept, and says that there is no more.
        let fetch = Fetch {
            request: 9,
            conversation,
            from: first,
            limit: 100,
            direction: Direction::Backward,
            view: View::Current,
        };
        ada.frame(|encoder, out| fetch.encode(encoder, out));
        let gap = ada.next_where(|frame| matches!(frame, ServerFrame::Gap(_)));
        let page = ada.next_where(|frame| matches!(frame, ServerFrame::Page(_)));
        let (ServerFrame::Gap(gap), ServerFrame::Page(page)) = (gap.get(), page.get()) else {
            unreachable!()
        };
        assert_eq!((gap.to, page.from, page.to, page.complete), (first - 1, first, first, true));
        // What was published is known, though it is not kept; what it says cannot be reacted to.
        ada.publish(ROOM, 200, &BODY);
        let ack = ada.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
        let ServerFrame::Ack(ack) = ack.get() else { unreachable!("it was asked for") };
        assert!(ack.duplicate && ack.sequence == 202, "{ack:?}");
        assert_eq!(ada.say(conversation, 201, Kind::Reaction, first - 1, b"+"), Err(Code::BAD_REFERENCE));
        // Who was let in by an entry that is gone is in, and has as many unread as there are to read.
        let mut bob = Raw::connect(server.address);
        bob.capabilities = CAPABILITY_INBOX;
        bob.hello("dev:bob", "tablet");
        let inbox = bob.next_where(|frame| matches!(frame, ServerFrame::Inbox(_)));
        let ServerFrame::Inbox(inbox) = inbox.get() else { unreachable!("it was asked for") };
        let entry = inbox.entries.iter().next().expect("bob is a member");
        assert_eq!((entry.head, entry.read, entry.unread), (head, 2, head - first + 1));
        first
    };
    let first = check(&server, first);
    server.kill();
    // Another number of shards; then a stop in good order, and one more.
    let server = start(data.path(), "2");
    let first = check(&server, first);
    assert_eq!(server.terminate(), Some(0));
    verify(data.path());
    let server = start(data.path(), "3");
    check(&server, first);
    let url = server.url();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let eve = Client::builder(url).token("dev:bob").connect().await.unwrap();
        let mut room = eve.join_from(ROOM, Start::After(10)).await.unwrap();
        let gap = loop {
            match room.next_update().await.unwrap() {
                Update::Gap(gap) => break gap,
                Update::Message(message) => panic!("{} before the gap", message.sequence),
                _ => {}
            }
        };
        let expected = gap.to + 1;
        assert_eq!(gap, Gap { from: 11, to: gap.to, cause: Missing::Server(GapCause::Expired) });
        for sequence in expected..=202 {
            assert_eq!(
                room.next_message().await.unwrap().sequence,
                sequence,
                "on behind the gap, without a hole"
            );
        }
    });
}

#[test]
fn a_few_messages_go_when_their_time_is_over() {
    let data = tempfile::tempdir().unwrap();
    let set = ["retention.group_age=4s", "retention.sweep=1s"].into_iter().flat_map(|set| ["--set", set]);
    let server = Server::start(data.path(), &["--shards", "2"].into_iter().chain(set).collect::<Vec<_>>());
    let mut ada = Raw::sign_in(server.address, "ada");
    ada.join(ROOM);
    let head = publish(&mut ada, 1, 3);
    let since = Instant::now();
    wait_until_expired(&mut ada, head);
    let after = since.elapsed();
    assert!(after > Duration::from_secs(3) && after < Duration::from_secs(20), "{after:?}");
    let (gap, sequences) = read_all(&mut ada);
    assert_eq!((gap, sequences), (Some((1, head)), Vec::new()));
    // The order goes on where it was, and who was in is in.
    assert_eq!(publish(&mut ada, 4, 1), head + 1);
    assert_eq!(read_all(&mut ada), (Some((1, head)), vec![head + 1]));
}

/// How many rounds: `RINGWIRE_KILL_ROUNDS`, else few enough for every test run.
fn rounds() -> u64 {
    std::env::var("RINGWIRE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[test]
fn kill_9_while_files_go_loses_nothing_that_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut before) = (0, 1);
    let firsts = AtomicU64::new(0);
    for round in 0..rounds() {
        let server = start(data.path(), ["1", "2", "3"][round as usize % 3]);
        let mut ada = Raw::sign_in(server.address, "ada");
        let (_, last) = ada.join(ROOM);
        let (first, head) = joined(&mut ada);
        assert!(
            head >= acknowledged,
            "round {round}: {acknowledged} was acknowledged, and {head} is the last"
        );
        assert!(first >= before, "round {round}: what was given up is back: {first} after {before}");
        assert!(first == 1 || first + KEPT <= head + 1, "round {round}: {first} of {head} was given up");
        firsts.fetch_add(u64::from(first > before), Ordering::Relaxed);
        before = first;
        let (gap, sequences) = read_all(&mut ada);
        assert!(
            sequences.iter().copied().eq(gap.map_or(1, |gap| gap.1 + 1)..=head),
            "round {round}: no hole"
        );
        let until = Instant::now() + Duration::from_millis(1100 + round * 137 % 900);
        let mut next = last + 1;
        while Instant::now() < until {
            acknowledged = publish(&mut ada, next, 1);
            next += 1;
        }
        server.kill();
    }
    assert!(firsts.load(Ordering::Relaxed) > 0, "nothing was ever given up");
    let server = start(data.path(), "2");
    assert_eq!(server.terminate(), Some(0));
    verify(data.path());
}
