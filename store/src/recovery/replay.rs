//! Replaying segments in order, and gathering what has to be repaired. Changes nothing on disk.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::fold::{Fold, refused};
use super::listing::{IndexState, Listed};
use super::report::{Damage, Missing, RecoveryError, RecoveryReport, Torn};
use super::salvage::{self, Found};
use super::scan::{Next, Scanner};
use crate::files::{Files, ReadFile};
use crate::format::batch::{self, BatchHeader};
use crate::format::header::{DATA_OFFSET, Header, HeaderFault, SALVAGED, VERSION};
use crate::format::record;
use crate::index::build::Builder;
use crate::index::file::IndexHeader;
use crate::index::runs::{NONE, Runs};
use crate::record::{Conversation, Hex, Record, RecordKind};
use crate::segment::SegmentId;

/// What is known of a conversation during recovery.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// Place of the last segment that holds it, or `NONE`.
    pub(super) segment: u32,
    /// The sequence its next entry has.
    pub(super) next: u64,
}

/// All conversations that recovery has met.
pub(super) type Conversations = HashMap<Conversation, Known, foldhash::fast::RandomState>;

/// Something to do on disk once everything has been judged.
pub(super) enum Repair {
    /// A file that is of no use: an empty segment, a damaged checkpoint.
    Remove(String),
    /// A segment to be cut and indexed. Where its last batch begins, if that may not be on disk: its sync may
    /// have failed, and the system then shows bytes that it will never write.
    Seal(IndexHeader, Arc<Runs>, Option<u64>),
    /// A sealed segment whose index cannot be used.
    Rebuild(SegmentId),
    /// A damaged segment, to be replaced by what is good of it. Its header, if that is known, and whether its
    /// end may be an incomplete write.
    Salvage(SegmentId, Option<Header>, bool),
}

/// How a segment is to be read.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) listed: Listed,
    /// Number of the last batch before it in its shard and generation; `None` if that is not known.
    pub(super) last_batch: Option<u64>,
    /// Its end may be an incomplete write: it is the last one with batches of the newest generation.
    pub(super) tail: bool,
    /// The checkpoint has all of it: only look for damage.
    pub(super) covered: bool,
}

pub(super) struct Replay<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) fold: &'a mut dyn Fold,
    pub(super) segments: Vec<SegmentId>,
    pub(super) known: Conversations,
    pub(super) report: RecoveryReport,
    pub(super) repairs: Vec<Repair>,
    /// A segment so far was salvaged at an earlier start: entries that were lost then are missing.
    pub(super) salvaged: bool,
}

impl Replay<'_> {
    /// Reads one segment, at its place in the list. Returns the number of its last batch, if that is known.
    pub(super) fn segment(&mut self, place: u32, reading: Reading) -> Result<Option<u64>, RecoveryError> {
        let id = self.segments[place as usize];
        let name = id.segment_name();
        let failed = || RecoveryError::io(format!("read {name}"));
        let damage_before = self.report.damage.len();
        let Some(bytes) = reading.listed.bytes else {
            self.damage(id, 0, 0, "its file is missing");
            return self.lost(id, None, reading);
        };
        let file = self.files.open(&name).map_err(failed())?;
        let Some(mut scanner) = self.open(&*file, id, bytes, reading)? else {
            return self.lost(id, None, reading);
        };
        let header = *scanner.header();
        let salvaged = header.flags & SALVAGED != 0;
        self.salvaged |= salvaged;
        self.report.replayed_segments += usize::from(!reading.covered);
        let mut builder = Builder::default();
        let mut last = reading.last_batch;
        let mut doubtful = None;
        loop {
            let from = scanner.offset();
            let to = match scanner.next().map_err(failed())? {
                Next::Batch(batch, records) => {
                    self.number(id, from, batch.number, last.filter(|_| !salvaged));
                    last = Some(batch.number);
                    doubtful = reading.tail.then_some(from);
                    builder.begin(&batch);
                    self.batch(place, &batch, records, &mut builder, reading)?;
                    continue;
                }
                Next::End => break,
                Next::Torn if reading.tail => {
                    self.report.torn.push(Torn { segment: id, offset: from });
                    break;
                }
                Next::Torn => bytes,
                Next::Corrupt(to) => to,
            };
            self.region(&*file, place, &header, (from, to), reading.covered)?;
            if to == bytes {
                break;
            }
            scanner.resume(to);
        }
        let end = scanner.offset();
        if let Some(known) = reading.listed.index.header().map(|index| index.segment_bytes)
            && known > end.min(bytes)
        {
            self.damage(id, end, known, format!("its index knows of {known} bytes"));
        }
        if self.report.damage.len() > damage_before {
            return self.lost(id, Some(header), reading);
        }
        self.repair(&header, end, builder, reading, doubtful);
        Ok(last.filter(|_| !salvaged))
    }

    /// A scanner at the first batch; `None` if no batch can be checked.
    fn open<'f>(
        &mut self,
        file: &'f dyn ReadFile,
        id: SegmentId,
        bytes: u64,
        reading: Reading,
    ) -> Result<Option<Scanner<'f>>, RecoveryError> {
        let name = id.segment_name();
        match Scanner::open(file).map_err(RecoveryError::io(format!("read {name}")))? {
            Ok(scanner) if scanner.header().id == id => {
                if !scanner.header_whole {
                    let what = format!("{id}: one copy of its header is damaged; the other serves");
                    self.report.repairs.push(what);
                }
                return Ok(Some(scanner));
            }
            Err(HeaderFault::Version(version)) => {
                return Err(RecoveryError::Version { name, version, readable: VERSION });
            }
            Ok(_) | Err(HeaderFault::Missing) => {}
        }
        // Lost, unless the index knows the salt.
        self.damage(id, 0, u64::from(DATA_OFFSET), "both copies of its header are unreadable");
        let Some(index) = reading.listed.index.header() else {
            self.damage(id, u64::from(DATA_OFFSET), bytes, "without a header no batch can be checked");
            return Ok(None);
        };
        Ok(Some(Scanner::behind(file, bytes, Header { id, salt: index.salt, bytes, flags: index.flags })))
    }

    /// Checks that a batch follows the one before, where that is known.
    fn number(&mut self, id: SegmentId, at: u64, number: u64, last: Option<u64>) {
        if let Some(last) = last.filter(|last| last + 1 != number) {
            self.damage(id, at, at, format!("batch {number} is here, where {} should be", last + 1));
        }
    }

    /// Has a sound segment sealed, or its index made anew, where that is needed.
    fn repair(
        &mut self,
        segment: &Header,
        end: u64,
        builder: Builder,
        reading: Reading,
        doubtful: Option<u64>,
    ) {
        let id = segment.id;
        match reading.listed.index {
            IndexState::Sound(_) => {}
            _ if builder.is_empty() && segment.flags & SALVAGED == 0 => {
                self.repairs.push(Repair::Remove(id.segment_name()));
            }
            // What the checkpoint covers is not replayed in order, so where conversations were before is not
            // known here.
            _ if reading.covered => self.repairs.push(Repair::Rebuild(id)),
            state => {
                if state == IndexState::Broken {
                    self.report.repairs.push(format!("{id}: its index is damaged; made anew"));
                }
                let header = builder.header(segment, end);
                self.repairs.push(Repair::Seal(header, Arc::new(builder.into_runs()), doubtful));
            }
        }
    }

    /// Replays the records of one whole batch.
    fn batch(
        &mut self,
        place: u32,
        header: &BatchHeader,
        mut records: &[u8],
        builder: &mut Builder,
        reading: Reading,
    ) -> Result<(), RecoveryError> {
        if reading.covered {
            return Ok(());
        }
        self.report.replayed_bytes += u64::from(header.bytes());
        let sealed = reading.listed.index.header().is_some();
        let mut offset = header.offset + batch::HEADER_BYTES as u32;
        while !records.is_empty() {
            let Some((record, bytes)) = record::split(records) else {
                let segment = self.segments[place as usize];
                let (from, to) = (u64::from(offset), u64::from(header.offset + header.bytes()));
                self.damage(segment, from, to, "a batch with a good checksum holds a record without an end");
                return Ok(());
            };
            let previous = self.apply(place, u64::from(offset), &record)?;
            if !sealed {
                builder.record(&record, place, previous, offset, bytes as u32);
            }
            offset += bytes as u32;
            records = &records[bytes..];
        }
        Ok(())
    }

    /// Replays one record, found at `offset`; returns where its conversation was before.
    fn apply(&mut self, place: u32, offset: u64, record: &Record<'_>) -> Result<u32, RecoveryError> {
        let mut previous = NONE;
        if record.kind.is_entry() {
            let (conversation, sequence) = (record.conversation, record.sequence);
            let known = self.known.entry(conversation).or_insert(Known { segment: NONE, next: 1 });
            let next = known.next;
            previous = known.segment;
            *known = Known { segment: place, next: sequence.saturating_add(1) };
            if sequence > next {
                self.report.missing.push(Missing { conversation, from: next, to: sequence - 1 });
            }
            // A hole is explained by damage found before it, now or when a segment was salvaged.
            let explained = sequence > next && (self.salvaged || !self.report.damage.is_empty());
            if sequence != next && !explained {
                let what = format!(
                    "entry {sequence} of conversation {} is here, where {next} should be, though nothing before it is damaged",
                    Hex(&conversation)
                );
                self.damage(self.segments[place as usize], offset, offset, what);
            }
        }
        if record.kind == RecordKind::SKIP {
            let known = self.known.entry(record.conversation).or_insert(Known { segment: NONE, next: 1 });
            known.next = known.next.max(record.sequence.saturating_add(1));
        }
        self.report.replayed_records += 1;
        self.fold.apply(record).map_err(|error| RecoveryError::Fold { what: refused(record, &error) })?;
        Ok(previous)
    }

    /// Bytes that are no batch although they should be: replays the records that are still whole.
    fn region(
        &mut self,
        file: &dyn ReadFile,
        place: u32,
        header: &Header,
        (from, to): (u64, u64),
        covered: bool,
    ) -> Result<(), RecoveryError> {
        let id = self.segments[place as usize];
        if from == to {
            // A whole batch with the wrong number; that is reported when it is read.
            return Ok(());
        }
        let failed = RecoveryError::io(format!("read {}", id.segment_name()));
        let remains = salvage::remains(file, header, from, to).map_err(failed)?;
        let whole = remains.iter().filter(|found| matches!(found, Found::Whole(_))).count();
        self.damage(
            id,
            from,
            to,
            format!("what was synced here cannot be read any more, but for {whole} records"),
        );
        if covered {
            return Ok(());
        }
        for found in &remains {
            match found {
                Found::Whole(bytes) => {
                    if let Some((record, _)) = record::split(bytes) {
                        self.apply(place, from, &record)?;
                    }
                }
                // A damaged header may say anything; one that continues its conversation is believed.
                Found::Lost(conversation, sequence) => {
                    let known = self.known.get_mut(conversation).filter(|known| known.next == *sequence);
                    if let Some(known) = known {
                        known.next += 1;
                        let (conversation, from, to) = (*conversation, *sequence, *sequence);
                        self.report.missing.push(Missing { conversation, from, to });
                    }
                }
            }
        }
        Ok(())
    }

    /// A segment is damaged: has it salvaged, and finds out what is lost.
    fn lost(
        &mut self,
        id: SegmentId,
        header: Option<Header>,
        reading: Reading,
    ) -> Result<Option<u64>, RecoveryError> {
        self.repairs.push(Repair::Salvage(id, header, reading.tail));
        let Some(index) = reading.listed.index.header() else { return Ok(None) };
        let failed = || RecoveryError::io(format!("read {} and its index", id.segment_name()));
        let seen = match header {
            Some(header) => salvage::seen(self.files, &header, reading.tail).map_err(failed())?,
            None => HashSet::new(),
        };
        self.report.missing.extend(salvage::missing(self.files, index, &seen).map_err(failed())?);
        Ok(None)
    }

    fn damage(&mut self, segment: SegmentId, from: u64, to: u64, what: impl Into<String>) {
        self.report.damage.push(Damage { segment, from, to, what: what.into() });
    }
}
