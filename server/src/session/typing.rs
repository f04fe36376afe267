//! Who types where. A sign of typing is passed on to the conversation's owner and forgotten; what is kept here is
//! only what limits it, and what has to be taken back when the session ends.
//!
//! Whatever a client does, others hear of it at the pace of one sign per second and conversation.

use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Reject, Typing};

use super::Sessions;
use super::people::Doing;
use crate::clock::Now;
use crate::fanout::letter::{Author, Request, owner_of};
use crate::fanout::mesh::Mesh;
use crate::limits::{
    TYPING_BURST, TYPING_EXCESS_BURST, TYPING_EXCESS_INTERVAL_MS, TYPING_INTERVAL_MS, TYPING_LASTS_MS,
    TYPING_PER_SESSION, TYPING_SCOLD_INTERVAL_MS, TYPING_SESSION_BURST, TYPING_SESSION_INTERVAL_MS,
};
use crate::pace::Pace;

/// A conversation in which a session types, or did a moment ago.
pub(super) struct Typist {
    conversation: ConversationId,
    pace: Pace,
    /// Until when it types if it says nothing more, milliseconds on the monotonic clock; 0: it has stopped.
    until_ms: u64,
}

impl Doing {
    /// The typist in a conversation; the one that is over the longest makes room where there are too many.
    fn typist(&mut self, conversation: ConversationId) -> &mut Typist {
        let known = self.typing.iter().position(|typist| typist.conversation == conversation);
        let at = known.unwrap_or_else(|| {
            if self.typing.len() >= TYPING_PER_SESSION {
                let oldest = self.typing.iter().enumerate().min_by_key(|(_, typist)| typist.until_ms);
                let oldest = oldest.map_or(0, |(at, _)| at);
                self.typing.swap_remove(oldest);
            }
            self.typing.push(Typist { conversation, pace: Pace::default(), until_ms: 0 });
            self.typing.len() - 1
        });
        &mut self.typing[at]
    }
}

impl Sessions {
    pub(super) fn on_typing(&mut self, now: Now, id: ConnectionId, typing: &Typing, mesh: &mut Mesh) {
        let Some(author) = self.author_of(id) else { return };
        let (conversation, now_ms) = (typing.conversation, now.monotonic_ms());
        // Who does not receive a conversation is not seen typing in it either.
        let topic = self.subscribers.find(conversation);
        let receives = self
            .get_mut(id)
            .is_some_and(|connection| connection.subscriptions.iter().any(|held| Some(held.topic) == topic));
        let doing = self.doings.entry(id.slot).or_default();
        if !receives {
            return self.drop_typing(now_ms, id, conversation);
        }
        if !doing.signs.take(now_ms, TYPING_SESSION_INTERVAL_MS, TYPING_SESSION_BURST) {
            return self.drop_typing(now_ms, id, conversation);
        }
        let typist = doing.typist(conversation);
        if !typist.pace.take(now_ms, TYPING_INTERVAL_MS, TYPING_BURST) {
            return self.drop_typing(now_ms, id, conversation);
        }
        typist.until_ms = if typing.active { now_ms + TYPING_LASTS_MS } else { 0 };
        let letter = Request::Typing { author, conversation, active: typing.active };
        match mesh.request(owner_of(conversation, mesh.shards()), letter) {
            Ok(()) => self.counters.typing += 1,
            Err(_) => self.counters.typing_dropped += 1,
        }
    }

    /// One sign too many. Who gives many of those is told, now and then.
    fn drop_typing(&mut self, now_ms: u64, id: ConnectionId, conversation: ConversationId) {
        self.counters.typing_dropped += 1;
        let Some(doing) = self.doings.get_mut(&id.slot) else { return };
        if !doing.excess.take(now_ms, TYPING_EXCESS_INTERVAL_MS, TYPING_EXCESS_BURST)
            && doing.scolded.take(now_ms, TYPING_SCOLD_INTERVAL_MS, 1)
        {
            let reject = Reject {
                request: 0,
                conversation,
                client_sequence: 0,
                code: Code::RATE_LIMITED,
                retry_after_ms: TYPING_SCOLD_INTERVAL_MS as u32,
                reason: "typing is told too often, or where it is not received; it was not passed on",
            };
            self.reject(id, &reject);
        }
    }

    /// A session is over, and types no more.
    pub(super) fn end_typing(&mut self, author: Author, doing: &Doing, mesh: &mut Mesh) {
        for typist in doing.typing.iter().filter(|typist| typist.until_ms != 0) {
            let conversation = typist.conversation;
            let letter = Request::Typing { author, conversation, active: false };
            // Where it is refused, those who saw it forget it by themselves.
            if mesh.request(owner_of(conversation, mesh.shards()), letter).is_err() {
                self.counters.typing_dropped += 1;
            }
        }
    }
}
