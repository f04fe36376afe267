//! Bounds: every queue stays within its limit, at every turn.

use super::{Promise, Verdict};

use Promise::Bounds as BROKEN;

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// Something that has a limit.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Level {
            $($(#[$doc])* $name,)*
        }

        impl Level {
            /// All of them.
            pub const ALL: &[Level] = &[$(Level::$name,)*];

            /// For people.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Level::$name => $text,)*
                }
            }
        }
    };
}

levels! {
    /// As the shard counts them; its driver has as many or more.
    KnownConnections "connections of a shard, as it counts them",
    /// As the driver counts them.
    Connections "connections of a shard",
    /// Those that drain included.
    QuicConnections "QUIC connections of a shard",
    /// Of those.
    QuicHandshakes "QUIC connections in handshake",
    /// Of those.
    QuicUnproven "QUIC connections in handshake with an address that is not proven",
    /// For what is not acknowledged.
    QuicWide "QUIC connections with more room than little",
    /// For writing and reading.
    Files "files open at once",
    /// For the file thread.
    Jobs "jobs that wait",
    /// They need no ring.
    OwnRequests "requests of a shard to itself",
    /// Detaches.
    RequestsWaiting "requests that may not be refused",
    /// The backlog.
    DeliveriesWaiting "deliveries that wait for a ring",
    /// And what is behind them in order.
    AwaitingSync "entries and answers that wait for a sync",
    /// Of the journal.
    JournalBytes "bytes that wait for the disk",
    /// Of the journal.
    Fetches "fetches under way",
    /// For those who come back after a moment.
    TailBytes "bytes of recent messages",
    /// Of a connection that does not read.
    OutboxBytes "bytes of an outbox",
    /// Of one connection.
    Subscriptions "conversations of a connection",
    /// Of one session.
    Publishes "unanswered publishes of a session",
    /// Of one session.
    SessionFetches "unanswered fetches of a session",
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The highest level seen of each, and the limit at that time.
    highest: [(usize, usize); Level::ALL.len()],
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { highest: [(0, 0); Level::ALL.len()] }
    }
}

impl Bounds {
    /// Something that has a limit holds so much.
    ///
    /// # Errors
    /// That is more than its limit.
    pub fn on_level(&mut self, of: Level, level: usize, most: usize) -> Verdict {
        let highest = &mut self.highest[of as usize];
        if level >= highest.0 {
            *highest = (level, most);
        }
        BROKEN.holds(level <= most, || format!("{}: {level}, and at most {most} are allowed", of.name()))
    }

    /// The highest level of everything that has a limit, and the limit at that time.
    pub fn highest(&self) -> impl Iterator<Item = (&'static str, usize, usize)> + '_ {
        Level::ALL.iter().map(|of| {
            let (level, most) = self.highest[*of as usize];
            (of.name(), level, most)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_a_queue_above_its_limit() {
        for level in Level::ALL {
            let mut bounds = Bounds::default();
            assert!(bounds.on_level(*level, 2, 2).is_ok());
            assert!(bounds.on_level(*level, 3, 2).is_err());
            assert!(bounds.highest().any(|highest| highest == (level.name(), 3, 2)));
        }
    }
}
