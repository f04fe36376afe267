//! The decoder against RFC 6455, and against itself: however the bytes are cut, the events are the same.

use super::handshake::{self, HandshakeFault};
use super::*;
use crate::fault::{Fault, WebSocketFault};

const KEY: [u8; 4] = [0xA5, 0x00, 0xFF, 0x3C];
const BYTES_MAX: usize = 1 << 16;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Fault(Fault),
}

impl From<Event<'_>> for Owned {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message { text, data } => Self::Message(text, data.to_vec()),
            Event::Ping(data) => Self::Ping(data.to_vec()),
            Event::Pong(data) => Self::Pong(data.to_vec()),
            Event::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

/// Everything the decoder says about `bytes` that come in `pieces`.
fn feed<'p>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<Owned> {
    let mut events = Vec::new();
    for piece in pieces {
        let mut copy = piece.to_vec();
        let mut input = &mut copy[..];
        loop {
            match decoder.next(&mut input) {
                Ok(Some(event)) => events.push(event.into()),
                Ok(None) => break assert!(input.is_empty(), "None means: all consumed"),
                Err(fault) => {
                    events.push(Owned::Fault(fault));
                    return events;
                }
            }
        }
    }
    events
}

fn whole(role: Role, bytes: &[u8]) -> Vec<Owned> {
    feed(&mut Decoder::new(role, BYTES_MAX), [bytes])
}

/// A frame with full control over the first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, Opcode::Binary, payload, Some(KEY));
    out[0] = first;
    out
}

fn websocket(fault: WebSocketFault) -> Vec<Owned> {
    vec![Owned::Fault(Fault::WebSocket(fault))]
}

#[test]
fn events_do_not_depend_on_where_the_bytes_are_cut() {
    let long = vec![7; 300];
    let stream = [
        frame(0x82, b"one"),
        frame(0x81, "zwei €".as_bytes()),
        frame(0x01, "frag€".as_bytes().split_at(5).0),
        frame(0x89, b"ping between"),
        frame(0x00, "frag€".as_bytes().split_at(5).1),
        frame(0x8A, b""),
        frame(0x80, b"mented"),
        frame(0x82, b""),
        frame(0x82, &long),
        frame(0x88, b"\x03\xE8bye"),
        frame(0x82, b"ignored after close"),
    ]
    .concat();
    let expected = whole(Role::Server, &stream);
    assert_eq!(
        expected,
        [
            Owned::Message(false, b"one".to_vec()),
            Owned::Message(true, "zwei €".into()),
            Owned::Ping(b"ping between".to_vec()),
            Owned::Pong(Vec::new()),
            Owned::Message(true, "frag€mented".into()),
            Owned::Message(false, Vec::new()),
            Owned::Message(false, long),
            Owned::Close(Some(1000), "bye".to_owned()),
        ]
    );
    for size in 1..40 {
        let mut decoder = Decoder::new(Role::Server, BYTES_MAX);
        assert_eq!(feed(&mut decoder, stream.chunks(size)), expected, "pieces of {size}");
        assert_eq!(decoder.memory_bytes(), 0);
    }
    for cut in 0..stream.len() {
        let (first, second) = stream.split_at(cut);
        let mut decoder = Decoder::new(Role::Server, BYTES_MAX);
        assert_eq!(feed(&mut decoder, [first, second]), expected, "cut at {cut}");
    }
}

#[test]
fn whole_frames_are_lent_from_the_input() {
    let mut bytes = [frame(0x82, b"first"), frame(0x82, b"second")].concat();
    let range = bytes.as_ptr_range();
    let mut decoder = Decoder::new(Role::Server, BYTES_MAX);
    let mut input = &mut bytes[..];
    for expected in [b"first".as_slice(), b"second"] {
        let event = decoder.next(&mut input);
        let Ok(Some(Event::Message { text: false, data })) = event else { panic!("{event:?}") };
        assert_eq!(data, expected);
        assert!(range.contains(&data.as_ptr()));
        assert_eq!(decoder.memory_bytes(), 0);
    }
}

#[test]
fn broken_frames_are_the_fault_they_are() {
    use WebSocketFault as F;
    let cases: &[(&[u8], F)] = &[
        (&[0xC2, 0x80], F::ReservedBits),
        (&[0xA1, 0x80], F::ReservedBits),
        (&[0x92, 0x80], F::ReservedBits),
        (&[0x83, 0x80], F::ReservedOpcode { opcode: 3 }),
        (&[0x8F, 0x80], F::ReservedOpcode { opcode: 15 }),
        (&[0x82, 0x00], F::WrongMasking),
        (&[0x09, 0x80], F::FragmentedControl),
        (&[0x89, 0xFE], F::ControlTooLong),
        (&[0x88, 0xFF], F::ControlTooLong),
        (&[0x82, 0xFE, 0, 125, 0, 0, 0, 0], F::LengthEncoding),
        (&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0], F::LengthEncoding),
        (&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], F::LengthEncoding),
        (&[0x80, 0x80, 0, 0, 0, 0], F::UnexpectedContinuation),
        (&[0x00, 0x80, 0, 0, 0, 0], F::UnexpectedContinuation),
        (&[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0], F::MessageTooBig { bytes_max: BYTES_MAX }),
    ];
    for &(bytes, fault) in cases {
        assert_eq!(whole(Role::Server, bytes), websocket(fault), "{bytes:02x?}");
        let mut decoder = Decoder::new(Role::Server, BYTES_MAX);
        assert_eq!(feed(&mut decoder, bytes.chunks(1)), websocket(fault), "{bytes:02x?} byte by byte");
    }
    assert_eq!(whole(Role::Client, &[0x82, 0x80, 0, 0, 0, 0]), websocket(F::WrongMasking));
    let inside = [frame(0x01, b"a"), frame(0x81, b"b")].concat();
    assert_eq!(whole(Role::Server, &inside), websocket(F::ExpectedContinuation));
}

#[test]
fn close_codes_that_may_not_travel_are_refused() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        let bytes = frame(0x88, &u16::to_be_bytes(code));
        assert_eq!(whole(Role::Server, &bytes), websocket(WebSocketFault::CloseCode { code }));
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1014, 3000, 3999, 4000, 4999] {
        let bytes = frame(0x88, &u16::to_be_bytes(code));
        assert_eq!(whole(Role::Server, &bytes), [Owned::Close(Some(code), String::new())]);
    }
    assert_eq!(whole(Role::Server, &frame(0x88, b"")), [Owned::Close(None, String::new())]);
    assert_eq!(whole(Role::Server, &frame(0x88, b"\x03")), websocket(WebSocketFault::CloseLength));
    assert_eq!(whole(Role::Server, &frame(0x88, b"\x03\xE8\xFF")), websocket(WebSocketFault::InvalidUtf8));
}

#[test]
fn invalid_text_is_refused_at_its_first_wrong_byte() {
    // Overlong, surrogate, beyond U+10FFFF, stray continuation, cut by another character.
    let cases: [&[u8]; 6] =
        [b"ab\xC0", b"ab\xED\xA0", b"ab\xF4\x90", b"ab\x80", b"ab\xE2\x82a", "κόσμε\u{0}".as_bytes()];
    for (number, text) in cases.into_iter().enumerate() {
        // The header promises more than comes, so only a look at the pieces can find the fault.
        let mut bytes = frame(0x81, &[text, &[b'x'; 50]].concat());
        bytes.truncate(6 + text.len());
        let valid = number == 5;
        for split in 1..=bytes.len() {
            let mut decoder = Decoder::new(Role::Server, BYTES_MAX);
            let events = feed(&mut decoder, [&bytes[..split], &bytes[split..]]);
            assert_eq!(
                events,
                if valid { vec![] } else { websocket(WebSocketFault::InvalidUtf8) },
                "{text:?}"
            );
        }
        if !valid {
            let mut decoder = Decoder::new(Role::Server, BYTES_MAX);
            let all_but_last = bytes.len() - 1;
            assert_eq!(feed(&mut decoder, bytes[..all_but_last].chunks(1)), [], "not before: {text:?}");
        }
    }
    // A character that is cut by the end of the message.
    let cut = [frame(0x01, b"\xE2\x82"), frame(0x80, b"")].concat();
    assert_eq!(whole(Role::Server, &cut), websocket(WebSocketFault::InvalidUtf8));
}

#[test]
fn size_is_judged_over_all_fragments_before_the_payload_comes() {
    let half = vec![1; BYTES_MAX / 2];
    let exact = [frame(0x02, &half), frame(0x80, &half)].concat();
    assert_eq!(whole(Role::Server, &exact).len(), 1);
    let mut decoder = Decoder::new(Role::Server, BYTES_MAX);
    assert_eq!(feed(&mut decoder, [&frame(0x02, &half)[..], &frame(0x00, &half)]), []);
    let one_more = frame(0x80, b"x");
    let fault = websocket(WebSocketFault::MessageTooBig { bytes_max: BYTES_MAX });
    assert_eq!(feed(&mut decoder, [&one_more[..6]]), fault);
    // Control frames do not count.
    assert_eq!(feed(&mut Decoder::new(Role::Server, 1), [&frame(0x89, b"long")[..]]).len(), 1);
}

#[test]
fn memory_follows_what_came_and_not_what_was_promised() {
    let mut decoder = Decoder::new(Role::Server, 1 << 30);
    let (header, length) = header(Opcode::Binary, 1 << 30, Some(KEY));
    assert_eq!(feed(&mut decoder, [&header[..length]]), []);
    assert!(decoder.memory_bytes() < 1024, "{}", decoder.memory_bytes());
    for _ in 0..64 {
        assert_eq!(feed(&mut decoder, [&[0; 1000][..]]), []);
    }
    assert!(decoder.memory_bytes() < 2 * 64_000 + 1024, "{}", decoder.memory_bytes());
    // Where the end is known, doubling stops there.
    let mut decoder = Decoder::new(Role::Server, 1 << 30);
    let cut = frame(0x82, &[0; 5000]);
    assert_eq!(feed(&mut decoder, cut[..4500].chunks(1000)), []);
    assert!(decoder.memory_bytes() < 5000 + 512, "{}", decoder.memory_bytes());
}

#[test]
fn masking_is_its_own_inverse_at_every_offset_and_length() {
    let plain: Vec<u8> = (0..300u32).map(|value| (value * 7) as u8).collect();
    for offset in 0..8 {
        for length in (0..150).chain([255, 256, 257, 300]) {
            let expected: Vec<u8> =
                plain[..length].iter().enumerate().map(|(at, byte)| byte ^ KEY[(at + offset) % 4]).collect();
            let mut bytes = plain[..length].to_vec();
            mask(&mut bytes, KEY, offset);
            assert_eq!(bytes, expected, "offset {offset}, length {length}");
        }
    }
}

#[test]
fn what_is_written_is_read_by_the_other_role() {
    for length in [0, 1, 125, 126, 127, 65535, 65536] {
        let payload = vec![3; length];
        for (key, reader) in [(Some(KEY), Role::Server), (None, Role::Client)] {
            let mut out = Vec::new();
            write_message(&mut out, Opcode::Binary, &payload, key);
            assert_eq!(whole(reader, &out), [Owned::Message(false, payload.clone())]);
        }
    }
    let mut out = Vec::new();
    write_close(&mut out, 3000, &"€".repeat(100), None);
    assert_eq!(whole(Role::Client, &out), [Owned::Close(Some(3000), "€".repeat(41))]);
}

#[test]
fn client_and_server_shake_hands() {
    let key = *b"sixteen bytes ok";
    let request = handshake::request("example:7400", PATH, key);
    for end in 0..request.len() {
        assert_eq!(handshake::parse_request(&request[..end]), Ok(None));
    }
    let bytes = [&request[..], b"early frames"].concat();
    let (upgrade, consumed) = handshake::parse_request(&bytes).expect("valid").expect("whole");
    assert_eq!(consumed, request.len());
    assert_eq!((upgrade.path.as_str(), upgrade.host.as_str()), (PATH, "example:7400"));
    assert!(upgrade.protocol_offered);
    let response = handshake::response(&upgrade);
    for end in 0..response.len() {
        assert_eq!(handshake::parse_response(&response[..end], key), Ok(None));
    }
    assert_eq!(handshake::parse_response(&response, key), Ok(Some(response.len())));
    assert_eq!(handshake::parse_response(&response, [0; 16]), Err(HandshakeFault::Accept));
}
