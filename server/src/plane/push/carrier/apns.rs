//! Apple's push service: HTTP/2, and a token that we sign ourselves and renew.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::client::{self, Client};
use super::{Answer, Outcome};
use crate::plane::push::job::{Job, Payload};

/// Apple takes a token for an hour, and refuses new ones more often than every twenty minutes.
const TOKEN_LIFE: Duration = Duration::from_secs(50 * 60);
const TOKEN_LIFE_MIN: Duration = Duration::from_secs(20 * 60);

/// What it needs.
pub struct ApnsConfig {
    /// Without a path.
    pub url: String,
    /// The `.p8` key of the account.
    pub key: EncodingKey,
    /// The key's id.
    pub key_id: String,
    /// The account's.
    pub team_id: String,
    /// Bundle ids; the first is meant where a registration names none.
    pub topics: Vec<String>,
    /// How long Apple keeps a wake-up for a device that is off.
    pub ttl: Duration,
}

/// The carrier.
pub struct Apns {
    config: ApnsConfig,
    client: Client,
    /// The token, and when it was made.
    token: RefCell<Option<(String, Duration)>>,
}

impl Apns {
    /// With nothing signed yet.
    pub fn new(config: ApnsConfig, client: Client) -> Self {
        Apns { config, client, token: RefCell::default() }
    }

    pub(super) async fn send(&self, job: &Job) -> Result<Outcome, Outcome> {
        let target = &job.target;
        let topic = match (&*target.app, self.config.topics.first()) {
            ("", Some(topic)) => topic,
            (app, _) => app,
        };
        let now = since_1970();
        let token = self.token(now)?;
        let payload = Payload::of(job);
        let body = json!({
            // The text is the application's own, in the device's language; its extension may fetch the message
            // and replace it before it is shown.
            "aps": { "alert": { "loc-key": "RINGWIRE_NEW_MESSAGE" }, "mutable-content": 1, "sound": "default" },
            "ringwire": payload,
        });
        let request = self
            .client
            .post(&format!("{}/3/device/{}", self.config.url, target.token))
            .header(header::AUTHORIZATION, format!("bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("apns-topic", topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-id", job.wake.as_uuid())
            .header("apns-expiration", (now + self.config.ttl).as_secs().to_string())
            .header("apns-collapse-id", payload.conversation)
            .body(body.to_string());
        let answer = client::exchange(request).await?;
        Ok(self.meaning(&answer, now))
    }

    fn meaning(&self, answer: &Answer, now: Duration) -> Outcome {
        let json = answer.json();
        let reason = json["reason"].as_str().unwrap_or_default();
        let why = answer.describe();
        match (answer.status.as_u16(), reason) {
            (410, _) | (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => Outcome::Gone { why },
            (403, "ExpiredProviderToken") => {
                self.renew(now);
                Outcome::Retry { after: None, why }
            }
            // The operator's key, and not this message: when it is right again, the job is delivered.
            (403, _) => Outcome::Retry { after: None, why },
            _ => Outcome::of_status(answer),
        }
    }

    fn renew(&self, now: Duration) {
        let mut token = self.token.borrow_mut();
        if token.as_ref().is_some_and(|(_, made)| now.saturating_sub(*made) >= TOKEN_LIFE_MIN) {
            *token = None;
        }
    }

    fn token(&self, now: Duration) -> Result<String, Outcome> {
        let mut kept = self.token.borrow_mut();
        if let Some((token, made)) = &*kept
            && now.saturating_sub(*made) < TOKEN_LIFE
        {
            return Ok(token.clone());
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.config.key_id.clone());
        let claims = json!({ "iss": self.config.team_id, "iat": now.as_secs() });
        let token = jsonwebtoken::encode(&header, &claims, &self.config.key)
            .map_err(|error| Outcome::Refused { why: format!("cannot sign a token for APNs: {error}") })?;
        *kept = Some((token.clone(), now));
        Ok(token)
    }
}

pub(super) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
