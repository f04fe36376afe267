//! `ringwire token`: signs tokens, for trying things out and for backends without a JWT library.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

use crate::config::value;
use crate::session::auth::Claims;

/// Sign a token for a user.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// The application's own name for the user.
    #[arg(long, value_name = "USER")]
    user: String,
    /// The name shown to others.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How long the token is valid.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    expires: String,
    /// Conversation the user may join by itself; a trailing * stands for any ending. May be repeated.
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    join: Vec<String>,
    /// File with the shared secret (HS256), as in auth.hs256_secret_file.
    #[arg(long, value_name = "FILE", required_unless_present = "ed25519_private_key_file")]
    hs256_secret_file: Option<PathBuf>,
    /// PEM file with the private Ed25519 key (EdDSA).
    #[arg(long, value_name = "FILE", conflicts_with = "hs256_secret_file")]
    ed25519_private_key_file: Option<PathBuf>,
}

#[expect(clippy::disallowed_methods, reason = "a command, not a shard")]
fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "a command, not a shard")]
fn unix_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(super) fn run(args: &TokenArgs) -> Result<ExitCode, String> {
    let expires = value::duration(&args.expires).map_err(|error| format!("--expires: {error}"))?;
    let claims = Claims {
        sub: args.user.clone(),
        exp: unix_s() + expires.as_secs(),
        nbf: None,
        name: args.name.clone(),
        join: args.join.clone(),
    };
    let (algorithm, key) = match (&args.hs256_secret_file, &args.ed25519_private_key_file) {
        (Some(path), _) => (Algorithm::HS256, EncodingKey::from_secret(read(path)?.trim_ascii())),
        (None, Some(path)) => {
            let key = EncodingKey::from_ed_pem(&read(path)?)
                .map_err(|error| format!("{} is no Ed25519 private key in PEM: {error}", path.display()))?;
            (Algorithm::EdDSA, key)
        }
        (None, None) => return Err("a key is needed to sign with".to_owned()),
    };
    let token = encode(&Header::new(algorithm), &claims, &key)
        .map_err(|error| format!("the token cannot be signed: {error}"))?;
    println!("{token}");
    Ok(ExitCode::SUCCESS)
}
