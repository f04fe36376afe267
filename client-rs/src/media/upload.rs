//! An upload (tus 1.0.0): announced, sent in pieces that grow with the connection, resumed wherever it broke.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Response};
use ringwire_protocol::ConversationId;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;

use super::error::MediaError;
use super::http::{Tries, number, send, text};
use super::{Attachment, Media, ObjectName, Progress};
use crate::limits::{MEDIA_PIECE_BYTES_MAX, MEDIA_PIECE_BYTES_MIN};

/// A piece that takes less time may be followed by a larger one, one that takes more by a smaller one.
const PIECE_TIMES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// An upload under way. Dropped, it can be resumed by its location, until the server gives it up.
#[derive(Debug)]
pub struct Upload {
    media: Media,
    location: String,
    path: PathBuf,
    about: Attachment,
    offset: u64,
    piece: usize,
}

impl Media {
    /// Announces the file at `path` to a conversation as of that type. The file is read once, to be named.
    ///
    /// # Errors
    /// The file cannot be read, or the server refuses it.
    pub async fn upload(
        &self,
        conversation: ConversationId,
        path: &Path,
        kind: &str,
    ) -> Result<Upload, MediaError> {
        let about = describe(path, kind).await?;
        let pairs = [
            ("conversation-id", conversation.to_string()),
            ("filename", about.name.clone()),
            ("filetype", about.kind.clone()),
            ("blake3", about.media.to_string()),
        ];
        let pairs = pairs.map(|(key, value)| format!("{key} {}", STANDARD.encode(value)));
        let request = self
            .request(Method::POST, "uploads")?
            .header("tus-resumable", "1.0.0")
            .header("upload-length", about.bytes)
            .header("upload-metadata", pairs.join(","));
        let response = send(request).await?;
        let location = text(&response, "location").map(path_of);
        let location = location.ok_or(MediaError::Contradiction("a new upload has no location"))?;
        let path = path.to_owned();
        Ok(Upload { media: self.clone(), location, path, about, offset: 0, piece: MEDIA_PIECE_BYTES_MIN })
    }

    /// Goes on with an upload of the same file, by the location that [`Upload::location`] gave.
    ///
    /// # Errors
    /// The file cannot be read or is another one, or the server does not have the upload any more.
    pub async fn resume(&self, location: &str, path: &Path, kind: &str) -> Result<Upload, MediaError> {
        let about = describe(path, kind).await?;
        let location = path_of(location);
        let path = path.to_owned();
        let mut upload =
            Upload { media: self.clone(), location, path, about, offset: 0, piece: MEDIA_PIECE_BYTES_MIN };
        let response = upload.ask_offset().await?;
        if number(&response, "upload-length") != Some(upload.about.bytes) {
            return Err(MediaError::Changed);
        }
        Ok(upload)
    }
}

/// The server says a path; where a proxy made a URL of it, its path.
fn path_of(location: &str) -> String {
    match location.parse::<reqwest::Url>() {
        Ok(url) => url.path().to_owned(),
        Err(_) => location.to_owned(),
    }
}

async fn describe(path: &Path, kind: &str) -> Result<Attachment, MediaError> {
    let fault = || MediaError::file(format!("cannot read {}", path.display()));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file").to_owned();
    let mut file = File::open(path).await.map_err(fault())?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; MEDIA_PIECE_BYTES_MIN];
    let mut bytes = 0;
    loop {
        let length = file.read(&mut chunk).await.map_err(fault())?;
        if length == 0 {
            break;
        }
        hasher.update(&chunk[..length]);
        bytes += length as u64;
    }
    Ok(Attachment { media: ObjectName::new(hasher.finalize()), kind: kind.to_owned(), bytes, name })
}

impl Upload {
    /// Where it goes on, also after this process has ended: see [`Media::resume`].
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Sends what is missing and waits until the server has stored it. What breaks is taken up again; where nothing moves
    /// for several tries in a row it is given up, and can still be resumed.
    ///
    /// # Errors
    /// The server refuses, the file has changed, or the network does not come back.
    pub async fn finish(&mut self, mut progress: impl FnMut(Progress)) -> Result<Attachment, MediaError> {
        let mut file = File::open(&self.path).await.map_err(self.fault())?;
        let of = self.about.bytes;
        let mut tries = Tries::new();
        // Whether the server has said where it stands since something failed.
        let mut is_certain = true;
        loop {
            progress(Progress { bytes: self.offset, of });
            let before = self.offset;
            let step = match is_certain && before < of {
                true => self.send_piece(&mut file).await,
                false => self.ask_offset().await,
            };
            match step {
                Ok(answer) => {
                    is_certain = true;
                    if self.offset == of {
                        progress(Progress { bytes: of, of });
                        return self.judge(&answer);
                    }
                    if self.offset > before {
                        tries = Tries::new();
                    }
                }
                Err(error) => {
                    is_certain = false;
                    tries.wait_after(error).await?;
                }
            }
        }
    }

    fn fault(&self) -> impl FnOnce(std::io::Error) -> MediaError + use<> {
        MediaError::file(format!("cannot read {}", self.path.display()))
    }

    async fn send_piece(&mut self, file: &mut File) -> Result<Response, MediaError> {
        let left = usize::try_from(self.about.bytes - self.offset).unwrap_or(usize::MAX);
        let mut piece = vec![0; left.min(self.piece)];
        file.seek(SeekFrom::Start(self.offset)).await.map_err(self.fault())?;
        match file.read_exact(&mut piece).await {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(MediaError::Changed);
            }
            read => read.map_err(self.fault())?,
        };
        let checksum = STANDARD.encode(blake3::hash(&piece).as_bytes());
        let request = self
            .media
            .request(Method::PATCH, &self.location)?
            .header("tus-resumable", "1.0.0")
            .header("upload-offset", self.offset)
            .header("upload-checksum", format!("blake3 {checksum}"))
            .header("content-type", "application/offset+octet-stream")
            .body(piece);
        let began = Instant::now();
        let result = send(request).await;
        let (short, long) = PIECE_TIMES;
        let took = began.elapsed();
        if result.is_ok() && took < short {
            self.piece = (self.piece * 2).min(MEDIA_PIECE_BYTES_MAX);
        } else if result.is_err() || took > long {
            self.piece = (self.piece / 2).max(MEDIA_PIECE_BYTES_MIN);
        }
        self.take_offset(result?)
    }

    async fn ask_offset(&mut self) -> Result<Response, MediaError> {
        let request = self.media.request(Method::HEAD, &self.location)?.header("tus-resumable", "1.0.0");
        let response = send(request).await?;
        self.take_offset(response)
    }

    fn take_offset(&mut self, response: Response) -> Result<Response, MediaError> {
        match number(&response, "upload-offset") {
            Some(offset) if offset <= self.about.bytes => {
                self.offset = offset;
                Ok(response)
            }
            Some(_) => Err(MediaError::Changed),
            None => Err(MediaError::Contradiction("an upload has no offset")),
        }
    }

    /// Whether what was stored is what was meant.
    fn judge(&self, response: &Response) -> Result<Attachment, MediaError> {
        match text(response, "ringwire-media").map(str::parse::<ObjectName>) {
            Some(Ok(name)) if name == self.about.media => Ok(self.about.clone()),
            Some(Ok(_)) => Err(MediaError::Changed),
            _ => Err(MediaError::Contradiction("an upload is whole and has not become an object")),
        }
    }
}
