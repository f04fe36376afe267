//! One checker per promise.
//!
//! Checkers are told what was said and done, and know nothing of how: each can be fed a history by hand, and
//! each has a test that feeds it a bad one (a canary), because a checker that cannot fail proves nothing.
//!
//! Conversations are numbered ([`Room`]) so that looking one up costs nothing.

pub mod amendments;
pub mod amplification;
pub mod bounds;
pub mod counts;
pub mod devices;
pub mod durability;
pub mod exactly_once;
pub mod inbox;
pub mod isolation;
mod lasting;
pub mod membership;
pub mod order;
pub mod presence;
pub mod progress;
pub mod receipts;
pub mod retention;
pub mod typing;

use std::fmt;

/// Index of a conversation among those of the world.
pub type Room = usize;

/// What a server promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// Dense sequences from 1; everybody sees the same in the same order, without holes.
    Order,
    /// What anybody was told of is there after any crash.
    Durability,
    /// Each publish is stored at most once, and acknowledged with one sequence.
    ExactlyOnce,
    /// Nothing reaches a session whose user is not a member.
    Isolation,
    /// Members and messages are changed by who may change them, and by nobody else.
    Membership,
    /// A page of what is current is the fold of the log up to its head.
    Amendments,
    /// What was shown of a cursor is never taken back.
    Receipts,
    /// Only what is beyond retention is given up, and nobody is told otherwise.
    Retention,
    /// Every queue stays within its limit.
    Bounds,
    /// Watchers know who is there, soon.
    Presence,
    /// Who wants to know is told how many are there and how far they are, soon.
    Counts,
    /// Typing is seen by members, of members, at the server's pace, and ends.
    Typing,
    /// Who signs in is told of all conversations, each once.
    Inbox,
    /// A device has one session.
    Devices,
    /// Without faults everything is acknowledged and delivered, soon.
    Progress,
    /// The parts keep what they owe to each other: no panic, no broken rule of a seam, a store that opens.
    Contract,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Promise::Order => "order",
            Promise::Durability => "durability",
            Promise::ExactlyOnce => "exactly once",
            Promise::Isolation => "isolation",
            Promise::Membership => "membership",
            Promise::Amendments => "amendments",
            Promise::Receipts => "receipts",
            Promise::Retention => "retention",
            Promise::Bounds => "bounds",
            Promise::Presence => "presence",
            Promise::Counts => "counts",
            Promise::Typing => "typing",
            Promise::Inbox => "inbox",
            Promise::Devices => "devices",
            Promise::Progress => "progress",
            Promise::Contract => "contract",
        })
    }
}

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// What a checker says.
pub type Verdict<T = ()> = Result<T, Violation>;

impl Promise {
    /// This promise was broken.
    ///
    /// # Errors
    /// Always.
    pub fn broken<T>(self, what: impl Into<String>) -> Verdict<T> {
        Err(Violation { promise: self, what: what.into() })
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// If not.
    pub fn holds(self, holds: bool, what: impl FnOnce() -> String) -> Verdict {
        if holds { Ok(()) } else { self.broken(what()) }
    }
}
