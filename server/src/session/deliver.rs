//! From letters to queues: what owners send to this shard's connections.

use std::collections::BTreeSet;

use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Head, Reject};

use super::Sessions;
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Delivery, Reach, Request, SessionRef, owner_of};
use crate::fanout::mesh::Mesh;
use crate::fanout::queues::Queue;
use crate::fanout::subscribers::{Heads, TopicIndex};
use crate::limits::HEAD_INTERVAL_MS;

impl Sessions {
    /// Takes one delivery.
    pub fn on_delivery(&mut self, now: Now, delivery: Delivery, mesh: &mut Mesh) {
        match delivery {
            Delivery::Message { conversation, sequence, reach, frame } => {
                if let Some(topic) = self.subscribers.find(conversation) {
                    self.feed(topic, conversation, sequence, reach, &frame);
                    if reach == Reach::Open {
                        self.subscribers.heads_mut(topic).untold = sequence;
                        self.tell_head(now, topic);
                    }
                }
            }
            Delivery::Reply { session, frame, answers } => {
                if let Some(live) = self.of_session(session).and_then(|connection| connection.session_mut()) {
                    live.answered(answers);
                    if !self.answer_apart(session.connection, &frame) {
                        self.pass_on(session.connection, &frame);
                    }
                }
            }
            Delivery::Presence { session, entries, is_first } => {
                self.on_presence(now, session, &entries, is_first);
            }
            Delivery::Attached { session, conversation, open, frame } => {
                self.on_attached(session, conversation, open, &frame, mesh);
            }
            Delivery::Expelled { user, conversation, asked_by } => {
                self.on_expelled(user, conversation, asked_by, mesh);
            }
            Delivery::Notice { conversation, reach, frame, except } => {
                self.on_notice(conversation, reach, &frame, except);
            }
            Delivery::Counting { session, request, conversation, active } => {
                self.on_counting(session, request, conversation, active, mesh);
            }
            Delivery::Counts { conversation, frame } => self.on_counts(conversation, &frame),
            Delivery::Entries { session, entries, parts } => self.on_entries(session, entries, parts),
            Delivery::Challenge(session) => self.on_challenge(session),
            Delivery::Replaced(session) => self.on_replaced(now, session, mesh),
            Delivery::Datagram(stray) => self.on_stray(now, &stray, mesh),
        }
    }

    fn pass_on(&mut self, id: ConnectionId, frame: &Encoded) {
        let frame = self.queues.shared(frame.websocket().clone());
        self.enqueue(id, frame);
    }

    /// The hot path: one integer per connection that receives the conversation.
    fn feed(
        &mut self,
        topic: TopicIndex,
        conversation: ConversationId,
        sequence: u64,
        reach: Reach,
        frame: &Encoded,
    ) {
        let frame = self.queues.shared(frame.websocket().clone());
        let demote_at = self.terms.limits.outbox_bytes_max / 2;
        let mut feed = |slot: u32| {
            let Some(connection) = self.connections[slot as usize].as_deref_mut() else { return };
            if let Some(stalled) = &mut connection.stalled
                && stalled.bytes() + self.queues.bytes(connection.queue) >= demote_at
            {
                // It does not keep up: from here on it is told heads, and fetches when it reads again.
                stalled.fall_behind(conversation, sequence);
                self.counters.demoted += 1;
                return;
            }
            if connection.queue == Queue::EMPTY {
                self.due.push(connection.id);
            }
            connection.queue = self.queues.push(connection.queue, frame);
            self.counters.delivered += 1;
        };
        self.subscribers.open(topic).for_each(&mut feed);
        if reach == Reach::Everybody {
            self.subscribers.closed(topic).for_each(&mut feed);
        }
    }

    /// Tells the closed subscribers of a large conversation its head, if it is time.
    pub(super) fn tell_head(&mut self, now: Now, topic: TopicIndex) {
        let heads = self.subscribers.heads_mut(topic);
        let head = heads.untold;
        if head == 0 || now.monotonic_ms() < heads.told_ms + HEAD_INTERVAL_MS {
            return;
        }
        *heads = Heads { untold: 0, told_ms: now.monotonic_ms() };
        if self.subscribers.closed(topic).next().is_none() {
            return;
        }
        let head = Head { conversation: self.subscribers.conversation(topic), head };
        let mut bytes = Vec::new();
        head.encode(&mut self.encoder, &mut bytes);
        let frame = self.queues.shared(Encoded::new(&bytes).websocket().clone());
        for slot in self.subscribers.closed(topic) {
            let Some(connection) = self.connections[slot as usize].as_deref_mut() else { continue };
            if let Some(stalled) = &mut connection.stalled {
                stalled.fall_behind(head.conversation, head.head);
                continue;
            }
            if connection.queue == Queue::EMPTY {
                self.due.push(connection.id);
            }
            connection.queue = self.queues.push(connection.queue, frame);
            self.counters.heads += 1;
        }
    }

    fn on_attached(
        &mut self,
        session: SessionRef,
        conversation: ConversationId,
        open: bool,
        frame: &Encoded,
        mesh: &mut Mesh,
    ) {
        let topic = self.subscribers.find(conversation);
        let attached = self.of_session(session).map(|connection| {
            if let Some(session) = connection.session_mut() {
                session.answered(Answers::Attach);
            }
            connection.subscriptions.iter().any(|subscription| Some(subscription.topic) == topic)
        });
        // The session has ended meanwhile, or is attached already: the owner counted one too many.
        if attached != Some(false) {
            let request = Request::Detach { shard: self.me, conversation };
            mesh.tell(owner_of(conversation, mesh.shards()), request);
        }
        if attached == Some(true) && open {
            self.set_open(session.connection, conversation, true);
        }
        if attached == Some(false) {
            let slot = session.connection.slot;
            if let Some(connection) = self.connections[slot as usize].as_deref_mut() {
                self.subscribers.add(conversation, slot, open, &mut connection.subscriptions);
            }
        }
        if attached.is_some() {
            self.pass_on(session.connection, frame);
        }
    }

    /// A member has left: none of its sessions here receives the conversation any more. Other devices than the
    /// one that asked would wait for ever for what comes next, so they are told.
    fn on_expelled(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        asked_by: Option<SessionRef>,
        mesh: &mut Mesh,
    ) {
        let topic = self.subscribers.find(conversation);
        let receive = topic.into_iter().flat_map(|topic| self.subscribers.slots(topic));
        let count = self.counted.get(&conversation).into_iter().flatten().map(|id| id.slot);
        let of_user: BTreeSet<ConnectionId> = receive
            .chain(count)
            .filter_map(|slot| self.connections[slot as usize].as_deref())
            .filter(|connection| connection.session().is_some_and(|session| session.identity.user == user))
            .map(|connection| connection.id)
            .collect();
        for id in of_user {
            let held = self.get_mut(id).and_then(|connection| {
                connection.subscriptions.iter().position(|subscription| Some(subscription.topic) == topic)
            });
            if let Some(nth) = held {
                self.detach(id, nth, mesh);
            }
            self.uncount(id, conversation, mesh);
            if asked_by.is_none_or(|by| (by.shard, by.connection) != (self.me, id)) {
                self.reject(
                    id,
                    &Reject {
                        request: 0,
                        conversation,
                        client_sequence: 0,
                        code: Code::NOT_A_MEMBER,
                        retry_after_ms: 0,
                        reason: "the user is no longer in this conversation",
                    },
                );
            }
        }
    }
}
