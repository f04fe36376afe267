//! Reading everything and believing nothing: `ringwire store verify`.
//!
//! Changes nothing. Every checksum of every segment, index and checkpoint is computed; batches must be
//! numbered without holes, entries of a conversation sequenced without holes from 1, index files must say
//! what the segments say, and a checkpoint must be what replaying the segments it covers leads to. For the
//! data directory of a stopped server; its newest segments may end in an incomplete write.
//!
//! Memory: every conversation's state, and one index file.

mod index;
mod report;

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::checkpoint::StateFold;
use crate::checkpoint::file::{self as checkpoint_file, Fault, Reader};
use crate::files::Files;
use crate::format::batch::{self, BatchHeader};
use crate::format::header::{Header, HeaderFault, SALVAGED, VERSION};
use crate::format::record;
use crate::index::build::Builder;
use crate::index::runs::NONE;
use crate::record::{Conversation, Hex, Record, RecordKind};
use crate::recovery::fold::refused;
use crate::recovery::listing::{IndexState, Listed, Listing};
use crate::recovery::scan::{Next, Scanner};
use crate::recovery::{FoldError, RecoveryError};
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
    listing.complete(position.last_segments());
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
        let last = self.last_batch.entry((id.generation, id.shard)).or_insert(Some(0));
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
            if record.sequence != replayed.next {
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

    /// Compares a checkpoint with what replaying the segments it covers has led to.
    fn compare(&mut self, mut reader: Reader) -> Result<(), RecoveryError> {
        let name = "checkpoint";
        let mut bytes = Vec::new();
        let mut found = 0;
        loop {
            let entry = match reader.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(Fault::Io(error)) => {
                    return Err(RecoveryError::Io { what: "read the checkpoint".to_owned(), error });
                }
                Err(Fault::Version(_) | Fault::Damaged(_)) => {
                    self.report.add(Severity::Repairable, name, "it changed while it was read");
                    return Ok(());
                }
            };
            found += 1;
            let conversation = Hex(&entry.conversation);
            let Some(replayed) = self.replayed.get(&entry.conversation) else {
                let what = format!("conversation {conversation} is in it, but in no segment it covers");
                self.report.add(Severity::Corrupt, name, what);
                continue;
            };
            let last = self.segments.get(replayed.last as usize).copied();
            let next = if last.is_some() { replayed.next } else { 0 };
            if (entry.next, entry.last) != (next, last) && !self.salvaged {
                let what = format!(
                    "conversation {conversation}: it says next {} in {:?}, the segments say {next} in {last:?}",
                    entry.next, entry.last
                );
                self.report.add(Severity::Corrupt, name, what);
            }
            bytes.clear();
            if let Some(state) = &replayed.state {
                self.fold.encode(state, &mut bytes);
            }
            // Through the fold, so that what an earlier release wrote in a layout of its own is compared by what it
            // says.
            let stored = entry.state.map(|state| {
                let mut again = Vec::new();
                self.fold
                    .decode(&entry.conversation, state)
                    .map(|state| self.fold.encode(&state, &mut again))?;
                Ok::<_, FoldError>(again)
            });
            let stored = match stored.transpose() {
                Ok(stored) => stored,
                Err(error) => {
                    let what = format!("the state of conversation {conversation} cannot be read: {error}");
                    self.report.add(Severity::Corrupt, name, what);
                    continue;
                }
            };
            let expected = replayed.state.as_ref().map(|_| bytes.as_slice());
            if stored.as_deref() != expected && !self.salvaged {
                let what =
                    format!("the state of conversation {conversation} is not what its records lead to");
                self.report.add(Severity::Corrupt, name, what);
            }
        }
        let expected =
            self.replayed.values().filter(|replayed| replayed.state.is_some() || replayed.last != NONE);
        let expected = expected.count();
        if found != expected && !self.salvaged {
            let what = format!("it has {found} conversations, the segments it covers have {expected}");
            self.report.add(Severity::Corrupt, name, what);
        }
        Ok(())
    }
}
