//! What people may not do to each other's messages and conversations: refused with code and reason, on the wire,
//! and nothing of it is stored.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use ringwire::conversation::direct_name;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{
    Action, Change, Create, Delivered, Direct, Encoder, Fetch, Join, Kind, Leave, Member, Mute, Read, Role,
    ServerFrame, View,
};
use support::{DRIVERS, Raw, Server};

fn id(name: &str) -> UserId {
    UserId::from_name(name)
}

fn team() -> ConversationId {
    ConversationId::from_name("team")
}

/// A conversation with everybody in it, each signed in: owner, admin, member, reader, and a stranger to it.
struct Cast {
    server: Server,
    _data: tempfile::TempDir,
    owner: Raw,
    admin: Raw,
    member: Raw,
    reader: Raw,
    stranger: Raw,
}

impl Cast {
    fn new(driver: &str, extra: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut options = vec!["--driver", driver, "--shards", "2"];
        options.extend(extra);
        let server = Server::start(data.path(), &options);
        let sign_in = |name: &str| Raw::sign_in(server.address, name);
        let [mut owner, admin, member, reader, stranger] =
            ["owner", "admin", "member", "reader", "stranger"].map(sign_in);
        let members = [("admin", Role::Admin), ("member", Role::Member), ("reader", Role::Reader)]
            .map(|(name, role)| Member { user: id(name), name, role });
        let create = Create { request: 1, name: "team", members: (&members[..]).into() };
        let joined = owner.ask(|encoder, out| create.encode(encoder, out));
        assert!(
            matches!(joined.get(), ServerFrame::Joined(joined) if joined.head == 4),
            "{:?}",
            joined.get()
        );
        Cast { server, _data: data, owner, admin, member, reader, stranger }
    }

    /// What is stored of the conversation.
    fn log(&mut self) -> Vec<(u64, Vec<u8>, Kind)> {
        self.owner.history("team")
    }
}

fn on_both_drivers(extra: &[&str], story: impl Fn(Cast)) {
    for driver in DRIVERS {
        story(Cast::new(driver, extra));
    }
}

/// The code of a refusal, which has a reason; and that it answers this request.
fn refused(answer: &support::Owned, request: u32) -> Code {
    match answer.get() {
        ServerFrame::Reject(reject) => {
            assert_eq!(reject.request, request);
            assert!(!reject.reason.is_empty());
            reject.code
        }
        other => panic!("this was not refused: {other:?}"),
    }
}

/// What it is, who does it, and what: kind, reference and body; and the code that must come back.
type Case<'a> = (&'a str, &'a str, Kind, u64, &'a [u8], Code);

#[test]
fn amendments_that_may_not_be_are_refused_and_nothing_is_stored() {
    on_both_drivers(&[], |mut cast| {
        let text = cast.member.say(team(), 1, Kind::Text, 0, b"mine").unwrap();
        let application = cast.member.say(team(), 2, Kind::Application, 0, b"data").unwrap();
        let reaction = cast.admin.say(team(), 1, Kind::Reaction, text, b"+").unwrap();
        let gone = cast.owner.say(team(), 1, Kind::Text, 0, b"said too much").unwrap();
        cast.owner.say(team(), 2, Kind::Delete, gone, b"").unwrap();
        let before = cast.log();
        let joining = 1;
        let long = vec![b'x'; 1025];
        let cases: &[Case<'_>] = &[
            ("an edit of another's message", "admin", Kind::Edit, text, b"yours", Code::FORBIDDEN),
            ("an edit by the owner", "owner", Kind::Edit, text, b"yours", Code::FORBIDDEN),
            ("a reader who reacts", "reader", Kind::Reaction, text, b"+", Code::FORBIDDEN),
            ("a reaction to nothing", "member", Kind::Reaction, 1_000, b"+", Code::BAD_REFERENCE),
            ("a reaction to a joining", "member", Kind::Reaction, joining, b"+", Code::BAD_REFERENCE),
            ("a reaction to a reaction", "member", Kind::Reaction, reaction, b"+", Code::BAD_REFERENCE),
            ("a delete of a reaction", "admin", Kind::Delete, reaction, b"", Code::BAD_REFERENCE),
            ("an edit of application data", "member", Kind::Edit, application, b"x", Code::BAD_REFERENCE),
            ("a reaction to what is gone", "member", Kind::Reaction, gone, b"+", Code::BAD_REFERENCE),
            ("an edit of what is gone", "owner", Kind::Edit, gone, b"again", Code::BAD_REFERENCE),
            ("a second delete", "owner", Kind::Delete, gone, b"", Code::BAD_REFERENCE),
            ("a reaction of 1,025 bytes", "owner", Kind::Reaction, text, &long, Code::BODY_TOO_LARGE),
            ("a change of members by hand", "owner", Kind::Membership, 0, b"", Code::KIND_FORBIDDEN),
        ];
        for (what, who, kind, reference, body, code) in cases {
            let (actor, next) = match *who {
                "owner" => (&mut cast.owner, 3),
                "admin" => (&mut cast.admin, 2),
                "member" => (&mut cast.member, 3),
                _ => (&mut cast.reader, 1),
            };
            assert_eq!(actor.say(team(), next, *kind, *reference, body), Err(*code), "{what}");
        }
        let deleted_by_member = cast.owner.say(team(), 3, Kind::Text, 0, b"the owner's").unwrap();
        assert_eq!(
            cast.member.say(team(), 3, Kind::Delete, deleted_by_member, b""),
            Err(Code::FORBIDDEN),
            "a delete of another's message by a member"
        );
        let after = cast.log();
        assert_eq!(after[..before.len()], before[..]);
        assert_eq!(after.len(), before.len() + 1);
        // A refused number was not used: the next message has it.
        assert!(cast.member.say(team(), 3, Kind::Edit, text, b"mine, mended").is_ok());
        assert!(cast.admin.say(team(), 2, Kind::Delete, text, b"").is_ok(), "an admin deletes a member's");
    });
}

#[test]
fn changes_of_members_that_may_not_be_are_refused_and_nothing_is_stored() {
    on_both_drivers(&[], |mut cast| {
        let before = cast.log();
        use Action::{Added, Removed, RoleChanged};
        let cases: &[(&str, Action, &str, Role, Code)] = &[
            ("reader", Added, "friend", Role::Reader, Code::FORBIDDEN),
            ("reader", RoleChanged, "reader", Role::Owner, Code::FORBIDDEN),
            ("member", Removed, "reader", Role::Reader, Code::FORBIDDEN),
            ("admin", Removed, "owner", Role::Reader, Code::FORBIDDEN),
            ("admin", RoleChanged, "owner", Role::Member, Code::FORBIDDEN),
            ("admin", RoleChanged, "admin", Role::Owner, Code::FORBIDDEN),
            ("admin", Added, "friend", Role::Owner, Code::FORBIDDEN),
            ("owner", RoleChanged, "owner", Role::Admin, Code::LAST_OWNER),
            ("owner", Removed, "owner", Role::Reader, Code::LAST_OWNER),
            ("owner", RoleChanged, "friend", Role::Member, Code::NO_SUCH_USER),
            ("stranger", Added, "stranger", Role::Owner, Code::NOT_A_MEMBER),
            ("stranger", Removed, "reader", Role::Reader, Code::NOT_A_MEMBER),
        ];
        for (request, (who, action, target, role, code)) in (10..).zip(cases) {
            let actor = match *who {
                "owner" => &mut cast.owner,
                "admin" => &mut cast.admin,
                "member" => &mut cast.member,
                "reader" => &mut cast.reader,
                _ => &mut cast.stranger,
            };
            let change = Change {
                request,
                conversation: team(),
                user: id(target),
                action: *action,
                role: *role,
                name: if *action == Added { target } else { "" },
            };
            let answer = actor.ask(|encoder, out| change.encode(encoder, out));
            assert_eq!(refused(&answer, request), *code, "{who} {action:?} {target}");
        }
        let leave = Leave { request: 50, conversation: team() };
        let answer = cast.owner.ask(|encoder, out| leave.encode(encoder, out));
        assert_eq!(refused(&answer, 50), Code::LAST_OWNER);
        let create = Create { request: 51, name: "team", members: Default::default() };
        let answer = cast.stranger.ask(|encoder, out| create.encode(encoder, out));
        assert_eq!(refused(&answer, 51), Code::CONVERSATION_EXISTS);
        let nameless = [Member { user: id("friend"), name: "", role: Role::Member }];
        let create = Create { request: 52, name: "other", members: (&nameless[..]).into() };
        let answer = cast.stranger.ask(|encoder, out| create.encode(encoder, out));
        assert_eq!(refused(&answer, 52), Code::NAME_INVALID);
        let mute = Mute { request: 53, conversation: team(), until_ms: 1 };
        let answer = cast.stranger.ask(|encoder, out| mute.encode(encoder, out));
        assert_eq!(refused(&answer, 53), Code::NOT_A_MEMBER);
        assert_eq!(cast.log(), before);
    });
}

#[test]
fn cursors_beyond_the_head_are_refused_and_not_kept() {
    on_both_drivers(&[], |mut cast| {
        let conversation = team();
        let ask = |raw: &mut Raw, write: &dyn Fn(&mut Encoder, &mut Vec<u8>)| {
            raw.frame(write);
            let answer = raw.next_where(|frame| matches!(frame, ServerFrame::Reject(_)));
            assert!(matches!(answer.get(), ServerFrame::Reject(reject) if reject.conversation == team()));
            refused(&answer, 0)
        };
        let read = Read { conversation, sequence: 5 };
        assert_eq!(ask(&mut cast.member, &|e, out| read.encode(e, out)), Code::CURSOR_BEYOND_HEAD);
        let delivered = Delivered { conversation, sequence: u64::MAX };
        assert_eq!(ask(&mut cast.member, &|e, out| delivered.encode(e, out)), Code::CURSOR_BEYOND_HEAD);
        let read = Read { conversation, sequence: 1 };
        assert_eq!(ask(&mut cast.stranger, &|e, out| read.encode(e, out)), Code::NOT_A_MEMBER);
        let answer = cast.member.ask(|encoder, out| Join { request: 2, name: "team" }.encode(encoder, out));
        // Who is added has read what was before: the entry that says so is its first.
        assert!(matches!(answer.get(), ServerFrame::Joined(joined)
            if joined.read == 3 && joined.delivered == 3 && joined.muted_until_ms == 0));
    });
}

#[test]
fn a_direct_conversation_is_of_its_two_and_nobody_else() {
    on_both_drivers(&[], |mut cast| {
        let direct = Direct { request: 7, user: id("admin"), name: "admin" };
        let joined = cast.owner.ask(|encoder, out| direct.encode(encoder, out));
        let name = direct_name(id("owner"), id("admin"));
        let conversation = ConversationId::from_name(&name);
        assert!(matches!(joined.get(), ServerFrame::Joined(joined)
            if joined.conversation == conversation && joined.name == name && joined.members_count == 2));
        // The other one asks for the same, and is in the same.
        let back = Direct { request: 8, user: id("owner"), name: "owner" };
        let joined = cast.admin.ask(|encoder, out| back.encode(encoder, out));
        assert!(matches!(joined.get(), ServerFrame::Joined(joined)
            if joined.conversation == conversation && joined.head == 2));
        cast.owner.say(conversation, 1, Kind::Text, 0, b"between us").unwrap();
        // A third one by its name, by its id, and by the help of one of the two.
        let by_name = cast.stranger.ask(|e, out| Join { request: 3, name: &name }.encode(e, out));
        assert_eq!(refused(&by_name, 3), Code::NOT_A_MEMBER);
        let direction = ringwire_protocol::message::Direction::Backward;
        let fetch = Fetch { request: 4, conversation, from: 9, limit: 9, direction, view: View::Current };
        let by_id = cast.stranger.ask(|encoder, out| fetch.encode(encoder, out));
        assert_eq!(refused(&by_id, 4), Code::NOT_A_MEMBER);
        let by_help = Change {
            request: 5,
            conversation,
            user: id("stranger"),
            action: Action::Added,
            role: Role::Member,
            name: "stranger",
        };
        let answer = cast.owner.ask(|encoder, out| by_help.encode(encoder, out));
        assert_eq!(refused(&answer, 5), Code::DIRECT_FIXED);
        let leave = Leave { request: 6, conversation };
        let answer = cast.owner.ask(|encoder, out| leave.encode(encoder, out));
        assert_eq!(refused(&answer, 6), Code::DIRECT_FIXED);
        // By another door: a group of that name, and a pair that is none.
        let other = direct_name(id("owner"), id("reader"));
        let create = Create { request: 9, name: &other, members: Default::default() };
        let answer = cast.stranger.ask(|encoder, out| create.encode(encoder, out));
        assert_eq!(refused(&answer, 9), Code::NAME_INVALID);
        let answer = cast.stranger.ask(|e, out| Join { request: 10, name: &other }.encode(e, out));
        assert_eq!(refused(&answer, 10), Code::NOT_A_MEMBER);
        for user in [id("owner"), UserId::ZERO] {
            let alone = Direct { request: 11, user, name: "me" };
            let answer = cast.owner.ask(|encoder, out| alone.encode(encoder, out));
            assert_eq!(refused(&answer, 11), Code::BAD_VALUE);
        }
        assert_eq!(cast.owner.history(&name).len(), 3);
    });
}

#[test]
fn a_full_conversation_takes_nobody_more() {
    on_both_drivers(&["--set", "limits.members=4"], |mut cast| {
        let before = cast.log();
        let change = Change {
            request: 5,
            conversation: team(),
            user: id("stranger"),
            action: Action::Added,
            role: Role::Reader,
            name: "stranger",
        };
        let answer = cast.owner.ask(|encoder, out| change.encode(encoder, out));
        assert_eq!(refused(&answer, 5), Code::TOO_MANY_MEMBERS);
        let answer = cast.stranger.ask(|e, out| Join { request: 6, name: "team" }.encode(e, out));
        assert_eq!(refused(&answer, 6), Code::TOO_MANY_MEMBERS);
        let names: Vec<String> = (0..4).map(|n| format!("friend-{n}")).collect();
        let members: Vec<Member<'_>> =
            names.iter().map(|name| Member { user: id(name), name, role: Role::Member }).collect();
        let create = Create { request: 7, name: "crowd", members: (&members[..]).into() };
        let answer = cast.stranger.ask(|encoder, out| create.encode(encoder, out));
        assert_eq!(refused(&answer, 7), Code::TOO_MANY_MEMBERS);
        let answer = cast.stranger.ask(|e, out| Join { request: 8, name: "crowd" }.encode(e, out));
        assert!(matches!(answer.get(), ServerFrame::Joined(joined) if joined.head == 1), "nothing was there");
        assert_eq!(cast.log(), before);
    });
}

/// A publish has no sender: the bytes that two users send are the same, and who sent them is who the token says.
#[test]
fn a_sender_cannot_be_forged() {
    on_both_drivers(&[], |cast| {
        let Cast { server, mut owner, mut admin, mut member, .. } = cast;
        // Only what comes after the answer is live.
        member.join("team");
        for raw in [&mut owner, &mut admin] {
            raw.publish("team", 1, b"who am I?");
        }
        let mut senders = Vec::new();
        while senders.len() < 2 {
            let frame = member.next_where(
                |frame| matches!(frame, ServerFrame::Message(message) if message.kind == Kind::Text),
            );
            let ServerFrame::Message(message) = frame.get() else { unreachable!() };
            assert_eq!(message.body, b"who am I?");
            senders.push(message.sender);
        }
        senders.sort_unstable();
        let mut expected = [id("owner"), id("admin")];
        expected.sort_unstable();
        assert_eq!(senders, expected);
        drop(server);
    });
}
