//! What a message says about a file.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use ringwire_protocol::message::Kind;
use serde::{Deserialize, Serialize};

use crate::core::{Draft, Message};

/// What an object is called: the BLAKE3 of its content, as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName(blake3::Hash);

impl ObjectName {
    /// The name of a content that was hashed.
    pub fn new(hash: blake3::Hash) -> Self {
        Self(hash)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectName({self})")
    }
}

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let hash = blake3::Hash::from_hex(text).ok().filter(|_| plain);
        hash.map(Self).ok_or_else(|| "an object's name is 64 hexadecimal digits in small letters".to_owned())
    }
}

impl TryFrom<String> for ObjectName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> String {
        name.to_string()
    }
}

/// A file that a message refers to. What is said here was said by the sender; only the content's name is certain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// What the object is called.
    pub media: ObjectName,
    /// Its type, as in `image/png`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How long it is.
    pub bytes: u64,
    /// What the sender calls the file. It may be anything: see [`Self::file_name`].
    pub name: String,
}

impl Attachment {
    /// The message that refers to it.
    pub fn draft(&self) -> Draft {
        // Strings and numbers always make JSON.
        let body = serde_json::to_vec(self).map(Bytes::from).unwrap_or_default();
        Draft { kind: Kind::Media, body, ..Draft::default() }
    }

    /// Reads the body of a message of kind `Media`; `None`: it is not of this form, as where the application encrypts.
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The name as a name for a file in a folder of one's own: no path, no hidden file, nothing that a terminal or a
    /// file system takes for something else.
    pub fn file_name(&self) -> String {
        let last = self.name.rsplit(['/', '\\']).next().unwrap_or_default();
        let fits = |c: &char| {
            let directional = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            !c.is_control() && !directional && !"<>:\"|?*".contains(*c)
        };
        let mut name: String = last.chars().filter(fits).collect();
        while name.len() > FILE_NAME_BYTES_MAX {
            name.pop();
        }
        let name = name.trim().trim_start_matches('.');
        if name.is_empty() { "file".to_owned() } else { name.to_owned() }
    }
}

/// What file systems take, with room for an ending.
const FILE_NAME_BYTES_MAX: usize = 200;

impl Message {
    /// The file that a message of kind `Media` refers to.
    pub fn attachment(&self) -> Option<Attachment> {
        (self.kind == Kind::Media).then(|| Attachment::from_body(&self.body)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(name: &str) -> Attachment {
        let media = ObjectName::new(blake3::hash(b"x"));
        Attachment { media, kind: "image/png".into(), bytes: 1, name: name.into() }
    }

    #[test]
    fn a_body_is_read_back_with_company_and_without_harm() {
        let cat = attachment("cat.png");
        let draft = cat.draft();
        assert_eq!(draft.kind, Kind::Media);
        assert_eq!(Attachment::from_body(&draft.body), Some(cat.clone()));
        let mut value: serde_json::Value = serde_json::from_slice(&draft.body).expect("JSON");
        value["caption"] = "a cat".into();
        assert_eq!(Attachment::from_body(value.to_string().as_bytes()), Some(cat));
        value["media"] = "../../x".into();
        for body in [value.to_string().as_bytes(), b"", b"[]", b"\xff"] {
            assert_eq!(Attachment::from_body(body), None);
        }
    }

    #[test]
    fn a_stranger_does_not_choose_where_a_file_goes() {
        for (name, expected) in [
            ("cat.png", "cat.png"),
            ("../../.ssh/authorized_keys", "authorized_keys"),
            ("C:\\Windows\\x.dll", "x.dll"),
            ("..", "file"),
            (".bashrc", "bashrc"),
            ("", "file"),
            ("a\u{202e}b\u{7}c\n.txt", "abc.txt"),
            ("a:b|c?.txt", "abc.txt"),
        ] {
            assert_eq!(attachment(name).file_name(), expected, "{name:?}");
        }
        assert!(attachment(&"é".repeat(500)).file_name().len() <= FILE_NAME_BYTES_MAX);
    }
}
