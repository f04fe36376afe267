//! What shards write to each other.
//!
//! Two kinds, in rings of their own: a [`Request`] goes to the shard that owns a conversation, or to the one
//! that is home to a user, a [`Delivery`] goes to a shard that has connections. Taking a delivery never makes
//! a letter that has to wait, taking a request may make deliveries; so requests wait for deliveries and
//! deliveries for nothing, and no circle of full rings can form. A request that makes a further request is
//! refused, or waits with the shard that sends it ([`Request::must_arrive`]); nobody waits for it.
//!
//! A letter to the own shard takes the same way without the ring.

use bytes::Bytes;
use ringwire_driver::ConnectionId;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{
    Action, ConversationKind, Direction, Durability, Kind, PresenceEntry, ReceiptKind, Role, View,
};

use super::encoded::Encoded;
use crate::transport::quic::Stray;
use crate::user::letter::{HomeLetter, Listed};

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
    /// Which of its connections, as the client says; 0: it does not.
    pub attempt: u64,
    /// Where the answer goes.
    pub session: SessionRef,
}

/// To the owner of a conversation, or to the home of a user.
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
        /// As it was written, or as it stands.
        view: View,
    },
    /// A new conversation with members, or of two.
    Create {
        /// Who.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// What is created.
        founding: Box<Founding>,
    },
    /// Add a member, remove one, give one another role.
    Change {
        /// Who asks.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// What is asked.
        change: Box<MemberChange>,
    },
    /// No wake-ups for this user.
    Mute {
        /// Who.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// Which conversation.
        conversation: ConversationId,
        /// Until when, milliseconds since 1970.
        until_ms: u64,
    },
    /// A user has read, or a device has, everything up to there.
    Cursor {
        /// Who.
        author: Author,
        /// Which conversation.
        conversation: ConversationId,
        /// Which of the two.
        kind: ReceiptKind,
        /// Up to where.
        sequence: u64,
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
    /// The author types, or has stopped. Refused: forgotten, because it is of this moment only.
    Typing {
        /// Who.
        author: Author,
        /// Where.
        conversation: ConversationId,
        /// `false`: stopped.
        active: bool,
    },
    /// How conversations stand for one of their members, for the inbox of a session.
    Entries {
        /// Whose inbox.
        session: SessionRef,
        /// The member.
        user: UserId,
        /// All of one owner.
        conversations: Box<[ConversationId]>,
        /// How many such letters make the inbox; 0: it is news, not a whole inbox.
        parts: u16,
        /// The user was put out of one of them, or has left it: those are named, too, that he is not in.
        gone: bool,
    },
    /// A member of these conversations is away and wants to be woken, or is back.
    Away {
        /// Who.
        user: UserId,
        /// All of one owner.
        conversations: Box<[ConversationId]>,
        /// Or back.
        away: bool,
        /// He has been since before the process began.
        begins: bool,
    },
    /// Be told how many members are there and how far they are, or no more.
    WatchCounts {
        /// Who.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// Which conversation.
        conversation: ConversationId,
        /// `false`: no more.
        active: bool,
    },
    /// A session is told no more of a conversation's counts; one for each `Counting` that is active.
    Uncount {
        /// The shard that has the session's connection.
        shard: ShardIndex,
        /// Which conversation.
        conversation: ConversationId,
    },
    /// How many members of a conversation are there, of those whose home this is. Refused: said again a second
    /// later.
    Online {
        /// The home that says so.
        home: ShardIndex,
        /// Which conversation.
        conversation: ConversationId,
        /// How many.
        online: u32,
    },
    /// To the home of a user.
    Home(HomeLetter),
}

impl Request {
    /// Whether it may not be refused: it waits with its sender for as long as the ring is full. Each is bounded
    /// by what it undoes or announces, such as one `Detach` for each `Attached`.
    pub fn must_arrive(&self) -> bool {
        match self {
            // The latter: a few for each session that begins, and for each of a user's when he joins something.
            // And a few each time that a user comes or goes who is to be woken.
            Request::Detach { .. }
            | Request::Uncount { .. }
            | Request::Entries { .. }
            | Request::Away { .. } => true,
            Request::Home(letter) => letter.must_arrive(),
            _ => false,
        }
    }
}

/// The names that a join brings.
#[derive(Debug)]
pub struct JoinNames {
    /// Of the conversation.
    pub conversation: Box<str>,
    /// Of the user, as the token says.
    pub user: Box<str>,
}

/// What a new conversation begins with.
#[derive(Debug)]
pub struct Founding {
    /// What it is.
    pub kind: ConversationKind,
    /// Its name.
    pub name: Box<str>,
    /// The author's name, as the token says.
    pub user: Box<str>,
    /// The other members.
    pub members: Vec<(UserId, Role, Box<str>)>,
}

/// A change of one member.
#[derive(Debug)]
pub struct MemberChange {
    /// Where.
    pub conversation: ConversationId,
    /// Whose.
    pub user: UserId,
    /// What.
    pub action: Action,
    /// The role from then on.
    pub role: Role,
    /// The name of one who is added.
    pub name: Box<str>,
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
    /// How users are whom a session watches.
    Presence {
        /// Whose.
        session: SessionRef,
        /// Those of whom there is something to say.
        entries: Box<[PresenceEntry]>,
        /// Of some of them for the first time since it watches them.
        is_first: bool,
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
        /// The session that has left, which has an answer of its own.
        asked_by: Option<SessionRef>,
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
    /// A frame that is of this moment only, for everybody on this shard who is attached: somebody types, somebody
    /// has read. A connection that is stalled does not get it, then or later.
    Notice {
        /// Which conversation.
        conversation: ConversationId,
        /// Who gets it.
        reach: Reach,
        /// What.
        frame: Encoded,
        /// The session that caused it, which knows.
        except: Option<SessionRef>,
    },
    /// The session is told the counts of a conversation from now on, or no more.
    Counting {
        /// Whose.
        session: SessionRef,
        /// The client's own number for the request.
        request: u32,
        /// Which conversation.
        conversation: ConversationId,
        /// `false`: no more.
        active: bool,
    },
    /// How many members are there and how far they are, for all sessions here that want to know.
    Counts {
        /// Which conversation.
        conversation: ConversationId,
        /// What.
        frame: Encoded,
    },
    /// Part of a session's inbox.
    Entries {
        /// Whose.
        session: SessionRef,
        /// In no order; without those that the user is no member of any more.
        entries: Vec<Listed>,
        /// As in [`Request::Entries`].
        parts: u16,
    },
    /// Another session of the same device is signed in, and this one is the newer: it has to show that there is
    /// somebody at its other end before the older one gives way.
    Challenge(SessionRef),
    /// A newer session of the same device has taken this one's place: it is closed.
    Replaced(SessionRef),
    /// A datagram of a QUIC connection of that shard, which the kernel gave to another. Dropped where the ring is
    /// full.
    Datagram(Box<Stray>),
}

const _: () = assert!(size_of::<Request>() <= 128, "a request fits two cache lines");
const _: () = assert!(size_of::<Delivery>() <= 96, "a delivery stays small: there are many");

/// The shard that owns a conversation.
pub fn owner_of(conversation: ConversationId, shards: ShardIndex) -> ShardIndex {
    shard_of(conversation.as_bytes(), shards)
}

/// The shard that is home to a user.
pub fn home_of(user: UserId, shards: ShardIndex) -> ShardIndex {
    shard_of(user.as_bytes(), shards)
}

/// The shard whose journal has the records of this key.
pub fn shard_of(key: &[u8; 16], shards: ShardIndex) -> ShardIndex {
    // Ids are hashes already: the low eight bytes are uniform, and a multiply-shift spreads them over any
    // number of shards without a division.
    let low = u64::from_le_bytes([key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7]]);
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
