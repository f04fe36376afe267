//! What the server says because something happened. Numbers newer than this library: see [`super::server`].

use super::encoder::Encoder;
use super::layout;
use super::value::{ConversationKind, GapCause, Kind, PresenceState, ReceiptKind, Role};
use super::{InboxList, List, PresenceList, verify};
use crate::code::Code;
use crate::fault::Fault;
use crate::frame::FrameType;
use crate::generated as wire;
use crate::id::{ConversationId, UserId};

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
        layout::write_with_body(FrameType::Message, &fixed.0, self.body, out);
    }

    #[inline]
    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let read = |table: wire::Message<'a>| (table.fixed().0, table.body().bytes());
        let (fixed, bytes) = verify::fixed_and_bytes::<wire::Message<'_>, _>(FrameType::Message, body, read)?;
        let fixed = wire::MessageFixed(fixed);
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            sequence: fixed.sequence(),
            time_ms: fixed.time_ms(),
            sender: UserId::from_bytes(fixed.sender().0),
            origin: fixed.origin(),
            client_sequence: fixed.client_sequence(),
            reference: fixed.reference(),
            kind: Kind::from_number(fixed.kind().0).unwrap_or(Kind::Unknown),
            body: bytes,
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
        layout::write(FrameType::Head, &wire::HeadFixed::new(&self.conversation.wire(), self.head).0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Head<'_>, _>(FrameType::Head, body, |table| table.fixed().0)?;
        let fixed = wire::HeadFixed(fixed);
        Ok(Self { conversation: ConversationId::from_bytes(fixed.conversation().0), head: fixed.head() })
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
    /// Grows from frame to frame of a connection where frames may overtake each other (W-72); 0: not said.
    pub number: u64,
}

impl<'a> Presence<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let entries = self
            .entries
            .iter()
            .map(|entry| wire::PresenceEntry::new(&entry.user.wire(), entry.seen_ms, entry.state.wire()));
        let entries = Some(encoder.builder.create_vector_from_iter(entries));
        let args = wire::PresenceArgs { entries, number: self.number };
        let root = wire::Presence::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::Presence, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Presence<'_>>(FrameType::Presence, body)?;
        Ok(Self { entries: List::wire(table.entries()), number: table.number() })
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
        layout::write(FrameType::TypingNotice, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::TypingNotice<'_>, _>(FrameType::TypingNotice, body, |table| {
            table.fixed().0
        })?;
        let fixed = wire::TypingNoticeFixed(fixed);
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            user: UserId::from_bytes(fixed.user().0),
            active: fixed.active(),
        })
    }
}

/// A member has read up to here, or a device of the member has it.
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
    /// Which of the two.
    pub kind: ReceiptKind,
}

impl Receipt {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::ReceiptFixed::new(
            &self.conversation.wire(),
            &self.user.wire(),
            self.sequence,
            self.time_ms,
        );
        if self.kind == ReceiptKind::Read {
            return layout::write(FrameType::Receipt, &fixed.0, out);
        }
        let args = wire::ReceiptArgs { fixed: Some(&fixed), kind: self.kind.wire() };
        let root = wire::Receipt::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::Receipt, root, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let read = |table: wire::Receipt<'_>| (table.fixed().0, table.kind().0);
        let (fixed, kind) =
            verify::fixed_and_more::<wire::Receipt<'_>, _, u8>(FrameType::Receipt, body, read)?;
        let fixed = wire::ReceiptFixed(fixed);
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            user: UserId::from_bytes(fixed.user().0),
            sequence: fixed.sequence(),
            time_ms: fixed.time_ms(),
            // The lesser claim, of a kind that is newer than this library.
            kind: ReceiptKind::from_number(kind).unwrap_or(ReceiptKind::Delivered),
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
        layout::write(FrameType::Gap, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Gap<'_>, _>(FrameType::Gap, body, |table| table.fixed().0)?;
        let fixed = wire::GapFixed(fixed);
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            from: fixed.from(),
            to: fixed.to(),
            cause: GapCause::from_number(fixed.cause().0).unwrap_or(GapCause::Lost),
        })
    }
}

/// How many members are there and how far they are, for who asked with `WatchCounts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Where.
    pub conversation: ConversationId,
    /// Members who are online.
    pub online: u32,
    /// The newest sequence when this was counted.
    pub sequence: u64,
    /// Members who have it on a device.
    pub delivered: u32,
    /// Members who have read it.
    pub read: u32,
}

impl Counts {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::CountsFixed::new(
            &self.conversation.wire(),
            self.sequence,
            self.online,
            self.delivered,
            self.read,
        );
        layout::write(FrameType::Counts, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Counts<'_>, _>(FrameType::Counts, body, |table| table.fixed().0)?;
        let fixed = wire::CountsFixed(fixed);
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            online: fixed.online(),
            sequence: fixed.sequence(),
            delivered: fixed.delivered(),
            read: fixed.read(),
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

/// One conversation of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxEntry<'a> {
    /// Which.
    pub conversation: ConversationId,
    /// Its newest sequence.
    pub head: u64,
    /// Up to where the user has read, on any device.
    pub read: u64,
    /// Up to where a device of the user has it.
    pub delivered: u64,
    /// How many messages after `read` there are for the user.
    pub unread: u64,
    /// No wake-ups before that, milliseconds since 1970; 0: not muted, `u64::MAX`: for ever.
    pub muted_until_ms: u64,
    /// When the newest message was accepted, milliseconds since 1970.
    pub time_ms: u64,
    /// What the user may do there.
    pub role: Role,
    /// What it is.
    pub kind: ConversationKind,
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
