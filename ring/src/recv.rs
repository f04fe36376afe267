//! The receiving end.

use std::fmt;

use crate::state::{State, Statistics};
use crate::sync::{Arc, Ordering};

/// The end that takes values out. Owned by one shard; dropping it drops what it was still due, and the
/// sender is refused from then on.
pub struct Receiver<T: Send> {
    state: Arc<State<T>>,
    /// Next position to take.
    head: usize,
    /// Last count stored in `state.head`. Room is given back when the batch is used up or a quarter of the
    /// ring is free, so that the sender's look at it does not take the line away at every value.
    freed: usize,
    /// A count once loaded from `state.published`.
    published: usize,
}

impl<T: Send> Receiver<T> {
    pub(crate) fn new(state: Arc<State<T>>) -> Self {
        Self { state, head: 0, freed: 0, published: 0 }
    }

    /// Takes the oldest visible value; `None` if there is none now.
    #[inline]
    pub fn recv(&mut self) -> Option<T> {
        if self.head == self.published && !self.look() {
            return None;
        }
        // SAFETY: rule R: `head < published`, loaded with Acquire; this is the only receiver, and `head`
        // was not taken before.
        let value = unsafe { self.state.slots.take(self.head) };
        self.head = self.head.wrapping_add(1);
        if self.head == self.published || self.head.wrapping_sub(self.freed) >= self.state.quarter() {
            self.free();
        }
        Some(value)
    }

    /// Whether [`recv`](Self::recv) would give nothing now. Always looks at the sender's counter: this is
    /// what a shard asks before it sleeps.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head == self.state.published.load(Ordering::Acquire)
    }

    /// Whether the sender is gone and everything it sent is taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // In this order: the sender publishes before it says that it is gone.
        self.state.gone.sender.load(Ordering::Acquire) && self.is_empty()
    }

    /// How many values the ring holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.state.slots.capacity()
    }

    /// What went through, and how often there was no room.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.state.statistics.read()
    }

    /// Looks for a new batch.
    #[cold]
    #[inline(never)]
    fn look(&mut self) -> bool {
        self.published = self.state.published.load(Ordering::Acquire);
        // At ring drain: the pair of the assertion in `Sender::publish`, on in production because it is
        // once per batch and a broken count would hand out memory that was never written.
        let visible = self.published.wrapping_sub(self.head);
        assert!(visible <= self.state.slots.capacity(), "a ring's sender published more than the ring holds");
        visible != 0
    }

    #[inline(always)]
    fn free(&mut self) {
        self.state.free(self.head);
        self.freed = self.head;
    }
}

impl<T: Send> Drop for Receiver<T> {
    fn drop(&mut self) {
        // First refuse, then empty: what a sender publishes in between is dropped with the ring itself,
        // by whichever end goes last.
        self.state.gone.receiver.store(true, Ordering::Release);
        self.free();
        while let Some(value) = self.recv() {
            // Counted as taken before it is dropped: if its drop panics, the ring does not drop it again.
            self.free();
            drop(value);
        }
    }
}

impl<T: Send> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("capacity", &self.capacity())
            .field("taken", &self.head)
            .field("empty", &self.is_empty())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
