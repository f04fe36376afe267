//! How many members of a conversation are here, for those conversations of which anybody wants to know.
//!
//! ```text
//!   owner ── Count (which) ──► all homes: look once through who is here; then count who comes and goes
//!         ◄── Online (how many) ── when it has changed, at most once a second
//! ```
//!
//! So ten thousand members who come and go cost the owner one letter a second from each home, and a home nothing for
//! the conversations that nobody watches.
//!
//! Owner: the home. Lifetime: as long as the owner of the conversation wants it.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::PresenceState;

use super::Users;
use crate::clock::Now;
use crate::fanout::letter::{Request, owner_of};
use crate::fanout::mesh::Mesh;
use crate::limits::COUNTS_INTERVAL_MS;

/// One conversation.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    online: u32,
    /// What the owner was told last.
    told: Option<u32>,
    /// Whether those were counted who were here when it began.
    is_counted: bool,
    /// Whether it is in the list of those to look at.
    is_listed: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Counted {
    by_id: HashMap<ConversationId, Count, RandomState>,
    /// Those whose number may have changed.
    listed: Vec<ConversationId>,
    /// When owners were told last, milliseconds on the monotonic clock.
    told_ms: u64,
}

impl Counted {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// When owners are to be told, milliseconds on the monotonic clock.
    pub(super) fn next_ms(&self) -> Option<u64> {
        (!self.listed.is_empty()).then_some(self.told_ms + COUNTS_INTERVAL_MS)
    }

    fn watch(&mut self, id: ConversationId, active: bool) {
        if !active {
            self.by_id.remove(&id);
            return;
        }
        let count = self.by_id.entry(id).or_default();
        // Whoever asks anew has forgotten what it was told.
        count.told = None;
        self.list(id);
    }

    fn list(&mut self, id: ConversationId) {
        if let Some(count) = self.by_id.get_mut(&id)
            && !std::mem::replace(&mut count.is_listed, true)
        {
            self.listed.push(id);
        }
    }

    /// A user who is here has become a member, or is one no more.
    pub(super) fn on_member(&mut self, id: ConversationId, is_member: bool) {
        let Some(count) = self.by_id.get_mut(&id).filter(|count| count.is_counted) else { return };
        count.online = match is_member {
            true => count.online + 1,
            false => count.online - 1,
        };
        self.list(id);
    }
}

impl Users {
    pub(super) fn on_count(&mut self, id: ConversationId, active: bool) {
        self.counted.watch(id, active);
    }

    /// A user has come or gone: the members of what he is in are one more, or less.
    pub(super) fn count_user(&mut self, user: UserId, is_here: bool) {
        if self.counted.by_id.is_empty() {
            return;
        }
        for id in self.belongs.of(user) {
            self.counted.on_member(*id, is_here);
        }
    }

    /// Tells owners what has changed, at most once a second.
    pub(super) fn tell_counts(&mut self, now: Now, mesh: &mut Mesh) {
        if self.counted.next_ms().is_none_or(|at_ms| now.monotonic_ms() < at_ms) {
            return;
        }
        self.counted.told_ms = now.monotonic_ms();
        self.count_those_here();
        for id in std::mem::take(&mut self.counted.listed) {
            let Some(count) = self.counted.by_id.get_mut(&id) else { continue };
            count.is_listed = false;
            if count.told == Some(count.online) {
                continue;
            }
            let online = count.online;
            let letter = Request::Online { home: mesh.me(), conversation: id, online };
            match mesh.request(owner_of(id, mesh.shards()), letter) {
                Ok(()) => {
                    count.told = Some(online);
                    self.counters.counts_told += 1;
                }
                // Said in a second, as it is then.
                Err(_) => self.counted.list(id),
            }
        }
    }

    /// One look at everybody who is here serves all conversations that are new.
    fn count_those_here(&mut self) {
        if self.counted.by_id.values().all(|count| count.is_counted) {
            return;
        }
        let mut counts = std::mem::take(&mut self.counted.by_id);
        for user in self.by_id.keys().filter(|user| self.state(**user) != PresenceState::Offline) {
            for id in self.belongs.of(*user) {
                if let Some(count) = counts.get_mut(id).filter(|count| !count.is_counted) {
                    count.online += 1;
                }
            }
        }
        counts.values_mut().for_each(|count| count.is_counted = true);
        self.counted.by_id = counts;
    }
}
