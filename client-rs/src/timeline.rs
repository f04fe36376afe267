//! What is current of a conversation: messages with their edits, deletes and reactions folded in.
//!
//! ```text
//!  live messages --.
//!  raw pages ------+--> apply --> per sequence: the message, its newest edit, its delete, each user's newest reaction
//!  current pages --'
//! ```
//!
//! Owner: whoever reads; a plain value without clock or connection. Invariants (W-53):
//! - the order in which the parts arrive does not matter, and neither does it whether one arrives twice;
//! - so folding the whole log gives the same as folding the pages of what is current, however they are cut;
//! - of a deleted message nothing is kept but that, by whom and when.
//!
//! It grows with what is applied; [`Timeline::forget_before`] bounds it. Deliberately absent: who may edit what, which the
//! server has decided before it accepted the entry.

use std::collections::BTreeMap;

use ringwire_protocol::UserId;
use ringwire_protocol::message::Kind;

use crate::core::{History, Message};

/// What is current; see the module.
///
/// ```
/// use ringwire_client::Timeline;
/// # use ringwire_client::{ConversationId, Draft, Message, UserId};
/// # fn message(sequence: u64, draft: Draft) -> Message {
/// #     Message {
/// #         conversation: ConversationId::from_name("r"), sequence, time_ms: sequence, sender: UserId::from_name("ada"),
/// #         origin: 1, client_sequence: sequence, reference: draft.reference, kind: draft.kind, body: draft.body,
/// #     }
/// # }
/// let mut timeline = Timeline::new();
/// timeline.apply(&message(1, Draft::text("helo")));
/// assert_eq!(timeline.apply(&message(2, Draft::edit(1, "hello"))), Some(1), "what is to be drawn again");
/// timeline.apply(&message(3, Draft::reaction(1, "👍")));
///
/// let entry = timeline.get(1).expect("it is there");
/// assert_eq!((entry.text(), entry.is_edited()), (Some("hello"), true));
/// assert_eq!(entry.reactions().map(|reaction| reaction.text()).collect::<Vec<_>>(), [Some("👍")]);
///
/// timeline.apply(&message(4, Draft::delete(1)));
/// let entry = timeline.get(1).expect("it is there, as one that was deleted");
/// assert!(entry.deleted().is_some() && entry.message().is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    entries: BTreeMap<u64, Entry>,
    /// Nothing before this is kept.
    first: u64,
}

/// One message as it stands now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    message: Option<Message>,
    edit: Option<Message>,
    deleted: Option<Message>,
    /// Of each user the newest; an empty one is one that was taken back.
    reactions: BTreeMap<UserId, Message>,
    /// The edit came instead of the message, because both together were too large for a page.
    stands_in: bool,
}

impl Entry {
    /// The message as it was published; `None` if it was deleted, or is too large to come beside its edit.
    pub fn message(&self) -> Option<&Message> {
        self.message.as_ref()
    }

    /// The content that counts, as text; `None` if it was deleted or is no text.
    pub fn text(&self) -> Option<&str> {
        self.content()?.text()
    }

    /// The message that has the content that counts: the newest edit, or the message itself; `None` if it was deleted.
    pub fn content(&self) -> Option<&Message> {
        let counts = self.message.is_some() || self.stands_in;
        self.edit.as_ref().filter(|_| counts).or(self.message.as_ref())
    }

    /// Whether its content was changed.
    pub fn is_edited(&self) -> bool {
        self.edit.is_some()
    }

    /// The entry that deleted it, which says who did it and when.
    pub fn deleted(&self) -> Option<&Message> {
        self.deleted.as_ref()
    }

    /// The reactions that count, one per user at most, in the order of users' ids. Their text is the reaction.
    pub fn reactions(&self) -> impl Iterator<Item = &Message> {
        self.reactions.values().filter(|reaction| !reaction.body.is_empty())
    }

    /// Whether there is anything to show: an amendment may come before what it is about.
    fn is_shown(&self) -> bool {
        self.content().is_some() || self.deleted.is_some()
    }

    /// Takes a part in; whether it changes anything.
    fn apply(&mut self, part: &Message) -> bool {
        if let Some(deleted) = &mut self.deleted {
            // Two may have deleted it at the same time: the first one did.
            let first = part.kind == Kind::Delete && part.sequence < deleted.sequence;
            if first {
                deleted.clone_from(part);
            }
            return first;
        }
        let place = match part.kind {
            Kind::Delete => {
                *self = Self { deleted: Some(part.clone()), ..Self::default() };
                return true;
            }
            Kind::Edit => &mut self.edit,
            Kind::Reaction => {
                let known = self.reactions.get(&part.sender);
                let news = known.is_none_or(|known| known.sequence < part.sequence);
                if news {
                    self.reactions.insert(part.sender, part.clone());
                }
                return news;
            }
            _ => &mut self.message,
        };
        let news = place.as_ref().is_none_or(|known| known.sequence < part.sequence);
        if news {
            *place = Some(part.clone());
        }
        news
    }
}

impl Timeline {
    /// One in which nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a message in, live or from history. The sequence of what is to be drawn (again), if anything is.
    pub fn apply(&mut self, message: &Message) -> Option<u64> {
        let sequence = message.amends().unwrap_or(message.sequence);
        if sequence < self.first {
            return None;
        }
        let entry = self.entries.entry(sequence).or_default();
        (entry.apply(message) && entry.is_shown()).then_some(sequence)
    }

    /// Takes a page of history in, of either view.
    pub fn apply_history(&mut self, history: &History) {
        for message in &history.messages {
            self.apply(message);
        }
        for amendment in &history.amendments {
            self.apply(amendment);
            if amendment.kind == Kind::Edit
                && let Some(entry) = self.entries.get_mut(&amendment.reference)
            {
                // The page answers for the message: if it is not there, only this is to be had of it.
                entry.stands_in = entry.deleted.is_none();
            }
        }
    }

    /// The message of this sequence as it stands now.
    pub fn get(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(&sequence).filter(|entry| entry.is_shown())
    }

    /// All messages as they stand now, by their sequences. Edits, deletes and reactions are in what they are about.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.is_shown()).map(|(&sequence, entry)| (sequence, entry))
    }

    /// Lets go what is older than this sequence, also what comes about it later.
    pub fn forget_before(&mut self, sequence: u64) {
        self.first = self.first.max(sequence);
        self.entries = self.entries.split_off(&self.first);
    }

    /// Messages that are kept.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

#[cfg(test)]
mod tests;
