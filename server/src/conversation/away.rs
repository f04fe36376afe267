//! Members who are away and are to be woken: once per conversation until they return, and at no cost per message
//! where there are none.

use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::Kind;

use super::{Conversation, Conversations};
use crate::clock::Now;
use crate::fanout::letter::{Request, home_of};
use crate::fanout::mesh::Mesh;
use crate::limits::WAKE_LATE_MS;
use crate::store::message;
use crate::user::letter::HomeLetter;

/// Whether messages of this kind wake those who are away. What only says something about an earlier one does not,
/// nor does who came and went.
pub(super) fn wakes(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::Media | Kind::Application)
}

impl Conversation {
    /// Whether the newest message is one that wakes this user. It is in memory, unless the server has started since:
    /// then the last run may have been killed before it woke anybody, and once too often is better than never.
    fn newest_wakes(&self, user: UserId) -> bool {
        let newest = self.tail.from(self.visible).and_then(|mut frames| frames.next());
        match newest.and_then(|frame| message(frame).ok()) {
            Some(message) => message.sender != user && wakes(message.kind),
            None => !self.is_own(user, self.visible),
        }
    }

    /// Whether a device of the user published it, a moment ago.
    fn is_own(&self, user: UserId, sequence: u64) -> bool {
        let mut devices = self.state.devices.iter().filter(|((of, _), _)| *of == user);
        devices.any(|(_, device)| device.recent().any(|recent| recent == sequence))
    }
}

impl Conversations {
    /// A member is away, or is back.
    pub(super) fn on_away(
        &mut self,
        now: Now,
        user: UserId,
        conversations: &[ConversationId],
        (away, begins): (bool, bool),
        mesh: &mut Mesh,
    ) {
        let ended_ms = self.ended_ms;
        for id in conversations {
            let Some(conversation) = self.by_id.get_mut(id) else { continue };
            let known = conversation.away.iter().position(|other| *other == user);
            match (known, away) {
                (Some(at), false) => {
                    conversation.away.swap_remove(at);
                    if conversation.away.is_empty() {
                        conversation.away = Vec::new();
                    }
                }
                (None, true) => {
                    let Some(member) = conversation.state.members.get(&user) else { continue };
                    // Sent into a connection that was dead already, or as the last run was killed, however long ago
                    // that was: no device has it.
                    let until_ms = conversation.state.time_ms + WAKE_LATE_MS;
                    let is_late = now.unix_ms < until_ms || begins && ended_ms < until_ms;
                    let is_missed = member.delivered < conversation.visible && is_late;
                    conversation.away.push(user);
                    let sequence = conversation.visible;
                    if is_missed && conversation.newest_wakes(user) {
                        self.wake_one(*id, user, sequence, now.unix_ms, mesh);
                    }
                }
                _ => {}
            }
        }
    }

    /// A message is shown: everybody who is away is woken by it, but its sender.
    pub(super) fn wake(
        &mut self,
        id: ConversationId,
        sender: UserId,
        sequence: u64,
        time_ms: u64,
        mesh: &mut Mesh,
    ) {
        let Some(conversation) = self.by_id.get(&id).filter(|conversation| !conversation.away.is_empty())
        else {
            return;
        };
        let others: Vec<UserId> = conversation.away.iter().copied().filter(|user| *user != sender).collect();
        for user in others {
            self.wake_one(id, user, sequence, time_ms, mesh);
        }
    }

    /// Takes somebody off the list and has him woken, unless he wants to be left in peace here.
    fn wake_one(&mut self, id: ConversationId, user: UserId, sequence: u64, time_ms: u64, mesh: &mut Mesh) {
        let push_below = self.limits.push_below;
        let Some(conversation) = self.by_id.get_mut(&id) else { return };
        // A large conversation is pulled: nobody is woken for it, now.
        if conversation.state.members.len() >= push_below {
            return;
        }
        let muted_until_ms = conversation.state.members.get(&user).map(|member| member.muted_until_ms);
        if muted_until_ms.is_some_and(|until_ms| time_ms < until_ms) {
            return;
        }
        conversation.away.retain(|other| *other != user);
        // Who is no member any more is forgotten here, too.
        if muted_until_ms.is_some() {
            self.counters.wakes += 1;
            let letter = HomeLetter::Wake { user, conversation: id, sequence };
            mesh.tell(home_of(user, mesh.shards()), Request::Home(letter));
        }
    }
}
