//! The push services: one file each, all over one HTTP client.
//!
//! A carrier makes a request of a job and says what the answer means. It keeps no state but the tokens that it
//! has made or fetched; when to try, and again, is the dispatcher's business.

mod apns;
mod client;
mod fcm;
mod seal;
mod vapid;
mod web_push;
mod webhook;

use std::time::Duration;

pub use apns::{Apns, ApnsConfig};
pub use client::Client;
pub use fcm::{Fcm, FcmConfig, ServiceAccount};
pub use vapid::VapidKey;
pub use web_push::{WebPush, WebPushConfig};
pub use webhook::{Webhook, WebhookConfig};

use super::job::Job;
use super::target::name;
use client::Answer;
use ringwire_protocol::message::Provider;

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service has it.
    Delivered,
    /// It may go better later.
    Retry {
        /// Not before; as the service asks.
        after: Option<Duration>,
        /// What was answered.
        why: String,
    },
    /// The device is not there any more: its registration goes.
    Gone {
        /// What was answered.
        why: String,
    },
    /// The service will never take it as it is: for the operator to look at.
    Refused {
        /// What was answered.
        why: String,
    },
}

impl Outcome {
    /// What any service means by a status that it does not explain further.
    fn of_status(answer: &Answer) -> Self {
        let why = answer.describe();
        match answer.status.as_u16() {
            200..=299 => Outcome::Delivered,
            408 | 425 | 429 | 500..=599 => Outcome::Retry { after: answer.retry_after, why },
            _ => Outcome::Refused { why },
        }
    }
}

/// The carriers that are configured.
#[derive(Default)]
pub struct Carriers {
    /// Apple's.
    pub apns: Option<Apns>,
    /// Google's.
    pub fcm: Option<Fcm>,
    /// The browsers'.
    pub web_push: Option<WebPush>,
    /// The operator's.
    pub webhook: Option<Webhook>,
}

impl Carriers {
    /// Tries once.
    pub async fn send(&self, job: &Job) -> Outcome {
        let result = match job.target.provider {
            Provider::Apns => match &self.apns {
                Some(apns) => apns.send(job).await,
                None => Err(not_configured(Provider::Apns)),
            },
            Provider::Fcm => match &self.fcm {
                Some(fcm) => fcm.send(job).await,
                None => Err(not_configured(Provider::Fcm)),
            },
            Provider::WebPush => match &self.web_push {
                Some(web_push) => web_push.send(job).await,
                None => Err(not_configured(Provider::WebPush)),
            },
            Provider::Webhook => match &self.webhook {
                Some(webhook) => webhook.send(job).await,
                None => Err(not_configured(Provider::Webhook)),
            },
        };
        result.unwrap_or_else(|outcome| outcome)
    }

    /// Who answers for a job: where one is asked to wait, so are all others of the same.
    pub fn origin(job: &Job) -> String {
        match job.target.provider {
            Provider::WebPush => web_push::origin(&job.target.token).unwrap_or_default(),
            other => name(other).to_owned(),
        }
    }

    /// Which are there, by [`crate::plane::push::target::index`].
    pub fn configured(&self) -> [bool; 4] {
        [self.apns.is_some(), self.fcm.is_some(), self.web_push.is_some(), self.webhook.is_some()]
    }
}

fn not_configured(provider: Provider) -> Outcome {
    Outcome::Refused { why: format!("{} is not configured any more", name(provider)) }
}
