//! What history is asked for, and what it answers.

use bytes::Bytes;

use crate::record::{Conversation, RecordKind};
use crate::segment::SegmentId;

/// Which way to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From `from` (inclusive) towards newer entries.
    Forward,
    /// From `from` (inclusive) towards older entries.
    Backward,
}

/// One request for history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query {
    /// Of which conversation.
    pub conversation: Conversation,
    /// The first sequence wanted. Backward, `u64::MAX` means from the newest.
    pub from: u64,
    /// Which way.
    pub direction: Direction,
    /// Most entries; brought to at least one and at most
    /// [`PAGE_ENTRIES_MAX`](crate::limits::PAGE_ENTRIES_MAX).
    pub limit: u32,
    /// Most payload bytes. One entry is returned even if it alone is larger.
    pub bytes_max: usize,
}

/// One entry as it was journalled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it is.
    pub kind: RecordKind,
    /// Its place in the conversation.
    pub sequence: u64,
    /// When the server took it, milliseconds since the epoch.
    pub time_ms: u64,
    /// What it says. A slice of what was read around it: copy it before keeping it for long.
    pub payload: Bytes,
}

/// The answer to a [`Query`].
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Page {
    /// In ascending order of sequence, whichever way was read. A jump between two sequences is a loss that
    /// recovery has reported.
    pub entries: Vec<Entry>,
    /// Whether there was more in that direction when the query came.
    pub more: bool,
}

/// Why history could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// As many requests wait as may. Try again.
    #[error("{waiting} requests for history are waiting; try again")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The disk refused.
    #[error("cannot read {name}: {why}")]
    Io {
        /// Which file.
        name: String,
        /// What the system said.
        why: String,
    },
    /// What is stored is not what was written, and the index is not to blame.
    #[error("{segment} is damaged at byte {offset}: {what}; run `ringwire store verify`")]
    Damaged {
        /// In which segment.
        segment: SegmentId,
        /// Where, as far as known.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}
