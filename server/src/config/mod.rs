//! Configuration: `--set` and flags over `RINGWIRE_SECTION_KEY` over the TOML file over the defaults.
//!
//! Everything is text until [`Config::from_values`] gives it its type, so that all four sources are read and
//! refused in the same words.

pub mod media;
pub mod push;
pub mod settings;
pub mod tls;
pub mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ringwire_driver::Kind as DriverKind;
use settings::{Kind, SETTINGS};

use crate::store::retention::{Kept, Rules};
use crate::transport::gate::Rate;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{place}: {what}")]
pub struct ConfigFault {
    /// Where it was said: a file, a variable of the environment, a flag.
    pub place: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

fn fault(place: impl Into<String>, what: impl Into<String>) -> ConfigFault {
    ConfigFault { place: place.into(), what: what.into() }
}

/// Settings as text, with the place where each was said.
#[derive(Debug, Default)]
pub struct Values {
    by_name: BTreeMap<&'static str, (String, String)>,
}

impl Values {
    /// Sets `name`, over what was said before.
    ///
    /// # Errors
    /// Where there is no such setting; says which one may be meant.
    pub fn set(&mut self, name: &str, text: &str, place: &str) -> Result<(), ConfigFault> {
        let setting = settings::find(name).ok_or_else(|| {
            let hint = settings::suggest(name).map_or_else(
                || "`ringwire config doc` lists all".to_owned(),
                |known| format!("did you mean {known}?"),
            );
            fault(place, format!("there is no setting {name}; {hint}"))
        })?;
        self.by_name.insert(setting.name, (text.to_owned(), place.to_owned()));
        Ok(())
    }

    /// Takes a TOML file's text.
    ///
    /// # Errors
    /// Where it is no TOML, or sets what does not exist.
    pub fn read_toml(&mut self, text: &str, place: &str) -> Result<(), ConfigFault> {
        let table: toml::Table = text.parse().map_err(|error| fault(place, format!("{error}")))?;
        for (section, entries) in &table {
            let toml::Value::Table(entries) = entries else {
                return Err(fault(
                    place,
                    format!("{section} is no section; write [{section}] and keys below it"),
                ));
            };
            for (key, value) in entries {
                let text = match value {
                    toml::Value::String(text) => text.clone(),
                    toml::Value::Array(items) => {
                        let items: Vec<&str> = items.iter().filter_map(toml::Value::as_str).collect();
                        items.join(",")
                    }
                    other => other.to_string(),
                };
                self.set(&format!("{section}.{key}"), &text, place)?;
            }
        }
        Ok(())
    }

    /// Takes the variables `RINGWIRE_SECTION_KEY` out of an environment. Those that name no setting are
    /// other programs' business, save where they look like a slip.
    ///
    /// # Errors
    /// Where a name is almost that of a setting.
    pub fn read_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ConfigFault> {
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix("RINGWIRE_") else { continue };
            let name = rest.to_ascii_lowercase().replacen('_', ".", 1);
            let is_setting = settings::find(&name).is_some();
            if is_setting || settings::suggest(&name).is_some() {
                self.set(&name, &text, &variable)?;
            }
        }
        Ok(())
    }

    fn text(&self, name: &'static str) -> (&str, String) {
        match self.by_name.get(name) {
            Some((text, place)) => (text.trim(), format!("{name} (from {place})")),
            None => (settings::find(name).map_or("", |setting| setting.default), name.to_owned()),
        }
    }

    fn parse<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigFault> {
        let (text, place) = self.text(name);
        parse(text).map_err(|what| fault(place, what))
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, ConfigFault> {
        self.parse(name, |text| {
            text.parse().map_err(|_| format!("\"{text}\" is not a number that fits here"))
        })
    }

    fn flag(&self, name: &'static str) -> Result<bool, ConfigFault> {
        self.parse(name, |text| text.parse().map_err(|_| format!("\"{text}\" is neither true nor false")))
    }

    fn path(&self, name: &'static str) -> Option<PathBuf> {
        let (text, _) = self.text(name);
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    fn list(&self, name: &'static str) -> Vec<String> {
        let (text, _) = self.text(name);
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Into::into).collect()
    }
}

/// Whether development tokens are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Development {
    /// Where no key is configured and the address is loopback.
    Auto,
    /// Yes; refused on any address but loopback.
    On,
    /// No.
    Off,
}

/// What `serve` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// See the table in [`settings`]; the fields have its names.
    pub listen: SocketAddr,
    /// Address of the plane; `None`: there is none.
    pub plane: Option<SocketAddr>,
    /// Whether the plane speaks TLS, where there is a certificate.
    pub plane_tls: bool,
    /// File with the key of the admin interface.
    pub admin_key_file: Option<PathBuf>,
    /// Directory of everything durable.
    pub data: PathBuf,
    /// Threads that serve; 0: one per processor.
    pub shards: u16,
    /// Which driver.
    pub driver: DriverKind,
    /// Connections per shard, over TCP and over QUIC each.
    pub connections_per_shard: u32,
    /// How long clients have to go elsewhere.
    pub drain: Duration,
    /// Development tokens.
    pub development: Development,
    /// HS256 secret in the configuration itself.
    pub hs256_secret: Option<String>,
    /// File with the HS256 secret.
    pub hs256_secret_file: Option<PathBuf>,
    /// File with the EdDSA public key.
    pub ed25519_public_key_file: Option<PathBuf>,
    /// TLS; `None`: connections are not encrypted.
    pub tls: Option<tls::TlsConfig>,
    /// Whether QUIC is spoken, where there is TLS.
    pub quic: bool,
    /// A client sends something at least this often.
    pub heartbeat: Duration,
    /// Silence after which a connection is closed.
    pub idle_timeout: Duration,
    /// Time from connecting to Hello.
    pub handshake_timeout: Duration,
    /// Origins that may connect.
    pub origins: Vec<String>,
    /// Whether the chat app is served.
    pub app: bool,
    /// Push.
    pub push: push::PushConfig,
    /// The bounds of every shard.
    pub limits: crate::limits::Limits,
    /// How many connections one address may begin, per shard; `None`: any number.
    pub handshakes: Option<Rate>,
    /// Kernel send buffer of one connection, bytes.
    pub send_buffer: u32,
    /// Size of one journal file, bytes.
    pub segment: u32,
    /// Start although messages are damaged.
    pub accept_corruption: bool,
    /// What is kept of conversations.
    pub retention: Rules,
    /// How often one looks whether there is something that is not.
    pub retention_sweep: Duration,
    /// Media sharing; `None`: it is off.
    pub media: Option<media::Media>,
    /// Filter of the log.
    pub log: String,
}

impl Config {
    /// Gives every setting its type.
    ///
    /// # Errors
    /// The first setting that cannot be used, and where it was said.
    pub fn from_values(values: &Values) -> Result<Self, ConfigFault> {
        let body = values.parse("limits.body", size_within(1, 15 << 20))?;
        let frame = values.parse("limits.frame", size_within(1 << 10, 16 << 20))?;
        if body as usize + 640 > frame as usize {
            return Err(fault(
                "limits.body",
                "a frame holds a body and 640 bytes around it; raise limits.frame or lower limits.body",
            ));
        }
        let kept = |age, messages| -> Result<Kept, ConfigFault> {
            Ok(Kept { age: values.parse(age, value::duration)?, messages: values.number(messages)? })
        };
        let retention = Rules {
            direct: kept("retention.direct_age", "retention.direct_messages")?,
            group: kept("retention.group_age", "retention.group_messages")?,
        };
        let limits = crate::limits::Limits {
            body_bytes_max: body as usize,
            frame_bytes_max: frame as usize,
            outbox_bytes_max: values.parse("limits.outbox", size_within(64 << 10, 1 << 30))? as usize,
            members_max: values.number("limits.members")?,
            push_below: values.number("fanout.push_below")?,
            stall_timeout_s: u32::try_from(values.parse("limits.stall_timeout", value::duration)?.as_secs())
                .unwrap_or(u32::MAX),
            subscriptions_per_connection: values.number("limits.subscriptions")?,
            tail_bytes: values.parse("store.cache", size_within(0, 1 << 40))? as usize,
            segment_age_ms: retention.segment_age_ms(),
            ..Default::default()
        };
        let data = values.path("serve.data").unwrap_or_else(|| "ringwire-data".into());
        let config = Config {
            media: media::Media::from_values(values, &data, retention.age_max())?,
            retention,
            retention_sweep: values.parse("retention.sweep", value::duration)?.max(RETENTION_SWEEP_MIN),
            listen: values.parse("serve.listen", address)?,
            plane: values.parse("serve.plane", plane_address)?,
            plane_tls: values.flag("plane.tls")?,
            admin_key_file: values.path("plane.admin_key_file"),
            data,
            shards: values.number("serve.shards")?,
            driver: values.parse("serve.driver", |text| {
                text.parse().map_err(|error: ringwire_driver::UnknownKind| error.to_string())
            })?,
            connections_per_shard: values.number("serve.connections_per_shard")?,
            drain: values.parse("serve.drain", value::duration)?,
            development: values.parse("auth.dev", development)?,
            hs256_secret: Some(values.text("auth.hs256_secret").0.to_owned()).filter(|text| !text.is_empty()),
            hs256_secret_file: values.path("auth.hs256_secret_file"),
            ed25519_public_key_file: values.path("auth.ed25519_public_key_file"),
            tls: tls::TlsConfig::from_values(values)?,
            quic: values.flag("tls.quic")?,
            heartbeat: values.parse("sessions.heartbeat", value::duration)?,
            idle_timeout: values.parse("sessions.idle_timeout", value::duration)?,
            handshake_timeout: values.parse("sessions.handshake_timeout", value::duration)?,
            origins: values.list("sessions.origins"),
            app: values.flag("sessions.app")?,
            push: push::PushConfig::from_values(values)?,
            limits,
            handshakes: handshakes(values)?,
            send_buffer: values.parse("limits.send_buffer", size_within(4 << 10, 64 << 20))? as u32,
            segment: values.parse("store.segment", size_within(1 << 20, 1 << 30))? as u32,
            accept_corruption: values.flag("store.accept_corruption")?,
            log: values.text("log.level").0.to_owned(),
        };
        if config.heartbeat.is_zero() || config.idle_timeout < config.heartbeat * 2 {
            return Err(fault(
                "sessions.idle_timeout",
                "has to be at least twice sessions.heartbeat, or one lost heartbeat closes a connection",
            ));
        }
        Ok(config)
    }
}

/// Each look reads at least one journal file of each shard.
const RETENTION_SWEEP_MIN: Duration = Duration::from_secs(1);

fn handshakes(values: &Values) -> Result<Option<Rate>, ConfigFault> {
    let per_second: u32 = values.number("limits.handshakes")?;
    let burst: u32 = values.number("limits.handshakes_burst")?;
    if per_second > 0 && burst == 0 {
        let what = "would let nobody in; give at least 1, or turn the limit off with limits.handshakes=0";
        return Err(fault("limits.handshakes_burst", what));
    }
    Ok((per_second > 0).then_some(Rate { per_second, burst }))
}

fn size_within(min: u64, max: u64) -> impl FnOnce(&str) -> Result<u64, String> {
    move |text| {
        let bytes = value::size(text)?;
        if (min..=max).contains(&bytes) {
            Ok(bytes)
        } else {
            Err(format!("\"{text}\" is outside {min} B to {max} B"))
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("\"{text}\" is not an address and port such as 127.0.0.1:7400 or [::]:7400"))
}

fn plane_address(text: &str) -> Result<Option<SocketAddr>, String> {
    match text {
        "off" => Ok(None),
        text => address(text).map(Some).map_err(|what| format!("{what}, and not off")),
    }
}

fn development(text: &str) -> Result<Development, String> {
    match text {
        "auto" => Ok(Development::Auto),
        "true" => Ok(Development::On),
        "false" => Ok(Development::Off),
        other => Err(format!("\"{other}\" is none of true, false, auto")),
    }
}

/// A configuration file with every setting at its default, for `ringwire config default`.
pub fn default_toml() -> String {
    let mut out = String::new();
    let mut section = "";
    for setting in SETTINGS {
        let Some((this, key)) = setting.name.split_once('.') else { continue };
        if this != section {
            if !section.is_empty() {
                out.push('\n');
            }
            out.push_str(&format!("[{this}]\n"));
            section = this;
        }
        let default = match setting.kind {
            Kind::Number | Kind::Flag => setting.default.to_owned(),
            Kind::List => {
                let items = setting.default.split(',').filter(|item| !item.is_empty());
                let items: Vec<String> = items.map(|item| format!("\"{item}\"")).collect();
                format!("[{}]", items.join(", "))
            }
            Kind::Text | Kind::Duration | Kind::Size => format!("\"{}\"", setting.default),
        };
        out.push_str(&format!("# {}\n# {key} = {default}\n", setting.about));
    }
    out
}

/// A table of all settings, for `ringwire config doc`.
pub fn documentation() -> String {
    let mut out = String::from("| setting | environment | default | what it is for |\n|---|---|---|---|\n");
    for setting in SETTINGS {
        let variable = format!("RINGWIRE_{}", setting.name.to_ascii_uppercase().replace('.', "_"));
        out.push_str(&format!(
            "| `{}` | `{variable}` | `{}` | {} |\n",
            setting.name, setting.default, setting.about
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let config = Config::from_values(&Values::default()).expect("the defaults");
        assert_eq!(config.listen.port(), 7400);
        assert_eq!(config.heartbeat, Duration::from_secs(20));
    }

    #[test]
    fn later_sources_win_and_are_named_in_errors() {
        let mut values = Values::default();
        values.read_toml("[serve]\nshards = 3\nlisten = \"127.0.0.1:1\"\n", "ringwire.toml").expect("valid");
        let environment = [("RINGWIRE_SERVE_SHARDS", "4"), ("RINGWIRE_TOKEN", "x"), ("HOME", "/")];
        values.read_environment(environment.into_iter().map(|(k, v)| (k.into(), v.into()))).expect("valid");
        values.set("serve.listen", "127.0.0.1:2", "--listen").expect("known");
        let config = Config::from_values(&values).expect("valid");
        assert_eq!((config.shards, config.listen.port()), (4, 2));
        values.set("serve.listen", "nowhere", "--listen").expect("known");
        let error = Config::from_values(&values).expect_err("no address").to_string();
        assert!(error.contains("--listen") && error.contains("127.0.0.1:7400"), "{error}");
    }

    #[test]
    fn unknown_keys_are_errors_with_a_suggestion() {
        let mut values = Values::default();
        let error = values.read_toml("[serve]\nlisten_on = \"x\"\n", "a.toml").expect_err("unknown");
        assert!(error.to_string().contains("did you mean serve.listen?"), "{error}");
        let slip = [("RINGWIRE_SERVE_SHARD".to_owned(), "4".to_owned())];
        assert!(values.read_environment(slip.into_iter()).is_err());
    }

    #[test]
    fn contradictions_are_refused() {
        for (name, text) in [
            ("limits.body", "64 KiB"),
            ("sessions.idle_timeout", "30s"),
            ("auth.dev", "maybe"),
            ("limits.outbox", "1B"),
            ("limits.handshakes_burst", "0"),
        ] {
            let mut values = Values::default();
            values.set(name, text, "test").expect("known");
            assert!(Config::from_values(&values).is_err(), "{name} = {text}");
        }
    }

    #[test]
    fn the_operators_manual_has_the_table() {
        let manual = include_str!("../../../docs/operating.md");
        assert!(
            manual.contains(&documentation()),
            "put the output of `ringwire config doc` into docs/operating.md"
        );
    }

    #[test]
    fn the_printed_default_file_is_read_back() {
        let uncommented: String = default_toml()
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.contains(" = ") => format!("{rest}\n"),
                Some(_) => String::new(),
                None => format!("{line}\n"),
            })
            .collect();
        let mut values = Values::default();
        values.read_toml(&uncommented, "default").expect("it is TOML");
        Config::from_values(&values).expect("and valid");
    }
}
