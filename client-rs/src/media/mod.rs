//! Files beside messages: uploaded with resume, downloaded with ranges, named by their content.
//!
//! ```text
//!   file ─► Upload (tus 1.0.0) ─► server          Attachment ─► the body of a message of kind Media
//!   file ◄─ Media::download (ranges) ◄─ server    Attachment ◄─ Message::attachment
//! ```
//!
//! Over HTTP, and apart from the connection that messages take: a long transfer delays no message, and one goes
//! on after the other broke. Behind the feature `media`, because it brings an HTTP client.
//!
//! ```no_run
//! use ringwire_client::media::{Media, Progress};
//! use ringwire_client::{Client, Draft};
//!
//! # async fn send(client: Client, mut room: ringwire_client::Conversation) -> Result<(), Box<dyn std::error::Error>> {
//! let media = Media::new("http://127.0.0.1:7401/v1/media", "dev:ada")?;
//! let mut upload = media.upload(room.id(), "cat.png".as_ref(), "image/png").await?;
//! let cat = upload.finish(|Progress { bytes, of }| println!("{bytes} of {of}")).await?;
//! room.publish(cat.draft()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Absent: which file is what type (the application knows), and where it may be saved (so does it).

mod attachment;
mod download;
mod error;
mod http;
mod upload;

use std::sync::{Arc, RwLock};

pub use attachment::{Attachment, ObjectName};
pub use error::{MediaError, Problem};
pub use upload::Upload;

/// How far a transfer is, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// So many are there.
    pub bytes: u64,
    /// Of so many.
    pub of: u64,
}

/// The media of a server. Clones are cheap and mean the same.
#[derive(Clone, Debug)]
pub struct Media {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: reqwest::Url,
    token: Arc<RwLock<String>>,
}

impl Media {
    /// The media of the server at `url`, as in `http://127.0.0.1:7401/v1/media`, for the user of `token`.
    ///
    /// # Errors
    /// Where the URL cannot be used.
    pub fn new(url: &str, token: impl Into<String>) -> Result<Self, MediaError> {
        let mut base: reqwest::Url =
            url.parse().map_err(|error| MediaError::Url(format!("{url:?} is no URL: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(MediaError::Url(format!(
                "{url:?} is no address of media: write it as http://host:7401/v1/media"
            )));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        Ok(Media { http: http::client(None)?, base, token: Arc::new(RwLock::new(token.into())) })
    }

    /// The media of the server whose messages are at `url`: beside it on the plane's port, 7401, where `url` names a
    /// port, else behind the same proxy. Encrypted where `url` is.
    ///
    /// # Errors
    /// Where the URL cannot be used.
    pub fn beside(url: &str, token: impl Into<String>) -> Result<Self, MediaError> {
        let (scheme, rest) = match url.split_once("://") {
            Some(("ws", rest)) => ("http", rest),
            Some(("wss" | "quic" | "ringwire", rest)) => ("https", rest),
            _ => {
                return Err(MediaError::Url(format!(
                    "{url:?} is no address of a server; it begins with ws://, wss://, quic:// or ringwire://"
                )));
            }
        };
        let mut media: reqwest::Url = format!("{scheme}://{rest}")
            .parse()
            .map_err(|error| MediaError::Url(format!("{url:?} is no URL: {error}")))?;
        if media.port().is_some() {
            let changed = media.set_port(Some(PLANE_PORT));
            changed.map_err(|()| MediaError::Url(format!("{url:?} has no host")))?;
        }
        media.set_path("/v1/media");
        media.set_query(None);
        Self::new(media.as_str(), token)
    }

    /// Believes the server whose certificate has this SHA-256, and no other, whoever signed it: as
    /// [`Builder::pin_certificate`](crate::Builder::pin_certificate) does it for messages.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn pin_certificate(self, sha256: [u8; 32]) -> Result<Self, MediaError> {
        Ok(Media { http: http::client(Some(sha256))?, ..self })
    }

    /// Shows another token from now on, of the same user.
    pub fn set_token(&self, token: impl Into<String>) {
        // Nothing panics while it is held.
        *self.token.write().unwrap_or_else(std::sync::PoisonError::into_inner) = token.into();
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.base.as_str()
    }
}

/// The plane's port where nothing else is said.
const PLANE_PORT: u16 = 7401;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_found_beside_messages() {
        for (url, expected) in [
            ("ws://127.0.0.1:7400/v1/ws", "http://127.0.0.1:7401/v1/media"),
            ("ws://[::1]:1/v1/ws?x", "http://[::1]:7401/v1/media"),
            ("wss://chat.example/v1/ws", "https://chat.example/v1/media"),
            ("quic://chat.example:7400", "https://chat.example:7401/v1/media"),
            ("ringwire://127.0.0.1:7400", "https://127.0.0.1:7401/v1/media"),
        ] {
            assert_eq!(Media::beside(url, "t").expect("a URL").url(), expected);
        }
        for url in ["http://x/", "nonsense", "ws://"] {
            assert!(Media::beside(url, "t").is_err(), "{url}");
        }
        assert_eq!(Media::new("http://h/v1/media/", "t").expect("a URL").url(), "http://h/v1/media");
        assert!(Media::new("ws://h/v1/media", "t").is_err());
    }
}
