//! What the server sends, frame by frame: each is verified, read, and handed to whom it concerns.

use std::time::Duration;

use ringwire_protocol::ConversationId;
use ringwire_protocol::frame::{self, Frame};
use ringwire_protocol::message::{self, Ack, Done, GapCause, Joined, MemberPage, ServerFrame};
use tracing::{debug, warn};

use super::connection::Phase;
use super::content::{
    Draft, InboxEntry, Member, MemberPage as Members, Membership, Missing, Published, Start,
};
use super::conversation::Standing;
use super::event::{Event, PublishId, RequestId};
use super::outbox::{Acked, Landing};
use super::requests::{Ask, Request};
use super::timers::Holder;
use super::{Core, conversation::Conversation};
use crate::error::Error;
use crate::limits;

impl Core {
    /// Whole frames came, as they stand in one WebSocket message.
    pub fn on_frames(&mut self, now: Duration, mut frames: &[u8]) {
        while self.connection.is_up() {
            match frame::split(&mut frames, self.connection.frame_bytes_max.max(limits::FRAME_BYTES_TAKEN)) {
                Ok(Some(frame)) => self.on_frame(now, frame),
                Ok(None) => return,
                Err(fault) => return self.on_fault(Error::Peer(fault)),
            }
        }
    }

    /// One whole frame came.
    pub fn on_frame(&mut self, now: Duration, frame: Frame<'_>) {
        if !self.connection.is_up() {
            return;
        }
        self.connection.heard(now);
        match ServerFrame::decode(frame) {
            Ok(decoded) => self.on_decoded(now, decoded),
            Err(fault) => self.on_fault(Error::Peer(fault)),
        }
    }

    fn on_decoded(&mut self, now: Duration, frame: ServerFrame<'_>) {
        if !plausible(&frame) {
            return self.on_fault(Error::Contradiction("a sequence that no conversation can reach"));
        }
        let greeting = matches!(self.connection.phase, Phase::Greeting);
        match frame {
            ServerFrame::Welcome(welcome) => self.on_welcome(now, &welcome),
            ServerFrame::Reject(reject) => self.on_reject(now, &reject),
            ServerFrame::GoAway(go_away) => self.on_go_away(now, &go_away),
            _ if greeting => self.on_fault(Error::Contradiction("a frame before Welcome")),
            ServerFrame::Message(message) => self.on_message(now, &message),
            ServerFrame::Ack(ack) => self.on_ack(now, &ack),
            ServerFrame::Joined(joined) => self.on_joined(now, &joined),
            ServerFrame::Page(page) => self.on_page(now, &page),
            ServerFrame::Head(head) => self.on_head(now, head.conversation, head.head),
            ServerFrame::Gap(gap) => self.on_gap(now, &gap),
            ServerFrame::Done(done) => self.on_done(now, &done),
            ServerFrame::MemberPage(page) => self.on_member_page(&page),
            ServerFrame::TypingNotice(notice) => {
                self.on_typing(now, notice.conversation, notice.user, notice.active);
            }
            ServerFrame::Counts(counts) => self.on_counts(&counts),
            ServerFrame::Receipt(receipt) => self.events.push_back(Event::Receipt {
                conversation: receipt.conversation,
                user: receipt.user,
                sequence: receipt.sequence,
                time_ms: receipt.time_ms,
                kind: receipt.kind,
            }),
            ServerFrame::Presence(presence) => self.on_presence(&presence),
            ServerFrame::Inbox(inbox) => {
                let entries = inbox.entries.iter().map(InboxEntry::from_wire).collect();
                self.events.push_back(Event::Inbox { entries, complete: inbox.complete });
            }
            // It was heard; that is all it is for.
            ServerFrame::Pong(_) => {}
        }
    }

    fn on_message(&mut self, now: Duration, message: &message::Message<'_>) {
        // A user's sessions get the messages of all the user's conversations; not all are joined here.
        let Some(conversation) = self.conversations.get_mut(&message.conversation) else { return };
        conversation.feed.on_message(message, &self.config.limits, &mut self.events);
        // What was being typed is here.
        self.on_typing(now, message.conversation, message.sender, false);
        self.fed(now, message.conversation);
    }

    fn on_gap(&mut self, now: Duration, gap: &message::Gap) {
        let Some(conversation) = self.conversations.get_mut(&gap.conversation) else { return };
        if gap.cause == GapCause::Unavailable {
            // They are kept, so they will come: fetched, later.
            if conversation.feed.on_unavailable(gap.from, gap.to) {
                self.rest(now, gap.conversation, Duration::ZERO);
            }
            return;
        }
        conversation.feed.on_gap(
            gap.from,
            gap.to,
            Missing::Server(gap.cause),
            &self.config.limits,
            &mut self.events,
        );
        self.fed(now, gap.conversation);
    }

    fn on_head(&mut self, now: Duration, id: ConversationId, head: u64) {
        let Some(conversation) = self.conversations.get_mut(&id).filter(|known| known.attached) else {
            return;
        };
        // The server does not feed it live. It does so for those who have it open.
        let reopen = conversation.opened.is_none_or(|opened| now >= opened + limits::REOPEN_AFTER);
        if reopen {
            self.open(now, id);
        }
        self.on_news(now, id, head);
    }

    /// Everything up to `head` exists.
    fn on_news(&mut self, now: Duration, id: ConversationId, head: u64) {
        if let Some(conversation) = self.conversations.get_mut(&id).filter(|known| known.attached) {
            conversation.feed.on_head(head);
            self.fill(now, id);
        }
    }

    fn on_joined(&mut self, now: Duration, joined: &Joined<'_>) {
        let id = joined.conversation;
        let request = self.answer(joined.request);
        match &request {
            Some(Request { ask: Ask::Join(asked) | Ask::Open(asked) | Ask::Enter(asked), .. })
                if *asked == id => {}
            Some(Request { ask: Ask::Create { conversation, .. }, .. }) if *conversation == id => {}
            Some(Request { ask: Ask::Direct { start, .. }, .. }) => {
                if !self.on_direct(joined.request, joined, *start) {
                    return;
                }
            }
            None if joined.request == 0 => {}
            // Answered after its time. The server feeds the conversation live behind this head all the same, so what
            // is before it has to be fetched; where the conversation is gone, the head is nobody's.
            None => return self.on_news(now, id, joined.head),
            Some(_) => {
                return self.on_fault(Error::Contradiction("Joined for another conversation than asked"));
            }
        }
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if request.is_none() && conversation.standing == Standing::Joining {
            // No cursor was sent for it; the answer to its join is still to come.
            return;
        }
        let attached = std::mem::replace(&mut conversation.attached, true);
        if matches!(&request, Some(Request { ask: Ask::Open(_), .. })) {
            conversation.opening = false;
        }
        if conversation.standing == Standing::Joining {
            conversation.standing = Standing::Member;
        }
        position(conversation, joined.head, joined.first);
        let membership = Membership {
            conversation: id,
            name: joined.name.to_owned(),
            role: joined.role,
            head: joined.head,
            first: joined.first,
            members_count: joined.members_count,
            members: joined.members.iter().map(Member::from_wire).collect(),
            cursor: conversation.feed.cursor(),
            kind: joined.kind,
            read: joined.read,
            delivered: joined.delivered,
            muted_until_ms: joined.muted_until_ms,
        };
        let called = request.filter(|request| request.called).map(|_| RequestId(joined.request));
        self.events.push_back(Event::Joined { request: called, membership });
        conversation.feed.on_joined(joined.head, joined.first, &self.config.limits, &mut self.events);
        if !attached || conversation.outbox.wants_resync() {
            self.on_standing(id, joined.client_sequence);
        }
        if !attached {
            self.on_attached(now, joined);
        }
        self.timers.cancel(Holder::Attach(id));
        self.make_ready(id);
        self.fed(now, id);
    }

    /// The first confirmation on this connection: what was said on the one before is said again.
    fn on_attached(&mut self, now: Duration, joined: &Joined<'_>) {
        let id = joined.conversation;
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        conversation.cursors.on_rewound(joined.head);
        conversation.cursors.on_attached(joined.read, joined.delivered);
        if conversation.counts {
            self.ask(now, Ask::WatchCounts { conversation: id, active: true }, false);
        }
    }

    fn on_standing(&mut self, id: ConversationId, client_sequence: u64) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let before = conversation.outbox.bytes();
        let lost = conversation.outbox.on_standing(client_sequence);
        self.outbox_bytes -= before - conversation.outbox.bytes();
        for (publish, draft) in lost {
            self.on_doubtful(id, publish, draft);
        }
    }

    fn on_doubtful(&mut self, id: ConversationId, publish: PublishId, draft: Draft) {
        warn!(conversation = %id, "another client uses this device id; the fate of a publish is unknown");
        let error = Error::DeviceShared;
        self.events.push_back(Event::PublishFailed { publish, conversation: id, error, draft });
    }

    fn on_ack(&mut self, now: Duration, ack: &Ack) {
        let id = ack.conversation;
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let (flight, bytes) = (conversation.outbox.in_flight(), conversation.outbox.bytes());
        let acked = conversation.outbox.on_ack(ack.client_sequence, ack.duplicate);
        self.in_flight -= flight - conversation.outbox.in_flight();
        self.outbox_bytes -= bytes - conversation.outbox.bytes();
        conversation.answered = now;
        match acked {
            Acked::Settled(publish) => {
                conversation.refusals = 0;
                let published = Published {
                    sequence: ack.sequence,
                    time_ms: ack.server_time_ms,
                    durability: ack.durability,
                    duplicate: ack.duplicate,
                };
                self.events.push_back(Event::Published { publish, conversation: id, published });
            }
            Acked::Doubtful(publish, draft) => self.on_doubtful(id, publish, draft),
            Acked::Conflict => warn!(conversation = %id, "another client uses this device id; resending"),
            Acked::Stale => debug!(conversation = %id, "an acknowledgement that nothing waits for"),
        }
        self.land(now, id);
    }

    /// Looks whether a flight is over, and what follows.
    pub(super) fn land(&mut self, now: Duration, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        match conversation.outbox.land() {
            Landing::Flying => {}
            Landing::Again(at) => {
                conversation.not_before = at;
                if at > now {
                    self.timers.set(Holder::Outbox(id), at);
                }
            }
            Landing::Resync => {
                let wait = self.pause(id, Duration::ZERO);
                self.timers.set(Holder::Attach(id), now + wait);
            }
        }
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.outbox.is_empty()
            && let Standing::Leaving(number) = conversation.standing
        {
            self.requests.send_again(number);
        }
        if now >= conversation.not_before && !conversation.outbox.is_empty() {
            self.make_ready(id);
        }
        self.check_shutdown();
    }

    fn on_done(&mut self, now: Duration, done: &Done) {
        if done.request == 0 {
            return self.on_refreshed(now);
        }
        let Some(request) = self.answer(done.request) else { return self.on_late_done(now, done) };
        match request.ask {
            Ask::Leave(id) => self.on_left(now, id, done.request),
            Ask::Close(_)
            | Ask::Watch(_)
            | Ask::Change { .. }
            | Ask::Mute { .. }
            | Ask::Register(_)
            | Ask::Unregister
            | Ask::Settings(_)
            | Ask::WatchCounts { .. } => {
                if request.called {
                    let request = RequestId(done.request);
                    self.events.push_back(Event::Done { request, sequence: done.sequence });
                }
            }
            _ => self.on_fault(Error::Contradiction("Done where content was asked for")),
        }
        self.check_shutdown();
    }

    /// An answer that nobody waits for any more. One that names an entry says that the conversation is left: nothing
    /// more comes from it, though the caller was told that leaving had failed.
    fn on_late_done(&mut self, now: Duration, done: &Done) {
        let id = done.conversation;
        let Some(known) = self.conversations.get(&id).filter(|known| known.attached) else { return };
        let standing = known.standing;
        match standing {
            _ if done.sequence == 0 => {}
            Standing::Leaving(number) if self.answer(number).is_some() => self.on_left(now, id, number),
            Standing::Leaving(_) | Standing::Member => self.on_ended(now, id, Error::NotJoined),
            // Joined again since; its own answer follows.
            Standing::Joining => {}
        }
        self.check_shutdown();
    }

    /// The conversation is left; what a reader still waits for will not come.
    pub(super) fn on_left(&mut self, now: Duration, conversation: ConversationId, number: u32) {
        self.let_go(now, conversation, &Error::NotJoined);
        self.events.push_back(Event::Left { request: RequestId(number), conversation });
    }

    fn on_member_page(&mut self, page: &MemberPage<'_>) {
        let Some(request) = self.answer(page.request) else { return };
        match request.ask {
            Ask::Members { conversation, .. } if conversation == page.conversation => {
                let request = RequestId(page.request);
                let members = page.members.iter().map(Member::from_wire).collect();
                let next = (!page.complete).then_some(page.next);
                self.events.push_back(Event::Members {
                    request,
                    conversation,
                    page: Members { members, next },
                });
            }
            _ => self.on_fault(Error::Contradiction("a MemberPage for something else than was asked")),
        }
        self.check_shutdown();
    }

    /// Takes the request that this number answers out of those that wait.
    pub(super) fn answer(&mut self, number: u32) -> Option<Request> {
        let request = self.requests.remove(number)?;
        self.timers.cancel(Holder::Request(number));
        if matches!(request.ask, Ask::Fill { .. }) {
            self.fills_in_flight -= 1;
        }
        Some(request)
    }
}

/// Where the reader begins, when the server has said what there is.
fn position(conversation: &mut Conversation, head: u64, first: u64) {
    if conversation.feed.is_positioned() {
        return;
    }
    let oldest = first.saturating_sub(1).min(head);
    conversation.feed.position(match conversation.start {
        Start::Latest => head,
        Start::Last(count) => head.saturating_sub(u64::from(count)).max(oldest),
        Start::After(0) => oldest,
        Start::After(sequence) => sequence,
    });
}

/// Whether the sequences are ones that can be counted on from: no server gets there by counting.
fn plausible(frame: &ServerFrame<'_>) -> bool {
    const MAX: u64 = u64::MAX / 2;
    match frame {
        ServerFrame::Message(message) => (1..=MAX).contains(&message.sequence),
        ServerFrame::Joined(joined) => {
            joined.head <= MAX && joined.first <= MAX && joined.client_sequence <= MAX
        }
        ServerFrame::Head(head) => head.head <= MAX,
        ServerFrame::Gap(gap) => gap.from >= 1 && gap.from <= gap.to && gap.to <= MAX,
        // A page that answers for nothing has `to` below `from` (W-37).
        ServerFrame::Page(page) => page.head <= MAX && (page.to < page.from || page.to <= page.head),
        _ => true,
    }
}
