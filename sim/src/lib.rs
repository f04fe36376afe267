//! Deterministic simulation of shards, clients, network and disk: one world, one thread, one seed.
//!
//! A [`world`] runs real shards and real client cores on a simulated [`network`] and a simulated [`disk`], lets
//! people do what people do ([`workload`]) and everything go wrong that can, and has each promise of the server
//! looked after by a checker of its own ([`check`]). Everything follows from the seed, so a story that ends badly
//! can be told again.
//!
//! This is the third driver of a shard, beside io_uring and epoll; it depends on the server, never the reverse.
//!
//! Deliberately absent: threads, I/O, clocks (but in the command line), and anything that a real peer could not
//! do to a server.
#![forbid(unsafe_code)]

pub mod check;
pub mod client;
pub mod disk;
pub mod driver;
pub mod model;
pub mod network;
pub mod plant;
pub mod random;
pub mod workload;
pub mod world;

pub use check::{Promise, Violation};
pub use plant::Plant;
pub use world::{Counts, Options, Outcome, run};
