//! Closing holes: which conversation fetches now, which waits for its turn, which rests; and asking the server where
//! a conversation stands.

use std::time::Duration;

use ringwire_protocol::ConversationId;
use tracing::debug;

use super::Core;
use super::feed::Fill;
use super::requests::Ask;
use super::timers::Holder;
use crate::error::Error;
use crate::limits::{RETRY_MAX, RETRY_MIN};

impl Core {
    /// Something came for the conversation, or its reader takes more: what follows from that.
    pub(super) fn fed(&mut self, now: Duration, id: ConversationId) {
        self.tell_delivered(now, id);
        self.fill(now, id);
    }

    /// Lets the conversation fetch what it misses, if it misses anything and nothing is under way.
    pub(super) fn fill(&mut self, now: Duration, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id).filter(|known| known.attached) else {
            return;
        };
        if conversation.feed.fill() != Fill::Idle || conversation.feed.missing().is_none() {
            return;
        }
        conversation.feed.set_fill(Fill::Queued);
        self.fills.push_back(id);
        self.pump_fills(now);
    }

    /// Sends fetches as long as there are places for them.
    pub(super) fn pump_fills(&mut self, now: Duration) {
        while self.fills_in_flight < self.config.limits.fills_max.max(1) {
            let Some(id) = self.fills.pop_front() else { return };
            let Some(conversation) = self.conversations.get_mut(&id) else { continue };
            // What was missing may have come by another way meanwhile.
            let Some((from, count)) = conversation.feed.missing() else {
                conversation.feed.set_fill(Fill::Idle);
                continue;
            };
            let limit = self.config.limits.fill_page_messages_max.max(1);
            let limit = u16::try_from(count).map_or(limit, |count| count.min(limit));
            conversation.feed.on_fetch();
            self.fills_in_flight += 1;
            self.ask(now, Ask::Fill { conversation: id, from, limit }, false);
        }
    }

    /// The last fetch brought nothing, or was refused: the next one waits.
    pub(super) fn rest(&mut self, now: Duration, id: ConversationId, at_least: Duration) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if matches!(conversation.feed.fill(), Fill::Flying | Fill::Queued) {
            return;
        }
        conversation.feed.set_fill(Fill::Resting);
        let wait = (RETRY_MIN * (1 << conversation.feed.fruitless().min(10))).min(RETRY_MAX).max(at_least);
        let wait = self.random.between(wait / 2, wait).max(at_least);
        self.timers.set(Holder::Fill(id), now + wait);
    }

    pub(super) fn on_fill_timer(&mut self, now: Duration, id: ConversationId) {
        if let Some(conversation) = self.conversations.get_mut(&id)
            && conversation.feed.fill() == Fill::Resting
        {
            conversation.feed.set_fill(Fill::Idle);
            self.fill(now, id);
        }
    }

    pub(super) fn on_fill_failed(&mut self, now: Duration, id: ConversationId, error: &Error) {
        if let Some(conversation) = self.conversations.get_mut(&id) {
            let next = conversation.feed.next();
            conversation.feed.on_page_end(next);
        }
        if matches!(error, Error::Rejected(_)) && !error.is_retryable() {
            // Without its history the conversation cannot be read without a hole.
            self.on_ended(now, id, error.clone());
        } else {
            debug!(conversation = %id, %error, "fetching what is missing failed; it is tried again");
            self.rest(now, id, error.retry_after().unwrap_or_default());
        }
        self.pump_fills(now);
    }

    /// Asks the server where the conversation stands, and to feed it live.
    pub(super) fn open(&mut self, now: Duration, id: ConversationId) {
        let live = self.connection.is_live();
        let Some(conversation) = self.conversations.get_mut(&id).filter(|known| live && !known.opening)
        else {
            return;
        };
        conversation.opening = true;
        conversation.opened = Some(now);
        self.ask(now, Ask::Open(id), false);
    }

    pub(super) fn on_open_failed(&mut self, now: Duration, id: ConversationId, error: &Error) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        conversation.opening = false;
        if conversation.attached && !conversation.outbox.wants_resync() {
            // It stays one that is fetched.
            debug!(conversation = %id, %error, "the server does not feed this conversation live");
        } else if matches!(error, Error::Rejected(_)) && !error.is_retryable() {
            self.on_ended(now, id, error.clone());
        } else {
            let wait = self.pause(id, error.retry_after().unwrap_or_default());
            self.timers.set(Holder::Attach(id), now + wait);
        }
    }

    /// How long to wait before this conversation tries again what the server refused: at least what it said, longer each
    /// time, and not all clients at once.
    pub(super) fn pause(&mut self, id: ConversationId, at_least: Duration) -> Duration {
        let Some(conversation) = self.conversations.get_mut(&id) else { return RETRY_MIN };
        let refusals = conversation.refusals;
        conversation.refusals = refusals.saturating_add(1);
        self.pause_after(refusals, at_least)
    }

    /// The same by the number of refusals in a row.
    pub(super) fn pause_after(&mut self, refusals: u32, at_least: Duration) -> Duration {
        let at_least = at_least.min(RETRY_MAX);
        let backoff = (RETRY_MIN * (1 << refusals.min(10))).min(RETRY_MAX / 2);
        let low = at_least.max(backoff / 2);
        self.random.between(low, low + backoff / 2 + at_least / 4)
    }
}
