//! A user of media sharing, in terms of HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringwire_protocol::id::ConversationId;

use crate::http::{Answer, ask};
use crate::support::{PATIENCE, Server};

pub const UPLOADS: &str = "/v1/media/uploads";

/// Somebody with a token.
pub struct User {
    pub address: SocketAddr,
    authorization: String,
}

/// What an upload is announced with.
#[derive(Clone)]
pub struct Announced<'a> {
    pub conversation: &'a str,
    pub name: &'a str,
    pub kind: &'a str,
    pub length: u64,
    pub hash: Option<String>,
}

impl<'a> Announced<'a> {
    pub fn file(conversation: &'a str, length: usize) -> Self {
        let kind = "application/octet-stream";
        Announced { conversation, name: "a file.bin", kind, length: length as u64, hash: None }
    }

    pub fn metadata(&self) -> String {
        let mut pairs =
            vec![("conversation", self.conversation), ("filename", self.name), ("filetype", self.kind)];
        if let Some(hash) = &self.hash {
            pairs.push(("blake3", hash));
        }
        let pairs: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
        pairs.join(",")
    }
}

impl User {
    /// In development mode.
    pub fn new(server: &Server, name: &str) -> User {
        User::with_token(server, &format!("dev:{name}"))
    }

    pub fn with_token(server: &Server, token: &str) -> User {
        let address = server.plane.expect("it has a plane");
        User { address, authorization: format!("Bearer {token}") }
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut all = vec![("authorization", &*self.authorization), ("tus-resumable", "1.0.0")];
        all.extend_from_slice(headers);
        ask(self.address, method, path, &all, body)
    }

    /// The headers of a request that this user writes by hand.
    pub fn headers<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut all = vec![("authorization", &*self.authorization), ("tus-resumable", "1.0.0")];
        all.extend_from_slice(more);
        all
    }

    pub fn create(&self, announced: &Announced<'_>) -> Answer {
        let length = announced.length.to_string();
        let metadata = announced.metadata();
        self.ask("POST", UPLOADS, &[("upload-length", &length), ("upload-metadata", &metadata)], b"")
    }

    /// Announces and returns the upload's path.
    pub fn begin(&self, announced: &Announced<'_>) -> String {
        let answer = self.create(announced);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").to_owned()
    }

    pub fn patch(&self, path: &str, offset: usize, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let offset = offset.to_string();
        let mut headers =
            vec![("upload-offset", &*offset), ("content-type", "application/offset+octet-stream")];
        headers.extend_from_slice(more);
        self.ask("PATCH", path, &headers, body)
    }

    pub fn offset(&self, path: &str) -> Option<u64> {
        let answer = self.ask("HEAD", path, &[], b"");
        assert!(answer.status == 200 || answer.status >= 400, "{answer:?}");
        (answer.status == 200).then(|| answer.header("upload-offset").parse().expect("a number"))
    }

    /// All of it in one request; the object's path.
    pub fn upload(&self, announced: &Announced<'_>, content: &[u8]) -> String {
        let path = self.begin(announced);
        let answer = self.patch(&path, 0, &[], content);
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("upload-offset"), content.len().to_string());
        let object = object(announced.conversation, content);
        assert_eq!(answer.header("content-location"), object);
        object
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers, b"")
    }
}

/// Where a content is to be found.
pub fn object(conversation: &str, content: &[u8]) -> String {
    format!("/v1/media/{}/{}", ConversationId::from_name(conversation), blake3::hash(content))
}

/// Bytes that compress to nothing and repeat nowhere.
pub fn content(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// How many files there are below a folder.
pub fn files(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lengths of what is under way.
pub fn parts(data: &std::path::Path) -> Vec<u64> {
    let paths = std::fs::read_dir(data.join("media-spool")).unwrap().map(|entry| entry.unwrap().path());
    let parts = paths.filter(|path| path.extension().is_some_and(|ending| ending == "part"));
    parts.filter_map(|path| Some(path.metadata().ok()?.len())).collect()
}
