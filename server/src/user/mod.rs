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
//! Owner: the shard that `home_of` names. Lifetime: a user is known while somebody is signed in as that user.
//!
//! Invariants. H-1: a device has one session once the newest of its sessions was heard of, and the newer one
//! stays. The newer has to answer a ping first: a connection that its client has given up, and whose `Hello` a
//! shard sees late, must not drive out the one that the client uses. H-2: nothing here is ever written.
//!
//! Absent: sockets, sequences, the disk.

pub mod letter;
mod live;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ringwire_protocol::id::UserId;

use crate::fanout::letter::{Author, Delivery, SessionRef};
use crate::fanout::mesh::Mesh;
use letter::HomeLetter;
use live::{Live, Place, Table};

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
}

/// All users whose home this shard is.
#[derive(Default)]
pub struct Users {
    by_id: HashMap<UserId, User, RandomState>,
    sessions: Table,
    /// What happened, for the operator.
    pub counters: Counters,
}

impl Users {
    /// Takes one letter.
    pub fn on_letter(&mut self, letter: HomeLetter, mesh: &mut Mesh) {
        match letter {
            HomeLetter::SignIn { author } => self.on_sign_in(author, mesh),
            HomeLetter::SignOut { user, session } => self.on_sign_out(user, session),
            HomeLetter::Proven { user, session } => self.on_proven(user, session, mesh),
        }
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
