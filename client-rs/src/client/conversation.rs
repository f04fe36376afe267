//! The reader of one conversation.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use ringwire_protocol::UserId;
use ringwire_protocol::message::ReceiptKind;

use super::publisher::Publisher;
use super::room::RoomKey;
use super::shared::{Guard, Shared, Waiter};
use crate::core::{Counts, Gap, Membership, Message};
use crate::error::{Error, Result};

/// What happens in a conversation, in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Update {
    /// The next message.
    Message(Message),
    /// What would have come next will not come.
    Gap(Gap),
    /// All that was published before the last (re)connect or join has been delivered.
    CaughtUp {
        /// Up to which sequence.
        head: u64,
    },
    /// The connection was lost and is back; what was missed follows.
    Resumed(Membership),
    /// A member types, or has stopped: told once each; who is silent for five seconds has stopped. Let go while the reader
    /// lags.
    Typing {
        /// Who.
        user: UserId,
        /// Whether it began.
        active: bool,
    },
    /// A member has read up to there, or a device of the member has it. Let go while the reader lags.
    Receipt {
        /// Who.
        user: UserId,
        /// Up to where.
        sequence: u64,
        /// The server's clock, in milliseconds since 1970.
        time_ms: u64,
        /// Which of the two.
        kind: ReceiptKind,
    },
    /// How many members are there and how far they are; see [`Publisher::watch_counts`]. Let go while the reader lags.
    Counts(Counts),
}

/// A conversation that is joined: the stream of its messages, and everything that can be done there.
///
/// As a [`Stream`] it gives the messages, each once, in order, without holes, across reconnects. It ends when the
/// conversation does ([`Self::ended`] says why). A gap, which the server only admits when it has lost or deleted
/// something, is logged and passed over; [`Self::next_update`] gives it too.
///
/// A reader that lags costs a bounded amount of memory and loses nothing: when it has 256 messages to read, no more are
/// asked for, and what was published meanwhile is fetched later.
///
/// Dropping it does not leave the conversation: the user stays a member, and publishes under way are still settled.
///
/// ```no_run
/// # async fn example(client: ringwire_client::Client) -> Result<(), ringwire_client::Error> {
/// use ringwire_client::{Start, Update};
///
/// let mut room = client.join_from("lobby", Start::After(1_234)).await?;
/// while let Some(update) = room.next_update().await {
///     match update {
///         Update::Message(message) => println!("{}", message.text().unwrap_or("(no text)")),
///         Update::Gap(gap) => println!("{} to {} are missing: {}", gap.from, gap.to, gap.cause),
///         Update::CaughtUp { head } => println!("-- live from {head} on --"),
///         _ => {}
///     }
/// }
/// println!("it is over: {:?}", room.ended());
/// # Ok(())
/// # }
/// ```
pub struct Conversation {
    publisher: Publisher,
    /// Taken from the room at once, so that the lock is not needed for each message.
    batch: VecDeque<Update>,
    /// Messages and gaps of the batch that were given out: credit to be returned.
    read: u64,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("id", &self.publisher.key.id).finish_non_exhaustive()
    }
}

impl Conversation {
    pub(super) fn new(key: RoomKey, shared: Arc<Shared>, guard: Arc<Guard>) -> Self {
        let publisher = Publisher::new(key, shared, guard);
        Self { publisher, batch: VecDeque::new(), read: 0 }
    }

    /// A handle for publishing that can be cloned and sent elsewhere.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// The next thing that happens; `None` when nothing more can.
    pub async fn next_update(&mut self) -> Option<Update> {
        std::future::poll_fn(|cx| self.poll_update(cx)).await
    }

    /// The next message; `None` when no more can come. As `next()` of a stream, without needing its traits.
    pub async fn next_message(&mut self) -> Option<Message> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Why the conversation has ended, if it has.
    pub fn ended(&self) -> Option<Error> {
        let key = self.publisher.key;
        self.publisher.shared.look(|inner| match inner.room(key) {
            Some(room) => room.ended.clone(),
            None => Some(Error::NotJoined),
        })
    }

    /// Stops being a member, after what was published before has been acknowledged.
    ///
    /// # Errors
    /// The server's refusal, a time-out. The conversation stays joined then, but this handle is gone.
    pub async fn leave(self) -> Result<()> {
        let publisher = &self.publisher;
        let answer = publisher.shared.call(|inner, now| {
            let request = inner.core().leave(now, publisher.key.id)?;
            Ok(inner.wait(request, Waiter::Left))
        })?;
        answer.await.unwrap_or(Err(Error::ShutDown))
    }

    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        if let Some(update) = self.batch.pop_front() {
            self.read += u64::from(matches!(update, Update::Message(_) | Update::Gap(_)));
            return Poll::Ready(Some(update));
        }
        let (key, read) = (self.publisher.key, std::mem::take(&mut self.read));
        if read > 0 {
            self.publisher.shared.with(|inner, now| inner.core().grant(now, key.id, read));
        }
        let batch = &mut self.batch;
        let more = self.publisher.shared.look(|inner| {
            let Some(room) = inner.room(key) else { return Poll::Ready(false) };
            if !room.queue.is_empty() {
                std::mem::swap(batch, &mut room.queue);
                return Poll::Ready(true);
            }
            if room.ended.is_some() {
                return Poll::Ready(false);
            }
            if !room.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                room.reader = Some(cx.waker().clone());
            }
            Poll::Pending
        });
        if !ready!(more) {
            return Poll::Ready(None);
        }
        self.poll_update(cx)
    }
}

impl std::ops::Deref for Conversation {
    type Target = Publisher;

    /// A conversation does everything that its publisher does.
    fn deref(&self) -> &Publisher {
        &self.publisher
    }
}

impl Stream for Conversation {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            match ready!(self.poll_update(cx)) {
                Some(Update::Message(message)) => return Poll::Ready(Some(message)),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let key = self.publisher.key;
        self.publisher.shared.look(|inner| {
            if let Some(room) = inner.room(key) {
                room.unread = true;
                room.queue.clear();
            }
        });
    }
}
