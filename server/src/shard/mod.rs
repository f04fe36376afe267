//! The joint: completions and letters go to the part they belong to, and at the end of the turn everything
//! that leaves does so together.
//!
//! ```text
//!   completions --> sessions --requests--> mesh --> conversations, users --files--> operations
//!                      ^                    |            |
//!                      '----deliveries------'<-----------'
//!   end of turn: one journal batch, one send per connection, one publication per ring
//! ```
//!
//! Owner: one thread. Lifetime: the process. The shard does no I/O and reads no clock: the same struct runs
//! on io_uring, on epoll and in the simulation. It parses, sequences and encodes nothing itself.

mod levels;

use std::sync::Arc;

use ringwire_driver::{Completion, Operations};
use ringwire_ring::Receiver;
use ringwire_store::Retired;

pub use levels::Levels;

use crate::clock::Now;
use crate::conversation::Conversations;
use crate::fanout::letter::{Delivery, Request, ShardIndex};
use crate::fanout::mesh::Mesh;
use crate::limits::LETTERS_PER_TURN;
use crate::plane::exchange::{Ask, Outlet, Snapshot};
use crate::session::Sessions;
use crate::store::Step;
use crate::user::Users;

/// How soon to look again while letters wait for a full ring: the neighbour is awake and emptying it.
const BACKLOG_RETRY_MS: u64 = 1;

/// One shard.
pub struct Shard {
    mesh: Mesh,
    sessions: Sessions,
    conversations: Conversations,
    users: Users,
    /// The way to the plane; none in worlds that have no plane.
    outlet: Option<Outlet>,
    /// Segments of the journal that are given up; none in worlds that tell it otherwise.
    retirements: Option<Receiver<Arc<Retired>>>,
    operations: Operations,
    /// Letters of this turn; kept for their memory.
    requests: Vec<Request>,
    deliveries: Vec<Delivery>,
    failure_told: bool,
    /// What the driver has counted, as far as anybody asked.
    driver: ringwire_driver::Counters,
}

impl Shard {
    /// Puts the parts together.
    pub fn new(mesh: Mesh, sessions: Sessions, conversations: Conversations, users: Users) -> Self {
        Shard {
            mesh,
            sessions,
            conversations,
            users,
            outlet: None,
            retirements: None,
            operations: Operations::default(),
            requests: Vec::new(),
            deliveries: Vec::new(),
            failure_told: false,
            driver: ringwire_driver::Counters::default(),
        }
    }

    /// Connects the shard with the plane, if there is one.
    #[must_use]
    pub fn with_outlet(mut self, outlet: Option<Outlet>) -> Self {
        self.outlet = outlet;
        self
    }

    /// Connects the shard with whoever gives up segments.
    #[must_use]
    pub fn with_retirements(mut self, retirements: Receiver<Arc<Retired>>) -> Self {
        self.retirements = Some(retirements);
        self
    }

    /// Segments are given up, and their files are about to be removed.
    pub fn on_retired(&mut self, retired: &Retired) {
        self.conversations.on_retired(retired);
    }

    /// Which shard this is.
    pub fn index(&self) -> ShardIndex {
        self.mesh.me()
    }

    /// Something happened at the kernel's edge.
    pub fn on_completion(&mut self, now: Now, completion: Completion<'_>) {
        match completion {
            Completion::Accepted { connection, peer } => self.sessions.on_accepted(now, connection, peer),
            Completion::AcceptFailed { error } => {
                tracing::warn!(%error, "cannot accept connections for the moment; raise the limit of open files");
            }
            Completion::Received { connection, data } => {
                self.sessions.on_received(now, connection, data, &mut self.mesh);
            }
            Completion::Stalled { connection, payload, sent } => {
                self.sessions.on_stalled(now, connection, &payload, sent);
            }
            Completion::Writable { connection } => self.sessions.on_writable(connection),
            Completion::Disconnected { connection, cause } => {
                if let Some(cause) = cause {
                    tracing::debug!(?connection, %cause, "connection lost");
                }
                self.sessions.on_disconnected(connection, &mut self.mesh);
            }
            Completion::Closed { connection } => self.sessions.on_closed(connection),
            Completion::FileReady { file, result } => {
                let step = self.conversations.log_mut().on_file_ready(file, result);
                self.on_step(now, step);
            }
            Completion::Synced { file, result } => {
                let step = self.conversations.log_mut().on_synced(file, result);
                self.on_step(now, step);
            }
            Completion::ReadDone { tag, result } => {
                self.conversations.log_mut().on_read(tag, result);
            }
            Completion::JobDone { tag, result } => {
                let step = self.conversations.log_mut().on_job(tag, result);
                self.on_step(now, step);
            }
            Completion::Datagrams { peer, local_ip, ecn, stride, data } => {
                self.sessions.on_datagrams(now, (peer, local_ip), ecn, stride, data, &mut self.mesh);
            }
            // What the bell was rung for is in the rings.
            Completion::Rung => {}
        }
    }

    fn on_step(&mut self, now: Now, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Synced(entry) => {
                self.conversations.on_synced(now, entry, &mut self.mesh);
                self.users.on_synced(entry, &mut self.mesh);
            }
            Step::Failed => {
                self.conversations.on_journal_failed(&mut self.mesh);
                self.users.on_journal_failed(self.conversations.log(), &mut self.mesh);
            }
        }
    }

    /// Takes the letters, closes the turn, and leaves in [`Shard::operations`] what the driver is to do.
    pub fn end_of_turn(&mut self, now: Now) {
        // Before any request: what is gone is not read any more.
        while let Some(retired) = self.retirements.as_mut().and_then(Receiver::recv) {
            self.on_retired(&retired);
        }
        self.sessions.sweep(now, &mut self.mesh);
        self.sessions.serve_quic(now, &mut self.mesh);
        self.mesh.take_requests(LETTERS_PER_TURN, &mut self.requests);
        for request in self.requests.drain(..) {
            match request {
                Request::Home(letter) => {
                    let log = self.conversations.log_mut();
                    self.users.on_letter(now, letter, log, &mut self.mesh);
                }
                request => self.conversations.on_request(now, request, &mut self.mesh),
            }
        }
        let step = self.conversations.end_of_turn(now, &mut self.operations, &mut self.mesh);
        self.on_step(now, step);
        self.users.end_of_turn(now, &mut self.mesh);
        self.mesh.take_deliveries(LETTERS_PER_TURN, &mut self.deliveries);
        for delivery in self.deliveries.drain(..) {
            self.sessions.on_delivery(now, delivery, &mut self.mesh);
        }
        self.sessions.flush(now, &mut self.operations, &mut self.mesh);
        self.mesh.flush(&mut self.operations);
        self.talk_to_plane(now);
    }

    fn talk_to_plane(&mut self, now: Now) {
        while let Some(ask) = self.outlet.as_mut().and_then(Outlet::take_ask) {
            // Who asked may have given up; then the answer is dropped.
            match ask {
                Ask::Role { user, conversation, answer } => {
                    let _ = answer.send(self.conversations.role(user, conversation));
                }
                Ask::Unregister { user, device, token, answer } => {
                    let log = self.conversations.log_mut();
                    self.users.on_device_gone(now, user, device, &token, log);
                    let _ = answer.send(());
                }
                Ask::Snapshot { answer } => {
                    let _ = answer.send(Box::new(self.snapshot()));
                }
            }
        }
        match &mut self.outlet {
            Some(outlet) => {
                self.users.take_letters().for_each(|letter| outlet.tell(letter));
                outlet.flush();
            }
            // There is nobody to push anything.
            None => drop(self.users.take_letters()),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut levels = Levels::default();
        self.mesh.measure(&mut levels);
        self.conversations.measure(&mut levels);
        self.users.measure(&mut levels);
        Snapshot {
            sessions: self.sessions.counters,
            quic: self.sessions.quic_counters(),
            driver: self.driver,
            conversations: self.conversations.counters,
            users: self.users.counters,
            conversations_owned: self.conversations.len(),
            levels,
            outlet: self.outlet.as_ref().map(|outlet| outlet.counters).unwrap_or_default(),
        }
    }

    /// What the driver is to do.
    pub fn operations(&mut self) -> &mut Operations {
        &mut self.operations
    }

    /// Takes what the driver has counted, where the plane asks this turn: it costs a look at the kernel.
    pub fn note_driver(&mut self, count: impl FnOnce() -> ringwire_driver::Counters) {
        if self.outlet.as_ref().is_some_and(Outlet::has_asks) {
            self.driver = count();
        }
    }

    /// Whether the shard has nothing to do before something happens.
    pub fn is_idle(&mut self) -> bool {
        !self.mesh.has_letters()
            && !self.sessions.has_due()
            && !self.outlet.as_ref().is_some_and(Outlet::has_asks)
    }

    /// The longest the shard may sleep, milliseconds; `None`: until something happens.
    pub fn sleep_ms(&mut self, now: Now) -> Option<u64> {
        if !self.is_idle() {
            return Some(0);
        }
        if self.mesh.has_backlog() || self.outlet.as_ref().is_some_and(Outlet::has_backlog) {
            return Some(BACKLOG_RETRY_MS);
        }
        let due =
            [self.conversations.next_due_ms(now), self.users.next_ms(now), self.sessions.next_quic_ms(now)];
        self.sessions.next_sweep_ms(now).into_iter().chain(due.into_iter().flatten()).min()
    }

    /// Takes no new connections and asks all clients to go within `jitter_ms`.
    pub fn drain(&mut self, now: Now, jitter_ms: u32) {
        self.sessions.drain(now, jitter_ms, &mut self.operations, &mut self.mesh);
    }

    /// Whether nobody is connected and nothing waits for the disk.
    pub fn is_drained(&self) -> bool {
        self.sessions.is_empty() && !self.conversations.is_writing() && !self.users.is_writing()
    }

    /// Writes what was accepted and takes nothing more.
    pub fn stop(&mut self, now: Now) {
        self.sessions.stop();
        self.conversations.release_reserved(now);
        self.conversations.log_mut().stop();
    }

    /// Whether everything is on disk after [`Shard::stop`].
    pub fn is_stopped(&self) -> bool {
        self.conversations.failure().is_some() || self.conversations.log().is_stopped()
    }

    /// Why the journal failed, said once.
    pub fn take_failure(&mut self) -> Option<String> {
        if self.failure_told {
            return None;
        }
        let failure = self.conversations.failure()?.to_owned();
        self.failure_told = true;
        Some(failure)
    }

    /// How full the queues are. Looks at every connection.
    pub fn levels(&self) -> Levels {
        let mut levels = Levels::default();
        self.mesh.measure(&mut levels);
        self.sessions.measure(&mut levels);
        self.conversations.measure(&mut levels);
        self.users.measure(&mut levels);
        levels
    }

    /// The connections' side, for counters and checks.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The conversations' side, for counters and checks.
    pub fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    /// The users' side, for counters and checks.
    pub fn users(&self) -> &Users {
        &self.users
    }
}
