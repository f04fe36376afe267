//! Who is there. Decided here from the sessions, told to who watches, and written nowhere.

use ringwire_protocol::id::UserId;
use ringwire_protocol::message::{Presence, PresenceEntry, PresenceState};

use super::{Place, Users};
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Delivery, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::limits::{PRESENCE_ENTRIES_MAX, PRESENCE_FRAMES_PER_TURN};
use crate::store::Log;

impl Users {
    /// How a user is, as others see it.
    pub fn state(&self, id: UserId) -> PresenceState {
        let list = self.by_id.get(&id).map_or(Place::NONE, |user| user.sessions);
        match self.sessions.of(list).any(|live| live.heard) {
            true => PresenceState::Online,
            false => PresenceState::Offline,
        }
    }

    pub(super) fn on_heard(&mut self, id: UserId, session: SessionRef, heard: bool) {
        let list = self.by_id.get(&id).map_or(Place::NONE, |user| user.sessions);
        if let Some(live) = self.sessions.find_mut(list, session.number) {
            live.heard = heard;
        }
    }

    /// Something happened to a user who was so `before`.
    pub(super) fn note_change(&mut self, now: Now, id: UserId, before: PresenceState, log: &mut Log) {
        let after = self.state(id);
        if after != before {
            self.counters.presence_changes += 1;
            self.watchers.on_change(now.monotonic_ms(), id);
            match after {
                PresenceState::Offline => self.note_active(now, id, log),
                _ => self.on_back(now, id, log),
            }
        }
    }

    /// Tells watchers what has changed for them, as many as one turn takes.
    pub(super) fn tell_presence(&mut self, now: Now, mesh: &mut Mesh) {
        let mut changes = Vec::new();
        for _ in 0..PRESENCE_FRAMES_PER_TURN {
            // Whoever waits gets the latest state later.
            if mesh.is_congested() {
                return;
            }
            let mut watchers = std::mem::take(&mut self.watchers);
            let due = watchers.take_due(now.monotonic_ms(), |user| self.state(user), &mut changes);
            self.watchers = watchers;
            let Some(session) = due else { return };
            for changes in changes.chunks(PRESENCE_ENTRIES_MAX) {
                let entry = |(user, state): &(UserId, PresenceState)| PresenceEntry {
                    user: *user,
                    state: *state,
                    seen_ms: 0,
                };
                let entries: Vec<PresenceEntry> = changes.iter().map(entry).collect();
                let presence = Presence { entries: entries.as_slice().into() };
                presence.encode(&mut self.encoder, &mut self.scratch);
                let frame = Encoded::new(&self.scratch);
                self.scratch.clear();
                self.counters.presence_frames += 1;
                self.counters.presence_entries += entries.len() as u64;
                mesh.deliver(session.shard, Delivery::Reply { session, frame, answers: Answers::Other });
            }
        }
    }
}
