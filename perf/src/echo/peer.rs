//! One peer without its socket: bytes in, an outbox, and a wish about the connection.

use bytes::Bytes;
use ringwire_protocol::ws::handshake;
use ringwire_protocol::ws::{self, Decoder, Event, Opcode, Role};

/// What is to become of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// Go on.
    Stay,
    /// The peer was told to go; give it time to read that.
    Linger,
    /// The peer said its last word: close once it has ours.
    Close,
    /// Close at once, whatever is unsent.
    Cut,
}

#[derive(Debug)]
enum Phase {
    /// What came of the request head.
    Handshake(Vec<u8>),
    Open(Decoder),
    /// Nothing more is read; the wish says why.
    Over(Wish),
}

/// A peer; see the module.
#[derive(Debug)]
pub(super) struct Peer {
    phase: Phase,
    outbox: Vec<u8>,
    message_bytes_max: usize,
}

impl Peer {
    pub(super) fn new(message_bytes_max: usize) -> Self {
        Self { phase: Phase::Handshake(Vec::new()), outbox: Vec::new(), message_bytes_max }
    }

    pub(super) fn wish(&self) -> Wish {
        match self.phase {
            Phase::Handshake(_) | Phase::Open(_) => Wish::Stay,
            Phase::Over(wish) => wish,
        }
    }

    /// The peer, or our patience, is gone.
    pub(super) fn on_gone(&mut self) {
        self.phase = Phase::Over(Wish::Cut);
    }

    pub(super) fn outbox_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// Everything that is to be sent; its memory goes along.
    pub(super) fn take_outbox(&mut self) -> Option<Bytes> {
        if self.outbox.is_empty() { None } else { Some(Bytes::from(std::mem::take(&mut self.outbox))) }
    }

    /// Takes bytes as they come; they are unmasked in place.
    pub(super) fn on_bytes(&mut self, data: &mut [u8]) {
        let Self { phase, outbox, .. } = self;
        match phase {
            Phase::Open(decoder) => {
                if let Some(wish) = answer(decoder, data, outbox) {
                    *phase = Phase::Over(wish);
                }
            }
            Phase::Handshake(head) => {
                let mut head = std::mem::take(head);
                head.extend_from_slice(data);
                self.on_head(head);
            }
            Phase::Over(_) => {}
        }
    }

    fn on_head(&mut self, mut head: Vec<u8>) {
        match handshake::parse_request(&head) {
            Ok(None) => self.phase = Phase::Handshake(head),
            Ok(Some((upgrade, consumed))) => {
                self.outbox.extend_from_slice(&handshake::response(&upgrade));
                self.phase = Phase::Open(Decoder::new(Role::Server, self.message_bytes_max));
                self.on_bytes(&mut head[consumed..]);
            }
            Err(fault) => {
                self.outbox.extend_from_slice(&fault.response());
                self.phase = Phase::Over(Wish::Linger);
            }
        }
    }
}

/// Answers every event in the input; a wish if the conversation is over.
fn answer(decoder: &mut Decoder, mut input: &mut [u8], outbox: &mut Vec<u8>) -> Option<Wish> {
    loop {
        match decoder.next(&mut input) {
            Ok(None) => return None,
            Ok(Some(Event::Message { text, data })) => {
                let opcode = if text { Opcode::Text } else { Opcode::Binary };
                ws::write_message(outbox, opcode, data, None);
            }
            Ok(Some(Event::Ping(data))) => ws::write_message(outbox, Opcode::Pong, data, None),
            Ok(Some(Event::Pong(_))) => {}
            Ok(Some(Event::Close { code, .. })) => {
                match code {
                    Some(code) => ws::write_close(outbox, code, "", None),
                    None => ws::write_message(outbox, Opcode::Close, &[], None),
                }
                return Some(Wish::Close);
            }
            Err(fault) => {
                ws::write_close(outbox, fault.code().number(), &fault.to_string(), None);
                return Some(Wish::Linger);
            }
        }
    }
}
