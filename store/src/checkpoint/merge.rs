//! The merge: the last checkpoint and the segments sealed since, conversation by conversation.
//!
//! ```text
//! segments --scan--> references, sorted by conversation --\
//! last checkpoint, sorted by conversation ------------------> one state at a time --> next checkpoint
//! ```
//!
//! The scan checks every batch, so nothing damaged gets into a checkpoint. A reference is 28 bytes; the
//! records themselves come from memory where the segment fits there, else from the file one by one.

use std::cmp::Ordering;

use super::file::{self, Entry, Position, Writer};
use super::inputs::Inputs;
use super::{CheckpointConfig, CheckpointError, CheckpointReport, Input, Newest, StateFold};
use crate::files::{Files, InMemory, ReadFile};
use crate::format::batch;
use crate::format::record;
use crate::record::{Conversation, Hex, Record, RecordKind};
use crate::recovery::fold::refused;
use crate::recovery::scan::{Next, Scanner};
use crate::segment::SegmentId;

/// Where a record lies in the inputs. The derived order is by conversation, then replay order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    conversation: Conversation,
    input: u32,
    offset: u32,
    bytes: u32,
}

const _: () = assert!(size_of::<Reference>() == 28, "as limits.rs reckons");

/// An input while it is merged.
struct Source {
    id: SegmentId,
    seed: u32,
    file: Box<dyn ReadFile>,
}

/// Makes and publishes the next checkpoint, then removes those before it.
pub(super) fn merge<F: StateFold>(
    files: &dyn Files,
    fold: &F,
    old: Option<Newest>,
    inputs: &Inputs,
    config: &CheckpointConfig,
) -> Result<CheckpointReport, CheckpointError> {
    let number = old.as_ref().map_or(0, |old| old.number) + 1;
    let mut position = old.as_ref().map_or_else(Position::default, |old| old.reader.footer.position.clone());
    let (mut sources, mut references) = (Vec::new(), Vec::new());
    let mut memory = config.memory_bytes;
    for input in &inputs.segments {
        let whole = memory >= input.bytes;
        memory -= if whole { input.bytes } else { 0 };
        sources.push(scan(files, input, whole, sources.len() as u32, &mut references)?);
        position.add(input.id);
    }
    references.sort_unstable();
    let name = file::name(number);
    let writing = || CheckpointError::io(format!("write {name}"));
    let mut out = files.create(&name).map_err(writing())?;
    let writer = Writer::new(&mut out, number, position).map_err(writing())?;
    let mut merge = Merge { fold, sources, writer, state: Vec::new(), buffer: Vec::new(), name: &name };
    merge.all(old.map(|old| old.reader), &references)?;
    let (bytes, conversations) = merge.writer.finish().map_err(writing())?;
    out.publish().map_err(writing())?;
    for (older, _) in super::list(files).map_err(CheckpointError::io("list checkpoints"))? {
        if older < number {
            let name = file::name(older);
            files.remove(&name).map_err(CheckpointError::io(format!("remove {name}")))?;
        }
    }
    Ok(CheckpointReport {
        number,
        bytes,
        conversations,
        segments: inputs.segments.len(),
        input_bytes: inputs.segments.iter().map(|input| input.bytes).sum(),
        left_bytes: inputs.left_bytes,
    })
}

/// Checks all of a segment and notes where its records are.
fn scan(
    files: &dyn Files,
    input: &Input,
    whole: bool,
    place: u32,
    references: &mut Vec<Reference>,
) -> Result<Source, CheckpointError> {
    let name = input.id.segment_name();
    let reading = || CheckpointError::io(format!("read {name}"));
    let damaged = |what: &str| CheckpointError::Damaged { name: name.clone(), what: what.to_owned() };
    let file: Box<dyn ReadFile> = match whole {
        true => Box::new(InMemory(files.read(&name).map_err(reading())?)),
        false => files.open(&name).map_err(reading())?,
    };
    let mut scanner = match Scanner::open(&*file).map_err(reading())? {
        Ok(scanner) if scanner.header().id == input.id => scanner,
        _ => return Err(damaged("its header is unreadable")),
    };
    let seed = scanner.header().salt.seed();
    loop {
        match scanner.next().map_err(reading())? {
            Next::Batch(header, mut records) => {
                let mut offset = header.offset + batch::HEADER_BYTES as u32;
                while !records.is_empty() {
                    let split = record::split(records);
                    let (record, bytes) = split.ok_or_else(|| damaged("a record has no end"))?;
                    let (conversation, size) = (record.conversation, bytes as u32);
                    references.push(Reference { conversation, input: place, offset, bytes: size });
                    offset += size;
                    records = &records[bytes..];
                }
            }
            Next::End => break,
            Next::Torn | Next::Corrupt(_) => return Err(damaged("not all of it can be read")),
        }
    }
    if scanner.offset() != input.bytes {
        return Err(damaged("it ends before its end"));
    }
    Ok(Source { id: input.id, seed, file })
}

struct Merge<'a, F> {
    fold: &'a F,
    sources: Vec<Source>,
    writer: Writer<'a>,
    /// A conversation's encoded state.
    state: Vec<u8>,
    /// One record.
    buffer: Vec<u8>,
    name: &'a str,
}

impl<F: StateFold> Merge<'_, F> {
    fn all(
        &mut self,
        mut old: Option<file::Reader>,
        references: &[Reference],
    ) -> Result<(), CheckpointError> {
        let mut groups = references.chunk_by(|a, b| a.conversation == b.conversation).peekable();
        while let Some(reader) = &mut old {
            let next = reader.next().map_err(|fault| CheckpointError::of("the last checkpoint", fault))?;
            let Some(entry) = next else { break };
            // Conversations that the last checkpoint does not have, up to this one.
            while let Some(group) = groups.next_if(|group| group[0].conversation < entry.conversation) {
                self.conversation(None, group)?;
            }
            match groups.next_if(|group| group[0].conversation.cmp(&entry.conversation) == Ordering::Equal) {
                Some(group) => self.conversation(Some(entry), group)?,
                None => {
                    self.writer.add(&entry).map_err(CheckpointError::io(format!("write {}", self.name)))?
                }
            }
        }
        groups.try_for_each(|group| self.conversation(None, group))
    }

    /// One conversation that has new records.
    fn conversation(&mut self, old: Option<Entry<'_>>, group: &[Reference]) -> Result<(), CheckpointError> {
        let conversation = group[0].conversation;
        let (mut next, mut last) = old.map_or((0, None), |old| (old.next, old.last));
        let mut state = match old.and_then(|old| old.state) {
            Some(state) => {
                Some(self.fold.decode(&conversation, state).map_err(|error| CheckpointError::Fold {
                    what: format!("the state of conversation {}: {error}", Hex(&conversation)),
                })?)
            }
            None => None,
        };
        for reference in group {
            let source = &self.sources[reference.input as usize];
            let record = read(source, reference, &mut self.buffer)?;
            if record.kind.is_entry() {
                (next, last) = (record.sequence + 1, Some(source.id));
            } else if record.kind == RecordKind::SKIP {
                next = next.max(record.sequence.saturating_add(1));
            }
            let applied = self.fold.apply(&mut state, &record);
            applied.map_err(|error| CheckpointError::Fold { what: refused(&record, &error) })?;
        }
        if state.is_none() && last.is_none() {
            return Ok(());
        }
        self.state.clear();
        if let Some(state) = &state {
            self.fold.encode(state, &mut self.state);
        }
        let state = state.is_some().then_some(self.state.as_slice());
        let entry = Entry { conversation, next, last, state };
        self.writer.add(&entry).map_err(CheckpointError::io(format!("write {}", self.name)))
    }
}

/// Reads and checks one record.
fn read<'a>(
    source: &Source,
    reference: &Reference,
    buffer: &'a mut Vec<u8>,
) -> Result<Record<'a>, CheckpointError> {
    let name = || source.id.segment_name();
    buffer.resize(reference.bytes as usize, 0);
    let read = source.file.read_at(u64::from(reference.offset), buffer);
    read.map_err(CheckpointError::io(format!("read {}", name())))?;
    record::decode(buffer, source.seed).ok_or_else(|| CheckpointError::Damaged {
        name: name(),
        what: format!("the record at byte {} is not what was written", reference.offset),
    })
}
