//! One request for history: which records answer it.
//!
//! ```text
//! memory -> walk back through index files -> positions -> records -> page
//! ```
//!
//! Backward, the walk ends as soon as enough entries are found. Forward, it goes back to the run that holds
//! the first sequence wanted, remembering the runs it passed (at most as many as entries are wanted, the
//! oldest of them), and the page is filled from there.

use std::collections::VecDeque;

use super::page::{Direction, Entry, Page, Query};
use super::stretch::{Span, Start, Stretch, StretchPositions, Wanted};
use crate::format::record;
use crate::index::file::{IndexHeader, IndexRun, Positions};
use crate::limits;
use crate::segment::SegmentId;

/// Where to look next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) segment: SegmentId,
    /// Header of its index and the page to look at, once the directory has said so. Remembered here, so that
    /// a request gets on even if the cache is too small to keep directory and page at once.
    pub(super) page: Option<(IndexHeader, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Walking,
    ReadingPositions,
    ReadingRecords,
}

/// A request under way.
pub(super) struct Fetch {
    pub(super) tag: u64,
    pub(super) query: Query,
    start: Start,
    pub(super) stage: Stage,
    /// Where to look next; meaningful while walking.
    pub(super) next: Option<Place>,
    /// The walk has found all it wants.
    enough: bool,
    /// Newest first.
    pub(super) stretches: VecDeque<Stretch>,
    /// Entries in the stretches; backward only.
    found: u32,
    newest: u64,
    /// Ascending, once positions are known.
    pub(super) wanted: Vec<Wanted>,
    /// As many as wanted; filled as reads come back.
    pub(super) entries: Vec<Option<Entry>>,
    more: bool,
    /// Reads of positions or records that are not done.
    pub(super) outstanding: usize,
    /// Segments whose index was made anew for it. If that did not help, the segment is damaged.
    pub(super) rebuilt: Vec<SegmentId>,
}

impl Fetch {
    /// Begins with what memory knows.
    pub(super) fn new(tag: u64, query: Query, start: Start) -> Self {
        let mut fetch = Self {
            tag,
            query,
            start,
            stage: Stage::Walking,
            next: None,
            enough: false,
            stretches: VecDeque::new(),
            found: 0,
            newest: 0,
            wanted: Vec::new(),
            entries: Vec::new(),
            more: false,
            outstanding: 0,
            rebuilt: Vec::new(),
        };
        fetch.restart();
        fetch
    }

    /// Begins again.
    pub(super) fn restart(&mut self) {
        let start = self.start.clone();
        self.stage = Stage::Walking;
        self.next = start.next.map(|segment| Place { segment, page: None });
        self.newest = 0;
        (self.enough, self.more, self.found, self.outstanding) = (false, false, 0, 0);
        self.stretches.clear();
        self.wanted.clear();
        self.entries.clear();
        for stretch in start.stretches {
            self.more |= self.enough;
            self.take(stretch);
        }
    }

    /// Where to look next; `None` once the walk is over.
    pub(super) fn look(&self) -> Option<Place> {
        self.next.filter(|_| !self.enough)
    }

    /// A segment's index was looked up: takes the runs that may be in the page, and walks on.
    pub(super) fn found(&mut self, segment: SegmentId, header: &IndexHeader, runs: &[IndexRun], page: u32) {
        for run in runs.iter().rev() {
            if self.enough {
                self.more = true;
                return;
            }
            let positions = match run.positions {
                Positions::Inline(position) => StretchPositions::Known(vec![position]),
                Positions::Listed(place) => StretchPositions::At(header.position_offset(place)),
            };
            let seed = header.salt.seed();
            self.take(Stretch::new(segment, seed, run.first, run.count, positions, true));
            self.next = run.previous.map(|previous| match previous == segment {
                // Only where runs of one conversation fill more than a page.
                true => Place { segment, page: page.checked_sub(1).map(|page| (*header, page)) },
                false => Place { segment: previous, page: None },
            });
        }
    }

    /// Keeps of a run what may be in the page.
    fn take(&mut self, mut stretch: Stretch) {
        let Query { from, direction, limit, .. } = self.query;
        if self.enough {
            return;
        }
        self.newest = self.newest.max(stretch.run.1);
        match direction {
            Direction::Backward => {
                let wanted = stretch.keep_newest(from, limit - self.found);
                self.found += wanted;
                self.enough = self.found == limit;
                self.more |= wanted > 0 && stretch.first > stretch.run.0;
            }
            Direction::Forward => {
                self.enough = stretch.run.0 <= from;
                stretch.keep_oldest(from, limit);
            }
        }
        if stretch.count > 0 {
            self.stretches.push_back(stretch);
        }
        if self.stretches.len() > limit as usize {
            self.stretches.pop_front();
        }
    }

    /// Chooses the page's entries; all positions are known. Returns the reads that bring them, or the
    /// segment whose index gave a position that makes no sense.
    pub(super) fn choose(&mut self) -> Result<Vec<Span>, SegmentId> {
        let Query { direction, limit, bytes_max, .. } = self.query;
        let mut bytes = 0;
        let mut full = false;
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut add = |entry: Wanted| {
            let payload = (entry.position.length as usize).saturating_sub(record::HEADER_BYTES);
            full =
                full || wanted.len() == limit as usize || !wanted.is_empty() && bytes + payload > bytes_max;
            if !full {
                bytes += payload;
                wanted.push(entry);
            }
        };
        match direction {
            Direction::Backward => {
                self.stretches.iter().for_each(|stretch| stretch.wanted().rev().for_each(&mut add));
                self.more |= full || self.next.is_some();
                wanted.reverse();
            }
            Direction::Forward => {
                self.stretches.iter().rev().for_each(|stretch| stretch.wanted().for_each(&mut add));
                self.more = wanted.last().is_some_and(|last| last.sequence < self.newest);
            }
        }
        if let Some(senseless) = wanted.iter().find(|wanted| !wanted.position.makes_sense()) {
            return Err(senseless.segment);
        }
        self.entries = vec![None; wanted.len()];
        self.wanted = wanted;
        Ok(self.spans())
    }

    /// Neighbours in a segment are read at once.
    fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (place, wanted) in self.wanted.iter().enumerate() {
            let position = wanted.position;
            let end = position.offset + position.length;
            if let Some(span) = spans.last_mut().filter(|span| span.segment == wanted.segment)
                && let Some(gap) = position.offset.checked_sub(span.offset + span.bytes)
                && gap <= limits::READ_GAP_BYTES
                && end - span.offset <= limits::READ_BYTES_MAX
            {
                span.bytes = end - span.offset;
                span.wanted.1 = place;
                continue;
            }
            let (segment, offset, bytes) = (wanted.segment, position.offset, position.length);
            spans.push(Span { segment, offset, bytes, wanted: (place, place) });
        }
        spans
    }

    /// The answer; all reads are done.
    pub(super) fn page(self) -> Page {
        debug_assert!(self.entries.iter().all(Option::is_some), "every read is done");
        Page { entries: self.entries.into_iter().flatten().collect(), more: self.more }
    }
}
