//! The one task of a client: it owns the socket (QUIC: see `quic`), looks at the clock, and carries out what the core wants.
//!
//! ```text
//!  offline --Action::Connect--> connecting --> online --closed--> offline ... until the core has ended
//! ```
//!
//! Each turn of `online` writes everything that has become due since the last one in one write. Received bytes are handed
//! in before the clock is looked at, so that a busy computer does not take a living server for a dead one.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout};
use tracing::debug;

use super::builder::TokenProvider;
use super::dial::{Dialer, Stream};
use super::shared::Shared;
use super::url::Endpoint;
use crate::core::{Cause, State};
use crate::limits::{GOODBYE_TIMEOUT, OUTPUT_BYTES_MAX, RECEIVE_BYTES};
use crate::ws::Action;

pub(super) fn spawn(
    shared: Arc<Shared>,
    endpoint: Endpoint,
    dialer: Dialer,
    provider: Option<TokenProvider>,
) {
    tokio::spawn(async move { Task { shared, endpoint, dialer, provider }.run().await });
}

pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    endpoint: Endpoint,
    pub(super) dialer: Dialer,
    provider: Option<TokenProvider>,
}

impl Task {
    async fn run(self) {
        self.shared.quietly(|inner, now| inner.core().start(now));
        loop {
            self.ask_for_token();
            match self.shared.quietly(|inner, _| inner.link.poll_action()) {
                Some(Action::Connect { address }) => self.connection(address).await,
                // There is no socket: it is closed.
                Some(Action::Close) => self.closed(Cause::Wanted),
                None if self.is_over() => return,
                None => self.idle().await,
            }
        }
    }

    fn is_over(&self) -> bool {
        matches!(&*self.shared.state.borrow(), State::Closed | State::Failed(_))
    }

    fn closed(&self, cause: Cause) {
        self.shared.quietly(|inner, now| inner.link.on_closed(now, cause));
    }

    /// Waits until a handle or the clock has something for the core.
    async fn idle(&self) {
        tokio::select! {
            () = self.shared.wake.notified() => {}
            () = self.due() => self.shared.quietly(|inner, now| inner.core().on_timer(now)),
        }
    }

    /// The core's next deadline; without one, never.
    pub(super) async fn due(&self) {
        match self.shared.look(|inner| inner.core().deadline()) {
            Some(at) => sleep_until(self.shared.instant(at)).await,
            None => std::future::pending().await,
        }
    }

    /// Makes a connection and stays with it until it is gone.
    async fn connection(&self, address: Option<String>) {
        let endpoint = match address.as_deref().map(|address| self.endpoint.moved(address)) {
            None => self.endpoint.clone(),
            Some(Ok(endpoint)) => endpoint,
            Some(Err(error)) => {
                debug!(%error, "the server named an address that cannot be used; staying with the configured one");
                self.endpoint.clone()
            }
        };
        let Some(stream) = self.connect(&endpoint).await else { return };
        let open =
            || self.shared.quietly(|inner, _| inner.link.on_open(&endpoint.authority(), &endpoint.path));
        let cause = match stream {
            Stream::Plain(stream) => {
                open();
                let (reader, writer) = stream.into_split();
                self.online(reader, writer).await
            }
            Stream::Secure(stream) => {
                open();
                let (reader, writer) = tokio::io::split(stream);
                self.online(reader, writer).await
            }
            Stream::Quic(quic) => {
                self.shared.quietly(|inner, now| inner.link.on_open_stream(now));
                self.online_quic(*quic).await
            }
        };
        self.closed(cause);
    }

    async fn connect(&self, endpoint: &Endpoint) -> Option<Stream> {
        let mut connecting = std::pin::pin!(self.dialer.dial(endpoint));
        loop {
            tokio::select! {
                result = &mut connecting => match result {
                    Ok(stream) => return Some(stream),
                    Err(why) => {
                        self.closed(Cause::Network(why));
                        return None;
                    }
                },
                () = self.idle() => {
                    if let Some(Action::Close) = self.shared.quietly(|inner, _| inner.link.poll_action()) {
                        self.closed(Cause::Wanted);
                        return None;
                    }
                }
            }
        }
    }

    /// Moves bytes until the connection is gone; says why.
    async fn online(&self, mut reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin) -> Cause {
        let mut input = vec![0; RECEIVE_BYTES];
        let mut output = Output::default();
        loop {
            self.ask_for_token();
            let action = self.shared.quietly(|inner, now| {
                if output.is_empty() {
                    output.clear();
                    inner.link.poll_output(now, &mut output.bytes);
                }
                let action = inner.link.poll_action();
                if action == Some(Action::Close) {
                    // The goodbye itself.
                    inner.link.poll_output(now, &mut output.bytes);
                }
                action
            });
            if action.is_some() {
                let goodbye = async {
                    writer.write_all(output.rest()).await?;
                    writer.shutdown().await
                };
                // It may not be wanted any more; then it is not missed.
                let _ = timeout(GOODBYE_TIMEOUT, goodbye).await;
                return Cause::Wanted;
            }
            tokio::select! {
                received = reader.read(&mut input) => match received {
                    Ok(0) => return Cause::Network("the connection was closed without a goodbye".to_owned()),
                    Ok(count) => {
                        self.shared.quietly(|inner, now| inner.link.on_bytes(now, &mut input[..count]));
                    }
                    Err(error) => return Cause::Network(format!("reading: {error}")),
                },
                written = writer.write(output.rest()), if !output.is_empty() => match written {
                    Ok(0) => return Cause::Network("the connection takes no more bytes".to_owned()),
                    Ok(count) => output.written += count,
                    Err(error) => return Cause::Network(format!("writing: {error}")),
                },
                () = self.shared.wake.notified() => {}
                () = self.due() => match self.overdue(&mut reader, &mut input).await {
                    Ok(()) => self.shared.quietly(|inner, now| inner.core().on_timer(now)),
                    Err(cause) => return cause,
                },
            }
        }
    }

    /// Hands in what has been received by now, before the clock is looked at.
    async fn overdue(&self, reader: &mut (impl AsyncRead + Unpin), input: &mut [u8]) -> Result<(), Cause> {
        // As much as one turn of the server can have sent; more would only be more signs of life.
        for _ in 0..OUTPUT_BYTES_MAX / RECEIVE_BYTES {
            let received: Option<io::Result<usize>> = tokio::select! {
                biased;
                received = reader.read(input) => Some(received),
                () = std::future::ready(()) => None,
            };
            match received {
                None => return Ok(()),
                Some(Ok(0)) => {
                    return Err(Cause::Network("the connection was closed without a goodbye".to_owned()));
                }
                Some(Ok(count)) => {
                    self.shared.quietly(|inner, now| inner.link.on_bytes(now, &mut input[..count]))
                }
                Some(Err(error)) => return Err(Cause::Network(format!("reading: {error}"))),
            }
        }
        Ok(())
    }

    /// Asks the provider for a token, beside the connection, if the core wants one.
    pub(super) fn ask_for_token(&self) {
        if !self.shared.look(|inner| std::mem::take(&mut inner.token_wanted)) {
            return;
        }
        let Some(provider) = &self.provider else { return };
        let (token, shared) = (provider(), self.shared.clone());
        tokio::spawn(async move {
            let token = timeout(crate::limits::TOKEN_TIMEOUT, token).await;
            shared.with(|inner, now| match token {
                Ok(Ok(token)) => inner.core().set_token(now, token),
                Ok(Err(reason)) => inner.core().refuse_token(now, reason),
                Err(_) => inner.core().refuse_token(now, "the token provider did not answer in time"),
            });
        });
    }
}

/// Bytes on their way to the socket.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    pub(super) written: usize,
}

impl Output {
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
        // What one burst needed is not kept for ever.
        self.bytes.shrink_to(OUTPUT_BYTES_MAX);
    }
}
