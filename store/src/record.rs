//! What the store keeps: records whose payload it does not understand.

use std::fmt;

/// A conversation's identity: 16 opaque bytes.
pub type Conversation = [u8; 16];

/// What a record is, to its writer. To the store only the upper bit matters.
///
/// * `0x00..=0x7f` are **entries**: within a conversation their sequences are dense and ascending, but for what
///   a [`RecordKind::SKIP`] leaves out. They are indexed, and [`History`](crate::History) serves them.
/// * `0x80..=0xff` are **notes** (cursors, device state and so on): journalled, replayed and folded into
///   checkpoints, but not indexed; their sequence is the writer's own business, except for the last kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RecordKind(pub u8);

impl RecordKind {
    /// The note that a conversation's order goes on behind its sequence: the ones before that are missing were
    /// given out, were never durable, and are not given out again. It comes before the entry that goes on, and
    /// is the only way for entries not to be dense.
    pub const SKIP: RecordKind = RecordKind(0xff);

    /// Whether records of this kind are entries of the conversation's order.
    pub const fn is_entry(self) -> bool {
        self.0 < 0x80
    }
}

/// One record, its payload borrowed from wherever it lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: RecordKind,
    /// Where it belongs. All records of a conversation are written by one shard at a time.
    pub conversation: Conversation,
    /// Its place in the conversation, dense for entries.
    pub sequence: u64,
    /// When the server took it, milliseconds since the epoch.
    pub time_ms: u64,
    /// What it says; for entries the whole `Message` frame. At most
    /// [`PAYLOAD_BYTES_MAX`](crate::limits::PAYLOAD_BYTES_MAX) bytes.
    pub payload: &'a [u8],
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, conversation, sequence, payload, .. } = self;
        write!(f, "Record({:#04x} {}/{sequence}, {} B)", kind.0, Hex(conversation), payload.len())
    }
}

/// A conversation as people see it: 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub struct Hex<'a>(pub &'a Conversation);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(*self.0))
    }
}

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
