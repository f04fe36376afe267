//! What a journal asks for, and how far it has come.

use bytes::Bytes;

use crate::index::seal::Seal;
use crate::segment::SegmentId;

/// An operation for the shard to hand to its driver.
#[derive(Debug)]
pub enum JournalOp {
    /// Create the file, preallocate `bytes`, make its name durable; then
    /// [`Journal::on_created`](crate::Journal::on_created).
    Create {
        /// Which; the file is [`SegmentId::segment_name`].
        segment: SegmentId,
        /// Preallocated size, bytes.
        bytes: u64,
    },
    /// Write all of `data` at `offset`, then fdatasync; then
    /// [`Journal::on_written`](crate::Journal::on_written). Never two at a time on one segment. Drop `data`
    /// before reporting, so that its buffer can be used again.
    Write {
        /// Where to.
        segment: SegmentId,
        /// Byte offset.
        offset: u64,
        /// What.
        data: Bytes,
    },
    /// Nothing more will be written to the segment: close the file and run [`Seal::run`] on a thread that
    /// may block; then [`Journal::on_sealed`](crate::Journal::on_sealed).
    Seal(Seal),
}

/// The place of a record among all those given to one journal: dense from 1 in this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EntryNumber(pub u64);

/// How far a journal has come. Each word is exact, and each is at most the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Positions {
    /// Encoded in a batch in memory.
    pub appended: EntryNumber,
    /// Handed out to be written; whether the disk has it is not known.
    pub written: EntryNumber,
    /// Written and synced: survives a power cut.
    pub synced: EntryNumber,
}

/// Why a record was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    /// More waits for the disk than the journal will hold: publishers should have been refused since
    /// [`Journal::is_full`](crate::Journal::is_full). Try again after the next durable position.
    #[error("the journal has {pending} bytes waiting for the disk; try again when some are synced")]
    Full {
        /// Bytes appended and not yet synced.
        pending: usize,
    },
    /// Larger than a record may be.
    #[error("a record of {bytes} payload bytes does not fit; the most is {max}")]
    TooLarge {
        /// Its payload, bytes.
        bytes: usize,
        /// The most, bytes.
        max: usize,
    },
    /// The journal has failed, for good.
    #[error("the journal has failed and takes nothing until the process is restarted: {0}")]
    Failed(String),
    /// The journal was told to stop.
    #[error("the journal is stopping")]
    Stopped,
}
