//! The kernel's edge: io_uring and epoll behind one closed set of operations and completions.
//!
//! ```text
//!   shard  -- Operations -->  Driver::submit  -->  kernel
//!   shard  <-- Completion --  Driver::wait    <--  kernel, file threads, bells of other shards
//! ```
//!
//! A driver belongs to one shard: it is opened on the shard's thread, is used there only, and is dropped
//! there. The only thing of it that other threads may hold is its [`Bell`].
//!
//! Invariants, the same for both drivers:
//! - *order*: bytes of one connection are received in order, and sent in the order they were asked to be;
//! - *one send*: at most one send per connection is in flight, so nothing interleaves;
//! - *generations*: a completion never names the connection of another occupant of its slot;
//! - *one farewell*: `Disconnected` at most once, `Closed` exactly once for every `Close`;
//! - *no sink in submit*: completions come out of [`Driver::wait`] only, so a shard is never re-entered.
//!
//! Deliberately absent: what the bytes mean, who may connect, time beyond the timeout of a wait, and
//! lingering: a shard that wants the peer to read a last word closes after the peer did.

#![deny(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "the kernel's edge owns files, threads and clocks")]

pub mod affinity;
mod bell;
mod completion;
mod config;
mod datagrams;
mod driver;
mod epoll;
mod files;
pub mod listen;
mod operation;
mod pause;
mod slots;
#[expect(unsafe_code, reason = "system calls that the standard library does not offer")]
mod sys;
mod uring;

pub use bell::Bell;
pub use completion::Completion;
pub use config::{CONNECTIONS_MAX, Config, Kind, OpenError, UnknownKind};
pub use driver::{AnyDriver, Counters, Driver, Opened, open};
pub use epoll::EpollDriver;
pub use operation::{
    ConnectionId, Datagrams, FileId, Job, Operation, Operations, Outgoing, PayloadIndex, Send,
};
pub use uring::UringDriver;
