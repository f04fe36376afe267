//! What is due when: a sorted set of deadlines, each with one holder that can move or cancel it.
//!
//! The core knows no clock. It is told `now`, and says by [`Timers::next`] when it wants to be told again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringwire_protocol::id::ConversationId;

/// Who waits. Each holder has at most one deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    /// The connection's phase: backoff, connecting, greeting.
    Phase,
    /// Something must be heard or said on the live connection.
    Heartbeat,
    /// The server asked the client to move at this time.
    GoAway,
    /// The answer to this request is overdue, or its retry is due.
    Request(u32),
    /// This conversation may send again, or its oldest publish in flight has waited too long.
    Outbox(ConversationId),
    /// This conversation may fetch again.
    Fill(ConversationId),
    /// This conversation has not been confirmed on this connection yet, or may ask again.
    Attach(ConversationId),
    /// The server may be told again what was delivered of this conversation.
    Delivered(ConversationId),
    /// Somebody who typed in this conversation has been silent for too long.
    Typists(ConversationId),
    /// The caller's patience with a shutdown ends.
    Shutdown,
}

impl Holder {
    /// All those of one conversation.
    pub(crate) fn of(id: ConversationId) -> [Self; 5] {
        [Self::Outbox(id), Self::Fill(id), Self::Attach(id), Self::Delivered(id), Self::Typists(id)]
    }
}

/// The deadlines of one core.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Duration, Holder)>,
    by_holder: BTreeMap<Holder, Duration>,
}

impl Timers {
    /// Sets or moves the holder's deadline.
    pub(crate) fn set(&mut self, holder: Holder, at: Duration) {
        if let Some(before) = self.by_holder.insert(holder, at) {
            if before == at {
                return;
            }
            self.due.remove(&(before, holder));
        }
        self.due.insert((at, holder));
    }

    /// Takes the holder's deadline back, if it has one.
    pub(crate) fn cancel(&mut self, holder: Holder) {
        if let Some(at) = self.by_holder.remove(&holder) {
            self.due.remove(&(at, holder));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.due.first().map(|&(at, _)| at)
    }

    /// The next holder whose time has come; its deadline is gone with it.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Holder> {
        let &(at, holder) = self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        self.by_holder.remove(&holder);
        Some(holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_deadline_fires_once_at_its_new_time() {
        let mut timers = Timers::default();
        timers.set(Holder::Phase, Duration::from_secs(1));
        timers.set(Holder::Heartbeat, Duration::from_secs(2));
        timers.set(Holder::Phase, Duration::from_secs(3));
        assert_eq!(timers.next(), Some(Duration::from_secs(2)));
        assert_eq!(timers.take_due(Duration::from_secs(9)), Some(Holder::Heartbeat));
        assert_eq!(timers.take_due(Duration::from_secs(2)), None);
        assert_eq!(timers.take_due(Duration::from_secs(3)), Some(Holder::Phase));
        assert_eq!(timers.take_due(Duration::from_secs(9)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_cancelled_deadline_does_not_fire() {
        let mut timers = Timers::default();
        timers.set(Holder::Request(1), Duration::from_secs(1));
        timers.cancel(Holder::Request(1));
        timers.cancel(Holder::Request(2));
        assert_eq!(timers.take_due(Duration::from_secs(9)), None);
    }
}
