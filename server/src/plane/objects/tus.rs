//! The words of tus 1.0.0, the resumable upload protocol: its headers, read and refused.
//!
//! Absent: what is done about them (`upload.rs`).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, StatusCode};
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::limits::NAME_BYTES_MAX;

use super::hash::ObjectId;
use super::{kind, name};
use crate::limits::MEDIA_METADATA_BYTES_MAX;
use crate::plane::http::reply::Problem;

/// The version spoken here.
pub const VERSION: &str = "1.0.0";

/// What goes beyond the core of the protocol.
pub const EXTENSIONS: &str = "creation,creation-with-upload,expiration,checksum,termination";

/// The type of the bytes of an upload.
pub const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// tus's own status: the bytes are not those that the checksum is of.
pub fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST)
}

/// The protocol's headers.
pub mod names {
    use http::HeaderName;

    macro_rules! names {
        ($($constant:ident = $name:literal,)*) => {
            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: HeaderName = HeaderName::from_static($name);
            )*
        };
    }

    names! {
        TUS_RESUMABLE = "tus-resumable",
        TUS_VERSION = "tus-version",
        TUS_EXTENSION = "tus-extension",
        TUS_MAX_SIZE = "tus-max-size",
        TUS_CHECKSUM_ALGORITHM = "tus-checksum-algorithm",
        UPLOAD_LENGTH = "upload-length",
        UPLOAD_OFFSET = "upload-offset",
        UPLOAD_METADATA = "upload-metadata",
        UPLOAD_CHECKSUM = "upload-checksum",
        UPLOAD_EXPIRES = "upload-expires",
        UPLOAD_DEFER_LENGTH = "upload-defer-length",
        UPLOAD_CONCAT = "upload-concat",
        METHOD_OVERRIDE = "x-http-method-override",
        RINGWIRE_MEDIA = "ringwire-media",
    }
}

fn bad(code: &'static str, what: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, what)
}

/// A header's text, where it is there.
///
/// # Errors
/// Where it is no text.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let value = headers.get(name).map(|value| value.to_str());
    value.transpose().map_err(|_| bad("bad_header", format!("{name} is not plain text; send ASCII")))
}

/// A header that is a number.
///
/// # Errors
/// Where it is none, or is missing.
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Problem> {
    let text = text(headers, name)?.ok_or_else(|| bad("missing_header", format!("{name} is missing")))?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| bad("bad_header", format!("{name} is no number of bytes: \"{}\"", shown(text))))
}

/// A stranger's text, short enough to be repeated.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// Whether the request speaks our version.
///
/// # Errors
/// 412 with the version that we speak, as the protocol asks for.
pub fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    match text(headers, &names::TUS_RESUMABLE)? {
        Some(VERSION) => Ok(()),
        other => {
            let said = other.map_or("none".to_owned(), shown);
            let what = format!("Tus-Resumable has to be {VERSION}, and is {said}");
            let version = http::HeaderValue::from_static(VERSION);
            Err(Problem::new(StatusCode::PRECONDITION_FAILED, "tus_version", what)
                .with(names::TUS_VERSION, version))
        }
    }
}

/// What a client says of an upload before it begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Announced {
    /// For whom.
    pub conversation: ConversationId,
    /// Its file's name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its hash, where the client knows it beforehand.
    pub hash: Option<ObjectId>,
}

/// Reads `Upload-Metadata`: pairs of a key and a value in Base64, with commas between them. Keys that are not
/// known are the application's business and are not kept.
///
/// # Errors
/// What is missing or cannot be used.
pub fn metadata(text: &str) -> Result<Announced, Problem> {
    let fault = |what: String| bad("bad_metadata", format!("Upload-Metadata: {what}"));
    if text.len() > MEDIA_METADATA_BYTES_MAX {
        return Err(fault(format!("{} bytes, of at most {MEDIA_METADATA_BYTES_MAX}", text.len())));
    }
    let mut values: HashMap<&str, String> = HashMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
        let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let value = decoded.ok_or_else(|| fault(format!("{} is not UTF-8 in Base64", shown(key))))?;
        if values.insert(key, value).is_some() {
            return Err(fault(format!("{} is there twice", shown(key))));
        }
    }
    let conversation = match (values.get("conversation"), values.get("conversation-id")) {
        (Some(name), None) if !name.is_empty() && name.len() <= NAME_BYTES_MAX => {
            ConversationId::from_name(name)
        }
        (None, Some(id)) => id.parse().map_err(|error| fault(format!("conversation-id: {error}")))?,
        _ => {
            return Err(fault(
                "say for which conversation: its name as conversation, or its id as conversation-id".into(),
            ));
        }
    };
    let missing = |key: &str| fault(format!("{key} is missing"));
    let file = values.remove("filename").ok_or_else(|| missing("filename"))?;
    name::check(&file).map_err(|error| bad("bad_name", format!("filename: {error}")))?;
    let kind = values.remove("filetype").ok_or_else(|| missing("filetype"))?.to_ascii_lowercase();
    if !kind::is_type(&kind) {
        return Err(fault(format!("filetype \"{}\" is not of the form image/png", shown(&kind))));
    }
    let hash = values.get("blake3").map(|text| text.parse()).transpose();
    let hash = hash.map_err(|error| fault(format!("blake3: {error}")))?;
    Ok(Announced { conversation, name: file, kind, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
        pairs.join(",")
    }

    const GOOD: [(&str, &str); 3] =
        [("conversation", "lobby"), ("filename", "cat.png"), ("filetype", "image/png")];

    #[test]
    fn metadata_is_read_whatever_its_order_and_company() {
        let mut pairs = GOOD.to_vec();
        pairs.reverse();
        pairs.push(("is_draft", ""));
        let announced = metadata(&line(&pairs)).expect("good");
        assert_eq!(announced.conversation, ConversationId::from_name("lobby"));
        assert_eq!((&*announced.name, &*announced.kind, announced.hash), ("cat.png", "image/png", None));
        let id = ConversationId::from_name("lobby").to_string();
        let hash = ObjectId::from(blake3::hash(b"x"));
        let by_id = [("conversation-id", &*id), GOOD[1], GOOD[2], ("blake3", &hash.to_string())];
        assert_eq!(metadata(&line(&by_id)).expect("good"), Announced { hash: Some(hash), ..announced });
    }

    #[test]
    fn what_is_missing_or_bad_is_named() {
        let long = "x".repeat(MEDIA_METADATA_BYTES_MAX + 1);
        for (text, code, word) in [
            (String::new(), "bad_metadata", "conversation"),
            (line(&GOOD[1..]), "bad_metadata", "conversation"),
            (line(&[GOOD[0], GOOD[2]]), "bad_metadata", "filename"),
            (line(&GOOD[..2]), "bad_metadata", "filetype"),
            (line(&[GOOD[0], ("filename", "../x"), GOOD[2]]), "bad_name", "path"),
            (line(&[GOOD[0], GOOD[1], ("filetype", "png")]), "bad_metadata", "image/png"),
            (line(&[GOOD[0], GOOD[1], GOOD[2], GOOD[0]]), "bad_metadata", "twice"),
            (line(&[GOOD[0], GOOD[1], GOOD[2], ("blake3", "12")]), "bad_metadata", "64"),
            ("filename %%%".to_owned(), "bad_metadata", "Base64"),
            ("filename /w==".to_owned(), "bad_metadata", "UTF-8"),
            (long, "bad_metadata", "at most"),
        ] {
            let problem = metadata(&text).expect_err("refused");
            assert!(problem.code() == code && problem.to_string().contains(word), "{text}: {problem:?}");
        }
    }

    #[test]
    fn numbers_are_digits() {
        for (text, expected) in
            [("0", Some(0)), ("12", Some(12)), ("-1", None), ("+1", None), ("1e3", None), ("", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(names::UPLOAD_LENGTH, http::HeaderValue::from_static(text));
            assert_eq!(number(&headers, &names::UPLOAD_LENGTH).ok(), expected, "{text}");
        }
        assert!(number(&HeaderMap::new(), &names::UPLOAD_LENGTH).is_err());
    }
}
