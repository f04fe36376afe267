//! Where a session meets people: its home learns of it, and the other sessions of its device give way.

use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{CAPABILITY_INBOX, Done, Reject, Settings, Watch};
use ringwire_protocol::ws::{self, Opcode};

use super::Sessions;
use super::inbox::Gathering;
use super::streams::may_be_lost;
use super::typing::Typist;
use crate::clock::Now;
use crate::conversation::BUSY_RETRY_MS;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Author, Reach, Request, SessionRef, home_of};
use crate::fanout::mesh::Mesh;
use crate::fanout::queues::Queue;
use crate::limits::{WATCH_BURST, WATCH_INTERVAL_MS};
use crate::pace::Pace;
use crate::user::letter::HomeLetter;

/// How long a challenged session has to answer, seconds: a few round trips of a bad network.
const PROOF_S: u8 = 15;

/// What a session does besides receiving conversations.
#[derive(Default)]
pub(super) struct Doing {
    /// How many users it watches.
    watched: u16,
    /// Of its lists of them.
    watches: Pace,
    /// Conversations whose counts it is told.
    pub(super) counted: Vec<ConversationId>,
    /// Of what it says about that.
    pub(super) counts: Pace,
    /// Of what it says about being woken.
    pub(super) registrations: Pace,
    /// Where it types, or did a moment ago.
    pub(super) typing: Vec<Typist>,
    /// Of signs of typing, wherever.
    pub(super) signs: Pace,
    /// Of what it says too often about typing before it is told so.
    pub(super) excess: Pace,
    /// Of telling it so.
    pub(super) scolded: Pace,
}

impl Sessions {
    /// A session has begun: its home is told.
    pub(super) fn sign_in(&mut self, author: Author, capabilities: u64, mesh: &mut Mesh) {
        if capabilities & CAPABILITY_INBOX != 0 {
            self.inboxes.insert(author.session.connection.slot, Gathering::default());
        }
        let home = home_of(author.user, mesh.shards());
        mesh.tell(home, Request::Home(HomeLetter::SignIn { author, capabilities }));
    }

    /// A session is over.
    pub(super) fn sign_out(&mut self, author: Author, mesh: &mut Mesh) {
        let (user, session) = (author.user, author.session);
        self.inboxes.remove(&session.connection.slot);
        self.unsettled.end(session.connection.slot);
        if let Some(doing) = self.doings.remove(&session.connection.slot) {
            self.end_typing(author, &doing, mesh);
            self.end_counts(session.connection, &doing, mesh);
            if doing.watched > 0 {
                self.watched -= usize::from(doing.watched);
                for home in 0..mesh.shards() {
                    mesh.tell(home, Request::Home(HomeLetter::Watch { session, users: Box::default() }));
                }
            }
        }
        mesh.tell(home_of(user, mesh.shards()), Request::Home(HomeLetter::SignOut { user, session }));
    }

    /// Sessions that fell silent, or are heard again; who finds the ring full is said in the next sweep.
    pub(super) fn tell_heard(&mut self, turned: Vec<(ConnectionId, bool)>, mesh: &mut Mesh) {
        for (id, heard) in turned {
            let Some(Author { user, session, .. }) = self.author_of(id) else { continue };
            let letter = Request::Home(HomeLetter::Heard { user, session, heard });
            if mesh.request(home_of(user, mesh.shards()), letter).is_ok()
                && let Some(live) = self.get_mut(id).and_then(|connection| connection.session_mut())
            {
                live.heard = heard;
            }
        }
    }

    pub(super) fn on_watch(&mut self, now: Now, id: ConnectionId, watch: &Watch<'_>, mesh: &mut Mesh) {
        let Some(Author { session, .. }) = self.author_of(id) else { return };
        let request = watch.request;
        let mut users: Vec<UserId> = watch.users.iter().collect();
        users.sort_unstable();
        users.dedup();
        let now_ms = now.monotonic_ms();
        let doing = self.doings.entry(id.slot).or_default();
        let watched = self.watched - usize::from(doing.watched) + users.len();
        if !doing.watches.take(now_ms, WATCH_INTERVAL_MS, WATCH_BURST) {
            let retry_after_ms = doing.watches.wait(now_ms, WATCH_INTERVAL_MS, WATCH_BURST);
            let reason = "the list of watched users changes too often";
            return self.refuse_personal(id, request, Code::RATE_LIMITED, retry_after_ms as u32, reason);
        }
        if watched > self.terms.limits.watches_max {
            let reason = "the connections of this shard watch as many users as they may together";
            return self.refuse_personal(id, request, Code::TOO_MANY_WATCHED, 0, reason);
        }
        if (0..mesh.shards()).any(|home| mesh.would_wait(home)) {
            let reason = "the users' shards are behind; ask again";
            return self.refuse_personal(id, request, Code::OVERLOADED, BUSY_RETRY_MS, reason);
        }
        let mut by_home: Vec<Vec<UserId>> = vec![Vec::new(); usize::from(mesh.shards())];
        for user in &users {
            by_home[usize::from(home_of(*user, mesh.shards()))].push(*user);
        }
        // A home that had some before has to learn that it has none now.
        let had_any = std::mem::replace(&mut doing.watched, users.len() as u16) > 0;
        self.watched = watched;
        for (home, users) in (0..).zip(by_home) {
            if had_any || !users.is_empty() {
                let users = users.into_boxed_slice();
                mesh.tell(home, Request::Home(HomeLetter::Watch { session, users }));
            }
        }
        let done = Done { request, conversation: ConversationId::ZERO, sequence: 0 };
        self.say(id, |encoder, out| done.encode(encoder, out));
    }

    pub(super) fn on_settings(&mut self, id: ConnectionId, settings: Settings, mesh: &mut Mesh) {
        let Some(author) = self.author_of(id) else { return };
        let Settings { request, share_last_seen, away } = settings;
        let letter = Request::Home(HomeLetter::Settings { author, request, share_last_seen, away });
        if mesh.request(home_of(author.user, mesh.shards()), letter).is_err() {
            let reason = "the user's shard is behind; send again";
            self.refuse_personal(id, request, Code::OVERLOADED, BUSY_RETRY_MS, reason);
        }
    }

    pub(super) fn refuse_personal(
        &mut self,
        id: ConnectionId,
        request: u32,
        code: Code,
        retry_after_ms: u32,
        reason: &str,
    ) {
        let conversation = ConversationId::ZERO;
        self.reject(id, &Reject { request, conversation, client_sequence: 0, code, retry_after_ms, reason });
    }

    /// There is another session of the device. What its client has sent already proves nothing, because it may
    /// have given the connection up since; the answer to a ping that is sent now does.
    pub(super) fn on_challenge(&mut self, session: SessionRef) {
        let Some(live) = self.of_session(session).and_then(|connection| connection.session_mut()) else {
            return;
        };
        live.proof_s = PROOF_S;
        if self.challenge_quic(session.connection) {
            return;
        }
        let payload = session.number.to_le_bytes();
        let frame = self.queues.written(|out| ws::write_message(out, Opcode::Ping, &payload, None));
        self.enqueue(session.connection, frame);
    }

    /// A pong; perhaps the answer to a challenge.
    pub(super) fn on_pong(&mut self, id: ConnectionId, payload: &[u8], mesh: &mut Mesh) {
        let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) else { return };
        if payload == session.number.to_le_bytes() {
            self.on_proof(id, mesh);
        }
    }

    /// A sign of life; perhaps one that a challenge asked for.
    pub(super) fn on_proof(&mut self, id: ConnectionId, mesh: &mut Mesh) {
        let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) else { return };
        if std::mem::take(&mut session.proof_s) == 0 {
            return;
        }
        let Some(Author { user, session, .. }) = self.author_of(id) else { return };
        mesh.tell(home_of(user, mesh.shards()), Request::Home(HomeLetter::Proven { user, session }));
    }

    pub(super) fn on_replaced(&mut self, now: Now, session: SessionRef, mesh: &mut Mesh) {
        if self.of_session(session).is_some() {
            let reason = "this device has signed in again, on another connection";
            self.close(now, session.connection, Code::REPLACED, reason, mesh);
        }
    }

    /// A frame of this moment for those who receive a conversation; who is stalled does without.
    pub(super) fn on_notice(
        &mut self,
        conversation: ConversationId,
        reach: Reach,
        frame: &Encoded,
        except: Option<SessionRef>,
    ) {
        let Some(topic) = self.subscribers.find(conversation) else { return };
        let alone = may_be_lost(frame).then(|| frame.frame());
        let frame = self.queues.shared(frame.websocket().clone());
        let me = self.me;
        let mut tell = |slot: u32| {
            let Some(connection) = self.connections[slot as usize].as_deref_mut() else { return };
            if except.is_some_and(|except| (except.shard, except.connection) == (me, connection.id)) {
                return;
            }
            if connection.stalled.is_some() {
                self.counters.notices_dropped += 1;
                return;
            }
            self.counters.notices += 1;
            if let (Some(alone), Some(quic), true) = (&alone, &mut self.quic, connection.carrier.is_quic())
                && quic.tell(connection.id, alone)
            {
                self.counters.typing_datagrams += 1;
                return;
            }
            if connection.queue == Queue::EMPTY {
                self.due.push(connection.id);
            }
            connection.queue = self.queues.push(connection.queue, frame);
        };
        self.subscribers.open(topic).for_each(&mut tell);
        if reach == Reach::Everybody {
            self.subscribers.closed(topic).for_each(&mut tell);
        }
    }
}
