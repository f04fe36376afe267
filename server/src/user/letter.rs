//! What is written to the home of a user.

use ringwire_protocol::id::{ConversationId, UserId};

use crate::fanout::letter::{Author, SessionRef};
use crate::plane::push::target::Target;

/// From a shard that has a connection, or owns a conversation, to the home of a user.
#[derive(Debug)]
pub enum HomeLetter {
    /// A session has begun.
    SignIn {
        /// Whose, and where.
        author: Author,
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
    /// Users of this home whose presence a session wants, in place of those it wanted before.
    Watch {
        /// Who wants it.
        session: SessionRef,
        /// All different; none: it wants no more.
        users: Box<[UserId]>,
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
            // One for each conversation until its user is back.
            HomeLetter::Wake { .. } => true,
            HomeLetter::Heard { .. } | HomeLetter::Register { .. } => false,
        }
    }
}
