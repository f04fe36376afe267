//! What recovery replays into, and what checkpoints are folded by: both given by the server.

use crate::record::{Conversation, Hex, Record};

/// Why a state or a record could not be taken in. The text says what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FoldError(pub String);

/// The server's tables, as recovery fills them.
pub trait Fold {
    /// A conversation as the checkpoint has it. Comes before any of its records.
    fn restore(&mut self, conversation: &Conversation, state: &[u8]) -> Result<(), FoldError>;
    /// A record that the checkpoint does not cover, in the order in which it was appended.
    fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError>;
}

/// Names the record that a fold refused.
pub(crate) fn refused(record: &Record<'_>, error: &FoldError) -> String {
    format!("record {:#04x} {}/{}: {error}", record.kind.0, Hex(&record.conversation), record.sequence)
}
