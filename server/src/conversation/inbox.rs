//! How a conversation stands for one of its members: what an inbox lists.

use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::InboxEntry;

use super::Conversations;
use crate::fanout::letter::{Delivery, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::user::letter::Listed;

impl Conversations {
    /// Says how these conversations stand for a member; those that the user has left meanwhile are left out, or
    /// named as `gone`.
    pub(super) fn on_entries(
        &self,
        session: SessionRef,
        user: UserId,
        conversations: &[ConversationId],
        (parts, gone): (u16, bool),
        mesh: &mut Mesh,
    ) {
        let listed = |id: &ConversationId| match self.inbox_entry(*id, user) {
            Some(entry) => Some(Listed::new(&entry)),
            None => gone.then(|| Listed::gone(*id)),
        };
        let entries: Vec<Listed> = conversations.iter().filter_map(listed).collect();
        if parts > 0 || !entries.is_empty() {
            mesh.deliver(session.shard, Delivery::Entries { session, entries, parts });
        }
    }

    /// The entry of a conversation in the inbox of a user; `None` where it is no member, or not for good yet.
    pub fn inbox_entry(&self, id: ConversationId, user: UserId) -> Option<InboxEntry<'_>> {
        let conversation = self.by_id.get(&id)?;
        conversation.check_reader(user).ok()?;
        let (state, member) = (&conversation.state, conversation.state.members.get(&user)?);
        let standing = conversation.standing(user, self.log.synced())?;
        Some(InboxEntry {
            conversation: id,
            head: conversation.visible,
            read: standing.read,
            delivered: standing.delivered,
            unread: state.unread(conversation.visible, standing.read),
            time_ms: state.time_ms,
            muted_until_ms: standing.muted_until_ms,
            role: member.role,
            kind: state.kind,
            name: &state.name,
        })
    }
}
