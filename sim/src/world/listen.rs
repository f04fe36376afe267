//! What the server says, as it leaves: each frame is told to everybody who can judge it.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use ringwire_protocol::ConversationId;
use ringwire_protocol::UserId;
use ringwire_protocol::code::Retry;
use ringwire_protocol::frame;
use ringwire_protocol::limits::FRAME_BYTES_CEILING;
use ringwire_protocol::message::{
    Action, Durability, GapCause, Kind, Membership, Message, Page, ServerFrame,
};

use super::{Checks, Counts, World};
use crate::check::amendments::CurrentPage;
use crate::check::exactly_once::{Acked, Author};
use crate::check::{Promise, Room, Verdict};
use crate::model::{Tap, Token};
use crate::network::SocketId;

/// What is known of one connection.
pub(super) struct Line {
    tap: Tap,
    user: UserId,
    origin: u64,
    life: u32,
}

impl Line {
    pub(super) fn new(user: UserId, origin: u64, life: u32) -> Self {
        Line { tap: Tap::default(), user, origin, life }
    }

    /// One that is read along by the client's end: what a server sends over QUIC is ciphertext.
    pub(super) fn of_stream(user: UserId, origin: u64, life: u32) -> Self {
        Line { tap: Tap::of_stream(), user, origin, life }
    }
}

/// Who is given each frame.
type Sink<'a> = dyn FnMut(&[u8], &ServerFrame<'_>) -> Verdict + 'a;

/// Who listens.
struct Listener<'a> {
    now_us: u64,
    socket: u32,
    user: UserId,
    origin: u64,
    life: u32,
    ids: &'a [ConversationId],
    current: &'a BTreeSet<(u32, u32)>,
    checks: &'a mut Checks,
    counts: &'a mut Counts,
}

impl World {
    /// Bytes leave for this socket.
    pub(super) fn hear(&mut self, id: SocketId, bytes: &[u8]) -> Verdict {
        self.hear_by(id, |tap, sink| tap.on_bytes(bytes, sink))
    }

    /// Whole frames came beside the stream of this connection.
    pub(super) fn hear_beside(&mut self, id: SocketId, bytes: &[u8]) -> Verdict {
        self.hear_by(id, |_, sink| Tap::on_beside(bytes, sink))
    }

    fn hear_by(&mut self, id: SocketId, read: impl FnOnce(&mut Tap, &mut Sink<'_>) -> Verdict) -> Verdict {
        let Line { tap, user, origin, life } = &mut self.lines[id.0 as usize];
        let mut listener = Listener {
            now_us: self.now_us,
            socket: id.0,
            user: *user,
            origin: *origin,
            life: *life,
            ids: &self.ids,
            current: &self.current,
            checks: &mut self.checks,
            counts: &mut self.counts,
        };
        let (now_us, trace) = (self.now_us, &self.trace);
        read(tap, &mut |bytes, frame| {
            trace.tell(now_us, || format!("socket {} <- {}", id.0, in_short(frame)));
            listener.hear(bytes, frame)
        })
    }
}

impl Listener<'_> {
    fn room(&self, id: ConversationId) -> Verdict<Room> {
        match self.ids.iter().position(|known| *known == id) {
            Some(room) => Ok(room),
            None => Promise::Isolation.broken(format!("the server speaks of {id}, which nobody joined")),
        }
    }

    fn hear(&mut self, bytes: &[u8], frame: &ServerFrame<'_>) -> Verdict {
        match frame {
            ServerFrame::Message(message) => self.hear_live(bytes, message),
            ServerFrame::Page(page) => self.hear_page(page),
            ServerFrame::Ack(ack) => {
                let room = self.room(ack.conversation)?;
                self.counts.acks += 1;
                self.counts.duplicates += u64::from(ack.duplicate);
                let synced = ack.durability == Durability::Synced;
                self.checks.durability.on_acknowledged(room, ack.sequence, synced);
                let author = Author { room, user: self.user, origin: self.origin };
                let acked = Acked { sequence: ack.sequence, duplicate: ack.duplicate, synced };
                self.checks.exactly_once.on_ack(author, ack.client_sequence, acked)
            }
            ServerFrame::Joined(joined) => {
                let room = self.room(joined.conversation)?;
                self.checks.durability.on_told(room, joined.head, "a head");
                self.checks.retention.on_told(room, joined.first - 1)?;
                self.checks.isolation.on_named(room, self.user, joined.head);
                let standing = (joined.read, joined.delivered);
                self.checks.receipts.on_standing(self.socket, room, self.user, standing)?;
                // The answer to a request opens; the one to a cursor does not.
                self.checks.order.on_attached(self.socket, room, joined.head, joined.request != 0)
            }
            ServerFrame::Receipt(receipt) => {
                let room = self.room(receipt.conversation)?;
                self.counts.receipts += 1;
                self.checks.durability.on_told(room, receipt.sequence, "a cursor");
                self.checks.isolation.on_notice(room, self.user);
                let (user, kind, sequence) = (receipt.user, receipt.kind, receipt.sequence);
                self.checks.receipts.on_receipt(self.socket, room, user, kind, sequence)
            }
            ServerFrame::TypingNotice(notice) => {
                let room = self.room(notice.conversation)?;
                self.counts.typing += 1;
                self.checks.typing.on_notice(self.now_us, self.socket, room, self.user, notice.user)
            }
            ServerFrame::Counts(counts) => {
                let room = self.room(counts.conversation)?;
                self.counts.counts += 1;
                self.checks.durability.on_told(room, counts.sequence, "a head");
                self.checks.isolation.on_notice(room, self.user);
                Ok(())
            }
            ServerFrame::Head(head) => {
                let room = self.room(head.conversation)?;
                self.checks.durability.on_told(room, head.head, "a head");
                self.checks.isolation.on_live(room, self.user, head.head);
                self.checks.order.on_head(self.socket, room, head.head);
                Ok(())
            }
            ServerFrame::Done(done) => {
                // Who closes is still told of what comes. Who leaves is let out by the entry that says so.
                if let (Ok(room), 0) = (self.room(done.conversation), done.sequence) {
                    self.checks.order.on_not_open(self.socket, room);
                }
                Ok(())
            }
            ServerFrame::Reject(reject) => {
                self.counts.rejects += 1;
                self.counts.busy += u64::from(reject.code.retry() == Retry::Later);
                Ok(())
            }
            ServerFrame::Gap(gap) if gap.cause == GapCause::Expired => {
                let room = self.room(gap.conversation)?;
                self.counts.expired += 1;
                self.checks.retention.on_told(room, gap.to)
            }
            ServerFrame::Gap(gap) => {
                let room = self.room(gap.conversation)?;
                self.checks.order.on_absent(room, gap.from, gap.to);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn hear_content(&mut self, room: Room, bytes: &[u8], message: &Message<'_>) -> Verdict {
        if let Some(frame) = self.checks.order.on_content(room, message.sequence, bytes)? {
            let synced = self.checks.exactly_once.is_synced(Token::of(message.body));
            self.checks.durability.on_shown(room, message.sequence, frame, synced);
        }
        Ok(())
    }

    fn hear_live(&mut self, bytes: &[u8], message: &Message<'_>) -> Verdict {
        self.counts.live += 1;
        let room = self.room(message.conversation)?;
        self.hear_content(room, bytes, message)?;
        self.checks.isolation.on_live(room, self.user, message.sequence);
        self.checks.order.on_live(self.socket, room, message.sequence)?;
        // The entry that lets the user out is the last one that any of its connections gets.
        if message.kind == Kind::Membership
            && let Ok(membership) = Membership::decode(message.body)
            && membership.user == self.user
            && matches!(membership.action, Action::Left | Action::Removed)
        {
            self.checks.order.on_detached(self.socket, room);
        }
        Ok(())
    }

    fn hear_page(&mut self, page: &Page<'_>) -> Verdict {
        self.counts.pages += 1;
        let room = self.room(page.conversation)?;
        let mut sequences = Vec::new();
        each_message(page.frames, |bytes, message| {
            sequences.push(message.sequence);
            self.hear_content(room, bytes, message)
        })?;
        self.checks.durability.on_told(room, page.head, "a head");
        if !self.current.contains(&(self.life, page.request)) {
            if let Some(last) = sequences.last() {
                self.checks.isolation.on_page(room, self.user, *last, page.head);
            }
            return self.checks.order.on_page(room, page.from, page.to, &sequences);
        }
        self.counts.current_pages += 1;
        let mut amendments = Vec::new();
        each_message(page.amendments, |bytes, message| {
            amendments.push(message.sequence);
            self.hear_content(room, bytes, message)
        })?;
        if page.from <= page.to {
            self.checks.isolation.on_page(room, self.user, page.to, page.head);
        }
        let kept = self.checks.retention.expired(room) + 1;
        if page.to < kept && sequences.is_empty() {
            // It was given up while it was read, and that was said before.
            return Ok(());
        }
        let (range, head, messages) = ((page.from, page.to), page.head, sequences);
        self.checks.amendments.on_page(CurrentPage { room, range, head, messages, amendments })
    }
}

/// A frame, for people.
fn in_short(frame: &ServerFrame<'_>) -> String {
    match frame {
        ServerFrame::Message(message) => format!("Message {} of {}", message.sequence, message.conversation),
        ServerFrame::Page(page) => {
            format!("Page {}..={} of {}, head {}", page.from, page.to, page.conversation, page.head)
        }
        ServerFrame::Joined(joined) => {
            format!("Joined {} at head {}, {joined:?}", joined.conversation, joined.head)
        }
        other => format!("{other:?}"),
    }
}

/// The messages of a page.
fn each_message(mut frames: &[u8], mut take: impl FnMut(&[u8], &Message<'_>) -> Verdict) -> Verdict {
    loop {
        let Ok(frame) = frame::split(&mut frames, FRAME_BYTES_CEILING) else {
            return Promise::Order.broken("a page holds bytes that are no frame");
        };
        let Some(frame) = frame else { return Ok(()) };
        match ServerFrame::decode(frame) {
            Ok(ServerFrame::Message(message)) => take(frame.bytes, &message)?,
            _ => return Promise::Order.broken("a page holds a frame that is no message"),
        }
    }
}

/// The messages of a payload: their bytes with the header of each, and what is the first frame in it.
fn each_in(payload: &Bytes, mut take: impl FnMut(Bytes, Option<ServerFrame<'_>>)) {
    let mut at = 0;
    while at < payload.len() {
        let header = match payload.get(at + 1).map_or(0, |byte| byte & 0x7f) {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let long = payload.get(at + 2..at + header).unwrap_or_default();
        let length = match header {
            2 => payload.get(at + 1).map_or(0, |byte| usize::from(byte & 0x7f)),
            _ => long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let end = (at + header + length).min(payload.len());
        let mut inside = payload.get(at + header..end).unwrap_or_default();
        let frame = frame::split(&mut inside, FRAME_BYTES_CEILING).ok().flatten();
        take(payload.slice(at..end), frame.and_then(|frame| ServerFrame::decode(frame).ok()));
        at = end;
    }
}

/// The planted loss of presence: what tells of one user only is thrown away.
pub(super) fn without_changes(payload: &Bytes) -> Bytes {
    let mut rest = BytesMut::new();
    each_in(payload, |bytes, frame| match frame {
        Some(ServerFrame::Presence(presence)) if presence.entries.len() == 1 => {}
        _ => rest.extend_from_slice(&bytes),
    });
    rest.freeze()
}

/// The planted repetition of what an inbox lists.
pub(super) fn with_twins(payload: &Bytes) -> Bytes {
    let mut doubled = BytesMut::new();
    each_in(payload, |bytes, frame| {
        doubled.extend_from_slice(&bytes);
        if let Some(ServerFrame::Inbox(inbox)) = frame
            && !inbox.entries.is_empty()
        {
            doubled.extend_from_slice(&bytes);
        }
    });
    doubled.freeze()
}

/// The planted overtaking: two consecutive messages of one conversation change places. `None`: there are none.
pub(super) fn swap_messages(payload: &Bytes) -> Option<Bytes> {
    let mut before: Option<(usize, usize, ConversationId)> = None;
    let mut at = 0;
    while at < payload.len() {
        let (header, length) = match payload.get(at + 1)? & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes([*payload.get(at + 2)?, *payload.get(at + 3)?]))),
            127 => return None,
            short => (2, usize::from(short)),
        };
        let end = at + header + length;
        let mut inside = payload.get(at + header..end)?;
        let message =
            match frame::split(&mut inside, FRAME_BYTES_CEILING).ok().flatten().map(ServerFrame::decode) {
                Some(Ok(ServerFrame::Message(message))) => Some(message.conversation),
                _ => None,
            };
        match (before, message) {
            (Some((start, middle, first)), Some(second)) if first == second => {
                let mut swapped = BytesMut::from(&payload[..start]);
                swapped.extend_from_slice(&payload[middle..end]);
                swapped.extend_from_slice(&payload[start..middle]);
                swapped.extend_from_slice(&payload[end..]);
                return Some(swapped.freeze());
            }
            _ => before = message.map(|conversation| (at, end, conversation)),
        }
        at = end;
    }
    None
}
