//! The life of conversations on the wire: members come, change and go; messages are edited, deleted and reacted to;
//! cursors move; and all of it is as it was after a kill, with another number of shards.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::path::Path;
use std::process::Command;

use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{
    Action, Change, Create, Delivered, Direction, Fetch, Join, Kind, Leave, Member, Members, Mute, Open,
    Read, ReceiptKind, Role, ServerFrame, View,
};
use support::{DRIVERS, Raw, Server};

fn id(name: &str) -> UserId {
    UserId::from_name(name)
}

fn room() -> ConversationId {
    ConversationId::from_name("room")
}

fn create(raw: &mut Raw, members: &[(&str, Role)]) {
    let members: Vec<Member<'_>> =
        members.iter().map(|(name, role)| Member { user: id(name), name, role: *role }).collect();
    let create = Create { request: 1, name: "room", members: (&members[..]).into() };
    let answer = raw.ask(|encoder, out| create.encode(encoder, out));
    assert!(matches!(answer.get(), ServerFrame::Joined(joined) if joined.role == Role::Owner));
}

fn open(raw: &mut Raw) -> support::Owned {
    let open = Open { request: 2, conversation: room(), after: 0 };
    raw.ask(|encoder, out| open.encode(encoder, out))
}

fn change(raw: &mut Raw, action: Action, user: &str, role: Role) -> u64 {
    let name = if action == Action::Added { user } else { "" };
    let change = Change { request: 3, conversation: room(), user: id(user), action, role, name };
    match raw.ask(|encoder, out| change.encode(encoder, out)).get() {
        ServerFrame::Done(done) => done.sequence,
        other => panic!("{other:?}"),
    }
}

fn verify(data: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringwire"))
        .args(["store", "verify", "--data"])
        .arg(data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn who_is_removed_gets_nothing_more_and_who_is_added_reads_all() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &["--driver", driver, "--shards", "3"]);
        let sign_in = |name: &str| Raw::sign_in(server.address, name);
        let [mut ada, mut bob, mut eve] = ["ada", "bob", "eve"].map(sign_in);
        create(&mut ada, &[("bob", Role::Member), ("eve", Role::Member)]);
        for raw in [&mut bob, &mut eve] {
            assert!(matches!(open(raw).get(), ServerFrame::Joined(joined) if joined.members_count == 3));
        }
        assert_eq!(change(&mut ada, Action::RoleChanged, "bob", Role::Admin), 4);
        assert_eq!(change(&mut bob, Action::Added, "eve", Role::Member), 0, "she is in already");
        // Fetches under way when the removal comes: answered before it, or refused.
        for _ in 0..3 {
            let fetch = Fetch {
                request: 5,
                conversation: room(),
                from: 1,
                limit: 9,
                direction: Direction::Forward,
                view: View::Current,
            };
            eve.frame(|encoder, out| fetch.encode(encoder, out));
        }
        let removed = change(&mut bob, Action::Removed, "eve", Role::Reader);
        bob.say(room(), 1, Kind::Text, 0, b"she is gone").unwrap();
        // She hears of her removal, and nothing behind it.
        let mut heard = 0;
        loop {
            match eve.next().get() {
                ServerFrame::Message(message) => heard = message.sequence,
                ServerFrame::Page(page) => assert!(page.head <= removed),
                ServerFrame::Reject(reject) => {
                    assert_eq!(reject.code, Code::NOT_A_MEMBER);
                    if reject.request == 0 {
                        assert_eq!(reject.conversation, room());
                        break;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(heard, removed);
        let members = Members { request: 6, conversation: room(), after: UserId::ZERO, limit: 9 };
        let answer = eve.ask(|encoder, out| members.encode(encoder, out));
        assert!(matches!(answer.get(), ServerFrame::Reject(reject) if reject.code == Code::NOT_A_MEMBER));
        assert_eq!(eve.say(room(), 1, Kind::Text, 0, b"me?"), Err(Code::NOT_A_MEMBER));
        // Back in, she reads what was said while she was out.
        change(&mut ada, Action::Added, "eve", Role::Reader);
        assert!(matches!(open(&mut eve).get(), ServerFrame::Joined(joined) if joined.role == Role::Reader));
        let history = eve.history("room");
        assert!(history.iter().any(|(_, body, _)| body == b"she is gone"));
        // The owner hands over and goes.
        change(&mut ada, Action::RoleChanged, "bob", Role::Owner);
        let leave = Leave { request: 7, conversation: room() };
        let answer = ada.ask(|encoder, out| leave.encode(encoder, out));
        assert!(matches!(answer.get(), ServerFrame::Done(_)));
        let members = Members { request: 8, conversation: room(), after: UserId::ZERO, limit: 9 };
        let answer = bob.ask(|encoder, out| members.encode(encoder, out));
        let ServerFrame::MemberPage(page) = answer.get() else { panic!("{:?}", answer.get()) };
        let mut left: Vec<(String, Role)> =
            page.members.iter().map(|member| (member.name.to_owned(), member.role)).collect();
        left.sort();
        assert_eq!(left, [("bob".to_owned(), Role::Owner), ("eve".to_owned(), Role::Reader)]);
    }
}

#[test]
fn what_is_current_is_the_same_after_a_kill_with_other_shards() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let start = |shards: &str| Server::start(data.path(), &["--driver", driver, "--shards", shards]);
        let server = start("3");
        let mut ada = Raw::sign_in(server.address, "ada");
        let mut bob = Raw::sign_in(server.address, "bob");
        create(&mut ada, &[("bob", Role::Member)]);
        open(&mut bob);
        // Over two buckets of 256.
        let texts = 300u64;
        for n in 1..=texts {
            assert_eq!(ada.say(room(), n, Kind::Text, 0, format!("text {n}").as_bytes()), Ok(n + 2));
        }
        let place = |n: u64| n + 2;
        let mut next = texts;
        let mut say = |raw: &mut Raw, kind: Kind, n: u64, body: &[u8]| {
            next += 1;
            raw.say(room(), next, kind, place(n), body).unwrap()
        };
        say(&mut ada, Kind::Edit, 10, b"first edit");
        let edit = say(&mut ada, Kind::Edit, 10, b"second edit");
        say(&mut ada, Kind::Edit, 20, b"hidden");
        let delete = say(&mut ada, Kind::Delete, 20, b"");
        let late = say(&mut ada, Kind::Edit, 299, b"late");
        let mut bobs = 0;
        let mut react = |n: u64, body: &[u8]| {
            bobs += 1;
            bob.say(room(), bobs, Kind::Reaction, place(n), body).unwrap()
        };
        react(10, b"-");
        let reaction = react(10, b"+");
        react(11, b"+");
        react(11, b"");
        let expected_amendments = {
            let mut all = vec![
                (edit, Kind::Edit, place(10), b"second edit".to_vec()),
                (delete, Kind::Delete, place(20), Vec::new()),
                (late, Kind::Edit, place(299), b"late".to_vec()),
                (reaction, Kind::Reaction, place(10), b"+".to_vec()),
            ];
            all.sort_by_key(|(sequence, ..)| *sequence);
            all
        };
        let check = |raw: &mut Raw| {
            for limit in [256, 100, 7] {
                let (messages, mut amendments) = raw.current(room(), limit);
                let shown: Vec<u64> = messages.iter().map(|(sequence, ..)| *sequence).collect();
                let expected: Vec<u64> = (1..=texts + 2).filter(|sequence| *sequence != place(20)).collect();
                assert_eq!(shown, expected, "pages of {limit}");
                amendments.sort_by_key(|(sequence, ..)| *sequence);
                assert_eq!(amendments, expected_amendments, "pages of {limit}");
            }
            // The log is as it was.
            let raw_log = raw.history("room");
            assert!(raw_log.iter().any(|(_, body, _)| body == b"text 20"));
            assert_eq!(raw_log.len() as u64, texts + 2 + 9);
        };
        check(&mut bob);
        server.kill();
        verify(data.path());
        let server = start("2");
        let mut bob = Raw::sign_in(server.address, "bob");
        open(&mut bob);
        check(&mut bob);
        // Judged against the journal: nothing of it is in memory.
        assert_eq!(bob.say(room(), 5, Kind::Edit, place(10), b"mine now"), Err(Code::FORBIDDEN));
        assert_eq!(bob.say(room(), 5, Kind::Reaction, place(20), b"+"), Err(Code::BAD_REFERENCE));
        assert_eq!(server.terminate(), Some(0));
        verify(data.path());
        let server = start("1");
        let mut ada = Raw::sign_in(server.address, "ada");
        open(&mut ada);
        check(&mut ada);
    }
}

#[test]
fn receipts_tell_the_others_and_the_own_devices_and_survive_a_kill() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &["--driver", driver, "--shards", "2"]);
        let mut ada = Raw::sign_in(server.address, "ada");
        create(&mut ada, &[("bob", Role::Member)]);
        let mut bob = Raw::sign_in(server.address, "bob");
        let mut tablet = Raw::connect(server.address);
        tablet.hello("dev:bob", "bob's tablet");
        for raw in [&mut bob, &mut tablet] {
            open(raw);
        }
        for n in 1..=5 {
            ada.say(room(), n, Kind::Text, 0, b"text").unwrap();
        }
        let is_receipt = |frame: &ServerFrame<'_>| matches!(frame, ServerFrame::Receipt(_));
        let expect = |ada: &mut Raw, tablet: &mut Raw, kind: ReceiptKind, sequence: u64| {
            for raw in [ada, tablet] {
                let frame = raw.next_where(is_receipt);
                let ServerFrame::Receipt(receipt) = frame.get() else { unreachable!() };
                assert_eq!((receipt.user, receipt.kind, receipt.sequence), (id("bob"), kind, sequence));
            }
        };
        let delivered = |raw: &mut Raw, sequence| {
            let delivered = Delivered { conversation: room(), sequence };
            raw.frame(|encoder, out| delivered.encode(encoder, out));
        };
        let read = |raw: &mut Raw, sequence| {
            let read = Read { conversation: room(), sequence };
            raw.frame(|encoder, out| read.encode(encoder, out));
        };
        delivered(&mut bob, 6);
        expect(&mut ada, &mut tablet, ReceiptKind::Delivered, 6);
        // What goes back says nothing; of many within a second the last is told.
        delivered(&mut bob, 5);
        for sequence in 3..=7 {
            read(&mut bob, sequence);
        }
        expect(&mut ada, &mut tablet, ReceiptKind::Read, 7);
        let mute = Mute { request: 9, conversation: room(), until_ms: u64::MAX };
        assert!(matches!(bob.ask(|e, out| mute.encode(e, out)).get(), ServerFrame::Done(_)));
        server.kill();
        verify(data.path());
        let server = Server::start(data.path(), &["--driver", driver, "--shards", "3"]);
        let mut bob = Raw::sign_in(server.address, "bob");
        let answer = bob.ask(|encoder, out| Join { request: 1, name: "room" }.encode(encoder, out));
        assert!(matches!(answer.get(), ServerFrame::Joined(joined)
            if (joined.read, joined.delivered, joined.muted_until_ms) == (7, 7, u64::MAX)));
        read(&mut bob, 2);
        let mute = Mute { request: 9, conversation: room(), until_ms: 0 };
        assert!(matches!(bob.ask(|e, out| mute.encode(e, out)).get(), ServerFrame::Done(_)));
        assert!(matches!(open(&mut bob).get(), ServerFrame::Joined(joined)
            if (joined.read, joined.delivered, joined.muted_until_ms) == (7, 7, 0)));
    }
}
