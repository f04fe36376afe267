//! How a chat ended, as the code of the process.

use std::process::ExitCode;

use ringwire_client::{Error, Party};

/// See the help of the command, which lists the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Outcome {
    /// Everything that was sent is acknowledged.
    Clean = 0,
    /// Standard input or output failed.
    Broken = 1,
    /// No connection to the server.
    Unreachable = 3,
    /// The server does not want this user, or not in this room.
    Refused = 4,
    /// Some lines were refused for good; all others are acknowledged.
    LinesRefused = 5,
    /// Not everything was acknowledged, or not even read, when it ended.
    Unacknowledged = 6,
}

impl Outcome {
    /// What an error on the way into the room means.
    pub(super) fn of(error: &Error) -> Self {
        match error.fault() {
            Party::Network | Party::Server => Self::Unreachable,
            Party::Caller | Party::Policy => Self::Refused,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}
