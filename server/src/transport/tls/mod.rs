//! TLS between the driver's bytes and the bytes of a WebSocket connection.
//!
//! ```text
//!   Received ──► Secure::on_received ──► plaintext ──► HTTP, WebSocket, frames
//!   send     ◄── Secure::seal        ◄── what is due this turn
//! ```
//!
//! rustls is fed through its unbuffered interface: it keeps keys, and this module the bytes of a record that is
//! not whole, so an idle connection owns no buffer here either (docs/decisions/0006).

pub mod offer;
pub mod secure;

#[cfg(test)]
mod tests;
