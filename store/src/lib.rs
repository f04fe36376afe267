//! The segmented journal: group commit, recovery, index, checkpoints and history. Sans I/O.
//!
//! Place on the path: a conversation's owner shard appends what it has sequenced; what the journal reports
//! as synced may be acknowledged and fanned out; history serves it ever after. The bytes on disk are
//! described in `docs/journal.md`, by numbered rules (J-n) that the code refers to.
//!
//! * [`Journal`] is the writing state machine of one shard: records in, [`JournalOp`]s out.
//! * [`History`] is the reading state machine of one shard: queries in, [`HistoryOp`]s out.
//! * [`Checkpointer`] bounds what recovery has to read.
//! * [`verify`] reads everything and reports.
//! * [`recover`] brings a data directory in order at boot and replays it into a [`Fold`].
//!
//! Deliberately absent: the wire protocol (payloads are opaque), clocks, randomness, threads, async, and
//! file access outside [`DiskFiles`].
#![forbid(unsafe_code)]

mod checkpoint;
pub mod files;
mod format;
mod history;
mod index;
mod journal;
pub mod limits;
mod record;
mod recovery;
mod segment;
mod verify;

pub use checkpoint::{
    CheckpointConfig, CheckpointError, CheckpointReport, Checkpointer, Floor, Retention, Retired, StateFold,
    When,
};
pub use files::{DiskFiles, Files};
pub use format::header::VERSION;
pub use history::{Direction, Entry, FetchError, History, HistoryConfig, HistoryOp, Page, Query};
pub use index::Index;
pub use index::rebuild::Rebuild;
pub use index::seal::Seal;
pub use journal::{AppendError, Config, EntryNumber, Journal, JournalOp, Positions, SaltSource};
pub use record::{Conversation, Hex, Record, RecordKind};
pub use recovery::{
    Damage, Fold, FoldError, Missing, RecoverOptions, Recovered, RecoveryError, RecoveryReport, Torn, recover,
};
pub use segment::{CHECKPOINT, JOURNAL, Salt, SegmentId};
pub use verify::{Finding, Severity, VerifyReport, verify};
