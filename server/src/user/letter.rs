//! What is written to the home of a user.

use ringwire_protocol::id::UserId;

use crate::fanout::letter::{Author, SessionRef};

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
            HomeLetter::Heard { .. } => false,
        }
    }
}
