//! The HTTP client of all carriers: HTTP/2 where the other side speaks it, bounded in time and in what is read.

use std::time::{Duration, SystemTime};

use http::{StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Certificate, RequestBuilder};

use super::Outcome;

/// Bytes of an answer that are read: services explain themselves in a line of JSON.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Longest pause that a service may ask for; after it the job is tried again whatever was asked.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * 3600);

/// How much of an answer is quoted in a log or a dead letter.
const QUOTE_CHARS: usize = 200;

/// Makes requests; cheap to clone, and its connections are shared.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// What a service said.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// When to come back, if it said so.
    pub retry_after: Option<Duration>,
    /// The beginning of what it explains.
    pub body: Vec<u8>,
}

impl Answer {
    /// For people.
    pub fn describe(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let quote: String = text.chars().filter(|char| !char.is_control()).take(QUOTE_CHARS).collect();
        if quote.is_empty() { self.status.to_string() } else { format!("{}: {quote}", self.status) }
    }

    /// The answer as JSON, `Null` where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Client {
    /// Reads certificates.
    ///
    /// # Errors
    /// Where there is none in the text, or one that cannot be read.
    pub fn roots(pem: &[u8]) -> Result<Vec<Certificate>, String> {
        match Certificate::from_pem_bundle(pem) {
            Ok(roots) if roots.is_empty() => Err("there is none in it".to_owned()),
            Ok(roots) => Ok(roots),
            Err(error) => Err(error.to_string()),
        }
    }

    /// `timeout` is for a whole exchange. `roots` are trusted beside those of the system.
    ///
    /// # Errors
    /// Where the certificates cannot be used, or the system has none.
    pub fn new(timeout: Duration, roots: Vec<Certificate>) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            // A push service that points elsewhere is not the one that was configured.
            .redirect(Policy::none())
            // A connection that a middlebox has forgotten is noticed before the next push waits for it.
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(600))
            .tls_certs_merge(roots)
            .user_agent(concat!("ringwire/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Client).map_err(|error| format!("cannot make the HTTP client of pushes: {error:?}"))
    }

    /// A POST to `url`.
    pub fn post(&self, url: &str) -> RequestBuilder {
        self.0.post(url)
    }
}

/// Sends a request and reads the answer.
///
/// # Errors
/// A retry, where there is no answer: the network's trouble passes.
pub async fn exchange(request: RequestBuilder) -> Result<Answer, Outcome> {
    // Addresses have device tokens in them, so they are not said.
    let lost = |error: reqwest::Error| Outcome::Retry { after: None, why: explain(&error.without_url()) };
    let mut response = request.send().await.map_err(lost)?;
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| retry_after_of(value.to_str().ok()?, SystemTime::now()));
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        match response.chunk().await.map_err(lost)? {
            Some(chunk) => body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())]),
            None => break,
        }
    }
    Ok(Answer { status: response.status(), retry_after, body })
}

/// An error with its causes: the outer one alone says "error sending request".
fn explain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn retry_after_of(text: &str, now: SystemTime) -> Option<Duration> {
    let wanted = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text.trim()).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wanted.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_said_in_seconds_or_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("99999999999", Some(RETRY_AFTER_MAX.as_secs())),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after_of(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn what_is_quoted_is_short_and_has_no_line_breaks() {
        let body = format!("a\r\nb{}", "x".repeat(1000)).into_bytes();
        let answer = Answer { status: StatusCode::BAD_REQUEST, retry_after: None, body };
        let text = answer.describe();
        assert!(text.starts_with("400 Bad Request: abx") && text.len() < 300, "{text}");
    }
}
