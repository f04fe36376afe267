//! What a client is told before it connects.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ringwire_protocol::DeviceId;

use super::dial::Dialer;
use super::shared::{Guard, Shared};
use super::task;
use super::url::Endpoint;
use super::{Client, State};
use crate::core::{Config, Core};
use crate::error::{Error, Result};
use crate::limits::{self, Limits};
use crate::ws::Link;

type Token = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;
/// Where new tokens come from.
pub(super) type TokenProvider = Arc<dyn Fn() -> Token + Send + Sync>;

/// Describes a [`Client`]; made by [`Client::builder`].
#[must_use = "a builder does nothing until it connects"]
pub struct Builder {
    url: String,
    device: Option<DeviceId>,
    provider: Option<TokenProvider>,
    pin: Option<[u8; 32]>,
    config: Config,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret.
        f.debug_struct("Builder")
            .field("url", &self.url)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(url: String) -> Self {
        let mut config = Config::new(DeviceId::ZERO, "");
        config.credit = u64::from(limits::READER_MESSAGES_MAX);
        Self { url, device: None, provider: None, pin: None, config }
    }

    /// The token that says who the user is. On a server in development mode `dev:NAME` will do.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.config.token = token.into();
        self
    }

    /// Where tokens come from: called for the first one, unless [`Self::token`] gave it, and whenever one has expired.
    ///
    /// ```no_run
    /// # async fn log_in(url: &str) -> Result<String, std::io::Error> { Ok(url.to_owned()) }
    /// # async fn example() -> Result<(), ringwire_client::Error> {
    /// use ringwire_client::Client;
    ///
    /// let login = "https://login.example/token".to_owned();
    /// let client = Client::builder("ws://127.0.0.1:7400/v1/ws")
    ///     .token_provider(move || {
    ///         let login = login.clone();
    ///         async move { log_in(&login).await }
    ///     })
    ///     .connect()
    ///     .await?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_provider<F, T, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, E>> + Send + 'static,
        E: Display,
    {
        let ask = move || -> Token {
            let token = provider();
            Box::pin(async move { token.await.map_err(|error| error.to_string()) })
        };
        self.provider = Some(Arc::new(ask));
        self.config.refresh = true;
        self
    }

    /// The device this is: one per installation, kept across restarts, never used by two clients at the same time.
    /// Without it every client is a new device.
    pub fn device(mut self, device: DeviceId) -> Self {
        self.device = Some(device);
        self
    }

    /// Name and version of the program, for the server's logs; cut at 128 bytes.
    pub fn agent(mut self, agent: &str) -> Self {
        let end = agent.floor_char_boundary(ringwire_protocol::limits::AGENT_BYTES_MAX);
        agent[..end].clone_into(&mut self.config.agent);
        self
    }

    /// Asks for the user's conversations, joined or not: [`ClientEvent::Inbox`](crate::ClientEvent::Inbox) lists them after
    /// each connect, and again as they change. Begin listening before that, as with
    /// [`Self::connect_lazy`] and [`Client::events`]; [`Client::inbox`] remembers the latest of each.
    pub fn inbox(mut self) -> Self {
        self.config.inbox = true;
        self
    }

    /// Believes the server whose certificate has this SHA-256, and no other, whoever signed it: for development with
    /// `ringwire --tls-dev`, which prints it. Unless set, the operating system says who is to be believed.
    pub fn pin_certificate(mut self, sha256: [u8; 32]) -> Self {
        self.pin = Some(sha256);
        self
    }

    /// How long a request (join, history, members …) waits for its answer, reconnects included. 15 s unless set.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// How long making a connection may take. 10 s unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// The bounds, where the defaults do not fit.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Connects, and fails if that does not succeed at once. Once connected, the client keeps itself so.
    ///
    /// # Errors
    /// A URL that cannot be used, no server there, a refusal of the server.
    pub async fn connect(self) -> Result<Client> {
        let client = self.connect_lazy()?;
        let mut state = client.watch_state();
        let settled = |state: &State| !matches!(state, State::Connecting { .. });
        let outcome = state.wait_for(settled).await.map(|state| state.clone()).unwrap_or(State::Closed);
        match outcome {
            State::Connecting { .. } | State::Connected(_) => Ok(client),
            State::Disconnected { error, .. } | State::Failed(error) => Err(error),
            State::Closed => Err(Error::ShutDown),
        }
    }

    /// Starts a client that connects by itself, now and for as long as it takes. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A URL that cannot be used, a token that is too long, no randomness from the operating system.
    pub fn connect_lazy(mut self) -> Result<Client> {
        let endpoint = Endpoint::parse(&self.url)?;
        let dialer = Dialer::new(endpoint.scheme, self.pin)?;
        let bytes_max = ringwire_protocol::limits::TOKEN_BYTES_MAX;
        if self.config.token.len() > bytes_max {
            return Err(Error::Invalid(format!("a token of more than {bytes_max} bytes")));
        }
        self.config.device = match self.device {
            Some(device) => device,
            None => DeviceId::from_bytes(random()?),
        };
        let device = self.config.device;
        let link =
            Link::new(Core::new(self.config, u64::from_le_bytes(random()?)), u64::from_le_bytes(random()?));
        let shared = Arc::new(Shared::new(link, device));
        task::spawn(shared.clone(), endpoint, dialer, self.provider);
        let guard = Arc::new(Guard::new(shared.clone()));
        Ok(Client { shared, guard })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the core takes its randomness as a seed, and this is where it comes from"
)]
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Invalid(format!("the operating system gives no randomness: {error}")))?;
    Ok(bytes)
}
