//! Which conversations a user is a member of: what the inbox is made of.
//!
//! The truth is with the owners, in the conversations' own entries. This is an index over it, built at the start
//! from all members of all conversations, and kept up to date by a letter for each change that is synced. So it
//! is never written, and a message costs it nothing: how a conversation stands is asked when somebody signs in.
//!
//! Owner: the home shard. 16 bytes per membership and about 70 per user that has any.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{CAPABILITY_INBOX, PresenceState};

use super::{Place, Users};
use crate::fanout::letter::{Delivery, Request, SessionRef, ShardIndex, owner_of};
use crate::fanout::mesh::Mesh;
use crate::limits::ENTRIES_PER_LETTER;

/// The memberships of the users of one home.
#[derive(Default)]
pub struct Belongs {
    by_user: HashMap<UserId, Vec<ConversationId>, RandomState>,
    memberships: usize,
}

impl Belongs {
    /// A user is a member. Whether that is new.
    pub fn add(&mut self, user: UserId, conversation: ConversationId) -> bool {
        let list = self.by_user.entry(user).or_default();
        if list.contains(&conversation) {
            return false;
        }
        if list.len() == list.capacity() {
            // Many users with few conversations: doubling would waste a third of all this.
            list.reserve_exact(1 + list.len() / 4);
        }
        list.push(conversation);
        self.memberships += 1;
        true
    }

    /// A user is a member no more. Whether that is new.
    pub fn remove(&mut self, user: UserId, conversation: ConversationId) -> bool {
        let Some(list) = self.by_user.get_mut(&user) else { return false };
        let found = list.iter().position(|other| *other == conversation);
        if let Some(at) = found {
            list.swap_remove(at);
            self.memberships -= 1;
        }
        if list.is_empty() {
            self.by_user.remove(&user);
        }
        found.is_some()
    }

    /// The conversations of a user, in no order.
    pub fn of(&self, user: UserId) -> &[ConversationId] {
        self.by_user.get(&user).map_or(&[], Vec::as_slice)
    }

    /// How many memberships there are.
    pub fn len(&self) -> usize {
        self.memberships
    }

    /// Whether nobody is a member of anything.
    pub fn is_empty(&self) -> bool {
        self.memberships == 0
    }
}

/// Whether a client with these capabilities wants an inbox.
pub(super) fn wants_inbox(capabilities: u64) -> bool {
    capabilities & CAPABILITY_INBOX != 0
}

impl Users {
    /// A membership is synced: a user is in, or changed there, or is out. Who has an inbox open is told by the owner
    /// how it stands there, so that what is said of one conversation comes in the order in which it happened.
    pub(super) fn on_member(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        is_member: bool,
        mesh: &mut Mesh,
    ) {
        let is_new = match is_member {
            true => self.belongs.add(user, conversation),
            false => self.belongs.remove(user, conversation),
        };
        if is_new && self.state(user) != PresenceState::Offline {
            self.counted.on_member(conversation, is_member);
        }
        let list = self.by_id.get(&user).map_or(Place::NONE, |user| user.sessions);
        for live in self.sessions.of(list).filter(|live| live.wants_inbox) {
            let owner = owner_of(conversation, mesh.shards());
            let (session, conversations) = (live.session(), [conversation].into());
            let gone = !is_member;
            mesh.tell(owner, Request::Entries { session, user, conversations, parts: 0, gone });
        }
    }

    /// A session wants all conversations of its user: each owner is asked for those that it has.
    pub(super) fn ask_inbox(&self, user: UserId, session: SessionRef, mesh: &mut Mesh) {
        let shards = mesh.shards();
        let mut by_owner: Vec<Vec<ConversationId>> = vec![Vec::new(); usize::from(shards)];
        for conversation in self.belongs.of(user) {
            by_owner[usize::from(owner_of(*conversation, shards))].push(*conversation);
        }
        let letters: usize = by_owner.iter().map(|list| list.len().div_ceil(ENTRIES_PER_LETTER)).sum();
        let Ok(parts @ 1..) = u16::try_from(letters) else {
            // None. As many as there is no number for would be thirty million.
            let entries = Vec::new();
            return mesh.deliver(session.shard, Delivery::Entries { session, entries, parts: 1 });
        };
        for (owner, list) in (0..).zip(by_owner) {
            self.ask_owner(user, session, owner, &list, parts, mesh);
        }
    }

    fn ask_owner(
        &self,
        user: UserId,
        session: SessionRef,
        owner: ShardIndex,
        list: &[ConversationId],
        parts: u16,
        mesh: &mut Mesh,
    ) {
        for piece in list.chunks(ENTRIES_PER_LETTER) {
            let conversations = piece.into();
            mesh.tell(owner, Request::Entries { session, user, conversations, parts, gone: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_is_known_once_and_forgotten_whole() {
        let mut belongs = Belongs::default();
        let user = UserId::from_name("ada");
        let rooms: Vec<_> = (0..20).map(|i| ConversationId::from_name(&format!("room-{i}"))).collect();
        for room in rooms.iter().chain(&rooms) {
            let known = belongs.of(user).contains(room);
            assert_eq!(belongs.add(user, *room), !known);
        }
        assert_eq!((belongs.len(), belongs.of(user).len()), (20, 20));
        assert!(belongs.of(UserId::from_name("bob")).is_empty());
        for room in &rooms {
            belongs.remove(user, *room);
            belongs.remove(user, *room);
        }
        assert!(belongs.is_empty() && belongs.by_user.is_empty(), "nothing is kept of who is in nothing");
    }
}
