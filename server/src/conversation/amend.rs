//! Edits, deletes and reactions: who may say what about which message.
//!
//! The message has to be known to judge that. It is in the tail in memory, or the journal is read; until it has
//! answered, the publishes of the same device to the same conversation wait behind it, because their numbers
//! follow.
//!
//! | kind | about | who |
//! |---|---|---|
//! | edit | a text or media message | its sender |
//! | delete | a text, media or application message | its sender; admins and owners |
//! | reaction | a text, media or application message | any member |
//!
//! What was deleted takes nothing more. Amendments are always synced before anybody sees them: so what is read of
//! their log is what was shown.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Kind, Role};

use super::history::Reading;
use super::publish::Publish;
use super::state::{Amended, bucket_key, bucket_of};
use super::{Conversation, Conversations, Refusal};
use crate::clock::Now;
use crate::fanout::letter::Author;
use crate::fanout::mesh::Mesh;
use crate::limits::{AMENDMENTS_PER_BUCKET_MAX, REACTION_BODY_BYTES_MAX};
use crate::store::{self, Query};

/// A device of a user in a conversation: the one whose publishes wait.
pub(super) type Publisher = (ConversationId, UserId, u64);

/// What waits for a message that is read, or behind a publish that does.
pub(super) enum Waiting {
    Publish(Author, Publish),
    /// An attach is told how far the device's publishes have come: those that wait come first, or their numbers
    /// would be given to others.
    Attach {
        author: Author,
        request: u32,
        open: bool,
    },
}

/// All of one shard. No more than the sessions' windows of publishes, and what they may ask to receive.
#[derive(Default)]
pub(super) struct Lookups {
    waiting: HashMap<Publisher, VecDeque<Waiting>, RandomState>,
}

impl Lookups {
    /// How much waits.
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// The queue that this device's publishes wait in, if any do.
    pub fn queue(&mut self, publisher: &Publisher) -> Option<&mut VecDeque<Waiting>> {
        // The usual case costs one look at a length.
        if self.waiting.is_empty() { None } else { self.waiting.get_mut(publisher) }
    }
}

/// What matters of a message that is referred to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Referred {
    sender: UserId,
    kind: Kind,
}

impl Referred {
    fn of_frame(frame: &[u8]) -> Result<Self, Refusal> {
        let message = store::message(frame).map_err(|_| missing())?;
        Ok(Referred { sender: message.sender, kind: message.kind })
    }
}

fn missing() -> Refusal {
    Refusal::new(Code::BAD_REFERENCE, "the message refers to a sequence that does not exist")
}

/// What came of looking for the message that is referred to.
pub(super) enum Found {
    /// It is this one.
    Known(Referred),
    /// The journal has to be read.
    Reads,
}

/// Looks for the message in memory.
fn find(conversation: &Conversation, reference: u64) -> Result<Found, Refusal> {
    if reference == 0 || reference > conversation.visible {
        return Err(missing());
    }
    if reference <= conversation.state.expired {
        return Err(Refusal::new(
            Code::BAD_REFERENCE,
            "the message that is referred to is not kept any more",
        ));
    }
    if let Some(frame) = conversation.tail.from(reference).and_then(|mut frames| frames.next()) {
        return Referred::of_frame(frame).map(Found::Known);
    }
    if reference > conversation.synced {
        return Err(Refusal::busy("the message that is referred to is being written"));
    }
    Ok(Found::Reads)
}

/// Whether the author may say this about that message, which is in `bucket`.
fn judge(
    role: Role,
    author: &Author,
    publish: &Publish,
    referred: Referred,
    bucket: Option<&Amended>,
) -> Result<(), Refusal> {
    use Kind::{Application, Delete, Edit, Media, Reaction, Text};
    let takes = match publish.kind {
        Edit => matches!(referred.kind, Text | Media),
        _ => matches!(referred.kind, Text | Media | Application),
    };
    if !takes {
        let what = format!("a message of kind {:?} takes no {:?}", referred.kind, publish.kind);
        return Err(Refusal::new(Code::BAD_REFERENCE, what));
    }
    let may = match publish.kind {
        Edit => referred.sender == author.user,
        Delete => referred.sender == author.user || role >= Role::Admin,
        _ => true,
    };
    if !may {
        let reason = match publish.kind {
            Edit => "only the sender of a message edits it",
            _ => "only its sender, an admin or an owner deletes a message",
        };
        return Err(Refusal::new(Code::FORBIDDEN, reason));
    }
    if publish.kind == Reaction && publish.body.len() > REACTION_BODY_BYTES_MAX {
        let reason = format!("a reaction has at most {REACTION_BODY_BYTES_MAX} bytes");
        return Err(Refusal::new(Code::BODY_TOO_LARGE, reason));
    }
    let Some(amended) = bucket else { return Ok(()) };
    if amended.is_deleted(publish.reference) {
        return Err(Refusal::new(Code::BAD_REFERENCE, "the message was deleted"));
    }
    // Each message is deleted once; so deleting goes on when nothing else can be said.
    if publish.kind != Delete && amended.head >= AMENDMENTS_PER_BUCKET_MAX {
        let reason = "the messages around this one have as many edits and reactions as are kept";
        return Err(Refusal::new(Code::FORBIDDEN, reason));
    }
    Ok(())
}

impl Conversations {
    /// Whether a publish may refer to what it refers to. Where the journal has to be read for that, the publish is
    /// taken, and waits.
    pub(super) fn refer(
        &mut self,
        author: &Author,
        publish: &mut Option<Publish>,
        referred: Option<Referred>,
    ) -> Result<(), Refusal> {
        let Some(asked) = publish.as_ref() else { return Ok(()) };
        let id = asked.conversation;
        let Some(conversation) = self.by_id.get(&id) else { return Err(missing()) };
        let found = match referred {
            Some(referred) => Found::Known(referred),
            None => find(conversation, asked.reference)?,
        };
        let Found::Known(referred) = found else {
            let publisher = (id, author.user, author.origin);
            let query = Query {
                conversation: *id.as_bytes(),
                from: asked.reference,
                direction: store::Direction::Forward,
                limit: 1,
                bytes_max: 0,
            };
            let reading = Reading::Referred(publisher, asked.reference);
            if let Err(error) = self.read(query, reading) {
                return Err(Refusal::busy(&error.to_string()));
            }
            let queue = self.lookups.waiting.entry(publisher).or_default();
            queue.extend(publish.take().map(|publish| Waiting::Publish(*author, publish)));
            return Ok(());
        };
        let role = conversation.state.members.get(&author.user).map_or(Role::Reader, |member| member.role);
        let bucket = self.amended.get(&bucket_key(id, bucket_of(asked.reference)));
        judge(role, author, asked, referred, bucket)
    }

    /// The message that a device's publish refers to was read: the publish goes on, and what waits behind it.
    pub(super) fn on_referred_read(
        &mut self,
        now: Now,
        publisher: Publisher,
        reference: u64,
        result: super::history::ReadResult,
        mesh: &mut Mesh,
    ) {
        let Some(mut waiting) = self.lookups.waiting.remove(&publisher) else { return };
        let referred = match &result {
            Ok(page) => match page.entries.first().filter(|entry| entry.sequence == reference) {
                Some(entry) => Referred::of_frame(&entry.payload),
                // It is one of those that a crash took.
                None => Err(missing()),
            },
            Err(error) => Err(super::history::cannot_read(publisher.0, error)),
        };
        let mut referred = Some(referred);
        while let Some(next) = waiting.pop_front() {
            match next {
                Waiting::Publish(author, publish) => {
                    self.publish(now, author, publish, referred.take(), mesh)
                }
                Waiting::Attach { author, request, open } => {
                    self.on_attach(author, request, publisher.0, open, mesh);
                }
            }
            if let Some(queue) = self.lookups.queue(&publisher) {
                // That one waits now, and the rest behind it.
                queue.append(&mut waiting);
            }
        }
    }
}
