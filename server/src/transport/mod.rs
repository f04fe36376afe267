//! Connections and what they hold between turns.
//!
pub mod carrier;
pub mod connection;
pub mod gate;
pub mod quic;
pub mod stalled;
pub mod tls;
pub mod way;
