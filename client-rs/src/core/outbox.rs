//! The publishes of one conversation that have no acknowledgement yet, and the numbers that make them exactly-once.
//!
//! Every publish gets a client sequence that is dense per device and conversation. The server accepts exactly the
//! one after the last, acknowledges older ones again, and bounces newer ones. So an entry lives like this:
//!
//! ```text
//!  push -> Waiting --send--> Flying --Ack----------------------------> Accepted -> gone, the caller knows the sequence
//!             ^                 |---Reject, final--------------------> Dead -----> gone, the caller knows the reason
//!             |                 '---Reject, later / gap--> Bounced --.
//!             '------- the flight is over, or the connection is -----'
//! ```
//!
//! Who knows its numbers from an earlier connection need not wait for the server's word on the next one: what was in flight
//! goes again under the same numbers, which is what makes that harmless, and what is new follows. What the server then says
//! about where it stands may be older than its answers, so these count, and it is asked again if all of them are gaps.
//!
//! Owner: one conversation of the core; lives as long as the membership does, across connections.
//!
//! Invariants:
//! - entries leave in the order they came, and are sent in that order;
//! - a number once sent is given to another entry only when the server has said that it did not accept it *and* every
//!   frame sent after it on this connection has been answered (the flight is over): no answer is ever ambiguous;
//! - at most `window` entries are in flight.
//!
//! Deliberately absent: frames, timers and events. Whoever calls decides what to tell whom.

use std::collections::VecDeque;
use std::time::Duration;

use super::content::Draft;
use super::event::PublishId;

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Not sent on this connection.
    Waiting,
    /// Sent on this connection, no answer yet.
    Flying,
    /// Refused for now; to be sent again.
    Bounced,
    /// Acknowledged, but an older one is not.
    Accepted,
    /// Refused for good; the caller knows.
    Dead,
}

#[derive(Debug)]
struct Entry {
    id: PublishId,
    draft: Draft,
    /// 0 until the server has said where it stands.
    number: u64,
    slot: Slot,
    /// A connection ended while it flew: the server may have accepted it without our knowing.
    unsure: bool,
}

/// What the server said about one publish, as far as the outbox cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It will not be accepted, however often it is sent.
    Final,
    /// It may be accepted at that time.
    Later(Duration),
    /// An older one is missing: resend in order.
    Resend,
}

/// What an acknowledgement was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// This publish is accepted.
    Settled(PublishId),
    /// The server had this number already, though ours cannot have been the one that used it: another client uses the
    /// same device id. The entry will be sent again under another number.
    Conflict,
    /// The server has it, or another client that uses the same device id has used its number: nobody can say.
    Doubtful(PublishId, Draft),
    /// Nothing waits for it.
    Stale,
}

/// What is to be done once a flight is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landing {
    /// Still in flight, or nothing was refused.
    Flying,
    /// Send again, at this time at the earliest.
    Again(Duration),
    /// The server misses publishes that it had acknowledged: ask it where it stands before anything is sent.
    Resync,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The number of the entry that comes next; 0 until the server has said where it stands.
    next_number: u64,
    /// The highest number ever sent.
    high: u64,
    /// `entries[..next]` need no sending on this connection.
    next: usize,
    in_flight: usize,
    /// Something in flight was refused: nothing is sent until the flight is over.
    halted: Option<Halt>,
    /// The flight is over, but the server has to say where it stands.
    resync: bool,
    /// Something was sent on this connection.
    has_spoken: bool,
    /// The server has taken numbers that were never sent from here.
    is_shared: bool,
    /// Entries that may be in flight: falls to one when the server is busy, doubles with every acknowledgement.
    window: usize,
}

#[derive(Clone, Copy, Debug)]
struct Halt {
    /// Nothing before this time.
    not_before: Duration,
    /// The refusal has a cause of its own, so that the gaps behind it are no news.
    explained: bool,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            next_number: 0,
            high: 0,
            next: 0,
            in_flight: 0,
            halted: None,
            resync: false,
            has_spoken: false,
            is_shared: false,
            window: usize::MAX,
        }
    }

    /// Entries without an answer.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Body bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes a publish in; the caller has checked the bounds.
    pub(crate) fn push(&mut self, id: PublishId, draft: Draft) {
        self.bytes += draft.body.len();
        let number = self.next_number;
        self.next_number += u64::from(number != 0);
        self.entries.push_back(Entry { id, draft, number, slot: Slot::Waiting, unsure: false });
    }

    /// The entry to send now and its client sequence, if the window and the server let one go.
    pub(crate) fn peek(&mut self, window: usize) -> Option<(&Draft, u64)> {
        if !self.can_send(window) {
            return None;
        }
        // What was accepted out of turn (a `memory` publish behind a `synced` one) is not sent again.
        while self.entries.get(self.next)?.slot == Slot::Accepted {
            self.next += 1;
        }
        let entry = self.entries.get(self.next)?;
        debug_assert_eq!(entry.slot, Slot::Waiting);
        Some((&entry.draft, entry.number))
    }

    /// Whether [`Self::peek`] would look for an entry at all.
    pub(crate) fn can_send(&self, window: usize) -> bool {
        self.next_number != 0
            && self.halted.is_none()
            && !self.resync
            && self.in_flight < window.min(self.window)
            && self.next < self.entries.len()
    }

    /// What [`Self::peek`] gave has been written.
    pub(crate) fn sent(&mut self) {
        let entry = &mut self.entries[self.next];
        entry.slot = Slot::Flying;
        self.high = self.high.max(entry.number);
        self.next += 1;
        self.in_flight += 1;
        self.has_spoken = true;
    }

    fn find(&mut self, number: u64) -> Option<&mut Entry> {
        // Numbered entries stand in front, in ascending order.
        let index = self.entries.iter().take(self.next).position(|entry| entry.number == number)?;
        self.entries.get_mut(index)
    }

    /// An acknowledgement came.
    pub(crate) fn on_ack(&mut self, number: u64, duplicate: bool) -> Acked {
        let is_shared = self.is_shared;
        let Some(entry) = self.find(number).filter(|entry| entry.slot == Slot::Flying) else {
            return Acked::Stale;
        };
        let is_doubtful = duplicate && is_shared;
        if duplicate && !entry.unsure {
            entry.slot = Slot::Bounced;
            self.in_flight -= 1;
            self.halted.get_or_insert(Halt { not_before: Duration::ZERO, explained: false });
            return Acked::Conflict;
        }
        entry.slot = Slot::Accepted;
        let (id, draft) = (entry.id, std::mem::take(&mut entry.draft));
        self.bytes -= draft.body.len();
        self.in_flight -= 1;
        self.window = self.window.saturating_mul(2);
        self.pop_accepted();
        if is_doubtful { Acked::Doubtful(id, draft) } else { Acked::Settled(id) }
    }

    /// A refusal came; the publish it ends, if it is a final one.
    pub(crate) fn on_reject(&mut self, number: u64, verdict: Verdict) -> Option<(PublishId, Draft)> {
        let entry = self.find(number).filter(|entry| entry.slot == Slot::Flying)?;
        let mut ended = None;
        if verdict == Verdict::Final {
            entry.slot = Slot::Dead;
            ended = Some((entry.id, std::mem::take(&mut entry.draft)));
        } else {
            entry.slot = Slot::Bounced;
        }
        self.bytes -= ended.as_ref().map_or(0, |(_, draft)| draft.body.len());
        self.in_flight -= 1;
        let halt = self.halted.get_or_insert(Halt { not_before: Duration::ZERO, explained: false });
        match verdict {
            Verdict::Final => halt.explained = true,
            Verdict::Later(at) => {
                halt.explained = true;
                halt.not_before = halt.not_before.max(at);
                self.window = 1;
            }
            Verdict::Resend => {}
        }
        ended
    }

    /// Looks whether a flight with refusals is over; then everything that is left waits again, renumbered where
    /// a number was given back.
    pub(crate) fn land(&mut self) -> Landing {
        let Some(halt) = self.halted.filter(|_| self.in_flight == 0) else { return Landing::Flying };
        self.halted = None;
        self.rewind();
        if halt.explained {
            return Landing::Again(halt.not_before);
        }
        // Only gaps: the server does not have what stands before the oldest one. To send the same again would get
        // the same answer for ever.
        self.resync = !self.entries.is_empty();
        if self.resync { Landing::Resync } else { Landing::Again(halt.not_before) }
    }

    /// Whether the server has to say where it stands before anything is sent.
    pub(crate) fn wants_resync(&self) -> bool {
        self.resync
    }

    /// The server said which client sequence it accepted last. Returns the publishes whose fate cannot be known any
    /// more, because another client has used the device id meanwhile.
    pub(crate) fn on_standing(&mut self, accepted: u64) -> Vec<(PublishId, Draft)> {
        if self.in_flight > 0 || (self.has_spoken && !self.resync) {
            // Taken while frames were under way, it is older than their answers.
            self.is_shared |= accepted > self.high;
            return Vec::new();
        }
        self.resync = false;
        self.halted = None;
        self.is_shared = false;
        self.rewind();
        let mut lost = Vec::new();
        if self.next_number != 0 && accepted > self.high {
            // Numbers that we never sent are taken: where ours had no answer, theirs may stand.
            self.entries.retain_mut(|entry| {
                let ambiguous = entry.unsure && entry.slot == Slot::Waiting;
                if ambiguous {
                    lost.push((entry.id, std::mem::take(&mut entry.draft)));
                }
                !ambiguous
            });
            self.bytes -= lost.iter().map(|(_, draft)| draft.body.len()).sum::<usize>();
        }
        // What may have been accepted keeps its number, and gets its acknowledgement again. Everything else is numbered
        // densely from there on: as before, unless the server has lost some or others have used them.
        self.high = self.high.max(accepted);
        self.next_number = accepted + 1;
        for entry in self.entries.iter_mut().filter(|entry| entry.slot != Slot::Accepted) {
            if !entry.unsure || entry.number > accepted {
                entry.number = self.next_number;
                self.next_number += 1;
            }
        }
        lost
    }

    /// The connection is gone: whatever flew waits again.
    pub(crate) fn on_disconnected(&mut self) {
        for entry in self.entries.iter_mut().take(self.next) {
            entry.unsure |= entry.slot == Slot::Flying;
        }
        self.in_flight = 0;
        self.halted = None;
        self.resync = false;
        self.has_spoken = false;
        self.is_shared = false;
        self.window = usize::MAX;
        self.rewind();
    }

    /// Everything goes: the publishes that nobody has been told about.
    pub(crate) fn drain(&mut self) -> Vec<(PublishId, Draft)> {
        self.bytes = 0;
        self.in_flight = 0;
        self.next = 0;
        self.halted = None;
        self.entries
            .drain(..)
            .filter(|entry| !matches!(entry.slot, Slot::Accepted | Slot::Dead))
            .map(|entry| (entry.id, entry.draft))
            .collect()
    }

    /// Removes the dead, gives their numbers back, and lets everything else wait.
    fn rewind(&mut self) {
        debug_assert_eq!(self.in_flight, 0);
        if let Some(first) = self.entries.iter().position(|entry| entry.slot == Slot::Dead) {
            let number = self.entries[first].number;
            // A server that accepted something behind what it refused has used the refused number for good; then the
            // numbers stand as they are, and its next word about where it stands decides.
            let used = self.entries.iter().skip(first).any(|entry| entry.slot == Slot::Accepted);
            self.entries.retain(|entry| entry.slot != Slot::Dead);
            if !used {
                self.next_number = number;
                for entry in self.entries.iter_mut().skip(first) {
                    entry.number = self.next_number;
                    self.next_number += 1;
                }
            }
        }
        for entry in &mut self.entries {
            if entry.slot != Slot::Accepted {
                entry.slot = Slot::Waiting;
            }
        }
        self.next = 0;
        self.pop_accepted();
    }

    fn pop_accepted(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.slot == Slot::Accepted) {
            self.entries.pop_front();
            self.next = self.next.saturating_sub(1);
        }
    }
}
