//! Bounded single-producer single-consumer rings between shards.
//!
//! One ring carries one ordered pair of shards' messages: `ring(n)` gives the two ends, each end lives on
//! one thread, and the only things they share are the slots and two counters.
//!
//! ```text
//!            head (taken)        published            tail (written)
//!              |                     |                    |
//!    ..........[ visible to reader  ][ the open batch     ]..........
//!              <------------- at most `capacity` -------->
//! ```
//!
//! Place on the path: conversation's owner -> ring -> the shard that holds the subscriber. An end belongs
//! to one shard for as long as that shard runs.
//!
//! Invariants:
//! - *order*: values come out in the order they were put in, each exactly once;
//! - *batch*: a value is visible to the reader after [`Sender::flush`], or earlier when a quarter of the
//!   ring is waiting or the ring is found full; never before it is whole;
//! - *bound*: never more than `capacity` values, whatever either end does;
//! - *no leak*: every value is received or dropped, whichever end goes first.
//!
//! Deliberately absent: blocking, wakers and time. Who sleeps and who wakes whom is the driver's business
//! (its bell); what that asks of the two sides is told at [`Sender::flush`].

#[expect(unsafe_code, reason = "takes the slots that the counters say are the receiver's")]
mod recv;
#[expect(unsafe_code, reason = "writes the slots that the counters say are the sender's")]
mod send;
#[expect(unsafe_code, reason = "cells shared without a lock: the counters say whose each one is")]
mod slots;
#[expect(unsafe_code, reason = "the last owner drops what is left in the slots")]
mod state;
mod sync;

#[cfg(test)]
mod tests;

pub use recv::Receiver;
pub use send::{Full, Sender};
pub use state::Statistics;

/// Makes a ring for `capacity` values, rounded up to a power of two, and gives its two ends.
///
/// All memory is taken here; nothing is allocated afterwards.
///
/// # Panics
/// If `capacity` is so large that there is no power of two above it, or no memory.
#[must_use]
pub fn ring<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ends(state::State::new(capacity))
}

fn ends<T: Send>(state: state::State<T>) -> (Sender<T>, Receiver<T>) {
    let state = sync::Arc::new(state);
    (Sender::new(sync::Arc::clone(&state)), Receiver::new(state))
}
