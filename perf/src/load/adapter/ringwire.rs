//! Ringwire's own protocol, by its codec and without its client.

use ringwire_protocol::frame::{self, FrameType};
use ringwire_protocol::id::{ConversationId, DeviceId};
use ringwire_protocol::message::{
    Close, Cursor, Direction, Durability, Encoder, Fetch, Hello, Join, Kind, Open, Ping, Publish,
    ServerFrame, VERSION, View,
};
use ringwire_protocol::ws;

use super::websocket;
use super::{Adapter, Item, Role, Step, Who};

const FRAME_BYTES_MAX: usize = 1 << 20;

/// How a server of ours is spoken to.
#[derive(Clone, Debug)]
pub struct Ringwire {
    /// Joins the names of rooms, so that runs against one server do not meet.
    pub prefix: String,
    /// What publishes ask for.
    pub durability: Durability,
    /// How frames lie on the stream.
    pub framing: Framing,
}

/// How frames lie on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// In WebSocket messages, after an upgrade.
    WebSocket,
    /// One behind the other, as over QUIC.
    Bare,
}

/// Steps of setting up, after the upgrade: one for the welcome, one per answer that is awaited.
const UPGRADE: u8 = 0;
const WELCOME: u8 = 1;
/// The first step in which answers are counted down; the step is this plus how many are missing.
const ANSWERS: u8 = 2;

/// Added to a room's number in the request that opens it, where joining it has the number itself.
const OPENED: u32 = 1 << 20;

impl Ringwire {
    /// The name of a room.
    #[must_use]
    pub fn room(&self, room: u32) -> String {
        format!("{}-{room}", self.prefix)
    }

    /// The id of a room.
    #[must_use]
    pub fn conversation(&self, room: u32) -> ConversationId {
        ConversationId::from_name(&self.room(room))
    }

    fn device(&self, who: &Who) -> DeviceId {
        DeviceId::from_name(&format!("{}-{}", self.prefix, who.index))
    }

    fn hello(&self, who: &Who, out: &mut Vec<u8>) {
        let token = format!("dev:u{}", who.user);
        let cursor = match who.role {
            Role::Resumer { room, after, .. } => {
                Some(Cursor { conversation: self.conversation(room), sequence: after })
            }
            _ => None,
        };
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            device: self.device(who),
            capabilities: 0,
            token: &token,
            agent: "perf",
            cursors: cursor.as_slice().into(),
            attempt: 0,
        };
        self.say(out, |encoder, frame| hello.encode(encoder, frame));
    }

    fn fetch(&self, conversation: ConversationId, from: u64, out: &mut Vec<u8>) {
        let fetch = Fetch {
            request: 1,
            conversation,
            from,
            limit: 256,
            direction: Direction::Forward,
            view: View::Raw,
        };
        self.say(out, |encoder, frame| fetch.encode(encoder, frame));
    }

    /// Appends one frame.
    fn say(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let mut frame = Vec::new();
        write(&mut Encoder::new(), &mut frame);
        match self.framing {
            Framing::WebSocket => websocket::frame(websocket::BINARY, &frame, out),
            Framing::Bare => out.extend_from_slice(&frame),
        }
    }

    /// The frames of a unit.
    fn frames<'a>(&self, unit: &'a [u8], each: &mut dyn FnMut(frame::Frame<'a>)) -> Result<(), String> {
        let mut payload = match self.framing {
            Framing::Bare => unit,
            Framing::WebSocket => match websocket::payload(unit) {
                (websocket::BINARY, payload) => payload,
                (websocket::CLOSE, payload) => return Err(websocket::close_text(payload)),
                _ => return Ok(()),
            },
        };
        while let Some(frame) = split(&mut payload)? {
            each(frame);
        }
        Ok(())
    }

    /// Says what follows the welcome; how many answers to await.
    fn after_welcome(&self, who: &Who, out: &mut Vec<u8>) -> usize {
        match &who.role {
            Role::Idle => 0,
            Role::Resumer { .. } => 1,
            Role::Subscriber(rooms) | Role::Publisher(rooms) => {
                for room in rooms {
                    let name = self.room(*room);
                    self.say(out, |encoder, frame| {
                        Join { request: *room, name: &name }.encode(encoder, frame)
                    });
                }
                rooms.len()
            }
        }
    }

    /// One answer came: whether it counts, and what is said to it.
    fn on_answer(&self, who: &Who, answer: &ServerFrame<'_>, out: &mut Vec<u8>) -> Result<bool, String> {
        match (answer, &who.role) {
            (ServerFrame::Joined(joined), Role::Publisher(_)) => {
                // It publishes and receives nothing: unlike a subscriber it gives the feed back.
                let (request, conversation) = (joined.request, joined.conversation);
                self.say(out, |encoder, frame| Close { request, conversation }.encode(encoder, frame));
                Ok(false)
            }
            (ServerFrame::Joined(joined), Role::Resumer { after, missed, .. }) if *missed > 0 => {
                if joined.head != after + u64::from(*missed) {
                    return Err(format!("the head is {}, not {missed} messages after {after}", joined.head));
                }
                self.fetch(joined.conversation, after + 1, out);
                Ok(false)
            }
            (ServerFrame::Joined(joined), Role::Subscriber(_)) if joined.request < OPENED => {
                // Large conversations feed only those who have them open.
                let (request, conversation) = (joined.request + OPENED, joined.conversation);
                self.say(out, |encoder, frame| {
                    Open { request, conversation, after: joined.head }.encode(encoder, frame);
                });
                Ok(false)
            }
            (ServerFrame::Joined(_), _) | (ServerFrame::Done(_), Role::Publisher(_)) => Ok(true),
            (ServerFrame::Page(page), Role::Resumer { after, missed, .. }) => {
                let last = check_page(page.frames, page.from)?;
                if !page.complete {
                    self.fetch(page.conversation, last + 1, out);
                } else if last != after + u64::from(*missed) {
                    return Err(format!("resuming after {after} gave up to {last}, not {missed} messages"));
                }
                Ok(page.complete)
            }
            (ServerFrame::Message(_), _) => Ok(false),
            (ServerFrame::Reject(reject), _) => Err(format!("{}: {}", reject.code.name(), reject.reason)),
            (other, _) => Err(format!("{:?} came while setting up", other.kind())),
        }
    }
}

/// Checks that a page has dense sequences from `from`; the last of them.
fn check_page(mut frames: &[u8], from: u64) -> Result<u64, String> {
    let mut next = from;
    while let Some(frame) = split(&mut frames)? {
        match ServerFrame::decode(frame) {
            Ok(ServerFrame::Message(message)) if message.sequence == next => next += 1,
            other => return Err(format!("message {next} was to come in a page, not {other:?}")),
        }
    }
    if next == from { Err("a page without messages came".to_owned()) } else { Ok(next - 1) }
}

fn split<'a>(bytes: &mut &'a [u8]) -> Result<Option<frame::Frame<'a>>, String> {
    frame::split(bytes, FRAME_BYTES_MAX).map_err(|fault| fault.to_string())
}

/// Takes a frame off the stream, if there is a whole one.
fn take_frame<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let body = u32::from_le_bytes(*input.first_chunk()?) as usize;
    let (frame, rest) = input.split_at_checked(frame::HEADER_BYTES + body)?;
    *input = rest;
    Some(frame)
}

impl Adapter for Ringwire {
    fn begin(&self, who: &Who, out: &mut Vec<u8>) {
        match self.framing {
            Framing::WebSocket => websocket::upgrade(ws::PATH, Some(ws::SUBPROTOCOL), out),
            Framing::Bare => self.hello(who, out),
        }
    }

    #[inline]
    fn unit<'a>(&self, step: u8, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        match self.framing {
            Framing::WebSocket => websocket::unit(step > UPGRADE, input),
            Framing::Bare => Ok(take_frame(input)),
        }
    }

    fn set_up(&self, who: &Who, step: &mut u8, unit: &[u8], out: &mut Vec<u8>) -> Result<Step, String> {
        if *step == UPGRADE {
            *step = WELCOME;
            if self.framing == Framing::WebSocket {
                self.hello(who, out);
                return Ok(Step::Waits);
            }
        }
        let mut outcome = Ok(());
        self.frames(unit, &mut |frame| {
            if outcome.is_err() {
                return;
            }
            outcome = ServerFrame::decode(frame).map_err(|fault| fault.to_string()).and_then(|answer| {
                if *step == WELCOME {
                    let ServerFrame::Welcome(_) = answer else {
                        return self.on_answer(who, &answer, out).map(drop);
                    };
                    let awaited = self.after_welcome(who, out);
                    *step =
                        ANSWERS + u8::try_from(awaited).map_err(|_| "too many rooms of one connection")?;
                } else if self.on_answer(who, &answer, out)? {
                    *step -= 1;
                }
                Ok(())
            });
        })?;
        outcome?;
        Ok(if *step == ANSWERS { Step::Ready } else { Step::Waits })
    }

    #[inline]
    fn items<'a>(&self, unit: &'a [u8], each: &mut dyn FnMut(Item<'a>)) -> Result<(), String> {
        let mut refused = None;
        self.frames(unit, &mut |frame| match frame.kind {
            FrameType::Message => each(Item::Message(frame.bytes)),
            FrameType::Ack => each(Item::Ack),
            FrameType::Pong => each(Item::Echo(frame.body)),
            FrameType::Reject => refused = Some(frame),
            _ => each(Item::Other),
        })?;
        match refused.map(ServerFrame::decode) {
            None => Ok(()),
            Some(Ok(ServerFrame::Reject(reject))) => {
                Err(format!("{}: {}", reject.code.name(), reject.reason))
            }
            Some(other) => Err(format!("{other:?}")),
        }
    }

    fn body<'a>(&self, message: &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        let mut bytes = message;
        let frame = split(&mut bytes)?;
        match frame.map(ServerFrame::decode) {
            Some(Ok(ServerFrame::Message(message))) => {
                Ok((message.kind == Kind::Application).then_some(message.body))
            }
            other => Err(format!("no message: {other:?}")),
        }
    }

    fn sequence(&self, message: &[u8]) -> Option<u64> {
        let mut bytes = message;
        let frame = split(&mut bytes).ok()??;
        match ServerFrame::decode(frame) {
            Ok(ServerFrame::Message(message)) => Some(message.sequence),
            _ => None,
        }
    }

    fn publish(&self, _publisher: u32, room: u32, nth: u64, body: &[u8], out: &mut Vec<u8>) {
        let publish = Publish {
            conversation: self.conversation(room),
            client_sequence: nth,
            reference: 0,
            kind: Kind::Application,
            durability: self.durability,
            body,
        };
        self.say(out, |encoder, frame| publish.encode(encoder, frame));
    }

    fn echo(&self, token: u64, out: &mut Vec<u8>) {
        self.say(out, |encoder, frame| Ping { token }.encode(encoder, frame));
    }
}
