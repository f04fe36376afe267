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
    /// Place in the run, from 0.
    ordinal: u32,
    previous: u32,
    /// An earlier node, as far back as makes every search logarithmic (Myers's applicative random-access
    /// stack).
    jump: u32,
}

const _: () = assert!(size_of::<Node>() == 20, "4.4 MB per shard at 220,000 messages a segment");

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
        self.nodes.push(Node { position, ordinal: 0, previous: NONE, jump: node });
        self.runs.push(Run { conversation, first, count: 1, last: node, previous });
        run
    }

    /// Adds the next entry to a run; `false` if `sequence` is not the next one.
    pub(crate) fn extend(&mut self, run: u32, sequence: u64, offset: u32, length: u32) -> bool {
        let run = &mut self.runs[run as usize];
        if sequence != run.first + u64::from(run.count) {
            return false;
        }
        let previous = self.nodes[run.last as usize];
        let jumped = self.nodes[previous.jump as usize];
        let further = self.nodes[jumped.jump as usize].ordinal;
        let jump = match previous.ordinal - jumped.ordinal == jumped.ordinal - further {
            true => jumped.jump,
            false => run.last,
        };
        let node = self.nodes.len() as u32;
        let position = Position { offset, length };
        self.nodes.push(Node { position, ordinal: run.count, previous: run.last, jump });
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
        let mut at = run.last;
        loop {
            let node = &self.nodes[at as usize];
            if node.ordinal == ordinal {
                return at;
            }
            at = match self.nodes[node.jump as usize].ordinal >= ordinal {
                true => node.jump,
                false => node.previous,
            };
        }
    }

    /// Memory held, bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>() + self.nodes.capacity() * size_of::<Node>()
    }
}
