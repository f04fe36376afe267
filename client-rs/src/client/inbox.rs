//! The user's conversations as the server has listed them: the latest about each.
//!
//! Owner: `Shared`, under its lock, for the client's life. Each connection begins with the whole list, which takes the place
//! of what was known before: a conversation that was left meanwhile is not in it.

use std::collections::BTreeMap;

use ringwire_protocol::ConversationId;

use crate::core::InboxEntry;
use crate::limits::INBOX_MAX;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    entries: BTreeMap<ConversationId, InboxEntry>,
    /// The next part is the first of a new list.
    begins: bool,
}

impl Inbox {
    /// There is a new connection.
    pub(super) fn on_connected(&mut self) {
        self.begins = true;
    }

    /// A part of the list came, or something has changed.
    pub(super) fn on_entries(&mut self, entries: &[InboxEntry]) {
        if std::mem::take(&mut self.begins) {
            self.entries.clear();
        }
        for entry in entries {
            if entry.is_gone() {
                self.entries.remove(&entry.conversation);
            } else if self.entries.len() < INBOX_MAX || self.entries.contains_key(&entry.conversation) {
                self.entries.insert(entry.conversation, entry.clone());
            }
        }
    }

    /// The newest first.
    pub(super) fn list(&self) -> Vec<InboxEntry> {
        let mut list: Vec<InboxEntry> = self.entries.values().cloned().collect();
        list.sort_by(|a, b| b.time_ms.cmp(&a.time_ms).then_with(|| a.name.cmp(&b.name)));
        list
    }
}

#[cfg(test)]
mod tests {
    use ringwire_protocol::message::{ConversationKind, Role};

    use super::*;

    fn entry(name: &str, time_ms: u64) -> InboxEntry {
        InboxEntry {
            conversation: ConversationId::from_name(name),
            name: name.to_owned(),
            head: 1,
            read: 0,
            delivered: 0,
            unread: 1,
            muted_until_ms: 0,
            time_ms,
            role: Role::Member,
            kind: ConversationKind::Group,
        }
    }

    fn names(inbox: &Inbox) -> Vec<String> {
        inbox.list().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn the_latest_counts_and_a_new_list_takes_the_place_of_the_old_one() {
        let mut inbox = Inbox::default();
        inbox.on_connected();
        inbox.on_entries(&[entry("a", 2), entry("b", 1)]);
        inbox.on_entries(&[entry("c", 3)]);
        assert_eq!(names(&inbox), ["c", "a", "b"]);
        inbox.on_entries(&[entry("b", 9)]);
        assert_eq!(names(&inbox), ["b", "c", "a"]);
        inbox.on_entries(&[InboxEntry { head: 0, ..entry("b", 0) }, InboxEntry { head: 0, ..entry("x", 0) }]);
        assert_eq!(names(&inbox), ["c", "a"], "the user is in b no more");
        inbox.on_entries(&[entry("b", 9)]);
        inbox.on_connected();
        assert_eq!(names(&inbox), ["b", "c", "a"], "what is known is shown until it is known better");
        inbox.on_entries(&[entry("a", 2)]);
        assert_eq!(names(&inbox), ["a"]);
    }
}
