//! Connections and what they hold between turns.
//!
//! Absent: TLS and QUIC, which become stages between the driver's bytes and the frames.

pub mod connection;
pub mod stalled;
