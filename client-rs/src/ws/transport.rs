//! One WebSocket connection of a client: the handshake first, then messages of whole frames.
//!
//! Owner: a [`Link`](super::Link), or whoever drives one by hand; lives as long as one socket.
//!
//! Invariants: everything sent is masked with a fresh key; a ping is answered once per output, by the newest pong; after
//! a close nothing is sent or read.

use ringwire_protocol::Fault;
use ringwire_protocol::ws::handshake::{self, HandshakeFault};
use ringwire_protocol::ws::{self, Decoder, Event, Opcode, Role};

use crate::core::Random;
use crate::limits::MESSAGE_BYTES_TAKEN;

/// What came out of the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal<'a> {
    /// The handshake is done; frames may be sent.
    Opened,
    /// A message of whole frames.
    Frames(&'a [u8]),
    /// The peer closed the connection; nothing more comes.
    Closed {
        /// Its code, if it gave one.
        code: Option<u16>,
        /// Its reason.
        reason: &'a str,
    },
}

/// Why the bytes are no use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WsFault {
    /// The handshake failed.
    #[error("{0}")]
    Handshake(HandshakeFault),
    /// The framing is broken.
    #[error("{0}")]
    Framing(Fault),
}

#[derive(Debug)]
enum Stage {
    /// The answer to our request, as far as it has come.
    Handshake {
        key: [u8; 16],
        head: Vec<u8>,
    },
    Open(Decoder),
    Closed,
}

/// See the module.
#[derive(Debug)]
pub struct WsTransport {
    stage: Stage,
    random: Random,
    /// The request or the close, which go out once.
    pending: Vec<u8>,
    pong: Option<Vec<u8>>,
}

impl WsTransport {
    /// A connection to `path` on `host` (with its port, if it is not the usual one). The seed gives the key and the masks.
    pub fn new(host: &str, path: &str, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut key = [0; 16];
        key[..8].copy_from_slice(&random.next_u64().to_le_bytes());
        key[8..].copy_from_slice(&random.next_u64().to_le_bytes());
        let pending = handshake::request(host, path, key);
        Self { stage: Stage::Handshake { key, head: Vec::new() }, random, pending, pong: None }
    }

    /// Whether frames may be sent.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Bytes came from the socket; they are unmasked and read in place, and `sink` is told what they meant.
    ///
    /// # Errors
    /// The peer is no WebSocket server of this protocol, or breaks its rules. The transport is closed then.
    pub fn on_bytes(&mut self, bytes: &mut [u8], sink: &mut dyn FnMut(Signal<'_>)) -> Result<(), WsFault> {
        match &mut self.stage {
            Stage::Closed => Ok(()),
            Stage::Open(_) => self.decode(bytes, sink),
            Stage::Handshake { key, head } => {
                // The head is bounded by the parser, which refuses one that does not end in time.
                head.extend_from_slice(bytes);
                match handshake::parse_response(head, *key) {
                    Ok(None) => Ok(()),
                    Ok(Some(consumed)) => {
                        let mut rest = head.split_off(consumed);
                        self.stage = Stage::Open(Decoder::new(Role::Client, MESSAGE_BYTES_TAKEN));
                        sink(Signal::Opened);
                        self.decode(&mut rest, sink)
                    }
                    Err(fault) => {
                        self.stage = Stage::Closed;
                        Err(WsFault::Handshake(fault))
                    }
                }
            }
        }
    }

    fn decode(&mut self, mut bytes: &mut [u8], sink: &mut dyn FnMut(Signal<'_>)) -> Result<(), WsFault> {
        let Stage::Open(decoder) = &mut self.stage else { return Ok(()) };
        let fault = loop {
            match decoder.next(&mut bytes) {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Message { text: false, data })) => sink(Signal::Frames(data)),
                Ok(Some(Event::Message { text: true, .. })) => break Fault::TextMessage,
                // Only the newest ping wants an answer (RFC 6455 §5.5.3), which bounds what a flood of them costs.
                Ok(Some(Event::Ping(data))) => self.pong = Some(data.to_vec()),
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close { code, reason })) => {
                    ws::write_close(
                        &mut self.pending,
                        code.unwrap_or(1000),
                        "",
                        Some(mask(&mut self.random)),
                    );
                    sink(Signal::Closed { code, reason });
                    self.stage = Stage::Closed;
                    return Ok(());
                }
                Err(fault) => break fault,
            }
        };
        self.close(fault.code().number(), "");
        Err(WsFault::Framing(fault))
    }

    /// Appends `frames` to `out` as one message.
    pub fn write_frames(&mut self, frames: &[u8], out: &mut Vec<u8>) {
        ws::write_message(out, Opcode::Binary, frames, Some(mask(&mut self.random)));
    }

    /// Says goodbye, if there is anybody to say it to. Nothing is sent or read after it.
    pub fn close(&mut self, code: u16, reason: &str) {
        if self.is_open() {
            let key = mask(&mut self.random);
            ws::write_close(&mut self.pending, code, reason, Some(key));
        }
        self.stage = Stage::Closed;
    }

    /// Appends what the transport itself has to say: the request, the answer to a ping, the goodbye.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        if let Some(data) = self.pong.take()
            && self.is_open()
        {
            let key = mask(&mut self.random);
            ws::write_message(out, Opcode::Pong, &data, Some(key));
        }
        out.append(&mut self.pending);
    }
}

fn mask(random: &mut Random) -> [u8; 4] {
    (random.next_u64() as u32).to_le_bytes()
}
