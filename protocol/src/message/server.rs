//! What the server sends. Numbers that are newer than this library are read as the least they can mean (W-8): a client
//! must survive a newer server and entries that newer clients wrote.

use super::encoder::{self, Encoder};
use super::value::{Durability, GapCause, Kind, PresenceState, Role};
use super::{Heads, InboxList, List, MemberList, PresenceList, direction, verify};
use crate::code::Code;
use crate::fault::Fault;
use crate::frame::FrameType;
use crate::generated as wire;
use crate::id::{ConversationId, UserId};

direction! {
    /// Every frame that travels to the client.
    ServerFrame<'a> {
        Welcome(Welcome<'a>),
        Ack(Ack),
        Done(Done),
        Reject(Reject<'a>),
        Message(Message<'a>),
        Joined(Joined<'a>),
        MemberPage(MemberPage<'a>),
        Head(Head),
        Page(Page<'a>),
        Presence(Presence<'a>),
        TypingNotice(TypingNotice),
        Receipt(Receipt),
        Gap(Gap),
        GoAway(GoAway<'a>),
        Pong(Pong),
        Inbox(Inbox<'a>),
    }
}

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
        encoder::fixed(FrameType::Ack, &fixed.0, out);
    }

    #[inline]
    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Ack<'_>>(FrameType::Ack, body)?;
        let fixed = table.fixed();
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
        encoder::fixed(FrameType::Done, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Done<'_>>(FrameType::Done, body)?;
        let fixed = table.fixed();
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

/// One message of a conversation: the same bytes in the journal, on every connection and in every `Page`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where.
    pub conversation: ConversationId,
    /// Its place: dense, from 1.
    pub sequence: u64,
    /// When it was accepted, milliseconds since 1970; never decreases within a conversation.
    pub time_ms: u64,
    /// Who.
    pub sender: UserId,
    /// The sending device, hashed ([`crate::DeviceId::origin`]); 0 for what the server wrote.
    pub origin: u64,
    /// The sender's own number; with `sender` and `origin` it tells a device its own message.
    pub client_sequence: u64,
    /// The sequence it is about, or 0.
    pub reference: u64,
    /// What it is.
    pub kind: Kind,
    /// Opaque.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Appends the frame to `out`.
    #[inline]
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::MessageFixed::new(
            &self.conversation.wire(),
            self.sequence,
            self.time_ms,
            &self.sender.wire(),
            self.origin,
            self.client_sequence,
            self.reference,
            self.kind.wire(),
        );
        encoder::fixed_and_bytes(FrameType::Message, &fixed.0, self.body, out);
    }

    #[inline]
    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Message<'_>>(FrameType::Message, body)?;
        let fixed = table.fixed();
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            sequence: fixed.sequence(),
            time_ms: fixed.time_ms(),
            sender: UserId::from_bytes(fixed.sender().0),
            origin: fixed.origin(),
            client_sequence: fixed.client_sequence(),
            reference: fixed.reference(),
            kind: Kind::from_number(fixed.kind().0).unwrap_or(Kind::Unknown),
            body: table.body().bytes(),
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
        let args = wire::JoinedArgs { fixed: Some(&fixed), name, members };
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

/// There is something new up to `head`; fetch it when it is wanted. Also an element of `Welcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Its newest sequence.
    pub head: u64,
}

impl Head {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        encoder::fixed(FrameType::Head, &wire::HeadFixed::new(&self.conversation.wire(), self.head).0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Head<'_>>(FrameType::Head, body)?;
        let fixed = table.fixed();
        Ok(Self { conversation: ConversationId::from_bytes(fixed.conversation().0), head: fixed.head() })
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
}

impl<'a> Page<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::PageFixed::new(
            &self.conversation.wire(),
            self.from,
            self.to,
            self.head,
            self.request,
            self.complete,
        );
        encoder::fixed_and_bytes(FrameType::Page, &fixed.0, self.frames, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Page<'_>>(FrameType::Page, body)?;
        let fixed = table.fixed();
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            from: fixed.from(),
            to: fixed.to(),
            head: fixed.head(),
            complete: fixed.complete(),
            frames: table.frames().bytes(),
        })
    }
}

/// One user's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceEntry {
    /// Who.
    pub user: UserId,
    /// Whether they are there.
    pub state: PresenceState,
    /// When they were last seen, milliseconds since 1970; 0: not said.
    pub seen_ms: u64,
}

/// Watched users came, went or changed. Never stored, and only the latest state counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Presence<'a> {
    /// Who.
    pub entries: PresenceList<'a>,
}

impl<'a> Presence<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let entries = self
            .entries
            .iter()
            .map(|entry| wire::PresenceEntry::new(&entry.user.wire(), entry.seen_ms, entry.state.wire()));
        let entries = Some(encoder.builder.create_vector_from_iter(entries));
        let root = wire::Presence::create(&mut encoder.builder, &wire::PresenceArgs { entries });
        encoder.frame(FrameType::Presence, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Presence<'_>>(FrameType::Presence, body)?;
        Ok(Self { entries: List::wire(table.entries()) })
    }
}

/// A member is typing, or has stopped; expires by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypingNotice {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// `false`: stopped.
    pub active: bool,
}

impl TypingNotice {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::TypingNoticeFixed::new(&self.conversation.wire(), &self.user.wire(), self.active);
        encoder::fixed(FrameType::TypingNotice, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::TypingNotice<'_>>(FrameType::TypingNotice, body)?;
        let fixed = table.fixed();
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            user: UserId::from_bytes(fixed.user().0),
            active: fixed.active(),
        })
    }
}

/// A member has read up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// Everything up to here.
    pub sequence: u64,
    /// When, milliseconds since 1970.
    pub time_ms: u64,
}

impl Receipt {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::ReceiptFixed::new(
            &self.conversation.wire(),
            &self.user.wire(),
            self.sequence,
            self.time_ms,
        );
        encoder::fixed(FrameType::Receipt, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Receipt<'_>>(FrameType::Receipt, body)?;
        let fixed = table.fixed();
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            user: UserId::from_bytes(fixed.user().0),
            sequence: fixed.sequence(),
            time_ms: fixed.time_ms(),
        })
    }
}

/// These sequences will not come on this connection: never silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where.
    pub conversation: ConversationId,
    /// First one missing.
    pub from: u64,
    /// Last one missing.
    pub to: u64,
    /// Why.
    pub cause: GapCause,
}

impl Gap {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::GapFixed::new(&self.conversation.wire(), self.from, self.to, self.cause.wire());
        encoder::fixed(FrameType::Gap, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Gap<'_>>(FrameType::Gap, body)?;
        let fixed = table.fixed();
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            from: fixed.from(),
            to: fixed.to(),
            cause: GapCause::from_number(fixed.cause().0).unwrap_or(GapCause::Lost),
        })
    }
}

/// The server is about to close this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway<'a> {
    /// Why; says whether to come back.
    pub code: Code,
    /// Come back no earlier than this after the frame arrived.
    pub not_before_ms: u32,
    /// Plus a random time up to this, so that not all come at once.
    pub jitter_ms: u32,
    /// For people; may be empty.
    pub reason: &'a str,
    /// Where to; empty: the same address.
    pub address: &'a str,
}

impl<'a> GoAway<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let address = Some(encoder.builder.create_string(self.address));
        let reason = Some(encoder.builder.create_string(self.reason));
        let fixed = wire::GoAwayFixed::new(self.not_before_ms, self.jitter_ms, self.code.number());
        let args = wire::GoAwayArgs { fixed: Some(&fixed), reason, address };
        let root = wire::GoAway::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::GoAway, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::GoAway<'_>>(FrameType::GoAway, body)?;
        let fixed = table.fixed();
        Ok(Self {
            code: Code(fixed.code()),
            not_before_ms: fixed.not_before_ms(),
            jitter_ms: fixed.jitter_ms(),
            reason: table.reason(),
            address: table.address(),
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
        encoder::fixed(FrameType::Pong, &wire::PongFixed::new(self.token, self.server_time_ms).0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Pong<'_>>(FrameType::Pong, body)?;
        let fixed = table.fixed();
        Ok(Self { token: fixed.token(), server_time_ms: fixed.server_time_ms() })
    }
}

/// One conversation of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxEntry<'a> {
    /// Which.
    pub conversation: ConversationId,
    /// Its newest sequence.
    pub head: u64,
    /// Up to where the user has read, on any device.
    pub read: u64,
    /// When the newest message was accepted, milliseconds since 1970.
    pub time_ms: u64,
    /// What the user may do there.
    pub role: Role,
    /// Its name.
    pub name: &'a str,
}

/// The user's conversations, newest first; follows `Welcome`, and again as it changes while nothing is open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inbox<'a> {
    /// Some or all of them.
    pub entries: InboxList<'a>,
    /// This was the last part of the list.
    pub complete: bool,
}

impl<'a> Inbox<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let entries = Some(encoder.inbox(self.entries));
        let fixed = wire::InboxFixed::new(self.complete);
        let root =
            wire::Inbox::create(&mut encoder.builder, &wire::InboxArgs { fixed: Some(&fixed), entries });
        encoder.frame(FrameType::Inbox, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Inbox<'_>>(FrameType::Inbox, body)?;
        Ok(Self { entries: List::wire(table.entries()), complete: table.fixed().complete() })
    }
}
