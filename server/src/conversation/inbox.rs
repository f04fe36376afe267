//! How a conversation stands for one of its members: what an inbox lists.

use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::InboxEntry;

use super::Conversations;

impl Conversations {
    /// The entry of a conversation in the inbox of a user; `None` where it is no member, or not for good yet.
    pub fn inbox_entry(&self, id: ConversationId, user: UserId) -> Option<InboxEntry<'_>> {
        let conversation = self.by_id.get(&id)?;
        conversation.check_reader(user).ok()?;
        let (state, member) = (&conversation.state, conversation.state.members.get(&user)?);
        Some(InboxEntry {
            conversation: id,
            head: conversation.visible,
            read: member.read,
            delivered: member.delivered,
            unread: conversation.visible.saturating_sub(member.read),
            time_ms: state.time_ms,
            muted_until_ms: member.muted_until_ms,
            role: member.role,
            kind: state.kind,
            name: &state.name,
        })
    }
}
