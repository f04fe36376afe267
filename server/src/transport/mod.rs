//! Connections and what they hold between turns.
//!
//! Absent: QUIC, which becomes a carrier of its own.

pub mod carrier;
pub mod connection;
pub mod stalled;
pub mod tls;
