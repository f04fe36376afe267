//! What happens when entries become durable.
//!
//! Everything that the world may learn only after a sync waits here, in the order of the entries, answers to
//! attaches included: so an `Attached` that says "head 17" leaves after message 17 and before message 18.

use ringwire_protocol::id::{ConversationId, UserId};

use super::publish::Acknowledged;
use super::{Conversations, Refusal, Which};
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Author, Delivery, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::store::EntryNumber;
use ringwire_protocol::code::Code;

/// Waits for an entry to be synced.
pub(super) enum Awaiting {
    /// The entry itself: acknowledge it to its session and fan it out.
    Entry {
        conversation: ConversationId,
        sequence: u64,
        time_ms: u64,
        client_sequence: u64,
        session: Option<SessionRef>,
        frame: Encoded,
    },
    /// The answer to a repeated publish.
    Repeated { session: SessionRef, acknowledged: Acknowledged },
    /// A session to be attached.
    Attach { author: Author, request: u32, conversation: ConversationId },
    /// A member that has left.
    Left { author: Author, request: u32, conversation: ConversationId, user: UserId },
}

impl Conversations {
    /// Puts `awaiting` behind everything appended so far.
    pub(super) fn await_sync(&mut self, awaiting: Awaiting) {
        let entry = self.log.appended();
        self.awaiting.push_back((entry, awaiting));
    }

    /// Everything up to `synced` is durable: lets go what waited for it.
    pub fn on_synced(&mut self, synced: EntryNumber, mesh: &mut Mesh) {
        while let Some((entry, _)) = self.awaiting.front() {
            if *entry > synced {
                break;
            }
            if let Some((_, awaiting)) = self.awaiting.pop_front() {
                self.release(awaiting, mesh);
            }
        }
    }

    fn release(&mut self, awaiting: Awaiting, mesh: &mut Mesh) {
        match awaiting {
            Awaiting::Entry { conversation, sequence, time_ms, client_sequence, session, frame } => {
                if let Some(session) = session {
                    let acknowledged =
                        Acknowledged { conversation, client_sequence, sequence, time_ms, duplicate: false };
                    self.acknowledge(session, &acknowledged, mesh);
                }
                self.fan_out(conversation, sequence, frame, mesh);
            }
            Awaiting::Repeated { session, acknowledged } => self.acknowledge(session, &acknowledged, mesh),
            Awaiting::Attach { author, request, conversation } => {
                self.attach(author, request, conversation, mesh);
            }
            Awaiting::Left { author, request, conversation, user } => {
                self.expel(author, request, conversation, user, mesh);
            }
        }
    }

    fn fan_out(&mut self, id: ConversationId, sequence: u64, frame: Encoded, mesh: &mut Mesh) {
        let Some(conversation) = self.by_id.get_mut(&id) else { return };
        assert_eq!(sequence, conversation.durable + 1, "entries become durable in their order");
        conversation.durable = sequence;
        self.counters.published += 1;
        self.budget.keep(id, &mut conversation.tail, sequence, frame.frame());
        for (shard, _) in &conversation.watchers {
            self.counters.fanned_out += 1;
            mesh.deliver(*shard, Delivery::Message { conversation: id, frame: frame.clone() });
        }
        while let Some(oldest) = self.budget.excess() {
            if let Some(conversation) = self.by_id.get_mut(&oldest) {
                self.budget.forget(&mut conversation.tail);
            }
        }
    }

    /// The journal has failed: nobody who waits will be acknowledged, and all are told.
    pub fn on_journal_failed(&mut self, mesh: &mut Mesh) {
        let reason = self.log.failure().unwrap_or("the journal has failed").to_owned();
        let refusal = Refusal::new(Code::STORAGE_FAILED, reason);
        for (_, awaiting) in std::mem::take(&mut self.awaiting) {
            let (session, conversation, which) = match awaiting {
                Awaiting::Entry { session: None, .. } => continue,
                Awaiting::Entry { session: Some(session), conversation, client_sequence, .. } => {
                    (session, conversation, Which::Publish(client_sequence))
                }
                Awaiting::Repeated { session, acknowledged } => {
                    (session, acknowledged.conversation, Which::Publish(acknowledged.client_sequence))
                }
                Awaiting::Attach { author, request, conversation }
                | Awaiting::Left { author, request, conversation, .. } => {
                    (author.session, conversation, Which::Request(request))
                }
            };
            self.reject(session, conversation, which, &refusal, mesh);
        }
    }
}
