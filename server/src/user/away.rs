//! Who is away and wants to be woken: told to the conversations, so that a message costs nothing where nobody is.
//!
//! ```text
//!   the last session ends or falls silent ── Away ──► the owners of the user's conversations
//!   a message is shown to others          ◄── Wake ── once, and the user is off the list
//!   a session begins or is heard again    ── Back ──► off the list; away again, woken again
//! ```
//!
//! Conversations forget it with the process. So at a start all who have a device registered are away, and are
//! announced little by little; what was published before that, and in the last moments of the run before, wakes if no
//! device has it: a kill may have come between a message and the plane. Who was woken for a conversation and has not
//! been back is not woken again; the plane knows.

use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::PresenceState;

use super::Users;
use crate::fanout::letter::{Request, owner_of};
use crate::fanout::mesh::Mesh;
use crate::limits::{ANNOUNCED_PER_TURN, ENTRIES_PER_LETTER};

impl Users {
    /// Announces some of those who were away when the process began.
    pub(super) fn announce_away(&mut self, mesh: &mut Mesh) {
        for _ in 0..ANNOUNCED_PER_TURN {
            if mesh.is_behind() || mesh.is_congested() {
                return;
            }
            let Some(user) = self.unannounced.pop() else { return };
            if self.state(user) == PresenceState::Offline {
                self.tell_away_in(user, true, true, mesh);
            }
        }
    }

    /// Tells the owners of all conversations of a user that he is away, or that he is back.
    pub(super) fn tell_away(&mut self, user: UserId, away: bool, mesh: &mut Mesh) {
        self.tell_away_in(user, away, false, mesh);
    }

    fn tell_away_in(&mut self, user: UserId, away: bool, begins: bool, mesh: &mut Mesh) {
        if !self.is_registered(user) {
            return;
        }
        let shards = mesh.shards();
        let mut by_owner: Vec<Vec<ConversationId>> = vec![Vec::new(); usize::from(shards)];
        for conversation in self.belongs.of(user) {
            by_owner[usize::from(owner_of(*conversation, shards))].push(*conversation);
        }
        for (owner, list) in (0..).zip(by_owner) {
            for piece in list.chunks(ENTRIES_PER_LETTER) {
                mesh.tell(owner, Request::Away { user, conversations: piece.into(), away, begins });
            }
        }
    }

    /// A user who is away has become a member of one more conversation.
    pub(super) fn announce_member(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        is_member: bool,
        mesh: &mut Mesh,
    ) {
        if is_member && self.is_registered(user) && self.state(user) == PresenceState::Offline {
            let (conversations, away, begins) = ([conversation].into(), true, false);
            let letter = Request::Away { user, conversations, away, begins };
            mesh.tell(owner_of(conversation, mesh.shards()), letter);
        }
    }
}
