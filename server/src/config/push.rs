//! The settings of push.

use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigFault, Values, fault, value};

/// What push needs to know; key files are read by boot.
#[derive(Clone, Debug)]
pub struct PushConfig {
    /// Who was not there for longer is not woken.
    pub active_within: Duration,
    /// How long a service keeps a wake-up.
    pub ttl: Duration,
    /// Tries before a dead letter.
    pub attempts: u32,
    /// Tries of one provider at a time.
    pub concurrency: usize,
    /// For one try.
    pub timeout: Duration,
    /// More certificates to trust.
    pub roots_file: Option<PathBuf>,
    /// Apple's.
    pub apns: Option<ApnsSettings>,
    /// Google's key file.
    pub fcm_account_file: Option<PathBuf>,
    /// Without a path.
    pub fcm_url: String,
    /// Empty: as the key file says.
    pub fcm_token_url: String,
    /// The browsers'.
    pub web_push: Option<WebPushSettings>,
    /// Where browsers' endpoints may be.
    pub web_push_hosts: Vec<String>,
    /// The operator's own backend: where, and the file with the shared secret.
    pub webhook: Option<(String, PathBuf)>,
}

/// Apple's settings, which come together.
#[derive(Clone, Debug)]
pub struct ApnsSettings {
    /// The `.p8` file.
    pub key_file: PathBuf,
    /// The key's id.
    pub key_id: String,
    /// The account's.
    pub team_id: String,
    /// Bundle ids.
    pub topics: Vec<String>,
    /// Without a path.
    pub url: String,
}

/// Web Push settings, which come together.
#[derive(Clone, Debug)]
pub struct WebPushSettings {
    /// The application server's key.
    pub key_file: PathBuf,
    /// Whom a service's operator may ask.
    pub subject: String,
}

impl PushConfig {
    /// # Errors
    /// The first setting that cannot be used, or that is missing beside another.
    pub(super) fn from_values(values: &Values) -> Result<Self, ConfigFault> {
        let config = PushConfig {
            active_within: values.parse("push.active_within", value::duration)?,
            ttl: values.parse("push.ttl", value::duration)?,
            attempts: values.number("push.attempts")?,
            concurrency: values.number("push.concurrency")?,
            timeout: values.parse("push.timeout", value::duration)?,
            roots_file: values.path("push.roots_file"),
            apns: apns(values)?,
            fcm_account_file: values.path("push.fcm_account_file"),
            fcm_url: values.parse("push.fcm_url", url)?,
            fcm_token_url: values.text("push.fcm_token_url").0.to_owned(),
            web_push: web_push(values)?,
            web_push_hosts: values.list("push.web_push_hosts"),
            webhook: webhook(values)?,
        };
        if config.attempts == 0 || config.concurrency == 0 || config.timeout.is_zero() {
            return Err(fault(
                "push.attempts, push.concurrency, push.timeout",
                "none of them may be 0, or nothing would ever be pushed",
            ));
        }
        Ok(config)
    }
}

fn apns(values: &Values) -> Result<Option<ApnsSettings>, ConfigFault> {
    let Some(key_file) = values.path("push.apns_key_file") else { return Ok(None) };
    let settings = ApnsSettings {
        key_file,
        key_id: required(values, "push.apns_key_id", "push.apns_key_file")?,
        team_id: required(values, "push.apns_team_id", "push.apns_key_file")?,
        topics: values.list("push.apns_topics"),
        url: values.parse("push.apns_url", url)?,
    };
    if settings.topics.is_empty() {
        return Err(fault(
            "push.apns_topics",
            "is needed beside push.apns_key_file: the application's bundle id",
        ));
    }
    Ok(Some(settings))
}

fn web_push(values: &Values) -> Result<Option<WebPushSettings>, ConfigFault> {
    let Some(key_file) = values.path("push.vapid_key_file") else { return Ok(None) };
    let subject = required(values, "push.vapid_subject", "push.vapid_key_file")?;
    if !subject.starts_with("mailto:") && !subject.starts_with("https://") {
        return Err(fault("push.vapid_subject", "has to be mailto: and an address, or an https: URL"));
    }
    Ok(Some(WebPushSettings { key_file, subject }))
}

fn webhook(values: &Values) -> Result<Option<(String, PathBuf)>, ConfigFault> {
    if values.text("push.webhook_url").0.is_empty() {
        return Ok(None);
    }
    let Some(secret_file) = values.path("push.webhook_secret_file") else {
        return Err(fault("push.webhook_secret_file", "is needed beside push.webhook_url"));
    };
    Ok(Some((values.parse("push.webhook_url", url)?, secret_file)))
}

fn required(values: &Values, name: &'static str, beside: &str) -> Result<String, ConfigFault> {
    match values.text(name).0 {
        "" => Err(fault(name, format!("is needed beside {beside}"))),
        text => Ok(text.to_owned()),
    }
}

/// Without a slash at its end.
fn url(text: &str) -> Result<String, String> {
    let uri: Result<http::Uri, _> = text.parse();
    let is_url =
        uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.authority().is_some());
    if is_url {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(format!("\"{text}\" is not a URL such as https://push.example.com"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> Result<PushConfig, ConfigFault> {
        let mut values = Values::default();
        for (name, text) in settings {
            values.set(name, text, "test").expect("known");
        }
        PushConfig::from_values(&values)
    }

    #[test]
    fn what_belongs_together_is_asked_for_together() {
        for (settings, missing) in [
            (&[("push.apns_key_file", "a.p8")][..], "push.apns_key_id"),
            (&[("push.vapid_key_file", "v.pem")], "push.vapid_subject"),
            (&[("push.vapid_key_file", "v.pem"), ("push.vapid_subject", "me")], "push.vapid_subject"),
            (&[("push.webhook_url", "https://x.example/")], "push.webhook_secret_file"),
            (&[("push.webhook_url", "x"), ("push.webhook_secret_file", "s")], "push.webhook_url"),
            (&[("push.attempts", "0")], "push.attempts"),
            (&[("push.fcm_url", "fcm")], "push.fcm_url"),
        ] {
            let fault = config(settings).expect_err(missing);
            assert!(fault.place.contains(missing), "{fault} does not name {missing}");
        }
        let config = config(&[]).expect("the defaults");
        assert!(config.apns.is_none() && config.web_push.is_none() && config.webhook.is_none());
        assert!(config.web_push_hosts.iter().any(|host| host == "fcm.googleapis.com"));
    }
}
