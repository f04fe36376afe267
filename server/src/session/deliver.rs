//! From letters to queues: what owners send to this shard's connections.

use ringwire_driver::ConnectionId;
use ringwire_protocol::id::{ConversationId, UserId};

use super::Sessions;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Delivery, Request, SessionRef, owner_of};
use crate::fanout::mesh::Mesh;
use crate::fanout::queues::Queue;

impl Sessions {
    /// Takes one delivery.
    pub fn on_delivery(&mut self, delivery: Delivery, mesh: &mut Mesh) {
        match delivery {
            Delivery::Message { conversation, frame } => self.on_conversation_message(conversation, &frame),
            Delivery::Reply { session, frame, fetched } => {
                if self.of_session(session).is_some() {
                    if fetched {
                        self.fetched(session.connection);
                    }
                    self.pass_on(session.connection, &frame);
                }
            }
            Delivery::Attached { session, conversation, frame } => {
                self.on_attached(session, conversation, &frame, mesh);
            }
            Delivery::Expelled { user, conversation } => self.on_expelled(user, conversation, mesh),
        }
    }

    fn pass_on(&mut self, id: ConnectionId, frame: &Encoded) {
        let frame = self.queues.shared(frame.websocket().clone());
        self.enqueue(id, frame);
    }

    /// The hot path: one integer per connection that receives the conversation.
    fn on_conversation_message(&mut self, conversation: ConversationId, frame: &Encoded) {
        let Some(topic) = self.subscribers.find(conversation) else { return };
        let frame = self.queues.shared(frame.websocket().clone());
        for slot in self.subscribers.slots(topic) {
            let Some(connection) = self.connections[slot as usize].as_deref_mut() else { continue };
            if connection.queue == Queue::EMPTY {
                self.due.push(connection.id);
            }
            connection.queue = self.queues.push(connection.queue, frame);
            self.counters.delivered += 1;
        }
    }

    fn on_attached(
        &mut self,
        session: SessionRef,
        conversation: ConversationId,
        frame: &Encoded,
        mesh: &mut Mesh,
    ) {
        let topic = self.subscribers.find(conversation);
        let attached = self.of_session(session).map(|connection| {
            connection.subscriptions.iter().any(|subscription| Some(subscription.topic) == topic)
        });
        // The session has ended meanwhile, or is attached already: the owner counted one too many.
        if attached != Some(false) {
            let request = Request::Detach { shard: self.me, conversation };
            let refused = mesh.request(owner_of(conversation, mesh.shards()), request);
            assert!(refused.is_ok(), "a detach is never refused");
        }
        if attached == Some(false) {
            let slot = session.connection.slot;
            if let Some(connection) = self.connections[slot as usize].as_deref_mut() {
                self.subscribers.add(conversation, slot, &mut connection.subscriptions);
            }
        }
        if attached.is_some() {
            self.pass_on(session.connection, frame);
        }
    }

    /// A member has left: none of its sessions here receives the conversation any more.
    fn on_expelled(&mut self, user: UserId, conversation: ConversationId, mesh: &mut Mesh) {
        let Some(topic) = self.subscribers.find(conversation) else { return };
        let of_user: Vec<ConnectionId> = self
            .subscribers
            .slots(topic)
            .filter_map(|slot| self.connections[slot as usize].as_deref())
            .filter(|connection| connection.session().is_some_and(|session| session.identity.user == user))
            .map(|connection| connection.id)
            .collect();
        for id in of_user {
            let held = self.get_mut(id).and_then(|connection| {
                connection.subscriptions.iter().position(|subscription| subscription.topic == topic)
            });
            if let Some(nth) = held {
                self.detach(id, nth, mesh);
            }
        }
    }
}
