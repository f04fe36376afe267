//! What the targets for TLS, QUIC and WebTransport share: the other end, in memory and in a time of its own.

#![forbid(unsafe_code)]

pub mod input;
pub mod quic;
pub mod trust;
