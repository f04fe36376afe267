//! What a program may ask about conversations, members, presence and its own device, and what the server tells about people.
//! As in `calls`: each call either takes the wish in and answers later by an event, or refuses it at once.

use std::time::Duration;

use ringwire_protocol::fault::check_name;
use ringwire_protocol::limits;
use ringwire_protocol::message::{self, Joined};
use ringwire_protocol::{ConversationId, UserId};

use super::Core;
use super::content::{Change, Counts, Member, Registration, Settings, Start};
use super::conversation::{Conversation, Standing};
use super::event::{Event, RequestId};
use super::requests::Ask;
use super::timers::Holder;
use crate::error::{Error, Result};

impl Core {
    /// Watched users came, went or changed. A frame that was overtaken says nothing of those of whom a newer one has spoken.
    pub(super) fn on_presence(&mut self, presence: &message::Presence<'_>) {
        for entry in presence.entries.iter() {
            if presence.number != 0 {
                // Users who are not watched any more; without their numbers, what is told again soon puts things right.
                if self.presence.len() >= limits::WATCHED_MAX {
                    self.presence.clear();
                }
                let newest = self.presence.entry(entry.user).or_default();
                if presence.number < *newest {
                    continue;
                }
                *newest = presence.number;
            }
            let message::PresenceEntry { user, state, seen_ms } = entry;
            self.events.push_back(Event::Presence { user, state, seen_ms });
        }
    }

    /// Makes a conversation of that name with these members, besides this user, who owns it. Answered by `Joined` or
    /// `RequestFailed`; publishing may begin at once, and waits for the answer.
    ///
    /// # Errors
    /// A name that the server would refuse, too many members, a conversation that is joined already, too many of them.
    pub fn create(
        &mut self,
        now: Duration,
        name: &str,
        members: Vec<Member>,
    ) -> Result<(RequestId, ConversationId)> {
        let max = limits::CREATE_MEMBERS_MAX;
        if members.len() > max {
            return Err(Error::TooMany { what: "members in one call", max });
        }
        for member in &members {
            valid(&member.name)?;
        }
        valid(name)?;
        let id = ConversationId::from_name(name);
        let ask = Ask::Create { conversation: id, members };
        Ok((self.ask_in(now, id, name, Start::Latest, ask)?, id))
    }

    /// Joins a conversation that the user is a member of, by its id, as the inbox gives it. Answered by `Joined` or
    /// `RequestFailed`.
    ///
    /// # Errors
    /// A conversation that is joined already, too many of them, an ended client.
    pub fn enter(&mut self, now: Duration, conversation: ConversationId, start: Start) -> Result<RequestId> {
        self.ask_in(now, conversation, "", start, Ask::Enter(conversation))
    }

    /// Joins the conversation of this user with that one, which is made if there is none yet. `name` is what the other one
    /// is called. Answered by `Joined` or `RequestFailed`.
    ///
    /// # Errors
    /// A name that the server would refuse, too many conversations, an ended client.
    pub fn direct(&mut self, now: Duration, user: UserId, name: &str, start: Start) -> Result<RequestId> {
        self.check_alive()?;
        valid(name)?;
        self.check_conversations()?;
        self.check_requests()?;
        Ok(self.ask(now, Ask::Direct { user, name: name.to_owned(), start }, true))
    }

    /// Adds or removes a member, or gives one another role. Answered by `Done`, with the sequence of the entry that says so,
    /// or `RequestFailed`.
    ///
    /// # Errors
    /// Not joined, a name that the server would refuse, too many requests, an ended client.
    pub fn change(
        &mut self,
        now: Duration,
        conversation: ConversationId,
        change: Change,
    ) -> Result<RequestId> {
        self.check_member(conversation)?;
        if let Change::Add(member) = &change {
            valid(&member.name)?;
        }
        self.check_requests()?;
        Ok(self.ask(now, Ask::Change { conversation, change }, true))
    }

    /// No wake-ups from the conversation, joined here or not, until then: milliseconds since 1970, 0 to end it, `u64::MAX`
    /// for ever. Answered by `Done` or `RequestFailed`.
    ///
    /// # Errors
    /// Too many requests, an ended client.
    pub fn mute(&mut self, now: Duration, conversation: ConversationId, until_ms: u64) -> Result<RequestId> {
        self.ask_any(now, Ask::Mute { conversation, until_ms })
    }

    /// Says how this device is woken, instead of what was said before. Answered by `Done` or `RequestFailed`.
    ///
    /// # Errors
    /// Something longer than the protocol allows, too many requests, an ended client.
    pub fn register(&mut self, now: Duration, registration: Registration) -> Result<RequestId> {
        let Registration { token, app, key, secret, .. } = &registration;
        let parts = [
            ("token", token.len(), limits::PUSH_TOKEN_BYTES_MAX),
            ("application", app.len(), limits::PUSH_APP_BYTES_MAX),
            ("key", key.len(), limits::PUSH_KEY_BYTES_MAX),
            ("secret", secret.len(), limits::PUSH_KEY_BYTES_MAX),
        ];
        for (what, bytes, bytes_max) in parts {
            if bytes > bytes_max {
                return Err(Error::Invalid(format!("a push {what} of {bytes} bytes, more than {bytes_max}")));
            }
        }
        self.ask_any(now, Ask::Register(registration))
    }

    /// This device is not woken any more. Answered by `Done` or `RequestFailed`.
    ///
    /// # Errors
    /// Too many requests, an ended client.
    pub fn unregister(&mut self, now: Duration) -> Result<RequestId> {
        self.ask_any(now, Ask::Unregister)
    }

    /// Says what others may see of the user. Answered by `Done` or `RequestFailed`.
    ///
    /// # Errors
    /// Too many requests, an ended client.
    pub fn settings(&mut self, now: Duration, settings: Settings) -> Result<RequestId> {
        self.ask_any(now, Ask::Settings(settings))
    }

    /// Asks for the conversation's counts as they change, or for no more of them; survives reconnects. Answered by `Done` or
    /// `RequestFailed`, then by `Counts`.
    ///
    /// # Errors
    /// Not joined, too many requests, an ended client.
    pub fn watch_counts(
        &mut self,
        now: Duration,
        conversation: ConversationId,
        active: bool,
    ) -> Result<RequestId> {
        self.check_member(conversation)?;
        self.check_requests()?;
        if let Some(known) = self.conversations.get_mut(&conversation) {
            known.counts = active;
        }
        Ok(self.ask(now, Ask::WatchCounts { conversation, active }, true))
    }

    fn ask_any(&mut self, now: Duration, ask: Ask) -> Result<RequestId> {
        self.check_alive()?;
        self.check_requests()?;
        Ok(self.ask(now, ask, true))
    }

    /// Asks to be let into a conversation, which is known here from now on.
    pub(super) fn ask_in(
        &mut self,
        now: Duration,
        id: ConversationId,
        name: &str,
        start: Start,
        ask: Ask,
    ) -> Result<RequestId> {
        self.check_alive()?;
        if self.conversations.contains_key(&id) {
            return Err(Error::AlreadyJoined);
        }
        self.check_conversations()?;
        self.check_requests()?;
        self.conversations.insert(id, Conversation::new(id, name, start, self.config.credit));
        Ok(self.ask(now, ask, true))
    }

    /// The conversation with somebody has an id now. Whether it may be joined.
    pub(super) fn on_direct(&mut self, number: u32, joined: &Joined<'_>, start: Start) -> bool {
        let id = joined.conversation;
        let refusal = match self.check_conversations() {
            _ if self.conversations.contains_key(&id) => Error::AlreadyJoined,
            Err(error) => error,
            Ok(()) => {
                self.conversations.insert(id, Conversation::new(id, joined.name, start, self.config.credit));
                return true;
            }
        };
        let request = RequestId(number);
        self.events.push_back(Event::RequestFailed { request, error: refusal });
        self.check_shutdown();
        false
    }

    pub(super) fn on_typing(&mut self, now: Duration, id: ConversationId, user: UserId, active: bool) {
        let Some(known) = self.conversations.get_mut(&id).filter(|known| known.attached) else { return };
        let news = known.typists.on_notice(user, active, now);
        match known.typists.next() {
            Some(at) => self.timers.set(Holder::Typists(id), at),
            None => self.timers.cancel(Holder::Typists(id)),
        }
        if news {
            self.events.push_back(Event::Typing { conversation: id, user, active });
        }
    }

    /// Somebody may have been silent for too long.
    pub(super) fn on_typists_timer(&mut self, now: Duration, id: ConversationId) {
        let Some(known) = self.conversations.get_mut(&id) else { return };
        for user in known.typists.take_expired(now) {
            self.events.push_back(Event::Typing { conversation: id, user, active: false });
        }
        if let Some(at) = known.typists.next() {
            self.timers.set(Holder::Typists(id), at);
        }
    }

    pub(super) fn on_counts(&mut self, counts: &message::Counts) {
        let message::Counts { conversation, online, sequence, delivered, read } = *counts;
        if self.conversations.get(&conversation).is_some_and(|known| known.counts) {
            let counts = Counts { online, sequence, delivered, read };
            self.events.push_back(Event::Counts { conversation, counts });
        }
    }

    /// Something may have been given to the reader: the server is told, now or when a second has passed.
    pub(super) fn tell_delivered(&mut self, now: Duration, id: ConversationId) {
        let Some(known) = self.conversations.get_mut(&id) else { return };
        known.cursors.on_delivered(known.feed.handed());
        if !known.attached || known.standing != Standing::Member {
            return;
        }
        match known.cursors.delivered_due() {
            Some(at) if at > now => self.timers.set(Holder::Delivered(id), at),
            Some(_) => self.make_ready(id),
            None => {}
        }
    }
}

/// Whether the server would take the name.
pub(super) fn valid(name: &str) -> Result<()> {
    check_name(name).map_err(|fault| Error::Invalid(fault.to_string()))
}
