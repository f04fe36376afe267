//! What recovery found, for people and for the server.

use std::fmt;
use std::io;

use crate::record::{Conversation, Hex};
use crate::segment::SegmentId;

/// An incomplete last write, cut off. Nothing in it was ever reported as durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torn {
    /// Where.
    pub segment: SegmentId,
    /// From this byte on.
    pub offset: u64,
}

/// Bytes that were synced and are not readable any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// In which segment.
    pub segment: SegmentId,
    /// First byte that is not part of a good batch.
    pub from: u64,
    /// First byte behind it that is again; the size of the file if none is.
    pub to: u64,
    /// What is wrong.
    pub what: String,
}

/// Entries that are known to have existed and are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// Of this conversation.
    pub conversation: Conversation,
    /// First lost sequence.
    pub from: u64,
    /// Last lost sequence.
    pub to: u64,
}

/// What recovery found and did.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct RecoveryReport {
    /// Segments there are.
    pub segments: usize,
    /// Segments read and replayed; the others are covered by the checkpoint.
    pub replayed_segments: usize,
    /// Records replayed.
    pub replayed_records: u64,
    /// Bytes read for it.
    pub replayed_bytes: u64,
    /// Conversations restored from the checkpoint.
    pub restored: u64,
    /// Torn tails, cut.
    pub torn: Vec<Torn>,
    /// Corruption. Not empty only when the caller accepted it, or in [`RecoveryError::Corrupt`].
    pub damage: Vec<Damage>,
    /// Entries that the damage cost. A conversation whose newest entries are lost appears here only where an
    /// index file or a readable record header still names them.
    pub missing: Vec<Missing>,
    /// Repairs that cost nothing: a rebuilt index, a lost copy of a header.
    pub repairs: Vec<String>,
}

impl RecoveryReport {
    /// Puts what is missing in order, and neighbours together.
    pub(super) fn merge_missing(&mut self) {
        self.missing.sort_unstable_by_key(|missing| (missing.conversation, missing.from));
        self.missing.dedup_by(|next, before| {
            let joins = next.conversation == before.conversation && next.from <= before.to.saturating_add(1);
            if joins {
                before.to = before.to.max(next.to);
            }
            joins
        });
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} segments, {} replayed ({} records, {} bytes), {} conversations from the checkpoint",
            self.segments, self.replayed_segments, self.replayed_records, self.replayed_bytes, self.restored
        )?;
        for Torn { segment, offset } in &self.torn {
            write!(
                f,
                "\n{segment}: cut an incomplete last write at byte {offset}; nothing durable was in it"
            )?;
        }
        for Damage { segment, from, to, what } in &self.damage {
            write!(f, "\n{segment}: bytes {from}..{to} are damaged: {what}")?;
        }
        for Missing { conversation, from, to } in &self.missing {
            write!(f, "\nconversation {}: lost {from}..={to}", Hex(conversation))?;
        }
        for repair in &self.repairs {
            write!(f, "\n{repair}")?;
        }
        Ok(())
    }
}

/// Why a data directory could not be recovered. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The disk refused.
    #[error("cannot {what}: {error}")]
    Io {
        /// What was tried, on which file.
        what: String,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A file that is none of ours.
    #[error(
        "{name} is not a file of this store; move it out of the data directory, or check that the directory is \
         the right one"
    )]
    Unknown {
        /// Its name, relative to the data directory.
        name: String,
    },
    /// A file of another format.
    #[error(
        "{name} has format version {version}, and this build reads version {readable}; start the release that \
         wrote it, or one that can upgrade it"
    )]
    Version {
        /// Its name, relative to the data directory.
        name: String,
        /// What it is.
        version: u32,
        /// What would be readable.
        readable: u32,
    },
    /// Durable bytes are damaged, and the caller did not accept that.
    #[error(
        "the store is corrupt; restore the files from a backup, or start once with corruption accepted: then \
         everything readable is kept, the damaged originals are set aside as *.corrupt, and what is lost is \
         reported\n{0}"
    )]
    Corrupt(Box<RecoveryReport>),
    /// The server did not understand what it once wrote.
    #[error("cannot take in {what}")]
    Fold {
        /// What, and why.
        what: String,
    },
}

impl RecoveryError {
    /// Wraps an I/O error with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}
