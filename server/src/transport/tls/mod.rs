//! TLS between the driver's bytes and the bytes of a WebSocket connection.

pub mod offer;
