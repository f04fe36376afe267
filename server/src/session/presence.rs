//! How a session is told of the users whom it watches.
//!
//! ```text
//!   QUIC, a change ──► datagram, at once ──► remembered ── 150 ms, or 4 s after the last time ──► again, on the stream
//!   the first word, what finds no room, WebSocket ──────────────────────────────────────────────► stream
//! ```
//!
//! A datagram waits behind nothing that was lost, but may be lost itself, and presence is told when it changes and not
//! again: a watcher would be wrong until the next change. So what was told in datagrams is settled on the stream soon.
//! Users who come and go all the time cost one more frame per 4 s, and where nothing changes nothing is due.
//!
//! The two ways overtake each other. Each frame has a number, and a client takes the greatest one about each user.
//!
//! Owner: the shard that has the connection. What is unsettled ends with the session.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use ringwire_protocol::message::{Presence, PresenceEntry};

use super::Sessions;
use crate::clock::Now;
use crate::fanout::letter::SessionRef;
use crate::limits::{PRESENCE_SETTLE_INTERVAL_MS, PRESENCE_SETTLE_MS, PRESENCE_UNSETTLED_MAX};

/// What one session was told in datagrams, and not on its stream since.
#[derive(Debug)]
struct Told {
    /// The session's number.
    session: u64,
    entries: Vec<PresenceEntry>,
    /// When it is next looked at, milliseconds on the monotonic clock.
    due_ms: u64,
}

impl Told {
    /// Remembers entries that are told; `false`: there is no room.
    fn add(&mut self, told: &[PresenceEntry]) -> bool {
        for entry in told {
            match self.entries.iter().position(|known| known.user == entry.user) {
                Some(at) => self.entries[at] = *entry,
                None if self.entries.len() < PRESENCE_UNSETTLED_MAX => self.entries.push(*entry),
                None => return false,
            }
        }
        true
    }
}

/// What all sessions of a shard were told in datagrams only.
#[derive(Default)]
pub(super) struct Unsettled {
    by_slot: BTreeMap<u32, Told>,
    /// When which is looked at. One that has ended meanwhile is found out by its time.
    due: BinaryHeap<Reverse<(u64, u32)>>,
    /// The last number given to a frame, of whichever connection.
    number: u64,
}

impl Unsettled {
    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Remembers what a session is told; `false`: there is no room.
    fn add(&mut self, now_ms: u64, session: SessionRef, told: &[PresenceEntry]) -> bool {
        let (slot, number) = (session.connection.slot, session.number);
        let known = self.by_slot.get(&slot).is_some_and(|known| known.session == number);
        if !known {
            let due_ms = now_ms + PRESENCE_SETTLE_MS;
            self.by_slot.insert(slot, Told { session: number, entries: Vec::new(), due_ms });
            self.due.push(Reverse((due_ms, slot)));
        }
        self.by_slot.get_mut(&slot).is_some_and(|known| known.add(told))
    }

    /// The stream says something of these users: what was said of them before need not be said again.
    fn forget(&mut self, slot: u32, said: &[PresenceEntry]) {
        if let Some(told) = self.by_slot.get_mut(&slot) {
            told.entries.retain(|known| said.iter().all(|entry| entry.user != known.user));
        }
    }

    /// A session is over.
    pub(super) fn end(&mut self, slot: u32) {
        self.by_slot.remove(&slot);
    }

    /// When something is due, milliseconds on the monotonic clock.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((due_ms, _))| *due_ms)
    }

    /// What the next session that is due is told again.
    fn take_due(&mut self, now_ms: u64) -> Option<(u32, Vec<PresenceEntry>)> {
        while self.next_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            let Reverse((due_ms, slot)) = self.due.pop()?;
            let Some(told) = self.by_slot.get_mut(&slot).filter(|told| told.due_ms == due_ms) else {
                continue;
            };
            if told.entries.is_empty() {
                // Nothing for a whole interval: the next change is settled quickly again.
                self.by_slot.remove(&slot);
                continue;
            }
            told.due_ms = now_ms + PRESENCE_SETTLE_INTERVAL_MS;
            self.due.push(Reverse((told.due_ms, slot)));
            return Some((slot, std::mem::take(&mut told.entries)));
        }
        None
    }
}

impl Sessions {
    /// Users whom a session watches came, went or changed, or it has begun to watch them.
    pub(super) fn on_presence(
        &mut self,
        now: Now,
        session: SessionRef,
        entries: &[PresenceEntry],
        is_first: bool,
    ) {
        let id = session.connection;
        if self.of_session(session).is_none() {
            return;
        }
        if !self.is_quic(id) {
            return self.say(id, |encoder, out| {
                Presence { entries: entries.into(), number: 0 }.encode(encoder, out);
            });
        }
        let presence = Presence { entries: entries.into(), number: self.unsettled.next_number() };
        if !is_first {
            let mut frame = Vec::new();
            presence.encode(&mut self.encoder, &mut frame);
            if self.unsettled.add(now.monotonic_ms(), session, entries)
                && let Some(quic) = &mut self.quic
                && quic.tell(id, &Bytes::from(frame))
            {
                self.counters.presence_datagrams += 1;
                return;
            }
        }
        self.unsettled.forget(id.slot, entries);
        self.say(id, |encoder, out| presence.encode(encoder, out));
    }

    /// Says again on streams what was said in datagrams, where it is time.
    pub(super) fn settle_presence(&mut self, now: Now) {
        while let Some((slot, entries)) = self.unsettled.take_due(now.monotonic_ms()) {
            let connection = self.connections.get(slot as usize).and_then(Option::as_deref);
            let Some(id) = connection.map(|connection| connection.id) else { continue };
            let number = self.unsettled.next_number();
            self.counters.presence_settled += 1;
            self.say(id, |encoder, out| {
                Presence { entries: entries.as_slice().into(), number }.encode(encoder, out);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use ringwire_driver::ConnectionId;
    use ringwire_protocol::id::UserId;
    use ringwire_protocol::message::PresenceState;

    use super::*;

    fn session(number: u64) -> SessionRef {
        SessionRef { number, connection: ConnectionId { slot: 3, generation: 0 }, shard: 0 }
    }

    fn here(user: usize) -> PresenceEntry {
        let user = UserId::from_name(&format!("user-{user}"));
        PresenceEntry { user, state: PresenceState::Online, seen_ms: 0 }
    }

    #[test]
    fn a_change_is_settled_soon_and_many_are_settled_together() {
        let mut unsettled = Unsettled::default();
        assert!(unsettled.add(1_000, session(7), &[here(1)]));
        assert_eq!(unsettled.take_due(1_149), None);
        assert_eq!(unsettled.take_due(1_150), Some((3, vec![here(1)])));
        let gone = PresenceEntry { state: PresenceState::Offline, ..here(1) };
        for now_ms in [2_000, 3_000, 4_000] {
            assert!(unsettled.add(now_ms, session(7), &[here(2), here(1)]));
            assert!(unsettled.add(now_ms, session(7), &[gone]), "the latest state counts");
            assert_eq!(unsettled.take_due(now_ms + 500), None);
        }
        assert_eq!(unsettled.take_due(5_150), Some((3, vec![here(2), gone])));
        assert_eq!((unsettled.next_ms(), unsettled.take_due(9_150)), (Some(9_150), None));
        assert_eq!(
            (unsettled.next_ms(), unsettled.by_slot.len()),
            (None, 0),
            "and then there is nothing to do"
        );
        assert!(unsettled.add(9_999, session(7), &[here(1)]));
        assert_eq!(unsettled.next_ms(), Some(10_149));
    }

    #[test]
    fn what_the_stream_has_said_is_not_said_again_and_what_is_too_much_goes_there() {
        let mut unsettled = Unsettled::default();
        assert!((0..PRESENCE_UNSETTLED_MAX).all(|user| unsettled.add(0, session(7), &[here(user)])));
        assert!(!unsettled.add(0, session(7), &[here(PRESENCE_UNSETTLED_MAX)]));
        let most: Vec<_> = (1..=PRESENCE_UNSETTLED_MAX).map(here).collect();
        unsettled.forget(3, &most);
        assert_eq!(unsettled.take_due(500), Some((3, vec![here(0)])));
    }

    #[test]
    fn another_session_in_the_place_of_one_that_ended_is_told_nothing_of_it() {
        let mut unsettled = Unsettled::default();
        assert!(unsettled.add(0, session(7), &[here(1)]));
        unsettled.end(3);
        assert!(unsettled.add(100, session(8), &[here(2)]));
        assert_eq!(unsettled.take_due(200), None);
        assert_eq!(unsettled.take_due(250), Some((3, vec![here(2)])));
    }
}
