//! Bringing a data directory in order at boot (rules J-10, J-11, J-16 to J-19 of `docs/journal.md`).
//!
//! Everything is read and judged before anything is changed: an error leaves the files as they were.
//! Whatever was reported as durable is replayed; what was not may be there or not; nothing is invented.

pub(crate) mod fold;
mod replay;
mod report;
pub(crate) mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::files::Files;
use crate::index::Index;
use crate::index::runs::NONE;
use crate::index::seal::Seal;
use crate::record::Conversation;
use crate::segment::{JOURNAL, JournalName, SegmentId, parse};
pub use fold::{Fold, FoldError};
use replay::{Expected, Known, Repair, Replay};
pub use report::{Damage, Missing, RecoveryError, RecoveryReport, Torn};
use scan::Scanner;

/// What the operator allows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RecoverOptions {
    /// Start although durable bytes are damaged: keep what is readable, set the originals aside, report what
    /// is lost.
    pub accept_corruption: bool,
}

/// A data directory in order.
pub struct Recovered {
    /// The generation of this start.
    pub generation: u32,
    /// What was found and done.
    pub report: RecoveryReport,
    segments: Vec<SegmentId>,
    known: Vec<(Conversation, u32)>,
}

impl Recovered {
    /// The index of each shard of this start, however many there were before. `owner` says which shard has a
    /// conversation; it must be below `shards`.
    pub fn indexes(self, shards: usize, owner: impl Fn(&Conversation) -> usize) -> Vec<Index> {
        let mut indexes: Vec<_> = (0..shards).map(|_| Index::new(self.segments.clone())).collect();
        for (conversation, segment) in self.known {
            indexes[owner(&conversation)].locate(conversation, segment);
        }
        indexes
    }
}

/// What is in the `journal` folder.
struct Listing {
    /// In replay order.
    segments: BTreeMap<SegmentId, u64>,
    indexed: BTreeSet<SegmentId>,
    temporary: Vec<String>,
}

impl Listing {
    fn read(files: &dyn Files) -> Result<Self, RecoveryError> {
        let mut listing = Self { segments: BTreeMap::new(), indexed: BTreeSet::new(), temporary: Vec::new() };
        for entry in files.list(JOURNAL).map_err(RecoveryError::io(format!("list {JOURNAL}")))? {
            match parse(&entry.name) {
                JournalName::Segment(id) => {
                    listing.segments.insert(id, entry.bytes);
                }
                JournalName::Index(id) => {
                    listing.indexed.insert(id);
                }
                JournalName::Corrupt => {}
                JournalName::Temporary => listing.temporary.push(format!("{JOURNAL}/{}", entry.name)),
                JournalName::Unknown => {
                    return Err(RecoveryError::Unknown { name: format!("{JOURNAL}/{}", entry.name) });
                }
            }
        }
        Ok(listing)
    }

    /// The newest segment of each shard of the newest generation, as far as they hold batches; and those
    /// after them, which never held any.
    fn tails(&self, files: &dyn Files) -> Result<(BTreeSet<SegmentId>, Vec<SegmentId>), RecoveryError> {
        let newest = self.segments.keys().next_back().map_or(0, |id| id.generation);
        let (mut tails, mut empty) = (BTreeSet::new(), Vec::new());
        let mut decided = BTreeSet::new();
        for id in self.segments.keys().rev().take_while(|id| id.generation == newest) {
            if decided.contains(&id.shard) {
                continue;
            }
            let reading = || RecoveryError::io(format!("read {}", id.segment_name()));
            let file = files.open(&id.segment_name()).map_err(reading())?;
            if !self.indexed.contains(id) && Scanner::is_blank(&*file).map_err(reading())? {
                empty.push(*id);
            } else {
                decided.insert(id.shard);
                tails.insert(*id);
            }
        }
        Ok((tails, empty))
    }
}

/// Brings the data directory in order and replays it into `fold`.
///
/// Blocks. The caller holds the directory's lock, and begins its journals in the generation returned.
pub fn recover(
    files: &dyn Files,
    fold: &mut dyn Fold,
    options: &RecoverOptions,
) -> Result<Recovered, RecoveryError> {
    let listing = Listing::read(files)?;
    let (tails, empty) = listing.tails(files)?;
    let segments: Vec<_> = listing.segments.keys().filter(|id| !empty.contains(id)).copied().collect();
    let generation = listing.segments.keys().next_back().map_or(0, |id| id.generation) + 1;
    let report = RecoveryReport { segments: segments.len(), ..RecoveryReport::default() };
    let known = std::collections::HashMap::default();
    let mut replay = Replay { files, fold, segments, known, report, repairs: Vec::new() };
    let mut before: Option<(SegmentId, Option<u64>)> = None;
    for place in 0..replay.segments.len() as u32 {
        let id = replay.segments[place as usize];
        let last_batch = match before {
            Some((before, last)) if before.next() == id => last,
            _ => Some(0),
        };
        let unsealed = !listing.indexed.contains(&id);
        let last = replay.segment(place, Expected { last_batch, unsealed, tail: tails.contains(&id) })?;
        before = Some((id, last));
    }
    let Replay { segments, known, report, repairs, .. } = replay;
    if !report.damage.is_empty() && !options.accept_corruption {
        return Err(RecoveryError::Corrupt(Box::new(report)));
    }
    let removals = empty.into_iter().map(Repair::Remove);
    carry_out(files, &segments, repairs.into_iter().chain(removals))?;
    for name in listing.temporary {
        files.remove(&name).map_err(RecoveryError::io(format!("remove {name}")))?;
    }
    let known = known.into_iter().map(|(conversation, Known { segment, .. })| (conversation, segment));
    let known = known.filter(|(_, segment)| *segment != NONE).collect();
    Ok(Recovered { generation, report, segments, known })
}

/// Makes the repairs, durably.
fn carry_out(
    files: &dyn Files,
    segments: &[SegmentId],
    repairs: impl Iterator<Item = Repair>,
) -> Result<(), RecoveryError> {
    let segments: Arc<[SegmentId]> = segments.into();
    for repair in repairs {
        match repair {
            Repair::Remove(id) => {
                let name = id.segment_name();
                files.remove(&name).map_err(RecoveryError::io(format!("remove {name}")))?;
            }
            Repair::Seal(header, runs) => {
                let seal = Seal { header, runs, segments: Arc::clone(&segments) };
                let what = format!("seal {}", header.id.segment_name());
                seal.run(files).map_err(RecoveryError::io(what))?;
            }
        }
    }
    Ok(())
}
