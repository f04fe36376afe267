//! Browsers' push services (RFC 8030): each subscription says its own address, and we say who we are (RFC 8292).

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Uri, header};

use super::Outcome;
use super::apns::since_1970;
use super::client::{self, Client};
use super::seal::{Fresh, SealFault, seal};
use super::vapid::VapidKey;
use crate::plane::push::job::{Job, Payload};

/// A token is good for half a day; services refuse more than a day.
const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3600);
const RENEW_BEFORE: Duration = Duration::from_secs(3600);

/// What it needs.
pub struct WebPushConfig {
    /// The application server's key.
    pub key: VapidKey,
    /// Whom a service's operator may ask: `mailto:` or `https:`.
    pub subject: String,
    /// How long a service keeps a wake-up for a browser that is off.
    pub ttl: Duration,
}

/// A token, and its end, since 1970.
struct Token {
    text: String,
    until: Duration,
}

/// The carrier.
pub struct WebPush {
    config: WebPushConfig,
    client: Client,
    /// By service; there are as many as the operator allows hosts.
    tokens: RefCell<HashMap<String, Token>>,
}

/// Scheme and authority of an address.
pub(super) fn origin(endpoint: &str) -> Option<String> {
    let uri: Uri = endpoint.parse().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

impl WebPush {
    /// With nothing signed yet.
    pub fn new(config: WebPushConfig, client: Client) -> Self {
        WebPush { config, client, tokens: RefCell::default() }
    }

    /// The key that an application's page subscribes with (`applicationServerKey`).
    pub fn public_key(&self) -> &str {
        self.config.key.public()
    }

    pub(super) async fn send(&self, job: &Job) -> Result<Outcome, Outcome> {
        let target = &job.target;
        // JSON of three short texts.
        let payload = serde_json::to_vec(&Payload::of(job)).unwrap_or_default();
        let fault = |fault: SealFault| match fault {
            SealFault::Key => Outcome::Gone { why: fault.to_string() },
            _ => Outcome::Refused { why: fault.to_string() },
        };
        let fresh = Fresh::new().map_err(fault)?;
        let body = seal(&fresh, &target.key, &target.secret, &payload).map_err(fault)?;
        let token = self.token(&target.token)?;
        let request = self
            .client
            .post(&target.token)
            .header(header::AUTHORIZATION, format!("vapid t={token}, k={}", self.config.key.public()))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_ENCODING, "aes128gcm")
            .header("ttl", self.config.ttl.as_secs().to_string())
            .header("urgency", "high")
            // A later one takes the place of an earlier one; 22 characters of the 32 that are allowed.
            .header("topic", URL_SAFE_NO_PAD.encode(job.conversation.as_bytes()))
            .body(body);
        let answer = client::exchange(request).await?;
        Ok(match answer.status.as_u16() {
            404 | 410 => Outcome::Gone { why: answer.describe() },
            _ => Outcome::of_status(&answer),
        })
    }

    fn token(&self, endpoint: &str) -> Result<String, Outcome> {
        let refused = |why: String| Outcome::Refused { why };
        let audience = origin(endpoint).ok_or_else(|| refused("the endpoint is no address".to_owned()))?;
        let now = since_1970();
        let mut tokens = self.tokens.borrow_mut();
        if let Some(token) = tokens.get(&audience).filter(|token| now + RENEW_BEFORE < token.until) {
            return Ok(token.text.clone());
        }
        let until = now + TOKEN_LIFE;
        let text =
            self.config.key.token(&audience, &self.config.subject, until.as_secs()).map_err(refused)?;
        tokens.insert(audience, Token { text: text.clone(), until });
        Ok(text)
    }
}
