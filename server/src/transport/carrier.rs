//! What carries a connection's frames: the one difference between its transports that outlives a turn.

use ringwire_protocol::ws::{Decoder, Role};

/// What is between the driver's bytes and the frames of one connection.
pub enum Carrier {
    /// WebSocket over TCP, in the clear.
    WebSocket(Decoder),
}

const _: () = assert!(size_of::<Carrier>() <= 16, "every idle connection pays for it");

impl Carrier {
    /// WebSocket with nothing partial.
    pub fn websocket(message_bytes_max: usize) -> Self {
        Carrier::WebSocket(Decoder::new(Role::Server, message_bytes_max))
    }

    /// What takes WebSocket frames apart.
    pub fn decoder_mut(&mut self) -> &mut Decoder {
        match self {
            Carrier::WebSocket(decoder) => decoder,
        }
    }
}
