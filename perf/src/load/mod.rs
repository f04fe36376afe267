//! The load generator: one thread, one epoll, no client library.
//!
//! ```text
//!   plan (who connects as what) --> engine (sockets, set-up) --> items --> drive (pace, checks, latencies)
//!                                      adapter (one per protocol: bytes <-> items)
//! ```
//!
//! Deliberately absent: figures of the server under test; `measure` takes those from outside.

pub mod adapter;
pub mod drive;
pub mod engine;
pub mod link;
pub mod quic;
pub mod room;
pub mod secure;
