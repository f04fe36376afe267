//! WebSocket bytes of any content, for both roles: cutting them changes nothing, and memory stays bounded.

#![no_main]

use ringwire_protocol::Fault;
use ringwire_protocol::ws::{Decoder, Event, Role};

const BYTES_MAX: usize = 1024;

#[derive(Debug, PartialEq)]
enum Seen {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Fault(Fault),
}

fn feed(role: Role, data: &[u8], piece: usize) -> Vec<Seen> {
    let mut decoder = Decoder::new(role, BYTES_MAX);
    let mut seen = Vec::new();
    for piece in data.chunks(piece.max(1)) {
        let mut copy = piece.to_vec();
        let mut input = &mut copy[..];
        loop {
            match decoder.next(&mut input) {
                Ok(Some(Event::Message { text, data })) => {
                    assert!(data.len() <= BYTES_MAX && (!text || std::str::from_utf8(data).is_ok()));
                    seen.push(Seen::Message(text, data.to_vec()));
                }
                Ok(Some(Event::Ping(data))) => seen.push(Seen::Ping(data.to_vec())),
                Ok(Some(Event::Pong(data))) => seen.push(Seen::Pong(data.to_vec())),
                Ok(Some(Event::Close { code, reason })) => seen.push(Seen::Close(code, reason.to_owned())),
                Ok(None) => break,
                Err(fault) => {
                    seen.push(Seen::Fault(fault));
                    return seen;
                }
            }
        }
        assert!(input.is_empty());
        assert!(decoder.memory_bytes() <= 2 * BYTES_MAX + 512);
    }
    if !decoder.is_partial() {
        assert_eq!(decoder.memory_bytes(), 0);
    }
    seen
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    for role in [Role::Client, Role::Server] {
        let whole = feed(role, data, data.len());
        assert_eq!(feed(role, data, usize::from(first)), whole);
    }
});
