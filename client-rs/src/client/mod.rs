//! The client for programs that run on tokio.
//!
//! ```text
//!   Client, Conversation, Publisher      handles, any number, on any thread
//!        | calls, behind one short lock
//!        v
//!   Shared { Link (core + WebSocket), who waits for what }
//!        ^
//!        | bytes, time
//!   one task per client, which owns the socket
//! ```
//!
//! A call changes the core at once and wakes the task; the task writes everything that is due by then in one write. Nothing
//! is awaited under the lock, and nothing but the task touches the socket.
//!
//! Lifetime: the task ends with [`Client::shutdown`], with a failure that trying again would not mend, or when the last
//! handle is dropped. In the last case nothing is flushed; a warning says how many publishes were not acknowledged.

mod builder;
mod conversation;
mod dial;
mod dispatch;
mod inbox;
mod publisher;
mod quic;
mod room;
mod shared;
mod task;
mod tls;
mod url;

use std::sync::Arc;
use std::time::Duration;

use ringwire_protocol::{ConversationId, DeviceId, UserId};
use tokio::sync::{broadcast, watch};

pub use builder::Builder;
pub use conversation::{Conversation, Update};
pub use dispatch::ClientEvent;
pub use publisher::{Publisher, Receipt};
pub use tls::pinned_tls;

use crate::core::{Core, Draft, InboxEntry, Member, Registration, RequestId, Settings, Start, State};
use crate::error::{Error, Result};
use crate::limits;
use shared::{Guard, Shared, Waiter};

/// A connection to a server that keeps itself alive. Clones are cheap and mean the same client.
///
/// See the [crate] for an example.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    guard: Arc<Guard>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// How a client was shut down.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "what was not acknowledged may be lost"]
pub struct Shutdown {
    /// What was taken in and not acknowledged. The server may have accepted it.
    pub unacknowledged: Vec<(ConversationId, Draft)>,
}

impl Shutdown {
    /// Whether everything that was published is acknowledged or was refused.
    pub fn is_clean(&self) -> bool {
        self.unacknowledged.is_empty()
    }
}

impl Client {
    /// Begins to describe a client of the server at `url`, as in `ws://127.0.0.1:7400/v1/ws`.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    /// The network has changed, as a phone's does that leaves a Wi-Fi: a connection over QUIC moves to the new one and
    /// loses nothing. Over TCP this does nothing; there the connection breaks, and the client makes another.
    pub fn network_changed(&self) {
        self.shared.moved.notify_one();
    }

    /// Joins the conversation of that name, and receives what is published from now on. One reader per conversation and
    /// client.
    ///
    /// # Errors
    /// The server's refusal, [`Error::TimedOut`], [`Error::AlreadyJoined`], a name that the server would refuse.
    pub async fn join(&self, name: &str) -> Result<Conversation> {
        self.join_from(name, Start::Latest).await
    }

    /// Joins the conversation of that name, and receives messages from `start` on.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub async fn join_from(&self, name: &str, start: Start) -> Result<Conversation> {
        self.be_let_in(|core, now| core.join(now, name, start).map(|(request, id)| (request, Some(id)))).await
    }

    /// Makes a conversation of that name, with these members besides this user, who owns it, and joins it.
    ///
    /// ```no_run
    /// # async fn example(client: ringwire_client::Client) -> Result<(), ringwire_client::Error> {
    /// use ringwire_client::{Member, Role, UserId};
    ///
    /// let bob = Member { user: UserId::from_name("bob"), name: "bob".into(), role: Role::Member };
    /// let room = client.create("release party", vec![bob]).await?;
    /// room.publish("welcome").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server's refusal (`conversation_exists` above all), a time-out, a name that the server would refuse.
    pub async fn create(&self, name: &str, members: Vec<Member>) -> Result<Conversation> {
        let create =
            |core: &mut Core, now| core.create(now, name, members).map(|(request, id)| (request, Some(id)));
        self.be_let_in(create).await
    }

    /// Joins the conversation of two with this user, from now on; it is made if there is none yet. `name` is what the other
    /// one is called.
    ///
    /// # Errors
    /// The server's refusal, a time-out.
    pub async fn direct(&self, user: UserId, name: &str) -> Result<Conversation> {
        self.direct_from(user, name, Start::Latest).await
    }

    /// The same, from `start` on.
    ///
    /// # Errors
    /// As [`Self::direct`].
    pub async fn direct_from(&self, user: UserId, name: &str, start: Start) -> Result<Conversation> {
        self.be_let_in(|core, now| core.direct(now, user, name, start).map(|request| (request, None))).await
    }

    /// Joins a conversation that the user is a member of already, by its id, as [`Self::inbox`] gives it.
    ///
    /// ```no_run
    /// # async fn example(client: ringwire_client::Client) -> Result<(), ringwire_client::Error> {
    /// use ringwire_client::Start;
    ///
    /// for entry in client.inbox().iter().filter(|entry| entry.unread > 0) {
    ///     let mut room = client.open_from(entry.conversation, Start::After(entry.read)).await?;
    ///     println!("{}: {:?}", entry.name, room.next_message().await);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server's refusal, a time-out, a conversation that is joined already.
    pub async fn open_from(&self, id: ConversationId, start: Start) -> Result<Conversation> {
        self.be_let_in(|core, now| core.enter(now, id, start).map(|request| (request, Some(id)))).await
    }

    async fn be_let_in(
        &self,
        ask: impl FnOnce(&mut Core, Duration) -> Result<(RequestId, Option<ConversationId>)>,
    ) -> Result<Conversation> {
        let (id, answer) = self.shared.call(|inner, now| {
            let (request, id) = ask(inner.core(), now)?;
            Ok((id, inner.wait(request, Waiter::Join)))
        })?;
        // If this future is dropped before the answer, nobody reads what the conversation brings: it is detached.
        let detach = id.map(|id| shared::Detach::new(&self.shared, id));
        let key = answer.await.unwrap_or(Err(Error::ShutDown))?;
        if let Some(detach) = detach {
            detach.disarm();
        }
        Ok(Conversation::new(key, self.shared.clone(), self.guard.clone()))
    }

    /// The user's conversations, the newest first, as the server has listed them so far; empty unless
    /// [`Builder::inbox`] asked for them.
    pub fn inbox(&self) -> Vec<InboxEntry> {
        self.shared.look(|inner| inner.inbox.list())
    }

    /// No wake-ups from this conversation, joined here or not, until then: milliseconds since 1970, 0 to end it, `u64::MAX`
    /// for ever.
    ///
    /// # Errors
    /// The server's refusal, a time-out.
    pub async fn mute(&self, conversation: ConversationId, until_ms: u64) -> Result<()> {
        self.shared.done(|core, now| core.mute(now, conversation, until_ms)).await.map(drop)
    }

    /// Says how this device is woken when a message comes and the user is away; takes the place of what was said before.
    ///
    /// # Errors
    /// The server's refusal, a time-out, something longer than the protocol allows.
    pub async fn register(&self, registration: Registration) -> Result<()> {
        self.shared.done(|core, now| core.register(now, registration)).await.map(drop)
    }

    /// This device is not woken any more.
    ///
    /// # Errors
    /// The server's refusal, a time-out.
    pub async fn unregister(&self) -> Result<()> {
        self.shared.done(|core, now| core.unregister(now)).await.map(drop)
    }

    /// Says what others may see of the user.
    ///
    /// # Errors
    /// The server's refusal, a time-out.
    pub async fn set(&self, settings: Settings) -> Result<()> {
        self.shared.done(|core, now| core.settings(now, settings)).await.map(drop)
    }

    /// Says whose presence is wanted; it comes as [`ClientEvent::Presence`]. Replaces the list before it.
    ///
    /// # Errors
    /// The server's refusal, more users than allowed, a time-out.
    pub async fn watch(&self, users: Vec<UserId>) -> Result<()> {
        self.shared.done(|core, now| core.watch(now, users)).await.map(drop)
    }

    /// How the connection stands.
    pub fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    /// How the connection stands, to be awaited for changes.
    pub fn watch_state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// What concerns no single conversation. A receiver that lags loses the oldest, which `broadcast` tells it.
    pub fn events(&self) -> broadcast::Receiver<ClientEvent> {
        self.shared.events.subscribe()
    }

    /// This client's device, hashed as in [`Message::origin`](crate::Message::origin).
    pub fn origin(&self) -> u64 {
        self.shared.device.origin()
    }

    /// This client's device.
    pub fn device(&self) -> DeviceId {
        self.shared.device
    }

    /// Gives the server a new token for the same user, now or with the next connection.
    pub fn set_token(&self, token: impl Into<String>) {
        self.shared.with(|inner, now| inner.core().set_token(now, token));
    }

    /// Waits for all acknowledgements, but not longer than ten seconds, then closes the connection.
    pub async fn shutdown(&self) -> Shutdown {
        self.shutdown_within(limits::SHUTDOWN_TIMEOUT).await
    }

    /// Waits for all acknowledgements, but not longer than `patience`, then closes the connection. From now on nothing
    /// more is taken in.
    pub async fn shutdown_within(&self, patience: Duration) -> Shutdown {
        self.shared.with(|inner, now| inner.core().shutdown(now + patience));
        let mut state = self.shared.state.subscribe();
        // An error would mean that the sender is gone, which this very object owns.
        let _ = state.wait_for(|state| matches!(state, State::Closed | State::Failed(_))).await;
        Shutdown { unacknowledged: self.shared.with(|inner, _| std::mem::take(&mut inner.unacknowledged)) }
    }
}
