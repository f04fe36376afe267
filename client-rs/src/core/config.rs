//! What a core is told once, when it is made.

use std::time::Duration;

use ringwire_protocol::DeviceId;

use crate::limits::{self, Limits};

/// The configuration of one core. Everything but the device and the token has a default that needs no thought.
#[derive(Clone, Debug)]
pub struct Config {
    /// This device; no two clients that run at the same time may have the same one.
    pub device: DeviceId,
    /// Who the user is. May be empty if `refresh` is set: then one is asked for before the first connection.
    pub token: String,
    /// Name and version of the software, for the server's logs.
    pub agent: String,
    /// Whether `TokenWanted` will be answered by `set_token`. Without it an expired token ends the client.
    pub refresh: bool,
    /// Whether the user's conversations are wanted, as [`Event::Inbox`](super::Event::Inbox).
    pub inbox: bool,
    /// How many messages of a conversation are delivered before the reader has to grant more; `u64::MAX`: no bound.
    pub credit: u64,
    /// From wanting a connection to having one.
    pub connect_timeout: Duration,
    /// From `Hello` to `Welcome`.
    pub greeting_timeout: Duration,
    /// From a request to its answer, reconnects included.
    pub request_timeout: Duration,
    /// Longest silence of the server about publishes in flight.
    pub publish_answer_timeout: Duration,
    /// The least wait before a reconnect.
    pub backoff_min: Duration,
    /// The longest wait before a reconnect.
    pub backoff_max: Duration,
    /// How long a connection must live for the waits to start short again.
    pub stable_after: Duration,
    /// The bounds.
    pub limits: Limits,
}

impl Config {
    /// The defaults for this device and token.
    pub fn new(device: DeviceId, token: impl Into<String>) -> Self {
        Self {
            device,
            token: token.into(),
            agent: concat!("ringwire-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            refresh: false,
            inbox: false,
            credit: u64::MAX,
            connect_timeout: limits::CONNECT_TIMEOUT,
            greeting_timeout: limits::GREETING_TIMEOUT,
            request_timeout: limits::REQUEST_TIMEOUT,
            publish_answer_timeout: limits::PUBLISH_ANSWER_TIMEOUT,
            backoff_min: limits::BACKOFF_MIN,
            backoff_max: limits::BACKOFF_MAX,
            stable_after: limits::STABLE_AFTER,
            limits: Limits::default(),
        }
    }
}
