//! Events of the core on their way to whoever waits for them.

use std::task::Waker;
use std::time::Duration;

use ringwire_protocol::message::PresenceState;
use ringwire_protocol::{ConversationId, UserId};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::conversation::Update;
use super::room::Room;
use super::shared::{Inner, Shared, Waiter};
use crate::core::{Event, InboxEntry, Membership, RequestId, State};
use crate::error::{Error, Result};

/// What concerns no single conversation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The connection stands differently. Every step is told, where [`Client::watch_state`](super::Client::watch_state)
    /// shows the latest.
    State(State),
    /// A watched user came, went or changed.
    Presence {
        /// Who.
        user: UserId,
        /// How.
        state: PresenceState,
        /// When the user was last there, in milliseconds since 1970; 0: not said.
        seen_ms: u64,
    },
    /// Conversations of the user, as the server lists them after a connect and as they change; only if
    /// [`Builder::inbox`](super::Builder::inbox) asked for it.
    Inbox {
        /// Some or all of them; one that [is gone](InboxEntry::is_gone) is the user's no more.
        entries: Vec<InboxEntry>,
        /// Whether this was the last part of the list.
        complete: bool,
    },
    /// The server refused something for the moment; it is tried again without the caller.
    Notice(Error),
}

impl Shared {
    /// Hands out everything that has happened; readers to be woken go to `wakers`.
    pub(super) fn dispatch(&self, inner: &mut Inner, wakers: &mut Vec<Waker>) {
        let mut settled = false;
        while let Some(event) = inner.core().poll_event() {
            match event {
                Event::State(state) => {
                    if matches!(state, State::Connected(_)) {
                        inner.inbox.on_connected();
                    }
                    self.on_state(state);
                }
                Event::Published { publish, conversation, published } => {
                    settled = true;
                    if let Some(sender) = inner.publishes.remove(&publish) {
                        answer(sender, Ok(published));
                    }
                    inner.detach_if_done(self.now(), conversation);
                }
                Event::PublishFailed { publish, conversation, error, draft } => {
                    settled = true;
                    if error == Error::Unacknowledged {
                        inner.unacknowledged.push((conversation, draft));
                    }
                    if let Some(sender) = inner.publishes.remove(&publish) {
                        answer(sender, Err(error));
                    }
                    inner.detach_if_done(self.now(), conversation);
                }
                Event::Joined { request, membership } => {
                    inner.on_joined(self.now(), request, membership, wakers);
                }
                Event::Left { request, conversation } => {
                    inner.end(conversation, Error::NotJoined, wakers);
                    if let Some(Waiter::Left(sender)) = inner.requests.remove(&request) {
                        answer(sender, Ok(()));
                    }
                }
                Event::Ended { conversation, error } => inner.end(conversation, error, wakers),
                Event::History { request, history, .. } => {
                    if let Some(Waiter::History(sender)) = inner.requests.remove(&request) {
                        answer(sender, Ok(history));
                    }
                }
                Event::Members { request, conversation, page } => {
                    if let Some(room) = inner.rooms.get_mut(&conversation) {
                        room.learn(&page.members);
                    }
                    if let Some(Waiter::Members(sender)) = inner.requests.remove(&request) {
                        answer(sender, Ok(page));
                    }
                }
                Event::Done { request, sequence } => {
                    if let Some(Waiter::Done(sender)) = inner.requests.remove(&request) {
                        answer(sender, Ok(sequence));
                    }
                }
                Event::RequestFailed { request, error } => {
                    if let Some(waiter) = inner.requests.remove(&request) {
                        waiter.fail(error);
                    }
                }
                Event::Message(message) => {
                    inner.tell(message.conversation, Update::Message(message), wakers);
                }
                Event::Gap { conversation, gap } => {
                    warn!(%conversation, from = gap.from, to = gap.to, cause = %gap.cause, "messages are missing");
                    inner.tell(conversation, Update::Gap(gap), wakers);
                }
                Event::CaughtUp { conversation, head } => {
                    inner.tell(conversation, Update::CaughtUp { head }, wakers);
                }
                Event::Typing { conversation, user, active } => {
                    inner.tell(conversation, Update::Typing { user, active }, wakers);
                }
                Event::Receipt { conversation, user, sequence, time_ms, kind } => {
                    inner.tell(conversation, Update::Receipt { user, sequence, time_ms, kind }, wakers);
                }
                Event::Counts { conversation, counts } => {
                    inner.tell(conversation, Update::Counts(counts), wakers);
                }
                Event::Presence { user, state, seen_ms } => {
                    self.announce(ClientEvent::Presence { user, state, seen_ms });
                }
                Event::Inbox { entries, complete } => {
                    inner.inbox.on_entries(&entries);
                    self.announce(ClientEvent::Inbox { entries, complete });
                }
                Event::Notice(error) => {
                    debug!(%error, "refused for now");
                    self.announce(ClientEvent::Notice(error));
                }
                Event::TokenWanted => inner.token_wanted = true,
            }
        }
        if settled {
            self.settled.notify_waiters();
        }
        if matches!(&*self.state.borrow(), State::Closed | State::Failed(_)) {
            inner.end_all(&self.state.borrow(), wakers);
        }
    }

    fn on_state(&self, state: State) {
        match &state {
            State::Connecting { attempt } => debug!(attempt, "connecting"),
            State::Connected(session) => info!(session = session.session, user = %session.name, "connected"),
            State::Disconnected { error, retry_in } => info!(%error, ?retry_in, "disconnected"),
            State::Failed(error) => warn!(%error, "the client has failed"),
            State::Closed => debug!("closed"),
        }
        // Nobody may be listening.
        let _ = self.events.send(ClientEvent::State(state.clone()));
        self.state.send_replace(state);
        // Whoever waits for room in an outbox has to learn of an end.
        self.settled.notify_waiters();
    }

    fn announce(&self, event: ClientEvent) {
        // Nobody listens: nobody wants to know.
        let _ = self.events.send(event);
    }
}

impl Inner {
    fn on_joined(
        &mut self,
        now: Duration,
        request: Option<RequestId>,
        membership: Membership,
        wakers: &mut Vec<Waker>,
    ) {
        let id = membership.conversation;
        match request.and_then(|request| self.requests.remove(&request)) {
            // Nobody waits any more, so nobody would read it.
            Some(Waiter::Join(sender)) if sender.is_closed() => self.core().detach_conversation(now, id),
            Some(Waiter::Join(sender)) => {
                self.rooms_last += 1;
                let room = Room::new(membership, self.rooms_last);
                answer(sender, Ok(room.key));
                self.rooms.insert(id, room);
            }
            Some(other) => other.fail(Error::Contradiction("an answer of another kind")),
            None => {
                if let Some(room) = self.rooms.get_mut(&id) {
                    room.learn(&membership.members);
                    room.membership = membership.clone();
                    wakers.extend(room.push(Update::Resumed(membership)));
                }
            }
        }
    }

    fn tell(&mut self, id: ConversationId, update: Update, wakers: &mut Vec<Waker>) {
        if let Some(room) = self.rooms.get_mut(&id) {
            wakers.extend(room.push(update));
        }
    }

    fn end(&mut self, id: ConversationId, error: Error, wakers: &mut Vec<Waker>) {
        if let Some(room) = self.rooms.get_mut(&id) {
            wakers.extend(room.end(error));
        }
    }

    fn end_all(&mut self, state: &State, wakers: &mut Vec<Waker>) {
        let error = match state {
            State::Failed(error) => error.clone(),
            _ => Error::ShutDown,
        };
        for room in self.rooms.values_mut().filter(|room| room.ended.is_none()) {
            wakers.extend(room.end(error.clone()));
        }
        for (_, waiter) in self.requests.drain() {
            waiter.fail(error.clone());
        }
    }
}

/// Tells whoever waits; whoever has stopped waiting does not want to know.
fn answer<T>(sender: oneshot::Sender<Result<T>>, result: Result<T>) {
    let _ = sender.send(result);
}
