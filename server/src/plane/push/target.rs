//! Where a wake-up goes: one registration of one device, as the client gave it.
//!
//! Clients choose what stands here, and the server sends requests there: so a target is checked before it is
//! stored, and a Web Push endpoint has to be on a host that the operator allows.

use std::time::Duration;

use ringwire_protocol::limits::{PUSH_APP_BYTES_MAX, PUSH_TOKEN_BYTES_MAX};
use ringwire_protocol::message::Provider;
use serde::{Deserialize, Serialize};

/// An uncompressed point on P-256 (RFC 8291 §3.1).
const POINT_BYTES: usize = 65;

/// The shared authentication secret (RFC 8291 §3.2).
const SECRET_BYTES: usize = 16;

/// All providers, in the order of [`index`].
pub const PROVIDERS: [Provider; 4] = [Provider::Apns, Provider::Fcm, Provider::WebPush, Provider::Webhook];

/// Dense from 0.
pub fn index(provider: Provider) -> usize {
    provider as usize
}

/// As metrics, logs and stored jobs name it.
pub fn name(provider: Provider) -> &'static str {
    match provider {
        Provider::Apns => "apns",
        Provider::Fcm => "fcm",
        Provider::WebPush => "web_push",
        Provider::Webhook => "webhook",
    }
}

/// One registration of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Who carries it.
    #[serde(with = "super::text::provider")]
    pub provider: Provider,
    /// The device's token; for Web Push its endpoint; for a webhook whatever the backend wants to see again.
    pub token: Box<str>,
    /// Which application of the operator's; empty: the only one.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub app: Box<str>,
    /// Web Push: the browser's public key, `p256dh`.
    #[serde(default, skip_serializing_if = "<[u8]>::is_empty", with = "super::text::base64")]
    pub key: Box<[u8]>,
    /// Web Push: the shared secret, `auth`.
    #[serde(default, skip_serializing_if = "<[u8]>::is_empty", with = "super::text::base64")]
    pub secret: Box<[u8]>,
}

/// A device's registration, as its user's home has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The device, as messages carry it.
    pub device: u64,
    /// Where its wake-ups go.
    pub target: Target,
}

/// What shards have to know: which targets are accepted, and who is woken. The same on all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Who was not there for longer is not woken.
    pub active_within: Duration,
    /// The providers that are configured, by [`index`].
    pub configured: [bool; 4],
    /// Topics that APNs is used for; the first is meant where a registration names none.
    pub apns_topics: Vec<String>,
    /// Hosts of Web Push endpoints; a leading `*.` stands for any subdomain.
    pub web_push_hosts: Vec<String>,
}

/// Why a registration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// The operator has not configured it.
    #[error("this server does not push by {0}: the operator has configured no credentials for it")]
    NotConfigured(&'static str),
    /// Empty, too long, or with characters that cannot be in one.
    #[error("the {0} is empty, too long or has characters that cannot be in one")]
    Malformed(&'static str),
    /// No application of this operator.
    #[error("no application {0:?} is configured for it; it is the bundle id, or empty for the first")]
    UnknownApp(String),
    /// Not on a host that is allowed.
    #[error("the endpoint's host is none that this operator sends to (push.web_push_hosts)")]
    HostNotAllowed,
}

impl Rules {
    /// Checks a registration before it is stored.
    ///
    /// # Errors
    /// What is wrong with it; nothing is asked of the provider.
    pub fn check(&self, target: &Target) -> Result<(), TargetFault> {
        if !self.configured[index(target.provider)] {
            return Err(TargetFault::NotConfigured(name(target.provider)));
        }
        if target.app.len() > PUSH_APP_BYTES_MAX || !target.app.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetFault::Malformed("application's name"));
        }
        let is_token = |byte: u8| byte.is_ascii_graphic();
        if target.token.is_empty()
            || target.token.len() > PUSH_TOKEN_BYTES_MAX
            || !target.token.bytes().all(is_token)
        {
            return Err(TargetFault::Malformed("token"));
        }
        match target.provider {
            Provider::Apns => self.check_apns(target),
            Provider::WebPush => self.check_web_push(target),
            Provider::Fcm | Provider::Webhook => Ok(()),
        }
    }

    fn check_apns(&self, target: &Target) -> Result<(), TargetFault> {
        // It becomes part of a path.
        if !target.token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(TargetFault::Malformed("token"));
        }
        let is_known = target.app.is_empty() || self.apns_topics.iter().any(|topic| **topic == *target.app);
        if is_known { Ok(()) } else { Err(TargetFault::UnknownApp(target.app.to_string())) }
    }

    fn check_web_push(&self, target: &Target) -> Result<(), TargetFault> {
        // Uncompressed, as RFC 8291 wants it; whether it is on the curve shows when it is used.
        if target.key.len() != POINT_BYTES || target.key[0] != 4 {
            return Err(TargetFault::Malformed("key (p256dh)"));
        }
        if target.secret.len() != SECRET_BYTES {
            return Err(TargetFault::Malformed("secret (auth)"));
        }
        let uri: http::Uri = target.token.parse().map_err(|_| TargetFault::Malformed("endpoint"))?;
        let authority = uri.authority().ok_or(TargetFault::Malformed("endpoint"))?;
        // A user in a URL is a way to make one host look like another.
        if uri.scheme_str() != Some("https") || authority.as_str().contains('@') {
            return Err(TargetFault::Malformed("endpoint"));
        }
        if self.web_push_hosts.iter().any(|pattern| host_matches(pattern, authority)) {
            Ok(())
        } else {
            Err(TargetFault::HostNotAllowed)
        }
    }
}

/// A pattern without a port allows the scheme's own port only.
fn host_matches(pattern: &str, authority: &http::uri::Authority) -> bool {
    let (pattern, port) = match pattern.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (pattern, None),
    };
    if authority.port_u16().filter(|port| *port != 443) != port {
        return false;
    }
    let host = authority.host();
    match pattern.strip_prefix("*.") {
        Some(domain) => {
            let rest = host.len().checked_sub(domain.len()).filter(|rest| *rest > 1);
            rest.is_some_and(|rest| {
                host.is_char_boundary(rest)
                    && host[rest..].eq_ignore_ascii_case(domain)
                    && host[..rest].ends_with('.')
            })
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            active_within: Duration::ZERO,
            configured: [true, true, true, false],
            apns_topics: vec!["com.example.app".into()],
            web_push_hosts: vec!["push.example".into(), "*.notify.example".into(), "127.0.0.1:9".into()],
        }
    }

    fn target(provider: Provider, token: &str) -> Target {
        let mut key = [7; POINT_BYTES];
        key[0] = 4;
        Target {
            provider,
            token: token.into(),
            app: "".into(),
            key: key.into(),
            secret: [9; SECRET_BYTES].into(),
        }
    }

    #[test]
    fn sound_registrations_are_taken() {
        for target in [
            target(Provider::Apns, "00ffAA"),
            Target { app: "com.example.app".into(), ..target(Provider::Apns, "00") },
            target(Provider::Fcm, "a:b_c-d"),
            target(Provider::WebPush, "https://push.example/x/y"),
            target(Provider::WebPush, "https://push.example:443/x"),
            target(Provider::WebPush, "https://wns.Notify.example/x"),
            target(Provider::WebPush, "https://127.0.0.1:9/x"),
        ] {
            assert_eq!(rules().check(&target), Ok(()), "{target:?}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let web = |endpoint: &str| target(Provider::WebPush, endpoint);
        for target in [
            target(Provider::Webhook, "x"),
            target(Provider::Apns, "../secret"),
            target(Provider::Apns, ""),
            Target { app: "com.example.other".into(), ..target(Provider::Apns, "00") },
            Target { app: "two\nlines".into(), ..target(Provider::Fcm, "x") },
            target(Provider::Fcm, "with blank"),
            target(Provider::Fcm, &"x".repeat(PUSH_TOKEN_BYTES_MAX + 1)),
            web("http://push.example/x"),
            web("https://push.example@evil.example/x"),
            web("https://evil.example/x"),
            web("https://notify.example/x"),
            web("https://evilnotify.example/x"),
            web("https://push.example:8080/x"),
            web("https://127.0.0.1/x"),
            web("/relative"),
            web("https://"),
            Target { key: [4; 64].into(), ..web("https://push.example/x") },
            Target { key: [3; 65].into(), ..web("https://push.example/x") },
            Target { secret: [0; 15].into(), ..web("https://push.example/x") },
        ] {
            assert!(rules().check(&target).is_err(), "{target:?}");
        }
    }

    #[test]
    fn the_stored_form_is_read_back() {
        let target = target(Provider::WebPush, "https://push.example/x");
        let text = serde_json::to_string(&target).expect("serializable");
        assert_eq!(serde_json::from_str::<Target>(&text).expect("readable"), target);
    }
}
