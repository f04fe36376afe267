//! Amendments: a page of what is current is the fold of the log up to its head.
//!
//! The fold is told here a second time (W-53): what was deleted is gone, with everything else that was said about
//! it; otherwise the newest edit counts, and of each sender the newest reaction, an empty one being none.
//!
//! The verdict comes with the journal. What a page showed and a crash took, because it was not synced, is left out
//! of the comparison.

use std::collections::{BTreeMap, BTreeSet};

use ringwire_protocol::UserId;
use ringwire_protocol::message::Kind;

use super::{Promise, Room, Verdict};
use crate::model::Log;

use Promise::Amendments as BROKEN;

/// What a page said: sequences only, since what is at each is looked after by order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CurrentPage {
    /// Of which conversation.
    pub room: Room,
    /// The first and last sequence that it answers for.
    pub range: (u64, u64),
    /// How far the conversation had come.
    pub head: u64,
    /// The messages in it.
    pub messages: Vec<u64>,
    /// The amendments in it.
    pub amendments: Vec<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Amendments {
    pages: BTreeSet<CurrentPage>,
}

/// What counts of what was said about one message.
#[derive(Default)]
struct Stands {
    delete: Option<u64>,
    edit: Option<u64>,
    reactions: BTreeMap<UserId, (u64, bool)>,
}

impl Stands {
    fn amendments(&self) -> Vec<u64> {
        if let Some(delete) = self.delete {
            return vec![delete];
        }
        let reactions = self.reactions.values().filter(|(_, empty)| !empty).map(|(sequence, _)| *sequence);
        self.edit.into_iter().chain(reactions).collect()
    }
}

/// How the messages of the range stood at that head.
fn fold(log: &Log, page: &CurrentPage) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let mut stands: BTreeMap<u64, Stands> = BTreeMap::new();
    let (from, to) = page.range;
    for (sequence, entry) in log.entries(page.room).take_while(|(sequence, _)| *sequence <= page.head) {
        if !entry.kind.refers() || !(from..=to).contains(&entry.reference) {
            continue;
        }
        let about = stands.entry(entry.reference).or_default();
        match entry.kind {
            Kind::Delete => about.delete = Some(sequence),
            Kind::Edit => about.edit = Some(sequence),
            _ => _ = about.reactions.insert(entry.sender, (sequence, entry.is_empty)),
        }
    }
    let shown = log.entries(page.room).filter(|(sequence, entry)| {
        let is_gone = stands.get(sequence).is_some_and(|stands| stands.delete.is_some());
        (from..=to).contains(sequence) && !entry.kind.refers() && !is_gone
    });
    let amendments = stands.values().flat_map(Stands::amendments);
    (shown.map(|(sequence, _)| sequence).collect(), amendments.collect())
}

impl Amendments {
    /// A page of what is current leaves.
    ///
    /// # Errors
    /// Something in it is out of its range, or out of order.
    pub fn on_page(&mut self, page: CurrentPage) -> Verdict {
        let (from, to) = page.range;
        let inside = page.messages.iter().all(|sequence| (from..=to).contains(sequence));
        let known = page.amendments.iter().all(|sequence| *sequence <= page.head);
        let ordered = page.messages.is_sorted() && page.amendments.is_sorted();
        let fits = inside && known && ordered;
        let what = format!("{page:?}");
        self.pages.insert(page);
        BROKEN.holds(fits, || format!("a page is not what it says: {what}"))
    }

    /// The journal is this.
    ///
    /// # Errors
    /// A page was something else than the fold of it.
    pub fn on_log(&self, log: &Log) -> Verdict {
        for page in &self.pages {
            let (shown, counts) = fold(log, page);
            let kept = |sequence: &&u64| log.get(page.room, **sequence).is_some();
            let messages: BTreeSet<u64> = page.messages.iter().filter(kept).copied().collect();
            let amendments: BTreeSet<u64> = page.amendments.iter().filter(kept).copied().collect();
            // Alone in its page, a message that does not fit is left out where its edit comes, and so are reactions.
            let is_alone = page.range.0 == page.range.1;
            let is_kind =
                |sequence: &u64, kind| log.get(page.room, *sequence).is_some_and(|e| e.kind == kind);
            let edited = amendments.iter().any(|sequence| is_kind(sequence, Kind::Edit));
            let fits = messages == shown || (is_alone && messages.is_empty() && edited);
            let missing: Vec<u64> = counts.difference(&amendments).copied().collect();
            let cut = is_alone && missing.iter().all(|sequence| is_kind(sequence, Kind::Reaction));
            let said = amendments.is_subset(&counts) && (missing.is_empty() || cut);
            BROKEN.holds(fits && said, || {
                format!("{page:?} should have had messages {shown:?} and amendments {counts:?}")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::exactly_once::sample;
    use super::*;
    use crate::model::{Entry, Story};

    /// 1 and 2 are texts, 3 and 4 edit the first, 5 deletes the second, 6 and 7 are Ada's reactions, 8 takes back.
    fn log() -> Log {
        let ada = UserId::from_name("ada");
        let entry =
            |kind, reference, is_empty| Entry { sender: ada, kind, reference, is_empty, ..sample(b"x", 0) };
        let entries = [
            entry(Kind::Text, 0, false),
            entry(Kind::Text, 0, false),
            entry(Kind::Edit, 1, false),
            entry(Kind::Edit, 1, false),
            entry(Kind::Delete, 2, true),
            entry(Kind::Reaction, 1, false),
            entry(Kind::Reaction, 1, false),
            entry(Kind::Reaction, 1, true),
        ];
        Log { rooms: vec![Story::of(entries)] }
    }

    fn holds(range: (u64, u64), head: u64, messages: &[u64], amendments: &[u64]) -> bool {
        let mut checker = Amendments::default();
        let (messages, amendments) = (messages.to_vec(), amendments.to_vec());
        let page = CurrentPage { room: 0, range, head, messages, amendments };
        checker.on_page(page).and_then(|()| checker.on_log(&log())).is_ok()
    }

    #[test]
    fn canary_a_page_that_is_not_the_fold() {
        assert!(holds((1, 2), 2, &[1, 2], &[]));
        assert!(holds((1, 2), 3, &[1, 2], &[3]));
        assert!(holds((1, 8), 8, &[1], &[4, 5]));
        assert!(!holds((1, 2), 8, &[1, 2], &[4, 5]), "shows what was deleted");
        assert!(!holds((1, 2), 8, &[1], &[4]), "hides the delete");
        assert!(!holds((1, 2), 8, &[1], &[3, 5]), "an earlier edit");
        assert!(holds((1, 2), 7, &[1], &[4, 5, 7]));
        assert!(!holds((1, 2), 7, &[1], &[4, 5, 6]), "an earlier reaction");
        assert!(!holds((1, 2), 8, &[1], &[4, 5, 7]), "one that was taken back");
        assert!(!holds((1, 2), 4, &[1], &[4, 5]), "from behind its head");
        assert!(!holds((1, 3), 3, &[1, 2, 3], &[3]), "an amendment as a message");
    }

    #[test]
    fn a_message_alone_in_its_page_may_be_cut() {
        assert!(holds((1, 1), 7, &[1], &[4]) && holds((1, 1), 7, &[], &[4, 7]));
        assert!(!holds((1, 1), 7, &[], &[7]), "neither the message nor its edit");
        assert!(!holds((1, 2), 7, &[1], &[4, 5]), "not alone");
    }
}
