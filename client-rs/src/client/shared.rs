//! What the handles and the task of one client share.
//!
//! Lock order: there is one lock, held for the time of one call of the core; wakers are called after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use ringwire_protocol::{ConversationId, DeviceId};
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::time::Instant;
use tracing::warn;

use super::dispatch::ClientEvent;
use super::inbox::Inbox;
use super::room::{Room, RoomKey};
use crate::core::{Core, Draft, History, MemberPage, PublishId, Published, RequestId, State};
use crate::error::{Error, Result};
use crate::ws::Link;

/// Events of the whole client that wait for a slow receiver.
const EVENTS_MAX: usize = 256;

/// Who waits for the answer to a request.
#[derive(Debug)]
pub(super) enum Waiter {
    Join(oneshot::Sender<Result<RoomKey>>),
    Left(oneshot::Sender<Result<()>>),
    History(oneshot::Sender<Result<History>>),
    Members(oneshot::Sender<Result<MemberPage>>),
    /// With the sequence of the entry that was made, if one was.
    Done(oneshot::Sender<Result<u64>>),
}

impl Waiter {
    pub(super) fn fail(self, error: Error) {
        // Whoever has stopped waiting does not want to know.
        let _ = match self {
            Self::Join(sender) => sender.send(Err(error)).is_ok(),
            Self::Left(sender) => sender.send(Err(error)).is_ok(),
            Self::Done(sender) => sender.send(Err(error)).is_ok(),
            Self::History(sender) => sender.send(Err(error)).is_ok(),
            Self::Members(sender) => sender.send(Err(error)).is_ok(),
        };
    }
}

/// What is behind the lock.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) link: Link,
    pub(super) publishes: HashMap<PublishId, oneshot::Sender<Result<Published>>>,
    pub(super) requests: HashMap<RequestId, Waiter>,
    pub(super) rooms: HashMap<ConversationId, Room>,
    pub(super) unacknowledged: Vec<(ConversationId, Draft)>,
    pub(super) token_wanted: bool,
    pub(super) inbox: Inbox,
    /// Rooms there have been.
    pub(super) rooms_last: u64,
}

impl Inner {
    /// The room of a handle, unless the conversation has been left and joined again since.
    pub(super) fn room(&mut self, key: RoomKey) -> Option<&mut Room> {
        self.rooms.get_mut(&key.id).filter(|room| room.key == key)
    }

    pub(super) fn core(&mut self) -> &mut Core {
        self.link.core()
    }

    /// Notes who waits for the answer to this request.
    pub(super) fn wait<T>(
        &mut self,
        request: RequestId,
        waiter: impl FnOnce(oneshot::Sender<Result<T>>) -> Waiter,
    ) -> oneshot::Receiver<Result<T>> {
        let (sender, receiver) = oneshot::channel();
        self.requests.insert(request, waiter(sender));
        receiver
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// The task has something to do.
    pub(super) wake: Notify,
    /// The network has changed under the socket.
    pub(super) moved: Notify,
    /// Publishes were settled, so outboxes may have room.
    pub(super) settled: Notify,
    pub(super) state: watch::Sender<State>,
    pub(super) events: broadcast::Sender<ClientEvent>,
    pub(super) device: DeviceId,
    begin: Instant,
}

impl Shared {
    pub(super) fn new(link: Link, device: DeviceId) -> Self {
        Self {
            inner: Mutex::new(Inner {
                link,
                publishes: HashMap::new(),
                requests: HashMap::new(),
                rooms: HashMap::new(),
                unacknowledged: Vec::new(),
                token_wanted: false,
                inbox: Inbox::default(),
                rooms_last: 0,
            }),
            wake: Notify::new(),
            moved: Notify::new(),
            settled: Notify::new(),
            state: watch::Sender::new(State::Connecting { attempt: 1 }),
            events: broadcast::Sender::new(EVENTS_MAX),
            device,
            begin: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// The moment that the core calls so.
    pub(super) fn instant(&self, at: Duration) -> Instant {
        self.begin + at
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock would be this crate's own fault; what it left behind is still consistent enough to be
        // shut down.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the core, hands out what happened, and lets the task look after the rest.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Inner, Duration) -> T) -> T {
        let result = self.quietly(act);
        self.wake.notify_one();
        result
    }

    /// The same for the task itself, which need not be woken.
    pub(super) fn quietly<T>(&self, act: impl FnOnce(&mut Inner, Duration) -> T) -> T {
        let mut wakers: Vec<Waker> = Vec::new();
        let result = {
            let mut inner = self.lock();
            let result = act(&mut inner, self.now());
            self.dispatch(&mut inner, &mut wakers);
            result
        };
        for waker in wakers {
            waker.wake();
        }
        result
    }

    /// A call that may be refused.
    pub(super) fn call<T>(&self, act: impl FnOnce(&mut Inner, Duration) -> Result<T>) -> Result<T> {
        self.with(act)
    }

    /// Asks for something that is answered by being done; the sequence of the entry that it made, or 0.
    pub(super) async fn done(
        &self,
        ask: impl FnOnce(&mut Core, Duration) -> Result<RequestId>,
    ) -> Result<u64> {
        let answer = self.call(|inner, now| {
            let request = ask(inner.core(), now)?;
            Ok(inner.wait(request, Waiter::Done))
        })?;
        answer.await.unwrap_or(Err(Error::ShutDown))
    }

    /// Looks at something without changing the core.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.lock())
    }

    /// A handle of this conversation is gone.
    pub(super) fn release(&self, key: RoomKey) {
        self.with(|inner, now| {
            let Some(room) = inner.room(key) else { return };
            room.handles -= 1;
            if room.handles == 0 {
                inner.detach_if_done(now, key.id);
            }
        });
    }
}

impl Inner {
    /// Forgets a conversation that has no handle any more, once nothing of it waits for an acknowledgement.
    pub(super) fn detach_if_done(&mut self, now: Duration, id: ConversationId) {
        let gone = self.rooms.get(&id).is_some_and(|room| room.handles == 0);
        if gone && self.core().outbox_len(id) == 0 {
            self.core().detach_conversation(now, id);
            self.rooms.remove(&id);
        }
    }
}

/// Held by every handle of a client: when the last one goes, the task ends.
#[derive(Debug)]
pub(super) struct Guard {
    shared: Arc<Shared>,
}

impl Guard {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let lost = self.shared.with(|inner, now| {
            let waiting = inner.publishes.len();
            inner.core().shutdown(now);
            waiting
        });
        if lost > 0 {
            warn!(
                publishes = lost,
                "a client was dropped before its publishes were acknowledged; call shutdown first"
            );
        }
    }
}

/// Detaches a conversation unless told that somebody reads it.
#[derive(Debug)]
pub(super) struct Detach<'a> {
    shared: Option<&'a Shared>,
    id: ConversationId,
}

impl<'a> Detach<'a> {
    pub(super) fn new(shared: &'a Shared, id: ConversationId) -> Self {
        Self { shared: Some(shared), id }
    }

    pub(super) fn disarm(mut self) {
        self.shared = None;
    }
}

impl Drop for Detach<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            shared.with(|inner, now| {
                inner.core().detach_conversation(now, self.id);
                inner.rooms.remove(&self.id);
            });
        }
    }
}
