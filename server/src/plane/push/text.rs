//! Ids and bytes as texts, in stored entries and in JSON.

use std::fmt::Display;
use std::str::FromStr;

use ringwire_protocol::message::Provider;
use serde::{Deserialize, Deserializer, Serializer, de};

/// Ids as their hexadecimal digits.
pub(super) mod id {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(id: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(in super::super) fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Providers by their names.
pub(super) mod provider {
    use super::*;
    use crate::plane::push::target::{PROVIDERS, name};

    pub(in super::super) fn serialize<S: Serializer>(provider: &Provider, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name(*provider))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Provider, D::Error> {
        let text = String::deserialize(from)?;
        let provider = PROVIDERS.into_iter().find(|provider| name(*provider) == text);
        provider.ok_or_else(|| de::Error::custom(format_args!("no provider is called {text:?}")))
    }
}

/// Bytes as base64url without padding.
pub(super) mod base64 {
    use ::base64::Engine;
    use ::base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<[u8]>, D::Error> {
        let text = String::deserialize(from)?;
        URL_SAFE_NO_PAD.decode(text).map(Into::into).map_err(de::Error::custom)
    }
}
