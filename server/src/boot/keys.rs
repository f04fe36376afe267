//! Who may connect: the keys of the configuration, or development mode.

use std::net::IpAddr;
use std::path::Path;

use super::BootError;
use crate::config::{Config, Development};
use crate::plane::http::admin::{ADMIN_KEY_BYTES_MIN, AdminKey};
use crate::session::auth::{Authenticator, VerifyingKey};

/// HS256 needs a secret as long as its hash to be worth its name (RFC 7518 §3.2).
const SECRET_BYTES_MIN: usize = 32;

/// Makes the authenticator that the configuration describes.
///
/// # Errors
/// Where a key cannot be read, none is configured for an address that others reach, or development mode is
/// asked for there.
pub fn authenticator(config: &Config) -> Result<Authenticator, BootError> {
    let mut keys = Vec::new();
    if let Some(secret) = &config.hs256_secret {
        keys.push(hs256(secret.as_bytes(), "auth.hs256_secret")?);
    }
    if let Some(path) = &config.hs256_secret_file {
        let text = read(path, "auth.hs256_secret_file")?;
        keys.push(hs256(trimmed(&text), &format!("auth.hs256_secret_file {}", path.display()))?);
    }
    if let Some(path) = &config.ed25519_public_key_file {
        let pem = read(path, "auth.ed25519_public_key_file")?;
        let key = VerifyingKey::ed25519_pem(&pem).map_err(|error| {
            BootError::Key(format!(
                "{} is no Ed25519 public key in PEM ({error}); make one with \
                 `openssl pkey -in private.pem -pubout`",
                path.display()
            ))
        })?;
        keys.push(key);
    }
    let loopback = is_loopback(config.listen.ip());
    let development = match config.development {
        Development::On if !loopback => {
            return Err(BootError::Key(format!(
                "auth.dev lets anybody be anybody, so it is refused on {}; listen on 127.0.0.1 or configure a key",
                config.listen
            )));
        }
        Development::On => true,
        Development::Off => false,
        Development::Auto => loopback && keys.is_empty(),
    };
    if keys.is_empty() && !development {
        return Err(BootError::Key(format!(
            "no key is configured to check tokens with, and {} is no loopback address; set \
             auth.hs256_secret_file or auth.ed25519_public_key_file",
            config.listen
        )));
    }
    Ok(Authenticator { development, keys })
}

/// Reads the admin interface's key, if one is configured.
///
/// # Errors
/// Where it cannot be read, or can be guessed.
pub fn admin_key(config: &Config) -> Result<Option<AdminKey>, BootError> {
    const SETTING: &str = "plane.admin_key_file";
    let Some(path) = &config.admin_key_file else { return Ok(None) };
    let text = read(path, SETTING)?;
    let key = AdminKey::new(trimmed(&text)).ok_or_else(|| {
        BootError::Key(format!(
            "{SETTING}: the key in {} needs at least {ADMIN_KEY_BYTES_MIN} visible ASCII characters and no \
             blanks; make one with `openssl rand -hex 32`",
            path.display()
        ))
    })?;
    Ok(Some(key))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn hs256(secret: &[u8], place: &str) -> Result<VerifyingKey, BootError> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(BootError::Key(format!(
            "{place} has {} bytes; HS256 needs at least {SECRET_BYTES_MIN}: make one with `openssl rand -hex 32`",
            secret.len()
        )));
    }
    Ok(VerifyingKey::hs256(secret))
}

pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[expect(clippy::disallowed_methods, reason = "keys are read once, before a shard runs")]
pub(super) fn read(path: &Path, setting: &str) -> Result<Vec<u8>, BootError> {
    std::fs::read(path)
        .map_err(|error| BootError::Key(format!("{setting}: cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Values;

    fn config(settings: &[(&str, &str)]) -> Config {
        let mut values = Values::default();
        for (name, text) in settings {
            values.set(name, text, "test").expect("known");
        }
        Config::from_values(&values).expect("valid")
    }

    #[test]
    fn development_mode_stays_on_loopback() {
        assert!(authenticator(&config(&[])).expect("loopback without a key").development);
        let secret = "0123456789abcdef0123456789abcdef";
        let keyed = config(&[("auth.hs256_secret", secret)]);
        assert!(!authenticator(&keyed).expect("a key").development);
        for settings in [
            &[("serve.listen", "0.0.0.0:7400")][..],
            &[("serve.listen", "0.0.0.0:7400"), ("auth.dev", "true")],
            &[("serve.listen", "0.0.0.0:7400"), ("auth.dev", "true"), ("auth.hs256_secret", secret)],
            &[("auth.dev", "false")],
            &[("auth.hs256_secret", "short")],
            &[("auth.hs256_secret_file", "/nonexistent/secret")],
        ] {
            assert!(authenticator(&config(settings)).is_err(), "{settings:?}");
        }
        let v6 = config(&[("serve.listen", "[::1]:7400"), ("auth.dev", "true")]);
        assert!(authenticator(&v6).expect("loopback").development);
    }
}
