//! Who is there. Decided here from the sessions, told to who watches, and written nowhere.

use ringwire_protocol::id::UserId;
use ringwire_protocol::message::{PresenceEntry, PresenceState};

use super::{Place, Users};
use crate::clock::Now;
use crate::fanout::letter::{Delivery, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::limits::{PRESENCE_ENTRIES_MAX, PRESENCE_FRAMES_PER_TURN};
use crate::store::Log;

impl Users {
    /// How a user is, as others see it.
    pub fn state(&self, id: UserId) -> PresenceState {
        let Some(user) = self.by_id.get(&id) else { return PresenceState::Offline };
        match (self.sessions.of(user.sessions).any(|live| live.heard), user.away) {
            (true, false) => PresenceState::Online,
            (true, true) => PresenceState::Away,
            (false, _) => PresenceState::Offline,
        }
    }

    pub(super) fn on_heard(&mut self, id: UserId, session: SessionRef, heard: bool) {
        let list = self.by_id.get(&id).map_or(Place::NONE, |user| user.sessions);
        if let Some(live) = self.sessions.find_mut(list, session.number) {
            live.heard = heard;
        }
    }

    /// Something happened to a user who was so `before`.
    pub(super) fn note_change(
        &mut self,
        now: Now,
        id: UserId,
        before: PresenceState,
        log: &mut Log,
        mesh: &mut Mesh,
    ) {
        let after = self.state(id);
        if after != before {
            self.counters.presence_changes += 1;
            self.watchers.on_change(now.monotonic_ms(), id);
            match (before, after) {
                (_, PresenceState::Offline) => {
                    self.count_user(id, false);
                    self.note_active(now, id, log);
                    self.note_seen(now, id);
                    self.tell_away(id, true, mesh);
                }
                (PresenceState::Offline, _) => {
                    self.count_user(id, true);
                    self.on_back(now, id, log);
                    self.seen.remove(&id);
                    self.tell_away(id, false, mesh);
                }
                _ => {}
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
            let Some((session, is_first)) = due else { return };
            for changes in changes.chunks(PRESENCE_ENTRIES_MAX) {
                let entry = |(user, state): &(UserId, PresenceState)| PresenceEntry {
                    user: *user,
                    state: *state,
                    seen_ms: self.seen.get(user).copied().unwrap_or(0),
                };
                let entries: Box<[PresenceEntry]> = changes.iter().map(entry).collect();
                self.counters.presence_frames += 1;
                self.counters.presence_entries += entries.len() as u64;
                mesh.deliver(session.shard, Delivery::Presence { session, entries, is_first });
            }
        }
    }
}
