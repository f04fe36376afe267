//! Entry offsets of one segment that has no index file yet.
//!
//! A run is a stretch of dense sequences of one conversation. Its entries are nodes in one shared vector,
//! each with a link to the one before and a longer jump back, so that the place of any sequence is found in
//! a logarithmic number of steps, nothing is allocated per conversation, and all of it is freed at once (a
//! vector per conversation cost an allocation per message where traffic is spread widely, and a stall of
//! milliseconds when a segment's worth of them was freed on the shard).

use crate::index::Location;
use crate::record::Conversation;

/// No run, node or segment.
pub(crate) const NONE: u32 = u32::MAX;

/// Where an entry lies in its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    pub(crate) offset: u32,
    /// Bytes of the record with its header.
    pub(crate) length: u32,
}

/// Dense sequences of one conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) conversation: Conversation,
    /// Sequence of the first entry.
    pub(crate) first: u64,
    pub(crate) count: u32,
    /// The newest entry's node.
    last: u32,
    /// Where the conversation was before.
    pub(crate) previous: Location,
}

#[derive(Clone, Copy)]
struct Node {
    position: Position,
    previous: u32,
    /// The node at [`jump_of`] this one's place in the run.
    jump: u32,
}

const _: () = assert!(size_of::<Node>() == 16, "3.5 MB per shard at 220,000 messages a segment");

/// How far back the entry at `ordinal` (its place in the run, from 0) has its jump: as far as makes every search
/// logarithmic (Myers, "An applicative random-access stack", 1983). It is the ordinal less the lowest digit of
/// its skew-binary form, whose digits weigh 1, 3, 7, 15 and so on; reckoned, because looking at the nodes in between
/// misses the caches.
fn jump_of(ordinal: u32) -> u32 {
    let mut rest = ordinal;
    loop {
        let weight = (1 << (rest + 1).ilog2()) - 1;
        if rest == weight {
            return ordinal - weight;
        }
        rest -= weight;
    }
}

/// All runs of one segment.
#[derive(Default)]
pub(crate) struct Runs {
    runs: Vec<Run>,
    nodes: Vec<Node>,
}

impl Runs {
    /// Forgets everything but the memory.
    pub(crate) fn reset(&mut self) {
        self.runs.clear();
        self.nodes.clear();
    }

    /// Begins a run.
    pub(crate) fn start(
        &mut self,
        conversation: Conversation,
        previous: Location,
        first: u64,
        offset: u32,
        length: u32,
    ) -> u32 {
        let run = self.runs.len() as u32;
        let node = self.nodes.len() as u32;
        let position = Position { offset, length };
        self.nodes.push(Node { position, previous: NONE, jump: node });
        self.runs.push(Run { conversation, first, count: 1, last: node, previous });
        run
    }

    /// Adds the next entry to a run; `false` if `sequence` is not the next one.
    pub(crate) fn extend(&mut self, run: u32, sequence: u64, offset: u32, length: u32) -> bool {
        let run = &mut self.runs[run as usize];
        if sequence != run.first + u64::from(run.count) {
            return false;
        }
        // Either the entry before, or where that one leads in two jumps.
        let jump = match jump_of(run.count) + 1 == run.count {
            true => run.last,
            false => self.nodes[self.nodes[run.last as usize].jump as usize].jump,
        };
        let node = self.nodes.len() as u32;
        let position = Position { offset, length };
        self.nodes.push(Node { position, previous: run.last, jump });
        run.last = node;
        run.count += 1;
        true
    }

    /// One run.
    pub(crate) fn run(&self, run: u32) -> &Run {
        &self.runs[run as usize]
    }

    /// All runs, in order of their beginning.
    pub(crate) fn all(&self) -> &[Run] {
        &self.runs
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> usize {
        self.nodes.len()
    }

    /// Sets where each conversation was before its first run.
    pub(crate) fn set_previous(&mut self, previous: impl Fn(&Conversation) -> u32) {
        for run in self.runs.iter_mut().filter(|run| run.previous.segment == NONE) {
            run.previous.segment = previous(&run.conversation);
        }
    }

    /// How many entries of a run lie before byte `end` of the segment.
    pub(crate) fn before(&self, run: &Run, end: u32) -> u32 {
        let lies_before = |node: u32| self.nodes[node as usize].position.offset < end;
        if lies_before(run.last) {
            return run.count;
        }
        let (mut low, mut high) = (0, run.count - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match lies_before(self.find(run, middle)) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// Positions of a run from the one at `ordinal` (counted from 0) backward.
    pub(crate) fn backward(&self, run: &Run, ordinal: u32) -> impl Iterator<Item = Position> + '_ {
        let mut node = match ordinal < run.count {
            true => self.find(run, ordinal),
            false => NONE,
        };
        std::iter::from_fn(move || {
            let found = self.nodes.get(node as usize)?;
            node = found.previous;
            Some(found.position)
        })
    }

    fn find(&self, run: &Run, ordinal: u32) -> u32 {
        let (mut at, mut at_ordinal) = (run.last, run.count - 1);
        while at_ordinal != ordinal {
            let node = &self.nodes[at as usize];
            (at, at_ordinal) = match jump_of(at_ordinal) {
                jump if jump >= ordinal => (node.jump, jump),
                _ => (node.previous, at_ordinal - 1),
            };
        }
        at
    }

    /// Memory held, bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>() + self.nodes.capacity() * size_of::<Node>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_in_logarithmic_time() {
        const ENTRIES: u32 = 5_000;
        let (mut runs, nowhere) = (Runs::default(), Location { segment: NONE, run: NONE });
        let run = runs.start([1; 16], nowhere, 1, 0, 1);
        // Another run's entries lie in between.
        let other = runs.start([2; 16], nowhere, 1, 1, 1);
        for nth in 1..ENTRIES {
            assert!(runs.extend(run, u64::from(nth) + 1, nth * 10, nth));
            assert!(nth % 3 != 0 || runs.extend(other, u64::from(nth) / 3 + 1, nth * 10 + 1, 1));
        }
        assert!(!runs.extend(run, 1, 0, 1), "sequences of a run are dense");
        let run = *runs.run(run);
        for nth in 1..ENTRIES {
            let found = runs.backward(&run, nth).next();
            assert_eq!(found, Some(Position { offset: nth * 10, length: nth }));
            assert_eq!(runs.before(&run, nth * 10), nth);
        }
        // The rule by which the paper builds it.
        for ordinal in 1..ENTRIES {
            let (before, jumped) = (ordinal - 1, jump_of(ordinal - 1));
            let further = jump_of(jumped);
            let equal = before - jumped == jumped - further;
            assert_eq!(jump_of(ordinal), if equal { further } else { before });
        }
    }
}
