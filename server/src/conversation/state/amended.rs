//! The log of amendments: edits, deletes and reactions again, in the order of the messages that they are about.
//!
//! ```text
//!   conversation   1 2 3 ... 255 | 256 ... 511 | 512 ...          its order, in which an amendment is an entry
//!                       ^                ^
//!   bucket 0 -----------'   bucket 1 ----'                        per bucket a log of its own, which has it again
//! ```
//!
//! A page of what is current needs what was said later about the messages in it, perhaps a year later. So every
//! amendment is written twice, in one batch of the journal: as an entry of its conversation, and as an entry of
//! the log of the bucket of its message. That log is under a key of its own in the same journal, so it is
//! stored, indexed, read and checked like a conversation, and a page costs one read more, whatever the history's
//! length. (Pointers to the entries instead of copies would cost a read for each of them.)
//!
//! The key begins as the conversation's id does, so both always have the same owner, whatever the number of
//! shards.
//!
//! In memory a bucket costs its key, its length and, once something in it was deleted, 32 bytes that say which;
//! one without amendments costs nothing. That is at most half a byte per message of history.

use ringwire_protocol::id::{ConversationId, ID_BYTES};
use ringwire_protocol::message::{Kind, Message};

use super::layout::{Input, StateFault, put};

/// Sequences of one bucket: a page of the most messages reads two.
pub const BUCKET_MESSAGES: u64 = 256;

/// First byte of the stored form; small numbers are layouts of a conversation's state.
pub const TAG: u8 = 0x41;

/// Domain of the keys.
const CONTEXT: &str = "ringwire 2026-11 amendments of a bucket";

/// The bucket of a sequence.
pub fn bucket_of(sequence: u64) -> u64 {
    sequence / BUCKET_MESSAGES
}

/// The key of a bucket's log in the journal.
pub fn bucket_key(conversation: ConversationId, bucket: u64) -> ConversationId {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(conversation.as_bytes());
    hasher.update(&bucket.to_le_bytes());
    let mut key = *conversation.as_bytes();
    key[ID_BYTES / 2..].copy_from_slice(&hasher.finalize().as_bytes()[..ID_BYTES / 2]);
    ConversationId::from_bytes(key)
}

/// What is known of a bucket's log: the fold of its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amended {
    /// How many entries it has.
    pub head: u64,
    /// One bit for each message of the bucket, if any was deleted.
    deleted: Option<Box<[u64; (BUCKET_MESSAGES / 64) as usize]>>,
}

impl Amended {
    /// Applies the log's entry of this sequence.
    pub fn apply(&mut self, sequence: u64, amendment: &Message<'_>) {
        self.head = sequence;
        if amendment.kind == Kind::Delete {
            let at = (amendment.reference % BUCKET_MESSAGES) as usize;
            self.deleted.get_or_insert_default()[at / 64] |= 1 << (at % 64);
        }
    }

    /// Whether the message of this sequence, which is in this bucket, was deleted.
    pub fn is_deleted(&self, sequence: u64) -> bool {
        let at = (sequence % BUCKET_MESSAGES) as usize;
        self.deleted.as_ref().is_some_and(|deleted| deleted[at / 64] & 1 << (at % 64) != 0)
    }

    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        put(out, self.head);
        for word in self.deleted.iter().flat_map(|deleted| deleted.iter()) {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Where the bytes are not one whole bucket.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateFault> {
        let mut input = Input::new(bytes);
        if input.byte()? != TAG {
            return Err(input.damaged());
        }
        let mut amended = Amended { head: input.number()?, deleted: None };
        if !input.is_at_end() {
            for word in amended.deleted.get_or_insert_default().iter_mut() {
                *word = u64::from_le_bytes(input.array()?);
            }
        }
        if input.is_at_end() { Ok(amended) } else { Err(input.damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::letter::owner_of;
    use ringwire_protocol::id::UserId;

    fn delete(reference: u64) -> Message<'static> {
        Message {
            conversation: ConversationId::from_name("lobby"),
            sequence: 900,
            time_ms: 1,
            sender: UserId::from_name("ada"),
            origin: 1,
            client_sequence: 1,
            reference,
            kind: Kind::Delete,
            body: b"",
        }
    }

    #[test]
    fn a_bucket_has_the_owner_of_its_conversation_and_a_key_of_its_own() {
        let mut keys = std::collections::HashSet::new();
        for name in ["lobby", "room-1", "room-2"] {
            let id = ConversationId::from_name(name);
            for bucket in 0..50 {
                let key = bucket_key(id, bucket);
                assert!(keys.insert(key) && key != id);
                assert!((1..9).all(|shards| owner_of(key, shards) == owner_of(id, shards)));
            }
        }
    }

    #[test]
    fn the_stored_form_is_the_bucket_and_a_cut_one_is_refused() {
        let mut amended = Amended::default();
        for deletes in 0..4 {
            let mut bytes = Vec::new();
            amended.encode(&mut bytes);
            assert_eq!(Amended::decode(&bytes).expect("just encoded"), amended);
            bytes.push(0);
            assert!(Amended::decode(&bytes).is_err());
            let about = 512 + 85 * deletes;
            amended.apply(deletes + 1, &delete(about));
            assert!(amended.is_deleted(about) && !amended.is_deleted(about ^ 1));
        }
        let mut bytes = Vec::new();
        amended.encode(&mut bytes);
        assert!((3..bytes.len()).all(|length| Amended::decode(&bytes[..length]).is_err()));
    }
}
