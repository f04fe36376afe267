//! The server of the model: one thread, one owner for all conversations, nothing on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringwire_protocol::code::Code;
use ringwire_protocol::frame;
use ringwire_protocol::limits::FRAME_BYTES_MAX;
use ringwire_protocol::message::{
    Ack, ClientFrame, ConversationKind, Done, Durability, Encoder, Fetch, GoAway, Head, Joined, Message,
    Page, Pong, Publish, Reject, Role, ServerFrame, Welcome,
};
use ringwire_protocol::ws::handshake::{parse_request, response};
use ringwire_protocol::ws::{self, Decoder, Opcode};
use ringwire_protocol::{ConversationId, DeviceId, UserId};

use super::world::Plan;
use crate::core::Random;

/// One accepted publish.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) device: DeviceId,
    pub(super) client_sequence: u64,
    pub(super) body: Vec<u8>,
    durable_at: Duration,
}

#[derive(Debug, Default)]
struct Device {
    last: u64,
    /// Where its publishes stand.
    accepted: BTreeMap<u64, u64>,
    /// The newest session that has published: as the client counts them, and as they came.
    session: (u64, u64),
}

#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// The entry of sequence n is at n - 1.
    pub(super) entries: Vec<Entry>,
    durable: u64,
    devices: BTreeMap<DeviceId, Device>,
}

#[derive(Debug)]
pub(super) struct Session {
    decoder: Option<Decoder>,
    input: Vec<u8>,
    pub(super) output: Vec<u8>,
    device: Option<DeviceId>,
    /// As the client counts its sessions, where that is believed, and as they came.
    order: (u64, u64),
    /// Those fed live.
    live: BTreeSet<ConversationId>,
    /// Those it hears the head of.
    heads: BTreeSet<ConversationId>,
    /// Acknowledgements that wait until their sequence is durable.
    acks: Vec<(ConversationId, u64, u64, bool)>,
}

#[derive(Debug)]
pub(super) struct Server {
    plan: Plan,
    random: Random,
    pub(super) conversations: BTreeMap<ConversationId, (String, Conversation)>,
    pub(super) sessions: BTreeMap<u64, Session>,
    last_session: u64,
    greeted: u64,
    encoder: Encoder,
    /// Whether it still misbehaves.
    pub(super) chaos: bool,
}

impl Server {
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
        Self {
            plan,
            random: Random::new(seed),
            conversations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last_session: 0,
            greeted: 0,
            encoder: Encoder::new(),
            chaos: true,
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.chaos && self.random.next_u64() % 100 < percent
    }

    pub(super) fn open(&mut self) -> u64 {
        self.last_session += 1;
        let session = Session {
            decoder: None,
            input: Vec::new(),
            output: Vec::new(),
            device: None,
            order: (0, 0),
            live: BTreeSet::new(),
            heads: BTreeSet::new(),
            acks: Vec::new(),
        };
        self.sessions.insert(self.last_session, session);
        self.last_session
    }

    pub(super) fn receive(&mut self, now: Duration, id: u64, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.input.extend_from_slice(bytes);
        if session.decoder.is_none() {
            let Some((upgrade, consumed)) = parse_request(&session.input).expect("a proper request") else {
                return;
            };
            assert!(upgrade.protocol_offered && upgrade.path == ws::PATH);
            session.output.extend(response(&upgrade));
            session.input.drain(..consumed);
            session.decoder = Some(Decoder::new(ws::Role::Server, FRAME_BYTES_MAX));
        }
        let mut input = std::mem::take(&mut session.input);
        let mut decoder = session.decoder.take().expect("just made");
        let mut rest = &mut input[..];
        while let Some(event) = decoder.next(&mut rest).expect("proper framing") {
            if let ws::Event::Message { text, data } = event {
                assert!(!text);
                let mut frames = data;
                while let Some(frame) = frame::split(&mut frames, FRAME_BYTES_MAX).expect("whole frames") {
                    let frame = ClientFrame::decode(frame).expect("a valid frame");
                    self.on_frame(now, id, &frame);
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.decoder = Some(decoder);
        }
    }

    fn send(&mut self, id: u64, frames: &[ServerFrame<'_>]) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let mut bytes = Vec::new();
        for frame in frames {
            frame.encode(&mut self.encoder, &mut bytes);
        }
        ws::write_message(&mut session.output, Opcode::Binary, &bytes, None);
    }

    fn reject(
        &mut self,
        id: u64,
        request: u32,
        conversation: ConversationId,
        client_sequence: u64,
        code: Code,
    ) {
        let retry_after_ms = if code.reconnect() { (self.random.next_u64() % 300) as u32 } else { 0 };
        let reject = Reject { request, conversation, client_sequence, code, retry_after_ms, reason: "" };
        self.send(id, &[ServerFrame::Reject(reject)]);
    }

    fn on_frame(&mut self, now: Duration, id: u64, frame: &ClientFrame<'_>) {
        match frame {
            ClientFrame::Hello(hello) => {
                self.greeted += 1;
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.device = Some(hello.device);
                    session.order = (if self.plan.counted { hello.attempt } else { 0 }, self.greeted);
                }
                let welcome = Welcome {
                    version: 1,
                    session: id,
                    user: UserId::from_bytes(*hello.device.as_bytes()),
                    name: "user",
                    heartbeat_ms: 5_000,
                    frame_bytes_max: FRAME_BYTES_MAX as u32,
                    body_bytes_max: 1024,
                    publish_window: 1 + (self.random.next_u64() % 20) as u16,
                    server_time_ms: 0,
                    heads: Default::default(),
                };
                self.send(id, &[ServerFrame::Welcome(welcome)]);
                for cursor in hello.cursors {
                    if self.chance(10) {
                        self.reject(id, 0, cursor.conversation, 0, Code::OVERLOADED);
                    } else {
                        self.joined(id, 0, cursor.conversation);
                    }
                }
            }
            ClientFrame::Join(join) => {
                let conversation = ConversationId::from_name(join.name);
                self.conversations
                    .entry(conversation)
                    .or_insert_with(|| (join.name.into(), Conversation::default()));
                if self.chance(10) {
                    self.reject(id, join.request, conversation, 0, Code::OVERLOADED);
                } else {
                    self.joined(id, join.request, conversation);
                }
            }
            ClientFrame::Open(open) => self.joined(id, open.request, open.conversation),
            ClientFrame::Publish(publish) => self.on_publish(now, id, publish),
            ClientFrame::Fetch(fetch) => self.on_fetch(id, fetch),
            ClientFrame::Ping(ping) => {
                self.send(id, &[ServerFrame::Pong(Pong { token: ping.token, server_time_ms: 0 })]);
            }
            ClientFrame::Leave(leave) => {
                let done = Done { request: leave.request, conversation: leave.conversation, sequence: 0 };
                self.send(id, &[ServerFrame::Done(done)]);
            }
            _ => {}
        }
    }

    fn joined(&mut self, id: u64, request: u32, conversation: ConversationId) {
        let Some(device) = self.sessions.get(&id).and_then(|session| session.device) else { return };
        let Some((name, known)) = self.conversations.get_mut(&conversation) else { return };
        let standing = known.devices.entry(device).or_default();
        let name = name.clone();
        let joined = Joined {
            request,
            conversation,
            name: &name,
            role: Role::Member,
            head: known.durable,
            first: 1,
            client_sequence: standing.last,
            members_count: 1,
            members: Default::default(),
            kind: ConversationKind::Group,
            read: 0,
            delivered: 0,
            muted_until_ms: 0,
        };
        self.send(id, &[ServerFrame::Joined(joined)]);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heads.remove(&conversation);
            session.live.insert(conversation);
        }
    }

    fn on_publish(&mut self, now: Duration, id: u64, publish: &Publish<'_>) {
        let (conversation, number) = (publish.conversation, publish.client_sequence);
        if self.plan.finals && publish.body.starts_with(b"bad") {
            return self.reject(id, 0, conversation, number, Code::BODY_TOO_LARGE);
        }
        if self.chance(5) {
            return self.reject(id, 0, conversation, number, Code::OVERLOADED);
        }
        let durable_at = now + Duration::from_millis(self.random.next_u64() % 40);
        let order = self.sessions[&id].order;
        let device = self.sessions[&id].device.expect("Hello came first");
        let (_, known) = self.conversations.get_mut(&conversation).expect("joined");
        let standing = known.devices.entry(device).or_default();
        if self.plan.fenced && standing.session > order {
            return self.reject(id, 0, conversation, number, Code::REPLACED);
        }
        standing.session = standing.session.max(order);
        let session = self.sessions.get_mut(&id).expect("it sent this");
        if let Some(&sequence) = standing.accepted.get(&number) {
            // What a superseded session sends late is nobody's concern.
            let current = standing.session == order;
            assert!(!current || number + 64 > standing.last, "resent after it was forgotten");
            session.acks.push((conversation, number, sequence, true));
        } else if number == standing.last + 1 {
            standing.last = number;
            let sequence = known.entries.len() as u64 + 1;
            standing.accepted.insert(number, sequence);
            let body = publish.body.to_vec();
            known.entries.push(Entry { device, client_sequence: number, body, durable_at });
            session.acks.push((conversation, number, sequence, false));
        } else {
            assert!(number > standing.last, "every accepted number is remembered");
            self.reject(id, 0, conversation, number, Code::SEQUENCE_GAP);
        }
    }

    fn on_fetch(&mut self, id: u64, fetch: &Fetch) {
        if self.chance(10) {
            return self.reject(id, fetch.request, fetch.conversation, 0, Code::HISTORY_UNAVAILABLE);
        }
        let few = if self.chance(50) { 1 + self.random.next_u64() % 3 } else { u64::from(fetch.limit) };
        let (_, known) = self.conversations.get(&fetch.conversation).expect("joined");
        let head = known.durable;
        let to = head.min(fetch.from + few.min(u64::from(fetch.limit)) - 1);
        let mut frames = Vec::new();
        for sequence in fetch.from..=to {
            message(fetch.conversation, sequence, known).encode(&mut self.encoder, &mut frames);
        }
        let from = fetch.from;
        let page = Page {
            request: fetch.request,
            conversation: fetch.conversation,
            from,
            to,
            head,
            complete: to == head,
            frames: &frames,
            amendments: &[],
        };
        self.send(id, &[ServerFrame::Page(page)]);
    }

    /// Makes entries durable, tells who wants to know, and acknowledges.
    pub(super) fn tick(&mut self, now: Duration) {
        let ids: Vec<ConversationId> = self.conversations.keys().copied().collect();
        for id in ids {
            let Some((_, known)) = self.conversations.get_mut(&id) else { continue };
            let before = known.durable;
            while known.entries.get(known.durable as usize).is_some_and(|entry| entry.durable_at <= now) {
                known.durable += 1;
            }
            let after = known.durable;
            if after > before {
                self.fan_out(id, before + 1, after);
            }
        }
        for session in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.acknowledge(session);
        }
    }

    fn fan_out(&mut self, id: ConversationId, from: u64, to: u64) {
        for session in self.sessions.keys().copied().collect::<Vec<_>>() {
            let turn_down = self.chance(5);
            let Some(state) = self.sessions.get_mut(&session) else { continue };
            if turn_down && state.live.remove(&id) {
                state.heads.insert(id);
            }
            let mut bytes = Vec::new();
            if state.live.contains(&id) {
                let (_, known) = &self.conversations[&id];
                for sequence in from..=to {
                    message(id, sequence, known).encode(&mut self.encoder, &mut bytes);
                }
            } else if state.heads.contains(&id) {
                ServerFrame::Head(Head { conversation: id, head: to }).encode(&mut self.encoder, &mut bytes);
            } else {
                continue;
            }
            ws::write_message(&mut state.output, Opcode::Binary, &bytes, None);
        }
    }

    fn acknowledge(&mut self, session: u64) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let (durable, waiting) =
            std::mem::take(&mut state.acks).into_iter().partition(|(conversation, _, sequence, _)| {
                self.conversations[conversation].1.durable >= *sequence
            });
        state.acks = waiting;
        let durable: Vec<(ConversationId, u64, u64, bool)> = durable;
        for (conversation, client_sequence, sequence, duplicate) in durable {
            let durability = Durability::Synced;
            let ack =
                Ack { conversation, client_sequence, sequence, server_time_ms: 0, durability, duplicate };
            self.send(session, &[ServerFrame::Ack(ack)]);
        }
    }

    pub(super) fn go_away(&mut self, session: u64) {
        if self.sessions.get(&session).is_none_or(|session| session.device.is_none()) {
            return;
        }
        let go_away =
            GoAway { code: Code::GOING_AWAY, not_before_ms: 50, jitter_ms: 200, reason: "", address: "" };
        self.send(session, &[ServerFrame::GoAway(go_away)]);
    }

    /// The process dies and starts again: sessions and what was not durable are gone.
    pub(super) fn restart(&mut self) {
        self.sessions.clear();
        for (_, known) in self.conversations.values_mut() {
            known.entries.truncate(known.durable as usize);
            for device in known.devices.values_mut() {
                device.session = (0, 0);
                let durable = known.durable;
                device.accepted.retain(|_, sequence| *sequence <= durable);
                device.last = device.accepted.keys().next_back().copied().unwrap_or(0);
            }
        }
    }
}

fn message(id: ConversationId, sequence: u64, known: &Conversation) -> Message<'_> {
    let entry = &known.entries[sequence as usize - 1];
    Message {
        conversation: id,
        sequence,
        time_ms: 0,
        sender: UserId::from_bytes(*entry.device.as_bytes()),
        origin: entry.device.origin(),
        client_sequence: entry.client_sequence,
        reference: 0,
        kind: ringwire_protocol::message::Kind::Text,
        body: &entry.body,
    }
}
