//! Which segments the next checkpoint takes in.

use std::collections::{BTreeMap, BTreeSet};

use super::{CheckpointConfig, CheckpointError, Input, Newest, When};
use crate::files::Files;
use crate::format::record;
use crate::index::file::{HEADER_BYTES, IndexHeader};
use crate::segment::{JOURNAL, JournalName, SegmentId, parse};

/// What one merge takes in, in replay order, and what it leaves.
pub(super) struct Inputs {
    pub(super) segments: Vec<Input>,
    /// Sealed and not covered afterwards, bytes.
    pub(super) left_bytes: u64,
}

/// Chooses sealed segments that the last checkpoint does not cover. Of each generation and shard only the
/// sealed ones before the first that is not; of a generation any only if all before it are covered then, since
/// a conversation may have moved to another shard.
pub(super) fn choose(
    files: &dyn Files,
    old: Option<&Newest>,
    config: &CheckpointConfig,
    when: When,
) -> Result<Option<Inputs>, CheckpointError> {
    let sealed = sealed(files, old)?;
    let bytes: u64 = sealed.iter().map(|input| input.bytes).sum();
    let least = match when {
        When::Worthwhile => config.after_bytes.max(2 * old.map_or(0, |old| old.bytes)),
        When::Now => 0,
    };
    if bytes <= least {
        return Ok(None);
    }
    let mut inputs = Inputs { segments: Vec::new(), left_bytes: bytes };
    let (mut taken_bytes, mut taken_records) = (0, 0);
    for input in sealed {
        let records = records(files, input)?;
        let full =
            taken_bytes + input.bytes > config.input_bytes || taken_records + records > config.input_records;
        if full && !inputs.segments.is_empty() {
            break;
        }
        taken_bytes += input.bytes;
        taken_records += records;
        inputs.left_bytes -= input.bytes;
        inputs.segments.push(input);
    }
    Ok(Some(inputs))
}

fn sealed(files: &dyn Files, old: Option<&Newest>) -> Result<Vec<Input>, CheckpointError> {
    let mut segments = BTreeMap::new();
    let mut indexed = BTreeSet::new();
    for entry in files.list(JOURNAL).map_err(CheckpointError::io(format!("list {JOURNAL}")))? {
        match parse(&entry.name) {
            JournalName::Segment(id) => {
                segments.insert(id, entry.bytes);
            }
            JournalName::Index(id) => {
                indexed.insert(id);
            }
            JournalName::Corrupt(..) | JournalName::Temporary | JournalName::Unknown => {}
        }
    }
    let covered = |id: SegmentId| old.is_some_and(|old| old.reader.footer.position.covers(id));
    let mut inputs = Vec::new();
    // The shard and generation of the first segment that is not sealed.
    let mut open: Option<(u32, u16)> = None;
    for (id, bytes) in segments.into_iter().filter(|(id, _)| !covered(*id)) {
        if open.is_some_and(|(generation, _)| generation != id.generation) {
            break;
        }
        match indexed.contains(&id) {
            true if open != Some((id.generation, id.shard)) => inputs.push(Input { id, bytes }),
            true => {}
            false => open = Some((id.generation, id.shard)),
        }
    }
    Ok(inputs)
}

/// How many records a segment holds: as its index says, or the most there can be if that is damaged.
fn records(files: &dyn Files, input: Input) -> Result<u64, CheckpointError> {
    let name = input.id.index_name();
    let mut header = [0; HEADER_BYTES];
    let file = files.open(&name).map_err(CheckpointError::io(format!("open {name}")))?;
    let read = file.read_at(0, &mut header).map_err(CheckpointError::io(format!("read {name}")))?;
    let most = input.bytes / record::HEADER_BYTES as u64;
    Ok(IndexHeader::decode(&header[..read]).map_or(most, |header| header.records))
}
