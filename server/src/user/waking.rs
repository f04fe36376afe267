//! Waking those who are away: their devices' registrations, who is still to be woken, and the letters to the
//! plane.
//!
//! ```text
//!   Register ──► note in the journal ──(synced)──► Done
//!   a conversation's Wake ──► away? there within the window? ──► the plane, with all registrations
//!   a session begins, or is heard of again ──► Back, so that the next message wakes again
//! ```
//!
//! Owner: the user's home. What is durable is [`UserState`]; what waits here waits for the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Done, PresenceState, Reject};

use super::Users;
use super::state::{Note, UserState};
use crate::clock::Now;
use crate::conversation::BUSY_RETRY_MS;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Author, Delivery, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::limits::{AWAITING_SYNC_MAX, REGISTRATIONS_PER_USER};
use crate::plane::exchange::{Letter, Wake};
use crate::plane::push::target::{Registered, Target};
use crate::store::{AppendError, EntryNumber, Log};

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// What homes know for waking.
pub(super) struct Waking {
    /// Who was not there for more days is not woken.
    active_within_days: u32,
    /// Requests whose notes are not durable yet, in the order of the notes.
    awaiting: VecDeque<(EntryNumber, SessionRef, u32)>,
    /// For the plane, taken at the end of the turn.
    letters: Vec<Letter>,
    /// The note being encoded.
    scratch: Vec<u8>,
}

impl Waking {
    /// `active_within` is rounded up to days, which is how finely activity is noted.
    pub(super) fn new(active_within: Duration) -> Self {
        let days = active_within.as_millis().div_ceil(u128::from(DAY_MS));
        Waking {
            active_within_days: u32::try_from(days).unwrap_or(u32::MAX),
            awaiting: VecDeque::new(),
            letters: Vec::new(),
            scratch: Vec::new(),
        }
    }
}

fn day_of(now: Now) -> u32 {
    u32::try_from(now.unix_ms / DAY_MS).unwrap_or(u32::MAX)
}

impl Users {
    /// A device says how it is to be woken; `None`: not any more.
    pub(super) fn on_register(
        &mut self,
        now: Now,
        author: Author,
        request: u32,
        target: Option<Box<Target>>,
        log: &mut Log,
        mesh: &mut Mesh,
    ) {
        let Author { user, origin: device, session, .. } = author;
        let known = self.durable.get(&user);
        let note = match target {
            Some(target) => {
                let others = known.map_or(0, |state| {
                    state.registrations.iter().filter(|other| other.device != device).count()
                });
                if others >= REGISTRATIONS_PER_USER {
                    let reason = format!(
                        "the user has {others} other devices registered, and no more may be; unregister one"
                    );
                    return self.refuse(session, request, Code::TOO_MANY_REGISTRATIONS, 0, &reason, mesh);
                }
                if known.and_then(|state| state.target(device)) == Some(&target) {
                    return self.confirm(log.appended(), session, request, log, mesh);
                }
                Note::Registered(Registered { device, target: *target })
            }
            None => {
                if known.and_then(|state| state.target(device)).is_none() {
                    return self.confirm(log.appended(), session, request, log, mesh);
                }
                Note::Unregistered { device }
            }
        };
        match self.note(now, user, note, log) {
            Ok(entry) => {
                self.note_active(now, user, log);
                // Who says so is there; while he had no registration, the plane was not told.
                self.waking.letters.push(Letter::Back { user });
                self.confirm(entry, session, request, log, mesh);
            }
            Err(AppendError::Full { .. }) => {
                let reason = "the journal is behind; send again";
                self.refuse(session, request, Code::OVERLOADED, BUSY_RETRY_MS, reason, mesh);
            }
            Err(error) => {
                self.refuse(session, request, Code::STORAGE_FAILED, 0, &error.to_string(), mesh);
            }
        }
    }

    /// The provider does not know a device's token any more. Where it is another by now, nothing is dropped.
    pub fn on_device_gone(&mut self, now: Now, user: UserId, device: u64, token: &str, log: &mut Log) {
        let target = self.durable.get(&user).and_then(|state| state.target(device));
        if target.is_some_and(|target| *target.token == *token)
            && self.note(now, user, Note::Unregistered { device }, log).is_ok()
        {
            self.counters.registrations_dropped += 1;
        }
    }

    /// A conversation has something new for a user who was away when he was last told of.
    pub(super) fn on_wake(&mut self, now: Now, user: UserId, conversation: ConversationId, sequence: u64) {
        // Back already: the conversation learns it by another letter.
        if self.state(user) != PresenceState::Offline {
            return;
        }
        let Some(state) = self.durable.get(&user).filter(|state| !state.registrations.is_empty()) else {
            return;
        };
        if day_of(now).saturating_sub(state.active_day) > self.waking.active_within_days {
            self.counters.wakes_inactive += 1;
            return;
        }
        let devices: Arc<[Registered]> = state.registrations.clone().into();
        self.counters.wakes += 1;
        self.waking.letters.push(Letter::Wake(Wake { user, conversation, sequence, devices }));
    }

    /// A user has come, or is heard of again.
    pub(super) fn on_back(&mut self, now: Now, user: UserId, log: &mut Log) {
        if self.is_registered(user) {
            self.waking.letters.push(Letter::Back { user });
            self.note_active(now, user, log);
        }
    }

    /// Whether any device of the user is to be woken.
    pub fn is_registered(&self, user: UserId) -> bool {
        self.durable.get(&user).is_some_and(|state| !state.registrations.is_empty())
    }

    /// Notes that the user is there, once a day.
    pub(super) fn note_active(&mut self, now: Now, user: UserId, log: &mut Log) {
        let day = day_of(now);
        let is_new = self.durable.get(&user).is_some_and(|state| state.active_day < day);
        if is_new {
            // What is not noted now is noted at the next occasion.
            let _ = self.note(now, user, Note::Active { day }, log);
        }
    }

    /// Writes a note, and applies it.
    pub(super) fn note(
        &mut self,
        now: Now,
        user: UserId,
        note: Note,
        log: &mut Log,
    ) -> Result<EntryNumber, AppendError> {
        self.waking.scratch.clear();
        note.encode(&mut self.waking.scratch);
        let entry = log.note_user(user, now.unix_ms, &self.waking.scratch)?;
        self.durable.entry(user).or_default().apply(note);
        Ok(entry)
    }

    /// Answers once everything up to `entry` is durable.
    pub(super) fn confirm(
        &mut self,
        entry: EntryNumber,
        session: SessionRef,
        request: u32,
        log: &Log,
        mesh: &mut Mesh,
    ) {
        if log.is_synced() {
            return self.done(session, request, mesh);
        }
        if self.waking.awaiting.len() >= AWAITING_SYNC_MAX {
            let reason = "the journal is behind; send again";
            return self.refuse(session, request, Code::OVERLOADED, BUSY_RETRY_MS, reason, mesh);
        }
        self.waking.awaiting.push_back((entry, session, request));
    }

    /// Everything up to `entry` is durable.
    pub fn on_synced(&mut self, entry: EntryNumber, mesh: &mut Mesh) {
        while let Some((_, session, request)) =
            self.waking.awaiting.pop_front_if(|(awaited, _, _)| *awaited <= entry)
        {
            self.done(session, request, mesh);
        }
    }

    /// Nothing will be durable any more.
    pub fn on_journal_failed(&mut self, log: &Log, mesh: &mut Mesh) {
        let failure = log.failure().unwrap_or_default();
        while let Some((_, session, request)) = self.waking.awaiting.pop_front() {
            self.refuse(session, request, Code::STORAGE_FAILED, 0, failure, mesh);
        }
    }

    /// Whether anybody waits for the disk.
    pub fn is_writing(&self) -> bool {
        !self.waking.awaiting.is_empty()
    }

    /// What the plane is to be told.
    pub fn take_letters(&mut self) -> impl Iterator<Item = Letter> + '_ {
        self.waking.letters.drain(..)
    }

    /// What is durable about a user, for checks.
    pub fn durable(&self, user: UserId) -> Option<&UserState> {
        self.durable.get(&user)
    }

    fn done(&mut self, session: SessionRef, request: u32, mesh: &mut Mesh) {
        let done = Done { request, conversation: ConversationId::ZERO, sequence: 0 };
        done.encode(&mut self.encoder, &mut self.scratch);
        self.answer(session, mesh);
    }

    pub(super) fn refuse(
        &mut self,
        session: SessionRef,
        request: u32,
        code: Code,
        retry_after_ms: u32,
        reason: &str,
        mesh: &mut Mesh,
    ) {
        let conversation = ConversationId::ZERO;
        let reject = Reject { request, conversation, client_sequence: 0, code, retry_after_ms, reason };
        reject.encode(&mut self.encoder, &mut self.scratch);
        self.answer(session, mesh);
    }

    fn answer(&mut self, session: SessionRef, mesh: &mut Mesh) {
        let frame = Encoded::new(&self.scratch);
        self.scratch.clear();
        mesh.deliver(session.shard, Delivery::Reply { session, frame, answers: Answers::Other });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwire_protocol::message::Provider;

    /// A user who was last there on that day, and what becomes of a wake-up on day 100.
    fn woken(active_day: u32, within_days: u64) -> (usize, u64) {
        let (app, key, secret) = ("".into(), Box::default(), Box::default());
        let target = Target { provider: Provider::Fcm, token: "token".into(), app, key, secret };
        let user = UserId::from_name("bob");
        let state = UserState {
            registrations: vec![Registered { device: 1, target }],
            active_day,
            ..UserState::default()
        };
        let mut users = Users::new(vec![(user, state)], Duration::from_secs(within_days * 86_400));
        let now = Now { unix_ms: 100 * DAY_MS + 1, ..Now::default() };
        users.on_wake(now, user, ConversationId::from_name("room"), 7);
        (users.take_letters().count(), users.counters.wakes_inactive)
    }

    #[test]
    fn who_was_not_there_within_the_window_is_not_woken() {
        assert_eq!(woken(100, 14), (1, 0));
        assert_eq!(woken(86, 14), (1, 0));
        assert_eq!(woken(85, 14), (0, 1));
        assert_eq!(woken(0, 200), (1, 0));
    }

    #[test]
    fn who_has_no_device_is_not_woken() {
        let mut users = Users::new(Vec::new(), Duration::from_secs(86_400));
        users.on_wake(Now::default(), UserId::from_name("eve"), ConversationId::from_name("room"), 7);
        assert_eq!(users.take_letters().count(), 0);
    }
}
