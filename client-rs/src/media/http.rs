//! Requests and answers, as both directions need them.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};

use super::Media;
use super::error::{MediaError, Problem};
use crate::client::pinned_tls;
use crate::core::backoff::Backoff;
use crate::core::random::Random;
use crate::limits;

/// An HTTP client with bounded patience. It believes whom the operating system believes, or the holder of one
/// certificate.
pub(super) fn client(pin: Option<[u8; 32]>) -> Result<reqwest::Client, MediaError> {
    let builder = match pin {
        None => reqwest::Client::builder(),
        Some(sha256) => {
            let tls = pinned_tls(sha256).map_err(|error| MediaError::Url(error.to_string()))?;
            reqwest::Client::builder().tls_backend_preconfigured(tls)
        }
    };
    let client = builder
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .read_timeout(limits::MEDIA_SILENCE_MAX)
        // A server that moves is told to the caller; a token is shown to nobody else.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("ringwire-client/", env!("CARGO_PKG_VERSION")))
        .build();
    client.map_err(MediaError::from)
}

impl Media {
    /// A request with the token in it. `path` is below the base, or one that the server named.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, MediaError> {
        let mut url = self.base.clone();
        match path.strip_prefix('/') {
            // Where the server says so: an absolute path on the same host, whatever a proxy put before it.
            Some(_) => url.set_path(path),
            None => url.set_path(&format!("{}/{path}", self.base.path())),
        }
        let token = self.token.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Ok(self.http.request(method, url).bearer_auth(token))
    }
}

/// Sends, and takes a refusal for an error.
pub(super) async fn send(request: RequestBuilder) -> Result<Response, MediaError> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    let retry_after = number(&response, header::RETRY_AFTER.as_str()).map(Duration::from_secs);
    let body = problem_body(response).await;
    Err(MediaError::Refused(Problem::read(status.as_u16(), retry_after, &body)))
}

/// What stands in a refusal, as far as it is of a sensible length.
async fn problem_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > PROBLEM_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    body
}

const PROBLEM_BYTES_MAX: usize = 16 * 1024;

/// A header that is a number.
pub(super) fn number(response: &Response, name: &str) -> Option<u64> {
    text(response, name)?.trim().parse().ok()
}

/// A header's text.
pub(super) fn text<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Tries of the same thing in a row, with waits between them.
pub(super) struct Tries {
    failed: u32,
    backoff: Backoff,
    random: Random,
}

impl Tries {
    #[expect(clippy::disallowed_methods, reason = "waits are spread; this adapter is not simulated")]
    pub(super) fn new() -> Self {
        Tries {
            failed: 0,
            backoff: Backoff::new(limits::BACKOFF_MIN, limits::BACKOFF_MAX),
            random: Random::new(getrandom::u64().unwrap_or(0)),
        }
    }

    /// Waits before the next try, as the server says or longer each time.
    ///
    /// # Errors
    /// The failure itself, if another try is not worth it.
    pub(super) async fn wait_after(&mut self, error: MediaError) -> Result<(), MediaError> {
        self.failed += 1;
        if !error.is_retryable() || self.failed >= limits::MEDIA_TRIES {
            return Err(error);
        }
        let said = match &error {
            MediaError::Refused(problem) => problem.retry_after.map(|after| after.min(limits::RETRY_MAX)),
            _ => None,
        };
        let wait = said.unwrap_or_default().max(self.backoff.next(&mut self.random));
        tracing::debug!(%error, ?wait, "a transfer of media goes on later");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
