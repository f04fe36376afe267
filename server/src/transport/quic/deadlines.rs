//! When connections have to be looked at although nothing happens to them: one heap for all.
//!
//! A connection has one entry that counts, the earliest; a later deadline needs none, because the entry that fires
//! too early finds it. So a busy connection, whose deadline moves with every datagram, writes nothing here, and an
//! idle one costs its entry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A deadline, as it stands in the heap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    at_ns: u64,
    index: u32,
    generation: u32,
}

/// Which entry of a connection counts; kept by the connection. `None`: there is none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Scheduled(Option<u64>);

/// The deadlines of all connections of a shard, nanoseconds on the monotonic clock.
#[derive(Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<Entry>>);

impl Deadlines {
    /// Sees to it that the connection is looked at by `at_ns`.
    pub(super) fn set(&mut self, scheduled: &mut Scheduled, index: u32, generation: u32, at_ns: u64) {
        if scheduled.0.is_none_or(|earliest| at_ns < earliest) {
            scheduled.0 = Some(at_ns);
            self.0.push(Reverse(Entry { at_ns, index, generation }));
        }
    }

    /// The next connection that is to be looked at by now: index, generation and what to compare with.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<(u32, u32, Scheduled)> {
        if self.0.peek()?.0.at_ns > now_ns {
            return None;
        }
        let Reverse(Entry { at_ns, index, generation }) = self.0.pop()?;
        Some((index, generation, Scheduled(Some(at_ns))))
    }

    /// The earliest deadline.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.0.peek().map(|entry| entry.0.at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_deadline_costs_no_entry_and_an_earlier_one_counts() {
        let mut deadlines = Deadlines::default();
        let mut scheduled = Scheduled::default();
        for at_ns in [100, 200, 300, 100] {
            deadlines.set(&mut scheduled, 7, 1, at_ns);
        }
        assert_eq!(deadlines.0.len(), 1);
        deadlines.set(&mut scheduled, 7, 1, 50);
        assert_eq!((deadlines.next_ns(), deadlines.0.len()), (Some(50), 2));
        assert_eq!(deadlines.pop(49), None);
        assert_eq!(deadlines.pop(50), Some((7, 1, scheduled)));
        let (_, _, stale) = deadlines.pop(100).expect("the one from before");
        assert_ne!(stale, scheduled, "the connection sees that it does not count");
    }
}
