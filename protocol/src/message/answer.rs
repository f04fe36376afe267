//! What the server says because this client asked. Numbers newer than this library: see [`super::server`].

use super::encoder::Encoder;
use super::layout;
use super::value::{ConversationKind, Durability, Role};
use super::{Heads, List, MemberList, verify};
use crate::code::Code;
use crate::fault::Fault;
use crate::frame::FrameType;
use crate::generated as wire;
use crate::id::{ConversationId, UserId};

/// The answer to `Hello`: the session stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welcome<'a> {
    /// The protocol version spoken from here on.
    pub version: u16,
    /// The session, for logs and support.
    pub session: u64,
    /// Who the token says the user is.
    pub user: UserId,
    /// The user's name.
    pub name: &'a str,
    /// Send something at least this often.
    pub heartbeat_ms: u32,
    /// Largest frame the server takes, header included; it sends none that are larger.
    pub frame_bytes_max: u32,
    /// Largest body of a publish.
    pub body_bytes_max: u32,
    /// Publishes that may be without an answer at a time.
    pub publish_window: u16,
    /// The server's clock, milliseconds since 1970.
    pub server_time_ms: u64,
    /// The newest sequences of the conversations in Hello's cursors that are at hand.
    pub heads: Heads<'a>,
}

impl<'a> Welcome<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let heads = self.heads.iter().map(|head| wire::HeadEntry::new(&head.conversation.wire(), head.head));
        let heads = Some(encoder.builder.create_vector_from_iter(heads));
        let name = Some(encoder.builder.create_string(self.name));
        let fixed = wire::WelcomeFixed::new(
            &self.user.wire(),
            self.session,
            self.server_time_ms,
            self.heartbeat_ms,
            self.frame_bytes_max,
            self.body_bytes_max,
            self.version,
            self.publish_window,
        );
        let args = wire::WelcomeArgs { fixed: Some(&fixed), name, heads };
        let root = wire::Welcome::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::Welcome, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Welcome<'_>>(FrameType::Welcome, body)?;
        let fixed = table.fixed();
        Ok(Self {
            version: fixed.version(),
            session: fixed.session(),
            user: UserId::from_bytes(fixed.user().0),
            name: table.name(),
            heartbeat_ms: fixed.heartbeat_ms(),
            frame_bytes_max: fixed.frame_bytes_max(),
            body_bytes_max: fixed.body_bytes_max(),
            publish_window: fixed.publish_window(),
            server_time_ms: fixed.server_time_ms(),
            heads: List::wire(table.heads()),
        })
    }
}

/// A `Publish` was accepted, and is as durable as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Where it was published.
    pub conversation: ConversationId,
    /// Which publish of this device.
    pub client_sequence: u64,
    /// Its place in the conversation; 0 for a duplicate that is older than what the server remembers (W-43).
    pub sequence: u64,
    /// When it was accepted, milliseconds since 1970.
    pub server_time_ms: u64,
    /// What was reached.
    pub durability: Durability,
    /// It had been accepted before.
    pub duplicate: bool,
}

impl Ack {
    /// Appends the frame to `out`.
    #[inline]
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::AckFixed::new(
            &self.conversation.wire(),
            self.client_sequence,
            self.sequence,
            self.server_time_ms,
            self.durability.wire(),
            self.duplicate,
        );
        layout::write(FrameType::Ack, &fixed.0, out);
    }

    #[inline]
    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Ack<'_>, _>(FrameType::Ack, body, |table| table.fixed().0)?;
        let fixed = wire::AckFixed(fixed);
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            client_sequence: fixed.client_sequence(),
            sequence: fixed.sequence(),
            server_time_ms: fixed.server_time_ms(),
            durability: Durability::from_number(fixed.durability().0).unwrap_or(Durability::Memory),
            duplicate: fixed.duplicate(),
        })
    }
}

/// A request other than `Publish` was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which request; 0 for `Refresh`, which has no number.
    pub request: u32,
    /// What it was about; zero if about no conversation.
    pub conversation: ConversationId,
    /// The sequence of the entry that it made; 0 if it made none.
    pub sequence: u64,
}

impl Done {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::DoneFixed::new(&self.conversation.wire(), self.sequence, self.request);
        layout::write(FrameType::Done, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Done<'_>, _>(FrameType::Done, body, |table| table.fixed().0)?;
        let fixed = wire::DoneFixed(fixed);
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            sequence: fixed.sequence(),
        })
    }
}

/// A request was refused; the connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject<'a> {
    /// Which request; 0 for a publish, a cursor of Hello, or a `Refresh`.
    pub request: u32,
    /// What it was about; zero if about no conversation.
    pub conversation: ConversationId,
    /// Which publish of this device; 0 if it was none.
    pub client_sequence: u64,
    /// Why, whose fault, whether to retry.
    pub code: Code,
    /// Not before; 0: as the code says.
    pub retry_after_ms: u32,
    /// For people; may be empty, then [`Code::text`] says it.
    pub reason: &'a str,
}

impl<'a> Reject<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let reason = Some(encoder.builder.create_string(self.reason));
        let fixed = wire::RejectFixed::new(
            &self.conversation.wire(),
            self.client_sequence,
            self.request,
            self.retry_after_ms,
            self.code.number(),
        );
        let root =
            wire::Reject::create(&mut encoder.builder, &wire::RejectArgs { fixed: Some(&fixed), reason });
        encoder.frame(FrameType::Reject, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Reject<'_>>(FrameType::Reject, body)?;
        let fixed = table.fixed();
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            client_sequence: fixed.client_sequence(),
            code: Code(fixed.code()),
            retry_after_ms: fixed.retry_after_ms(),
            reason: table.reason(),
        })
    }
}

/// One member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Who.
    pub user: UserId,
    /// The user's name.
    pub name: &'a str,
    /// What they may do.
    pub role: Role,
}

/// The answer to `Join`, to `Open` and to each cursor of `Hello`: live messages after `head` follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joined<'a> {
    /// Which request; 0 for a cursor of Hello.
    pub request: u32,
    /// Which conversation.
    pub conversation: ConversationId,
    /// Its name.
    pub name: &'a str,
    /// What this user may do.
    pub role: Role,
    /// The newest sequence; what is after it comes live.
    pub head: u64,
    /// The oldest sequence that is kept.
    pub first: u64,
    /// The last client sequence accepted from this device: the next one is one more.
    pub client_sequence: u64,
    /// How many members there are.
    pub members_count: u32,
    /// Some of them, in the order of their ids; the rest by `Members`.
    pub members: MemberList<'a>,
    /// What it is.
    pub kind: ConversationKind,
    /// Up to where this user has read, on any device.
    pub read: u64,
    /// Up to where a device of this user has it.
    pub delivered: u64,
    /// No wake-ups before that, milliseconds since 1970; 0: not muted, `u64::MAX`: for ever.
    pub muted_until_ms: u64,
}

impl<'a> Joined<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let members = Some(encoder.members(self.members));
        let name = Some(encoder.builder.create_string(self.name));
        let fixed = wire::JoinedFixed::new(
            &self.conversation.wire(),
            self.head,
            self.first,
            self.client_sequence,
            self.request,
            self.members_count,
            self.role.wire(),
        );
        let args = wire::JoinedArgs {
            fixed: Some(&fixed),
            name,
            members,
            kind: self.kind.wire(),
            read: self.read,
            delivered: self.delivered,
            muted_until_ms: self.muted_until_ms,
        };
        let root = wire::Joined::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::Joined, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Joined<'_>>(FrameType::Joined, body)?;
        let fixed = table.fixed();
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            name: table.name(),
            role: Role::from_number(fixed.role().0).unwrap_or(Role::Reader),
            head: fixed.head(),
            first: fixed.first(),
            client_sequence: fixed.client_sequence(),
            members_count: fixed.members_count(),
            members: List::wire(table.members()),
            kind: ConversationKind::from_number(table.kind().0).unwrap_or(ConversationKind::Group),
            read: table.read(),
            delivered: table.delivered(),
            muted_until_ms: table.muted_until_ms(),
        })
    }
}

/// The answer to `Members`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemberPage<'a> {
    /// Which request.
    pub request: u32,
    /// Which conversation.
    pub conversation: ConversationId,
    /// In the order of their ids.
    pub members: MemberList<'a>,
    /// The `after` of the next request.
    pub next: UserId,
    /// There are no more.
    pub complete: bool,
}

impl<'a> MemberPage<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let members = Some(encoder.members(self.members));
        let fixed = wire::MemberPageFixed::new(
            &self.conversation.wire(),
            &self.next.wire(),
            self.request,
            self.complete,
        );
        let args = wire::MemberPageArgs { fixed: Some(&fixed), members };
        let root = wire::MemberPage::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::MemberPage, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::MemberPage<'_>>(FrameType::MemberPage, body)?;
        let fixed = table.fixed();
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            members: List::wire(table.members()),
            next: UserId::from_bytes(fixed.next().0),
            complete: fixed.complete(),
        })
    }
}

/// The answer to `Fetch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// Which request.
    pub request: u32,
    /// Which conversation.
    pub conversation: ConversationId,
    /// First sequence this page answers for; 0 with `to` 0: none.
    pub from: u64,
    /// Last sequence this page answers for. What lies between and is not in `frames` is not kept.
    pub to: u64,
    /// The newest sequence of the conversation.
    pub head: u64,
    /// There is no more in the direction asked for.
    pub complete: bool,
    /// Whole `Message` frames in ascending order, for [`crate::frame::split`].
    pub frames: &'a [u8],
    /// For a view of what is current: whole `Message` frames of the edits, deletes and reactions that are
    /// about sequences from `from` to `to` and count, in ascending order.
    pub amendments: &'a [u8],
}

impl<'a> Page<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::PageFixed::new(
            &self.conversation.wire(),
            self.from,
            self.to,
            self.head,
            self.request,
            self.complete,
        );
        if self.amendments.is_empty() {
            return layout::write_with_body(FrameType::Page, &fixed.0, self.frames, out);
        }
        let amendments = Some(encoder.builder.create_vector(self.amendments));
        let frames = Some(encoder.builder.create_vector(self.frames));
        let args = wire::PageArgs { fixed: Some(&fixed), frames, amendments };
        let root = wire::Page::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::Page, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let read = |table: wire::Page<'a>| {
            let amendments = table.amendments().map_or(&[][..], |amendments| amendments.bytes());
            (table.fixed().0, table.frames().bytes(), amendments)
        };
        let (fixed, frames, amendments) =
            verify::fixed_bytes_and_more::<wire::Page<'_>, _, _>(FrameType::Page, body, read)?;
        let fixed = wire::PageFixed(fixed);
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            from: fixed.from(),
            to: fixed.to(),
            head: fixed.head(),
            complete: fixed.complete(),
            frames,
            amendments,
        })
    }
}

/// The answer to `Ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// What Ping carried.
    pub token: u64,
    /// The server's clock, milliseconds since 1970.
    pub server_time_ms: u64,
}

impl Pong {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        layout::write(FrameType::Pong, &wire::PongFixed::new(self.token, self.server_time_ms).0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Pong<'_>, _>(FrameType::Pong, body, |table| table.fixed().0)?;
        let fixed = wire::PongFixed(fixed);
        Ok(Self { token: fixed.token(), server_time_ms: fixed.server_time_ms() })
    }
}
