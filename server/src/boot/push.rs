//! Push's keys and files: read once, and what cannot be used keeps the server from starting.

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::EncodingKey;

use super::BootError;
use super::keys::{read, trimmed};
use crate::config::Config;
use crate::config::push::{ApnsSettings, PushConfig, WebPushSettings};
use crate::plane::push::target::Rules;
use crate::plane::push::{
    Apns, ApnsConfig, Carriers, Client, Fcm, FcmConfig, Pace, Plan, QueueFile, ServiceAccount, VapidKey,
    WebPush, WebPushConfig, Webhook, WebhookConfig, queue_path,
};

/// A secret that can be guessed signs nothing.
const SECRET_BYTES_MIN: usize = 32;

/// What push is started with, beside its file.
pub struct Prepared {
    /// What registrations are checked with, on all shards.
    pub rules: Rules,
    /// What is configured.
    pub carriers: Carriers,
    /// How fast.
    pub pace: Pace,
}

/// Reads what the configuration names.
///
/// # Errors
/// Where a file cannot be read, or is not what it should be.
pub fn prepare(config: &Config) -> Result<Prepared, BootError> {
    let push = &config.push;
    let carriers = carriers(push)?;
    if config.plane.is_none() && carriers.configured().contains(&true) {
        return Err(BootError::Key("push needs the plane: serve.plane is off; give it an address".into()));
    }
    let rules = Rules {
        active_within: push.active_within,
        configured: carriers.configured(),
        apns_topics: push.apns.as_ref().map(|apns| apns.topics.clone()).unwrap_or_default(),
        web_push_hosts: push.web_push_hosts.clone(),
    };
    let pace = Pace { concurrency: push.concurrency, attempts_max: push.attempts };
    Ok(Prepared { rules, carriers, pace })
}

/// Opens the queue's file, once the data directory is ours.
///
/// # Errors
/// Where it cannot be used.
pub fn open(config: &Config, prepared: Prepared) -> Result<Plan, BootError> {
    let path = queue_path(&config.data);
    let opened = QueueFile::open(&path).map_err(|error| BootError::Key(error.to_string()))?;
    if opened.torn_bytes > 0 {
        let bytes = opened.torn_bytes;
        tracing::warn!(
            bytes,
            "the end of the push queue {} was cut short; it is set aside beside it",
            path.display()
        );
    }
    Ok(Plan { opened, carriers: prepared.carriers, pace: prepared.pace })
}

fn carriers(push: &PushConfig) -> Result<Carriers, BootError> {
    let is_configured = push.apns.is_some()
        || push.fcm_account_file.is_some()
        || push.web_push.is_some()
        || push.webhook.is_some();
    if !is_configured {
        // Without anything to send, nothing of TLS has to be there.
        return Ok(Carriers::default());
    }
    let client = client(push)?;
    let apns = push.apns.as_ref().map(|settings| apns(settings, push.ttl, client.clone())).transpose()?;
    let fcm = push.fcm_account_file.as_deref().map(|path| fcm(path, push, client.clone())).transpose()?;
    let web_push =
        push.web_push.as_ref().map(|settings| web_push(settings, push.ttl, client.clone())).transpose()?;
    let webhook = push.webhook.as_ref().map(|(url, path)| webhook(url, path, client.clone())).transpose()?;
    Ok(Carriers { apns, fcm, web_push, webhook })
}

fn client(push: &PushConfig) -> Result<Client, BootError> {
    let roots = match &push.roots_file {
        Some(path) => {
            let pem = read(path, "push.roots_file")?;
            let roots = Client::roots(&pem);
            roots.map_err(|error| unusable("push.roots_file", path, "certificates in PEM", &error))?
        }
        None => Vec::new(),
    };
    Client::new(push.timeout, roots).map_err(BootError::Key)
}

fn apns(settings: &ApnsSettings, ttl: Duration, client: Client) -> Result<Apns, BootError> {
    const SETTING: &str = "push.apns_key_file";
    let path = &settings.key_file;
    let key = EncodingKey::from_ec_pem(&read(path, SETTING)?)
        .map_err(|error| unusable(SETTING, path, "key as Apple gives it (.p8)", &error.to_string()))?;
    let config = ApnsConfig {
        url: settings.url.clone(),
        key,
        key_id: settings.key_id.clone(),
        team_id: settings.team_id.clone(),
        topics: settings.topics.clone(),
        ttl,
    };
    Ok(Apns::new(config, client))
}

fn fcm(path: &Path, push: &PushConfig, client: Client) -> Result<Fcm, BootError> {
    const SETTING: &str = "push.fcm_account_file";
    const WANTED: &str = "service account's key file (JSON)";
    let account: ServiceAccount = serde_json::from_slice(&read(path, SETTING)?)
        .map_err(|error| unusable(SETTING, path, WANTED, &error.to_string()))?;
    let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes())
        .map_err(|error| unusable(SETTING, path, WANTED, &format!("its private_key: {error}")))?;
    let token_url = match &*push.fcm_token_url {
        "" => account.token_uri,
        url => url.to_owned(),
    };
    let config = FcmConfig {
        url: push.fcm_url.clone(),
        token_url,
        project_id: account.project_id,
        client_email: account.client_email,
        key,
        key_id: account.private_key_id,
        ttl: push.ttl,
    };
    Ok(Fcm::new(config, client))
}

fn web_push(settings: &WebPushSettings, ttl: Duration, client: Client) -> Result<WebPush, BootError> {
    const SETTING: &str = "push.vapid_key_file";
    let path = &settings.key_file;
    let key = VapidKey::from_pem(&read(path, SETTING)?)
        .map_err(|fault| BootError::Key(format!("{SETTING}: {} has {fault}", path.display())))?;
    tracing::info!(key = key.public(), "pages subscribe to Web Push with this applicationServerKey");
    Ok(WebPush::new(WebPushConfig { key, subject: settings.subject.clone(), ttl }, client))
}

fn webhook(url: &str, path: &Path, client: Client) -> Result<Webhook, BootError> {
    const SETTING: &str = "push.webhook_secret_file";
    let text = read(path, SETTING)?;
    let secret = trimmed(&text);
    if secret.len() < SECRET_BYTES_MIN {
        return Err(BootError::Key(format!(
            "{SETTING}: the secret in {} has {} bytes; it needs at least {SECRET_BYTES_MIN}: make one with \
             `openssl rand -hex 32`",
            path.display(),
            secret.len()
        )));
    }
    let config = WebhookConfig { url: url.to_owned(), secret: secret.to_vec() };
    Ok(Webhook::new(&config, client))
}

fn unusable(setting: &str, path: &Path, wanted: &str, error: &str) -> BootError {
    BootError::Key(format!("{setting}: {} is no {wanted}: {error}", path.display()))
}
