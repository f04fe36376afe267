//! What a program may ask of its client. Each call either takes the wish in and answers later by an event, or refuses it
//! at once with an error and has done nothing.

use std::time::Duration;

use ringwire_protocol::{ConversationId, UserId};

use super::content::{Draft, Range, Start};
use super::conversation::Standing;
use super::event::{PublishId, RequestId};
use super::people::valid;
use super::requests::Ask;
use super::timers::Holder;
use super::{Core, Event};
use crate::error::{Error, Result};

impl Core {
    /// Becomes a member of the conversation of that name. Answered by `Joined` or `RequestFailed`; publishing may begin
    /// at once, and waits for the answer.
    ///
    /// # Errors
    /// A name that the server would refuse, a conversation that is joined already, too many of them, an ended client.
    pub fn join(&mut self, now: Duration, name: &str, start: Start) -> Result<(RequestId, ConversationId)> {
        valid(name)?;
        let id = ConversationId::from_name(name);
        Ok((self.ask_in(now, id, name, start, Ask::Join(id))?, id))
    }

    /// Stops being a member, after what was published before has been acknowledged. Answered by `Left` or
    /// `RequestFailed`.
    ///
    /// # Errors
    /// Not joined, too many requests, an ended client.
    pub fn leave(&mut self, now: Duration, conversation: ConversationId) -> Result<RequestId> {
        self.check_member(conversation)?;
        self.check_requests()?;
        let request = self.ask(now, Ask::Leave(conversation), true);
        if let Some(conversation) = self.conversations.get_mut(&conversation) {
            conversation.standing = Standing::Leaving(request.0);
        }
        Ok(request)
    }

    /// Forgets the conversation here, without leaving it: the user stays a member, nothing is delivered any more. What
    /// is not acknowledged fails with [`Error::NotJoined`].
    pub fn detach_conversation(&mut self, now: Duration, conversation: ConversationId) {
        let Some(known) = self.conversations.get(&conversation) else { return };
        let opened = known.opened.is_some();
        self.let_go(now, conversation, &Error::NotJoined);
        if opened && self.connection.is_live() && self.check_requests().is_ok() {
            self.ask(now, Ask::Close(conversation), false);
        }
    }

    /// Publishes a message. Ends in exactly one `Published` or `PublishFailed`.
    ///
    /// # Errors
    /// [`Error::OutboxFull`], [`Error::BodyTooLarge`], [`Error::NotJoined`], an ended client; then nothing was taken in.
    pub fn publish(
        &mut self,
        now: Duration,
        conversation: ConversationId,
        draft: Draft,
    ) -> Result<PublishId> {
        self.check_alive()?;
        let id = conversation;
        let known = self.conversations.get(&id).ok_or(Error::NotJoined)?;
        if matches!(known.standing, Standing::Leaving(_)) {
            return Err(Error::NotJoined);
        }
        let bytes = draft.body.len();
        let bytes_max = self.connection.body_bytes_max;
        if bytes > bytes_max {
            return Err(Error::BodyTooLarge { bytes, bytes_max });
        }
        if draft.kind.refers() && draft.reference == 0 {
            return Err(Error::Invalid(format!("{:?} needs the sequence it refers to", draft.kind)));
        }
        if !self.has_room(id, bytes) {
            return Err(Error::OutboxFull { entries: known.outbox.len(), bytes: self.outbox_bytes });
        }
        let conversation = self.conversations.get_mut(&id).ok_or(Error::NotJoined)?;
        self.last_publish += 1;
        let publish = PublishId(self.last_publish);
        conversation.outbox.push(publish, draft);
        self.outbox_bytes += bytes;
        if now >= conversation.not_before {
            self.make_ready(id);
        }
        Ok(publish)
    }

    /// Reads a part of the conversation's history. Answered by `History` or `RequestFailed`.
    ///
    /// # Errors
    /// Not joined, too many requests, an ended client.
    pub fn history(
        &mut self,
        now: Duration,
        conversation: ConversationId,
        range: Range,
    ) -> Result<RequestId> {
        self.check_member(conversation)?;
        self.check_requests()?;
        let limit = range.limit.clamp(1, ringwire_protocol::limits::PAGE_MESSAGES_MAX);
        let Range { from, direction, view, .. } = range;
        let ask = Ask::History { conversation, from, limit, direction, view };
        Ok(self.ask(now, ask, true))
    }

    /// Lists members, in the order of their ids, from the one after `after`. Answered by `Members` or `RequestFailed`.
    ///
    /// # Errors
    /// Not joined, too many requests, an ended client.
    pub fn members(
        &mut self,
        now: Duration,
        conversation: ConversationId,
        after: Option<UserId>,
    ) -> Result<RequestId> {
        self.check_member(conversation)?;
        self.check_requests()?;
        let after = after.unwrap_or(UserId::ZERO);
        let limit = ringwire_protocol::limits::PAGE_MEMBERS_MAX;
        Ok(self.ask(now, Ask::Members { conversation, after, limit }, true))
    }

    /// Says whose presence is wanted; replaces the list before it, survives reconnects. Answered by `Done` or
    /// `RequestFailed`, then by `Presence`.
    ///
    /// # Errors
    /// More users than the protocol allows, too many requests, an ended client.
    pub fn watch(&mut self, now: Duration, users: Vec<UserId>) -> Result<RequestId> {
        self.check_alive()?;
        let max = ringwire_protocol::limits::WATCHED_MAX;
        if users.len() > max {
            return Err(Error::TooMany { what: "watched users", max });
        }
        self.check_requests()?;
        self.watched.clone_from(&users);
        Ok(self.ask(now, Ask::Watch(users), true))
    }

    /// The user has read everything up to this sequence. The highest one counts; told to the server now or, without a
    /// connection, as soon as there is one.
    ///
    /// # Errors
    /// Not joined, an ended client.
    pub fn read(&mut self, _now: Duration, conversation: ConversationId, sequence: u64) -> Result<()> {
        self.check_member(conversation)?;
        if self.conversations.get_mut(&conversation).is_some_and(|known| known.cursors.on_read(sequence)) {
            self.make_ready(conversation);
        }
        Ok(())
    }

    /// The user types, or has stopped. Call it as often as keys are pressed; the server is told rarely, and never later.
    ///
    /// # Errors
    /// Not joined, an ended client.
    pub fn typing(&mut self, _now: Duration, conversation: ConversationId, active: bool) -> Result<()> {
        self.check_member(conversation)?;
        if let Some(known) = self.conversations.get_mut(&conversation).filter(|known| known.attached) {
            known.type_now(active);
            self.make_ready(conversation);
        }
        Ok(())
    }

    /// The reader of this conversation takes so many messages more; see [`Config::credit`](super::Config::credit).
    pub fn grant(&mut self, now: Duration, conversation: ConversationId, messages: u64) {
        if let Some(known) = self.conversations.get_mut(&conversation) {
            known.feed.grant(messages, &mut self.events);
            self.fed(now, conversation);
        }
    }

    pub(super) fn check_alive(&self) -> Result<()> {
        self.ended().map_or(Ok(()), Err)
    }

    pub(super) fn check_member(&self, conversation: ConversationId) -> Result<()> {
        self.check_alive()?;
        match self.conversations.get(&conversation) {
            Some(known) if known.standing == Standing::Member => Ok(()),
            _ => Err(Error::NotJoined),
        }
    }

    pub(super) fn check_conversations(&self) -> Result<()> {
        let max = self.config.limits.conversations_max.min(ringwire_protocol::limits::CURSORS_MAX);
        if self.conversations.len() < max {
            Ok(())
        } else {
            Err(Error::TooMany { what: "conversations", max })
        }
    }

    pub(super) fn check_requests(&self) -> Result<()> {
        let max = self.config.limits.requests_max;
        if self.requests.len() < max { Ok(()) } else { Err(Error::TooMany { what: "requests", max }) }
    }

    /// Puts a request on its way, `called` if a call waits for its answer.
    pub(super) fn ask(&mut self, now: Duration, ask: Ask, called: bool) -> RequestId {
        let deadline = now + self.config.request_timeout;
        let number = self.requests.push(ask, deadline, called);
        self.timers.set(Holder::Request(number), deadline);
        RequestId(number)
    }

    /// A request's time is over, or the server's "later" has come.
    pub(super) fn on_request_timer(&mut self, now: Duration, number: u32) {
        let Some(request) = self.requests.get_mut(number) else { return };
        if now < request.deadline {
            let deadline = request.deadline;
            self.requests.send_again(number);
            return self.timers.set(Holder::Request(number), deadline);
        }
        let error = Error::TimedOut { what: request.ask.what(), after: self.config.request_timeout };
        let ask = request.ask.clone();
        self.fail_request(number, error.clone());
        self.on_request_over(now, &ask, &error);
    }

    /// A request has failed: what that means for the conversation it was about.
    pub(super) fn on_request_over(&mut self, now: Duration, ask: &Ask, error: &Error) {
        match *ask {
            Ask::Join(id) | Ask::Enter(id) | Ask::Create { conversation: id, .. } => {
                self.let_go(now, id, error);
            }
            Ask::Leave(id) => {
                if let Some(conversation) = self.conversations.get_mut(&id) {
                    conversation.standing = Standing::Member;
                }
            }
            Ask::Open(id) => self.on_open_failed(now, id, error),
            Ask::Fill { conversation, .. } => self.on_fill_failed(now, conversation, error),
            Ask::WatchCounts { conversation, .. } => {
                if let Some(known) = self.conversations.get_mut(&conversation) {
                    // Not asked for again by itself: the answer would be the same.
                    known.counts = false;
                }
            }
            Ask::Close(_)
            | Ask::History { .. }
            | Ask::Members { .. }
            | Ask::Watch(_)
            | Ask::Direct { .. }
            | Ask::Change { .. }
            | Ask::Mute { .. }
            | Ask::Register(_)
            | Ask::Unregister
            | Ask::Settings(_) => {}
        }
        self.check_shutdown();
    }

    /// The conversation is no longer this client's, the server said so.
    pub(super) fn on_ended(&mut self, now: Duration, id: ConversationId, error: Error) {
        if self.conversations.contains_key(&id) {
            self.let_go(now, id, &error);
            self.events.push_back(Event::Ended { conversation: id, error });
        }
    }
}
