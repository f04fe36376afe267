//! What can be done in one conversation, from anywhere: publish, ask, change.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringwire_protocol::message::{Direction, Role, View};
use ringwire_protocol::{ConversationId, UserId};
use tokio::sync::oneshot;

use super::room::RoomKey;
use super::shared::{Guard, Inner, Shared, Waiter};
use crate::core::{Change, Core, Draft, History, Member, Membership, Published, Range, RequestId};
use crate::error::{Error, Result};

/// Publishes to one conversation, and asks about it. Clones are cheap.
pub struct Publisher {
    pub(super) key: RoomKey,
    pub(super) shared: Arc<Shared>,
    guard: Arc<Guard>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("id", &self.key.id).finish_non_exhaustive()
    }
}

impl Clone for Publisher {
    fn clone(&self) -> Self {
        Self::new(self.key, self.shared.clone(), self.guard.clone())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.release(self.key);
    }
}

impl Publisher {
    pub(super) fn new(key: RoomKey, shared: Arc<Shared>, guard: Arc<Guard>) -> Self {
        shared.look(|inner| {
            if let Some(room) = inner.room(key) {
                room.handles += 1;
            }
        });
        Self { key, shared, guard }
    }

    /// Which conversation this is.
    pub fn id(&self) -> ConversationId {
        self.key.id
    }

    /// How the server last described the conversation.
    pub fn membership(&self) -> Option<Membership> {
        self.shared.look(|inner| inner.room(self.key).map(|room| room.membership.clone()))
    }

    /// What a user is called, if this client has heard it: from the join, from the messages since, from [`Self::members`].
    pub fn name_of(&self, user: UserId) -> Option<String> {
        self.shared.look(|inner| inner.room(self.key)?.name_of(user).map(str::to_owned))
    }

    /// Who is called so, of those whose names this client has heard; `None` also if several are.
    pub fn user_of(&self, name: &str) -> Option<UserId> {
        self.shared.look(|inner| inner.room(self.key)?.user_of(name))
    }

    /// Publishes a message and waits for its acknowledgement, across reconnects and for as long as it takes. The message
    /// is on its way even if the future is dropped.
    ///
    /// # Errors
    /// The server's final refusal; [`Error::OutboxFull`], [`Error::BodyTooLarge`] and the like at once.
    pub async fn publish(&self, draft: impl Into<Draft>) -> Result<Published> {
        self.publish_queued(draft)?.await
    }

    /// Puts a message into the outbox; the receipt may be awaited, now or later, or dropped. Messages are accepted in
    /// the order of these calls.
    ///
    /// ```no_run
    /// # async fn example(publisher: ringwire_client::Publisher) -> Result<(), ringwire_client::Error> {
    /// let mut receipts = Vec::new();
    /// for number in 0..10_000 {
    ///     let text = format!("number {number}");
    ///     publisher.ready(text.len()).await?;
    ///     receipts.push(publisher.publish_queued(text)?);
    /// }
    /// for receipt in receipts {
    ///     println!("accepted at {}", receipt.await?.sequence);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::OutboxFull`] (see [`Self::ready`]), [`Error::BodyTooLarge`], [`Error::NotJoined`], an ended client.
    pub fn publish_queued(&self, draft: impl Into<Draft>) -> Result<Receipt> {
        let draft = draft.into();
        self.shared.call(|inner, now| self.queue(inner, now, draft))
    }

    /// Puts several messages into the outbox at once, each with its own answer. They travel together, as far as the server's
    /// window allows, whatever other threads do meanwhile.
    ///
    /// ```no_run
    /// # async fn example(publisher: ringwire_client::Publisher) -> Result<(), ringwire_client::Error> {
    /// for receipt in publisher.publish_batch(["one", "two", "three"]) {
    ///     println!("accepted at {}", receipt?.await?.sequence);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_batch<D: Into<Draft>>(&self, drafts: impl IntoIterator<Item = D>) -> Vec<Result<Receipt>> {
        let drafts: Vec<Draft> = drafts.into_iter().map(Into::into).collect();
        self.shared.with(|inner, now| drafts.into_iter().map(|draft| self.queue(inner, now, draft)).collect())
    }

    fn queue(&self, inner: &mut Inner, now: Duration, draft: Draft) -> Result<Receipt> {
        let publish = inner.core().publish(now, self.key.id, draft)?;
        let (sender, receiver) = oneshot::channel();
        inner.publishes.insert(publish, sender);
        Ok(Receipt(receiver))
    }

    /// Waits until a message of so many bytes finds room in the outbox.
    ///
    /// # Errors
    /// The conversation or the client has ended.
    pub async fn ready(&self, bytes: usize) -> Result<()> {
        loop {
            let settled = self.shared.settled.notified();
            let mut settled = std::pin::pin!(settled);
            // Listened for before looking, so that nothing is missed in between.
            settled.as_mut().enable();
            let room =
                self.shared.look(|inner| match inner.room(self.key).map(|room| room.ended.clone()) {
                    Some(None) => Ok(inner.core().has_room(self.key.id, bytes)),
                    Some(Some(error)) => Err(error),
                    None => Err(Error::NotJoined),
                })?;
            if room {
                return Ok(());
            }
            settled.await;
        }
    }

    /// Reads history: up to `limit` messages (256 at most) from the sequence `from` on, forward or backward. The messages
    /// come in ascending order either way. Backward from `u64::MAX` gives the newest.
    ///
    /// # Errors
    /// The server's refusal, a time-out.
    pub async fn history(&self, from: u64, limit: u16, direction: Direction) -> Result<History> {
        self.read_history(Range { from, limit, direction, view: View::Raw }).await
    }

    /// The same of what is current: without messages that were deleted, and with what was said about the others since,
    /// however late. A [`Timeline`](crate::Timeline) puts that together.
    ///
    /// ```no_run
    /// # async fn example(room: ringwire_client::Publisher) -> Result<(), ringwire_client::Error> {
    /// use ringwire_client::{Direction, Timeline};
    ///
    /// let mut timeline = Timeline::new();
    /// timeline.apply_history(&room.current(u64::MAX, 50, Direction::Backward).await?);
    /// for (sequence, entry) in timeline.iter() {
    ///     println!("{sequence} {}", entry.text().unwrap_or("(deleted)"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server's refusal, a time-out.
    pub async fn current(&self, from: u64, limit: u16, direction: Direction) -> Result<History> {
        self.read_history(Range { from, limit, direction, view: View::Current }).await
    }

    async fn read_history(&self, range: Range) -> Result<History> {
        let answer = self.shared.call(|inner, now| {
            let request = inner.core().history(now, self.key.id, range)?;
            Ok(inner.wait(request, Waiter::History))
        })?;
        answer.await.unwrap_or(Err(Error::ShutDown))
    }

    /// Makes a user a member. Answers the sequence of the entry that says so.
    ///
    /// ```no_run
    /// # async fn example(room: ringwire_client::Publisher) -> Result<(), ringwire_client::Error> {
    /// use ringwire_client::{Role, UserId};
    ///
    /// let bob = UserId::from_name("bob");
    /// room.add(bob, "bob", Role::Member).await?;
    /// room.set_role(bob, Role::Admin).await?;
    /// room.remove(bob).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server's refusal (by role, or because the conversation is a direct one), a time-out.
    pub async fn add(&self, user: UserId, name: &str, role: Role) -> Result<u64> {
        self.change(Change::Add(Member { user, name: name.to_owned(), role })).await
    }

    /// Ends somebody's membership. Answers the sequence of the entry that says so.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub async fn remove(&self, user: UserId) -> Result<u64> {
        self.change(Change::Remove(user)).await
    }

    /// Lets a member do other things from now on. Answers the sequence of the entry that says so.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub async fn set_role(&self, user: UserId, role: Role) -> Result<u64> {
        self.change(Change::Role(user, role)).await
    }

    async fn change(&self, change: Change) -> Result<u64> {
        self.done(|core, now| core.change(now, self.key.id, change)).await
    }

    /// No wake-ups from here until then: milliseconds since 1970, 0 to end it, `u64::MAX` for ever.
    ///
    /// # Errors
    /// The server's refusal, a time-out.
    pub async fn mute(&self, until_ms: u64) -> Result<()> {
        self.done(|core, now| core.mute(now, self.key.id, until_ms)).await.map(drop)
    }

    /// Asks for [`Update::Counts`](crate::Update::Counts) as they change, or for no more of them: for rooms so large that nobody wants to know each
    /// reader by name.
    ///
    /// # Errors
    /// The server's refusal, a time-out.
    pub async fn watch_counts(&self, active: bool) -> Result<()> {
        self.done(|core, now| core.watch_counts(now, self.key.id, active)).await.map(drop)
    }

    async fn done(&self, ask: impl FnOnce(&mut Core, Duration) -> Result<RequestId>) -> Result<u64> {
        self.shared.done(ask).await
    }

    /// All members, in the order of their ids, by as many requests as it takes.
    ///
    /// # Errors
    /// The server's refusal, a time-out.
    pub async fn members(&self) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        let mut after = None;
        loop {
            let answer = self.shared.call(|inner, now| {
                let request = inner.core().members(now, self.key.id, after)?;
                Ok(inner.wait(request, Waiter::Members))
            })?;
            let mut page = answer.await.unwrap_or(Err(Error::ShutDown))?;
            members.append(&mut page.members);
            // A server that does not advance would keep us here for ever.
            if page.next.is_none() || page.next <= after {
                return Ok(members);
            }
            after = page.next;
        }
    }

    /// The user has read everything up to this sequence.
    ///
    /// # Errors
    /// The conversation or the client has ended.
    pub fn read(&self, sequence: u64) -> Result<()> {
        self.shared.call(|inner, now| inner.core().read(now, self.key.id, sequence))
    }

    /// The user types, or has stopped. Call it as often as keys are pressed.
    ///
    /// # Errors
    /// The conversation or the client has ended.
    pub fn typing(&self, active: bool) -> Result<()> {
        self.shared.call(|inner, now| inner.core().typing(now, self.key.id, active))
    }
}

/// A publish under way; resolves when the server has accepted or finally refused it. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "without the receipt nobody learns whether the message was accepted"]
pub struct Receipt(oneshot::Receiver<Result<Published>>);

impl Future for Receipt {
    type Output = Result<Published>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.unwrap_or(Err(Error::ShutDown)))
    }
}
