//! One message: checked, given its sequence, encoded once, appended.

use bytes::Bytes;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Ack, Durability, Kind, Message, Role};

use super::amend::{Referred, Waiting};
use super::awaiting::{Awaiting, Entry};
use super::away;
use super::devices::{Device, Verdict};
use super::state::{bucket_key, bucket_of};
use super::{Conversation, Conversations, Refusal, Which};
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Author, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::store::{AppendError, EntryNumber};

/// What is to be published.
pub(super) struct Publish {
    pub conversation: ConversationId,
    pub client_sequence: u64,
    pub reference: u64,
    pub kind: Kind,
    pub durability: Durability,
    pub body: Bytes,
}

/// An entry before it has its sequence.
pub(super) struct Draft<'a> {
    pub sender: UserId,
    pub origin: u64,
    pub client_sequence: u64,
    pub reference: u64,
    pub kind: Kind,
    pub body: &'a [u8],
}

/// What an acknowledgement says.
pub(super) struct Acknowledged {
    pub conversation: ConversationId,
    pub client_sequence: u64,
    /// 0 where it is longer ago than the window.
    pub sequence: u64,
    pub time_ms: u64,
    pub durability: Durability,
    pub duplicate: bool,
}

/// Whether the user may publish here, with this session and number.
fn judge(conversation: &mut Conversation, author: &Author, publish: &Publish) -> Result<Verdict, Refusal> {
    let device = conversation.state.devices.get_mut(&(author.user, author.origin));
    // First of all: also where this publish is refused, what an earlier session says after it may not count.
    if let Some(device) = device
        && !device.admit(author)
    {
        return Err(Refusal::new(Code::REPLACED, "a newer session of this device publishes here"));
    }
    match conversation.state.members.get(&author.user) {
        None => {
            return Err(Refusal::new(Code::NOT_A_MEMBER, "join the conversation before publishing to it"));
        }
        Some(member) if member.role < Role::Member => {
            return Err(Refusal::new(Code::FORBIDDEN, "readers of this conversation do not publish"));
        }
        Some(_) => {}
    }
    if matches!(publish.kind, Kind::Membership | Kind::System) {
        return Err(Refusal::new(Code::KIND_FORBIDDEN, "only the server writes messages of this kind"));
    }
    if publish.reference > conversation.state.head {
        return Err(Refusal::new(
            Code::BAD_REFERENCE,
            "the message refers to a sequence that does not exist",
        ));
    }
    let device = conversation.state.devices.get(&(author.user, author.origin));
    // Nothing is remembered of a device before it has published.
    let judge = |device: &Device| device.judge(publish.client_sequence);
    match device.map_or_else(|| judge(&Device::default()), judge) {
        Verdict::Gap(expected) => Err(Refusal::new(
            Code::SEQUENCE_GAP,
            format!("client sequence {expected} is expected; resend from there, in order"),
        )),
        verdict => Ok(verdict),
    }
}

impl Conversations {
    pub(super) fn on_publish(&mut self, now: Now, author: Author, publish: Publish, mesh: &mut Mesh) {
        // Behind what waits for the message that it refers to: the numbers of a device follow each other.
        let publisher = (publish.conversation, author.user, author.origin);
        match self.lookups.queue(&publisher) {
            Some(queue) => queue.push_back(Waiting::Publish(author, publish)),
            None => self.publish(now, author, publish, None, mesh),
        }
    }

    /// `referred`: what was read for it, or why that could not be.
    pub(super) fn publish(
        &mut self,
        now: Now,
        author: Author,
        publish: Publish,
        referred: Option<Result<Referred, Refusal>>,
        mesh: &mut Mesh,
    ) {
        let (id, client_sequence) = (publish.conversation, publish.client_sequence);
        let which = Which::Publish(client_sequence);
        let verdict = match self.by_id.get_mut(&id) {
            None => {
                Err(Refusal::new(Code::NO_SUCH_CONVERSATION, "join the conversation before publishing to it"))
            }
            Some(conversation) => judge(conversation, &author, &publish),
        };
        let verdict = verdict.and_then(|verdict| match verdict {
            Verdict::Next => self.check_writable().map(|()| verdict),
            other => Ok(other),
        });
        match verdict {
            Err(refusal) => self.reject(author.session, id, which, &refusal, mesh),
            Ok(Verdict::Duplicate(sequence)) => self.repeat(now, author.session, &publish, sequence, mesh),
            Ok(_) if publish.kind.refers() => self.publish_amendment(now, author, publish, referred, mesh),
            Ok(_) => self.publish_entry(now, &author, &publish, mesh),
        }
    }

    fn publish_amendment(
        &mut self,
        now: Now,
        author: Author,
        publish: Publish,
        referred: Option<Result<Referred, Refusal>>,
        mesh: &mut Mesh,
    ) {
        let (id, which) = (publish.conversation, Which::Publish(publish.client_sequence));
        let mut publish = Some(publish);
        let referred = referred.transpose();
        match (referred.and_then(|referred| self.refer(&author, &mut publish, referred)), publish) {
            (Err(refusal), _) => self.reject(author.session, id, which, &refusal, mesh),
            (Ok(()), Some(publish)) => self.publish_entry(now, &author, &publish, mesh),
            // It waits.
            (Ok(()), None) => {}
        }
    }

    fn publish_entry(&mut self, now: Now, author: &Author, publish: &Publish, mesh: &mut Mesh) {
        let draft = Draft {
            sender: author.user,
            origin: author.origin,
            client_sequence: publish.client_sequence,
            reference: publish.reference,
            kind: publish.kind,
            body: &publish.body,
        };
        let appended = self.append(now, publish.conversation, &draft);
        self.note_session(publish.conversation, author);
        match appended {
            Err(refusal) => {
                let which = Which::Publish(publish.client_sequence);
                self.reject(author.session, publish.conversation, which, &refusal, mesh);
            }
            // What changes others is shown when it is synced, whatever was asked for.
            Ok(entry) if publish.durability == Durability::Memory && !publish.kind.refers() => {
                self.show_unsynced(now, entry, author.session, mesh);
            }
            Ok(entry) => self.await_sync(Awaiting::Entry { entry, session: Some(author.session) }),
        }
    }

    /// From the first publish on, what an earlier session of the device still has under way is refused: it may
    /// have been numbered before the device learned where it stands.
    fn note_session(&mut self, id: ConversationId, author: &Author) {
        let conversation = self.by_id.get_mut(&id);
        let key = (author.user, author.origin);
        if let Some(device) = conversation.and_then(|conversation| conversation.state.devices.get_mut(&key)) {
            device.admit(author);
        }
    }

    /// Answers a repeated publish with what became of the first one; not before that is synced.
    fn repeat(
        &mut self,
        now: Now,
        session: SessionRef,
        publish: &Publish,
        sequence: Option<u64>,
        mesh: &mut Mesh,
    ) {
        self.counters.duplicates += 1;
        let acknowledged = Acknowledged {
            conversation: publish.conversation,
            client_sequence: publish.client_sequence,
            sequence: sequence.unwrap_or(0),
            time_ms: now.unix_ms,
            durability: Durability::Synced,
            duplicate: true,
        };
        if self.log.is_synced() {
            self.acknowledge(session, &acknowledged, mesh);
        } else {
            self.await_sync(Awaiting::Repeated { session, acknowledged });
        }
    }

    /// Gives a draft its sequence and appends it. The caller has checked that the author may, and says what
    /// happens to the entry now.
    pub(super) fn append(
        &mut self,
        now: Now,
        id: ConversationId,
        draft: &Draft<'_>,
    ) -> Result<Entry, Refusal> {
        let (head, last_ms) =
            self.by_id.get(&id).map_or((0, 0), |known| (known.state.head, known.state.time_ms));
        // The clock may have been set back since.
        let time_ms = now.unix_ms.max(last_ms);
        if let Some(conversation) = self.by_id.get_mut(&id).filter(|conversation| conversation.skips) {
            self.log.skip(id, head, time_ms).map_err(|error| Refusal::of_append(&error))?;
            conversation.skips = false;
        }
        let message = Message {
            conversation: id,
            sequence: head + 1,
            time_ms,
            sender: draft.sender,
            origin: draft.origin,
            client_sequence: draft.client_sequence,
            reference: draft.reference,
            kind: draft.kind,
            body: draft.body,
        };
        message.encode(&mut self.encoder, &mut self.scratch);
        let frame = Encoded::new(&self.scratch);
        self.scratch.clear();
        if draft.kind.refers() {
            self.append_amendment(&message, &frame)
        } else {
            self.log.append(id, message.sequence, time_ms, frame.frame_bytes())
        }
        .map_err(|error| Refusal::of_append(&error))?;
        self.by_id.entry(id).or_default().state.apply(&message);
        Ok(Entry {
            conversation: id,
            sequence: message.sequence,
            time_ms,
            client_sequence: draft.client_sequence,
            frame,
            wakes_all_but: away::wakes(draft.kind).then_some(draft.sender),
        })
    }

    /// Appends an entry and the same to the log of its bucket.
    fn append_amendment(
        &mut self,
        message: &Message<'_>,
        frame: &Encoded,
    ) -> Result<EntryNumber, AppendError> {
        let key = bucket_key(message.conversation, bucket_of(message.reference));
        let nth = self.amended.get(&key).map_or(0, |amended| amended.head) + 1;
        let place = (message.conversation, message.sequence);
        let entry = self.log.append_amendment(place, (key, nth), message.time_ms, frame.frame_bytes())?;
        self.amended.entry(key).or_default().apply(nth, message);
        Ok(entry)
    }

    /// Shows an entry at once where that is safe; else it waits for the sync like any other, and its
    /// publisher gets more than it asked for.
    fn show_unsynced(&mut self, now: Now, entry: Entry, session: SessionRef, mesh: &mut Mesh) {
        let (id, sequence) = (entry.conversation, entry.sequence);
        let Some(conversation) = self.by_id.get(&id) else { return };
        let safe = sequence <= conversation.reserved && sequence == conversation.visible + 1;
        if safe {
            self.await_sync(Awaiting::Shown { conversation: id, sequence });
            self.counters.published_from_memory += 1;
            self.show(entry, Some(session), Durability::Memory, mesh);
        } else {
            self.await_sync(Awaiting::Entry { entry, session: Some(session) });
        }
        self.reserve_ahead(now, id);
    }

    /// Reserves more sequences before they run out, so that nobody waits for it.
    fn reserve_ahead(&mut self, now: Now, id: ConversationId) {
        let ahead = self.limits.reserve_ahead;
        let Some(conversation) = self.by_id.get_mut(&id) else { return };
        let head = conversation.state.head;
        if conversation.reserving >= head + ahead / 2 {
            return;
        }
        let up_to = head + ahead;
        // Refused while the journal is full; then memory publishes wait for the disk, which is just as well.
        if self.log.reserve(id, up_to, now.unix_ms).is_ok() {
            conversation.reserving = up_to;
            conversation.state.reserved = up_to;
            self.await_sync(Awaiting::Reserved { conversation: id, up_to });
        }
    }

    pub(super) fn acknowledge(&mut self, session: SessionRef, what: &Acknowledged, mesh: &mut Mesh) {
        let ack = Ack {
            conversation: what.conversation,
            client_sequence: what.client_sequence,
            sequence: what.sequence,
            server_time_ms: what.time_ms,
            durability: what.durability,
            duplicate: what.duplicate,
        };
        ack.encode(&mut self.encoder, &mut self.scratch);
        self.reply(session, Answers::Publish, mesh);
    }
}
