//! What the two ends share: slots, counters, who is gone, and statistics.
//!
//! Each counter has one writer and a cache line (pair) of its own. The flags of the ends that are gone are
//! written once in a ring's life, so their line stays in both caches and costs nothing to look at.

use crossbeam_utils::CachePadded;

use crate::slots::Slots;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Counts since the ring was made. They are read by another thread while they change: each is exact,
/// the pair is not one snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Values made visible to the reader.
    pub sent: u64,
    /// Refusals because the ring was full (not: because the receiver is gone).
    pub full: u64,
}

pub(crate) struct State<T> {
    pub(crate) slots: Slots<T>,
    /// Written by the sender: positions below it hold whole values.
    pub(crate) published: CachePadded<AtomicUsize>,
    /// Written by the receiver: positions below it are empty again.
    pub(crate) head: CachePadded<AtomicUsize>,
    pub(crate) gone: CachePadded<Gone>,
    /// Written by the sender, once per batch; apart from `published`, so that whoever reads them does not
    /// disturb the receiver's polling.
    pub(crate) statistics: CachePadded<Counts>,
    /// Loom only: what the tests weaken to see that loom notices.
    #[cfg(loom)]
    pub(crate) orders: Orders,
}

#[derive(Default)]
pub(crate) struct Gone {
    pub(crate) sender: AtomicBool,
    pub(crate) receiver: AtomicBool,
}

#[derive(Default)]
pub(crate) struct Counts {
    sent: AtomicU64,
    full: AtomicU64,
}

impl Counts {
    /// Only the sender adds, so a load and a store do what a locked addition would, at a tenth of its price.
    #[inline(always)]
    pub(crate) fn add(&self, sent: u64, full: u64) {
        for (counter, more) in [(&self.sent, sent), (&self.full, full)] {
            if more != 0 {
                counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn read(&self) -> Statistics {
        Statistics { sent: self.sent.load(Ordering::Relaxed), full: self.full.load(Ordering::Relaxed) }
    }
}

/// The memory orders of the two publications; Release, except where a test plants a bug.
#[cfg(loom)]
#[derive(Clone, Copy)]
pub(crate) struct Orders {
    pub(crate) publish: Ordering,
    pub(crate) free: Ordering,
}

impl<T> State<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            slots: Slots::new(capacity),
            published: CachePadded::new(AtomicUsize::new(0)),
            head: CachePadded::new(AtomicUsize::new(0)),
            gone: CachePadded::new(Gone::default()),
            statistics: CachePadded::new(Counts::default()),
            #[cfg(loom)]
            orders: Orders { publish: Ordering::Release, free: Ordering::Release },
        }
    }

    /// How many values make a batch that is not kept back any longer, on either side.
    #[inline(always)]
    pub(crate) fn quarter(&self) -> usize {
        (self.slots.capacity() / 4).max(1)
    }

    /// Makes every position below `tail` the receiver's (rule R).
    #[inline(always)]
    pub(crate) fn publish(&self, tail: usize) {
        #[cfg(not(loom))]
        let order = Ordering::Release;
        #[cfg(loom)]
        let order = self.orders.publish;
        self.published.store(tail, order);
    }

    /// Makes every position below `head + capacity` the sender's (rule W).
    #[inline(always)]
    pub(crate) fn free(&self, head: usize) {
        #[cfg(not(loom))]
        let order = Ordering::Release;
        #[cfg(loom)]
        let order = self.orders.free;
        self.head.store(head, order);
    }
}

impl<T> Drop for State<T> {
    fn drop(&mut self) {
        // Both ends stored their counters when they went. What the sender published after the receiver had
        // emptied the ring for good is still here.
        let published = self.published.load(Ordering::Relaxed);
        let mut head = self.head.load(Ordering::Relaxed);
        while head != published {
            // SAFETY: `&mut self`: both ends are gone, and what they did happened before (the Arc's count).
            // Positions `head..published` were written and not taken.
            drop(unsafe { self.slots.take(head) });
            head = head.wrapping_add(1);
        }
    }
}
