//! The users whose home this shard is: who of them is there, with which devices.
//!
//! ```text
//!   edge (has the connection)                    home (`home_of` the user)
//!     Hello ------------ SignIn --------------->  a session more
//!     <----------------- Challenge ------------   ... of a device that has one already
//!     pong ------------- Proven --------------->  the older one gives way
//!     <----------------- Replaced -------------
//!     the end ---------- SignOut -------------->  a session less
//! ```
//!
//! Owner: the shard that `home_of` names. Lifetime: a user is known while somebody is signed in as that user, or a
//! device of his is registered.
//!
//! A user is online while any session is that was heard of lately. Every letter may change that; who watches the
//! user is told of it (`watch`), at the end of a turn and not more often than once a second. Who is not online may
//! be woken (`waking`), if a device of his is registered.
//!
//! Invariants. H-1: a device has one session once the newest of its sessions was heard of, and the newer one
//! stays. The newer has to answer a ping first: a connection that its client has given up, and whose `Hello` a
//! shard sees late, must not drive out the one that the client uses. H-2: sessions and presence are never written;
//! what is ([`state`]) is notes in the journal of this shard.
//!
//! Absent: sockets, sequences.

mod away;
mod belongs;
mod count;
pub mod letter;
mod live;
mod presence;
mod settings;
pub mod state;
mod waking;
mod watch;

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use ringwire_protocol::id::{ConversationId, UserId};

use ringwire_protocol::message::Encoder;

use crate::clock::Now;
use crate::fanout::letter::{Author, Delivery, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::shard::Levels;
use crate::store::Log;

pub use belongs::Belongs;
use count::Counted;
use letter::HomeLetter;
use live::{Live, Place, Table};
use state::UserState;
use waking::Waking;
use watch::Watchers;

/// One user.
struct User {
    sessions: Place,
    /// Here, but not looking.
    away: bool,
}

impl Default for User {
    fn default() -> Self {
        User { sessions: Place::NONE, away: false }
    }
}

/// What homes count; all since the process started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Sessions that gave way to a newer one of their device.
    pub replaced: u64,
    /// Times that a user came or went.
    pub presence_changes: u64,
    /// Frames that told watchers of it.
    pub presence_frames: u64,
    /// Users whom those frames spoke of.
    pub presence_entries: u64,
    /// Wake-ups handed to the plane.
    pub wakes: u64,
    /// Wake-ups of users who were not there for too long.
    pub wakes_inactive: u64,
    /// Registrations dropped because their device is gone.
    pub registrations_dropped: u64,
    /// Letters to owners about how many members of a conversation are here.
    pub counts_told: u64,
}

/// All users whose home this shard is.
pub struct Users {
    by_id: HashMap<UserId, User, RandomState>,
    /// What is durable, of those of whom anything is.
    durable: HashMap<UserId, UserState, RandomState>,
    waking: Waking,
    /// Who was there last when, of those who say so and are not here; milliseconds since 1970.
    seen: HashMap<UserId, u64, RandomState>,
    /// Users of whom the conversations do not know yet that they are away.
    unannounced: Vec<UserId>,
    sessions: Table,
    watchers: Watchers,
    belongs: Belongs,
    counted: Counted,
    encoder: Encoder,
    /// The frame being encoded.
    scratch: Vec<u8>,
    /// A bug for the simulation to find: the older session of a device stays.
    #[cfg(feature = "planted-bugs")]
    pub keeps_older: bool,
    /// What happened, for the operator.
    pub counters: Counters,
}

impl Users {
    /// The users in `durable` (all of this home). Who was not there within `active_within` is not woken.
    pub fn new(durable: Vec<(UserId, UserState)>, active_within: Duration) -> Self {
        let registered =
            |(user, state): &(UserId, UserState)| (!state.registrations.is_empty()).then_some(*user);
        Users {
            by_id: HashMap::default(),
            // Nobody is here yet, and a conversation knows of nobody that he is away.
            unannounced: durable.iter().filter_map(registered).collect(),
            durable: durable.into_iter().collect(),
            seen: HashMap::default(),
            waking: Waking::new(active_within),
            sessions: Table::default(),
            watchers: Watchers::default(),
            belongs: Belongs::default(),
            counted: Counted::default(),
            encoder: Encoder::new(),
            scratch: Vec::new(),
            #[cfg(feature = "planted-bugs")]
            keeps_older: false,
            counters: Counters::default(),
        }
    }

    /// Knows from the start who is a member of what.
    #[must_use]
    pub fn with_memberships(self, belongs: Belongs) -> Self {
        Users { belongs, ..self }
    }

    /// The conversations that a user is a member of, for checks.
    pub fn conversations(&self, user: UserId) -> &[ConversationId] {
        self.belongs.of(user)
    }

    /// Takes one letter.
    pub fn on_letter(&mut self, now: Now, letter: HomeLetter, log: &mut Log, mesh: &mut Mesh) {
        match letter {
            HomeLetter::SignIn { author, capabilities } => {
                let before = self.state(author.user);
                self.on_sign_in(author, capabilities, mesh);
                self.note_change(now, author.user, before, log, mesh);
            }
            HomeLetter::SignOut { user, session } => {
                let before = self.state(user);
                self.on_sign_out(user, session);
                self.note_change(now, user, before, log, mesh);
            }
            HomeLetter::Heard { user, session, heard } => {
                let before = self.state(user);
                self.on_heard(user, session, heard);
                self.note_change(now, user, before, log, mesh);
            }
            HomeLetter::Proven { user, session } => {
                let before = self.state(user);
                self.on_proven(user, session, mesh);
                self.note_change(now, user, before, log, mesh);
            }
            HomeLetter::Register { author, request, target } => {
                self.on_register(now, author, request, target, log, mesh);
            }
            HomeLetter::Settings { author, request, share_last_seen, away } => {
                let before = self.state(author.user);
                self.on_settings(now, author, request, (share_last_seen, away), log, mesh);
                self.note_change(now, author.user, before, log, mesh);
            }
            HomeLetter::Wake { user, conversation, sequence } => {
                self.on_wake(now, user, conversation, sequence);
            }
            HomeLetter::Member { user, conversation, is_member } => {
                self.on_member(user, conversation, is_member, mesh);
                self.announce_member(user, conversation, is_member, mesh);
            }
            HomeLetter::Count { conversation, active } => self.on_count(conversation, active),
            HomeLetter::Watch { session, users } => {
                self.watchers.watch(now.monotonic_ms(), session, &users);
            }
        }
    }

    /// Tells what is due.
    pub fn end_of_turn(&mut self, now: Now, mesh: &mut Mesh) {
        self.tell_presence(now, mesh);
        self.tell_counts(now, mesh);
        self.announce_away(mesh);
    }

    /// When something is due again, milliseconds from now.
    pub fn next_ms(&self, now: Now) -> Option<u64> {
        if !self.unannounced.is_empty() {
            return Some(1);
        }
        let due = self.watchers.next_ms().into_iter().chain(self.counted.next_ms()).min()?;
        Some(due.saturating_sub(now.monotonic_ms()))
    }

    /// Says how much is known.
    pub fn measure(&self, levels: &mut Levels) {
        (levels.watchers, levels.watches) = self.watchers.len();
        levels.memberships = self.belongs.len();
        levels.counted = self.counted.len();
        levels.unannounced = self.unannounced.len();
    }

    /// The sessions of a user, for checks: each with its device.
    pub fn sessions(&self, user: UserId) -> impl Iterator<Item = (u64, SessionRef)> + '_ {
        let list = self.by_id.get(&user).map_or(Place::NONE, |user| user.sessions);
        self.sessions.of(list).map(|live| (live.origin, live.session()))
    }

    /// How many sessions are signed in as users of this shard.
    pub fn sessions_count(&self) -> usize {
        self.sessions.len()
    }

    fn on_sign_in(&mut self, author: Author, capabilities: u64, mesh: &mut Mesh) {
        let wants_inbox = belongs::wants_inbox(capabilities);
        let user = self.by_id.entry(author.user).or_default();
        let of_device = self.sessions.of(user.sessions).filter(|live| live.origin == author.origin);
        let earlier = of_device.max_by_key(|live| live.number).copied();
        let live = Live::new(author.session, author.origin, wants_inbox);
        self.sessions.add(&mut user.sessions, live);
        if let Some(earlier) = earlier {
            // Letters of two shards may come in any order; the numbers say which is the newer.
            let newer = if earlier.number > live.number { earlier.session() } else { live.session() };
            mesh.deliver(newer.shard, Delivery::Challenge(newer));
        }
        if wants_inbox {
            self.ask_inbox(author.user, author.session, mesh);
        }
    }

    fn on_sign_out(&mut self, id: UserId, session: SessionRef) {
        let Some(user) = self.by_id.get_mut(&id) else { return };
        // One that has given way is not there any more.
        self.sessions.remove(&mut user.sessions, |live| live.number == session.number, |_| {});
        if user.sessions == Place::NONE {
            self.by_id.remove(&id);
        }
    }

    fn on_proven(&mut self, id: UserId, session: SessionRef, mesh: &mut Mesh) {
        let Some(user) = self.by_id.get_mut(&id) else { return };
        let Some(proven) = self.sessions.find_mut(user.sessions, session.number).copied() else { return };
        #[cfg(feature = "planted-bugs")]
        if self.keeps_older {
            return;
        }
        let gives_way = |live: &Live| live.origin == proven.origin && live.number < proven.number;
        let counters = &mut self.counters;
        self.sessions.remove(&mut user.sessions, gives_way, |live| {
            counters.replaced += 1;
            mesh.deliver(live.session().shard, Delivery::Replaced(live.session()));
        });
    }
}
