//! What the store folds without understanding it: entries and notes into what the server knows at its start.
//!
//! A key of the journal is a conversation, the bucket of a conversation's amendments, or a user. Which one shows in the
//! kind of its first record, and in the first byte of what a checkpoint has of it.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ringwire_protocol::frame;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::limits::FRAME_BYTES_CEILING;
use ringwire_protocol::message::{Message, ServerFrame};
use ringwire_store::{Fold, FoldError, Record, RecordKind, StateFold};

use super::{AMENDMENT, ENTRY, MEMBERS, RESERVED, USER};
use crate::conversation::state::{AMENDED_TAG, Amended, State, bucket_key, bucket_of, read_note};
use crate::user::state::{Note, TAG as USER_TAG, UserState};

/// What is folded of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folded {
    /// A conversation.
    Conversation(Box<State>),
    /// The amendments of a bucket of its messages.
    Amended(Amended),
    /// A user.
    User(UserState),
}

/// Everything, as recovery rebuilds it.
#[derive(Default)]
pub struct Tables {
    /// By key.
    pub by_key: HashMap<ConversationId, Folded, RandomState>,
}

/// Reads the message of a frame.
pub(crate) fn message(mut frame: &[u8]) -> Result<Message<'_>, FoldError> {
    let frame = frame::split(&mut frame, FRAME_BYTES_CEILING)
        .map_err(|fault| FoldError(fault.to_string()))?
        .ok_or_else(|| FoldError("the entry is empty".to_owned()))?;
    match ServerFrame::decode(frame).map_err(|fault| FoldError(fault.to_string()))? {
        ServerFrame::Message(message) => Ok(message),
        _ => Err(FoldError("the entry is no message".to_owned())),
    }
}

fn apply_to_conversation(state: &mut State, record: &Record<'_>) -> Result<(), FoldError> {
    match record.kind {
        RESERVED => state.reserved = record.sequence,
        RecordKind::SKIP => state.head = state.head.max(record.sequence),
        MEMBERS => {
            let note = read_note(record.payload)
                .ok_or_else(|| FoldError("the note about members is cut".to_owned()))?;
            note.for_each(|(user, standing)| state.apply_note(user, standing));
        }
        ENTRY => {
            let message = message(record.payload)?;
            // Holes exist where sequences were reserved and not used before a crash, or where an operator has
            // accepted corruption; the order goes on behind them.
            if message.sequence != state.head + 1 {
                state.head = message.sequence.saturating_sub(1);
            }
            state.apply(&message);
        }
        kind => {
            return Err(FoldError(format!(
                "records of kind {:#04x} are not known to this release; start the release that wrote them",
                kind.0
            )));
        }
    }
    Ok(())
}

fn apply_to_amended(amended: &mut Amended, record: &Record<'_>) -> Result<(), FoldError> {
    let message = message(record.payload)?;
    let key = bucket_key(message.conversation, bucket_of(message.reference));
    if record.kind != AMENDMENT || record.conversation != *key.as_bytes() {
        return Err(FoldError("an amendment is in the log of other messages than it is about".to_owned()));
    }
    amended.apply(record.sequence, &message);
    Ok(())
}

fn apply_to_user(user: &mut UserState, record: &Record<'_>) -> Result<(), FoldError> {
    if record.kind != USER {
        return Err(FoldError("a user's key has a record that is about none".to_owned()));
    }
    user.apply(Note::decode(record.payload).map_err(|fault| FoldError(fault.to_string()))?);
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<Folded, FoldError> {
    let text = |fault: &dyn std::fmt::Display| FoldError(fault.to_string());
    match bytes.first() {
        Some(&USER_TAG) => UserState::decode(bytes).map(Folded::User).map_err(|fault| text(&fault)),
        Some(&AMENDED_TAG) => Amended::decode(bytes).map(Folded::Amended).map_err(|fault| text(&fault)),
        _ => {
            let state = State::decode(bytes).map_err(|fault| text(&fault))?;
            Ok(Folded::Conversation(Box::new(state)))
        }
    }
}

impl Folded {
    /// What a key is whose first record is of this kind.
    fn begin(kind: RecordKind) -> Self {
        match kind {
            AMENDMENT => Folded::Amended(Amended::default()),
            USER => Folded::User(UserState::default()),
            _ => Folded::Conversation(Box::default()),
        }
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        match self {
            Folded::Conversation(state) => apply_to_conversation(state, record),
            Folded::Amended(amended) => apply_to_amended(amended, record),
            Folded::User(user) => apply_to_user(user, record),
        }
    }
}

impl Fold for Tables {
    fn restore(&mut self, key: &[u8; 16], bytes: &[u8]) -> Result<(), FoldError> {
        self.by_key.insert(ConversationId::from_bytes(*key), decode(bytes)?);
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        let key = ConversationId::from_bytes(record.conversation);
        self.by_key.entry(key).or_insert_with(|| Folded::begin(record.kind)).apply(record)
    }
}

/// The same fold, one key at a time, for checkpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyFold;

impl StateFold for KeyFold {
    type State = Folded;

    fn decode(&self, _key: &[u8; 16], bytes: &[u8]) -> Result<Folded, FoldError> {
        decode(bytes)
    }

    fn apply(&self, state: &mut Option<Folded>, record: &Record<'_>) -> Result<(), FoldError> {
        state.get_or_insert_with(|| Folded::begin(record.kind)).apply(record)
    }

    fn encode(&self, state: &Folded, out: &mut Vec<u8>) {
        match state {
            Folded::Conversation(state) => state.encode(out),
            Folded::Amended(amended) => amended.encode(out),
            Folded::User(user) => user.encode(out),
        }
    }
}
