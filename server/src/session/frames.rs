//! What a client may ask, one frame type after the other.

use bytes::Bytes;
use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::fault::check_name;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{
    ClientFrame, Done, Fetch, Hello, Join, Pong, Publish, ReceiptKind, Refresh, Reject, VERSION, Welcome,
};

use super::{Session, Sessions};
use crate::clock::Now;
use crate::conversation::{BUSY_RETRY_MS, is_direct_name};
use crate::fanout::letter::{Answers, Author, JoinNames, Request, owner_of};
use crate::fanout::mesh::Mesh;
use crate::limits::{FETCHES_PER_SESSION, PUBLISH_WINDOW};
use crate::transport::connection::Stage;

impl Sessions {
    pub(super) fn on_client_frame(
        &mut self,
        now: Now,
        id: ConnectionId,
        frame: ClientFrame<'_>,
        mesh: &mut Mesh,
    ) {
        match frame {
            ClientFrame::Hello(hello) => self.on_hello(now, id, &hello, mesh),
            ClientFrame::Publish(publish) => self.on_publish(id, &publish, mesh),
            ClientFrame::Join(join) => self.on_join(id, &join, mesh),
            ClientFrame::Leave(leave) => {
                let Some(author) = self.author_of(id) else { return };
                let (request, conversation) = (leave.request, leave.conversation);
                self.ask(id, conversation, request, Request::Leave { author, request, conversation }, mesh);
            }
            ClientFrame::Open(open) => self.on_open(id, open.request, open.conversation, mesh),
            ClientFrame::Close(close) => self.on_close(id, close.request, close.conversation),
            ClientFrame::Fetch(fetch) => self.on_fetch(id, &fetch, mesh),
            ClientFrame::Members(members) => {
                let Some(author) = self.author_of(id) else { return };
                let (request, conversation) = (members.request, members.conversation);
                let (after, limit) = (members.after, members.limit);
                let letter = Request::Members { author, request, conversation, after, limit };
                self.ask(id, conversation, request, letter, mesh);
            }
            ClientFrame::Ping(ping) => {
                let pong = Pong { token: ping.token, server_time_ms: now.unix_ms };
                self.say(id, |encoder, out| pong.encode(encoder, out));
            }
            ClientFrame::Refresh(refresh) => self.on_refresh(now, id, &refresh, mesh),
            ClientFrame::Create(create) => self.on_create(id, &create, mesh),
            ClientFrame::Direct(direct) => self.on_direct(id, &direct, mesh),
            ClientFrame::Change(change) => self.on_change(id, &change, mesh),
            ClientFrame::Mute(mute) => self.on_mute(id, &mute, mesh),
            ClientFrame::Typing(typing) => self.on_typing(now, id, &typing, mesh),
            ClientFrame::Watch(watch) => self.on_watch(now, id, &watch, mesh),
            ClientFrame::Register(register) => self.on_register(now, id, &register, mesh),
            ClientFrame::Unregister(unregister) => self.on_unregister(now, id, unregister, mesh),
            ClientFrame::WatchCounts(watch) => self.on_watch_counts(now, id, watch, mesh),
            ClientFrame::Settings(settings) => self.on_settings(id, settings, mesh),
            ClientFrame::Read(read) => {
                self.on_cursor(id, read.conversation, ReceiptKind::Read, read.sequence, mesh);
            }
            ClientFrame::Delivered(delivered) => {
                let (conversation, sequence) = (delivered.conversation, delivered.sequence);
                self.on_cursor(id, conversation, ReceiptKind::Delivered, sequence, mesh);
            }
        }
    }

    fn on_hello(&mut self, now: Now, id: ConnectionId, hello: &Hello<'_>, mesh: &mut Mesh) {
        if !(hello.version_min..=hello.version_max).contains(&VERSION) {
            let fault = ringwire_protocol::fault::Fault::UnsupportedVersion {
                min: hello.version_min,
                max: hello.version_max,
            };
            return self.on_fault(now, id, &fault, mesh);
        }
        if self.draining {
            return self.close(now, id, Code::SHUTTING_DOWN, "the server is stopping", mesh);
        }
        let identity = match self.terms.authenticator.verify(hello.token, now.unix_ms) {
            Ok(identity) => identity,
            Err(fault) => {
                self.counters.faults += 1;
                return self.close(now, id, fault.code(), &fault.to_string(), mesh);
            }
        };
        let number = self.next_number(now);
        let session = Session {
            number,
            identity,
            origin: hello.device.origin(),
            attempt: hello.attempt,
            heard: true,
            proof_s: 0,
            fetches: 0,
            publishes: 0,
            attaching: 0,
        };
        let author = self.author(id, &session);
        let terms = std::sync::Arc::clone(&self.terms);
        let welcome = Welcome {
            version: VERSION,
            session: number,
            user: session.identity.user,
            name: session.identity.name(),
            heartbeat_ms: terms.heartbeat_ms,
            frame_bytes_max: terms.limits.frame_bytes_max as u32,
            body_bytes_max: terms.limits.body_bytes_max as u32,
            publish_window: PUBLISH_WINDOW,
            server_time_ms: now.unix_ms,
            heads: Default::default(),
        };
        self.say(id, |encoder, out| welcome.encode(encoder, out));
        if let Some(connection) = self.get_mut(id) {
            connection.stage = Stage::Live(Box::new(session));
            self.counters.signed_in += 1;
        }
        self.sign_in(author, hello.capabilities, mesh);
        for cursor in hello.cursors.iter() {
            let conversation = cursor.conversation;
            let letter = Request::Attach { author, request: 0, conversation, open: false };
            self.attach(id, 0, conversation, letter, mesh);
        }
    }

    fn on_refresh(&mut self, now: Now, id: ConnectionId, refresh: &Refresh<'_>, mesh: &mut Mesh) {
        let identity = match self.terms.authenticator.verify(refresh.token, now.unix_ms) {
            Ok(identity) => identity,
            Err(fault) => return self.close(now, id, fault.code(), &fault.to_string(), mesh),
        };
        let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) else { return };
        if session.identity.user == identity.user {
            session.identity = identity;
            let done = Done { request: 0, conversation: ConversationId::ZERO, sequence: 0 };
            self.say(id, |encoder, out| done.encode(encoder, out));
        } else {
            let reason = "the new token belongs to another user; connect again for that one";
            self.close(now, id, Code::USER_CHANGED, reason, mesh);
        }
    }

    fn on_publish(&mut self, id: ConnectionId, publish: &Publish<'_>, mesh: &mut Mesh) {
        let Some(author) = self.author_of(id) else { return };
        let body_bytes_max = self.terms.limits.body_bytes_max;
        let mut reject = Reject {
            request: 0,
            conversation: publish.conversation,
            client_sequence: publish.client_sequence,
            code: Code::BODY_TOO_LARGE,
            retry_after_ms: 0,
            reason: "",
        };
        if publish.body.len() > body_bytes_max {
            let reason = format!("a body of {} bytes exceeds {body_bytes_max}", publish.body.len());
            return self.reject(id, &Reject { reason: &reason, ..reject });
        }
        let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) else { return };
        if session.publishes >= PUBLISH_WINDOW {
            reject.code = Code::WINDOW_EXCEEDED;
            let reason = format!("{PUBLISH_WINDOW} publishes are unanswered, as many as Welcome allows");
            return self.reject(id, &Reject { reason: &reason, ..reject });
        }
        session.publishes += 1;
        let letter = Request::Publish {
            author,
            conversation: publish.conversation,
            client_sequence: publish.client_sequence,
            reference: publish.reference,
            kind: publish.kind,
            durability: publish.durability,
            body: Bytes::copy_from_slice(publish.body),
        };
        if mesh.request(owner_of(publish.conversation, mesh.shards()), letter).is_err() {
            reject.code = Code::OVERLOADED;
            reject.retry_after_ms = BUSY_RETRY_MS;
            reject.reason = "the conversation's shard is behind; send again";
            self.reject(id, &reject);
            if let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) {
                session.answered(Answers::Publish);
            }
        }
    }

    fn on_join(&mut self, id: ConnectionId, join: &Join<'_>, mesh: &mut Mesh) {
        let Some(author) = self.author_of(id) else { return };
        let conversation = ConversationId::from_name(join.name);
        if let Err(fault) = check_name(join.name) {
            // The connection is in order; only this request is not.
            return self.refuse_request(id, join.request, conversation, fault.code(), &fault.to_string());
        }
        let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) else { return };
        let request = join.request;
        if !session.identity.may_join(join.name) || is_direct_name(join.name) {
            // A member need not be allowed to join: it is in already.
            return self.on_open(id, request, conversation, mesh);
        }
        let names =
            Box::new(JoinNames { conversation: join.name.into(), user: session.identity.name().into() });
        self.attach(id, request, conversation, Request::Join { author, request, names }, mesh);
    }

    pub(super) fn on_open(
        &mut self,
        id: ConnectionId,
        request: u32,
        conversation: ConversationId,
        mesh: &mut Mesh,
    ) {
        let Some(author) = self.author_of(id) else { return };
        self.attach(
            id,
            request,
            conversation,
            Request::Attach { author, request, conversation, open: true },
            mesh,
        );
    }

    pub(super) fn attach(
        &mut self,
        id: ConnectionId,
        request: u32,
        conversation: ConversationId,
        letter: Request,
        mesh: &mut Mesh,
    ) {
        let topic = self.subscribers.find(conversation);
        let held_max = self.terms.limits.subscriptions_per_connection;
        let Some(connection) = self.get_mut(id) else { return };
        let known = connection.subscriptions.iter().any(|held| Some(held.topic) == topic);
        let asked = connection.session().map_or(0, |session| usize::from(session.attaching));
        let held = connection.subscriptions.len() + asked;
        // One that it receives already takes no further place.
        if held >= held_max && !known {
            let reason = format!("this connection receives {held} conversations, as many as allowed");
            return self.refuse_request(id, request, conversation, Code::TOO_MANY_OPEN, &reason);
        }
        if self.ask(id, conversation, request, letter, mesh)
            && let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut())
        {
            session.attaching = session.attaching.saturating_add(1);
        }
    }

    /// No longer on screen: still attached, but a large conversation is only announced from now on.
    fn on_close(&mut self, id: ConnectionId, request: u32, conversation: ConversationId) {
        self.set_open(id, conversation, false);
        let done = Done { request, conversation, sequence: 0 };
        self.say(id, |encoder, out| done.encode(encoder, out));
    }

    fn on_fetch(&mut self, id: ConnectionId, fetch: &Fetch, mesh: &mut Mesh) {
        let Some(author) = self.author_of(id) else { return };
        let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) else { return };
        let (request, conversation) = (fetch.request, fetch.conversation);
        let has_enough = session.fetches >= FETCHES_PER_SESSION;
        if has_enough || self.is_full_of_pages(id) {
            let reason = "wait for the pages asked for before asking for more";
            return self.refuse_request(id, request, conversation, Code::OVERLOADED, reason);
        }
        let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) else { return };
        session.fetches += 1;
        let letter = Request::Fetch {
            author,
            request,
            conversation,
            from: fetch.from,
            limit: fetch.limit,
            direction: fetch.direction,
            view: fetch.view,
        };
        if !self.ask(id, conversation, request, letter, mesh)
            && let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut())
        {
            session.answered(Answers::Fetch);
        }
    }

    /// Sends a request to the conversation's owner; rejects it as `busy` where the ring is full.
    pub(super) fn ask(
        &mut self,
        id: ConnectionId,
        conversation: ConversationId,
        request: u32,
        letter: Request,
        mesh: &mut Mesh,
    ) -> bool {
        let taken = mesh.request(owner_of(conversation, mesh.shards()), letter).is_ok();
        if !taken {
            let reason = "the conversation's shard is behind; ask again";
            self.refuse_request(id, request, conversation, Code::OVERLOADED, reason);
        }
        taken
    }

    pub(super) fn author_of(&self, id: ConnectionId) -> Option<Author> {
        let connection = self.connections.get(id.slot as usize)?.as_deref().filter(|live| live.id == id)?;
        connection.session().map(|session| self.author(id, session))
    }

    pub(super) fn refuse_request(
        &mut self,
        id: ConnectionId,
        request: u32,
        conversation: ConversationId,
        code: Code,
        reason: &str,
    ) {
        let retry_after_ms = if code == Code::OVERLOADED { BUSY_RETRY_MS } else { 0 };
        let reject = Reject { request, conversation, client_sequence: 0, code, retry_after_ms, reason };
        self.reject(id, &reject);
    }
}
