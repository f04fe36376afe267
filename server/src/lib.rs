//! Ringwire, a real-time messaging edge server.
//!
//! The folders stand in the order a frame meets them; `ARCHITECTURE.md` tells the way.

#![forbid(unsafe_code)]

pub mod boot;
pub mod clock;
pub mod command;
pub mod config;
pub mod conversation;
pub mod fanout;
pub mod limits;
mod pace;
pub mod plane;
pub mod session;
pub mod shard;
pub mod site;
pub mod store;
pub mod transport;
pub mod user;
