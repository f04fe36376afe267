//! What others may see of a user.

use ringwire_protocol::code::Code;
use ringwire_protocol::id::UserId;

use super::Users;
use super::state::Note;
use crate::clock::Now;
use crate::conversation::BUSY_RETRY_MS;
use crate::fanout::letter::Author;
use crate::fanout::mesh::Mesh;
use crate::store::{AppendError, Log};

impl Users {
    /// Whether the user allows to say when he was last seen, which is kept, and whether he is looking, which is
    /// forgotten with the last session.
    pub(super) fn on_settings(
        &mut self,
        now: Now,
        author: Author,
        request: u32,
        (share_last_seen, away): (bool, bool),
        log: &mut Log,
        mesh: &mut Mesh,
    ) {
        let Author { user, session, .. } = author;
        if let Some(user) = self.by_id.get_mut(&user) {
            user.away = away;
        }
        if self.shares_last_seen(user) == share_last_seen {
            return self.confirm(log.appended(), session, request, log, mesh);
        }
        match self.note(now, user, Note::Settings { share_last_seen }, log) {
            Ok(entry) => self.confirm(entry, session, request, log, mesh),
            Err(AppendError::Full { .. }) => {
                let reason = "the journal is behind; send again";
                self.refuse(session, request, Code::OVERLOADED, BUSY_RETRY_MS, reason, mesh);
            }
            Err(error) => {
                self.refuse(session, request, Code::STORAGE_FAILED, 0, &error.to_string(), mesh);
            }
        }
    }

    fn shares_last_seen(&self, user: UserId) -> bool {
        self.durable.get(&user).is_some_and(|state| state.share_last_seen)
    }

    /// The last session of a user has ended or fallen silent. Known until the process ends.
    pub(super) fn note_seen(&mut self, now: Now, user: UserId) {
        if self.shares_last_seen(user) {
            self.seen.insert(user, now.unix_ms);
        }
    }
}
