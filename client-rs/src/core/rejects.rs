//! What the server refuses: for good, for now, or until older things are resent.

use std::time::Duration;

use ringwire_protocol::ConversationId;
use ringwire_protocol::code::{Code, Retry};
use ringwire_protocol::message::Reject;

use super::Core;
use super::connection::Phase;
use super::conversation::Standing;
use super::event::Event;
use super::outbox::Verdict;
use super::requests::Ask;
use super::timers::Holder;
use crate::error::{Error, Refusal};
use crate::limits::TOKEN_TIMEOUT;

impl Core {
    pub(super) fn on_reject(&mut self, now: Duration, reject: &Reject<'_>) {
        let refusal = Refusal {
            code: reject.code,
            reason: reject.reason.to_owned(),
            retry_after: (reject.retry_after_ms != 0)
                .then(|| Duration::from_millis(u64::from(reject.retry_after_ms))),
        };
        if matches!(self.connection.phase, Phase::Greeting) {
            // Hello itself; the close that follows may not say it as well.
            self.connection.refusal = Some(refusal);
        } else if reject.request != 0 {
            self.on_request_refused(now, reject.request, refusal);
        } else if reject.client_sequence != 0 {
            self.on_publish_refused(now, reject.conversation, reject.client_sequence, refusal);
        } else if !reject.conversation.is_zero() {
            self.on_cursor_refused(now, reject.conversation, refusal);
        } else {
            self.events.push_back(Event::Notice(Error::Rejected(refusal)));
        }
    }

    fn on_publish_refused(&mut self, now: Duration, id: ConversationId, number: u64, refusal: Refusal) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let first = conversation.refusals == 0;
        let at_least = refusal.retry_after.unwrap_or_default();
        let verdict = match refusal.code.retry() {
            Retry::Never => Verdict::Final,
            Retry::Refresh if !self.config.refresh => Verdict::Final,
            Retry::Refresh => {
                self.want_token();
                Verdict::Later(now + TOKEN_TIMEOUT)
            }
            Retry::Resend if refusal.code == Code::SEQUENCE_GAP => Verdict::Resend,
            Retry::Resend | Retry::Now | Retry::Later => {
                let pause = self.pause(id, at_least);
                if first {
                    // It is tried again without the caller; but who shows the state of things should know.
                    self.events.push_back(Event::Notice(Error::Rejected(refusal.clone())));
                }
                Verdict::Later(now + pause)
            }
        };
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let (flight, bytes) = (conversation.outbox.in_flight(), conversation.outbox.bytes());
        let ended = conversation.outbox.on_reject(number, verdict);
        self.in_flight -= flight - conversation.outbox.in_flight();
        self.outbox_bytes -= bytes - conversation.outbox.bytes();
        conversation.answered = now;
        if let Some((publish, draft)) = ended {
            let error = Error::Rejected(refusal);
            self.events.push_back(Event::PublishFailed { publish, conversation: id, error, draft });
        }
        self.land(now, id);
    }

    fn on_request_refused(&mut self, now: Duration, number: u32, refusal: Refusal) {
        let Some(request) = self.requests.get_mut(number) else { return };
        let ask = request.ask.clone();
        if let Ask::Leave(id) = ask
            && matches!(refusal.code, Code::NOT_A_MEMBER | Code::NO_SUCH_CONVERSATION)
        {
            // An earlier sending of it was carried out, or somebody else was faster: it is what was wanted.
            self.requests.remove(number);
            self.timers.cancel(Holder::Request(number));
            return self.on_left(now, id, number);
        }
        if let Ask::Create { conversation, .. } = ask
            && refusal.code == Code::CONVERSATION_EXISTS
            && request.again
        {
            // An earlier sending of it may have made it. If so, this user is in it; else that will be said.
            request.ask = Ask::Enter(conversation);
            request.again = false;
            return self.requests.send_again(number);
        }
        let again = match refusal.code.retry() {
            Retry::Never => false,
            Retry::Refresh => self.config.refresh,
            Retry::Now | Retry::Later | Retry::Resend => true,
        };
        let (called, refusals, deadline) = (request.called, request.refusals, request.deadline);
        request.refusals = refusals.saturating_add(1);
        if again && refusal.code.retry() == Retry::Refresh {
            self.want_token();
        }
        let at = now + self.pause_after(refusals, refusal.retry_after.unwrap_or_default());
        // Counts are asked for once on each connection: nobody else would do it again.
        let lasts = called || matches!(ask, Ask::WatchCounts { active: true, .. });
        if again && lasts && at < deadline {
            return self.timers.set(Holder::Request(number), at);
        }
        let error = Error::Rejected(refusal);
        self.fail_request(number, error.clone());
        self.on_request_over(now, &ask, &error);
    }

    fn on_cursor_refused(&mut self, now: Duration, id: ConversationId, refusal: Refusal) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        if matches!(refusal.code, Code::CURSOR_BEYOND_HEAD | Code::NOT_ENABLED) {
            // About what was said of the conversation (read, delivered, typing), not about being in it.
            return self.events.push_back(Event::Notice(Error::Rejected(refusal)));
        }
        if conversation.attached {
            // It was confirmed before: this is the server's word that it is over.
            if refusal.code.retry() == Retry::Never {
                self.on_ended(now, id, Error::Rejected(refusal));
            }
            return;
        }
        match (refusal.code.retry(), conversation.standing) {
            (Retry::Never, Standing::Leaving(number)) if self.requests.remove(number).is_some() => {
                self.timers.cancel(Holder::Request(number));
                self.on_left(now, id, number);
            }
            (Retry::Never, _) => self.on_ended(now, id, Error::Rejected(refusal)),
            (retry, _) => {
                if retry == Retry::Refresh {
                    self.want_token();
                }
                let wait = self.pause(id, refusal.retry_after.unwrap_or_default());
                self.timers.set(Holder::Attach(id), now + wait);
            }
        }
    }

    /// The server has taken the new token: what was refused for the old one is tried again at once.
    pub(super) fn on_refreshed(&mut self, now: Duration) {
        let ids: Vec<ConversationId> = self.conversations.keys().copied().collect();
        for id in ids {
            if let Some(conversation) = self.conversations.get_mut(&id)
                && conversation.not_before > now
            {
                conversation.not_before = now;
                self.make_ready(id);
            }
        }
        for number in self.requests.refused() {
            self.requests.send_again(number);
        }
    }

    /// A conversation may send again, or its publishes in flight have waited too long.
    pub(super) fn on_outbox_timer(&mut self, now: Duration, id: ConversationId) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        if conversation.outbox.in_flight() > 0 {
            let stuck = conversation.answered + self.config.publish_answer_timeout;
            if now < stuck {
                return self.timers.set(Holder::Outbox(id), stuck);
            }
            let error = Error::TimedOut { what: "publish", after: self.config.publish_answer_timeout };
            return self.hang_up(error, Code::NORMAL, "no answer to a publish in time");
        }
        if now >= conversation.not_before {
            self.make_ready(id);
        }
    }
}
