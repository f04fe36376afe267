//! What happens when entries become durable.
//!
//! Everything that the world may learn only after a sync waits here, in the order of the entries, answers to
//! attaches included: so an `Attached` that says "head 17" leaves after message 17 and before message 18.

use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Done, Durability};

use super::cursors::Moved;
use super::membership::Out;
use super::publish::Acknowledged;
use super::{Conversations, Refusal, Which};
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Author, Delivery, Reach, Request, SessionRef, home_of};
use crate::fanout::mesh::Mesh;
use crate::store::EntryNumber;
use crate::user::letter::HomeLetter;

/// Waits for an entry to be synced.
pub(super) enum Awaiting {
    /// The entry itself: acknowledge it to its session and fan it out.
    Entry { entry: Entry, session: Option<SessionRef> },
    /// An entry that was shown before it was synced.
    Shown { conversation: ConversationId, sequence: u64 },
    /// A note that sequences up to here are reserved.
    Reserved { conversation: ConversationId, up_to: u64 },
    /// The answer to a repeated publish.
    Repeated { session: SessionRef, acknowledged: Acknowledged },
    /// A session to be attached.
    Attach { author: Author, request: u32, conversation: ConversationId, open: bool },
    /// Somebody who asked to be attached and was no member.
    Stranger { author: Author, request: u32, conversation: ConversationId },
    /// A change of members; the one that is `out` has left or was removed.
    Changed { author: Author, request: u32, conversation: ConversationId, out: Option<Out> },
    /// A change of members, which the home of the user is told of.
    Member { user: UserId, conversation: ConversationId, is_member: bool },
    /// What a member has set for itself.
    Noted { author: Author, request: u32, conversation: ConversationId },
    /// Cursors that were moved.
    Moved { conversation: ConversationId, time_ms: u64, cursors: Vec<Moved> },
}

/// An entry on its way to the world.
pub(super) struct Entry {
    pub conversation: ConversationId,
    pub sequence: u64,
    pub time_ms: u64,
    /// 0 where no device published it.
    pub client_sequence: u64,
    pub frame: Encoded,
    /// Who is not woken by it: who wrote it. None: it wakes nobody.
    pub wakes_all_but: Option<UserId>,
}

impl Conversations {
    /// Puts `awaiting` behind everything appended so far.
    pub(super) fn await_sync(&mut self, awaiting: Awaiting) {
        let entry = self.log.appended();
        self.awaiting.push_back((entry, awaiting));
    }

    /// Everything up to `synced` is durable: lets go what waited for it.
    pub fn on_synced(&mut self, now: Now, synced: EntryNumber, mesh: &mut Mesh) {
        while let Some((entry, _)) = self.awaiting.front() {
            if *entry > synced {
                break;
            }
            if let Some((_, awaiting)) = self.awaiting.pop_front() {
                if let Awaiting::Entry { entry, .. } = &awaiting {
                    self.counters.delays.add(now.unix_ms.saturating_sub(entry.time_ms));
                }
                self.release(awaiting, mesh);
            }
        }
    }

    fn release(&mut self, awaiting: Awaiting, mesh: &mut Mesh) {
        match awaiting {
            Awaiting::Entry { entry, session } => {
                self.note_synced(entry.conversation, entry.sequence);
                self.show(entry, session, Durability::Synced, mesh);
            }
            Awaiting::Shown { conversation, sequence } => self.note_synced(conversation, sequence),
            Awaiting::Reserved { conversation, up_to } => {
                if let Some(conversation) = self.by_id.get_mut(&conversation) {
                    conversation.reserved = up_to;
                }
            }
            Awaiting::Repeated { session, acknowledged } => self.acknowledge(session, &acknowledged, mesh),
            Awaiting::Attach { author, request, conversation, open } => {
                self.attach(author, request, conversation, open, mesh);
            }
            Awaiting::Stranger { author, request, conversation } => {
                let which = Which::Attach(request);
                self.reject(author.session, conversation, which, &Refusal::not_a_member(), mesh);
            }
            Awaiting::Changed { author, request, conversation, out } => {
                self.changed(author, request, conversation, out, mesh);
            }
            Awaiting::Member { user, conversation, is_member } => {
                self.recount(conversation);
                let letter = HomeLetter::Member { user, conversation, is_member };
                mesh.tell(home_of(user, mesh.shards()), Request::Home(letter));
            }
            Awaiting::Noted { author, request, conversation } => {
                let done = Done { request, conversation, sequence: 0 };
                done.encode(&mut self.encoder, &mut self.scratch);
                self.reply(author.session, Answers::Other, mesh);
            }
            Awaiting::Moved { conversation, time_ms, cursors } => {
                self.show_cursors(conversation, time_ms, &cursors, mesh);
            }
        }
    }

    fn note_synced(&mut self, conversation: ConversationId, sequence: u64) {
        if let Some(conversation) = self.by_id.get_mut(&conversation) {
            assert_eq!(sequence, conversation.synced + 1, "entries are synced in their order");
            conversation.synced = sequence;
            conversation.joining.retain(|(joined, _)| *joined > sequence);
        }
    }

    /// Lets the world know of an entry: its publisher first, then everybody who receives.
    pub(super) fn show(
        &mut self,
        entry: Entry,
        session: Option<SessionRef>,
        durability: Durability,
        mesh: &mut Mesh,
    ) {
        let Entry { conversation: id, sequence, time_ms, client_sequence, frame, wakes_all_but } = entry;
        if let Some(session) = session {
            let acknowledged = Acknowledged {
                conversation: id,
                client_sequence,
                sequence,
                time_ms,
                durability,
                duplicate: false,
            };
            self.acknowledge(session, &acknowledged, mesh);
        }
        let Some(conversation) = self.by_id.get_mut(&id) else { return };
        assert_eq!(sequence, conversation.visible + 1, "entries become visible in their order");
        conversation.visible = sequence;
        self.counters.published += 1;
        self.budget.keep(id, &mut conversation.tail, sequence, frame.frame());
        let reach = if conversation.state.members.len() < self.limits.push_below {
            self.counters.pushed += 1;
            Reach::Everybody
        } else {
            self.counters.announced += 1;
            Reach::Open
        };
        for (shard, _) in &conversation.watchers {
            let frame = frame.clone();
            mesh.deliver(*shard, Delivery::Message { conversation: id, sequence, reach, frame });
        }
        if conversation.counting.is_some() {
            self.recount(id);
        }
        if let Some(sender) = wakes_all_but {
            self.wake(id, sender, sequence, time_ms, mesh);
        }
        while let Some(oldest) = self.budget.excess() {
            if let Some(conversation) = self.by_id.get_mut(&oldest) {
                self.budget.forget(&mut conversation.tail);
            }
        }
    }

    /// The journal has failed: nobody who waits will be acknowledged.
    ///
    /// Whoever asked for something is told. Publishes that were appended get no answer at all: their bytes may
    /// be on disk, so a refusal would be a lie that makes the client send them again under other numbers. The
    /// process ends now, and the clients send them again under the same ones.
    pub fn on_journal_failed(&mut self, mesh: &mut Mesh) {
        let reason = self.log.failure().unwrap_or("the journal has failed").to_owned();
        let refusal = Refusal::new(Code::STORAGE_FAILED, reason);
        for (_, awaiting) in std::mem::take(&mut self.awaiting) {
            let (session, conversation, which) = match awaiting {
                Awaiting::Entry { .. }
                | Awaiting::Shown { .. }
                | Awaiting::Reserved { .. }
                | Awaiting::Moved { .. }
                | Awaiting::Member { .. }
                | Awaiting::Repeated { .. } => continue,
                Awaiting::Attach { author, request, conversation, .. }
                | Awaiting::Stranger { author, request, conversation } => {
                    (author.session, conversation, Which::Attach(request))
                }
                Awaiting::Changed { author, request, conversation, .. }
                | Awaiting::Noted { author, request, conversation } => {
                    (author.session, conversation, Which::Request(request))
                }
            };
            self.reject(session, conversation, which, &refusal, mesh);
        }
    }
}
