//! Google's push service, HTTP v1: a service account's signature buys a token, the token sends.

use std::time::Duration;

use http::header;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::apns::since_1970;
use super::client::{self, Client};
use super::{Answer, Outcome};
use crate::plane::push::job::{Job, Payload};

/// What the token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// A token is renewed this long before its end.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// A service account's key file, as Google's console gives it.
#[derive(Deserialize)]
pub struct ServiceAccount {
    /// Part of the path.
    pub project_id: String,
    /// Who signs.
    pub client_email: String,
    /// PEM.
    pub private_key: String,
    /// Which of the account's keys.
    #[serde(default)]
    pub private_key_id: Option<String>,
    /// Where tokens are bought.
    pub token_uri: String,
}

/// What it needs.
pub struct FcmConfig {
    /// Without a path.
    pub url: String,
    /// Where tokens are bought.
    pub token_url: String,
    /// Part of the path.
    pub project_id: String,
    /// Who signs.
    pub client_email: String,
    /// The account's key.
    pub key: EncodingKey,
    /// Which of the account's keys.
    pub key_id: Option<String>,
    /// How long Google keeps a wake-up for a device that is off.
    pub ttl: Duration,
}

/// A token, and until when it is good, since 1970.
struct Token {
    text: String,
    until: Duration,
}

/// The carrier.
pub struct Fcm {
    config: FcmConfig,
    client: Client,
    /// Locked while it is fetched, so that it is fetched once.
    token: Mutex<Option<Token>>,
}

impl Fcm {
    /// Without a token yet.
    pub fn new(config: FcmConfig, client: Client) -> Self {
        Fcm { config, client, token: Mutex::default() }
    }

    pub(super) async fn send(&self, job: &Job) -> Result<Outcome, Outcome> {
        let token = self.token().await?;
        let payload = Payload::of(job);
        let body = json!({ "message": {
            "token": job.target.token,
            "android": {
                "collapse_key": payload.conversation,
                "priority": "HIGH",
                "ttl": format!("{}s", self.config.ttl.as_secs()),
            },
            "data": payload,
        } });
        let request = self
            .client
            .post(&format!("{}/v1/projects/{}/messages:send", self.config.url, self.config.project_id))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let answer = client::exchange(request).await?;
        if answer.status == http::StatusCode::UNAUTHORIZED {
            self.renew(&token).await;
            return Ok(Outcome::Retry { after: answer.retry_after, why: answer.describe() });
        }
        Ok(meaning(&answer))
    }

    /// Forgets a token that was refused, unless there is a newer one already.
    async fn renew(&self, refused: &str) {
        let mut token = self.token.lock().await;
        if token.as_ref().is_some_and(|token| token.text == refused) {
            *token = None;
        }
    }

    async fn token(&self) -> Result<String, Outcome> {
        let mut kept = self.token.lock().await;
        let now = since_1970();
        if let Some(token) = kept.as_ref().filter(|token| now + RENEW_BEFORE < token.until) {
            return Ok(token.text.clone());
        }
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&self.config.key_id);
        let claims = json!({
            "iss": self.config.client_email,
            "scope": SCOPE,
            "aud": self.config.token_url,
            "iat": now.as_secs(),
            "exp": now.as_secs() + 3600,
        });
        let assertion = jsonwebtoken::encode(&header, &claims, &self.config.key)
            .map_err(|error| Outcome::Refused { why: format!("cannot sign for FCM's token: {error}") })?;
        // Both values are made of characters that need no escaping.
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let request = self
            .client
            .post(&self.config.token_url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let answer = client::exchange(request).await?;
        let json = answer.json();
        let (Some(text), true) = (json["access_token"].as_str(), answer.status.is_success()) else {
            // Not this message's fault, whatever it is.
            let why = format!("no token from {}: {}", self.config.token_url, answer.describe());
            return Err(Outcome::Retry { after: answer.retry_after, why });
        };
        let life = Duration::from_secs(json["expires_in"].as_u64().unwrap_or(3600));
        let text = text.to_owned();
        *kept = Some(Token { text: text.clone(), until: now + life });
        Ok(text)
    }
}

/// `error.details[].errorCode` says more than the status (FcmError).
fn meaning(answer: &Answer) -> Outcome {
    let json = answer.json();
    let details = json["error"]["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    let code = details.iter().find_map(|detail: &Value| detail["errorCode"].as_str());
    let code = code.or_else(|| json["error"]["status"].as_str()).unwrap_or_default();
    let why = answer.describe();
    match (answer.status.as_u16(), code) {
        (404, _) | (_, "UNREGISTERED") | (403, "SENDER_ID_MISMATCH") => Outcome::Gone { why },
        // The account lacks a right: the operator's business, and not this message's.
        (403, _) => Outcome::Retry { after: answer.retry_after, why },
        _ => Outcome::of_status(answer),
    }
}
