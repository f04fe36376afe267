//! Where a conversation's entries are.
//!
//! In memory a shard keeps one [`Location`] per conversation: the last segment that holds any of it. The
//! rest is on disk: every sealed segment has an index file that leads from a conversation to its entries in
//! that segment and to the segment before it that holds the conversation. Only segments that are not sealed
//! yet have their offsets in memory ([`runs::Runs`]).
//!
//! Owner: the shard's [`Journal`](crate::Journal), for the life of the process.

pub(crate) mod build;
pub(crate) mod file;
pub(crate) mod rebuild;
pub(crate) mod runs;
pub(crate) mod seal;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::checkpoint::Floor;
use crate::history::stretch::{Start, Stretch, StretchPositions};
use crate::history::{Direction, Query};
use crate::record::Conversation;
use crate::segment::SegmentId;
use runs::{NONE, Run, Runs};

/// The last segment that holds a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Location {
    /// Which segment, as a place in [`Index::segments`].
    pub(crate) segment: u32,
    /// Which run of that segment, while it is in memory.
    pub(crate) run: u32,
}

const _: () =
    assert!(size_of::<(Conversation, Location)>() == 24, "a million conversations take 28 to 52 MB");

/// What one shard knows about where its conversations are.
#[derive(Default)]
pub struct Index {
    /// All segments there are, in replay order; those of other shards in this generation may be missing.
    segments: Vec<SegmentId>,
    locations: HashMap<Conversation, Location, foldhash::fast::RandomState>,
    /// Segments without an index file: the one being written, those about to be, those being sealed.
    unsealed: VecDeque<Unsealed>,
    /// Segments below it were removed.
    floor: Floor,
}

struct Unsealed {
    /// Place in [`Index::segments`].
    segment: u32,
    /// Starting value of its record checksums.
    seed: u32,
    runs: Arc<Runs>,
    /// Everything before this offset is synced and may be read.
    synced: u32,
}

impl Index {
    /// An index of what recovery found: the segments in replay order, and where each conversation was last.
    pub(crate) fn new(segments: Vec<SegmentId>, floor: Floor) -> Self {
        debug_assert!(segments.is_sorted());
        Self { segments, floor, ..Self::default() }
    }

    /// Segments below `floor` are removed: nothing leads to them any more.
    pub(crate) fn retire(&mut self, floor: Floor) {
        self.floor = floor;
    }

    pub(crate) fn floor(&self) -> &Floor {
        &self.floor
    }

    /// Notes that `segment`, a place in the list given to [`Index::new`], is the conversation's last.
    pub(crate) fn locate(&mut self, conversation: Conversation, segment: u32) {
        debug_assert!((segment as usize) < self.segments.len());
        self.locations.insert(conversation, Location { segment, run: NONE });
    }

    /// How many conversations have entries.
    pub fn conversations(&self) -> usize {
        self.locations.len()
    }

    /// Memory held, bytes, as far as it grows with what is stored.
    pub fn memory_bytes(&self) -> usize {
        self.locations.capacity() * (size_of::<(Conversation, Location)>() + 1)
            + self.segments.capacity() * size_of::<SegmentId>()
            + self.unsealed.iter().map(|unsealed| unsealed.runs.memory_bytes()).sum::<usize>()
    }

    /// A segment that entries will be added to. The newest; earlier ones take no more.
    pub(crate) fn begin(&mut self, id: SegmentId, seed: u32, recycled: Option<Runs>) {
        let segment = u32::try_from(self.segments.len()).expect("fewer than 2^32 segments");
        self.segments.push(id);
        let mut runs = recycled.unwrap_or_default();
        runs.reset();
        self.unsealed.push_back(Unsealed { segment, seed, runs: Arc::new(runs), synced: 0 });
    }

    /// An entry was appended at `offset` of the newest segment.
    pub(crate) fn add(&mut self, conversation: &Conversation, sequence: u64, offset: u32, length: u32) {
        let newest = self.unsealed.back_mut().expect("a segment has begun");
        let runs = Arc::get_mut(&mut newest.runs).expect("the newest segment is not being sealed");
        let fresh = Location { segment: newest.segment, run: NONE };
        let location = self.locations.entry(*conversation).or_insert(Location { segment: NONE, run: NONE });
        if location.segment == newest.segment && runs.extend(location.run, sequence, offset, length) {
            return;
        }
        let run = runs.start(*conversation, *location, sequence, offset, length);
        *location = Location { run, ..fresh };
    }

    /// Everything before `end` of a segment is synced.
    pub(crate) fn synced(&mut self, id: SegmentId, end: u32) {
        let segments = &self.segments;
        let unsealed = self.unsealed.iter_mut().find(|unsealed| segments[unsealed.segment as usize] == id);
        unsealed.expect("the segment is being written").synced = end;
    }

    /// The runs of a segment that takes no more entries, for its index job.
    pub(crate) fn runs(&self, id: SegmentId) -> Arc<Runs> {
        let unsealed = self.unsealed.iter().find(|unsealed| self.segments[unsealed.segment as usize] == id);
        Arc::clone(&unsealed.expect("the segment is not sealed").runs)
    }

    /// The index file is published: the memory is not needed any more. Returned for reuse.
    pub(crate) fn sealed(&mut self, id: SegmentId) -> Option<Runs> {
        let place =
            self.unsealed.iter().position(|unsealed| self.segments[unsealed.segment as usize] == id)?;
        self.unsealed.remove(place).and_then(|unsealed| Arc::into_inner(unsealed.runs))
    }

    /// What memory knows towards answering a query: entries of segments without an index file, and where
    /// the walk through index files begins.
    pub(crate) fn start(&self, query: &Query) -> Start {
        let mut start = Start::default();
        let mut at = self.locations.get(&query.conversation).copied();
        while let Some(location) = at.filter(|location| location.segment != NONE) {
            let Some(unsealed) = self.unsealed.iter().find(|unsealed| unsealed.segment == location.segment)
            else {
                let next = self.segments[location.segment as usize];
                start.next = (!self.floor.covers(next)).then_some(next);
                break;
            };
            let run = unsealed.runs.run(location.run);
            let visible = unsealed.runs.before(run, unsealed.synced);
            if visible > 0 {
                start.stretches.push(self.stretch(unsealed, run, visible, query));
            }
            at = Some(run.previous);
        }
        start
    }

    /// The entries of a run in memory that may answer a query: at most as many as it wants.
    fn stretch(&self, unsealed: &Unsealed, run: &Run, visible: u32, query: &Query) -> Stretch {
        let (segment, none) = (self.segments[unsealed.segment as usize], StretchPositions::Known(Vec::new()));
        let mut stretch = Stretch::new(segment, unsealed.seed, run.first, visible, none, false);
        let (first, last) = stretch.run;
        let limit = u64::from(query.limit);
        let range = match query.direction {
            Direction::Backward => {
                (first.max(query.from.min(last).saturating_sub(limit - 1)), query.from.min(last))
            }
            Direction::Forward => {
                (first.max(query.from), last.min(query.from.max(first).saturating_add(limit - 1)))
            }
        };
        stretch.count = match range.0 <= range.1 && range.0 <= last && range.1 >= first {
            true => (range.1 - range.0 + 1) as u32,
            false => 0,
        };
        if stretch.count > 0 {
            stretch.first = range.0;
            let newest = (range.1 - first) as u32;
            let positions = unsealed.runs.backward(run, newest).take(stretch.count as usize);
            let mut positions: Vec<_> = positions.collect();
            positions.reverse();
            stretch.positions = StretchPositions::Known(positions);
        }
        stretch
    }

    /// All segments, in replay order.
    pub(crate) fn segments(&self) -> &[SegmentId] {
        &self.segments
    }
}
