//! What carries a connection's frames: the one difference between its transports that outlives a turn.

use std::sync::Arc;

use ringwire_protocol::ws::{Decoder, Role};
use rustls::ServerConfig;

use super::tls::secure::Secure;
use super::way::Way;

/// What is between the driver's bytes and the frames of one connection.
pub enum Carrier {
    /// WebSocket over TCP, in the clear.
    WebSocket(Decoder),
    /// WebSocket over TLS.
    Secure(Box<Secure>),
    /// A QUIC stream, or one of a WebTransport session; what is partial is kept with it.
    Quic {
        /// Whether it is the latter.
        is_web: bool,
    },
}

const _: () = assert!(size_of::<Carrier>() <= 16, "every idle connection pays for it");

impl Carrier {
    /// WebSocket with nothing partial.
    pub fn websocket(message_bytes_max: usize) -> Self {
        Carrier::WebSocket(Decoder::new(Role::Server, message_bytes_max))
    }

    /// WebSocket over TLS.
    pub fn secure(config: Arc<ServerConfig>, message_bytes_max: usize) -> Self {
        Carrier::Secure(Box::new(Secure::new(config, Decoder::new(Role::Server, message_bytes_max))))
    }

    /// TLS, where it is spoken.
    pub fn secure_mut(&mut self) -> Option<&mut Secure> {
        match self {
            Carrier::WebSocket(_) | Carrier::Quic { .. } => None,
            Carrier::Secure(secure) => Some(secure),
        }
    }

    /// What takes WebSocket frames apart.
    pub fn decoder_mut(&mut self) -> &mut Decoder {
        match self {
            Carrier::WebSocket(decoder) => decoder,
            Carrier::Secure(secure) => &mut secure.decoder,
            Carrier::Quic { .. } => unreachable!("frames on a stream have no WebSocket around them"),
        }
    }

    /// Whether it is a QUIC stream.
    pub fn is_quic(&self) -> bool {
        matches!(self, Carrier::Quic { .. })
    }

    /// As operators tell it from the others.
    pub fn way(&self) -> Way {
        match self {
            Carrier::WebSocket(_) => Way::Ws,
            Carrier::Secure(_) => Way::Wss,
            Carrier::Quic { is_web: false } => Way::Quic,
            Carrier::Quic { is_web: true } => Way::WebTransport,
        }
    }
}
