//! What measures Ringwire, and what stands in for it where only a part is to be measured or checked.
//!
//! Deliberately absent: anything that the server needs; nothing depends on this crate.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "what measures has a clock, processes and sockets")]

mod client;
pub mod echo;
pub mod idle;
mod server;
