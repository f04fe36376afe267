//! What shards write to each other.
//!
//! Two kinds, in rings of their own: a [`Request`] goes from the shard that has the connection to the shard
//! that owns the conversation, a [`Delivery`] comes back. Taking a delivery never makes a letter that has
//! to wait, taking a request may make deliveries; so requests wait for deliveries and deliveries for
//! nothing, and no circle of full rings can form.
//!
//! A letter to the own shard takes the same way without the ring.

use bytes::Bytes;
use ringwire_driver::ConnectionId;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Direction, Durability, Kind};

use super::encoded::Encoded;

/// Index of a shard, dense from 0.
pub type ShardIndex = u16;

/// Where an answer goes: a session on a connection of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRef {
    /// Orders the sessions of one device: the later one has the greater number. Never reused while the
    /// process lives.
    pub number: u64,
    /// The connection it speaks on.
    pub connection: ConnectionId,
    /// The shard that has the connection.
    pub shard: ShardIndex,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Author {
    /// The user, as the token says.
    pub user: UserId,
    /// The device, hashed to what messages carry.
    pub origin: u64,
    /// Where the answer goes.
    pub session: SessionRef,
}

/// To the owner of a conversation.
#[derive(Debug)]
pub enum Request {
    /// Become a member (or find that one is), and receive what is published from now on.
    Join {
        /// Who.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// The conversation's name and the user's, which travel once.
        names: Box<JoinNames>,
    },
    /// Receive what is published from now on; for members only.
    Attach {
        /// Who.
        author: Author,
        /// The client's own number, 0 where a cursor of `Hello` asks.
        request: u32,
        /// Which conversation.
        conversation: ConversationId,
        /// Whether the client has it open.
        open: bool,
    },
    /// A connection no longer receives; one for each `Attached`.
    Detach {
        /// The shard that had the connection.
        shard: ShardIndex,
        /// Which conversation.
        conversation: ConversationId,
    },
    /// Stop being a member.
    Leave {
        /// Who.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// Which conversation.
        conversation: ConversationId,
    },
    /// One message.
    Publish {
        /// Who.
        author: Author,
        /// Where to.
        conversation: ConversationId,
        /// Dense per device and conversation, from 1.
        client_sequence: u64,
        /// The sequence this one refers to, or 0.
        reference: u64,
        /// What it is.
        kind: Kind,
        /// How far it has to get before it is acknowledged and fanned out.
        durability: Durability,
        /// Opaque.
        body: Bytes,
    },
    /// A page of history.
    Fetch {
        /// Who.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// Which conversation.
        conversation: ConversationId,
        /// First sequence (forward) or last (backward).
        from: u64,
        /// At most this many messages.
        limit: u16,
        /// Which way.
        direction: Direction,
    },
    /// A page of the member list, in the order of user ids.
    Members {
        /// Who.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// Which conversation.
        conversation: ConversationId,
        /// Members after this one.
        after: UserId,
        /// At most this many.
        limit: u16,
    },
}

/// The names that a join brings.
#[derive(Debug)]
pub struct JoinNames {
    /// Of the conversation.
    pub conversation: Box<str>,
    /// Of the user, as the token says.
    pub user: Box<str>,
}

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// A `Publish`; a session has a window of them.
    Publish,
    /// A `Fetch`; a session has few at a time.
    Fetch,
    /// A `Join`, an `Open` or a cursor of `Hello`, by a refusal; a session receives so many conversations.
    Attach,
    /// Anything else, or nothing.
    Other,
}

/// Who gets a message at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody: a small conversation is pushed.
    Everybody,
    /// Those who have the conversation open; the others are told its head now and then, and pull.
    Open,
}

/// From the owner of a conversation to a shard that has connections.
#[derive(Debug)]
pub enum Delivery {
    /// A frame for one session.
    Reply {
        /// Whose.
        session: SessionRef,
        /// What.
        frame: Encoded,
        /// What it answers: some requests are counted per session.
        answers: Answers,
    },
    /// The session is attached: every `Message` of the conversation after this letter is for it too.
    Attached {
        /// Whose.
        session: SessionRef,
        /// Which conversation.
        conversation: ConversationId,
        /// Whether the client has it open.
        open: bool,
        /// The `Joined` frame.
        frame: Encoded,
    },
    /// The user's sessions on this shard are no longer attached, and are told so.
    Expelled {
        /// Who.
        user: UserId,
        /// Which conversation.
        conversation: ConversationId,
        /// The session that asked for it; it has an answer of its own.
        asked_by: SessionRef,
    },
    /// One message for everybody on this shard who is attached: encoded once, one letter per shard.
    Message {
        /// Which conversation.
        conversation: ConversationId,
        /// Its place in the conversation.
        sequence: u64,
        /// Who gets it at once.
        reach: Reach,
        /// The frame, as it is in the journal.
        frame: Encoded,
    },
}

const _: () = assert!(size_of::<Request>() <= 128, "a request fits two cache lines");
const _: () = assert!(size_of::<Delivery>() <= 96, "a delivery stays small: there are many");

/// The shard that owns a conversation.
pub fn owner_of(conversation: ConversationId, shards: u16) -> ShardIndex {
    // Ids are hashes already: the low eight bytes are uniform, and a multiply-shift spreads them over any
    // number of shards without a division.
    let bytes = conversation.as_bytes();
    let low =
        u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]);
    ((u128::from(low) * u128::from(shards)) >> 64) as ShardIndex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_spread_evenly() {
        let mut counts = [0u32; 7];
        for i in 0..70_000 {
            counts[usize::from(owner_of(ConversationId::from_name(&format!("room-{i}")), 7))] += 1;
        }
        for count in counts {
            assert!((9_500..10_500).contains(&count), "{counts:?}");
        }
    }
}
