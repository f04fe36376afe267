//! Bugs that are put in on purpose, to see that they are found.
//!
//! Most live outside the server, in what the world does with its operations: the server cannot know. The others
//! need a place inside and are compiled in only with the feature `planted-bugs`.

use std::fmt;
use std::str::FromStr;

/// A bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// Some syncs are reported before the bytes are durable.
    SkippedSync,
    /// Two consecutive messages of one conversation change places on their way to a connection.
    Overtaking,
    /// Watchers are told how users are when they ask, and of no change.
    LostPresence,
    /// The pieces of an inbox are sent twice.
    DoubledInbox,
    /// A stream of QUIC is read as its packets come, and not in its order.
    UnorderedStream,
    /// A device that signs in again keeps both sessions.
    #[cfg(feature = "planted-bugs")]
    KeptSession,
    /// A delivery that finds its ring full is thrown away.
    #[cfg(feature = "planted-bugs")]
    DropOnFullRing,
    /// Who is removed from a conversation goes on receiving it.
    #[cfg(feature = "planted-bugs")]
    KeepsRemoved,
    /// A page of what is current shows what was deleted.
    #[cfg(feature = "planted-bugs")]
    ShowsDeleted,
    /// Cursors are told and not kept.
    #[cfg(feature = "planted-bugs")]
    ForgetsCursors,
    /// Nobody has to prove his address, however many there are that have not.
    #[cfg(feature = "planted-bugs")]
    AsksNobody,
}

impl Plant {
    /// All that this build has.
    pub const ALL: &[Plant] = &[
        Plant::SkippedSync,
        Plant::Overtaking,
        Plant::LostPresence,
        Plant::DoubledInbox,
        Plant::UnorderedStream,
        #[cfg(feature = "planted-bugs")]
        Plant::KeptSession,
        #[cfg(feature = "planted-bugs")]
        Plant::DropOnFullRing,
        #[cfg(feature = "planted-bugs")]
        Plant::KeepsRemoved,
        #[cfg(feature = "planted-bugs")]
        Plant::ShowsDeleted,
        #[cfg(feature = "planted-bugs")]
        Plant::ForgetsCursors,
        #[cfg(feature = "planted-bugs")]
        Plant::AsksNobody,
    ];
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Plant::SkippedSync => "skipped-sync",
            Plant::Overtaking => "overtaking",
            Plant::LostPresence => "lost-presence",
            Plant::DoubledInbox => "doubled-inbox",
            Plant::UnorderedStream => "unordered-stream",
            #[cfg(feature = "planted-bugs")]
            Plant::KeptSession => "kept-session",
            #[cfg(feature = "planted-bugs")]
            Plant::DropOnFullRing => "drop-on-full-ring",
            #[cfg(feature = "planted-bugs")]
            Plant::KeepsRemoved => "keeps-removed",
            #[cfg(feature = "planted-bugs")]
            Plant::ShowsDeleted => "shows-deleted",
            #[cfg(feature = "planted-bugs")]
            Plant::ForgetsCursors => "forgets-cursors",
            #[cfg(feature = "planted-bugs")]
            Plant::AsksNobody => "asks-nobody",
        })
    }
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Plant::ALL.iter().map(Plant::to_string).collect::<Vec<_>>().join(", ");
        Plant::ALL
            .iter()
            .find(|plant| plant.to_string() == text)
            .copied()
            .ok_or_else(|| format!("there is no such bug; this build has {}", known()))
    }
}
