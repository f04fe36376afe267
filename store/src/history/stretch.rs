//! Pieces of runs, and the reads that bring them.

use crate::format::header::DATA_OFFSET;
use crate::format::record;
use crate::index::file::POSITION_BYTES;
use crate::index::runs::Position;
use crate::limits;
use crate::segment::SegmentId;

/// Entries of one run that may be in a page.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) segment: SegmentId,
    /// Starting value of the segment's record checksums.
    pub(crate) seed: u32,
    /// First and last sequence of the whole run, as far as it may be read.
    pub(crate) run: (u64, u64),
    /// Sequence of the first one kept.
    pub(crate) first: u64,
    /// How many are kept.
    pub(crate) count: u32,
    /// As many as are kept.
    pub(crate) positions: StretchPositions,
    /// An index file said so; if it is wrong it can be rebuilt.
    pub(crate) indexed: bool,
}

/// Where the positions of a stretch are.
#[derive(Clone, Debug)]
pub(crate) enum StretchPositions {
    Known(Vec<Position>),
    /// At this byte of the index file.
    At(u64),
}

/// What memory knew when a request came.
#[derive(Clone, Default, Debug)]
pub(crate) struct Start {
    /// Newest first.
    pub(crate) stretches: Vec<Stretch>,
    /// Where the walk goes on.
    pub(crate) next: Option<SegmentId>,
}

/// One entry that belongs in the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) segment: SegmentId,
    pub(super) seed: u32,
    pub(super) sequence: u64,
    pub(super) position: Position,
    pub(super) indexed: bool,
}

/// One read of records: neighbours in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) segment: SegmentId,
    pub(super) offset: u32,
    pub(super) bytes: u32,
    /// First and last place among the wanted entries.
    pub(super) wanted: (usize, usize),
}

impl Stretch {
    /// A whole run.
    pub(crate) fn new(
        segment: SegmentId,
        seed: u32,
        first: u64,
        count: u32,
        positions: StretchPositions,
        indexed: bool,
    ) -> Self {
        let last = first.saturating_add(u64::from(count).saturating_sub(1));
        Self { segment, seed, run: (first, last), first, count, positions, indexed }
    }

    fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count).saturating_sub(1))
    }

    /// Keeps the newest `limit` entries that are not after `from`. Returns how many.
    pub(super) fn keep_newest(&mut self, from: u64, limit: u32) -> u32 {
        let (first, last) = (self.first, self.last().min(from));
        if self.count == 0 || first > last {
            return self.keep(0, 0);
        }
        let wanted = (last - first + 1).min(u64::from(limit));
        self.keep((last - first + 1 - wanted) as u32, wanted as u32)
    }

    /// Keeps the oldest `limit` entries that are not before `from`. Returns how many.
    pub(super) fn keep_oldest(&mut self, from: u64, limit: u32) -> u32 {
        let (first, last) = (self.first.max(from), self.last());
        if self.count == 0 || first > last {
            return self.keep(0, 0);
        }
        let wanted = (last - first + 1).min(u64::from(limit));
        self.keep((first - self.first) as u32, wanted as u32)
    }

    fn keep(&mut self, skip: u32, count: u32) -> u32 {
        match &mut self.positions {
            StretchPositions::Known(positions) => {
                positions.truncate((skip + count) as usize);
                positions.drain(..(skip as usize).min(positions.len()));
            }
            StretchPositions::At(offset) => *offset += u64::from(skip) * POSITION_BYTES as u64,
        }
        self.first += u64::from(skip);
        self.count = count;
        count
    }

    /// The entries, ascending. Their positions are known.
    pub(super) fn wanted(&self) -> impl DoubleEndedIterator<Item = Wanted> + '_ {
        let positions = match &self.positions {
            StretchPositions::Known(positions) => positions.as_slice(),
            StretchPositions::At(_) => &[],
        };
        debug_assert_eq!(positions.len(), self.count as usize);
        positions.iter().enumerate().map(|(place, position)| Wanted {
            segment: self.segment,
            seed: self.seed,
            sequence: self.first + place as u64,
            position: *position,
            indexed: self.indexed,
        })
    }
}

impl Position {
    /// Whether a record could lie there. What an index file says is not trusted with an allocation.
    pub(crate) fn makes_sense(self) -> bool {
        let most = record::encoded_bytes(limits::PAYLOAD_BYTES_MAX) as u32;
        self.offset >= DATA_OFFSET
            && (record::HEADER_BYTES as u32..=most).contains(&self.length)
            && self.offset < limits::SEGMENT_BYTES_MAX
    }
}
