//! The host of the real clients: what their sockets bring, what their cores ask for, what they tell.

use std::time::Duration;

use ringwire_client::core::{Cause, Event as Told, Message, Missing, PublishId, State};
use ringwire_client::error::Error;
use ringwire_client::ws::Action;
use ringwire_protocol::ConversationId;
use ringwire_protocol::code::Code;
use ringwire_protocol::message::{self, Durability, Encoder, GapCause, View};
use ringwire_protocol::ws::PATH;

use super::{Event, Stage, World};
use crate::check::exactly_once::Outcome;
use crate::check::{Promise, Room, Verdict};
use crate::client::{Asked, Client, Standing};
use crate::network::{Chunk, Dialler, Side, SocketId};

/// How many watches a shard must allow for clients to watch, too.
const WATCHES_FOR_ALL: usize = 1000;

impl World {
    /// A client enters the world.
    pub(super) fn add_client(&mut self, name: String) {
        self.lives += 1;
        let life = self.lives;
        let device = format!("device-{life}");
        let mut client = Client::new(name, &device, life, &self.settings, &mut self.random.clients);
        // Where watches are scarce they are for the onlookers, who insist.
        if self.settings.limits.watches_max >= WATCHES_FOR_ALL {
            let watching = client.link.core().watch(self.client_now(), self.watched());
            debug_assert!(watching.is_ok(), "it has asked for nothing else yet");
        }
        self.clients.push(client);
        let index = self.clients.len() - 1;
        let in_us = self.random.workload.around(self.settings.act_us);
        self.plan(in_us, Event::Act { client: index });
    }

    /// The time as cores are told it.
    pub(super) fn client_now(&self) -> Duration {
        Duration::from_micros(self.now_us)
    }

    pub(super) fn is_frozen(&self, client: usize) -> bool {
        self.clients[client].frozen_until_us > self.now_us
    }

    pub(super) fn on_client_answered(&mut self, client: usize, id: SocketId, accepted: bool) -> Verdict {
        let now = self.client_now();
        let this = &mut self.clients[client];
        match &mut this.socket {
            Some((socket, connected)) if *socket == id => {
                if accepted {
                    *connected = true;
                    this.link.on_open("sim", PATH);
                } else {
                    this.socket = None;
                    this.link.on_closed(now, Cause::Network("connection refused".to_owned()));
                    self.let_go(id, false);
                }
                self.pump(client)
            }
            // It was given up meanwhile.
            _ => {
                self.let_go(id, true);
                Ok(())
            }
        }
    }

    /// Reads what has arrived, in pieces.
    pub(super) fn read_client(&mut self, client: usize) -> Verdict {
        if self.is_frozen(client) {
            return Ok(());
        }
        if self.clients[client].quic.is_some() {
            return self.serve_client_quic(client);
        }
        let now = self.client_now();
        while let Some((id, _)) = self.clients[client].socket {
            let most = self.piece();
            let Some(socket) = self.network.get(id) else { break };
            let Some(chunk) = socket.down.read(most) else { break };
            self.tell_writer(id, Side::Client);
            let this = &mut self.clients[client];
            match chunk {
                Chunk::Bytes(bytes) => {
                    let mut data = bytes.to_vec();
                    this.link.on_bytes(now, &mut data);
                }
                Chunk::End | Chunk::Reset => {
                    this.socket = None;
                    this.out.clear();
                    this.link.on_closed(now, Cause::Network("the connection ended".to_owned()));
                    self.let_go(id, false);
                }
            }
            self.pump(client)?;
        }
        Ok(())
    }

    pub(super) fn on_wake(&mut self, client: usize, version: u32) -> Verdict {
        if self.clients[client].wake_version != version || self.is_frozen(client) {
            return Ok(());
        }
        self.clients[client].wake_at_us = None;
        let now = self.client_now();
        self.clients[client].link.core().on_timer(now);
        self.pump(client)
    }

    pub(super) fn on_thaw(&mut self, client: usize) -> Verdict {
        if self.is_frozen(client) {
            return Ok(());
        }
        // What has arrived comes first, then what is overdue.
        self.read_client(client)?;
        let now = self.client_now();
        self.clients[client].link.core().on_timer(now);
        self.pump(client)
    }

    /// Does what the client wants, until it wants nothing.
    pub(super) fn pump(&mut self, client: usize) -> Verdict {
        if self.is_frozen(client) {
            return Ok(());
        }
        loop {
            let mut any = false;
            while let Some(action) = self.clients[client].link.poll_action() {
                any = true;
                self.on_action(client, action);
            }
            while let Some(told) = self.clients[client].link.core().poll_event() {
                any = true;
                self.on_told(client, told)?;
            }
            any |= self.write_client(client);
            if !any {
                break;
            }
        }
        self.flush_quic(Dialler::Client(client));
        self.set_timer(client);
        Ok(())
    }

    fn set_timer(&mut self, client: usize) {
        let now_us = self.now_us;
        let this = &mut self.clients[client];
        let deadline = this.link.core().deadline();
        let at_us =
            deadline.map(|at| u64::try_from(at.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX).max(now_us));
        if at_us == this.wake_at_us {
            return;
        }
        this.wake_at_us = at_us;
        this.wake_version += 1;
        let version = this.wake_version;
        if let Some(at_us) = at_us {
            self.plan(at_us - now_us, Event::Wake { client, version });
        }
    }

    fn on_action(&mut self, client: usize, action: Action) {
        match action {
            Action::Connect { .. } => self.dial_for(client),
            Action::Close if self.clients[client].quic.is_some() => self.close_quic(client),
            Action::Close => {
                // The rest goes as far as it goes at once.
                self.write_client(client);
                let now = self.client_now();
                let this = &mut self.clients[client];
                let socket = this.socket.take();
                this.out.clear();
                this.is_welcome = false;
                this.link.on_closed(now, Cause::Wanted);
                if let Some((id, _)) = socket {
                    self.let_go(id, false);
                }
            }
        }
    }

    /// Writes as much as the socket takes. Whether that was anything.
    fn write_client(&mut self, client: usize) -> bool {
        if self.clients[client].quic.is_some() {
            return self.write_quic(client);
        }
        let now = self.client_now();
        let mut any = false;
        loop {
            let this = &mut self.clients[client];
            let Some((id, true)) = this.socket else { return any };
            if this.out.is_empty() {
                this.link.poll_output(now, &mut this.out);
            }
            let mut out = std::mem::take(&mut this.out);
            let is_written = self.write_some(id, &mut out);
            any |= is_written;
            let is_stuck = !out.is_empty();
            self.clients[client].out = out;
            if is_stuck || !is_written {
                return any;
            }
        }
    }

    fn on_told(&mut self, client: usize, told: Told) -> Verdict {
        let life = self.clients[client].life;
        match told {
            Told::State(state) => self.on_state(client, state),
            Told::Joined { request, membership } => {
                let room = self.room(membership.conversation)?;
                let this = &mut self.clients[client];
                if let Some(request) = request {
                    this.requests.remove(&request);
                }
                this.rooms.entry(room).and_modify(|standing| {
                    if *standing == Standing::Joining {
                        *standing = Standing::In;
                    }
                });
                self.trace.note(self.now_us, "joined", u64::from(life), membership.cursor);
                self.checks.order.on_reading(life, room, membership.cursor)
            }
            Told::Message(message) => self.on_message(client, &message),
            Told::Gap { conversation, gap } => {
                let room = self.room(conversation)?;
                self.trace.note(self.now_us, "gap", u64::from(life), gap.to);
                Promise::Durability.holds(gap.cause != Missing::Rewound, || {
                    format!("the server has less of room {room} than client {life} was delivered")
                })?;
                if gap.cause == Missing::Server(GapCause::Expired) {
                    self.checks.retention.on_told(room, gap.to)?;
                    return self.checks.order.on_passed(life, room, gap.from, gap.to);
                }
                self.checks.order.on_missing(life, room, gap.from, gap.to)
            }
            Told::Published { publish, published, conversation } => {
                self.trace.note(self.now_us, "published", u64::from(life), published.sequence);
                if published.sequence > 0 {
                    let room = self.room(conversation)?;
                    self.clients[client].written.entry(room).or_default().push(published.sequence);
                }
                let outcome = match published.durability {
                    Durability::Synced => Outcome::Published(published.sequence),
                    Durability::Memory => Outcome::PublishedFromMemory(published.sequence),
                };
                self.on_outcome(client, publish, outcome)
            }
            Told::PublishFailed { publish, error, .. } => {
                self.trace.note(self.now_us, "publish-failed", u64::from(life), 0);
                self.trace.tell(self.now_us, || format!("client {life}: {error}"));
                self.on_outcome(client, publish, outcome_of(&error))
            }
            Told::Left { request, conversation } => {
                self.clients[client].requests.remove(&request);
                self.on_out(client, conversation)
            }
            Told::Ended { conversation, error } => {
                self.trace.tell(self.now_us, || format!("client {life} is put out: {error}"));
                self.on_out(client, conversation)
            }
            Told::History { request, conversation, history } => {
                let asked = self.clients[client].requests.remove(&request);
                let room = self.room(conversation)?;
                let sequences: Vec<u64> = history.messages.iter().map(|message| message.sequence).collect();
                if !matches!(asked, Some(Asked::History(_, View::Current))) {
                    self.checks.order.on_page(room, history.from, history.to, &sequences)?;
                }
                for message in history.messages.iter().chain(&history.amendments) {
                    self.check_content(room, message)?;
                }
                self.on_audit_page(client, history.from, history.to, history.complete)
            }
            Told::Typing { conversation, user, active } => {
                let room = self.room(conversation)?;
                self.trace
                    .tell(self.now_us, || format!("client {life}: typing {active} in {room} by {user}"));
                self.checks.typing.on_believed(life, room, user, active, self.now_us);
                Ok(())
            }
            Told::Members { request, .. } | Told::Done { request, .. } => {
                self.clients[client].requests.remove(&request);
                Ok(())
            }
            Told::Presence { user, state, .. } => {
                self.clients[client].presence.insert(user, state);
                Ok(())
            }
            Told::RequestFailed { request, error } => {
                self.trace.tell(self.now_us, || format!("client {life}: {error}"));
                self.on_request_failed(client, request);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_state(&mut self, client: usize, state: State) -> Verdict {
        let life = self.clients[client].life;
        self.trace.tell(self.now_us, || format!("client {life}: {state:?}"));
        match state {
            State::Connected(_) => self.clients[client].is_welcome = true,
            State::Disconnected { .. } | State::Connecting { .. } => {
                self.clients[client].is_welcome = false;
                self.clients[client].presence.clear();
            }
            State::Failed(error) => {
                return Promise::Progress.broken(format!("client {life} gives up for good: {error}"));
            }
            State::Closed => self.on_client_closed(client),
        }
        Ok(())
    }

    fn on_message(&mut self, client: usize, message: &Message) -> Verdict {
        let room = self.room(message.conversation)?;
        let life = self.clients[client].life;
        self.counts.read += 1;
        self.trace.note(self.now_us, "read", u64::from(life), message.sequence);
        self.check_content(room, message)?;
        self.checks.order.on_read(life, room, message.sequence)
    }

    /// The message is what others saw at its place.
    fn check_content(&mut self, room: Room, message: &Message) -> Verdict {
        let wire = message::Message {
            conversation: message.conversation,
            sequence: message.sequence,
            time_ms: message.time_ms,
            sender: message.sender,
            origin: message.origin,
            client_sequence: message.client_sequence,
            reference: message.reference,
            kind: message.kind,
            body: &message.body,
        };
        let mut frame = Vec::new();
        wire.encode(&mut Encoder::new(), &mut frame);
        self.checks.order.on_content(room, message.sequence, &frame).map(drop)
    }

    fn on_outcome(&mut self, client: usize, publish: PublishId, outcome: Outcome) -> Verdict {
        match self.clients[client].publishes.remove(&publish) {
            Some(token) => self.checks.exactly_once.on_outcome(token, outcome),
            None => Promise::ExactlyOnce.broken(format!("{publish} ends, and was never begun")),
        }
    }

    /// The client is not in the conversation any more.
    fn on_out(&mut self, client: usize, conversation: ConversationId) -> Verdict {
        let room = self.room(conversation)?;
        let this = &mut self.clients[client];
        this.rooms.remove(&room);
        let life = this.life;
        self.trace.note(self.now_us, "out", u64::from(life), room as u64);
        self.checks.typing.on_read_end(life, Some(room));
        self.checks.order.on_read_end(life, room);
        Ok(())
    }

    fn on_request_failed(&mut self, client: usize, request: ringwire_client::core::RequestId) {
        let this = &mut self.clients[client];
        match this.requests.remove(&request) {
            Some(Asked::Join(room)) => {
                let life = this.life;
                this.rooms.remove(&room);
                self.checks.order.on_read_end(life, room);
            }
            Some(Asked::Leave(room)) => {
                this.rooms.entry(room).and_modify(|standing| *standing = Standing::In);
            }
            Some(Asked::History(..) | Asked::Members | Asked::Change) | None => {}
        }
    }

    /// A client that was told to end has ended: another life begins with what it had stored.
    fn on_client_closed(&mut self, client: usize) {
        if self.stage != Stage::Over {
            self.replace_client(client);
        }
    }

    /// Ends a life and begins another in its place.
    pub(super) fn replace_client(&mut self, client: usize) {
        self.lives += 1;
        let life = self.lives;
        let this = &mut self.clients[client];
        self.checks.typing.on_read_end(this.life, None);
        let (name, socket, version) = (this.name.clone(), this.socket.take(), this.wake_version);
        let of_quic = this.quic.is_some();
        let device = format!("device-{life}");
        let mut next = Client::new(name, &device, life, &self.settings, &mut self.random.clients);
        // Deadlines of the former life are void.
        next.wake_version = version + 1;
        self.clients[client] = next;
        if let Some((id, _)) = socket {
            let resets = self.random.network.one_in(2);
            self.let_go(id, resets);
            if of_quic {
                self.checks.order.on_closed(id.0);
            }
        }
        self.trace.note(self.now_us, "new-life", client as u64, u64::from(life));
    }
}

/// What a failed publish means for what is stored.
fn outcome_of(error: &Error) -> Outcome {
    // A refusal for what the message is will be the same whenever it is sent. A refusal for who sends it may
    // concern the second sending of one that was accepted the first time.
    match error.code() {
        Some(
            Code::KIND_FORBIDDEN | Code::BAD_REFERENCE | Code::BODY_TOO_LARGE | Code::DURABILITY_FORBIDDEN,
        ) => Outcome::Refused,
        _ => Outcome::Unknown,
    }
}
