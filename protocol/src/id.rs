//! Ids: 128 bits derived from the application's own strings.
//!
//! A name is hashed once, by whoever knows it; afterwards only the 16 bytes travel. Each kind of id has a
//! domain of its own, so that a user and a conversation of the same name never share an id (W-10).
//!
//! The id is truncated BLAKE3 in key-derivation mode: an attacker who may choose names needs 2^64 work for a
//! collision between two names of his own and 2^128 to meet somebody else's.

use core::fmt;
use core::str::FromStr;

/// Bytes of every id.
pub const ID_BYTES: usize = 16;

/// A string that is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is written as 32 hexadecimal digits")]
pub struct ParseIdError;

fn derive(context: &str, name: &str) -> [u8; ID_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(name.as_bytes());
    let mut bytes = [0; ID_BYTES];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..ID_BYTES]);
    bytes
}

fn parse(text: &str) -> Result<[u8; ID_BYTES], ParseIdError> {
    let digits = text.as_bytes();
    if digits.len() != 2 * ID_BYTES {
        return Err(ParseIdError);
    }
    let mut bytes = [0; ID_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |digit: u8| char::from(digit).to_digit(16).ok_or(ParseIdError);
        *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
    }
    Ok(bytes)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $context:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; ID_BYTES]);

        impl $name {
            /// The id of no one: in a frame it says that the field does not apply.
            pub const ZERO: Self = Self([0; ID_BYTES]);

            /// The id of an application string; the same string gives the same id everywhere and for ever.
            pub fn from_name(name: &str) -> Self {
                Self(derive($context, name))
            }

            /// An id that was stored or received.
            pub const fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
                Self(bytes)
            }

            /// The bytes as they stand in frames and in the journal.
            pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
                &self.0
            }

            /// Whether this is [`Self::ZERO`].
            pub fn is_zero(&self) -> bool {
                *self == Self::ZERO
            }

            pub(crate) fn wire(&self) -> crate::generated::Id {
                crate::generated::Id(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }
    };
}

id!(
    /// A conversation: a room, a direct chat, an event.
    ConversationId,
    "ringwire 2026-11 conversation id"
);
id!(
    /// A user, as the token's subject names them.
    UserId,
    "ringwire 2026-11 user id"
);
id!(
    /// One device of a user; stable across connections, because idempotence hangs on it (W-40).
    DeviceId,
    "ringwire 2026-11 device id"
);

impl DeviceId {
    /// The device as other members see it: enough to know one's own messages again, too little to address it.
    pub fn origin(&self) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("ringwire 2026-11 message origin");
        hasher.update(&self.0);
        let mut word = [0; 8];
        word.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_le_bytes(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_name_gives_distinct_ids_per_kind() {
        let name = "alice";
        let ids = [
            *ConversationId::from_name(name).as_bytes(),
            *UserId::from_name(name).as_bytes(),
            *DeviceId::from_name(name).as_bytes(),
        ];
        assert_ne!(ids[0], ids[1]);
        assert_ne!(ids[1], ids[2]);
        assert_ne!(ids[0], ids[2]);
    }

    #[test]
    fn text_form_round_trips_and_refuses_everything_else() {
        let id = UserId::from_name("bob");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for wrong in
            ["", "0", &"0".repeat(31), &"0".repeat(33), &"g".repeat(32), &"é".repeat(16), &"+1".repeat(16)]
        {
            assert_eq!(wrong.parse::<UserId>(), Err(ParseIdError), "{wrong}");
        }
    }
}
