//! What is written to the home of a user.

use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{ConversationKind, InboxEntry, Role};

use crate::fanout::letter::{Author, SessionRef};
use crate::plane::push::target::Target;

/// From a shard that has a connection, or owns a conversation, to the home of a user.
#[derive(Debug)]
pub enum HomeLetter {
    /// A session has begun.
    SignIn {
        /// Whose, and where.
        author: Author,
        /// What the client can do or wants (W-22).
        capabilities: u64,
    },
    /// A session is over; one for each `SignIn`.
    SignOut {
        /// Whose.
        user: UserId,
        /// Which.
        session: SessionRef,
    },
    /// A session was not heard of for longer than presence lasts, or was heard of again. Refused: said again a
    /// second later.
    Heard {
        /// Whose.
        user: UserId,
        /// Which.
        session: SessionRef,
        /// Whether it was heard of.
        heard: bool,
    },
    /// How a device is woken; `None`: not any more. Refused: the client is told, and sends again.
    Register {
        /// Whose, and where the answer goes.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// Checked.
        target: Option<Box<Target>>,
    },
    /// What others may see of a user. Refused: the client is told, and sends again.
    Settings {
        /// Whose, and where the answer goes.
        author: Author,
        /// The client's own number for the request.
        request: u32,
        /// When the user was last seen; kept.
        share_last_seen: bool,
        /// Here, but not looking; until the last session ends.
        away: bool,
    },
    /// A conversation has something new for a user of whom it was told that he is away. It asks once until he has
    /// been back.
    Wake {
        /// Who.
        user: UserId,
        /// Where.
        conversation: ConversationId,
        /// Its place there.
        sequence: u64,
    },
    /// A change of members is synced.
    Member {
        /// Who came, changed or went.
        user: UserId,
        /// Where.
        conversation: ConversationId,
        /// Whether the user is one from now on.
        is_member: bool,
    },
    /// Users of this home whose presence a session wants, in place of those it wanted before.
    Watch {
        /// Who wants it.
        session: SessionRef,
        /// All different; none: it wants no more.
        users: Box<[UserId]>,
    },
    /// The owner of a conversation wants to know how many of its members are here, as that changes; or no more.
    Count {
        /// Which conversation.
        conversation: ConversationId,
        /// `false`: no more.
        active: bool,
    },
    /// A session that was challenged has shown that there is somebody at its other end.
    Proven {
        /// Whose.
        user: UserId,
        /// Which.
        session: SessionRef,
    },
}

impl HomeLetter {
    /// See [`crate::fanout::letter::Request::must_arrive`].
    pub fn must_arrive(&self) -> bool {
        match self {
            // One each per connection.
            HomeLetter::SignIn { .. } | HomeLetter::SignOut { .. } | HomeLetter::Proven { .. } => true,
            // Sent only where nothing waits, and once when a session ends that has watched.
            HomeLetter::Watch { .. } => true,
            // One when the first session wants a conversation's counts, and one when the last wants them no more.
            HomeLetter::Count { .. } => true,
            // One for each conversation until its user is back.
            HomeLetter::Wake { .. } => true,
            // One for each entry about members; where too many wait, owners take no more of those.
            HomeLetter::Member { .. } => true,
            HomeLetter::Heard { .. } | HomeLetter::Register { .. } | HomeLetter::Settings { .. } => false,
        }
    }
}

/// How a conversation stands for one of its members, on its way to an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub conversation: ConversationId,
    /// Its newest sequence.
    pub head: u64,
    /// Up to where the user has read.
    pub read: u64,
    /// Up to where a device of the user has it.
    pub delivered: u64,
    /// Messages that are not read.
    pub unread: u64,
    /// When the newest was accepted, milliseconds since 1970.
    pub time_ms: u64,
    /// No wake-ups before that.
    pub muted_until_ms: u64,
    /// What the user may do.
    pub role: Role,
    /// What the conversation is.
    pub kind: ConversationKind,
    /// Its name.
    pub name: Box<str>,
}

impl Listed {
    /// The conversation is not the user's any more; what he is in has at least the entry that let him in.
    pub fn gone(conversation: ConversationId) -> Self {
        Listed {
            conversation,
            head: 0,
            read: 0,
            delivered: 0,
            unread: 0,
            time_ms: 0,
            muted_until_ms: 0,
            role: Role::Reader,
            kind: ConversationKind::Group,
            name: Box::default(),
        }
    }

    /// A copy that outlives the conversation's table.
    pub fn new(entry: &InboxEntry<'_>) -> Self {
        let InboxEntry { conversation, head, read, delivered, unread, .. } = *entry;
        let InboxEntry { time_ms, muted_until_ms, role, kind, .. } = *entry;
        let name = entry.name.into();
        Listed { conversation, head, read, delivered, unread, time_ms, muted_until_ms, role, kind, name }
    }

    /// As it is encoded.
    pub fn entry(&self) -> InboxEntry<'_> {
        let Listed { conversation, head, read, delivered, unread, .. } = *self;
        let Listed { time_ms, muted_until_ms, role, kind, .. } = *self;
        let name = &self.name;
        InboxEntry { conversation, head, read, delivered, unread, time_ms, muted_until_ms, role, kind, name }
    }
}
