//! How far members are: up to where they have read, and up to where a device of theirs has it.
//!
//! ```text
//!   Read, Delivered --> moved, in memory --at most once a second--> one note --synced--> Receipt
//! ```
//!
//! Cursors only grow. Many move at once, so they are written together, and told when they are durable: what was
//! shown of a cursor is never taken back. A crash before that loses the movement; the client says it again.

use std::collections::BTreeMap;

use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Receipt, ReceiptKind};

use super::awaiting::Awaiting;
use super::state::{NOTE_MEMBER_BYTES, Standing, put_note};
use super::{Conversation, Conversations, MemberState, Refusal, Which};
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Author, Delivery, Reach, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::limits::{CURSOR_INTERVAL_MS, NOTE_MEMBERS_MAX};
use crate::store::EntryNumber;

/// Cursors of a conversation that were moved and are not written. Lives as long as they do, and for the interval
/// after that.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    moved: BTreeMap<UserId, Moved>,
}

/// Where a member's cursors are now, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    user: UserId,
    read: u64,
    delivered: u64,
    /// It has read more, not only got more.
    has_read: bool,
    by: SessionRef,
}

/// A note that may not be synced yet, and how its member stood before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noting {
    pub(super) user: UserId,
    pub(super) entry: EntryNumber,
    pub(super) before: Standing,
}

impl Standing {
    fn of(member: &MemberState) -> Self {
        let (read, delivered) = (member.read, member.delivered);
        Standing { read, delivered, muted_until_ms: member.muted_until_ms }
    }
}

impl Conversation {
    /// How a member stands for good: what is noted and not synced may be gone after a crash, and is not shown.
    pub(super) fn standing(&self, user: UserId, synced: EntryNumber) -> Option<Standing> {
        let member = self.state.members.get(&user)?;
        let unsynced = self.noting.iter().find(|noting| noting.user == user && noting.entry > synced);
        Some(unsynced.map_or_else(|| Standing::of(member), |noting| noting.before))
    }
}

impl Conversations {
    /// A member says how far it is.
    pub(super) fn on_cursor(
        &mut self,
        now: Now,
        author: Author,
        id: ConversationId,
        kind: ReceiptKind,
        sequence: u64,
        mesh: &mut Mesh,
    ) {
        if let Err(refusal) = self.move_cursor(now, &author, id, kind, sequence) {
            self.reject(author.session, id, Which::Request(0), &refusal, mesh);
        }
    }

    fn move_cursor(
        &mut self,
        now: Now,
        author: &Author,
        id: ConversationId,
        kind: ReceiptKind,
        sequence: u64,
    ) -> Result<(), Refusal> {
        let conversation = self.by_id.get_mut(&id).ok_or_else(Refusal::not_a_member)?;
        conversation.check_reader(author.user)?;
        if sequence > conversation.visible {
            let reason = format!(
                "the conversation ends with {}; a cursor names a sequence that was received",
                conversation.visible
            );
            return Err(Refusal::new(Code::CURSOR_BEYOND_HEAD, reason));
        }
        let Some(member) = conversation.state.members.get(&author.user) else { return Ok(()) };
        let written = Moved {
            user: author.user,
            read: member.read,
            delivered: member.delivered,
            has_read: false,
            by: author.session,
        };
        let pending = conversation.cursors.as_ref().and_then(|cursors| cursors.moved.get(&author.user));
        let before = pending.copied().unwrap_or(written);
        let read = if kind == ReceiptKind::Read { sequence } else { 0 };
        let moved = Moved {
            read: before.read.max(read),
            delivered: before.delivered.max(sequence),
            has_read: before.has_read || read > before.read,
            by: author.session,
            ..before
        };
        if (moved.read, moved.delivered) == (before.read, before.delivered) {
            return Ok(());
        }
        let cursors = conversation.cursors.get_or_insert_with(|| {
            self.due.insert((now.monotonic_ms(), id));
            Box::default()
        });
        cursors.moved.insert(author.user, moved);
        Ok(())
    }

    /// Writes the cursors whose time has come.
    pub(super) fn write_cursors(&mut self, now: Now) {
        while let Some((due_ms, id)) = self.due.first().copied() {
            if due_ms > now.monotonic_ms() {
                return;
            }
            self.due.pop_first();
            let Some(conversation) = self.by_id.get_mut(&id) else { continue };
            let moved = conversation.cursors.as_mut().map(|cursors| std::mem::take(&mut cursors.moved));
            let Some(moved) = moved.filter(|moved| !moved.is_empty()) else {
                // Nothing since the last ones were written.
                conversation.cursors = None;
                continue;
            };
            self.due.insert((now.monotonic_ms() + CURSOR_INTERVAL_MS, id));
            let mut moved: Vec<Moved> = moved.into_values().collect();
            while !moved.is_empty() {
                let rest = moved.split_off(moved.len().min(self.note_members_max()));
                if !self.write_moved(now, id, moved) {
                    return;
                }
                moved = rest;
            }
        }
    }

    /// Writes one note. Whether the journal takes more.
    fn write_moved(&mut self, now: Now, id: ConversationId, mut moved: Vec<Moved>) -> bool {
        moved.retain(|moved| self.is_member(id, moved.user));
        if moved.is_empty() {
            // They have all left meanwhile: nothing is written, so nothing may wait for its sync.
            return true;
        }
        let users: Vec<UserId> = moved.iter().map(|moved| moved.user).collect();
        let mut at = moved.iter();
        let noted = self.check_writable().and_then(|()| {
            self.note_standing(now, id, &users, |standing| {
                if let Some(moved) = at.next() {
                    (standing.read, standing.delivered) = (moved.read, moved.delivered);
                }
            })
        });
        match noted {
            Ok(()) => {
                let time_ms = now.unix_ms;
                self.await_sync(Awaiting::Moved { conversation: id, time_ms, cursors: moved });
                true
            }
            Err(_) => {
                // The journal is behind: they are written the next time, with what has moved until then.
                let cursors = self.by_id.get_mut(&id).and_then(|conversation| conversation.cursors.as_mut());
                if let Some(cursors) = cursors {
                    cursors.moved.extend(moved.into_iter().map(|moved| (moved.user, moved)));
                }
                false
            }
        }
    }

    /// Notes how members stand from now on; `change` is called for each, in this order.
    pub(super) fn note_standing(
        &mut self,
        now: Now,
        id: ConversationId,
        users: &[UserId],
        mut change: impl FnMut(&mut Standing),
    ) -> Result<(), Refusal> {
        let Some(conversation) = self.by_id.get_mut(&id) else { return Ok(()) };
        let mut note = Vec::with_capacity(users.len() * NOTE_MEMBER_BYTES);
        let mut standings = Vec::with_capacity(users.len());
        for user in users {
            let Some(member) = conversation.state.members.get(user) else { continue };
            let mut standing = Standing::of(member);
            change(&mut standing);
            put_note(&mut note, *user, standing);
            standings.push((*user, standing));
        }
        if standings.is_empty() {
            return Ok(());
        }
        #[cfg(feature = "planted-bugs")]
        if self.bugs.forgets_cursors {
            note.clear();
        }
        let synced = self.log.synced();
        let entry = self
            .log
            .note_members(id, conversation.state.head, now.unix_ms, &note)
            .map_err(|error| Refusal::of_append(&error))?;
        conversation.noting.retain(|noting| noting.entry > synced);
        for (user, standing) in standings {
            if let Some(member) = conversation.state.members.get(&user) {
                conversation.noting.push(Noting { user, entry, before: Standing::of(member) });
            }
            conversation.state.apply_note(user, standing);
        }
        Ok(())
    }

    /// Who is out has no cursors, and gets new ones when it comes back.
    pub(super) fn forget_moved(&mut self, id: ConversationId, user: UserId) {
        let cursors = self.by_id.get_mut(&id).and_then(|conversation| conversation.cursors.as_mut());
        if let Some(cursors) = cursors {
            cursors.moved.remove(&user);
        }
    }

    /// Who joins has read what was before, as far as counting goes.
    pub(super) fn begin_reading(&mut self, now: Now, id: ConversationId, user: UserId, sequence: u64) {
        // Where the journal takes no more, it counts as unread until the user has read something.
        let _ = self.note_standing(now, id, &[user], |standing| {
            (standing.read, standing.delivered) = (sequence, sequence);
        });
    }

    fn note_members_max(&self) -> usize {
        NOTE_MEMBERS_MAX.min(self.log.payload_bytes_max() / NOTE_MEMBER_BYTES)
    }

    /// Tells who asks for members how far they are, where everybody is told of everybody: what was told while
    /// nobody listened is not lost.
    pub(super) fn tell_cursors(
        &mut self,
        author: &Author,
        id: ConversationId,
        users: &[UserId],
        mesh: &mut Mesh,
    ) {
        let synced = self.log.synced();
        let Some(conversation) = self.by_id.get(&id) else { return };
        if conversation.state.members.len() >= self.limits.push_below {
            return;
        }
        for user in users.iter().filter(|user| **user != author.user) {
            let Some(Standing { read, delivered, .. }) = conversation.standing(*user, synced) else {
                continue;
            };
            let cursors = [(ReceiptKind::Read, read, 0), (ReceiptKind::Delivered, delivered, read)];
            for (kind, sequence, _) in cursors.into_iter().filter(|(_, sequence, known)| sequence > known) {
                let receipt = Receipt { conversation: id, user: *user, sequence, time_ms: 0, kind };
                receipt.encode(&mut self.encoder, &mut self.scratch);
            }
        }
        if !self.scratch.is_empty() {
            // One message of several frames.
            self.reply(author.session, Answers::Other, mesh);
        }
    }

    /// Cursors are durable: the others are told, and the user's other devices.
    pub(super) fn show_cursors(
        &mut self,
        id: ConversationId,
        time_ms: u64,
        cursors: &[Moved],
        mesh: &mut Mesh,
    ) {
        let synced = self.log.synced();
        let Some(conversation) = self.by_id.get_mut(&id) else { return };
        conversation.noting.retain(|noting| noting.entry > synced);
        if conversation.counting.is_some() {
            self.recount(id);
        }
        let Some(conversation) = self.by_id.get(&id) else { return };
        if conversation.state.members.len() >= self.limits.push_below {
            return;
        }
        for moved in cursors.iter().filter(|moved| conversation.state.members.contains_key(&moved.user)) {
            let (kind, sequence) = match moved.has_read {
                true => (ReceiptKind::Read, moved.read),
                false => (ReceiptKind::Delivered, moved.delivered),
            };
            let receipt = Receipt { conversation: id, user: moved.user, sequence, time_ms, kind };
            receipt.encode(&mut self.encoder, &mut self.scratch);
            let frame = Encoded::new(&self.scratch);
            self.scratch.clear();
            for (shard, _) in &conversation.watchers {
                let (reach, frame, except) = (Reach::Everybody, frame.clone(), Some(moved.by));
                mesh.deliver(*shard, Delivery::Notice { conversation: id, reach, frame, except });
            }
        }
    }
}
