//! The transport and the link against the protocol's own server side, byte by byte.

use std::time::Duration;

use ringwire_protocol::DeviceId;
use ringwire_protocol::frame;
use ringwire_protocol::limits::FRAME_BYTES_MAX;
use ringwire_protocol::message::{ConversationKind, Encoder, Joined, Pong, Welcome};
use ringwire_protocol::ws::handshake::{parse_request, response};
use ringwire_protocol::ws::{self, Decoder, Event as WsEvent, Opcode, Role};

use super::{Action, Link, Signal, WsFault, WsTransport};
use crate::core::{Cause, Config, Core, Event, State};
use crate::error::Error;

/// What a transport said, without borrowing.
#[derive(Debug, PartialEq)]
enum Said {
    Opened,
    Frames(Vec<u8>),
    Closed(Option<u16>, String),
}

fn hear(transport: &mut WsTransport, bytes: &[u8]) -> Result<Vec<Said>, WsFault> {
    let mut said = Vec::new();
    transport.on_bytes(&mut bytes.to_vec(), &mut |signal| {
        said.push(match signal {
            Signal::Opened => Said::Opened,
            Signal::Frames(frames) => Said::Frames(frames.to_vec()),
            Signal::Closed { code, reason } => Said::Closed(code, reason.to_owned()),
        });
    })?;
    Ok(said)
}

fn output(transport: &mut WsTransport) -> Vec<u8> {
    let mut out = Vec::new();
    transport.poll_output(&mut out);
    out
}

/// The server's answer to the request that the transport has to send.
fn answer(transport: &mut WsTransport) -> Vec<u8> {
    let request = output(transport);
    let (upgrade, consumed) = parse_request(&request).unwrap().unwrap();
    assert_eq!((consumed, upgrade.path.as_str(), upgrade.host.as_str()), (request.len(), ws::PATH, "host:1"));
    assert!(upgrade.protocol_offered);
    response(&upgrade)
}

fn open() -> WsTransport {
    let mut transport = WsTransport::new("host:1", ws::PATH, 1);
    let answer = answer(&mut transport);
    assert_eq!(hear(&mut transport, &answer), Ok(vec![Said::Opened]));
    transport
}

fn server_message(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ws::write_message(&mut out, Opcode::Binary, payload, None);
    out
}

#[test]
fn the_handshake_may_come_in_pieces_and_with_the_first_message_behind_it() {
    let mut transport = WsTransport::new("host:1", ws::PATH, 1);
    let mut bytes = answer(&mut transport);
    bytes.extend(server_message(b"frames"));
    let mut said = Vec::new();
    for byte in bytes {
        said.extend(hear(&mut transport, &[byte]).unwrap());
    }
    assert_eq!(said, [Said::Opened, Said::Frames(b"frames".into())]);
}

#[test]
fn what_is_sent_is_masked_and_masked_differently_each_time() {
    let mut transport = open();
    let mut out = Vec::new();
    transport.write_frames(b"same", &mut out);
    let first = out.len();
    transport.write_frames(b"same", &mut out);
    assert_ne!(out[..first], out[first..]);
    let mut decoder = Decoder::new(Role::Server, FRAME_BYTES_MAX);
    let mut rest = &mut out[..];
    for _ in 0..2 {
        assert_eq!(decoder.next(&mut rest), Ok(Some(WsEvent::Message { text: false, data: b"same" })));
    }
}

#[test]
fn a_flood_of_pings_is_answered_once_by_the_newest() {
    let mut transport = open();
    for number in 0..1_000_u32 {
        let mut ping = Vec::new();
        ws::write_message(&mut ping, Opcode::Ping, &number.to_le_bytes(), None);
        hear(&mut transport, &ping).unwrap();
    }
    let mut out = output(&mut transport);
    let mut decoder = Decoder::new(Role::Server, FRAME_BYTES_MAX);
    let mut rest = &mut out[..];
    assert_eq!(decoder.next(&mut rest), Ok(Some(WsEvent::Pong(&999_u32.to_le_bytes()))));
    assert!(rest.is_empty());
}

#[test]
fn a_close_is_returned_and_nothing_is_read_behind_it() {
    let mut transport = open();
    let mut bytes = Vec::new();
    ws::write_close(&mut bytes, 3001, "bye", None);
    bytes.extend(server_message(b"late"));
    assert_eq!(hear(&mut transport, &bytes), Ok(vec![Said::Closed(Some(3001), "bye".into())]));
    assert_eq!(hear(&mut transport, &server_message(b"later")), Ok(vec![]));
    let mut out = output(&mut transport);
    let mut decoder = Decoder::new(Role::Server, FRAME_BYTES_MAX);
    let event = decoder.next(&mut &mut out[..]).unwrap();
    assert_eq!(event, Some(WsEvent::Close { code: Some(3001), reason: "" }));
    assert!(!transport.is_open());
}

#[test]
fn what_is_no_websocket_of_ours_is_a_fault() {
    let mut text = Vec::new();
    ws::write_message(&mut text, Opcode::Text, b"hi", None);
    let mut masked = Vec::new();
    ws::write_message(&mut masked, Opcode::Binary, b"hi", Some([1, 2, 3, 4]));
    for bytes in [&text[..], &masked[..], &[0xFF, 0xFF, 0xFF]] {
        let mut transport = open();
        assert!(matches!(hear(&mut transport, bytes), Err(WsFault::Framing(_))), "{bytes:?}");
        assert!(!transport.is_open() && !output(&mut transport).is_empty(), "it says why: {bytes:?}");
    }
    let mut transport = WsTransport::new("host:1", ws::PATH, 1);
    assert!(matches!(hear(&mut transport, b"SSH-2.0-x\r\n"), Err(WsFault::Handshake(_))));
}

fn link() -> Link {
    let mut core = Core::new(Config::new(DeviceId::from_name("d"), "t"), 1);
    core.start(Duration::ZERO);
    let mut link = Link::new(core, 2);
    assert_eq!(link.poll_action(), Some(Action::Connect { address: None }));
    link.on_open("host:1", ws::PATH);
    link
}

fn state(link: &mut Link) -> Option<State> {
    let mut last = None;
    while let Some(event) = link.core().poll_event() {
        if let Event::State(state) = event {
            last = Some(state);
        }
    }
    last
}

#[test]
fn the_link_remembers_why_better_than_the_socket_knows() {
    let now = Duration::from_secs(1);
    let mut link = link();
    let mut out = Vec::new();
    link.poll_output(now, &mut out);
    let (upgrade, _) = parse_request(&out).unwrap().unwrap();
    link.on_bytes(now, &mut response(&upgrade));
    out.clear();
    link.poll_output(now, &mut out);
    assert!(!out.is_empty(), "Hello goes out");
    let mut bytes = Vec::new();
    ws::write_close(&mut bytes, 3554, "elsewhere", None);
    link.on_bytes(now, &mut bytes);
    assert_eq!(link.poll_action(), Some(Action::Close));
    link.on_closed(now, Cause::Network("connection reset".into()));
    let Some(State::Failed(Error::Closed(refusal))) = state(&mut link) else { panic!("not the code") };
    assert_eq!((refusal.code.number(), refusal.reason.as_str()), (3554, "elsewhere"));
}

#[test]
fn a_refused_handshake_reaches_the_core_with_its_time() {
    let now = Duration::from_secs(1);
    let mut link = link();
    let mut answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\nbusy".to_vec();
    link.on_bytes(now, &mut answer);
    assert_eq!(link.poll_action(), Some(Action::Close));
    link.on_closed(now, Cause::Network("eof".into()));
    let Some(State::Disconnected { error, retry_in }) = state(&mut link) else { panic!("it comes back") };
    assert!(matches!(&error, Error::Refused { status: 503, .. }), "{error}");
    assert!(retry_in >= Duration::from_secs(7));
}

#[test]
fn a_wish_to_hang_up_says_goodbye_first() {
    let mut link = link();
    let now = Duration::from_secs(1);
    let mut out = Vec::new();
    link.poll_output(now, &mut out);
    let (upgrade, _) = parse_request(&out).unwrap().unwrap();
    link.on_bytes(now, &mut response(&upgrade));
    out.clear();
    link.poll_output(now, &mut out);
    link.core().shutdown(now);
    assert_eq!(link.poll_action(), Some(Action::Close));
    out.clear();
    link.poll_output(now, &mut out);
    let mut decoder = Decoder::new(Role::Server, FRAME_BYTES_MAX);
    let event = decoder.next(&mut &mut out[..]).unwrap();
    assert_eq!(event, Some(WsEvent::Close { code: Some(1000), reason: "done" }));
    link.on_closed(now, Cause::Wanted);
    assert_eq!(state(&mut link), Some(State::Closed));
}

/// Frames as a server sends them on a stream.
fn welcome_and_pong() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new();
    let welcome = Welcome {
        version: 1,
        session: 1,
        user: ringwire_protocol::UserId::from_name("me"),
        name: "me",
        heartbeat_ms: 20_000,
        frame_bytes_max: FRAME_BYTES_MAX as u32,
        body_bytes_max: 1024,
        publish_window: 64,
        server_time_ms: 1,
        heads: Default::default(),
    };
    welcome.encode(&mut encoder, &mut bytes);
    Pong { token: 1, server_time_ms: 1 }.encode(&mut encoder, &mut bytes);
    bytes
}

fn stream_link() -> Link {
    let mut core = Core::new(Config::new(DeviceId::from_name("d"), "t"), 1);
    core.start(Duration::ZERO);
    let mut link = Link::new(core, 2);
    assert_eq!(link.poll_action(), Some(Action::Connect { address: None }));
    link.on_open_stream(Duration::ZERO);
    link
}

#[test]
fn a_stream_carries_bare_frames_cut_anywhere() {
    let mut link = stream_link();
    let mut out = Vec::new();
    link.poll_output(Duration::ZERO, &mut out);
    let hello = frame::split(&mut &out[..], FRAME_BYTES_MAX).unwrap().unwrap();
    assert_eq!(hello.kind, frame::FrameType::Hello);
    for byte in welcome_and_pong() {
        link.on_bytes(Duration::ZERO, &mut [byte]);
    }
    assert!(matches!(state(&mut link), Some(State::Connected(_))));
    assert_eq!(link.poll_action(), None);
}

#[test]
fn what_is_no_frame_closes_a_stream_with_its_code() {
    let mut link = stream_link();
    link.on_bytes(Duration::ZERO, &mut [0xff; 16]);
    assert_eq!(link.poll_action(), Some(Action::Close));
    assert_eq!(link.take_goodbye().0, ringwire_protocol::code::Code::BAD_FRAME.number());
    link.on_closed(Duration::ZERO, Cause::Wanted);
    assert!(matches!(state(&mut link), Some(State::Failed(Error::Peer(_)))));
}

#[test]
fn signs_of_the_moment_travel_beside_a_stream_and_not_before_the_welcome() {
    let mut link = stream_link();
    let mut out = Vec::new();
    link.poll_output(Duration::ZERO, &mut out);
    let mut pong = Vec::new();
    Pong { token: 1, server_time_ms: 1 }.encode(&mut Encoder::new(), &mut pong);
    link.on_frame(Duration::ZERO, &pong);
    assert_eq!(link.poll_action(), None, "one that has overtaken the welcome is let go");
    link.on_bytes(Duration::ZERO, &mut welcome_and_pong());
    let room = ringwire_protocol::ConversationId::from_name("r");
    link.core().join(Duration::ZERO, "r", crate::core::Start::Latest).unwrap();
    out.clear();
    link.poll_output(Duration::ZERO, &mut out);
    let joined = Joined {
        request: 1,
        conversation: room,
        kind: ConversationKind::Group,
        role: ringwire_protocol::message::Role::Member,
        head: 0,
        first: 1,
        client_sequence: 0,
        read: 0,
        muted_until_ms: 0,
        name: "r",
        members_count: 1,
        delivered: 0,
        members: Default::default(),
    };
    let mut bytes = Vec::new();
    joined.encode(&mut Encoder::new(), &mut bytes);
    link.on_bytes(Duration::ZERO, &mut bytes);
    link.core().typing(Duration::from_secs(1), room, true).unwrap();
    out.clear();
    link.poll_output(Duration::from_secs(1), &mut out);
    let datagram = link.poll_datagram().expect("a datagram");
    let frame = frame::split(&mut &datagram[..], FRAME_BYTES_MAX).unwrap().unwrap();
    assert_eq!(frame.kind, frame::FrameType::Typing);
    assert_eq!(link.poll_datagram(), None);
    let mut rest = &out[..];
    while let Some(frame) = frame::split(&mut rest, FRAME_BYTES_MAX).unwrap() {
        assert_ne!(frame.kind, frame::FrameType::Typing);
    }
}
