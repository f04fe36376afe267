//! What can go wrong: each error says whose fault it is, what happened, and what to do.

use std::fmt;
use std::time::Duration;

use ringwire_protocol::Fault;
use ringwire_protocol::code::{Code, Retry, Whose};

/// Whose fault an error is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Party {
    /// The program that uses this library, or its user.
    Caller,
    /// The server.
    Server,
    /// What lies between.
    Network,
    /// Nobody's: a rule or an operator decided.
    Policy,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "this client's fault",
            Self::Server => "the server's fault",
            Self::Network => "the network's fault",
            Self::Policy => "a rule of the server",
        })
    }
}

/// A code with what came along with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The code of the table in the protocol.
    pub code: Code,
    /// What the server added for people; often empty.
    pub reason: String,
    /// When to try again, if the server said so.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code.name(), self.code.number(), self.code.text())?;
        if !self.reason.is_empty() {
            write!(f, " It says: {:?}.", self.reason)?;
        }
        if let Some(after) = self.retry_after {
            write!(f, " Try again in {after:?}.")?;
        }
        Ok(())
    }
}

impl Refusal {
    fn said(&self) -> String {
        format!("{}: {self}", party(self.code))
    }
}

/// Every error of this library.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused a publish or a request.
    #[error("refused, {}", .0.said())]
    Rejected(Refusal),
    /// The server closed the connection with a code.
    #[error("connection closed by the server, {}", .0.said())]
    Closed(Refusal),
    /// No connection could be made, or it broke.
    #[error("no connection, the network's fault: {0}")]
    Network(String),
    /// The peer answered the WebSocket handshake with an HTTP error.
    #[error(
        "the handshake was answered with HTTP {status}: {text}; check the address and what stands before the server"
    )]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        text: String,
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// What answers there is no WebSocket server of this protocol.
    #[error("no Ringwire server answers there: {0}; check the address and what stands before the server")]
    Handshake(String),
    /// The peer's bytes are not this protocol.
    #[error(
        "the peer does not speak this protocol, the server's fault: {0}; check the address, or report it"
    )]
    Peer(Fault),
    /// The peer's frames contradict each other.
    #[error("the server broke the protocol, its own fault: {0}; report it")]
    Contradiction(&'static str),
    /// Nothing was heard from the server for too long.
    #[error(
        "the server has been silent for {0:?}, the network's or the server's fault; a new connection is tried"
    )]
    Silent(Duration),
    /// No answer came in time.
    #[error("no answer to {what} within {after:?}, the network's or the server's fault; try again")]
    TimedOut {
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The outbox is full; the publish was not taken.
    #[error(
        "the outbox is full ({entries} publishes, {bytes} bytes wait for the server), this client's fault: wait until some are acknowledged"
    )]
    OutboxFull {
        /// Publishes that wait in this conversation.
        entries: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// There is a bound, and it is reached; the call did nothing.
    #[error("there are {max} {what} already, this client's fault: finish some first")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The body is larger than the server takes.
    #[error(
        "a body of {bytes} bytes exceeds {bytes_max}, this client's fault: store it elsewhere and publish a reference"
    )]
    BodyTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A value that cannot be sent.
    #[error("{0}, this client's fault")]
    Invalid(String),
    /// The conversation is not joined, or not any more.
    #[error("this conversation is not joined, this client's fault: join it first")]
    NotJoined,
    /// The conversation is joined already, and has one reader.
    #[error("this conversation is joined already, this client's fault: use its handle, or leave first")]
    AlreadyJoined,
    /// Another client uses the same device id, so that it cannot be known whether this publish was accepted.
    #[error(
        "another client uses this device id, this client's fault: give every client its own; whether the publish was accepted is unknown"
    )]
    DeviceShared,
    /// The client was shut down before the acknowledgement came. It may have been accepted.
    #[error("shut down before the server acknowledged it; it may have been accepted")]
    Unacknowledged,
    /// The client was shut down.
    #[error("the client is shut down")]
    ShutDown,
    /// The URL cannot be used.
    #[error("{0}, this client's fault")]
    Url(String),
    /// The token provider failed.
    #[error("no new token: {0}")]
    Token(String),
    /// A transfer of media failed.
    #[error("{text}")]
    Transfer {
        /// What happened, and what to do.
        text: String,
        /// Whose fault it is.
        fault: Party,
        /// Whether the same may succeed later.
        is_retryable: bool,
    },
}

/// From where this client stands: a peer's fault in the server's words is its own.
fn party(code: Code) -> Party {
    match code.whose() {
        Whose::Peer => Party::Caller,
        Whose::Server => Party::Server,
        Whose::Policy => Party::Policy,
    }
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Party {
        match self {
            Self::Transfer { fault, .. } => *fault,
            Self::Rejected(refusal) | Self::Closed(refusal) => party(refusal.code),
            Self::Network(_) | Self::Silent(_) | Self::TimedOut { .. } => Party::Network,
            Self::Refused { status, .. } if *status >= 500 => Party::Server,
            Self::Peer(_) | Self::Contradiction(_) => Party::Server,
            Self::Refused { .. }
            | Self::Handshake(_)
            | Self::OutboxFull { .. }
            | Self::TooMany { .. }
            | Self::BodyTooLarge { .. }
            | Self::Invalid(_)
            | Self::NotJoined
            | Self::AlreadyJoined
            | Self::DeviceShared
            | Self::Unacknowledged
            | Self::ShutDown
            | Self::Url(_)
            | Self::Token(_) => Party::Caller,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transfer { is_retryable, .. } => *is_retryable,
            Self::Rejected(refusal) | Self::Closed(refusal) => refusal.code.retry() != Retry::Never,
            Self::Network(_)
            | Self::Silent(_)
            | Self::TimedOut { .. }
            | Self::OutboxFull { .. }
            | Self::TooMany { .. }
            | Self::Token(_) => true,
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            _ => false,
        }
    }

    /// The protocol's code, if the server gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Rejected(refusal) | Self::Closed(refusal) => Some(refusal.code),
            Self::Peer(fault) => Some(fault.code()),
            _ => None,
        }
    }

    /// When to try again, if the server said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected(refusal) | Self::Closed(refusal) => refusal.retry_after,
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;
