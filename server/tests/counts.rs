//! Counts over the wire: how many members are there, and how far they are, for who asked, with one shard and with two.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{
    Action, Change, Counts, Delivered, Leave, Ping, Read, Role, ServerFrame, WatchCounts,
};
use support::{Raw, Server};

const ROOM: &str = "stadium";

fn room() -> ConversationId {
    ConversationId::from_name(ROOM)
}

/// Runs the test with one shard and with two; rooms of two are large already.
fn with_shards(test: impl Fn(&Server)) {
    for shards in ["1", "2"] {
        let data = tempfile::tempdir().unwrap();
        test(&Server::start(data.path(), &["--shards", shards, "--set", "fanout.push_below=2"]));
    }
}

fn member(server: &Server, name: &str) -> Raw {
    let mut raw = Raw::sign_in(server.address, name);
    raw.join(ROOM);
    raw
}

/// Asks for the counts of a conversation, or for no more; the refusal, if there is one.
fn watch(raw: &mut Raw, conversation: ConversationId, active: bool) -> Option<Code> {
    let answer =
        raw.ask(|encoder, out| WatchCounts { request: 9, conversation, active }.encode(encoder, out));
    match answer.get() {
        ServerFrame::Done(done) => {
            assert_eq!(done.request, 9);
            None
        }
        ServerFrame::Reject(reject) => Some(reject.code),
        other => panic!("an answer, not {other:?}"),
    }
}

/// Reads until the counts are these: who is online, who has got and who has read everything.
fn expect(raw: &mut Raw, online: u32, delivered: u32, read: u32) -> Counts {
    loop {
        let frame = raw.next_where(|frame| matches!(frame, ServerFrame::Counts(_)));
        let ServerFrame::Counts(counts) = frame.get() else { unreachable!("it was asked for") };
        assert_eq!(counts.conversation, room());
        if (counts.online, counts.delivered, counts.read) == (online, delivered, read) {
            return counts;
        }
    }
}

/// The counts that came before the answer to a ping.
fn until_pong(raw: &mut Raw) -> Vec<Counts> {
    raw.frame(|encoder, out| Ping { token: 4711 }.encode(encoder, out));
    let mut before = Vec::new();
    loop {
        match raw.next().get() {
            ServerFrame::Pong(pong) if pong.token == 4711 => return before,
            ServerFrame::Counts(counts) => before.push(counts),
            _ => {}
        }
    }
}

#[test]
fn who_asks_is_told_how_many_are_there_and_how_far_they_are() {
    with_shards(|server| {
        let mut ada = member(server, "ada");
        let mut bob = member(server, "bob");
        let carol = member(server, "carol");
        assert_eq!(watch(&mut ada, room(), true), None);
        // Who joins has read everything up to there, so the last one has, and the others have not.
        expect(&mut ada, 3, 1, 1);
        drop(carol);
        expect(&mut ada, 2, 1, 1);
        bob.publish(ROOM, 1, b"goal");
        let sequence = expect(&mut ada, 2, 0, 0).sequence;
        let conversation = room();
        ada.frame(|encoder, out| Delivered { conversation, sequence }.encode(encoder, out));
        expect(&mut ada, 2, 1, 0);
        bob.frame(|encoder, out| Read { conversation, sequence }.encode(encoder, out));
        expect(&mut ada, 2, 2, 1);
        // Somebody else who asks is told at once how it stands.
        assert_eq!(watch(&mut bob, room(), true), None);
        expect(&mut bob, 2, 2, 1);
        // A second device of one who is there makes nobody more; the last one that goes makes one less.
        let tablet = Raw::sign_in_on(server.address, "bob", "tablet");
        let _carol = Raw::sign_in(server.address, "carol");
        expect(&mut ada, 3, 2, 1);
        drop(tablet);
        std::thread::sleep(Duration::from_millis(2500));
        assert!(until_pong(&mut ada).is_empty(), "nothing has changed");
        // Who wants no more gets no more.
        until_pong(&mut bob);
        assert_eq!(watch(&mut bob, room(), false), None);
        ada.publish(ROOM, 1, b"another");
        expect(&mut ada, 3, 0, 0);
        assert!(until_pong(&mut bob).is_empty());
    });
}

#[test]
fn who_is_no_member_is_told_nothing_and_who_was_put_out_no_more() {
    with_shards(|server| {
        let mut ada = member(server, "ada");
        let mut bob = member(server, "bob");
        let mut eve = Raw::sign_in(server.address, "eve");
        assert_eq!(watch(&mut eve, room(), true), Some(Code::NOT_A_MEMBER));
        assert_eq!(watch(&mut eve, ConversationId::from_name("nowhere"), true), Some(Code::NOT_A_MEMBER));
        // One that receives nothing of the conversation, but its counts.
        let mut tablet = Raw::sign_in_on(server.address, "bob", "tablet");
        assert_eq!(watch(&mut tablet, room(), true), None);
        assert_eq!(watch(&mut bob, room(), true), None);
        expect(&mut tablet, 2, 1, 1);
        expect(&mut bob, 2, 1, 1);
        let (conversation, user) = (room(), UserId::from_name("bob"));
        let change =
            Change { request: 5, conversation, user, action: Action::Removed, role: Role::Reader, name: "" };
        ada.ask(|encoder, out| change.encode(encoder, out));
        for raw in [&mut bob, &mut tablet] {
            let frame = raw.next_where(|frame| matches!(frame, ServerFrame::Reject(_)));
            let ServerFrame::Reject(reject) = frame.get() else { unreachable!("it was asked for") };
            assert_eq!((reject.code, reject.conversation), (Code::NOT_A_MEMBER, room()));
        }
        assert_eq!(watch(&mut ada, room(), true), None);
        expect(&mut ada, 1, 0, 0);
        ada.publish(ROOM, 1, b"without bob");
        std::thread::sleep(Duration::from_millis(1500));
        assert!(until_pong(&mut bob).is_empty() && until_pong(&mut tablet).is_empty());
        assert_eq!(watch(&mut tablet, room(), true), Some(Code::NOT_A_MEMBER));
    });
}

#[test]
fn a_session_watches_so_many_counts_and_no_more_and_not_at_any_pace() {
    with_shards(|server| {
        let mut raw = Raw::sign_in(server.address, "mallory");
        let names: Vec<String> = (0..66).map(|number| format!("room-{number}")).collect();
        for name in &names {
            raw.join(name);
        }
        let ids: Vec<ConversationId> = names.iter().map(|name| ConversationId::from_name(name)).collect();
        for id in &ids[..64] {
            assert_eq!(watch(&mut raw, *id, true), None);
        }
        let began = Instant::now();
        let mut codes: Vec<Option<Code>> = ids[64..].iter().map(|id| watch(&mut raw, *id, true)).collect();
        codes.extend((0..40).map(|_| watch(&mut raw, ids[0], true)));
        let limited = codes.iter().filter(|code| **code == Some(Code::RATE_LIMITED)).count();
        let taken = codes.len() - limited;
        let allowed = 2 + began.elapsed().as_millis() as usize / 250;
        assert!(taken <= allowed, "{taken} of {} taken in {:?}", codes.len(), began.elapsed());
        // When it may ask again, there are too many; one less, and there is room.
        std::thread::sleep(Duration::from_millis(1200));
        assert_eq!(watch(&mut raw, ids[65], true), Some(Code::TOO_MANY_WATCHED));
        assert_eq!(watch(&mut raw, ids[3], false), None);
        assert_eq!(watch(&mut raw, ids[65], true), None);
        // Who has left is told no more, and has room again.
        let conversation = ids[65];
        let left = raw.ask(|encoder, out| Leave { request: 7, conversation }.encode(encoder, out));
        assert!(matches!(left.get(), ServerFrame::Done(_) | ServerFrame::Reject(_)));
    });
}

/// One line of the metrics, added up over shards.
fn metric(server: &Server, name: &str) -> u64 {
    let mut stream = TcpStream::connect(server.plane.unwrap()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let values = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
    values.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

/// How many: `RINGWIRE_CROWD`, else few enough for every test run.
fn crowd_size() -> u32 {
    std::env::var("RINGWIRE_CROWD").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[test]
fn what_a_crowd_costs_does_not_grow_with_its_pairs() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--shards", "2", "--set", "fanout.push_below=2"]);
    let count = crowd_size();
    let mut crowd: Vec<Raw> = (0..count).map(|number| member(&server, &format!("fan-{number}"))).collect();
    for raw in &mut crowd {
        assert_eq!(watch(raw, room(), true), None);
    }
    expect(&mut crowd[0], count, 1, 1);
    // Members who are not there, and will come and go.
    for number in 0..20 {
        drop(member(&server, &format!("guest-{number}")));
    }
    std::thread::sleep(Duration::from_millis(1500));
    let letters = metric(&server, "ringwire_counts_letters_total");
    let frames = metric(&server, "ringwire_counts_frames_total");
    let began = Instant::now();
    let (mut cursors, mut said) = (0, 0);
    while began.elapsed() < Duration::from_secs(4) {
        // Members come and go, somebody says something, and everybody reads it.
        let _coming: Vec<Raw> =
            (0..20).map(|number| Raw::sign_in(server.address, &format!("guest-{number}"))).collect();
        said += 1;
        crowd[0].publish(ROOM, said, b"goal");
        let ack = crowd[0].next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
        let ServerFrame::Ack(ack) = ack.get() else { unreachable!("it was asked for") };
        let (conversation, sequence) = (room(), ack.sequence);
        for raw in &mut crowd {
            raw.frame(|encoder, out| Read { conversation, sequence }.encode(encoder, out));
            cursors += 1;
        }
    }
    loop {
        let frame = crowd[0].next_where(|frame| matches!(frame, ServerFrame::Counts(_)));
        let ServerFrame::Counts(counts) = frame.get() else { unreachable!("it was asked for") };
        if (counts.read, counts.delivered) == (count, count) {
            break;
        }
    }
    let seconds = began.elapsed().as_secs() + 1;
    let letters = metric(&server, "ringwire_counts_letters_total") - letters;
    let frames = metric(&server, "ringwire_counts_frames_total") - frames;
    println!(
        "{count} members who watch, {cursors} cursors in {seconds} s: {letters} letters, {frames} frames"
    );
    assert!(cursors >= count && letters > 2, "{cursors} {letters}");
    // From two homes to the owner, and from the owner to two shards.
    assert!(letters <= 4 * (seconds + 1), "{letters} letters in {seconds} s");
    assert!(frames <= u64::from(count) * (seconds + 1), "{frames} frames in {seconds} s");
}
