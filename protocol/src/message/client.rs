//! What clients send. Numbers out of range are faults here: a client that a server does not understand must
//! be told.

use super::encoder::Encoder;
use super::layout;
use super::manage::{Change, Create, Direct, Mute};
use super::personal::{Delivered, Register, Settings, Unregister, WatchCounts};
use super::value::{Direction, Durability, Kind, View};
use super::verify::{self, known, text};
use super::{Cursors, List, Users, direction};
use crate::fault::Fault;
use crate::frame::FrameType;
use crate::generated as wire;
use crate::id::{ConversationId, DeviceId, UserId};
use crate::limits;

direction! {
    /// Every frame that travels to the server.
    ClientFrame<'a> {
        Hello(Hello<'a>),
        Publish(Publish<'a>),
        Join(Join<'a>),
        Leave(Leave),
        Open(Open),
        Close(Close),
        Fetch(Fetch),
        Members(Members),
        Read(Read),
        Typing(Typing),
        Watch(Watch<'a>),
        Ping(Ping),
        Refresh(Refresh<'a>),
        Create(Create<'a>),
        Direct(Direct<'a>),
        Change(Change<'a>),
        Mute(Mute),
        Register(Register<'a>),
        Unregister(Unregister),
        Delivered(Delivered),
        WatchCounts(WatchCounts),
        Settings(Settings),
    }
}

/// Up to where a device has a conversation; 0: nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The conversation.
    pub conversation: ConversationId,
    /// Everything up to here has arrived, without a hole.
    pub sequence: u64,
}

/// The first frame of a connection (W-20). Answered by `Welcome`, then by a `Joined` or `Reject` per cursor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hello<'a> {
    /// Lowest protocol version the client speaks.
    pub version_min: u16,
    /// Highest protocol version the client speaks; not below `version_min`.
    pub version_max: u16,
    /// The device, the same on every connection of it.
    pub device: DeviceId,
    /// What the client can do beyond the version, one bit each; unknown bits are ignored.
    pub capabilities: u64,
    /// Who the user is, at most [`limits::TOKEN_BYTES_MAX`] bytes.
    pub token: &'a str,
    /// Name and version of the client's software, for logs; at most [`limits::AGENT_BYTES_MAX`] bytes.
    pub agent: &'a str,
    /// The conversations to resume, at most [`limits::CURSORS_MAX`].
    pub cursors: Cursors<'a>,
    /// Which connection of the device this is (W-27); 0: not said.
    pub attempt: u64,
}

impl<'a> Hello<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let cursors =
            self.cursors.iter().map(|cursor| wire::Cursor::new(&cursor.conversation.wire(), cursor.sequence));
        let builder = &mut encoder.builder;
        let cursors = Some(builder.create_vector_from_iter(cursors));
        let agent = Some(builder.create_string(self.agent));
        let token = Some(builder.create_string(self.token));
        let fixed =
            wire::HelloFixed::new(&self.device.wire(), self.capabilities, self.version_min, self.version_max);
        let attempt = self.attempt;
        let args = wire::HelloArgs { fixed: Some(&fixed), token, agent, cursors, attempt };
        let root = wire::Hello::create(builder, &args);
        encoder.frame(FrameType::Hello, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let kind = FrameType::Hello;
        let table = verify::root::<wire::Hello<'_>>(kind, body)?;
        let fixed = table.fixed();
        let (min, max) = (fixed.version_min(), fixed.version_max());
        if min > max {
            return Err(Fault::UnsupportedVersion { min, max });
        }
        let token = table.token();
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(Fault::TokenTooLong { bytes: token.len() });
        }
        let cursors = table.cursors();
        if cursors.len() > limits::CURSORS_MAX {
            return Err(Fault::TooManyCursors { count: cursors.len() });
        }
        Ok(Self {
            version_min: min,
            version_max: max,
            device: DeviceId::from_bytes(fixed.device().0),
            capabilities: fixed.capabilities(),
            token,
            agent: text(kind, "agent", table.agent(), limits::AGENT_BYTES_MAX)?,
            cursors: List::wire(cursors),
            attempt: table.attempt(),
        })
    }
}

/// One message. Idempotent by (device, conversation, `client_sequence`) for ever (W-40); answered by `Ack` or
/// `Reject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where to.
    pub conversation: ConversationId,
    /// Dense per device and conversation, from 1.
    pub client_sequence: u64,
    /// The sequence that an edit, delete or reaction is about; a reply may set it too; else 0.
    pub reference: u64,
    /// What it is.
    pub kind: Kind,
    /// How far it gets before it is acknowledged.
    pub durability: Durability,
    /// Opaque; how large it may be says `Welcome.body_bytes_max`, which the session checks (a `Reject`, not
    /// a close).
    pub body: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Appends the frame to `out`.
    #[inline]
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::PublishFixed::new(
            &self.conversation.wire(),
            self.client_sequence,
            self.reference,
            self.kind.wire(),
            self.durability.wire(),
        );
        layout::write_with_body(FrameType::Publish, &fixed.0, self.body, out);
    }

    #[inline]
    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let read = |table: wire::Publish<'a>| (table.fixed().0, table.body().bytes());
        let (fixed, bytes) = verify::fixed_and_bytes::<wire::Publish<'_>, _>(FrameType::Publish, body, read)?;
        let fixed = wire::PublishFixed(fixed);
        let (kind, durability) = (fixed.kind().0, fixed.durability().0);
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            client_sequence: fixed.client_sequence(),
            reference: fixed.reference(),
            kind: known(
                FrameType::Publish,
                "kind",
                kind,
                Kind::from_number(kind).filter(|kind| kind.is_sendable()),
            )?,
            durability: known(
                FrameType::Publish,
                "durability",
                durability,
                Durability::from_number(durability),
            )?,
            body: bytes,
        })
    }
}

/// Become a member of the conversation of that name, which is created where policy allows. Answered by
/// `Joined`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join<'a> {
    /// Comes back in the answer.
    pub request: u32,
    /// The name; the server rejects what [`crate::fault::check_name`] refuses, so that the connection stays.
    pub name: &'a str,
}

impl<'a> Join<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let name = Some(encoder.builder.create_string(self.name));
        let fixed = wire::JoinFixed::new(self.request);
        let root = wire::Join::create(&mut encoder.builder, &wire::JoinArgs { fixed: Some(&fixed), name });
        encoder.frame(FrameType::Join, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Join<'_>>(FrameType::Join, body)?;
        Ok(Self { request: table.fixed().request(), name: table.name() })
    }
}

/// Stop being a member. Answered by `Done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Comes back in the answer.
    pub request: u32,
    /// Which.
    pub conversation: ConversationId,
}

impl Leave {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::LeaveFixed::new(&self.conversation.wire(), self.request);
        layout::write(FrameType::Leave, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Leave<'_>, _>(FrameType::Leave, body, |table| table.fixed().0)?;
        let fixed = wire::LeaveFixed(fixed);
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
        })
    }
}

/// The conversation is on screen: feed it live. Answered by `Joined`; what lies between is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Comes back in the answer.
    pub request: u32,
    /// Which.
    pub conversation: ConversationId,
    /// The client's cursor.
    pub after: u64,
}

impl Open {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::OpenFixed::new(&self.conversation.wire(), self.after, self.request);
        layout::write(FrameType::Open, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Open<'_>, _>(FrameType::Open, body, |table| table.fixed().0)?;
        let fixed = wire::OpenFixed(fixed);
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            after: fixed.after(),
        })
    }
}

/// The conversation is not on screen any more. Answered by `Done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// Comes back in the answer.
    pub request: u32,
    /// Which.
    pub conversation: ConversationId,
}

impl Close {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::CloseFixed::new(&self.conversation.wire(), self.request);
        layout::write(FrameType::Close, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Close<'_>, _>(FrameType::Close, body, |table| table.fixed().0)?;
        let fixed = wire::CloseFixed(fixed);
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
        })
    }
}

/// Stored messages. Answered by `Page`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Comes back in the answer.
    pub request: u32,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// The first sequence wanted (forward), or the last one (backward; `u64::MAX`: the newest there is).
    pub from: u64,
    /// How many at most; the server may send fewer, up to [`limits::PAGE_MESSAGES_MAX`].
    pub limit: u16,
    /// Which way.
    pub direction: Direction,
    /// The log, or what is current of it.
    pub view: View,
}

impl Fetch {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::FetchFixed::new(
            &self.conversation.wire(),
            self.from,
            self.request,
            self.limit,
            self.direction.wire(),
        );
        if self.view == View::Raw {
            return layout::write(FrameType::Fetch, &fixed.0, out);
        }
        let args = wire::FetchArgs { fixed: Some(&fixed), view: self.view.wire() };
        let root = wire::Fetch::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::Fetch, root, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let read = |table: wire::Fetch<'_>| (table.fixed().0, table.view().0);
        let (fixed, view) = verify::fixed_and_more::<wire::Fetch<'_>, _, u8>(FrameType::Fetch, body, read)?;
        let fixed = wire::FetchFixed(fixed);
        let direction = fixed.direction().0;
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            from: fixed.from(),
            limit: fixed.limit(),
            direction: known(FrameType::Fetch, "direction", direction, Direction::from_number(direction))?,
            view: known(FrameType::Fetch, "view", view, View::from_number(view))?,
        })
    }
}

/// Members, in the order of their ids. Answered by `MemberPage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members {
    /// Comes back in the answer.
    pub request: u32,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// The last one known; zero: from the first.
    pub after: UserId,
    /// How many at most.
    pub limit: u16,
}

impl Members {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed =
            wire::MembersFixed::new(&self.conversation.wire(), &self.after.wire(), self.request, self.limit);
        layout::write(FrameType::Members, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Members<'_>, _>(FrameType::Members, body, |table| table.fixed().0)?;
        let fixed = wire::MembersFixed(fixed);
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            after: UserId::from_bytes(fixed.after().0),
            limit: fixed.limit(),
        })
    }
}

/// The user has read up to here, on any device. No answer; the highest one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Everything up to here.
    pub sequence: u64,
}

impl Read {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::ReadFixed::new(&self.conversation.wire(), self.sequence);
        layout::write(FrameType::Read, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Read<'_>, _>(FrameType::Read, body, |table| table.fixed().0)?;
        let fixed = wire::ReadFixed(fixed);
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            sequence: fixed.sequence(),
        })
    }
}

/// The user is typing, or has stopped. No answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typing {
    /// Where.
    pub conversation: ConversationId,
    /// `false`: stopped.
    pub active: bool,
}

impl Typing {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::TypingFixed::new(&self.conversation.wire(), self.active);
        layout::write(FrameType::Typing, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Typing<'_>, _>(FrameType::Typing, body, |table| table.fixed().0)?;
        let fixed = wire::TypingFixed(fixed);
        Ok(Self { conversation: ConversationId::from_bytes(fixed.conversation().0), active: fixed.active() })
    }
}

/// The users whose presence is wanted; replaces the list before it. Answered by `Done`, then `Presence` as it
/// changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch<'a> {
    /// Comes back in the answer.
    pub request: u32,
    /// Whom, at most [`limits::WATCHED_MAX`]; none: stop.
    pub users: Users<'a>,
}

impl<'a> Watch<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let users = Some(encoder.builder.create_vector_from_iter(self.users.iter().map(|user| user.wire())));
        let fixed = wire::WatchFixed::new(self.request);
        let root = wire::Watch::create(&mut encoder.builder, &wire::WatchArgs { fixed: Some(&fixed), users });
        encoder.frame(FrameType::Watch, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Watch<'_>>(FrameType::Watch, body)?;
        let users = table.users();
        if users.len() > limits::WATCHED_MAX {
            return Err(Fault::TooManyWatched { count: users.len() });
        }
        Ok(Self { request: table.fixed().request(), users: List::wire(users) })
    }
}

/// Are you there? Answered by `Pong`. Any frame counts as a sign of life; this one is for when there is
/// nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Comes back.
    pub token: u64,
}

impl Ping {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        layout::write(FrameType::Ping, &wire::PingFixed::new(self.token).0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Ping<'_>, _>(FrameType::Ping, body, |table| table.fixed().0)?;
        let fixed = wire::PingFixed(fixed);
        Ok(Self { token: fixed.token() })
    }
}

/// A new token for the same user, before the old one expires. Answered by `Done` or `Reject` with request 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh<'a> {
    /// The token, at most [`limits::TOKEN_BYTES_MAX`] bytes.
    pub token: &'a str,
}

impl<'a> Refresh<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let token = Some(encoder.builder.create_string(self.token));
        let root = wire::Refresh::create(&mut encoder.builder, &wire::RefreshArgs { token });
        encoder.frame(FrameType::Refresh, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let token = verify::root::<wire::Refresh<'_>>(FrameType::Refresh, body)?.token();
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(Fault::TokenTooLong { bytes: token.len() });
        }
        Ok(Self { token })
    }
}
