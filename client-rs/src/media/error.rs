//! What can go wrong with a transfer.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::error::Party;

/// What a server says where it refuses (RFC 9457).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// A word for programs, such as `not_a_member`; empty where something else than the server answered.
    pub code: String,
    /// What happened and what to do, for people.
    pub detail: String,
    /// Who has to act.
    pub whose: Party,
    /// When to try again, if the server said so.
    pub retry_after: Option<Duration>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Said {
    code: String,
    detail: String,
    whose: String,
}

impl Problem {
    pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let said: Said = serde_json::from_slice(body).unwrap_or_default();
        let whose = match (&*said.whose, status) {
            ("peer", _) => Party::Caller,
            ("policy", _) => Party::Policy,
            (_, 500..) => Party::Server,
            _ => Party::Network,
        };
        Problem { status, code: said.code, detail: said.detail, whose, retry_after }
    }
}

impl Problem {
    fn said(&self) -> String {
        format!("{}: {self}", self.whose)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.is_empty() {
            true => write!(f, "HTTP {} from what answers there; check the address", self.status),
            false => write!(f, "{} ({}): {}", self.code, self.status, self.detail),
        }
    }
}

/// Every error of a transfer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The server refused.
    #[error("refused, {}", .0.said())]
    Refused(Problem),
    /// No connection could be made, or it broke too often.
    #[error("no connection to the media, the network's fault: {0}")]
    Network(String),
    /// The local file cannot be read or written.
    #[error("{what}: {error}")]
    File {
        /// Which, and what for.
        what: String,
        /// Why.
        error: std::io::Error,
    },
    /// What came is not the object that was asked for.
    #[error(
        "what came is not the object that was asked for, the server's or the network's fault; it was not kept"
    )]
    Corrupt,
    /// The local file has changed since its upload began.
    #[error("the file has changed since its upload began, this client's fault; begin a new one")]
    Changed,
    /// The server answered something that it should not.
    #[error("the server broke the protocol, its own fault: {0}")]
    Contradiction(&'static str),
    /// The URL cannot be used.
    #[error("{0}, this client's fault")]
    Url(String),
}

impl MediaError {
    /// Whether it is worth trying again without changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            MediaError::Refused(problem) => {
                // 423 and `superseded` are told to whoever meets himself.
                matches!(problem.status, 408 | 423 | 429 | 500 | 502 | 503 | 504)
                    || matches!(
                        &*problem.code,
                        "superseded" | "wrong_offset" | "broken" | "checksum_mismatch"
                    )
            }
            MediaError::Network(_) => true,
            _ => false,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Party {
        match self {
            MediaError::Refused(problem) => problem.whose,
            MediaError::Network(_) => Party::Network,
            MediaError::Corrupt | MediaError::Contradiction(_) => Party::Server,
            MediaError::File { .. } | MediaError::Changed | MediaError::Url(_) => Party::Caller,
        }
    }

    pub(super) fn file(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| MediaError::File { what, error }
    }
}

impl From<MediaError> for crate::Error {
    fn from(error: MediaError) -> Self {
        Self::Transfer { text: error.to_string(), fault: error.fault(), is_retryable: error.is_retryable() }
    }
}

impl From<reqwest::Error> for MediaError {
    fn from(error: reqwest::Error) -> Self {
        // The chain says what the system said, which is what helps.
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        MediaError::Network(text)
    }
}
