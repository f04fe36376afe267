//! One conversation that this client has joined, or is joining: what is read, what is sent, and where it stands.
//!
//! ```text
//!  join -> Joining --Joined--> Member --leave, outbox empty--> Leaving --Done--> gone
//!              '--Reject--> gone  '--Reject of its cursor, for good--> gone
//! ```
//!
//! Owner: the core; lives from `join` to `leave`, across connections. `attached` says whether the server has confirmed
//! it on the present connection. Publishes are numbered when it first has on any; then they need not wait for it again.

use std::time::Duration;

use ringwire_protocol::ConversationId;

use super::content::Start;
use super::cursors::Cursors;
use super::feed::Feed;
use super::outbox::Outbox;
use super::typists::Typists;
use crate::limits::TYPING_REPEAT;

/// Whether this client is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The join has not been answered.
    Joining,
    /// It has.
    Member,
    /// This request to leave waits: for the outbox first, then for its answer.
    Leaving(u32),
}

/// Whether this user types, as far as the server was told by us.
#[derive(Debug, Default)]
struct Typing {
    wanted: Option<bool>,
    told: Option<Duration>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) start: Start,
    pub(crate) feed: Feed,
    pub(crate) outbox: Outbox,
    /// The server has confirmed it on this connection.
    pub(crate) attached: bool,
    /// An `Open` is under way.
    pub(crate) opening: bool,
    /// When the last `Open` of this connection was sent.
    pub(crate) opened: Option<Duration>,
    /// No publish before this time.
    pub(crate) not_before: Duration,
    /// Publishes in a row that the server was too busy for.
    pub(crate) refusals: u32,
    /// When the server last said something about the publishes in flight, or the first of them was sent.
    pub(crate) answered: Duration,
    /// It stands in the core's ring of conversations that may have something to send.
    pub(crate) ready: bool,
    pub(crate) cursors: Cursors,
    /// Counts are wanted.
    pub(crate) counts: bool,
    pub(crate) typists: Typists,
    typing: Typing,
}

impl Conversation {
    pub(crate) fn new(id: ConversationId, name: &str, start: Start, credit: u64) -> Self {
        Self {
            name: name.to_owned(),
            standing: Standing::Joining,
            start,
            feed: Feed::new(id, credit),
            outbox: Outbox::new(),
            attached: false,
            opening: false,
            opened: None,
            not_before: Duration::ZERO,
            refusals: 0,
            answered: Duration::ZERO,
            ready: false,
            cursors: Cursors::default(),
            counts: false,
            typists: Typists::default(),
            typing: Typing::default(),
        }
    }

    /// The user types, or has stopped.
    pub(crate) fn type_now(&mut self, active: bool) {
        self.typing.wanted = Some(active);
    }

    /// What to say about typing now, if anything: a beginning, a beginning that lasts, an end of what was begun.
    pub(crate) fn take_typing(&mut self, now: Duration) -> Option<bool> {
        let active = self.typing.wanted.take()?;
        let told = self.typing.told;
        let say = match (active, told) {
            (true, Some(told)) => now >= told + TYPING_REPEAT,
            (true, None) => true,
            (false, told) => told.is_some(),
        };
        if !self.attached || !say {
            return None;
        }
        self.typing.told = active.then_some(now);
        Some(active)
    }

    /// The connection is gone.
    pub(crate) fn on_disconnected(&mut self) {
        self.attached = false;
        self.opening = false;
        self.opened = None;
        self.ready = false;
        self.typing = Typing::default();
        self.not_before = Duration::ZERO;
        self.feed.on_disconnected();
        self.outbox.on_disconnected();
    }
}
