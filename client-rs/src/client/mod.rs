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
mod dispatch;
mod room;
mod shared;
mod task;
mod url;

use std::sync::Arc;
use std::time::Duration;

use ringwire_protocol::{ConversationId, DeviceId, UserId};
use tokio::sync::{broadcast, watch};

pub use builder::Builder;
pub use conversation::{Conversation, Publisher, Receipt, Update};
pub use dispatch::ClientEvent;

use crate::core::{Draft, Start, State};
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
        let (id, answer) = self.shared.call(|inner, now| {
            let (request, id) = inner.core().join(now, name, start)?;
            Ok((id, inner.wait(request, Waiter::Join)))
        })?;
        // If this future is dropped before the answer, nobody reads what the conversation brings: it is detached.
        let detach = shared::Detach::new(&self.shared, id);
        let key = answer.await.unwrap_or(Err(Error::ShutDown))?;
        detach.disarm();
        Ok(Conversation::new(key, self.shared.clone(), self.guard.clone()))
    }

    /// Says whose presence is wanted; it comes as [`ClientEvent::Presence`]. Replaces the list before it.
    ///
    /// # Errors
    /// The server's refusal, more users than allowed, a time-out.
    pub async fn watch(&self, users: Vec<UserId>) -> Result<()> {
        let answer = self.shared.call(|inner, now| {
            let request = inner.core().watch(now, users)?;
            Ok(inner.wait(request, Waiter::Done))
        })?;
        answer.await.unwrap_or(Err(Error::ShutDown))
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
