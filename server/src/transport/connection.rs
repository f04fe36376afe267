//! One connection, as the shard sees it.
//!
//! ```text
//!   Handshake --upgrade--> Greeting --Hello--> Live --close, fault, drain--> Closing --peer or time--> gone
//! ```
//!
//! Owner: the shard that accepted it. Lifetime: from `Accepted` to `Closed`. An idle connection owns no
//! buffer: only this struct and its session.

use std::net::SocketAddr;

use ringwire_driver::ConnectionId;

use super::carrier::Carrier;
use super::stalled::Stalled;
use crate::fanout::queues::Queue;
use crate::fanout::subscribers::Subscription;
use crate::session::Session;

/// How far a connection has come.
pub enum Stage {
    /// Bytes of an HTTP request head that is not whole yet; none at first.
    Handshake(Vec<u8>),
    /// Upgraded; the first frame has to be a `Hello`.
    Greeting,
    /// Signed in.
    Live(Box<Session>),
    /// A last word is on its way: what arrives is thrown away until the peer closes too or the time is
    /// up, because closing at once could reset the connection before the peer has read why.
    Closing {
        /// It was a close frame, and the peer's is waited for.
        hears_close: bool,
    },
    /// The driver was asked to close; only `Closed` is to come.
    Closed,
}

/// One connection.
pub struct Connection {
    /// Slot and generation.
    pub id: ConnectionId,
    /// What is due this turn.
    pub queue: Queue,
    /// When something was last heard, or the stage began; seconds on the monotonic clock.
    pub heard_s: u32,
    /// How far it has come.
    pub stage: Stage,
    /// What carries its frames.
    pub carrier: Carrier,
    /// What a reader that does not read has not taken.
    pub stalled: Option<Box<Stalled>>,
    /// What it receives.
    pub subscriptions: Vec<Subscription>,
    /// The other end.
    pub peer: SocketAddr,
}

const _: () = assert!(size_of::<Connection>() <= 208, "every idle connection pays for this struct");

impl Connection {
    /// A connection that was just accepted.
    pub fn new(id: ConnectionId, peer: SocketAddr, now_s: u32, carrier: Carrier, stage: Stage) -> Self {
        Connection {
            id,
            queue: Queue::EMPTY,
            heard_s: now_s,
            stage,
            carrier,
            stalled: None,
            subscriptions: Vec::new(),
            peer,
        }
    }

    /// The session, once signed in.
    pub fn session(&self) -> Option<&Session> {
        match &self.stage {
            Stage::Live(session) => Some(session),
            _ => None,
        }
    }

    /// The session, once signed in.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.stage {
            Stage::Live(session) => Some(session),
            _ => None,
        }
    }

    /// Whether frames may still be queued for it.
    pub fn takes_frames(&self) -> bool {
        matches!(self.stage, Stage::Greeting | Stage::Live(_))
    }
}
