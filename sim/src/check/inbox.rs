//! The inbox: who signs in is told of every conversation of which the user is a member, each once, newest first,
//! and as it stands.

use std::collections::BTreeMap;

use ringwire_protocol::message::{Action, Inbox};
use ringwire_protocol::{ConversationId, UserId};

use super::{Promise, Verdict};
use crate::model::Log;

use Promise::Inbox as BROKEN;

/// What one connection was told. The whole comes first, in pieces; then news, an entry at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Head and unread, by conversation.
    entries: BTreeMap<ConversationId, (u64, u64)>,
    /// When the newest message of the entry before was accepted, while the whole is coming.
    last_ms: Option<u64>,
    is_whole: bool,
    /// Not everything is kept.
    expires: bool,
}

impl Listing {
    /// Nothing was told yet; `expires`: not everything is kept.
    pub fn new(expires: bool) -> Self {
        Listing { expires, ..Listing::default() }
    }

    /// A frame has come.
    ///
    /// # Errors
    /// It says something twice, or in the wrong order, or the impossible.
    pub fn on_inbox(&mut self, inbox: &Inbox<'_>) -> Verdict {
        for entry in inbox.entries.iter() {
            let id = entry.conversation;
            if entry.head == 0 {
                let is_news = self.is_whole && entry.name.is_empty();
                BROKEN.holds(is_news, || format!("{id} is listed as one that the user is not in"))?;
                self.entries.remove(&id);
                continue;
            }
            // What is not kept any more is not unread.
            let unread = entry.head.saturating_sub(entry.read);
            let fits = entry.unread == unread || self.expires && entry.unread < unread;
            BROKEN.holds(entry.read <= entry.head && fits, || {
                format!("{id} has {} unread, read to {} of {}", entry.unread, entry.read, entry.head)
            })?;
            let known = self.entries.insert(id, (entry.head, entry.unread));
            if self.is_whole {
                let is_older = known.is_some_and(|(head, _)| entry.head < head);
                BROKEN.holds(!is_older, || format!("news of {id} is older than what was said before"))?;
                continue;
            }
            BROKEN.holds(known.is_none(), || format!("{id} is listed twice"))?;
            let in_order = self.last_ms.is_none_or(|last_ms| entry.time_ms <= last_ms);
            BROKEN.holds(in_order, || format!("{id} is newer than the one listed before it"))?;
            self.last_ms = Some(entry.time_ms);
        }
        BROKEN.holds(!self.is_whole || inbox.complete && inbox.entries.len() == 1, || {
            format!("{} conversations are listed behind the whole", inbox.entries.len())
        })?;
        self.is_whole |= inbox.complete;
        Ok(())
    }

    /// Whether the whole has come.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The world was at rest before this inbox was asked for, and the journal is this: it is all there.
    ///
    /// # Errors
    /// It is not.
    pub fn on_log(&self, user: UserId, log: &Log, ids: &[ConversationId]) -> Verdict {
        for (room, id) in ids.iter().enumerate() {
            let is_member = log.entries(room).fold(false, |is_member, (_, entry)| match entry.change {
                Some((Action::Left | Action::Removed, who)) if who == user => false,
                Some((_, who)) if who == user => true,
                _ => is_member,
            });
            let listed = self.entries.get(id).map(|(head, _)| *head);
            let expected = is_member.then(|| log.end(room));
            BROKEN.holds(listed == expected, || {
                format!("user {user} was told of room {room} up to {listed:?}, and it is {expected:?}")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ringwire_protocol::message::{ConversationKind, InboxEntry, Role};

    use super::super::exactly_once::sample;
    use super::*;
    use crate::model::Story;

    fn entry(name: &str, head: u64, time_ms: u64) -> InboxEntry<'_> {
        InboxEntry {
            conversation: ConversationId::from_name(name),
            head,
            read: 1,
            delivered: 1,
            unread: head - 1,
            time_ms,
            muted_until_ms: 0,
            role: Role::Member,
            kind: ConversationKind::Group,
            name,
        }
    }

    fn listing(frames: &[(&[InboxEntry<'_>], bool)]) -> Verdict<Listing> {
        let mut listing = Listing::default();
        for (entries, complete) in frames {
            listing.on_inbox(&Inbox { entries: (*entries).into(), complete: *complete })?;
        }
        Ok(listing)
    }

    #[test]
    fn canary_an_entry_that_comes_twice_or_too_late_or_is_impossible() {
        let (a, b) = (entry("a", 3, 20), entry("b", 4, 10));
        assert!(listing(&[(&[a], false), (&[b], true), (&[a], true)]).is_ok_and(|it| it.is_whole()));
        assert!(listing(&[(&[a, b], false), (&[a, b], true)]).is_err());
        assert!(listing(&[(&[a, b], true), (&[a, b], true)]).is_err());
        assert!(listing(&[(&[a], true), (&[entry("a", 2, 20)], true)]).is_err());
        assert!(listing(&[(&[b, a], true)]).is_err());
        assert!(listing(&[(&[InboxEntry { unread: 9, ..a }], true)]).is_err());
    }

    #[test]
    fn canary_a_conversation_that_is_missing_stale_or_not_the_users() {
        let ada = UserId::from_name("ada");
        let mut entries = vec![sample(b"x", 0); 3];
        entries[0].change = Some((Action::Created, ada));
        let log = Log { rooms: vec![Story::of(entries), Story::default()] };
        let ids = ["a", "b"].map(ConversationId::from_name);
        let (a, b) = (entry("a", 3, 20), entry("b", 1, 10));
        for (entries, fits) in
            [(&[a][..], true), (&[], false), (&[entry("a", 2, 20)], false), (&[a, b], false)]
        {
            let listing = listing(&[(entries, true)]).expect("in order");
            assert_eq!(listing.on_log(ada, &log, &ids).is_ok(), fits, "{entries:?}");
        }
    }
}
