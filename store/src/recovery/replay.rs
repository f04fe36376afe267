//! Replaying segments in order, and gathering what has to be repaired. Changes nothing on disk.

use std::collections::HashMap;
use std::sync::Arc;

use super::fold::{Fold, refused};
use super::report::{Damage, Missing, RecoveryError, RecoveryReport, Torn};
use super::scan::{Next, Scanner};
use crate::files::Files;
use crate::format::batch::{self, BatchHeader};
use crate::format::header::{HeaderFault, VERSION};
use crate::format::record;
use crate::index::build::Builder;
use crate::index::file::IndexHeader;
use crate::index::runs::{NONE, Runs};
use crate::record::{Conversation, Record};
use crate::segment::SegmentId;

/// What is known of a conversation during recovery.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// Place of the last segment that holds it, or `NONE`.
    pub(super) segment: u32,
    /// The sequence its next entry has; 0 if that is not known.
    next: u64,
}

/// Something to do on disk once everything has been replayed.
pub(super) enum Repair {
    /// A segment that never held a batch.
    Remove(SegmentId),
    /// A segment to be cut and indexed.
    Seal(IndexHeader, Arc<Runs>),
}

pub(super) struct Replay<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) fold: &'a mut dyn Fold,
    pub(super) segments: Vec<SegmentId>,
    pub(super) known: HashMap<Conversation, Known, foldhash::fast::RandomState>,
    pub(super) report: RecoveryReport,
    pub(super) repairs: Vec<Repair>,
}

/// What a caller knows about a segment before it is read.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    /// Number of the last batch before it in its shard and generation; `None` if that is not known.
    pub(super) last_batch: Option<u64>,
    /// It has no index file that can be trusted.
    pub(super) unsealed: bool,
    /// Its end may be an incomplete write: it is the last one with batches of the newest generation.
    pub(super) tail: bool,
}

impl Replay<'_> {
    /// Replays one segment, at its place in the list. Returns the number of its last batch.
    pub(super) fn segment(&mut self, place: u32, expected: Expected) -> Result<Option<u64>, RecoveryError> {
        let id = self.segments[place as usize];
        let name = id.segment_name();
        let reading = || RecoveryError::io(format!("read {name}"));
        let file = self.files.open(&name).map_err(reading())?;
        let size = file.bytes().map_err(reading())?;
        let mut scanner = match Scanner::open(&*file).map_err(reading())? {
            Ok(scanner) if scanner.header().id == id => scanner,
            Ok(scanner) => {
                let what = format!("it says that it is {}", scanner.header().id);
                self.damage(id, 0, size, what);
                return Ok(None);
            }
            Err(HeaderFault::Version(version)) => {
                return Err(RecoveryError::Version { name, version, readable: VERSION });
            }
            Err(HeaderFault::Missing) => {
                self.damage(id, 0, size, "both copies of its header are unreadable".to_owned());
                return Ok(None);
            }
        };
        if !scanner.header_whole {
            self.report.repairs.push(format!("{id}: one copy of the header is damaged; the other serves"));
        }
        self.report.replayed_segments += 1;
        let mut builder = Builder::default();
        let mut last = expected.last_batch;
        loop {
            let from = scanner.offset();
            match scanner.next().map_err(reading())? {
                Next::Batch(header, records) => {
                    if let Some(last) = last
                        && header.number != last + 1
                    {
                        let what =
                            format!("batches {}..={} are missing before it", last + 1, header.number - 1);
                        self.report.damage.push(Damage { segment: id, from, to: from, what });
                    }
                    last = Some(header.number);
                    self.report.replayed_bytes += u64::from(header.bytes());
                    builder.begin(&header);
                    self.batch(place, &header, records, expected.unsealed.then_some(&mut builder))?;
                }
                Next::End => break,
                Next::Torn if expected.tail => {
                    self.report.torn.push(Torn { segment: id, offset: from });
                    break;
                }
                Next::Torn => {
                    self.damage(
                        id,
                        from,
                        size,
                        "nothing after it can be read, and it is not the newest".to_owned(),
                    );
                    break;
                }
                Next::Corrupt(to) => {
                    self.damage(id, from, to, "a later batch is whole, so it was once synced".to_owned());
                    scanner.resume(to);
                }
            }
        }
        if expected.unsealed {
            let header = builder.header(scanner.header(), scanner.offset());
            self.repairs.push(match builder.is_empty() {
                true => Repair::Remove(id),
                false => Repair::Seal(header, Arc::new(builder.into_runs())),
            });
        }
        Ok(last)
    }

    /// Replays the records of one whole batch.
    fn batch(
        &mut self,
        place: u32,
        header: &BatchHeader,
        mut records: &[u8],
        mut builder: Option<&mut Builder>,
    ) -> Result<(), RecoveryError> {
        let mut offset = header.offset + batch::HEADER_BYTES as u32;
        while !records.is_empty() {
            let Some((record, bytes)) = record::split(records) else {
                let what = "a batch with a good checksum holds a record without an end".to_owned();
                let segment = self.segments[place as usize];
                self.damage(segment, u64::from(offset), u64::from(header.offset + header.bytes()), what);
                return Ok(());
            };
            let previous = if record.kind.is_entry() { self.entry(place, &record) } else { NONE };
            if let Some(builder) = &mut builder {
                builder.record(&record, place, previous, offset, bytes as u32);
            }
            self.report.replayed_records += 1;
            self.fold
                .apply(&record)
                .map_err(|error| RecoveryError::Fold { what: refused(&record, &error) })?;
            offset += bytes as u32;
            records = &records[bytes..];
        }
        Ok(())
    }

    /// Notes an entry, reports a hole before it, and returns where the conversation was before.
    fn entry(&mut self, place: u32, record: &Record<'_>) -> u32 {
        let fresh = Known { segment: NONE, next: 1 };
        let known = self.known.entry(record.conversation).or_insert(fresh);
        let previous = known.segment;
        if known.next != 0 && record.sequence > known.next {
            let (from, to) = (known.next, record.sequence - 1);
            self.report.missing.push(Missing { conversation: record.conversation, from, to });
        }
        *known = Known { segment: place, next: record.sequence + 1 };
        previous
    }

    fn damage(&mut self, segment: SegmentId, from: u64, to: u64, what: String) {
        self.report.damage.push(Damage { segment, from, to, what });
    }
}
