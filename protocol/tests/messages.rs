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
    let membership = samples::membership();
    let mut body = Vec::new();
    membership.encode(&mut Encoder::new(), &mut body);
    assert_eq!(Membership::decode(&body), Ok(membership));
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
fn the_hot_enums_stay_small() {
    assert!(size_of::<Fault>() <= 40, "{}", size_of::<Fault>());
    assert!(size_of::<ClientFrame<'_>>() <= 96, "{}", size_of::<ClientFrame<'_>>());
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
