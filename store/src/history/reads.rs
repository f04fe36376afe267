//! History's reads: what they are for, and what to do with what they bring.

use std::io;

use bytes::Bytes;

use super::cache::{Loaded, Part};
use super::fetch::{Place, Stage};
use super::files::FileKey;
use super::stretch::{Span, StretchPositions};
use super::{Entry, FetchError, History, HistoryOp, InFlight, Purpose};
use crate::format::record;
use crate::index::file::{self, IndexHeader, PAGE_BYTES, POSITION_BYTES};
use crate::index::rebuild::Rebuild;
use crate::index::runs::Position;
use crate::limits;
use crate::segment::SegmentId;

impl History {
    /// Loads a part of an index for a fetch, unless that is under way.
    pub(super) fn load(&mut self, part: Part, place: Place, fetch: u64) {
        let waiting = self.loading.entry(part).or_default();
        waiting.push(fetch);
        if waiting.len() > 1 {
            return;
        }
        match part {
            Part::Front(id) => {
                self.ask(Purpose::Front(id, false), FileKey::Index(id), 0, limits::FRONT_READ_BYTES);
            }
            Part::Page(id, page) => {
                let offset = place.page.map_or(0, |(header, _)| header.page_offset(page));
                self.ask(Purpose::Page(id, page), FileKey::Index(id), offset, PAGE_BYTES as u32);
            }
        }
    }

    fn ask(&mut self, purpose: Purpose, key: FileKey, offset: u64, bytes: u32) {
        self.queue.push_back((purpose, key, offset, bytes));
    }

    /// A part is there: whoever waited for it goes on.
    pub(super) fn loaded(&mut self, part: Part, loaded: Loaded) {
        self.cache.insert(part, loaded);
        for id in self.loading.remove(&part).unwrap_or_default() {
            self.advance(id);
        }
    }

    /// Header and directory, or as much of them as one read brings.
    pub(super) fn front_read(&mut self, id: SegmentId, whole: bool, data: &[u8]) {
        let part = Part::Front(id);
        let Some(header) = IndexHeader::decode(data).filter(|header| header.id == id) else {
            return self.index_broken(part, "the header of its index is damaged");
        };
        let bytes = header.front_bytes();
        if data.len() >= bytes {
            return match file::decode_directory(data, &header) {
                Some(directory) => self.loaded(part, Loaded::Front(header, directory)),
                None => self.index_broken(part, "the directory of its index is damaged"),
            };
        }
        // A longer directory than expected: once more, all of it.
        match u32::try_from(bytes) {
            Ok(bytes) if !whole && bytes <= limits::FRONT_BYTES_MAX => {
                self.ask(Purpose::Front(id, true), FileKey::Index(id), 0, bytes);
            }
            _ => self.index_broken(part, "the directory of its index is cut short"),
        }
    }

    /// Asks for the positions that are not known yet.
    pub(super) fn read_positions(&mut self, id: u64) {
        let Some(fetch) = self.fetches.get_mut(&id) else { return };
        fetch.stage = Stage::ReadingPositions;
        for (place, stretch) in fetch.stretches.iter().enumerate() {
            if let StretchPositions::At(offset) = stretch.positions {
                let bytes = stretch.count * POSITION_BYTES as u32;
                let key = FileKey::Index(stretch.segment);
                self.queue.push_back((Purpose::Positions(id, place), key, offset, bytes));
                fetch.outstanding += 1;
            }
        }
    }

    /// Positions of one stretch.
    pub(super) fn positions_read(&mut self, id: u64, place: usize, data: &[u8]) {
        let Some(fetch) = self.fetches.get_mut(&id) else { return };
        let stretch = &mut fetch.stretches[place];
        let positions: Option<Vec<_>> = data.chunks_exact(POSITION_BYTES).map(Position::decode).collect();
        match positions.filter(|_| data.len() == stretch.count as usize * POSITION_BYTES) {
            Some(positions) => stretch.positions = StretchPositions::Known(positions),
            None => {
                let segment = stretch.segment;
                return self.rebuild(segment, vec![id], "the list of positions in its index is damaged");
            }
        }
        fetch.outstanding -= 1;
        if fetch.outstanding == 0 {
            self.advance(id);
        }
    }

    /// Asks for the records of a page.
    pub(super) fn read_records(&mut self, id: u64, spans: Vec<Span>) {
        let Some(fetch) = self.fetches.get_mut(&id) else { return };
        fetch.stage = Stage::ReadingRecords;
        fetch.outstanding = spans.len();
        for span in spans {
            let key = FileKey::Segment(span.segment);
            self.queue.push_back((Purpose::Records(id, span), key, u64::from(span.offset), span.bytes));
        }
    }

    /// Records of one span.
    pub(super) fn records_read(&mut self, id: u64, span: Span, data: &Bytes) {
        let Some(fetch) = self.fetches.get_mut(&id) else { return };
        for place in span.wanted.0..=span.wanted.1 {
            let wanted = fetch.wanted[place];
            let at = (wanted.position.offset - span.offset) as usize;
            let bytes = data.get(at..at + wanted.position.length as usize);
            let record = bytes.and_then(|bytes| record::decode(bytes, wanted.seed)).filter(|record| {
                record.sequence == wanted.sequence && record.conversation == fetch.query.conversation
            });
            let Some(record) = record else {
                if wanted.indexed && !fetch.rebuilt.contains(&wanted.segment) {
                    return self.rebuild(wanted.segment, vec![id], "its index leads to something else");
                }
                let (segment, offset) = (wanted.segment, u64::from(wanted.position.offset));
                let what = format!("entry {} is not there, or is not what was written", wanted.sequence);
                return self.fail(id, FetchError::Damaged { segment, offset, what });
            };
            let payload = data.slice(at + record::HEADER_BYTES..at + wanted.position.length as usize);
            let (kind, sequence, time_ms) = (record.kind, record.sequence, record.time_ms);
            fetch.entries[place] = Some(Entry { kind, sequence, time_ms, payload });
        }
        fetch.outstanding -= 1;
        if fetch.outstanding == 0 {
            self.answer(id);
        }
    }

    /// A part of an index cannot be used: those who waited for it wait for a new index.
    pub(super) fn index_broken(&mut self, part: Part, why: &str) {
        let fetches = self.loading.remove(&part).unwrap_or_default();
        self.rebuild(part.segment(), fetches, why);
    }

    /// Has a segment's index rebuilt. A fetch for which that was done before fails: then the segment itself
    /// is damaged.
    pub(super) fn rebuild(&mut self, segment: SegmentId, fetches: Vec<u64>, why: &str) {
        for id in fetches {
            let Some(mut fetch) = self.fetches.remove(&id) else { continue };
            if fetch.rebuilt.contains(&segment) {
                let what = format!("{why}, even after the index was rebuilt");
                self.done.push_back((fetch.tag, Err(FetchError::Damaged { segment, offset: 0, what })));
                continue;
            }
            fetch.rebuilt.push(segment);
            fetch.restart();
            // Under a new number: what the old one still reads means nothing any more.
            let id = self.fetch_next;
            self.fetch_next += 1;
            self.fetches.insert(id, fetch);
            let waiting = self.rebuilding.entry(segment).or_default();
            waiting.push(id);
            if waiting.len() == 1 {
                tracing::warn!(%segment, why, "the index of a segment cannot be used; rebuilding it");
                self.ops.push_back(HistoryOp::Rebuild(Rebuild { segment }));
            }
        }
    }

    /// The disk refused a read, or its file could not be opened.
    pub(super) fn read_failed(&mut self, read: &InFlight, error: &io::Error) {
        let io = || FetchError::Io { name: read.key.name(), why: error.to_string() };
        // A missing index can be made again; for anything else the disk is to blame.
        let missing = error.kind() == io::ErrorKind::NotFound;
        let part = match read.purpose {
            Purpose::Front(id, _) => Part::Front(id),
            Purpose::Page(id, page) => Part::Page(id, page),
            Purpose::Positions(fetch, _) if missing => {
                let FileKey::Index(segment) = read.key else { unreachable!("positions are in index files") };
                return self.rebuild(segment, vec![fetch], "its index is missing");
            }
            Purpose::Positions(fetch, _) | Purpose::Records(fetch, _) => return self.fail(fetch, io()),
        };
        if missing {
            return self.index_broken(part, "its index is missing");
        }
        for id in self.loading.remove(&part).unwrap_or_default() {
            self.fail(id, io());
        }
    }
}
