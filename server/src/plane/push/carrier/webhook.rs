//! The operator's own backend, which does with a wake-up what it likes.
//!
//! The signature is HMAC-SHA256 over the time, a full stop and the body, with the time beside it, so that a
//! receiver can refuse what is old:
//!
//! ```text
//!   Ringwire-Signature: t=1700000000,v1=<64 hexadecimal digits>
//! ```

use aws_lc_rs::hmac;
use http::header;
use serde_json::json;

use super::Outcome;
use super::apns::since_1970;
use super::client::{self, Client};
use crate::plane::push::job::{Job, Payload};

/// What it needs.
pub struct WebhookConfig {
    /// Where to.
    pub url: String,
    /// Shared with the backend.
    pub secret: Vec<u8>,
}

/// The carrier.
pub struct Webhook {
    client: Client,
    url: String,
    key: hmac::Key,
}

impl Webhook {
    /// Of a configuration.
    pub fn new(config: &WebhookConfig, client: Client) -> Self {
        Webhook { client, url: config.url.clone(), key: hmac::Key::new(hmac::HMAC_SHA256, &config.secret) }
    }

    pub(super) async fn send(&self, job: &Job) -> Result<Outcome, Outcome> {
        let Payload { conversation, sequence, wake } = Payload::of(job);
        let body = json!({
            "wake": wake,
            "user": job.user.to_string(),
            "conversation": conversation,
            "sequence": sequence,
            "token": job.target.token,
            "app": job.target.app,
        })
        .to_string();
        let signature = self.signature(since_1970().as_secs(), &body);
        let request = self
            .client
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", wake)
            .header("ringwire-signature", signature)
            .body(body);
        let answer = client::exchange(request).await?;
        Ok(match answer.status.as_u16() {
            410 => Outcome::Gone { why: answer.describe() },
            _ => Outcome::of_status(&answer),
        })
    }

    fn signature(&self, time_s: u64, body: &str) -> String {
        let tag = hmac::sign(&self.key, format!("{time_s}.{body}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={time_s},v1={hex}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_a_receiver_computes() {
        let config = WebhookConfig { url: String::new(), secret: b"0123456789abcdef0123456789abcdef".into() };
        // Computed with: printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let expected = "f05f2539e3ae1c49aec5f8cfdad75ef6b06480b133973ffbb7ec9e18827af177";
        let client = Client::new(std::time::Duration::from_secs(1), Vec::new()).expect("a client");
        assert_eq!(
            Webhook::new(&config, client).signature(1_700_000_000, r#"{"a":1}"#),
            format!("t=1700000000,v1={expected}")
        );
    }
}
