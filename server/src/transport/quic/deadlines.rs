//! When connections have to be looked at although nothing happens to them: one ordered set for all.
//!
//! A connection has one entry. A deadline that moves back leaves it alone, because the entry that fires too early
//! finds the later one; one that comes forward replaces it. So a busy connection, whose deadline moves with every
//! datagram, mostly writes nothing here, and an idle one costs its entry. (A heap without removal was tried: a
//! connection that is spoken to ten times a second left six hundred entries in it, each until its idle time-out.)

use std::collections::BTreeSet;

/// When a connection is to be looked at, nanoseconds on the monotonic clock; kept by the connection.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Scheduled(Option<u64>);

/// The deadlines of all connections of a shard, by index.
#[derive(Default)]
pub(super) struct Deadlines(BTreeSet<(u64, u32)>);

impl Deadlines {
    /// Sees to it that the connection is looked at by `at_ns`.
    pub(super) fn set(&mut self, scheduled: &mut Scheduled, index: u32, at_ns: u64) {
        if scheduled.0.is_none_or(|earlier| at_ns < earlier) {
            self.forget(*scheduled, index);
            scheduled.0 = Some(at_ns);
            self.0.insert((at_ns, index));
        }
    }

    /// A connection is not there any more.
    pub(super) fn forget(&mut self, scheduled: Scheduled, index: u32) {
        if let Some(at_ns) = scheduled.0 {
            self.0.remove(&(at_ns, index));
        }
    }

    /// The next connection that is to be looked at by now. It has no entry from then on.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<u32> {
        self.next_ns().filter(|at_ns| *at_ns <= now_ns)?;
        self.0.pop_first().map(|(_, index)| index)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The earliest deadline.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.0.first().map(|(at_ns, _)| *at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_one_entry_the_earliest_that_was_asked_for() {
        let mut deadlines = Deadlines::default();
        let mut scheduled = Scheduled::default();
        for at_ns in [100, 200, 300, 100] {
            deadlines.set(&mut scheduled, 7, at_ns);
        }
        deadlines.set(&mut scheduled, 7, 50);
        assert_eq!((deadlines.next_ns(), deadlines.0.len()), (Some(50), 1));
        assert_eq!(deadlines.pop(49), None);
        assert_eq!((deadlines.pop(50), deadlines.pop(1000)), (Some(7), None));
        let mut again = Scheduled::default();
        deadlines.set(&mut again, 7, 60);
        deadlines.forget(again, 7);
        assert_eq!(deadlines.next_ns(), None);
    }
}
