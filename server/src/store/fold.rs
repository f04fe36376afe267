//! What the store folds without understanding it: entries into conversation states.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ringwire_protocol::frame;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::limits::FRAME_BYTES_CEILING;
use ringwire_protocol::message::{Message, ServerFrame};
use ringwire_store::{Fold, FoldError, Record, RecordKind, StateFold};

use super::{ENTRY, RESERVED};
use crate::conversation::State;

/// All states, as recovery rebuilds them.
#[derive(Default)]
pub struct States {
    /// By conversation.
    pub by_id: HashMap<ConversationId, State, RandomState>,
}

/// Reads the message of an entry.
fn message<'a>(record: &Record<'a>) -> Result<Message<'a>, FoldError> {
    if record.kind != ENTRY {
        return Err(FoldError(format!(
            "records of kind {:#04x} are not known to this release; start the release that wrote them",
            record.kind.0
        )));
    }
    let mut payload = record.payload;
    let frame = frame::split(&mut payload, FRAME_BYTES_CEILING)
        .map_err(|fault| FoldError(fault.to_string()))?
        .ok_or_else(|| FoldError("the entry is empty".to_owned()))?;
    match ServerFrame::decode(frame).map_err(|fault| FoldError(fault.to_string()))? {
        ServerFrame::Message(message) => Ok(message),
        _ => Err(FoldError("the entry is no message".to_owned())),
    }
}

fn apply(state: &mut State, record: &Record<'_>) -> Result<(), FoldError> {
    if record.kind == RESERVED {
        state.reserved = record.sequence;
        return Ok(());
    }
    if record.kind == RecordKind::SKIP {
        state.head = state.head.max(record.sequence);
        return Ok(());
    }
    let message = message(record)?;
    // Holes exist where sequences were reserved and not used before a crash, or where an operator has
    // accepted corruption; the order goes on behind them.
    if message.sequence != state.head + 1 {
        state.head = message.sequence.saturating_sub(1);
    }
    state.apply(&message);
    Ok(())
}

impl Fold for States {
    fn restore(&mut self, conversation: &[u8; 16], bytes: &[u8]) -> Result<(), FoldError> {
        let state = State::decode(bytes).map_err(|fault| FoldError(fault.to_string()))?;
        self.by_id.insert(ConversationId::from_bytes(*conversation), state);
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        apply(self.by_id.entry(ConversationId::from_bytes(record.conversation)).or_default(), record)
    }
}

/// The same fold, one conversation at a time, for checkpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConversationFold;

impl StateFold for ConversationFold {
    type State = State;

    fn decode(&self, _conversation: &[u8; 16], bytes: &[u8]) -> Result<State, FoldError> {
        State::decode(bytes).map_err(|fault| FoldError(fault.to_string()))
    }

    fn apply(&self, state: &mut Option<State>, record: &Record<'_>) -> Result<(), FoldError> {
        apply(state.get_or_insert_default(), record)
    }

    fn encode(&self, state: &State, out: &mut Vec<u8>) {
        state.encode(out);
    }
}
