//! What was said later about the messages of a page: the fold of a bucket's log.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringwire_protocol::id::UserId;
use ringwire_protocol::message::{Kind, Message};

use super::fetch::Found;

/// What counts of the amendments of some messages.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The newest edit, by the message it is about.
    edits: BTreeMap<u64, Found>,
    /// By the message that is gone.
    deletes: BTreeMap<u64, Found>,
    /// The newest of each sender, by the message it is about.
    reactions: BTreeMap<(u64, UserId), Found>,
    /// The same, by their own sequence.
    by_age: BTreeMap<u64, (u64, UserId)>,
    reaction_bytes: usize,
}

/// A message as it stands: its frame if there is something to show, and what counts of what was said later.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub frame: Option<Bytes>,
    pub amendments: Vec<Found>,
}

impl Standing {
    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        let amendments = self.amendments.iter().map(|(_, frame)| frame.len());
        self.frame.as_ref().map_or(0, Bytes::len) + amendments.sum::<usize>()
    }
}

impl Changes {
    /// Takes in the next amendment. Where the reactions to all messages together are more than
    /// `reaction_bytes_max`, the oldest are let go.
    pub fn take(&mut self, message: &Message<'_>, frame: Bytes, reaction_bytes_max: usize) {
        let (sequence, about) = (message.sequence, message.reference);
        match message.kind {
            Kind::Edit => {
                self.edits.insert(about, (sequence, frame));
            }
            Kind::Delete => {
                self.deletes.insert(about, (sequence, frame));
            }
            Kind::Reaction => {
                let key = (about, message.sender);
                self.let_go(key);
                // One without content takes the one before back.
                if !message.body.is_empty() {
                    self.reaction_bytes += frame.len();
                    self.reactions.insert(key, (sequence, frame));
                    self.by_age.insert(sequence, key);
                }
                while self.reaction_bytes > reaction_bytes_max
                    && let Some((_, oldest)) = self.by_age.first_key_value()
                {
                    self.let_go(*oldest);
                }
            }
            _ => {}
        }
    }

    fn let_go(&mut self, key: (u64, UserId)) {
        if let Some((sequence, frame)) = self.reactions.remove(&key) {
            self.by_age.remove(&sequence);
            self.reaction_bytes -= frame.len();
        }
    }

    /// How a message stands. Amendments are no messages of their own here: they are shown with what they are about.
    pub fn apply(&self, (sequence, frame): &Found, kind: Kind) -> Standing {
        if let Some(delete) = self.deletes.get(sequence) {
            return Standing { frame: None, amendments: vec![delete.clone()] };
        }
        let edit = self.edits.get(sequence).cloned();
        let of_message = (*sequence, UserId::ZERO)..=(*sequence, UserId::from_bytes([0xff; 16]));
        let reactions = self.reactions.range(of_message).map(|(_, reaction)| reaction.clone());
        let mut amendments: Vec<Found> = edit.into_iter().chain(reactions).collect();
        amendments.sort_unstable_by_key(|(sequence, _)| *sequence);
        Standing { frame: (!kind.refers()).then(|| frame.clone()), amendments }
    }
}

/// Brings one that is alone in its page down to the size of a frame: of the reactions the newest stay, and of a
/// long message with a long edit the edit.
pub(super) fn cut(standing: &mut Standing, page_bytes_max: usize, frame_bytes_max: usize) {
    while standing.bytes() > page_bytes_max
        && let Some(oldest) = standing.amendments.iter().position(|(_, frame)| is_reaction(frame))
    {
        standing.amendments.remove(oldest);
    }
    if standing.bytes() > frame_bytes_max {
        standing.frame = None;
    }
}

fn is_reaction(frame: &Bytes) -> bool {
    crate::store::message(frame).is_ok_and(|message| message.kind == Kind::Reaction)
}

#[cfg(test)]
mod tests {
    use ringwire_protocol::id::ConversationId;
    use ringwire_protocol::message::Encoder;

    use super::*;

    fn amendment(sequence: u64, sender: &str, kind: Kind, reference: u64, body: &[u8]) -> (Found, usize) {
        let mut frame = Vec::new();
        of(sequence, sender, kind, reference, body).encode(&mut Encoder::new(), &mut frame);
        let bytes = frame.len();
        ((sequence, frame.into()), bytes)
    }

    fn of<'a>(sequence: u64, sender: &str, kind: Kind, reference: u64, body: &'a [u8]) -> Message<'a> {
        Message {
            conversation: ConversationId::from_name("lobby"),
            sequence,
            time_ms: 1,
            sender: UserId::from_name(sender),
            origin: 1,
            client_sequence: sequence,
            reference,
            kind,
            body,
        }
    }

    type Said<'a> = (u64, &'a str, Kind, u64, &'a [u8]);

    fn changes(all: &[Said<'_>], bytes_max: usize) -> Changes {
        let mut changes = Changes::default();
        for (sequence, sender, kind, reference, body) in all {
            let ((_, frame), _) = amendment(*sequence, sender, *kind, *reference, body);
            changes.take(&of(*sequence, sender, *kind, *reference, body), frame, bytes_max);
        }
        changes
    }

    fn stands(changes: &Changes, sequence: u64) -> (bool, Vec<u64>) {
        let standing = changes.apply(&(sequence, Bytes::from_static(b"text")), Kind::Text);
        (standing.frame.is_some(), standing.amendments.iter().map(|(sequence, _)| *sequence).collect())
    }

    #[test]
    fn the_newest_edit_counts_and_a_delete_hides_everything() {
        use Kind::{Delete, Edit, Reaction};
        let all: [Said<'_>; 5] = [
            (5, "ada", Edit, 1, b"a"),
            (6, "ada", Edit, 1, b"b"),
            (7, "ada", Edit, 2, b"c"),
            (8, "bob", Reaction, 2, b"+"),
            (9, "ada", Delete, 2, b""),
        ];
        let changes = changes(&all, usize::MAX);
        assert_eq!(stands(&changes, 1), (true, vec![6]));
        assert_eq!(stands(&changes, 2), (false, vec![9]));
        assert_eq!(stands(&changes, 3), (true, vec![]));
        let entry = changes.apply(&(5, Bytes::from_static(b"edit")), Edit);
        assert_eq!(entry, Standing { frame: None, amendments: Vec::new() });
    }

    #[test]
    fn of_each_sender_the_newest_reaction_counts_and_of_too_many_the_oldest_go() {
        use Kind::{Edit, Reaction};
        let all: [Said<'_>; 6] = [
            (5, "ada", Reaction, 1, b"+"),
            (6, "bob", Reaction, 1, b"-"),
            (7, "ada", Reaction, 1, b"!"),
            (8, "ada", Edit, 1, b"text"),
            (9, "eve", Reaction, 1, b"?"),
            (10, "bob", Reaction, 1, b""),
        ];
        assert_eq!(stands(&changes(&all[..5], usize::MAX), 1), (true, vec![6, 7, 8, 9]));
        assert_eq!(stands(&changes(&all, usize::MAX), 1), (true, vec![7, 8, 9]));
        let two = 2 * amendment(5, "ada", Reaction, 1, b"+").1;
        assert_eq!(stands(&changes(&all[..5], two), 1), (true, vec![7, 8, 9]));
    }

    #[test]
    fn a_message_alone_in_its_page_is_cut_to_fit() {
        let all: [Said<'_>; 3] = [
            (4, "ada", Kind::Edit, 1, b"text"),
            (5, "ada", Kind::Reaction, 1, b"+"),
            (6, "bob", Kind::Reaction, 1, b"+"),
        ];
        let changes = changes(&all, usize::MAX);
        let whole = || changes.apply(&(1, Bytes::from(vec![0; 500])), Kind::Text);
        let bytes = whole().bytes();
        let reaction = amendment(5, "ada", Kind::Reaction, 1, b"+").1;
        let after = |page_bytes_max, frame_bytes_max| {
            let mut standing = whole();
            cut(&mut standing, page_bytes_max, frame_bytes_max);
            let left: Vec<u64> = standing.amendments.iter().map(|(sequence, _)| *sequence).collect();
            (standing.frame.is_some(), left)
        };
        assert_eq!(after(bytes, bytes), (true, vec![4, 5, 6]));
        assert_eq!(after(bytes - 1, bytes), (true, vec![4, 6]));
        assert_eq!(after(0, bytes), (true, vec![4]));
        assert_eq!(after(0, bytes - 2 * reaction - 1), (false, vec![4]));
    }
}
