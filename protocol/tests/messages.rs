//! What holds for every message.

#![allow(missing_docs, unreachable_pub, reason = "a test")]

mod samples;

use ringwire_protocol::fault::check_name;
use ringwire_protocol::frame::{self, Frame, FrameType, HEADER_BYTES};
use ringwire_protocol::limits::{self, FRAME_BYTES_MAX};
use ringwire_protocol::message::*;
use ringwire_protocol::{ConversationId, DeviceId, Fault, UserId};

/// The one frame in `bytes`.
fn only(bytes: &[u8]) -> Frame<'_> {
    let mut rest = bytes;
    let frame = frame::split(&mut rest, FRAME_BYTES_MAX).expect("valid frame").expect("one frame");
    assert!(rest.is_empty());
    frame
}

#[test]
fn every_type_has_a_sample_and_round_trips() {
    let mut encoder = Encoder::new();
    let mut seen = Vec::new();
    // Not empty and not aligned: an encoder appends, and disturbs nothing.
    let prefix = b"abc";
    samples::client(|sample| {
        let mut out = prefix.to_vec();
        sample.encode(&mut encoder, &mut out);
        let frame = only(out.strip_prefix(prefix).expect("untouched"));
        assert_eq!(ClientFrame::decode(frame), Ok(sample));
        assert_eq!(ServerFrame::decode(frame), Err(Fault::UnexpectedFrame { kind: sample.kind() }));
        assert!(frame.kind.is_to_server());
        seen.push(frame.kind);
    });
    samples::server(|sample| {
        let mut out = prefix.to_vec();
        sample.encode(&mut encoder, &mut out);
        let frame = only(out.strip_prefix(prefix).expect("untouched"));
        assert_eq!(ServerFrame::decode(frame), Ok(sample));
        assert_eq!(ClientFrame::decode(frame), Err(Fault::UnexpectedFrame { kind: sample.kind() }));
        assert!(!frame.kind.is_to_server());
        seen.push(frame.kind);
    });
    assert_eq!(seen, FrameType::ALL);
}

#[test]
fn membership_round_trips() {
    for membership in [samples::membership(), samples::direct_membership()] {
        let mut body = Vec::new();
        membership.encode(&mut Encoder::new(), &mut body);
        assert_eq!(Membership::decode(&body), Ok(membership));
    }
}

#[test]
fn fields_that_came_later_round_trip_and_cost_nothing_where_they_are_not_said() {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    samples::client_fields(|field, sample| {
        out.clear();
        sample.encode(&mut encoder, &mut out);
        assert_eq!(ClientFrame::decode(only(&out)), Ok(sample), "{field}");
    });
    samples::server_fields(|field, sample| {
        out.clear();
        sample.encode(&mut encoder, &mut out);
        assert_eq!(ServerFrame::decode(only(&out)), Ok(sample), "{field}");
        let ServerFrame::Page(page) = sample else { return };
        out.clear();
        Page { amendments: &[], ..page }.encode(&mut encoder, &mut out);
        let lean = out.len();
        out.clear();
        page.encode(&mut encoder, &mut out);
        assert!(out.len() > lean + page.amendments.len(), "the field is only there where it says something");
        assert_eq!(out.len() % 8, 0);
    });
}

#[test]
fn frames_are_multiples_of_eight_bytes() {
    let mut encoder = Encoder::new();
    for length in 0..40 {
        let body = vec![b'x'; length];
        let mut out = Vec::new();
        let publish = Publish {
            conversation: ConversationId::from_name("any"),
            client_sequence: 1,
            reference: 0,
            kind: Kind::Text,
            durability: Durability::Synced,
            body: &body,
        };
        publish.encode(&mut encoder, &mut out);
        assert_eq!(out.len() % 8, 0);
        assert_eq!(ClientFrame::decode(only(&out)), Ok(ClientFrame::Publish(publish)));
        out.clear();
        Join { request: 1, name: &"n".repeat(length) }.encode(&mut encoder, &mut out);
        assert_eq!(out.len() % 8, 0);
    }
    samples::client(|sample| {
        let mut out = Vec::new();
        sample.encode(&mut encoder, &mut out);
        assert_eq!(out.len() % 8, 0, "{sample:?}");
    });
}

#[test]
fn overheads_are_within_their_limits() {
    samples::server(|sample| {
        if let ServerFrame::Page(page) = sample {
            let mut out = Vec::new();
            Page { frames: b"12345", ..page }.encode(&mut Encoder::new(), &mut out);
            assert!(out.len() <= 5 + limits::PAGE_OVERHEAD_BYTES_MAX, "{}", out.len());
            for (frames, amendments) in (1..17).flat_map(|frames| (1..17).map(move |other| (frames, other))) {
                out.clear();
                let (frames, amendments) = (&[1; 16][..frames], &[2; 16][..amendments]);
                Page { frames, amendments, ..page }.encode(&mut Encoder::new(), &mut out);
                let around = out.len() - frames.len() - amendments.len();
                assert!(around <= limits::PAGE_OVERHEAD_BYTES_MAX, "{around}");
            }
        }
        if let ServerFrame::Message(message) = sample {
            for length in 0..16 {
                let mut out = Vec::new();
                Message { body: &[1; 16][..length], ..message }.encode(&mut Encoder::new(), &mut out);
                assert!(
                    out.len() <= length + limits::MESSAGE_OVERHEAD_BYTES_MAX,
                    "{} for {length}",
                    out.len()
                );
                assert!(out.len() >= length + HEADER_BYTES);
            }
        }
    });
}

/// What the decoder says about a client's message.
fn verdict(message: &ClientFrame<'_>) -> Option<Fault> {
    let mut out = Vec::new();
    message.encode(&mut Encoder::new(), &mut out);
    ClientFrame::decode(only(&out)).err()
}

#[test]
fn hello_is_held_to_its_limits() {
    let text = "x".repeat(limits::TOKEN_BYTES_MAX + 1);
    let cursor = Cursor { conversation: ConversationId::ZERO, sequence: 0 };
    let cursors = vec![cursor; limits::CURSORS_MAX + 1];
    let most = Hello {
        version_min: 1,
        version_max: 1,
        device: DeviceId::ZERO,
        capabilities: 0,
        token: &text[1..],
        agent: &text[..limits::AGENT_BYTES_MAX],
        cursors: Cursors::from(&cursors[1..]),
        attempt: 0,
    };
    let check = |hello: Hello<'_>| verdict(&ClientFrame::Hello(hello));
    assert_eq!(check(most), None);
    let bytes = limits::TOKEN_BYTES_MAX + 1;
    assert_eq!(check(Hello { token: &text, ..most }), Some(Fault::TokenTooLong { bytes }));
    let count = limits::CURSORS_MAX + 1;
    assert_eq!(
        check(Hello { cursors: Cursors::from(&cursors), ..most }),
        Some(Fault::TooManyCursors { count })
    );
    assert!(matches!(check(Hello { agent: &text, ..most }), Some(Fault::TextTooLong { field: "agent", .. })));
    let empty = Hello { version_min: 2, version_max: 1, ..most };
    assert_eq!(check(empty), Some(Fault::UnsupportedVersion { min: 2, max: 1 }));
    let token = ClientFrame::Refresh(Refresh { token: &text });
    assert_eq!(verdict(&token), Some(Fault::TokenTooLong { bytes }));
}

#[test]
fn watch_is_held_to_its_limit_and_names_are_left_to_the_session() {
    let users = vec![UserId::ZERO; limits::WATCHED_MAX + 1];
    let check =
        |users: &[UserId]| verdict(&ClientFrame::Watch(Watch { request: 1, users: Users::from(users) }));
    assert_eq!(check(&users[1..]), None);
    assert_eq!(check(&users), Some(Fault::TooManyWatched { count: users.len() }));
    let long = "n".repeat(limits::NAME_BYTES_MAX + 1);
    assert_eq!(verdict(&ClientFrame::Join(Join { request: 1, name: &long })), None);
    assert_eq!(check_name(&long), Err(Fault::NameTooLong { bytes: long.len() }));
    assert_eq!(check_name(&long[1..]), Ok(()));
    for invalid in ["", "a\nb", "\u{85}"] {
        assert_eq!(check_name(invalid), Err(Fault::NameInvalid));
    }
}

#[test]
fn what_is_asked_about_conversations_is_held_to_its_limits() {
    let member = Member { user: UserId::ZERO, name: "n", role: Role::Member };
    let members = vec![member; limits::CREATE_MEMBERS_MAX + 1];
    let create = |members: &[Member<'_>]| {
        verdict(&ClientFrame::Create(Create { request: 1, name: "", members: MemberList::from(members) }))
    };
    assert_eq!(create(&members[1..]), None, "a name is left to the session");
    assert_eq!(create(&members), Some(Fault::TooManyMembers { count: members.len() }));
    let change = |action| {
        verdict(&ClientFrame::Change(Change {
            request: 1,
            conversation: ConversationId::ZERO,
            user: UserId::ZERO,
            action,
            role: Role::Member,
            name: "",
        }))
    };
    for &action in Action::ALL {
        let askable = [Action::Added, Action::Removed, Action::RoleChanged].contains(&action);
        let fault =
            Fault::BadValue { kind: FrameType::Change, field: "action", value: u64::from(action as u8) };
        assert_eq!(change(action), (!askable).then_some(fault));
    }
}

#[test]
fn a_push_registration_is_held_to_its_limits_and_not_logged() {
    let text = "x".repeat(limits::PUSH_TOKEN_BYTES_MAX + 1);
    let bytes = vec![7; limits::PUSH_KEY_BYTES_MAX + 1];
    let most = Register {
        request: 1,
        provider: Provider::Webhook,
        token: &text[1..],
        app: &text[..limits::PUSH_APP_BYTES_MAX],
        key: &bytes[1..],
        secret: &bytes[1..],
    };
    let check = |register: Register<'_>| match verdict(&ClientFrame::Register(register)) {
        Some(Fault::TextTooLong { field, .. }) => Some(field),
        None => None,
        Some(other) => panic!("{other}"),
    };
    assert_eq!(check(most), None);
    assert_eq!(check(Register { token: &text, ..most }), Some("token"));
    assert_eq!(check(Register { app: &text, ..most }), Some("app"));
    assert_eq!(check(Register { key: &bytes, ..most }), Some("key"));
    assert_eq!(check(Register { secret: &bytes, ..most }), Some("secret"));
    let secretive = Register { token: "wake me", secret: b"\x2A", ..most };
    let said = format!("{secretive:?}");
    assert!(said.contains("Webhook") && !said.contains("wake me") && !said.contains("42"), "{said}");
}

#[test]
fn only_what_is_told_and_came_later_may_be_skipped() {
    samples::client(|sample| {
        let mut out = Vec::new();
        sample.encode(&mut Encoder::new(), &mut out);
        assert_eq!(only(&out).flags == frame::FLAG_OPTIONAL, sample.kind() == FrameType::Delivered);
    });
}

#[test]
fn the_hot_enums_stay_small() {
    assert!(size_of::<Fault>() <= 40, "{}", size_of::<Fault>());
    assert!(size_of::<ClientFrame<'_>>() <= 104, "{}", size_of::<ClientFrame<'_>>());
    assert!(size_of::<ServerFrame<'_>>() <= 128, "{}", size_of::<ServerFrame<'_>>());
}

#[test]
fn lists_end_where_they_end_lent_or_read() {
    let users = [UserId::from_name("a"), UserId::from_name("b")];
    let lent = Watch { request: 1, users: Users::from(&users) };
    let mut out = Vec::new();
    lent.encode(&mut Encoder::new(), &mut out);
    let Ok(ClientFrame::Watch(read)) = ClientFrame::decode(only(&out)) else { panic!("not a Watch") };
    for list in [lent.users, read.users] {
        assert_eq!((list.get(1), list.get(2), list.get(usize::MAX)), (Some(users[1]), None, None));
        assert!(list.iter().rev().eq([users[1], users[0]]) && list.iter().len() == 2);
    }
    assert!(Users::default().is_empty());
}
