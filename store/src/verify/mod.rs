//! Reading everything and believing nothing: `ringwire store verify`.
//!
//! Changes nothing. Every checksum of every segment, index and checkpoint is computed; batches must be
//! numbered without holes, entries of a conversation sequenced without holes from 1, index files must say
//! what the segments say, and a checkpoint must be what replaying the segments it covers leads to. For the
//! data directory of a stopped server; its newest segments may end in an incomplete write.
//!
//! Memory: every conversation's state, and one index file.

mod checkpoint;
mod index;
mod report;

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::checkpoint::StateFold;
use crate::checkpoint::file::{self as checkpoint_file, Fault, Position, Reader};
use crate::files::Files;
use crate::format::batch::{self, BatchHeader};
use crate::format::header::{Header, HeaderFault, SALVAGED, VERSION};
use crate::format::record;
use crate::index::build::Builder;
use crate::index::runs::NONE;
use crate::record::{Conversation, Hex, Record, RecordKind};
use crate::recovery::RecoveryError;
use crate::recovery::fold::refused;
use crate::recovery::listing::{IndexState, Listed, Listing};
use crate::recovery::scan::{Next, Scanner};
use crate::segment::SegmentId;
pub use report::{Finding, Severity, VerifyReport};

/// What replaying has led to.
struct Replayed<S> {
    state: Option<S>,
    /// Sequence of the next entry.
    next: u64,
    /// Place of the last segment with an entry, or `NONE`.
    last: u32,
}

struct Verifier<'a, F: StateFold> {
    files: &'a dyn Files,
    fold: &'a F,
    segments: Vec<SegmentId>,
    report: VerifyReport,
    replayed: HashMap<Conversation, Replayed<F::State>, foldhash::fast::RandomState>,
    /// Number of the last batch of a generation and shard; `None` where it is not known.
    last_batch: BTreeMap<(u32, u16), Option<u64>>,
    /// A segment was salvaged once: holes in sequences may have been reported then.
    salvaged: bool,
    /// What is below it was given up: the beginning of some conversations is in the checkpoint only.
    floor: Position,
    newest: u32,
}

/// Verifies a data directory. An error means that it could not be read at all: a file that is none of ours, or
/// of another format, or a disk that refuses.
pub fn verify<F: StateFold>(files: &dyn Files, fold: &F) -> Result<VerifyReport, RecoveryError> {
    let mut listing = Listing::read(files)?;
    let mut report = VerifyReport::default();
    for name in &listing.temporary {
        report.add(Severity::Note, name, "left by an interrupted write; the next start removes it");
    }
    let mut checkpoint = newest_checkpoint(files, &listing, &mut report)?;
    let position = checkpoint.as_ref().map(|reader| reader.footer.position.clone()).unwrap_or_default();
    let floor = checkpoint.as_ref().map(|reader| reader.footer.floor.clone()).unwrap_or_default();
    for name in listing.retire(&floor) {
        report.add(Severity::Note, name, "given up, and still there; the next start removes it");
    }
    listing.complete(position.last_segments(), &floor);
    let tails = listing.tails(files)?;
    for id in &tails.empty {
        report.add(
            Severity::Note,
            id.segment_name(),
            "made ahead and never written to; the next start removes it",
        );
    }
    let segments: Vec<_> = listing.segments.keys().filter(|id| !tails.empty.contains(id)).copied().collect();
    let mut verifier = Verifier {
        files,
        fold,
        segments,
        report,
        replayed: HashMap::default(),
        last_batch: BTreeMap::new(),
        salvaged: false,
        floor,
        newest: listing.segments.keys().next_back().map_or(0, |id| id.generation),
    };
    // What the checkpoint covers comes first. That changes no conversation's order: what is covered of a
    // generation is the beginning of each shard, and within a generation a conversation has one shard.
    for covered in [true, false] {
        for place in 0..verifier.segments.len() as u32 {
            let id = verifier.segments[place as usize];
            if position.covers(id) == covered {
                let read = verifier.segment(place, &listing.segments[&id], tails.last.contains(&id));
                read.map_err(RecoveryError::io(format!("read {}", id.segment_name())))??;
            }
        }
        if let Some(reader) = checkpoint.take() {
            verifier.compare(reader)?;
        }
    }
    let Verifier { mut report, replayed, .. } = verifier;
    report.conversations = replayed.values().filter(|replayed| replayed.last != NONE).count();
    Ok(report)
}

/// The checkpoint that recovery would use, and findings about newer ones.
fn newest_checkpoint(
    files: &dyn Files,
    listing: &Listing,
    report: &mut VerifyReport,
) -> Result<Option<Reader>, RecoveryError> {
    for number in listing.checkpoints.iter().rev() {
        let name = checkpoint_file::name(*number);
        let file = files.open(&name).map_err(RecoveryError::io(format!("open {name}")))?;
        match Reader::open(file, *number).and_then(|mut reader| reader.check().map(|()| reader)) {
            Ok(reader) => {
                report.checkpoint = Some(reader.footer.conversations);
                return Ok(Some(reader));
            }
            Err(Fault::Io(error)) => return Err(RecoveryError::Io { what: format!("read {name}"), error }),
            Err(Fault::Version(version)) => {
                return Err(RecoveryError::Version { name, version, readable: checkpoint_file::VERSION });
            }
            Err(Fault::Damaged(what)) => report.add(Severity::Repairable, name, what),
        }
    }
    Ok(None)
}

impl<F: StateFold> Verifier<'_, F> {
    fn corrupt(&mut self, id: SegmentId, what: impl Into<String>) {
        self.report.add(Severity::Corrupt, id.segment_name(), what);
    }

    /// Reads one segment and its index.
    fn segment(&mut self, place: u32, listed: &Listed, tail: bool) -> io::Result<Result<(), RecoveryError>> {
        let id = self.segments[place as usize];
        let run = (id.generation, id.shard);
        let Some(bytes) = listed.bytes else {
            self.corrupt(id, "the file is missing");
            self.last_batch.insert(run, None);
            return Ok(Ok(()));
        };
        self.report.segments += 1;
        let file = self.files.open(&id.segment_name())?;
        let mut scanner = match Scanner::open(&*file)? {
            Ok(scanner) if scanner.header().id == id => scanner,
            Err(HeaderFault::Version(version)) => {
                let name = id.segment_name();
                return Ok(Err(RecoveryError::Version { name, version, readable: VERSION }));
            }
            Ok(_) | Err(HeaderFault::Missing) => {
                self.corrupt(id, "both copies of its header are unreadable");
                self.last_batch.insert(run, None);
                return Ok(Ok(()));
            }
        };
        let header = *scanner.header();
        if !scanner.header_whole {
            self.report.add(
                Severity::Note,
                id.segment_name(),
                "one copy of its header is damaged; the other serves",
            );
        }
        self.salvaged |= header.flags & SALVAGED != 0;
        let mut builder = Builder::default();
        let mut damaged = false;
        let sound = loop {
            match scanner.next()? {
                Next::Batch(found, records) => self.batch(place, &header, &found, records, &mut builder),
                Next::End => break true,
                Next::Torn if tail => {
                    let what = format!("ends in an incomplete write at byte {}", scanner.offset());
                    self.report.add(Severity::Note, id.segment_name(), what);
                    break true;
                }
                Next::Torn => {
                    let what = format!("nothing from byte {} on can be read", scanner.offset());
                    self.corrupt(id, what);
                    break false;
                }
                Next::Corrupt(to) => {
                    let what = format!("bytes {}..{to} cannot be read", scanner.offset());
                    self.corrupt(id, what);
                    scanner.resume(to);
                    self.last_batch.insert(run, None);
                    damaged = true;
                }
            }
        };
        let end = scanner.offset();
        if header.flags & SALVAGED != 0 || !sound {
            self.last_batch.insert(run, None);
        }
        match &listed.index {
            IndexState::Missing if tail => {}
            IndexState::Missing if id.generation == self.newest => {
                let what = "not sealed yet; the next start does that";
                self.report.add(Severity::Note, id.segment_name(), what);
            }
            IndexState::Missing => {
                self.report.add(Severity::Repairable, id.index_name(), "the file is missing");
            }
            IndexState::Broken => self.report.add(Severity::Repairable, id.index_name(), "it is damaged"),
            IndexState::Sound(known) if known.segment_bytes > end.min(bytes) => {
                self.corrupt(
                    id,
                    format!("its index knows of {} bytes, but there are {end}", known.segment_bytes),
                );
            }
            // Of a damaged segment the index is the better half.
            IndexState::Sound(_) if damaged || !sound => {}
            IndexState::Sound(_) => {
                let header = builder.header(&header, end);
                let fault = index::compare(self.files, &self.segments, header, &builder.into_runs())?;
                if let Some(what) = fault {
                    self.report.add(Severity::Repairable, id.index_name(), what);
                }
            }
        }
        Ok(Ok(()))
    }

    /// Checks the records of one whole batch, and the batch's place.
    fn batch(
        &mut self,
        place: u32,
        segment: &Header,
        header: &BatchHeader,
        mut records: &[u8],
        builder: &mut Builder,
    ) {
        let id = segment.id;
        // What was before the first one may have been given up.
        let before = if self.floor.ends_before(id) { None } else { Some(0) };
        let last = self.last_batch.entry((id.generation, id.shard)).or_insert(before);
        let expected = last.map(|last| last + 1);
        *last = Some(header.number);
        if expected.is_some_and(|expected| expected != header.number) && segment.flags & SALVAGED == 0 {
            let what = format!("batch {} is followed by {}", expected.unwrap_or(1) - 1, header.number);
            self.corrupt(id, what);
        }
        self.report.batches += 1;
        self.report.bytes += u64::from(header.bytes());
        builder.begin(header);
        let mut offset = header.offset + batch::HEADER_BYTES as u32;
        let mut count = 0;
        while !records.is_empty() {
            let Some((record, bytes)) = record::split(records) else {
                return self.corrupt(id, format!("a record at byte {offset} has no end"));
            };
            if record::decode(&records[..bytes], segment.salt.seed()).is_none() {
                self.corrupt(
                    id,
                    format!("the record at byte {offset} has a wrong checksum in a sound batch"),
                );
            }
            let previous = self.record(place, &record);
            builder.record(&record, place, previous, offset, bytes as u32);
            offset += bytes as u32;
            count += 1;
            records = &records[bytes..];
        }
        if count != header.count {
            self.corrupt(
                id,
                format!("batch {} says {} records and has {count}", header.number, header.count),
            );
        }
    }

    /// Replays one record; returns where its conversation was before.
    fn record(&mut self, place: u32, record: &Record<'_>) -> u32 {
        let conversation = record.conversation;
        let fresh = || Replayed { state: None, next: 1, last: NONE };
        let replayed = self.replayed.entry(conversation).or_insert_with(fresh);
        let previous = replayed.last;
        let mut findings = Vec::new();
        if record.kind.is_entry() {
            self.report.entries += 1;
            // What was before the first may have been given up.
            let begins = !self.floor.is_empty() && replayed.last == NONE && record.sequence > replayed.next;
            if record.sequence != replayed.next && !begins {
                let (last, next) = (replayed.next.saturating_sub(1), record.sequence);
                let what = format!("conversation {}: entry {last} is followed by {next}", Hex(&conversation));
                // What was lost when a segment was salvaged has been reported then.
                let lost = self.salvaged && record.sequence > replayed.next;
                findings.push((if lost { Severity::Note } else { Severity::Corrupt }, what));
            }
            (replayed.next, replayed.last) = (record.sequence.saturating_add(1), place);
        } else if record.kind == RecordKind::SKIP {
            replayed.next = replayed.next.max(record.sequence.saturating_add(1));
        }
        self.report.records += 1;
        if let Err(error) = self.fold.apply(&mut replayed.state, record) {
            findings.push((
                Severity::Corrupt,
                format!("the server does not understand {}", refused(record, &error)),
            ));
        }
        let name = self.segments[place as usize].segment_name();
        for (severity, what) in findings {
            self.report.add(severity, name.clone(), what);
        }
        previous
    }
}
