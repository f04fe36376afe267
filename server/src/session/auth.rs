//! Who somebody is, as a token says.
//!
//! Tokens are JWTs (RFC 7519) signed with HS256 or EdDSA (RFC 8037). Claims: `sub` (required) is the
//! application's own name for the user, `exp` (required) seconds since 1970, `nbf` optional, `name` the
//! name shown to others, `join` a list of conversation names the user may join by itself, where a trailing
//! `*` stands for any ending. Without `join` a user reaches only conversations that it is a member of.
//!
//! Development tokens are `dev:NAME`. They are accepted only in development mode, which the server refuses
//! on any address but loopback.
//!
//! Absent: the clock (it is an input), and key files (`boot` reads them).

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use ringwire_protocol::code::Code;
use ringwire_protocol::id::UserId;
use ringwire_protocol::limits::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// Clocks of token issuers may differ from ours by this much, milliseconds.
const LEEWAY_MS: u64 = 5_000;

/// Prefix of a development token.
const DEVELOPMENT_PREFIX: &str = "dev:";

/// What a token says, as signed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The application's own name for the user.
    pub sub: String,
    /// Not valid from then on, seconds since 1970.
    pub exp: u64,
    /// Not valid before, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// The name shown to others; `sub` where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Conversations the user may join by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<String>,
}

/// A user, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's id on the wire.
    pub user: UserId,
    /// The token's end, milliseconds since 1970.
    pub expires_unix_ms: u64,
    /// The name, then patterns of the conversations the user may join by itself, each with [`END`] behind it: every idle
    /// session has them, and one piece is smaller than many.
    text: Box<str>,
    name_bytes: u16,
}

/// What no name of a conversation has in it.
const END: &str = "\0";

impl Identity {
    /// The name shown to others.
    pub fn name(&self) -> &str {
        &self.text[..usize::from(self.name_bytes)]
    }

    /// Whether the token allows to join (and create) a conversation of this name.
    pub fn may_join(&self, conversation: &str) -> bool {
        let patterns = &self.text[usize::from(self.name_bytes)..];
        patterns.split_terminator(END).any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => conversation.starts_with(prefix),
            None => pattern == conversation,
        })
    }
}

/// Why a token was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Nothing was sent.
    #[error("the Hello carries no token; the application's backend issues them")]
    Missing,
    /// A development token outside development mode.
    #[error(
        "development tokens (dev:NAME) are not accepted by this server; it has keys configured, ask the \
         application's backend for a token"
    )]
    Development,
    /// Not a JWT, or claims are missing.
    #[error("the token cannot be read: {0}")]
    Malformed(String),
    /// No configured key fits.
    #[error("the token's signature fits none of the keys of this server")]
    Signature,
    /// It was valid once.
    #[error("the token expired {0} s ago; refresh it and connect again")]
    Expired(u64),
    /// It will be valid.
    #[error("the token is not valid for another {0} s; check the issuer's clock")]
    NotYet(u64),
}

impl TokenFault {
    /// The code on the wire.
    pub fn code(&self) -> Code {
        match self {
            TokenFault::Expired(_) => Code::TOKEN_EXPIRED,
            TokenFault::NotYet(_) => Code::TOKEN_NOT_YET_VALID,
            TokenFault::Missing => Code::TOKEN_MISSING,
            TokenFault::Development | TokenFault::Malformed(_) | TokenFault::Signature => Code::TOKEN_INVALID,
        }
    }
}

/// A key that tokens may be signed with.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key itself: configurations end up in logs.
        write!(f, "VerifyingKey({:?})", self.algorithm)
    }
}

impl VerifyingKey {
    /// A shared secret (HS256).
    pub fn hs256(secret: &[u8]) -> Self {
        VerifyingKey { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// A public Ed25519 key in PEM (EdDSA).
    ///
    /// # Errors
    /// Where the text is no such key.
    pub fn ed25519_pem(pem: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        Ok(VerifyingKey { algorithm: Algorithm::EdDSA, key: DecodingKey::from_ed_pem(pem)? })
    }
}

/// Decides who somebody is. Shared by all shards, never changed while they run.
#[derive(Clone, Debug, Default)]
pub struct Authenticator {
    /// Accepts `dev:NAME`.
    pub development: bool,
    /// Any of them may have signed.
    pub keys: Vec<VerifyingKey>,
}

impl Authenticator {
    /// Verifies a token at `now_unix_ms`.
    ///
    /// # Errors
    /// Why not, in words for whoever wrote the client.
    pub fn verify(&self, token: &str, now_unix_ms: u64) -> Result<Identity, TokenFault> {
        if token.is_empty() {
            return Err(TokenFault::Missing);
        }
        if let Some(name) = token.strip_prefix(DEVELOPMENT_PREFIX) {
            if !self.development {
                return Err(TokenFault::Development);
            }
            return identity(name, name, u64::MAX, &["*".to_owned()]);
        }
        let mut fault = TokenFault::Signature;
        for key in &self.keys {
            let mut validation = Validation::new(key.algorithm);
            // The clock is an input here, so the library's own is not asked.
            validation.validate_exp = false;
            validation.validate_nbf = false;
            validation.validate_aud = false;
            validation.set_required_spec_claims(&["sub", "exp"]);
            match jsonwebtoken::decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => return check_times(data.claims, now_unix_ms),
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => {}
                    _ => fault = TokenFault::Malformed(error.to_string()),
                },
            }
        }
        Err(fault)
    }
}

fn check_times(claims: Claims, now_unix_ms: u64) -> Result<Identity, TokenFault> {
    let expires_unix_ms = claims.exp.saturating_mul(1000);
    if now_unix_ms > expires_unix_ms.saturating_add(LEEWAY_MS) {
        return Err(TokenFault::Expired((now_unix_ms - expires_unix_ms) / 1000));
    }
    let begins_unix_ms = claims.nbf.unwrap_or(0).saturating_mul(1000);
    if now_unix_ms.saturating_add(LEEWAY_MS) < begins_unix_ms {
        return Err(TokenFault::NotYet((begins_unix_ms - now_unix_ms) / 1000));
    }
    let name = claims.name.as_deref().unwrap_or(&claims.sub);
    identity(&claims.sub, name, expires_unix_ms, &claims.join)
}

fn identity(
    subject: &str,
    name: &str,
    expires_unix_ms: u64,
    join: &[String],
) -> Result<Identity, TokenFault> {
    if subject.is_empty() || subject.len() > NAME_BYTES_MAX || name.len() > NAME_BYTES_MAX {
        return Err(TokenFault::Malformed(format!(
            "the user's name has to have 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    let mut text = name.to_owned();
    for pattern in join.iter().filter(|pattern| !pattern.contains(END)) {
        text.extend([pattern.as_str(), END]);
    }
    let (user, name_bytes) = (UserId::from_name(subject), name.len() as u16);
    Ok(Identity { user, expires_unix_ms, text: text.into_boxed_str(), name_bytes })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};

    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn sign(claims: &Claims, secret: &[u8]) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).expect("it signs")
    }

    fn claims(exp_offset_s: i64) -> Claims {
        Claims {
            sub: "u-17".into(),
            exp: (NOW_MS / 1000).checked_add_signed(exp_offset_s).expect("in range"),
            nbf: None,
            name: Some("Ada".into()),
            join: vec!["room:*".into(), "lobby".into(), "a\0b".into()],
        }
    }

    fn authenticator() -> Authenticator {
        Authenticator {
            development: false,
            keys: vec![VerifyingKey::hs256(b"old secret"), VerifyingKey::hs256(b"secret")],
        }
    }

    #[test]
    fn a_token_of_any_configured_key_is_accepted() {
        let identity = authenticator().verify(&sign(&claims(60), b"secret"), NOW_MS).expect("valid");
        assert_eq!(identity.user, UserId::from_name("u-17"));
        assert_eq!(identity.name(), "Ada");
        assert!(identity.may_join("room:1") && identity.may_join("lobby"));
        assert!(!identity.may_join("lobby2") && !identity.may_join("roo"));
        assert!(!identity.may_join("a") && !identity.may_join("b") && !identity.may_join(""));
    }

    #[test]
    fn refusals_say_why() {
        let good = sign(&claims(60), b"secret");
        let cases: [(String, TokenFault); 6] = [
            (String::new(), TokenFault::Missing),
            ("dev:ada".into(), TokenFault::Development),
            (sign(&claims(60), b"another"), TokenFault::Signature),
            (sign(&claims(-60), b"secret"), TokenFault::Expired(60)),
            (
                sign(&Claims { nbf: Some(NOW_MS / 1000 + 90), ..claims(100) }, b"secret"),
                TokenFault::NotYet(90),
            ),
            (format!("{}x{}", &good[..40], &good[41..]), TokenFault::Signature),
        ];
        for (token, expected) in cases {
            let fault = authenticator().verify(&token, NOW_MS).expect_err("refused");
            match (&fault, &expected) {
                // A changed byte may break the encoding before it breaks the signature.
                (TokenFault::Malformed(_), TokenFault::Signature) => {}
                _ => assert_eq!(fault, expected, "{token}"),
            }
        }
        let none = encode(&Header::new(Algorithm::HS512), &claims(60), &EncodingKey::from_secret(b"secret"))
            .expect("it signs");
        assert_eq!(authenticator().verify(&none, NOW_MS), Err(TokenFault::Signature));
    }

    #[test]
    fn the_leeway_covers_small_clock_differences() {
        assert!(authenticator().verify(&sign(&claims(-3), b"secret"), NOW_MS).is_ok());
    }

    #[test]
    fn development_tokens_need_development_mode() {
        let authenticator = Authenticator { development: true, keys: Vec::new() };
        let identity = authenticator.verify("dev:ada", NOW_MS).expect("development");
        assert_eq!((identity.name(), identity.may_join("anything")), ("ada", true));
        assert!(authenticator.verify("dev:", NOW_MS).is_err());
    }
}
