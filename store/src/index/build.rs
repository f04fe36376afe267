//! The index of a segment that is read from disk: recovery's tails, rebuilt indexes.

use std::collections::HashMap;

use super::Location;
use super::file::IndexHeader;
use super::runs::{NONE, Runs};
use crate::format::batch::{self, BatchHeader};
use crate::format::header::Header;
use crate::format::record;
use crate::record::{Conversation, Record};

/// The index of one segment, as it grows batch by batch.
#[derive(Default)]
pub(crate) struct Builder {
    runs: Runs,
    /// The newest run of each conversation.
    open: HashMap<Conversation, u32, foldhash::fast::RandomState>,
    batches: Option<(u64, u64)>,
    records: u64,
}

impl Builder {
    /// Adds a batch of the segment at `place`. `previous` says where a conversation was before. `false`: a
    /// record has no end.
    pub(crate) fn batch(
        &mut self,
        header: &BatchHeader,
        mut records: &[u8],
        place: u32,
        mut previous: impl FnMut(&Record<'_>) -> u32,
    ) -> bool {
        let mut offset = header.offset + batch::HEADER_BYTES as u32;
        self.batches.get_or_insert((header.number, header.number)).1 = header.number;
        while !records.is_empty() {
            let Some((record, bytes)) = record::split(records) else { return false };
            self.record(&record, place, previous(&record), offset, bytes as u32);
            offset += bytes as u32;
            records = &records[bytes..];
        }
        true
    }

    /// Counts a batch that is added record by record.
    pub(crate) fn begin(&mut self, header: &BatchHeader) {
        self.batches.get_or_insert((header.number, header.number)).1 = header.number;
    }

    /// Adds a record of the segment at `place`, whose conversation was in `previous` before.
    pub(crate) fn record(
        &mut self,
        record: &Record<'_>,
        place: u32,
        previous: u32,
        offset: u32,
        length: u32,
    ) {
        self.records += 1;
        if !record.kind.is_entry() {
            return;
        }
        let (conversation, sequence) = (record.conversation, record.sequence);
        let open = self.open.get(&conversation).copied();
        if open.is_some_and(|run| self.runs.extend(run, sequence, offset, length)) {
            return;
        }
        // A second run in the same segment: there is a hole between them.
        let segment = if open.is_some() { place } else { previous };
        let run = self.runs.start(conversation, Location { segment, run: NONE }, sequence, offset, length);
        self.open.insert(conversation, run);
    }

    /// Sets where each conversation was before its first run.
    pub(crate) fn set_previous(&mut self, previous: impl Fn(&Conversation) -> u32) {
        self.runs.set_previous(previous);
    }

    /// Header of the index file, for a segment of which `bytes` are valid.
    pub(crate) fn header(&self, segment: &Header, bytes: u64) -> IndexHeader {
        let header = IndexHeader::new(segment.id, segment.salt, bytes, self.batches, self.records);
        IndexHeader { flags: segment.flags, ..header }
    }

    /// Whether there was a batch.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_none()
    }

    pub(crate) fn conversations(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn has(&self, conversation: &Conversation) -> bool {
        self.open.contains_key(conversation)
    }

    pub(crate) fn into_runs(self) -> Runs {
        self.runs
    }
}
