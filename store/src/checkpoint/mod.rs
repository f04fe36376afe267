//! Checkpoints: what replaying the sealed segments would lead to, written down.
//!
//! A checkpoint holds every conversation's state, as bytes that the server's [`StateFold`] makes and reads,
//! sorted by conversation. The next one is a streaming merge of the last one with the segments sealed since;
//! what is in memory is bounded by [`CheckpointConfig::memory_bytes`]. So recovery reads one checkpoint and what is not in it,
//! and neither its time nor its memory grows with history.
//!
//! Place: a background thread, not a driver's file thread, where a merge would hold up the creation of
//! segments. One merge at a time; it changes no file but its own.

pub(crate) mod file;
mod inputs;
mod merge;
mod retire;

use std::io;
use std::sync::{Arc, Mutex, TryLockError};

use crate::files::{Entry, Files};
use crate::limits;
use crate::record::{Conversation, Record};
use crate::recovery::FoldError;
use crate::segment::{CHECKPOINT, SegmentId};
pub use retire::{Floor, Retired};

/// How a conversation's state follows from its records. Must agree with what the server's
/// [`Fold`](crate::Fold) does: a checkpoint and the records after it have to lead to the same tables as all
/// the records.
pub trait StateFold: Send + Sync {
    /// One conversation's state while its records are applied.
    type State;
    /// Reads a state that [`StateFold::encode`] wrote.
    fn decode(&self, conversation: &Conversation, bytes: &[u8]) -> Result<Self::State, FoldError>;
    /// Applies the next record. `None`: there was nothing of the conversation before, or nothing is left to
    /// remember of it.
    fn apply(&self, state: &mut Option<Self::State>, record: &Record<'_>) -> Result<(), FoldError>;
    /// Appends the state's bytes, at most [`STATE_BYTES_MAX`](limits::STATE_BYTES_MAX). The same for the same
    /// records, whether they were applied at once or with encoding and decoding in between: only so can a
    /// checkpoint be verified.
    fn encode(&self, state: &Self::State, out: &mut Vec<u8>);
}

/// When to make checkpoints, and what one may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointConfig {
    /// One is worthwhile when more sealed bytes than this, and than twice the last checkpoint, are not
    /// covered.
    pub after_bytes: u64,
    /// Segments taken in by one merge, bytes. At least one segment is.
    pub input_bytes: u64,
    /// Records taken in by one merge; it remembers up to as many conversations.
    pub input_records: u64,
    /// States held in memory by one merge, bytes as encoded. The segments are read once more for each time
    /// this is full.
    pub memory_bytes: u64,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            after_bytes: limits::CHECKPOINT_AFTER_BYTES,
            input_bytes: limits::CHECKPOINT_INPUT_BYTES,
            input_records: limits::CHECKPOINT_INPUT_RECORDS,
            memory_bytes: limits::CHECKPOINT_MEMORY_BYTES,
        }
    }
}

/// Whether a checkpoint is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// If it is worthwhile: after a segment was sealed, and after boot.
    Worthwhile,
    /// If any sealed segment is not covered: before a planned stop.
    Now,
}

/// What a merge did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointReport {
    /// Number of the checkpoint made.
    pub number: u64,
    /// Its size, bytes.
    pub bytes: u64,
    /// Conversations in it.
    pub conversations: u64,
    /// Segments taken in.
    pub segments: usize,
    /// Their size, bytes.
    pub input_bytes: u64,
    /// Sealed segments that are still not covered, bytes: not 0 if there were more than one merge takes.
    pub left_bytes: u64,
}

/// Why no checkpoint was made. The last one stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk refused.
    #[error("cannot {what}: {error}")]
    Io {
        /// What was tried, on which file.
        what: String,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A file is not what was written.
    #[error("{name} is damaged: {what}; run `ringwire store verify`")]
    Damaged {
        /// Which, relative to the data directory.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The server did not understand what it once wrote.
    #[error("cannot take in {what}")]
    Fold {
        /// What, and why.
        what: String,
    },
}

impl CheckpointError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

impl From<CheckpointError> for io::Error {
    fn from(error: CheckpointError) -> Self {
        Self::other(error)
    }
}

/// Says what need not be kept any more. Off where there is none.
pub trait Retention<S>: Send + Sync {
    /// Whether all entries of a conversation up to `last`, the newest of which was taken at `time_ms`, are beyond
    /// what is kept of it.
    fn is_beyond(&self, conversation: &Conversation, state: &S, last: u64, time_ms: u64) -> bool;
    /// The entries up to `last` are gone.
    fn forget(&self, conversation: &Conversation, state: &mut S, last: u64);
}

/// Makes checkpoints of a data directory.
pub struct Checkpointer<F> {
    files: Arc<dyn Files>,
    fold: F,
    config: CheckpointConfig,
    /// Held by the merge under way.
    busy: Mutex<()>,
}

impl<F: StateFold> Checkpointer<F> {
    /// For the data directory that this process has locked.
    pub fn new(files: Arc<dyn Files>, fold: F, config: CheckpointConfig) -> Self {
        Self { files, fold, config, busy: Mutex::new(()) }
    }

    /// Makes a checkpoint if one is wanted; blocks. `None`: none was, or another thread is at it. With many
    /// segments to take in, one call may not cover them all: see [`CheckpointReport::left_bytes`].
    pub fn run(&self, when: When) -> Result<Option<CheckpointReport>, CheckpointError> {
        let _busy = match self.busy.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let files = &*self.files;
        let old = newest(files)?;
        let Some(inputs) = inputs::choose(files, old.as_ref(), &self.config, when)? else { return Ok(None) };
        let report = merge::merge(files, &self.fold, old, &inputs, &self.config)?;
        tracing::info!(?report, "made a checkpoint");
        Ok(Some(report))
    }

    /// Gives up segments of which nothing is to be kept, as many as one call looks at; blocks. `None`: there are
    /// none, or another thread makes a checkpoint. What is returned is decided: readers are to be told of it, and then
    /// the files are removed by [`Retired::remove`]; where that is not done, the next start does it.
    pub fn retire(&self, retention: &dyn Retention<F::State>) -> Result<Option<Retired>, CheckpointError> {
        let _busy = match self.busy.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let files = &*self.files;
        let Some(old) = newest(files)? else { return Ok(None) };
        retire::retire(files, &self.fold, retention, old, &self.config)
    }
}

/// The newest checkpoint that is whole: its number, size and reader.
pub(crate) struct Newest {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) reader: file::Reader,
}

/// The checkpoints there are, newest first.
pub(crate) fn list(files: &dyn Files) -> io::Result<Vec<(u64, u64)>> {
    let entries = files.list(CHECKPOINT)?;
    let number = |entry: &Entry| file::parse_name(&entry.name).map(|number| (number, entry.bytes));
    let mut numbers: Vec<_> = entries.iter().filter_map(number).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

/// The newest checkpoint. One that is damaged is not passed over here: recovery has judged them at boot, and
/// covering what was covered before would hide that.
fn newest(files: &dyn Files) -> Result<Option<Newest>, CheckpointError> {
    let all = list(files).map_err(CheckpointError::io(format!("list {CHECKPOINT}")))?;
    let Some((number, bytes)) = all.first().copied() else { return Ok(None) };
    Ok(Some(Newest { number, bytes, reader: open(files, number)? }))
}

fn open(files: &dyn Files, number: u64) -> Result<file::Reader, CheckpointError> {
    let name = file::name(number);
    let opened = files.open(&name).map_err(CheckpointError::io(format!("open {name}")))?;
    file::Reader::open(opened, number).map_err(|fault| CheckpointError::of(&name, fault))
}

impl CheckpointError {
    fn of(name: &str, fault: file::Fault) -> Self {
        match fault {
            file::Fault::Io(error) => Self::Io { what: format!("read {name}"), error },
            file::Fault::Version(version) => {
                Self::Damaged { name: name.to_owned(), what: format!("it has format version {version}") }
            }
            file::Fault::Damaged(what) => Self::Damaged { name: name.to_owned(), what: what.to_owned() },
        }
    }
}

/// Removes the checkpoints that a newer one has taken the place of.
fn remove_before(files: &dyn Files, number: u64) -> Result<(), CheckpointError> {
    for (older, _) in list(files).map_err(CheckpointError::io("list checkpoints"))? {
        if older < number {
            let name = file::name(older);
            files.remove(&name).map_err(CheckpointError::io(format!("remove {name}")))?;
        }
    }
    Ok(())
}

/// A segment that a merge takes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub(crate) id: SegmentId,
    pub(crate) bytes: u64,
}
