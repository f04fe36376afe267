//! What is in the data directory, before any of it is believed.

use std::collections::{BTreeMap, BTreeSet};

use super::report::RecoveryError;
use super::scan::Scanner;
use crate::checkpoint::file::{self as checkpoint_file, Position};
use crate::files::Files;
use crate::index::file::{HEADER_BYTES, IndexHeader};
use crate::segment::{CHECKPOINT, JOURNAL, JournalName, SegmentId, parse};

/// The state of a segment's index file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IndexState {
    /// There is none.
    Missing,
    /// It is damaged, or of another format. It can be made anew from the segment.
    Broken,
    /// Its header and size are sound. Its pages are checked when they are read.
    Sound(IndexHeader),
}

impl IndexState {
    pub(crate) fn header(&self) -> Option<&IndexHeader> {
        match self {
            Self::Sound(header) => Some(header),
            Self::Missing | Self::Broken => None,
        }
    }
}

/// One segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    /// Size of its file, bytes; `None` if the file is not there although it should be.
    pub(crate) bytes: Option<u64>,
    pub(crate) index: IndexState,
}

/// All files of a data directory.
#[derive(Default)]
pub(crate) struct Listing {
    /// In replay order.
    pub(crate) segments: BTreeMap<SegmentId, Listed>,
    /// Numbers, ascending.
    pub(crate) checkpoints: Vec<u64>,
    /// Names of what interrupted writes left.
    pub(crate) temporary: Vec<String>,
    /// How often each segment was salvaged.
    pub(crate) salvaged: BTreeMap<SegmentId, u32>,
}

impl Listing {
    /// Lists both folders, and reads the headers of the index files.
    pub(crate) fn read(files: &dyn Files) -> Result<Self, RecoveryError> {
        let mut listing = Self::default();
        let mut indexes = BTreeMap::new();
        for entry in files.list(JOURNAL).map_err(RecoveryError::io(format!("list {JOURNAL}")))? {
            let name = format!("{JOURNAL}/{}", entry.name);
            match parse(&entry.name) {
                JournalName::Segment(id) => {
                    listing
                        .segments
                        .insert(id, Listed { bytes: Some(entry.bytes), index: IndexState::Missing });
                }
                JournalName::Index(id) => {
                    indexes.insert(id, index_state(files, id, entry.bytes)?);
                }
                JournalName::Corrupt(id, time) => {
                    let times = listing.salvaged.entry(id).or_default();
                    *times = time.max(*times);
                }
                JournalName::Temporary => listing.temporary.push(name),
                JournalName::Unknown => return Err(RecoveryError::Unknown { name }),
            }
        }
        for (id, index) in indexes {
            listing.segments.entry(id).or_insert(Listed { bytes: None, index }).index = index;
        }
        for entry in files.list(CHECKPOINT).map_err(RecoveryError::io(format!("list {CHECKPOINT}")))? {
            let name = format!("{CHECKPOINT}/{}", entry.name);
            match checkpoint_file::parse_name(&entry.name) {
                Some(number) => listing.checkpoints.push(number),
                None if entry.name.ends_with(".tmp") => listing.temporary.push(name),
                None => return Err(RecoveryError::Unknown { name }),
            }
        }
        listing.checkpoints.sort_unstable();
        Ok(listing)
    }

    /// Takes out what is below the floor: the names of files that a removal has left.
    pub(crate) fn retire(&mut self, floor: &Position) -> Vec<String> {
        let below: Vec<SegmentId> = self.segments.keys().filter(|id| floor.covers(**id)).copied().collect();
        let mut left = Vec::new();
        for id in below {
            let Some(listed) = self.segments.remove(&id) else { continue };
            // The index first, so that an interruption leaves no index without its segment.
            if listed.index != IndexState::Missing {
                left.push(id.index_name());
            }
            if listed.bytes.is_some() {
                left.push(id.segment_name());
            }
        }
        left
    }

    /// Adds the segments that must be there too: those before one that is, down to the first of its shard and
    /// generation that is not below the floor.
    pub(crate) fn complete(&mut self, known: impl IntoIterator<Item = SegmentId>, floor: &Position) {
        let absent = Listed { bytes: None, index: IndexState::Missing };
        for id in known.into_iter().filter(|id| !floor.covers(*id)) {
            self.segments.entry(id).or_insert(absent);
        }
        let mut last: BTreeMap<(u32, u16), u32> = BTreeMap::new();
        for id in self.segments.keys() {
            last.insert((id.generation, id.shard), id.index);
        }
        for ((generation, shard), last) in last {
            let ids = (0..last).map(|index| SegmentId { generation, shard, index });
            for id in ids.filter(|id| !floor.covers(*id)) {
                self.segments.entry(id).or_insert(absent);
            }
        }
    }

    /// Of the newest generation, the last segment of each shard that may hold batches, unless it is sealed;
    /// and those after it, which never held any.
    pub(crate) fn tails(&self, files: &dyn Files) -> Result<Tails, RecoveryError> {
        let mut tails = Tails::default();
        let Some(newest) = self.segments.keys().next_back().map(|id| id.generation) else { return Ok(tails) };
        let mut decided = BTreeSet::new();
        for (id, listed) in self.segments.iter().rev().take_while(|(id, _)| id.generation == newest) {
            if decided.contains(&id.shard) {
                continue;
            }
            let unsealed = listed.bytes.is_some() && listed.index == IndexState::Missing;
            if unsealed && is_blank(files, *id)? {
                tails.empty.insert(*id);
                continue;
            }
            decided.insert(id.shard);
            if unsealed {
                tails.last.insert(*id);
            }
        }
        Ok(tails)
    }
}

/// Where incomplete writes may be.
#[derive(Default)]
pub(crate) struct Tails {
    pub(crate) last: BTreeSet<SegmentId>,
    pub(crate) empty: BTreeSet<SegmentId>,
}

fn is_blank(files: &dyn Files, id: SegmentId) -> Result<bool, RecoveryError> {
    let name = id.segment_name();
    let reading = || RecoveryError::io(format!("read {name}"));
    let file = files.open(&name).map_err(reading())?;
    Scanner::is_blank(&*file).map_err(reading())
}

fn index_state(files: &dyn Files, id: SegmentId, bytes: u64) -> Result<IndexState, RecoveryError> {
    let name = id.index_name();
    let reading = || RecoveryError::io(format!("read {name}"));
    let mut header = [0; HEADER_BYTES];
    let file = files.open(&name).map_err(reading())?;
    let read = file.read_at(0, &mut header).map_err(reading())?;
    let header = IndexHeader::decode(&header[..read]);
    let sound = header.filter(|header| header.id == id && header.file_bytes() == bytes);
    Ok(sound.map_or(IndexState::Broken, IndexState::Sound))
}
