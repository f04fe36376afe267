//! What travels: messages, members, histories, and what is said about them. Owned copies of what the wire carries.

use std::fmt;

use bytes::Bytes;
use ringwire_protocol::message::{
    self, Action, ConversationKind, Direction, Durability, GapCause, Kind, Provider, Role, View,
};
use ringwire_protocol::{ConversationId, UserId};

/// A message to be published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// What it is.
    pub kind: Kind,
    /// How far it must get before it is acknowledged.
    pub durability: Durability,
    /// The sequence it refers to (edit, delete, reaction), else 0.
    pub reference: u64,
    /// The content; opaque to the server.
    pub body: Bytes,
}

impl Default for Draft {
    fn default() -> Self {
        Self { kind: Kind::Text, durability: Durability::Synced, reference: 0, body: Bytes::new() }
    }
}

impl Draft {
    /// A text for people.
    pub fn text(text: impl Into<String>) -> Self {
        Self { body: Bytes::from(text.into().into_bytes()), ..Self::default() }
    }

    /// Content that only the application understands.
    pub fn application(body: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Application, body: body.into(), ..Self::default() }
    }

    /// Replaces the text of the message at `reference`.
    pub fn edit(reference: u64, text: impl Into<String>) -> Self {
        Self { kind: Kind::Edit, reference, ..Self::text(text) }
    }

    /// Takes the message at `reference` back.
    pub fn delete(reference: u64) -> Self {
        Self { kind: Kind::Delete, reference, ..Self::default() }
    }

    /// Reacts to the message at `reference`; of each user the newest reaction counts, and an empty one is none.
    pub fn reaction(reference: u64, reaction: impl Into<String>) -> Self {
        Self { kind: Kind::Reaction, reference, ..Self::text(reaction) }
    }

    /// Asks for another durability than [`Durability::Synced`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

impl From<&str> for Draft {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Draft {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Bytes> for Draft {
    fn from(body: Bytes) -> Self {
        Self::application(body)
    }
}

impl From<Vec<u8>> for Draft {
    fn from(body: Vec<u8>) -> Self {
        Self::application(body)
    }
}

impl From<&[u8]> for Draft {
    fn from(body: &[u8]) -> Self {
        Self::application(Bytes::copy_from_slice(body))
    }
}

/// A publish that the server has accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// Its place in the conversation; 0 only if the server does not remember it any more, which takes more than 64 later
    /// publishes of the same device.
    pub sequence: u64,
    /// The server's clock when it was accepted, in milliseconds since 1970.
    pub time_ms: u64,
    /// How far it had got when it was acknowledged.
    pub durability: Durability,
    /// Whether the server had accepted an earlier sending of it.
    pub duplicate: bool,
}

/// A message of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Where it was published.
    pub conversation: ConversationId,
    /// Its place: dense from 1, the same for everybody.
    pub sequence: u64,
    /// The server's clock, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who published it.
    pub sender: UserId,
    /// The sender's device, hashed; see [`Message::is_from`].
    pub origin: u64,
    /// The sender's own number for it.
    pub client_sequence: u64,
    /// The sequence it refers to, else 0.
    pub reference: u64,
    /// What it is.
    pub kind: Kind,
    /// Its content.
    pub body: Bytes,
}

impl Message {
    pub(crate) fn from_wire(message: &message::Message<'_>) -> Self {
        Self {
            conversation: message.conversation,
            sequence: message.sequence,
            time_ms: message.time_ms,
            sender: message.sender,
            origin: message.origin,
            client_sequence: message.client_sequence,
            reference: message.reference,
            kind: message.kind,
            body: Bytes::copy_from_slice(message.body),
        }
    }

    /// The body as text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// The sequence of the message that this one is about, if it is an edit, a delete or a reaction: what is to be shown
    /// differently from now on. A [`Timeline`](crate::Timeline) does that.
    pub fn amends(&self) -> Option<u64> {
        self.kind.refers().then_some(self.reference)
    }

    /// What a message of [`Kind::Membership`] says, if it is one.
    pub fn membership(&self) -> Option<message::Membership<'_>> {
        (self.kind == Kind::Membership).then(|| message::Membership::decode(&self.body).ok()).flatten()
    }

    /// Whether that device published it; see [`ringwire_protocol::DeviceId::origin`].
    pub fn is_from(&self, user: UserId, origin: u64) -> bool {
        self.sender == user && self.origin == origin
    }
}

/// Sequences that will not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The first missing sequence.
    pub from: u64,
    /// The last missing sequence.
    pub to: u64,
    /// Why.
    pub cause: Missing,
}

/// Why sequences are missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// The server said so.
    Server(GapCause),
    /// A page answered for them without having them: the server does not keep them any more.
    NotKept,
    /// They were delivered, and the server has lost them since (it stopped before `memory` messages reached its disk).
    /// Other messages will come under the same numbers.
    Rewound,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server(GapCause::Expired) => "older than what the server keeps",
            Self::Server(GapCause::Erased) => "removed by an operator",
            Self::Server(GapCause::Lost) => "damaged on the server",
            Self::Server(GapCause::Unavailable) => "not readable at the moment",
            Self::NotKept => "not kept by the server any more",
            Self::Rewound => "lost when the server stopped; their numbers are given again",
        })
    }
}

/// A member of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// The name that the token gave.
    pub name: String,
    /// What the member may do.
    pub role: Role,
}

impl Member {
    pub(crate) fn from_wire(member: message::Member<'_>) -> Self {
        Self { user: member.user, name: member.name.to_owned(), role: member.role }
    }

    pub(crate) fn to_wire(&self) -> message::Member<'_> {
        message::Member { user: self.user, name: &self.name, role: self.role }
    }
}

/// What the server says about a conversation when this client is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    /// Its id.
    pub conversation: ConversationId,
    /// Its name.
    pub name: String,
    /// What this user may do.
    pub role: Role,
    /// Its newest sequence; 0: nothing was ever published.
    pub head: u64,
    /// The oldest sequence that is kept.
    pub first: u64,
    /// How many members it has.
    pub members_count: u32,
    /// The first of them.
    pub members: Vec<Member>,
    /// The last sequence that was delivered, or skipped on purpose, before the messages that come now.
    pub cursor: u64,
    /// What it is.
    pub kind: ConversationKind,
    /// Up to where this user has read, on any device.
    pub read: u64,
    /// Up to where a device of this user has it.
    pub delivered: u64,
    /// No wake-ups before that, in milliseconds since 1970; 0: not muted, `u64::MAX`: for ever.
    pub muted_until_ms: u64,
}

/// A part of a conversation's history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// The messages, in ascending order. For [`View::Current`] without those that were deleted.
    pub messages: Vec<Message>,
    /// For [`View::Current`]: the edits, deletes and reactions that count for the messages from `from` to `to`, whenever
    /// they were published.
    pub amendments: Vec<Message>,
    /// The first sequence it answers for; what is missing from there to `to` is not kept.
    pub from: u64,
    /// The last sequence it answers for; below `from` if it answers for nothing.
    pub to: u64,
    /// The newest sequence of the conversation.
    pub head: u64,
    /// Whether there is nothing more in that direction.
    pub complete: bool,
}

/// A part of a conversation's members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberPage {
    /// The members, in the order of their ids.
    pub members: Vec<Member>,
    /// Where to go on, if there are more.
    pub next: Option<UserId>,
}

/// A conversation of the user, joined by this client or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InboxEntry {
    /// Which.
    pub conversation: ConversationId,
    /// Its name.
    pub name: String,
    /// Its newest sequence.
    pub head: u64,
    /// Up to where the user has read, on any device.
    pub read: u64,
    /// Up to where a device of the user has it.
    pub delivered: u64,
    /// How many messages after `read` there are for the user.
    pub unread: u64,
    /// No wake-ups before that, in milliseconds since 1970; 0: not muted, `u64::MAX`: for ever.
    pub muted_until_ms: u64,
    /// When its newest message was accepted, in milliseconds since 1970.
    pub time_ms: u64,
    /// What the user may do there.
    pub role: Role,
    /// What it is.
    pub kind: ConversationKind,
}

impl InboxEntry {
    /// The user has left the conversation, or was put out of it: there is nothing more in the entry than which.
    pub fn is_gone(&self) -> bool {
        self.head == 0
    }

    pub(crate) fn from_wire(entry: message::InboxEntry<'_>) -> Self {
        Self {
            conversation: entry.conversation,
            name: entry.name.to_owned(),
            head: entry.head,
            read: entry.read,
            delivered: entry.delivered,
            unread: entry.unread,
            muted_until_ms: entry.muted_until_ms,
            time_ms: entry.time_ms,
            role: entry.role,
            kind: entry.kind,
        }
    }
}

/// How many members are there and how far they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Members who are online.
    pub online: u32,
    /// The newest sequence when this was counted.
    pub sequence: u64,
    /// Members who have it on a device.
    pub delivered: u32,
    /// Members who have read it.
    pub read: u32,
}

/// A change of a conversation's members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Somebody becomes a member.
    Add(Member),
    /// Somebody is one no more.
    Remove(UserId),
    /// Somebody may do other things from now on.
    Role(UserId, Role),
}

impl Change {
    /// As the wire has it: action, user, role, name.
    pub(crate) fn parts(&self) -> (Action, UserId, Role, &str) {
        match self {
            Self::Add(member) => (Action::Added, member.user, member.role, &member.name),
            Self::Remove(user) => (Action::Removed, *user, Role::Reader, ""),
            Self::Role(user, role) => (Action::RoleChanged, *user, *role, ""),
        }
    }
}

/// How a device is woken when a message comes and nobody is online.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who wakes it.
    pub provider: Provider,
    /// The device's token (APNs, FCM), the URL (Web Push), or what the operator's own backend is to get (webhook).
    pub token: String,
    /// The application, where the operator serves several; else empty.
    pub app: String,
    /// Web Push: the browser's public key (`p256dh`); else empty.
    pub key: Bytes,
    /// Web Push: the shared secret (`auth`); else empty.
    pub secret: Bytes,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What wakes a device is not for logs.
        f.debug_struct("Registration")
            .field("provider", &self.provider)
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// What others may see of the user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Who watches the user is told when the user was last there. Kept by the server.
    pub share_last_seen: bool,
    /// The user is here, but not looking; until said otherwise, or the user's last session ends.
    pub away: bool,
}

/// Where a conversation's messages begin for a client that joins it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// With whatever is published after the join.
    #[default]
    Latest,
    /// With so many that were published before.
    Last(u32),
    /// After this sequence; 0: with the oldest one kept.
    After(u64),
}

/// Which history is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first sequence of the answer when reading forward, the last one when reading backward.
    pub from: u64,
    /// Messages at most; the server may send fewer.
    pub limit: u16,
    /// Which way to read.
    pub direction: Direction,
    /// The log as it is, or what is current of it.
    pub view: View,
}
