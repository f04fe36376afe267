//! A core with its server played by hand: frames in, frames out, both written as short lines.

mod connection;
mod early;
mod feed;
mod hostile;
mod model;
mod people;
mod presence;
mod publish;
mod requests;

use std::time::Duration;

use ringwire_protocol::code::Code;
use ringwire_protocol::frame;
use ringwire_protocol::limits::FRAME_BYTES_MAX;
use ringwire_protocol::message::{
    self, Ack, ClientFrame, ConversationKind, Durability, Encoder, Joined, Kind, Page, Reject, Role,
    ServerFrame, Welcome,
};
use ringwire_protocol::{ConversationId, DeviceId, UserId};

use super::{Cause, Config, Core, Draft, Event, PublishId, Start, State, Want};

/// Milliseconds.
fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn room(name: &str) -> ConversationId {
    ConversationId::from_name(name)
}

fn config() -> Config {
    Config::new(DeviceId::from_name("device"), "token")
}

/// Everything the core has said since it was last asked.
struct Rig {
    core: Core,
    now: Duration,
    encoder: Encoder,
    sent: Vec<String>,
    events: Vec<Event>,
    wants: Vec<Want>,
    last_request: u32,
    /// What the last `Hello` counted.
    attempt: u64,
    /// Whether `delivered` is noted as sent: most tests are not about it.
    delivered: bool,
}

impl Rig {
    fn new(config: Config) -> Self {
        Self::seeded(config, 1)
    }

    fn seeded(config: Config, seed: u64) -> Self {
        let mut rig = Self {
            core: Core::new(config, seed),
            now: ms(1_000),
            encoder: Encoder::new(),
            sent: Vec::new(),
            events: Vec::new(),
            wants: Vec::new(),
            last_request: 0,
            attempt: 0,
            delivered: false,
        };
        rig.core.start(rig.now);
        rig.settle();
        rig
    }

    /// A core that is connected and in the room "r", whose newest message is `head`, and whose server accepted
    /// `accepted` publishes of this device.
    fn joined(config: Config, start: Start, head: u64, accepted: u64) -> Self {
        let mut rig = Self::new(config);
        rig.connect();
        rig.core.join(rig.now, "r", start).expect("join");
        rig.settle();
        rig.joined_frame("r", head, 1, accepted);
        rig.forget();
        rig
    }

    /// Takes what the core has to say.
    fn settle(&mut self) {
        let mut out = Vec::new();
        while self.core.poll_frames(self.now, &mut out) {}
        let mut rest = &out[..];
        while let Some(frame) = frame::split(&mut rest, FRAME_BYTES_MAX).expect("whole frames") {
            let frame = ClientFrame::decode(frame).expect("a valid frame");
            if self.delivered || frame.kind() != frame::FrameType::Delivered {
                self.sent.push(describe(&frame));
            }
            if let ClientFrame::Hello(hello) = &frame {
                self.attempt = hello.attempt;
            }
            self.last_request = request_of(&frame).unwrap_or(self.last_request);
        }
        while let Some(event) = self.core.poll_event() {
            self.events.push(event);
        }
        while let Some(want) = self.core.poll_want() {
            self.wants.push(want);
        }
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.events.clear();
        self.wants.clear();
    }

    /// What was sent since the last look.
    #[track_caller]
    fn check_sent(&mut self, expected: &[&str]) {
        assert_eq!(self.sent, expected);
        self.sent.clear();
    }

    /// What happened since the last look, without states.
    #[track_caller]
    fn check_events(&mut self, expected: &[&str]) {
        let events: Vec<String> = self.events.drain(..).filter_map(|event| tell(&event)).collect();
        assert_eq!(events, expected);
    }

    fn frame(&mut self, frame: &ServerFrame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut self.encoder, &mut bytes);
        self.core.on_frames(self.now, &bytes);
        self.settle();
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.core.deadline().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.core.on_timer(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// Lets time pass until the core wants a connection.
    #[track_caller]
    fn pass_until_connect(&mut self) {
        self.wants.clear();
        while !matches!(self.wants.last(), Some(Want::Connect { .. })) {
            let due = self.core.deadline().expect("it will connect again");
            self.pass(due.saturating_sub(self.now));
        }
    }

    fn connect(&mut self) {
        self.core.on_connected(self.now);
        self.settle();
        self.welcome(64);
    }

    fn welcome(&mut self, publish_window: u16) {
        let welcome = Welcome {
            version: 1,
            session: 7,
            user: UserId::from_name("me"),
            name: "me",
            heartbeat_ms: 20_000,
            frame_bytes_max: FRAME_BYTES_MAX as u32,
            body_bytes_max: 1024,
            publish_window,
            server_time_ms: 1,
            heads: Default::default(),
        };
        self.frame(&ServerFrame::Welcome(welcome));
    }

    /// Joined, as the answer to the last request, or to a cursor if there was none.
    fn joined_frame(&mut self, name: &str, head: u64, first: u64, client_sequence: u64) {
        let request = std::mem::take(&mut self.last_request);
        let joined = Joined {
            request,
            conversation: room(name),
            name,
            role: Role::Member,
            head,
            first,
            client_sequence,
            members_count: 1,
            members: Default::default(),
            kind: ConversationKind::Group,
            read: 0,
            delivered: 0,
            muted_until_ms: 0,
        };
        self.frame(&ServerFrame::Joined(joined));
    }

    fn message(&mut self, sequence: u64) {
        let text = format!("m{sequence}");
        let message = wire_message(sequence, &text);
        self.frame(&ServerFrame::Message(message));
    }

    /// A page as the answer to the last request.
    fn page(&mut self, from: u64, to: u64, head: u64, sequences: &[u64]) {
        let mut frames = Vec::new();
        for &sequence in sequences {
            wire_message(sequence, &format!("m{sequence}")).encode(&mut self.encoder, &mut frames);
        }
        let request = std::mem::take(&mut self.last_request);
        let complete = to == head;
        let page = Page {
            request,
            conversation: room("r"),
            from,
            to,
            head,
            complete,
            frames: &frames,
            amendments: &[],
        };
        self.frame(&ServerFrame::Page(page));
    }

    fn ack(&mut self, client_sequence: u64, sequence: u64, duplicate: bool) {
        let ack = Ack {
            conversation: room("r"),
            client_sequence,
            sequence,
            server_time_ms: 5,
            durability: Durability::Synced,
            duplicate,
        };
        self.frame(&ServerFrame::Ack(ack));
    }

    fn reject(&mut self, client_sequence: u64, code: Code, retry_after_ms: u32) {
        self.reject_all(0, "r", client_sequence, code, retry_after_ms);
    }

    fn reject_request(&mut self, code: Code, retry_after_ms: u32) {
        let request = std::mem::take(&mut self.last_request);
        self.reject_all(request, "r", 0, code, retry_after_ms);
    }

    fn reject_all(
        &mut self,
        request: u32,
        name: &str,
        client_sequence: u64,
        code: Code,
        retry_after_ms: u32,
    ) {
        let conversation = room(name);
        let reject = Reject { request, conversation, client_sequence, code, retry_after_ms, reason: "" };
        self.frame(&ServerFrame::Reject(reject));
    }

    fn publish(&mut self, text: &str) -> PublishId {
        let publish = self.core.publish(self.now, room("r"), Draft::text(text)).expect("room for it");
        self.settle();
        publish
    }

    fn disconnect(&mut self, cause: Cause) {
        self.core.on_disconnected(self.now, cause);
        self.settle();
    }

    /// The connection breaks, and the next one is being made.
    fn lose(&mut self) {
        self.disconnect(Cause::Network("cut".into()));
        self.pass_until_connect();
        self.last_request = 0;
        self.sent.clear();
    }

    /// The connection breaks, and a new one is greeted.
    fn reconnect(&mut self) {
        self.lose();
        self.connect();
    }

    fn state(&self) -> Option<&State> {
        self.events
            .iter()
            .rev()
            .find_map(|event| if let Event::State(state) = event { Some(state) } else { None })
    }
}

fn wire_message(sequence: u64, text: &str) -> message::Message<'_> {
    message::Message {
        conversation: room("r"),
        sequence,
        time_ms: sequence.saturating_mul(10),
        sender: UserId::from_name("other"),
        origin: 1,
        client_sequence: sequence,
        reference: 0,
        kind: Kind::Text,
        body: text.as_bytes(),
    }
}

fn request_of(frame: &ClientFrame<'_>) -> Option<u32> {
    match frame {
        ClientFrame::Join(join) => Some(join.request),
        ClientFrame::Leave(leave) => Some(leave.request),
        ClientFrame::Open(open) => Some(open.request),
        ClientFrame::Close(close) => Some(close.request),
        ClientFrame::Fetch(fetch) => Some(fetch.request),
        ClientFrame::Members(members) => Some(members.request),
        ClientFrame::Watch(watch) => Some(watch.request),
        ClientFrame::Create(create) => Some(create.request),
        ClientFrame::Direct(direct) => Some(direct.request),
        ClientFrame::Change(change) => Some(change.request),
        ClientFrame::Mute(mute) => Some(mute.request),
        ClientFrame::Register(register) => Some(register.request),
        ClientFrame::Unregister(unregister) => Some(unregister.request),
        ClientFrame::WatchCounts(watch) => Some(watch.request),
        ClientFrame::Settings(settings) => Some(settings.request),
        _ => None,
    }
}

fn describe(frame: &ClientFrame<'_>) -> String {
    match frame {
        ClientFrame::Hello(hello) => {
            let cursors: Vec<String> =
                hello.cursors.iter().map(|cursor| format!("@{}", cursor.sequence)).collect();
            format!("hello {} [{}]", hello.token, cursors.join(" "))
        }
        ClientFrame::Publish(publish) => {
            format!("publish {} {}", publish.client_sequence, String::from_utf8_lossy(publish.body))
        }
        ClientFrame::Join(join) => format!("join {}", join.name),
        ClientFrame::Leave(_) => "leave".into(),
        ClientFrame::Open(open) => format!("open after {}", open.after),
        ClientFrame::Close(_) => "close".into(),
        ClientFrame::Fetch(fetch) => format!("fetch {} +{} {:?}", fetch.from, fetch.limit, fetch.direction),
        ClientFrame::Members(_) => "members".into(),
        ClientFrame::Read(read) => format!("read {}", read.sequence),
        ClientFrame::Typing(typing) => format!("typing {}", typing.active),
        ClientFrame::Watch(watch) => format!("watch {}", watch.users.len()),
        ClientFrame::Ping(_) => "ping".into(),
        ClientFrame::Refresh(refresh) => format!("refresh {}", refresh.token),
        ClientFrame::Create(create) => format!("create {} with {}", create.name, create.members.len()),
        ClientFrame::Direct(direct) => format!("direct {}", direct.name),
        ClientFrame::Change(change) => {
            format!("change {:?} {:?} {}", change.action, change.role, change.name)
        }
        ClientFrame::Mute(mute) => format!("mute {}", mute.until_ms),
        ClientFrame::Register(register) => format!("register {:?}", register.provider),
        ClientFrame::Unregister(_) => "unregister".into(),
        ClientFrame::Delivered(delivered) => format!("delivered {}", delivered.sequence),
        ClientFrame::WatchCounts(watch) => format!("counts {}", watch.active),
        ClientFrame::Settings(settings) => {
            format!("settings {} {}", settings.share_last_seen, settings.away)
        }
    }
}

/// An event as a short line; states are looked at by [`Rig::state`].
fn tell(event: &Event) -> Option<String> {
    Some(match event {
        Event::State(_) => return None,
        Event::Joined { membership, .. } => format!("joined @{} head {}", membership.cursor, membership.head),
        Event::Message(message) => message.text().unwrap_or("?").to_owned(),
        Event::Gap { gap, .. } => format!("gap {}-{} {}", gap.from, gap.to, gap.cause),
        Event::CaughtUp { head, .. } => format!("caught up {head}"),
        Event::Published { publish, published, .. } => {
            let twice = if published.duplicate { " again" } else { "" };
            format!("{publish} at {}{twice}", published.sequence)
        }
        Event::PublishFailed { publish, error, .. } => match error.code() {
            Some(code) => format!("{publish} failed {}", code.name()),
            None => format!("{publish} failed {error:?}"),
        },
        Event::Left { .. } => "left".into(),
        Event::Ended { error, .. } => format!("ended {}", error.code().map_or("", Code::name)),
        Event::History { history, .. } => format!("history of {}", history.messages.len()),
        Event::Members { page, .. } => format!("members {}", page.members.len()),
        Event::Done { .. } => "done".into(),
        Event::RequestFailed { error, .. } => match error.code() {
            Some(code) => format!("request failed {}", code.name()),
            None => format!("request failed {error:?}"),
        },
        Event::Typing { active, .. } => format!("typing {active}"),
        Event::Receipt { sequence, kind, .. } => format!("{kind:?} {sequence}"),
        Event::Counts { counts, .. } => {
            format!("counts {} {}/{} of {}", counts.online, counts.delivered, counts.read, counts.sequence)
        }
        Event::Inbox { entries, complete } => format!("inbox {} {complete}", entries.len()),
        Event::TokenWanted => "token wanted".into(),
        Event::Notice(error) => format!("notice {}", error.code().map_or("", Code::name)),
        other => format!("{other:?}"),
    })
}
