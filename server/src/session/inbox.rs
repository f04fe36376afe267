//! The inbox of a session that wants one: parts from every owner, put together, sent newest first.
//!
//! ```text
//!   home ── Entries (which) ──► owners ── Entries (how they stand) ──► here: gather, sort ──► Inbox, Inbox, ...
//! ```
//!
//! The newest leave in the first frame, so that somebody who was away for a month sees at once what matters; the
//! rest follows at the pace at which the connection takes it, a frame per turn, and never waits in an outbox.
//!
//! Lifetime: a gathering lives from `Hello` to the last frame, and dies with the session. What is news meanwhile
//! waits for the end of it, unless a part that comes later says the same.

use ringwire_driver::ConnectionId;
use ringwire_protocol::limits::INBOX_ENTRIES_MAX;
use ringwire_protocol::message::{Inbox, InboxEntry};

use super::Sessions;
use crate::fanout::letter::SessionRef;
use crate::user::letter::Listed;

/// What an entry takes in a frame besides its name, bytes.
const ENTRY_BYTES: usize = 128;

/// An inbox on its way to a session.
#[derive(Default)]
pub(super) struct Gathering {
    /// How many parts have come.
    parts: u16,
    entries: Vec<Listed>,
    news: Vec<Listed>,
    /// How many were sent.
    sent: usize,
    /// All parts have come.
    is_whole: bool,
}

impl Gathering {
    /// The entries of the next frame, and whether they are the last.
    fn next(&mut self, bytes_max: usize) -> (&[Listed], bool) {
        let (from, mut bytes) = (self.sent, 0);
        let fit = self.entries[from..].iter().take(INBOX_ENTRIES_MAX).take_while(|entry| {
            let first = bytes == 0;
            bytes += ENTRY_BYTES + entry.name.len();
            first || bytes <= bytes_max
        });
        self.sent += fit.count();
        (&self.entries[from..self.sent], self.sent == self.entries.len())
    }
}

impl Sessions {
    /// Part of an inbox, one of `parts`; 0: news about a conversation, which is sent as it is.
    pub(super) fn on_entries(&mut self, session: SessionRef, entries: Vec<Listed>, parts: u16) {
        if self.of_session(session).is_none() {
            return;
        }
        let id = session.connection;
        let gathering = self.inboxes.get_mut(&id.slot);
        match (gathering, parts) {
            (Some(gathering), 0) => {
                gathering.news.retain(|old| entries.iter().all(|new| new.conversation != old.conversation));
                gathering.news.extend(entries);
            }
            (Some(gathering), parts) => {
                // An owner's letters come in order: what it said before this is older.
                gathering.news.retain(|old| entries.iter().all(|new| new.conversation != old.conversation));
                gathering.entries.extend(entries);
                gathering.parts += 1;
                if gathering.parts == parts {
                    gathering.is_whole = true;
                    let newest_first =
                        |entry: &Listed| std::cmp::Reverse((entry.time_ms, entry.conversation));
                    gathering.entries.sort_by_key(newest_first);
                    self.inboxes_due.push(id);
                }
            }
            (None, 0) => self.say_inbox(id, &entries, true),
            (None, _) => unreachable!("parts come to a session that waits for them"),
        }
    }

    /// Sends a frame to each session whose inbox is not all sent, but those that are stalled.
    pub(super) fn send_inboxes(&mut self) {
        for id in std::mem::take(&mut self.inboxes_due) {
            let bytes_max = self.terms.limits.page_bytes_max;
            let ready = self.get_mut(id).is_some_and(|connection| connection.stalled.is_none());
            if !ready {
                // It is due again when the connection takes bytes.
                continue;
            }
            let Some(mut gathering) = self.inboxes.remove(&id.slot) else { continue };
            if !gathering.is_whole {
                self.inboxes.insert(id.slot, gathering);
                continue;
            }
            let (entries, complete) = gathering.next(bytes_max);
            self.say_inbox(id, entries, complete);
            if !complete {
                self.inboxes.insert(id.slot, gathering);
                self.inboxes_due.push(id);
                continue;
            }
            for news in &gathering.news {
                self.say_inbox(id, std::slice::from_ref(news), true);
            }
        }
    }

    fn say_inbox(&mut self, id: ConnectionId, entries: &[Listed], complete: bool) {
        let entries: Vec<InboxEntry<'_>> = entries.iter().map(Listed::entry).collect();
        let inbox = Inbox { entries: entries.as_slice().into(), complete };
        self.counters.inbox_entries += entries.len() as u64;
        self.say(id, |encoder, out| inbox.encode(encoder, out));
    }
}
