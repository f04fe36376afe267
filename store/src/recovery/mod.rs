//! Bringing a data directory in order at boot (rules J-10, J-11, J-16 to J-19 of `docs/journal.md`).
//!
//! ```text
//! list -> checkpoint -> what it does not cover, in order -> (corrupt? stop) -> repairs -> indexes
//! ```
//!
//! Everything is read and judged before anything is changed: an error leaves the files as they were.
//! Whatever was reported as durable is replayed; what was not may be there or not; nothing is invented.

pub(crate) mod fold;
pub(crate) mod listing;
mod replay;
mod report;
mod salvage;
pub(crate) mod scan;

use std::collections::HashMap;
use std::sync::Arc;

use crate::checkpoint::Floor;
use crate::checkpoint::file::{self as checkpoint_file, Fault, Position, Reader};
use crate::files::Files;
use crate::index::Index;
use crate::index::rebuild::Rebuild;
use crate::index::runs::NONE;
use crate::index::seal::Seal;
use crate::record::{Conversation, Hex};
use crate::segment::SegmentId;
pub use fold::{Fold, FoldError};
use listing::{IndexState, Listing, Tails};
use replay::{Conversations, Known, Reading, Repair, Replay};
pub use report::{Damage, Missing, RecoveryError, RecoveryReport, Torn};

/// What the operator allows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RecoverOptions {
    /// Start although durable bytes are damaged: keep what is readable, set the originals aside, report what
    /// is lost. Also reads what a checkpoint covers, to find damage there.
    pub accept_corruption: bool,
}

/// A data directory in order.
pub struct Recovered {
    /// The generation of this start.
    pub generation: u32,
    /// What was found and done.
    pub report: RecoveryReport,
    segments: Vec<SegmentId>,
    floor: Floor,
    known: Conversations,
}

impl Recovered {
    /// The index of each shard of this start, however many there were before. `owner` says which shard has a
    /// conversation; it must be below `shards`.
    pub fn indexes(self, shards: usize, owner: impl Fn(&Conversation) -> usize) -> Vec<Index> {
        let index = |_| Index::new(self.segments.clone(), self.floor.clone());
        let mut indexes: Vec<_> = (0..shards).map(index).collect();
        for (conversation, Known { segment, .. }) in self.known {
            if segment != NONE {
                indexes[owner(&conversation)].locate(conversation, segment);
            }
        }
        indexes
    }
}

/// Brings the data directory in order and replays it into `fold`.
///
/// Blocks. The caller holds the directory's lock, and begins its journals in the generation returned. After
/// an error `fold` holds part of the data and is of no use.
pub fn recover(
    files: &dyn Files,
    fold: &mut dyn Fold,
    options: &RecoverOptions,
) -> Result<Recovered, RecoveryError> {
    let mut listing = Listing::read(files)?;
    let newest = listing.segments.keys().next_back().map_or(0, |id| id.generation);
    let mut report = RecoveryReport::default();
    let mut repairs = Vec::new();
    let mut checkpoint = newest_checkpoint(files, &listing, &mut report, &mut repairs)?;
    let position =
        checkpoint.as_ref().map_or_else(Position::default, |reader| reader.footer.position.clone());
    let floor = checkpoint.as_ref().map_or_else(Position::default, |reader| reader.footer.floor.clone());
    let generation = newest.max(position.generation) + 1;
    let retired = listing.retire(&floor);
    report
        .repairs
        .extend(retired.iter().map(|name| format!("{name}: given up before, and still there; removed")));
    // Places in `named` for now; the places in `segments` are known once all are listed.
    let (mut known, mut named) = (Conversations::default(), Vec::new());
    if let Some(reader) = &mut checkpoint {
        known = restore(reader, fold, &mut named)?;
    }
    listing.complete(named.iter().copied().chain(position.last_segments()), &floor);
    let tails = listing.tails(files)?;
    let segments: Vec<_> = listing.segments.keys().filter(|id| !tails.empty.contains(id)).copied().collect();
    report.segments = segments.len();
    report.restored = known.len() as u64;
    let place = |id: &SegmentId| segments.binary_search(id).map_or(NONE, |place| place as u32);
    let places: Vec<u32> = named.iter().map(place).collect();
    for known in known.values_mut() {
        known.segment = places.get(known.segment as usize).copied().unwrap_or(NONE);
    }
    let mut replay = Replay { files, fold, segments, known, report, repairs, salvaged: false };
    replay_all(&mut replay, &listing, &tails, (&position, &floor), options)?;
    let Replay { segments, known, mut report, repairs, .. } = replay;
    report.merge_missing();
    if !report.damage.is_empty() && !options.accept_corruption {
        return Err(RecoveryError::Corrupt(Box::new(report)));
    }
    // The newest first, so that an interruption leaves no later segment without an earlier one.
    let empty = tails.empty.iter().rev().map(|id| id.segment_name());
    let removals = empty.chain(listing.temporary.iter().cloned()).chain(retired).map(Repair::Remove);
    carry_out(files, &listing, &segments, removals.chain(repairs))?;
    Ok(Recovered { generation, report, segments, floor: Floor(floor), known })
}

/// The newest checkpoint that is whole. Damaged ones cost only time, as long as all segments are there.
fn newest_checkpoint(
    files: &dyn Files,
    listing: &Listing,
    report: &mut RecoveryReport,
    repairs: &mut Vec<Repair>,
) -> Result<Option<Reader>, RecoveryError> {
    for number in listing.checkpoints.iter().rev() {
        let name = checkpoint_file::name(*number);
        let opened = files.open(&name).map_err(RecoveryError::io(format!("open {name}")))?;
        let checked = Reader::open(opened, *number).and_then(|mut reader| reader.check().map(|()| reader));
        match checked {
            Ok(reader) => return Ok(Some(reader)),
            Err(Fault::Io(error)) => return Err(RecoveryError::Io { what: format!("read {name}"), error }),
            Err(Fault::Version(version)) => {
                return Err(RecoveryError::Version { name, version, readable: checkpoint_file::VERSION });
            }
            Err(Fault::Damaged(what)) => {
                report.repairs.push(format!("{name}: {what}; more segments are replayed instead"));
                repairs.push(Repair::Remove(name));
            }
        }
    }
    Ok(None)
}

/// Restores all conversations. Adds to `named` the segments that are the last of any, and returns for each
/// conversation its segment's place there.
fn restore(
    reader: &mut Reader,
    fold: &mut dyn Fold,
    named: &mut Vec<SegmentId>,
) -> Result<Conversations, RecoveryError> {
    let mut restored = Conversations::default();
    let mut places: HashMap<SegmentId, u32> = HashMap::new();
    loop {
        let entry = match reader.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(restored),
            Err(Fault::Io(error)) => {
                return Err(RecoveryError::Io { what: "read the checkpoint".to_owned(), error });
            }
            Err(Fault::Version(_) | Fault::Damaged(_)) => {
                let error = std::io::Error::other("it changed while it was read");
                return Err(RecoveryError::Io { what: "read the checkpoint".to_owned(), error });
            }
        };
        if let Some(state) = entry.state {
            fold.restore(&entry.conversation, state).map_err(|error| RecoveryError::Fold {
                what: format!("the state of conversation {}: {error}", Hex(&entry.conversation)),
            })?;
        }
        let segment = entry.last.map_or(NONE, |last| {
            *places.entry(last).or_insert_with(|| {
                named.push(last);
                named.len() as u32 - 1
            })
        });
        restored.insert(entry.conversation, Known { segment, next: entry.next.max(1) });
    }
}

/// Reads what the checkpoint does not cover, in replay order; all of it if corruption is accepted.
fn replay_all(
    replay: &mut Replay<'_>,
    listing: &Listing,
    tails: &Tails,
    (position, floor): (&Position, &Position),
    options: &RecoverOptions,
) -> Result<(), RecoveryError> {
    let mut before: Option<(SegmentId, Option<u64>)> = None;
    for place in 0..replay.segments.len() as u32 {
        let id = replay.segments[place as usize];
        let listed = listing.segments[&id];
        let last_batch = match before {
            Some((before, last)) if before.next() == id => last,
            // What was before it was given up.
            _ if floor.ends_before(id) => None,
            _ => Some(0),
        };
        let covered = position.covers(id);
        let whole = match listed.index {
            IndexState::Sound(header) => listed.bytes.is_some_and(|bytes| bytes >= header.segment_bytes),
            IndexState::Missing | IndexState::Broken => false,
        };
        let last = match listed.index.header() {
            Some(header) if covered && whole && !options.accept_corruption => {
                replay.salvaged |= header.is_salvaged();
                Some(header.last_batch).filter(|_| !header.is_salvaged())
            }
            _ => {
                let tail = tails.last.contains(&id);
                replay.segment(place, Reading { listed, last_batch, tail, covered })?
            }
        };
        before = Some((id, last));
    }
    Ok(())
}

/// Makes the repairs, durably, in replay order: an index is made from those before it.
fn carry_out(
    files: &dyn Files,
    listing: &Listing,
    segments: &[SegmentId],
    repairs: impl Iterator<Item = Repair>,
) -> Result<(), RecoveryError> {
    let segments: Arc<[SegmentId]> = segments.into();
    for repair in repairs {
        let (what, done) = match repair {
            Repair::Remove(name) => (format!("remove {name}"), files.remove(&name)),
            Repair::Seal(header, runs, doubtful) => {
                let name = header.id.segment_name();
                let seal = Seal { header, runs, segments: Arc::clone(&segments) };
                let settled = doubtful.map_or(Ok(()), |from| {
                    files.truncate(&name, header.segment_bytes)?;
                    files.rewrite(&name, from)
                });
                (format!("seal {name}"), settled.and_then(|()| seal.run(files)))
            }
            Repair::Rebuild(id) => (format!("make {} anew", id.index_name()), Rebuild::of(id).run(files)),
            Repair::Salvage(id, header, tail) => {
                let time = listing.salvaged.get(&id).copied().unwrap_or(0) + 1;
                (format!("salvage {}", id.segment_name()), salvage::rewrite(files, id, header, tail, time))
            }
        };
        done.map_err(RecoveryError::io(what))?;
    }
    Ok(())
}
