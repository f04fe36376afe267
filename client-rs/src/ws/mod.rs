//! Between the core's frames and a byte stream: the WebSocket handshake and framing, without a socket.
//!
//! ```text
//!   core --poll_frames--> WsTransport --poll_output--> socket
//!   core <--on_frames---- WsTransport <--on_bytes----- socket
//! ```
//!
//! [`WsTransport`] is one connection's framing; [`Link`] is a core with its present transport, which is all that a host
//! needs: bytes in, bytes out. The tokio adapter and the simulation drive the same `Link`, so that the simulation can
//! cut, delay and corrupt real bytes.
//!
//! Deliberately absent: TLS, which goes between this and the socket; compression, which the protocol declines.

mod link;
mod transport;

pub use link::{Action, Link};
pub use transport::{Signal, WsFault, WsTransport};

#[cfg(test)]
mod tests;
