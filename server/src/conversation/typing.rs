//! Somebody types: told to those who receive the conversation, and forgotten.

use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Role, TypingNotice};

use super::Conversations;
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Author, Delivery, Reach};
use crate::fanout::mesh::Mesh;
use crate::limits::{TYPING_LARGE_BURST, TYPING_LARGE_INTERVAL_MS};

impl Conversations {
    pub(super) fn on_typing(
        &mut self,
        now: Now,
        author: Author,
        id: ConversationId,
        active: bool,
        mesh: &mut Mesh,
    ) {
        let push_below = self.limits.push_below;
        let Some(conversation) = self.by_id.get_mut(&id) else { return };
        // Who may not publish is not about to.
        let writes = conversation.state.members.get(&author.user).is_some_and(|it| it.role >= Role::Member);
        if !writes || conversation.check_reader(author.user).is_err() {
            return;
        }
        let reach =
            if conversation.state.members.len() < push_below { Reach::Everybody } else { Reach::Open };
        let now_ms = now.monotonic_ms();
        if reach == Reach::Open
            && !conversation.typing.take(now_ms, TYPING_LARGE_INTERVAL_MS, TYPING_LARGE_BURST)
        {
            return;
        }
        self.counters.typing += 1;
        let notice = TypingNotice { conversation: id, user: author.user, active };
        notice.encode(&mut self.encoder, &mut self.scratch);
        let frame = Encoded::new(&self.scratch);
        self.scratch.clear();
        for (shard, _) in &conversation.watchers {
            let (frame, except) = (frame.clone(), Some(author.session));
            mesh.deliver(*shard, Delivery::Notice { conversation: id, reach, frame, except });
        }
    }
}
