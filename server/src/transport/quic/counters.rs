//! What operators are told of QUIC.

use crate::transport::way::Handshakes;

/// What QUIC counts; all since the process started, but for the first four.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Connections now, those in handshake and those that drain included.
    pub connections: u64,
    /// Of those, in handshake.
    pub handshakes: u64,
    /// Of those, from addresses that are not proven.
    pub unproven: u64,
    /// Connections that have more room than everybody for what is not acknowledged.
    pub wide: u64,
    /// Connections begun.
    pub accepted: u64,
    /// How handshakes ended; those of browsers are apart, which ask for HTTP/3.
    pub native: Handshakes,
    /// See above.
    pub web: Handshakes,
    /// Clients whose early data was taken. Of what is refused QUIC says nothing.
    pub early: u64,
    /// Connections refused, because there are as many as there may be.
    pub refused: u64,
    /// Connections turned away because of their address: refused, or asked to prove it.
    pub limited: u64,
    /// Clients asked to prove their address first.
    pub retried: u64,
    /// Connections that did not become a session in time.
    pub overdue: u64,
    /// Datagrams that came.
    pub datagrams_in: u64,
    /// Datagrams that left.
    pub datagrams_out: u64,
    /// Datagrams passed on to the shard that has their connection.
    pub strays: u64,
    /// Of those, thrown away because that shard is behind.
    pub strays_dropped: u64,
    /// Datagrams thrown away because their connection has moved too often.
    pub moves_refused: u64,
}
