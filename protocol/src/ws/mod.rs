//! WebSocket (RFC 6455), both roles, without a socket: bytes to events, events to bytes.
//!
//! Between the transport and the frames. A binary message holds one or more whole frames (W-60), which is how
//! the server batches. One [`Decoder`] per connection, owned by its shard; an idle one is 16 bytes and owns
//! no buffer.
//!
//! Deliberately absent: extensions (permessage-deflate is declined by silence, W-63), the closing handshake's
//! timing and the choice of masks, which need a clock and randomness and belong to the caller.

mod decoder;
pub mod handshake;
mod header;
mod mask;
mod utf8;

pub use decoder::Decoder;
pub use header::{
    CLOSE_REASON_BYTES_MAX, CONTROL_BYTES_MAX, HEADER_BYTES_MAX, header, write_close, write_message,
};
pub use mask::mask;

/// The name of the subprotocol (W-62).
pub const SUBPROTOCOL: &str = "ringwire.v1";

/// The path of the WebSocket endpoint.
pub const PATH: &str = "/v1/ws";

/// Which end of the connection this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Masks what it sends, refuses what is masked.
    Client,
    /// Refuses what is not masked, and does not mask.
    Server,
}

/// What a WebSocket frame is (§5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Opcode {
    /// More of a message.
    Continuation = 0,
    /// A message of UTF-8.
    Text = 1,
    /// A message of bytes.
    Binary = 2,
    /// The last thing a side sends.
    Close = 8,
    /// Answered by a pong with the same bytes.
    Ping = 9,
    /// The answer to a ping, or unasked for.
    Pong = 10,
}

impl Opcode {
    /// Whether it may come between the fragments of a message.
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// What came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A whole message; text was checked to be UTF-8.
    Message {
        /// Text, or binary.
        text: bool,
        /// All fragments together.
        data: &'a [u8],
    },
    /// Answer with a pong of the same bytes.
    Ping(&'a [u8]),
    /// The answer to a ping.
    Pong(&'a [u8]),
    /// Nothing more comes; answer with a close of the same code unless one was sent already. What follows is
    /// swallowed.
    Close {
        /// Why, if it was said; a code that may travel.
        code: Option<u16>,
        /// For people.
        reason: &'a str,
    },
}

#[cfg(test)]
mod tests;
