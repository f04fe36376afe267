//! What measures Ringwire, and what stands in for it where only a part is to be measured or checked.
//!
//! Deliberately absent: anything that the server needs; nothing depends on this crate.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "what measures has a clock, processes and sockets")]

pub mod append;
pub mod bare;
mod client;
pub mod comparators;
pub mod echo;
pub mod fault;
pub mod gates;
pub mod idle;
pub mod load;
pub mod lossy;
pub mod measure;
pub mod peers;
pub mod people;
pub mod reconnect;
pub mod report;
pub mod resident;
pub mod scenario;
mod server;
pub mod system;
