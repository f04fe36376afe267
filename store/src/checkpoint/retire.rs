//! Giving up segments whose entries are all beyond what is kept (J-27).
//!
//! ```text
//! 1  the oldest segments that the checkpoint covers --> which conversations end where in each of them
//! 2  last checkpoint --> their states; is all of that beyond what is kept of them?
//! 3  last checkpoint, with a higher floor and without what is gone --> next checkpoint, published
//! 4  readers are told; then the files below the floor are removed
//! ```
//!
//! What was given up is a prefix of the replay order, like what a checkpoint covers: so of every conversation it is
//! the beginning that goes, and what is kept has no hole. Everything else that was in those segments (heads, members,
//! cursors, what devices have published) is in the states already. A crash before 3 has done nothing; a crash behind
//! it leaves files that the next start removes.

use std::collections::{HashMap, HashSet};

use super::file::{self, Entry, Position, Writer};
use super::merge::scan;
use super::{CheckpointConfig, CheckpointError, Input, Newest, Retention, StateFold};
use crate::files::Files;
use crate::limits;
use crate::record::{Conversation, Hex};
use crate::segment::{JOURNAL, JournalName, SegmentId, parse};

/// Up to where segments were removed: of each shard and generation the beginning.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Floor(pub(crate) Position);

impl Floor {
    /// Whether the segment is below it.
    pub fn covers(&self, id: SegmentId) -> bool {
        self.0.covers(id)
    }
}

/// What was given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retired {
    /// What is below it is gone.
    pub floor: Floor,
    /// The conversations that have lost entries, and the last that each has lost.
    pub last: Vec<(Conversation, u64)>,
    /// The segments, in replay order.
    pub segments: Vec<SegmentId>,
    /// Their size, bytes.
    pub bytes: u64,
}

impl Retired {
    /// Removes the files; blocks. Doing it twice does no harm.
    pub fn remove(&self, files: &dyn Files) -> Result<(), CheckpointError> {
        for id in &self.segments {
            for name in [id.index_name(), id.segment_name()] {
                match files.remove(&name) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    removed => removed.map_err(CheckpointError::io(format!("remove {name}")))?,
                }
            }
        }
        Ok(())
    }
}

/// Where the conversations of one segment end in it.
struct Candidate {
    input: Input,
    ends: HashMap<Conversation, End, foldhash::fast::RandomState>,
}

#[derive(Clone, Copy)]
struct End {
    last: u64,
    time_ms: u64,
}

/// Segments that are kept, and with them all that come after: those of the same shard and generation, and those of
/// all later generations, since a conversation may have moved to another shard.
#[derive(Default)]
struct Blocked(HashSet<(u32, u16)>);

impl Blocked {
    fn block(&mut self, id: SegmentId) {
        self.0.insert((id.generation, id.shard));
    }

    fn blocks(&self, id: SegmentId) -> bool {
        self.0.iter().any(|(generation, shard)| {
            *generation < id.generation || (*generation, *shard) == (id.generation, id.shard)
        })
    }
}

pub(super) fn retire<F: StateFold>(
    files: &dyn Files,
    fold: &F,
    retention: &dyn Retention<F::State>,
    old: Newest,
    config: &CheckpointConfig,
) -> Result<Option<Retired>, CheckpointError> {
    let candidates = candidates(files, &old, config)?;
    if candidates.is_empty() {
        return Ok(None);
    }
    let kept = kept(files, fold, retention, &old, &candidates)?;
    let mut floor = old.reader.footer.floor.clone();
    let (mut gone, mut last) = (Vec::new(), HashMap::<Conversation, u64>::new());
    let mut blocked = Blocked::default();
    for candidate in candidates {
        let id = candidate.input.id;
        if kept.contains(&id) || blocked.blocks(id) {
            blocked.block(id);
            continue;
        }
        floor.add(id);
        for (conversation, end) in candidate.ends {
            let last = last.entry(conversation).or_default();
            *last = end.last.max(*last);
        }
        gone.push(candidate.input);
    }
    if gone.is_empty() {
        return Ok(None);
    }
    write(files, fold, retention, old, &floor, &last)?;
    let mut last: Vec<_> = last.into_iter().collect();
    last.sort_unstable();
    Ok(Some(Retired {
        floor: Floor(floor),
        last,
        segments: gone.iter().map(|input| input.id).collect(),
        bytes: gone.iter().map(|input| input.bytes).sum(),
    }))
}

/// The oldest segments that are covered and not given up, with what is in them; as much as one call looks at, but of
/// each shard at least one.
fn candidates(
    files: &dyn Files,
    old: &Newest,
    config: &CheckpointConfig,
) -> Result<Vec<Candidate>, CheckpointError> {
    let footer = &old.reader.footer;
    let mut inputs: Vec<Input> = Vec::new();
    for entry in files.list(JOURNAL).map_err(CheckpointError::io(format!("list {JOURNAL}")))? {
        if let JournalName::Segment(id) = parse(&entry.name)
            && footer.position.covers(id)
            && !footer.floor.covers(id)
        {
            inputs.push(Input { id, bytes: entry.bytes });
        }
    }
    inputs.sort_unstable_by_key(|input| input.id);
    let bytes_max = limits::RETIRE_INPUT_BYTES.min(config.input_bytes);
    let mut bytes = 0;
    let oldest = inputs.first().map_or(0, |input| input.id.generation);
    // Those of which one was looked at, and those of which no more are.
    let (mut begun, mut ended) = (HashSet::new(), Blocked::default());
    let mut found = Vec::new();
    for input in inputs {
        let is_first = input.id.generation == oldest && begun.insert(input.id.shard);
        if ended.blocks(input.id) || bytes + input.bytes > bytes_max && !is_first {
            ended.block(input.id);
            continue;
        }
        bytes += input.bytes;
        let mut ends: HashMap<Conversation, End, foldhash::fast::RandomState> = HashMap::default();
        scan(files, &input, &mut |record| {
            if record.kind.is_entry() {
                let end = ends.entry(record.conversation).or_insert(End { last: 0, time_ms: 0 });
                end.last = end.last.max(record.sequence);
                end.time_ms = end.time_ms.max(record.time_ms);
            }
            Ok(())
        })?;
        found.push(Candidate { input, ends });
    }
    Ok(found)
}

/// The candidates in which there is something to be kept.
fn kept<F: StateFold>(
    files: &dyn Files,
    fold: &F,
    retention: &dyn Retention<F::State>,
    old: &Newest,
    candidates: &[Candidate],
) -> Result<HashSet<SegmentId>, CheckpointError> {
    let mut kept = HashSet::new();
    let mut reader = super::open(files, old.number)?;
    while let Some(entry) = reader.next().map_err(damaged)? {
        let conversation = &entry.conversation;
        let within = candidates.iter().filter(|candidate| !kept.contains(&candidate.input.id));
        let ends: Vec<_> = within
            .filter_map(|candidate| Some((candidate.input.id, *candidate.ends.get(conversation)?)))
            .collect();
        if ends.is_empty() {
            continue;
        }
        let state = match entry.state {
            Some(state) => Some(decode(fold, conversation, state)?),
            None => None,
        };
        for (id, end) in ends {
            // Of what nothing is known, nothing is given up.
            let is_beyond = state
                .as_ref()
                .is_some_and(|state| retention.is_beyond(conversation, state, end.last, end.time_ms));
            if !is_beyond {
                kept.insert(id);
            }
        }
    }
    Ok(kept)
}

/// Writes the next checkpoint: the last one with a higher floor, and without what is gone.
fn write<F: StateFold>(
    files: &dyn Files,
    fold: &F,
    retention: &dyn Retention<F::State>,
    old: Newest,
    floor: &Position,
    last: &HashMap<Conversation, u64>,
) -> Result<(), CheckpointError> {
    let number = old.number + 1;
    let name = file::name(number);
    let writing = || CheckpointError::io(format!("write {name}"));
    let mut out = files.create(&name).map_err(writing())?;
    let mut reader = old.reader;
    let position = reader.footer.position.clone();
    let mut writer = Writer::new(&mut out, number, position, floor.clone()).map_err(writing())?;
    let mut bytes = Vec::new();
    while let Some(entry) = reader.next().map_err(damaged)? {
        let mut next = Entry { last: entry.last.filter(|last| !floor.covers(*last)), ..entry };
        if let (Some(state), Some(last)) = (entry.state, last.get(&entry.conversation)) {
            let mut state = decode(fold, &entry.conversation, state)?;
            retention.forget(&entry.conversation, &mut state, *last);
            bytes.clear();
            fold.encode(&state, &mut bytes);
            next.state = Some(&bytes);
        }
        writer.add(&next).map_err(writing())?;
    }
    writer.finish().map_err(writing())?;
    out.publish().map_err(writing())?;
    super::remove_before(files, number)
}

fn decode<F: StateFold>(
    fold: &F,
    conversation: &Conversation,
    state: &[u8],
) -> Result<F::State, CheckpointError> {
    fold.decode(conversation, state).map_err(|error| CheckpointError::Fold {
        what: format!("the state of conversation {}: {error}", Hex(conversation)),
    })
}

fn damaged(fault: file::Fault) -> CheckpointError {
    CheckpointError::of("the last checkpoint", fault)
}
