//! One frame, encoded once, ready for every socket.

use bytes::Bytes;
use ringwire_protocol::ws::{self, Opcode};

/// A frame behind the header of the WebSocket message that carries it, in one piece of shared memory.
///
/// A WebSocket connection sends the whole; the journal, pages and byte streams take the frame alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Bytes);

/// Longest header of a server's WebSocket frame (RFC 6455 §5.2: two bytes and a 64-bit length).
pub const WEBSOCKET_HEADER_MAX: usize = 10;

impl Encoded {
    /// Copies `frame` behind its WebSocket header.
    pub fn new(frame: &[u8]) -> Self {
        let (header, length) = ws::header(Opcode::Binary, frame.len(), None);
        let mut bytes = Vec::with_capacity(length + frame.len());
        bytes.extend_from_slice(&header[..length]);
        bytes.extend_from_slice(frame);
        Encoded(Bytes::from(bytes))
    }

    /// The WebSocket message.
    pub fn websocket(&self) -> &Bytes {
        &self.0
    }

    /// The frame alone, sharing the memory.
    pub fn frame(&self) -> Bytes {
        self.0.slice(self.header_bytes()..)
    }

    /// The frame alone, borrowed.
    pub fn frame_bytes(&self) -> &[u8] {
        &self.0[self.header_bytes()..]
    }

    fn header_bytes(&self) -> usize {
        header_bytes(&self.0)
    }
}

/// How much of a WebSocket message is its header; all of it where it is none of frames (a ping, an answer in HTTP),
/// which has no place on a byte stream.
pub(super) fn header_bytes(message: &[u8]) -> usize {
    const FINAL_BINARY: u8 = 0x82;
    match message {
        [FINAL_BINARY, length, ..] => match length & 0x7f {
            126 => 4,
            127 => WEBSOCKET_HEADER_MAX,
            _ => 2,
        },
        _ => message.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_found_behind_every_header_length() {
        for length in [8, 125, 126, 65_535, 65_536, 70_000] {
            let frame = vec![7u8; length];
            let encoded = Encoded::new(&frame);
            assert_eq!(encoded.frame_bytes(), &frame[..], "length {length}");
            assert_eq!(encoded.frame(), frame, "length {length}");
        }
    }
}
