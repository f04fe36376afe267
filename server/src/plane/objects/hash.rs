//! What an object is called, and the checksums a client may send along with what it uploads.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// An object's name: BLAKE3 of its content, all 256 bits, because whoever finds a second content of the same
/// name could put it in the place of the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId([u8; 32]);

/// A text that is no object's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an object is named by 64 hexadecimal digits in small letters, the BLAKE3 hash of its content")]
pub struct NoObjectId;

impl FromStr for ObjectId {
    type Err = NoObjectId;

    fn from_str(text: &str) -> Result<Self, NoObjectId> {
        // One name per object: capitals would be a second one, for caches too.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NoObjectId);
        }
        blake3::Hash::from_hex(text).map(|hash| ObjectId(*hash.as_bytes())).map_err(|_| NoObjectId)
    }
}

impl TryFrom<String> for ObjectId {
    type Error = NoObjectId;

    fn try_from(text: String) -> Result<Self, NoObjectId> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> String {
        id.to_string()
    }
}

impl From<blake3::Hash> for ObjectId {
    fn from(hash: blake3::Hash) -> Self {
        ObjectId(*hash.as_bytes())
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// The names of the checksums, as they are announced. tus asks for SHA-1 at least.
pub const ALGORITHMS: &str = "sha1,sha256,blake3";

/// Why an `Upload-Checksum` cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumFault {
    /// Not a name, a space and Base64 of the right length.
    #[error("Upload-Checksum is the name of an algorithm, a space and the checksum in Base64")]
    Malformed,
    /// We do not know it.
    #[error("this algorithm is not known here; known are {ALGORITHMS}")]
    Unknown,
}

/// A checksum that is to come out, and what has been seen so far.
pub struct Checksum {
    wanted: Vec<u8>,
    seen: Seen,
}

enum Seen {
    Sha1(sha1_smol::Sha1),
    Sha256(digest::Context),
    Blake3(Box<blake3::Hasher>),
}

impl Checksum {
    /// Reads the value of `Upload-Checksum`.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn parse(value: &str) -> Result<Self, ChecksumFault> {
        let (algorithm, text) = value.split_once(' ').ok_or(ChecksumFault::Malformed)?;
        let wanted = STANDARD.decode(text.trim()).map_err(|_| ChecksumFault::Malformed)?;
        let (seen, length) = match algorithm {
            "sha1" => (Seen::Sha1(sha1_smol::Sha1::new()), 20),
            "sha256" => (Seen::Sha256(digest::Context::new(&digest::SHA256)), 32),
            "blake3" => (Seen::Blake3(Box::default()), 32),
            _ => return Err(ChecksumFault::Unknown),
        };
        if wanted.len() == length { Ok(Checksum { wanted, seen }) } else { Err(ChecksumFault::Malformed) }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.seen {
            Seen::Sha1(sha1) => sha1.update(bytes),
            Seen::Sha256(sha256) => sha256.update(bytes),
            Seen::Blake3(blake3) => {
                blake3.update(bytes);
            }
        }
    }

    /// Whether what was wanted came out.
    pub fn matches(self) -> bool {
        match self.seen {
            Seen::Sha1(sha1) => self.wanted == sha1.digest().bytes(),
            Seen::Sha256(sha256) => self.wanted == sha256.finish().as_ref(),
            Seen::Blake3(blake3) => self.wanted == blake3.finalize().as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_the_empty_and_of_a_known_text_come_out() {
        // The test vectors of the algorithms' own publications, in Base64.
        for (value, content) in [
            ("sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", ""),
            ("sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "abc"),
            ("sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "abc"),
        ] {
            for (bytes, expected) in [(content.as_bytes(), true), (b"other".as_slice(), false)] {
                let mut checksum = Checksum::parse(value).expect("known");
                for byte in bytes.chunks(1) {
                    checksum.update(byte);
                }
                assert_eq!(checksum.matches(), expected, "{value}");
            }
        }
        let wanted = STANDARD.encode(blake3::hash(b"abc").as_bytes());
        let mut checksum = Checksum::parse(&format!("blake3 {wanted}")).expect("known");
        checksum.update(b"abc");
        assert!(checksum.matches());
    }

    #[test]
    fn what_is_no_checksum_is_told_from_what_is_unknown() {
        for value in ["sha1", "sha1 ***", "sha256 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "sha1 ", ""] {
            assert_eq!(Checksum::parse(value).err(), Some(ChecksumFault::Malformed), "{value}");
        }
        assert_eq!(Checksum::parse("md5 1B2M2Y8AsgTpgAmY7PhCfg==").err(), Some(ChecksumFault::Unknown));
    }

    #[test]
    fn an_object_has_one_name() {
        let id = ObjectId::from(blake3::hash(b"x"));
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [id.to_string().to_uppercase(), id.to_string()[1..].to_owned(), String::new()] {
            assert_eq!(wrong.parse::<ObjectId>(), Err(NoObjectId), "{wrong}");
        }
    }
}
