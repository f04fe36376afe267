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

pub mod letter;
mod live;
mod presence;
pub mod state;
mod waking;
mod watch;

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use ringwire_protocol::id::UserId;

use ringwire_protocol::message::Encoder;

use crate::clock::Now;
use crate::fanout::letter::{Author, Delivery, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::shard::Levels;
use crate::store::Log;
use letter::HomeLetter;
use live::{Live, Place, Table};
use state::UserState;
use waking::Waking;
use watch::Watchers;

/// One user.
struct User {
    sessions: Place,
}

impl Default for User {
    fn default() -> Self {
        User { sessions: Place::NONE }
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
}

/// All users whose home this shard is.
pub struct Users {
    by_id: HashMap<UserId, User, RandomState>,
    /// What is durable, of those of whom anything is.
    durable: HashMap<UserId, UserState, RandomState>,
    waking: Waking,
    sessions: Table,
    watchers: Watchers,
    encoder: Encoder,
    /// The frame being encoded.
    scratch: Vec<u8>,
    /// What happened, for the operator.
    pub counters: Counters,
}

impl Users {
    /// The users in `durable` (all of this home). Who was not there within `active_within` is not woken.
    pub fn new(durable: Vec<(UserId, UserState)>, active_within: Duration) -> Self {
        Users {
            by_id: HashMap::default(),
            durable: durable.into_iter().collect(),
            waking: Waking::new(active_within),
            sessions: Table::default(),
            watchers: Watchers::default(),
            encoder: Encoder::new(),
            scratch: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Takes one letter.
    pub fn on_letter(&mut self, now: Now, letter: HomeLetter, log: &mut Log, mesh: &mut Mesh) {
        match letter {
            HomeLetter::SignIn { author } => {
                let before = self.state(author.user);
                self.on_sign_in(author, mesh);
                self.note_change(now, author.user, before, log);
            }
            HomeLetter::SignOut { user, session } => {
                let before = self.state(user);
                self.on_sign_out(user, session);
                self.note_change(now, user, before, log);
            }
            HomeLetter::Heard { user, session, heard } => {
                let before = self.state(user);
                self.on_heard(user, session, heard);
                self.note_change(now, user, before, log);
            }
            HomeLetter::Proven { user, session } => {
                let before = self.state(user);
                self.on_proven(user, session, mesh);
                self.note_change(now, user, before, log);
            }
            HomeLetter::Register { author, request, target } => {
                self.on_register(now, author, request, target, log, mesh);
            }
            HomeLetter::Wake { user, conversation, sequence } => {
                self.on_wake(now, user, conversation, sequence);
            }
            HomeLetter::Watch { session, users } => {
                self.watchers.watch(now.monotonic_ms(), session, &users);
            }
        }
    }

    /// Tells what is due.
    pub fn end_of_turn(&mut self, now: Now, mesh: &mut Mesh) {
        self.tell_presence(now, mesh);
    }

    /// When something is due again, milliseconds from now.
    pub fn next_ms(&self, now: Now) -> Option<u64> {
        Some(self.watchers.next_ms()?.saturating_sub(now.monotonic_ms()))
    }

    /// Says how much is known.
    pub fn measure(&self, levels: &mut Levels) {
        (levels.watchers, levels.watches) = self.watchers.len();
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

    fn on_sign_in(&mut self, author: Author, mesh: &mut Mesh) {
        let user = self.by_id.entry(author.user).or_default();
        let of_device = self.sessions.of(user.sessions).filter(|live| live.origin == author.origin);
        let earlier = of_device.max_by_key(|live| live.number).copied();
        let live = Live::new(author.session, author.origin);
        self.sessions.add(&mut user.sessions, live);
        if let Some(earlier) = earlier {
            // Letters of two shards may come in any order; the numbers say which is the newer.
            let newer = if earlier.number > live.number { earlier.session() } else { live.session() };
            mesh.deliver(newer.shard, Delivery::Challenge(newer));
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
        let gives_way = |live: &Live| live.origin == proven.origin && live.number < proven.number;
        let counters = &mut self.counters;
        self.sessions.remove(&mut user.sessions, gives_way, |live| {
            counters.replaced += 1;
            mesh.deliver(live.session().shard, Delivery::Replaced(live.session()));
        });
    }
}
