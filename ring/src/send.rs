//! The sending end.

use std::fmt;

use crate::state::{State, Statistics};
use crate::sync::{Arc, Ordering};

/// The value was not taken: the ring is full, or its receiver is gone ([`Sender::is_closed`]). Here it is
/// back; its fate (drop, stall, close) is the caller's to choose.
#[derive(PartialEq, Eq, Clone, Copy)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring is full or its receiver is gone; keep the value and try again after the receiver's turn")
    }
}

impl<T> std::error::Error for Full<T> {}

/// The end that puts values in. Owned by one shard; dropping it publishes what was written and closes the
/// ring, so the receiver still gets everything.
pub struct Sender<T: Send> {
    state: Arc<State<T>>,
    /// Next position to write.
    tail: usize,
    /// Last count stored in `state.published`.
    published: usize,
    /// A count once loaded from `state.head`: looked up again only when the ring seems full by it, so that
    /// the receiver's line is touched once per round of the ring instead of once per value.
    head: usize,
    /// Published since the last `flush`, by the quarter rule or because the ring was full: somebody has
    /// still to be told.
    untold: bool,
}

impl<T: Send> Sender<T> {
    pub(crate) fn new(state: Arc<State<T>>) -> Self {
        Self { state, tail: 0, published: 0, head: 0, untold: false }
    }

    /// Puts a value into the open batch.
    ///
    /// # Errors
    /// Gives the value back if the ring is full or the receiver is gone. What was written before is then
    /// visible to the receiver already, so waiting for room needs no flush (but the bell does).
    #[inline]
    pub fn try_send(&mut self, value: T) -> Result<(), Full<T>> {
        if self.is_closed() {
            return Err(Full(value));
        }
        let capacity = self.state.slots.capacity();
        if self.tail.wrapping_sub(self.head) == capacity {
            self.head = self.state.head.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head) == capacity {
                self.publish();
                self.state.statistics.add(0, 1);
                return Err(Full(value));
            }
        }
        // SAFETY: rule W: `tail < head + capacity` was just seen, with a `head` loaded with Acquire, now or
        // earlier; this is the only sender and `tail` was not written since the receiver freed it.
        unsafe { self.state.slots.write(self.tail, value) };
        self.tail = self.tail.wrapping_add(1);
        if self.tail.wrapping_sub(self.published) >= self.state.quarter() {
            self.publish();
        }
        Ok(())
    }

    /// Makes everything written visible to the receiver; `true` if anything became visible since the last
    /// call, by this one or by itself: then, and only then, the receiver's bell is to be rung.
    ///
    /// For a receiver that sleeps the two sides must agree: the receiver *says* that it sleeps, then a
    /// sequentially consistent fence, then looks at [`is_empty`](crate::Receiver::is_empty) once more; the
    /// sender flushes, then the same fence, then looks whether the receiver said so. Without both fences
    /// each can miss the other (the crate's loom tests show it).
    #[inline]
    pub fn flush(&mut self) -> bool {
        self.publish();
        std::mem::replace(&mut self.untold, false)
    }

    /// How many values [`try_send`](Self::try_send) takes for certain before it refuses one; 0 once the
    /// receiver is gone. Looks at the receiver's counter: ask once per batch, not per value.
    pub fn free(&mut self) -> usize {
        if self.is_closed() {
            return 0;
        }
        self.head = self.state.head.load(Ordering::Acquire);
        self.state.slots.capacity() - self.tail.wrapping_sub(self.head)
    }

    /// How many values the ring holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.state.slots.capacity()
    }

    /// Whether the receiver is gone; nothing will be taken any more.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.gone.receiver.load(Ordering::Acquire)
    }

    /// What went through, and how often there was no room.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.state.statistics.read()
    }

    #[inline(always)]
    fn publish(&mut self) {
        if self.tail == self.published {
            return;
        }
        // At ring fill: the pair of the assertion in `Receiver::look`.
        assert!(
            self.tail.wrapping_sub(self.head) <= self.state.slots.capacity(),
            "a ring holds more than it can"
        );
        self.state.publish(self.tail);
        self.state.statistics.add(self.tail.wrapping_sub(self.published) as u64, 0);
        self.published = self.tail;
        self.untold = true;
    }
}

impl<T: Send> Drop for Sender<T> {
    fn drop(&mut self) {
        self.publish();
        // Release, after the last publication: a receiver that sees this sees all values too.
        self.state.gone.sender.store(true, Ordering::Release);
    }
}

impl<T: Send> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.capacity())
            .field("written", &self.tail)
            .field("published", &self.published)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
