//! The ways that clients come by, for counting.

/// What carries a connection's frames, as operators tell it apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// WebSocket in the clear.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// Frames on a QUIC stream.
    Quic,
    /// A browser's session over HTTP/3.
    WebTransport,
}

/// How many there are.
pub const WAYS: usize = 4;

/// Connections of one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that came, since the process started.
    pub accepted: u64,
    /// Of those, open now.
    pub open: u64,
}

/// How handshakes of TLS ended, over TCP or within QUIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshakes {
    /// With certificate and signature.
    pub full: u64,
    /// By what the client kept of a session before.
    pub resumed: u64,
    /// Not at all: a fault, no time left, or the client went away.
    pub failed: u64,
}

impl Handshakes {
    /// One is over that led to a connection.
    pub fn completed(&mut self, is_resumed: bool) {
        *(if is_resumed { &mut self.resumed } else { &mut self.full }) += 1;
    }
}
