//! Connections and the sessions on them: who somebody is, what they ask, what they get.
//!
//! Between the driver and the letters: bytes become frames (`receive`), frames become requests (`frames`),
//! deliveries become queued frames (`deliver`, `people`), and at the end of the turn each connection gets one send
//! (`flush`). `liveness` closes what is silent, slow or expired.
//!
//! Owner: the shard. Lifetime: a session lives as long as its connection; what outlives it (membership,
//! cursors) is the owner shards'.
//!
//! Invariants. S-1: nothing is asked of an owner before the token was verified. S-2: one send per
//! connection and turn, none while one is stalled. S-3: a connection has one `Attached` for each
//! subscription, and sends one `Detach` for each when it ends; a session, one `SignIn` and one `SignOut`.
//!
//! Absent: conversations, the disk, the clock.

mod accepting;
pub mod auth;
mod closing;
mod counts;
mod deliver;
mod flush;
mod frames;
mod inbox;
mod liveness;
mod manage;
mod people;
mod presence;
mod receive;
mod register;
mod secure;
mod streams;
mod typing;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Encoder, Reject};
use ringwire_protocol::ws;

use crate::clock::Now;
use crate::fanout::letter::{Answers, Author, Request, SessionRef, ShardIndex, owner_of};
use crate::fanout::mesh::Mesh;
use crate::fanout::queues::{FrameIndex, Queue, Queues};
use crate::fanout::subscribers::Subscribers;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::plane::push::target::Rules;
use crate::shard::Levels;
use crate::site::Site;
use crate::transport::connection::Connection;
use crate::transport::gate::{Gate, Rate};
use crate::transport::quic::Quic;
use crate::transport::tls::offer::Offer;
use crate::transport::tls::secure::Arena;
use crate::transport::way::{Handshakes, Traffic, WAYS};
use auth::{Authenticator, Identity};
use inbox::Gathering;
use people::Doing;
use presence::Unsettled;

/// What all sessions of the process share.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Decides who somebody is.
    pub authenticator: Authenticator,
    /// A client sends something at least this often, milliseconds.
    pub heartbeat_ms: u32,
    /// Silence after which a connection is closed, seconds.
    pub idle_timeout_s: u32,
    /// Time from accepting to `Hello`, seconds.
    pub handshake_timeout_s: u32,
    /// Origins of pages that may connect; empty: any. Clients that are no browsers send none.
    pub origins: Vec<String>,
    /// What browsers get that ask for a page, if anything.
    pub app: Option<Site>,
    /// Which push registrations are taken.
    pub push: Rules,
    /// The certificates of new connections; `None`: they are not encrypted.
    pub tls: Option<Offer>,
    /// How many connections one address may begin over TCP, per shard; `None`: any number.
    pub handshakes: Option<Rate>,
    /// The bounds.
    pub limits: Limits,
}

impl Terms {
    /// Silence after which a session does not count as there, seconds: an honest client that has nothing to say
    /// is never silent for so long.
    fn presence_ttl_s(&self) -> u32 {
        self.limits.presence_ttl_s.max(self.heartbeat_ms.div_ceil(1000) * 3 / 2)
    }
}

/// Somebody, signed in on a connection.
pub struct Session {
    /// Orders the sessions of one device.
    pub number: u64,
    /// Who.
    pub identity: Identity,
    /// The device as messages carry it.
    pub origin: u64,
    /// Which connection of the device, as its client says.
    pub attempt: u64,
    /// Whether its home knows it as one that was heard of lately.
    heard: bool,
    /// Seconds that it has left to answer a challenge; 0: there is none.
    proof_s: u8,
    /// Fetches that are not answered yet.
    fetches: u8,
    /// Publishes that are not answered yet.
    publishes: u16,
    /// Conversations that it asked to receive, and that are not answered yet.
    attaching: u16,
}

impl Session {
    /// A request was answered.
    fn answered(&mut self, answers: Answers) {
        match answers {
            Answers::Publish => self.publishes = self.publishes.saturating_sub(1),
            Answers::Fetch => self.fetches = self.fetches.saturating_sub(1),
            Answers::Attach => self.attaching = self.attaching.saturating_sub(1),
            Answers::Other => {}
        }
    }
}

/// What sessions count; all since the process started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Connections, by [`Way`](crate::transport::way::Way).
    pub ways: [Traffic; WAYS],
    /// Connections turned away because of their address.
    pub limited: u64,
    /// Sessions signed in now.
    pub signed_in: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Messages queued to connections.
    pub delivered: u64,
    /// Heads told to those who have a large conversation, but not open.
    pub heads: u64,
    /// Messages that a stalled connection was told of by their head instead.
    pub demoted: u64,
    /// Connections cut because they did not keep up.
    pub slow: u64,
    /// Handshakes of TLS over TCP.
    pub tls: Handshakes,
    /// Connections closed for a fault of the peer.
    pub faults: u64,
    /// Connections closed for silence.
    pub silent: u64,
    /// Entries of inboxes queued to connections.
    pub inbox_entries: u64,
    /// Frames of the moment (typing, receipts) queued to connections.
    pub notices: u64,
    /// Those that a stalled connection did without.
    pub notices_dropped: u64,
    /// Frames with the counts of a conversation queued to connections.
    pub counts: u64,
    /// Of the frames of the moment, signs of typing sent in datagrams.
    pub typing_datagrams: u64,
    /// Signs of typing passed on to owners.
    pub typing: u64,
    /// Those that came too often or from elsewhere, and were dropped.
    pub typing_dropped: u64,
    /// Presence told in datagrams.
    pub presence_datagrams: u64,
    /// Frames that said it again on a stream.
    pub presence_settled: u64,
}

impl Counters {
    /// Connections that came, in all ways.
    pub fn accepted(&self) -> u64 {
        self.ways.iter().map(|way| way.accepted).sum()
    }

    /// Connections open now, in all ways.
    pub fn open(&self) -> u64 {
        self.ways.iter().map(|way| way.open).sum()
    }
}

/// All connections of a shard.
pub struct Sessions {
    me: ShardIndex,
    terms: Arc<Terms>,
    connections: Vec<Option<Box<Connection>>>,
    subscribers: Subscribers,
    queues: Queues,
    /// By slot, the few that watch or type: an idle connection pays nothing for it.
    doings: HashMap<u32, Doing, RandomState>,
    /// Presence that was told in datagrams only.
    unsettled: Unsettled,
    /// Users whom all sessions watch, and conversations whose counts they do, added up.
    watched: usize,
    /// Connections that are told the counts of a conversation.
    counted: HashMap<ConversationId, BTreeSet<ConnectionId>, RandomState>,
    /// By slot, the inboxes that are not all sent.
    inboxes: HashMap<u32, Gathering, RandomState>,
    /// Connections that have heard the peer's close and are ended behind ours.
    leaving: Vec<ConnectionId>,
    /// Connections that take more of theirs.
    inboxes_due: Vec<ConnectionId>,
    /// Connections with something due this turn.
    due: Vec<ConnectionId>,
    /// Connections that the driver is to close at the end of this turn.
    to_close: Vec<ConnectionId>,
    /// The certificates of new connections, where TLS is spoken.
    offer: Option<Offer>,
    gate: Gate,
    /// Answers to who is turned away there.
    answers: Pace,
    /// Plaintext of what has just come; kept for its memory.
    plain: Vec<u8>,
    /// Where what is due is sealed.
    arena: Arena,
    /// QUIC, where it is spoken, and its connections that are to be closed at the end of this turn.
    quic: Option<Box<Quic>>,
    quic_closing: Vec<(ConnectionId, Code)>,
    encoder: Encoder,
    last_number: u64,
    swept_s: u32,
    draining: bool,
    /// What happened, for the operator.
    pub counters: Counters,
}

impl Sessions {
    /// No connections yet.
    pub fn new(me: ShardIndex, terms: Arc<Terms>) -> Self {
        Sessions {
            me,
            offer: terms.tls.clone(),
            gate: Gate::new(terms.handshakes),
            answers: Pace::default(),
            plain: Vec::new(),
            arena: Arena::default(),
            terms,
            connections: Vec::new(),
            subscribers: Subscribers::default(),
            queues: Queues::default(),
            doings: HashMap::default(),
            unsettled: Unsettled::default(),
            watched: 0,
            counted: HashMap::default(),
            inboxes: HashMap::default(),
            leaving: Vec::new(),
            inboxes_due: Vec::new(),
            due: Vec::new(),
            to_close: Vec::new(),
            quic: None,
            quic_closing: Vec::new(),
            encoder: Encoder::new(),
            last_number: 0,
            swept_s: 0,
            draining: false,
            counters: Counters::default(),
        }
    }

    /// How many connections are open.
    pub fn len(&self) -> usize {
        self.counters.open() as usize
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// User and hashed device of each session that is signed in, for checks.
    pub fn signed_in(&self) -> impl Iterator<Item = (UserId, u64)> + '_ {
        let sessions = self.connections.iter().flatten().filter_map(|connection| connection.session());
        sessions.map(|session| (session.identity.user, session.origin))
    }

    /// Whether something can be sent that nothing has to happen for.
    pub fn has_due(&self) -> bool {
        !self.inboxes_due.is_empty() || self.quic.as_ref().is_some_and(|quic| quic.has_due())
    }

    /// Says how much the fullest connections hold.
    pub fn measure(&self, levels: &mut Levels) {
        levels.watched = self.watched;
        for connection in self.connections.iter().flatten() {
            let outbox_bytes = connection.stalled.as_ref().map_or(0, |stalled| stalled.bytes());
            levels.outbox_bytes_max = levels.outbox_bytes_max.max(outbox_bytes);
            levels.subscriptions_max = levels.subscriptions_max.max(connection.subscriptions.len());
            if let Some(session) = connection.session() {
                levels.publishes_max = levels.publishes_max.max(usize::from(session.publishes));
                levels.fetches_max = levels.fetches_max.max(usize::from(session.fetches));
            }
        }
    }

    fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(id.slot as usize)?.as_deref_mut()?;
        (connection.id == id).then_some(connection)
    }

    fn by_slot(&mut self, slot: u32) -> &mut Connection {
        self.connections[slot as usize].as_deref_mut().expect("a subscriber is a connection")
    }

    /// The connection of a session, if it still speaks on it.
    fn of_session(&mut self, session: SessionRef) -> Option<&mut Connection> {
        self.get_mut(session.connection)
            .filter(|connection| connection.session().is_some_and(|live| live.number == session.number))
    }

    /// Numbers grow with time across shards, and are never given twice.
    fn next_number(&mut self, now: Now) -> u64 {
        let shards_apart = (now.monotonic_ns << 8) | u64::from(self.me & 0xff);
        self.last_number = shards_apart.max(self.last_number + 256);
        self.last_number
    }

    fn author(&self, id: ConnectionId, session: &Session) -> Author {
        Author {
            user: session.identity.user,
            origin: session.origin,
            attempt: session.attempt,
            session: SessionRef { number: session.number, connection: id, shard: self.me },
        }
    }

    /// Queues a frame for a connection, behind what is due already.
    fn enqueue(&mut self, id: ConnectionId, frame: FrameIndex) {
        let Some(connection) = self.connections.get_mut(id.slot as usize).and_then(Option::as_deref_mut)
        else {
            return;
        };
        if connection.queue == Queue::EMPTY {
            self.due.push(id);
        }
        connection.queue = self.queues.push(connection.queue, frame);
    }

    /// Queues a frame that `write` encodes, as a WebSocket message of its own.
    fn say(&mut self, id: ConnectionId, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let encoder = &mut self.encoder;
        let frame = self.queues.written(|out| {
            // Most frames for one connection are short, so room for a short header is left and the longer
            // one is made where it proves needed.
            let start = out.len();
            out.extend_from_slice(&[0; SHORT_HEADER]);
            write(encoder, out);
            let length = out.len() - start - SHORT_HEADER;
            let (header, header_bytes) = ws::header(ws::Opcode::Binary, length, None);
            out.splice(start..start + SHORT_HEADER, header[..header_bytes].iter().copied());
        });
        self.enqueue(id, frame);
    }

    fn reject(&mut self, id: ConnectionId, reject: &Reject<'_>) {
        self.say(id, |encoder, out| reject.encode(encoder, out));
    }

    /// Gives up every subscription and the session.
    fn detach_all(&mut self, id: ConnectionId, mesh: &mut Mesh) {
        if let Some(author) = self.author_of(id) {
            self.counters.signed_in -= 1;
            self.sign_out(author, mesh);
        }
        while self.detach_last(id, mesh) {}
    }

    fn detach_last(&mut self, id: ConnectionId, mesh: &mut Mesh) -> bool {
        let Some(connection) = self.connections[id.slot as usize].as_deref() else { return false };
        let Some(nth) = connection.subscriptions.len().checked_sub(1) else { return false };
        self.detach(id, nth, mesh);
        true
    }

    /// Notes whether a connection has a conversation on screen.
    fn set_open(&mut self, id: ConnectionId, conversation: ConversationId, open: bool) {
        let Some(topic) = self.subscribers.find(conversation) else { return };
        let Some(connection) = self.connections[id.slot as usize].as_deref_mut() else { return };
        let held = connection.subscriptions.iter().position(|held| held.topic == topic);
        let Some(nth) = held else { return };
        let moved = self.subscribers.set_open(&mut connection.subscriptions, nth, id.slot, open);
        if let Some(moved) = moved {
            moved.apply(&mut self.by_slot(moved.slot).subscriptions);
        }
    }

    /// Gives up one subscription and tells its owner.
    fn detach(&mut self, id: ConnectionId, nth: usize, mesh: &mut Mesh) {
        let Some(connection) = self.connections[id.slot as usize].as_deref_mut() else { return };
        let conversation = self.subscribers.conversation(connection.subscriptions[nth].topic);
        let moved = self.subscribers.remove(&mut connection.subscriptions, nth);
        if connection.subscriptions.is_empty() {
            connection.subscriptions = Vec::new();
        }
        if let Some(moved) = moved {
            moved.apply(&mut self.by_slot(moved.slot).subscriptions);
        }
        let request = Request::Detach { shard: self.me, conversation };
        mesh.tell(owner_of(conversation, mesh.shards()), request);
    }
}

/// Header of a WebSocket message of up to 125 bytes.
const SHORT_HEADER: usize = 2;
