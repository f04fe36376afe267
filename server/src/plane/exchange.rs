//! The letters between shards and the plane.
//!
//! ```text
//!   plane ==== Ask, with a slot for the answer ====> shard     full: the asker is told `Busy`
//!   plane <=== Letter: Wake, Back ================== shard    full: waits in the shard's outlet, then is
//!                                                              dropped and counted
//! ```
//!
//! A shard never waits for the plane: it takes what was asked at the end of its turn, answers into the slots,
//! and wakes the plane once per turn. The plane rings a shard's bell, as its neighbours do. An [`Outlet`]
//! belongs to one shard; [`Shards`] lives on the plane's thread only.
//!
//! Absent: what the plane does with a wake, and who may ask.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ringwire_driver::Bell;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::Role;
use ringwire_ring::{Receiver, Sender, ring};
use tokio::sync::{Notify, oneshot};

use super::push::target::Registered;
use crate::fanout::letter::{ShardIndex, home_of, owner_of};
use crate::limits::{ASK_RING, WAKE_BACKLOG, WAKE_RING};
use crate::shard::Levels;

/// How long an asker waits. A shard answers within its turn; one that does not in this time is stuck or gone.
const ASK_PATIENCE: Duration = Duration::from_secs(5);

/// A question to one shard. The answer goes into the slot that comes with it; where the asker is gone, nobody
/// minds.
#[derive(Debug)]
pub enum Ask {
    /// What a user may do in a conversation that the shard owns; `None`: nothing, he is no member.
    Role {
        /// Who.
        user: UserId,
        /// Where.
        conversation: ConversationId,
        /// The answer's slot.
        answer: oneshot::Sender<Option<Role>>,
    },
    /// A device is gone: its registration is dropped, if it still has this token.
    Unregister {
        /// Whose.
        user: UserId,
        /// The device, as messages carry it.
        device: u64,
        /// What its provider does not know any more.
        token: Box<str>,
        /// Told when it is dropped.
        answer: oneshot::Sender<()>,
    },
    /// What the shard has counted.
    Snapshot {
        /// The answer's slot.
        answer: oneshot::Sender<Box<Snapshot>>,
    },
}

/// What a shard has counted since the process started, and what waits in it now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Its connections' side.
    pub sessions: crate::session::Counters,
    /// Its QUIC connections.
    pub quic: crate::transport::quic::Counters,
    /// Its driver.
    pub driver: ringwire_driver::Counters,
    /// Its conversations' side.
    pub conversations: crate::conversation::Counters,
    /// Its users' side.
    pub users: crate::user::Counters,
    /// Conversations that it owns.
    pub conversations_owned: usize,
    /// Its queues, without those of single connections: to look at all of them takes too long.
    pub levels: Levels,
    /// Its side of this exchange.
    pub outlet: OutletCounters,
}

/// What a user's home tells the plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    /// Somebody who is away is to be told that there is something new.
    Wake(Wake),
    /// Somebody has come back: nothing is to be pushed to him any more.
    Back {
        /// Who.
        user: UserId,
    },
}

/// Who is to be woken, for what, and on which devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Who.
    pub user: UserId,
    /// Where it is.
    pub conversation: ConversationId,
    /// Its place there.
    pub sequence: u64,
    /// His registered devices.
    pub devices: Arc<[Registered]>,
}

const _: () = assert!(size_of::<Ask>() <= 64, "an ask fits a cache line");
const _: () = assert!(size_of::<Letter>() <= 64, "a letter fits a cache line");

/// What an outlet counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutletCounters {
    /// Letters handed to the plane.
    pub letters: u64,
    /// Letters that found the ring and the outlet full.
    pub letters_dropped: u64,
}

/// A shard's end.
pub struct Outlet {
    asks: Receiver<Ask>,
    letters: Sender<Letter>,
    /// Letters that found the ring full.
    waiting: VecDeque<Letter>,
    plane: Arc<Notify>,
    /// What went through, for the operator.
    pub counters: OutletCounters,
}

impl Outlet {
    /// Hands a letter to the plane.
    pub fn tell(&mut self, letter: Letter) {
        if self.waiting.is_empty() {
            match self.letters.try_send(letter) {
                Ok(()) => self.counters.letters += 1,
                Err(full) => self.waiting.push_back(full.0),
            }
        } else if self.waiting.len() < WAKE_BACKLOG {
            self.waiting.push_back(letter);
        } else {
            self.counters.letters_dropped += 1;
        }
    }

    /// Whether the plane has asked something.
    pub fn has_asks(&self) -> bool {
        !self.asks.is_empty()
    }

    /// Whether letters wait for a full ring; then the shard may not sleep for long.
    pub fn has_backlog(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next question.
    pub fn take_ask(&mut self) -> Option<Ask> {
        self.asks.recv()
    }

    /// Publishes what was written this turn, and wakes the plane if that is anything.
    pub fn flush(&mut self) {
        while let Some(letter) = self.waiting.pop_front() {
            if let Err(full) = self.letters.try_send(letter) {
                self.waiting.push_front(full.0);
                break;
            }
            self.counters.letters += 1;
        }
        if self.letters.flush() {
            self.plane.notify_one();
        }
    }
}

/// The plane's ends, on their way to its thread.
pub struct Ends {
    ends: Vec<End>,
    notify: Arc<Notify>,
}

struct End {
    asks: Sender<Ask>,
    letters: Receiver<Letter>,
}

/// Connects the plane with `shards` shards.
pub fn exchange(shards: ShardIndex) -> (Vec<Outlet>, Ends) {
    let notify = Arc::new(Notify::new());
    let (mut outlets, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..shards {
        let (asks, asks_in) = ring(ASK_RING);
        let (letters_out, letters) = ring(WAKE_RING);
        let plane = Arc::clone(&notify);
        let (waiting, counters) = (VecDeque::new(), OutletCounters::default());
        outlets.push(Outlet { asks: asks_in, letters: letters_out, waiting, plane, counters });
        ends.push(End { asks, letters });
    }
    (outlets, Ends { ends, notify })
}

/// Why a shard did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It does not serve yet.
    #[error("the server is starting; ask again in a moment")]
    Starting,
    /// Its queue is full, or it took too long.
    #[error("shard {0} is overloaded; ask again in a moment")]
    Busy(ShardIndex),
    /// Its thread has ended.
    #[error("shard {0} does not serve any more: the server is ending")]
    Gone(ShardIndex),
}

/// All shards, as the plane sees them; cheap to clone.
#[derive(Clone)]
pub struct Shards {
    ends: Rc<RefCell<Vec<End>>>,
    notify: Arc<Notify>,
    bells: Arc<OnceLock<Vec<Bell>>>,
}

impl Shards {
    /// On the plane's thread. `bells` are those of all shards, once they serve.
    pub fn new(ends: Ends, bells: Arc<OnceLock<Vec<Bell>>>) -> Self {
        Shards { ends: Rc::new(RefCell::new(ends.ends)), notify: ends.notify, bells }
    }

    /// How many there are.
    pub fn len(&self) -> ShardIndex {
        self.ends.borrow().len() as ShardIndex
    }

    /// Whether there are none, which no server has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a user may do in a conversation; `None`: he is no member.
    ///
    /// # Errors
    /// Where its owner does not answer.
    pub async fn role(&self, user: UserId, conversation: ConversationId) -> Result<Option<Role>, AskError> {
        let owner = owner_of(conversation, self.len());
        self.ask(owner, |answer| Ask::Role { user, conversation, answer }).await
    }

    /// What a shard has counted.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn snapshot(&self, shard: ShardIndex) -> Result<Box<Snapshot>, AskError> {
        self.ask(shard, |answer| Ask::Snapshot { answer }).await
    }

    /// Asks a shard and waits for its answer.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn ask<T>(
        &self,
        shard: ShardIndex,
        question: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> Result<T, AskError> {
        let bells = self.bells.get().ok_or(AskError::Starting)?;
        let (answer, answered) = oneshot::channel();
        {
            let asks = &mut self.ends.borrow_mut()[usize::from(shard)].asks;
            if asks.try_send(question(answer)).is_err() {
                return Err(if asks.is_closed() { AskError::Gone(shard) } else { AskError::Busy(shard) });
            }
            asks.flush();
        }
        bells[usize::from(shard)].ring();
        match tokio::time::timeout(ASK_PATIENCE, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Gone(shard)),
            Err(_) => Err(AskError::Busy(shard)),
        }
    }

    /// Asks a user's home to drop the registration of a device that is gone; done when it is.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn unregister(&self, user: UserId, device: u64, token: Box<str>) -> Result<(), AskError> {
        let home = home_of(user, self.len());
        self.ask(home, |answer| Ask::Unregister { user, device, token, answer }).await
    }

    /// Waits until a shard has sent letters, or did since the last time.
    pub async fn notified(&self) {
        self.notify.notified().await;
    }

    /// Takes what the shards have sent, at most `max` letters in all.
    pub fn take_letters(&self, max: usize, into: &mut Vec<Letter>) {
        for end in self.ends.borrow_mut().iter_mut() {
            while into.len() < max {
                let Some(letter) = end.letters.recv() else { break };
                into.push(letter);
            }
        }
    }
}
