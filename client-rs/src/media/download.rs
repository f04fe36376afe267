//! A download: into a file beside its place, resumed where it broke, and moved there when it is what was asked for.

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode, header};
use ringwire_protocol::ConversationId;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::error::MediaError;
use super::http::{Tries, send};
use super::{Media, ObjectName, Progress};
use crate::limits::MEDIA_PIECE_BYTES_MIN;

impl Media {
    /// Reads an object of a conversation, or a part of it, into memory: for previews, and for what is small.
    ///
    /// # Errors
    /// The server refuses, or the network does.
    pub async fn read(
        &self,
        conversation: ConversationId,
        object: ObjectName,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, MediaError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let request = self
            .request(Method::GET, &format!("{conversation}/{object}"))?
            .header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        let response = send(request).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(MediaError::Contradiction("a part was asked for, and something else came"));
        }
        let bytes = response.bytes().await?;
        match bytes.len() as u64 <= range.end - range.start {
            true => Ok(bytes.into()),
            false => Err(MediaError::Contradiction("more came than was asked for")),
        }
    }

    /// Saves an object of a conversation as the file `path`, which must not exist. What has come of it waits in a file
    /// beside it, with the ending `.part`, from where a later call goes on.
    ///
    /// # Errors
    /// The server refuses, the network does not come back, the file exists or cannot be written, or what came is not
    /// the object.
    pub async fn download(
        &self,
        conversation: ConversationId,
        object: ObjectName,
        path: &Path,
        mut progress: impl FnMut(Progress),
    ) -> Result<(), MediaError> {
        let part = part_of(path);
        let fault = || MediaError::file(format!("cannot write {}", part.display()));
        let exists = || MediaError::File {
            what: format!("cannot save as {}", path.display()),
            error: std::io::ErrorKind::AlreadyExists.into(),
        };
        if tokio::fs::try_exists(path).await.map_err(fault())? {
            return Err(exists());
        }
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(&part).await.map_err(fault())?;
        let mut hasher = blake3::Hasher::new();
        let mut bytes = take_up(&mut file, &mut hasher).await.map_err(fault())?;
        let mut tries = Tries::new();
        loop {
            let before = bytes;
            let fetch = Fetch { media: self, conversation, object };
            match fetch.rest(&mut file, &mut hasher, &mut bytes, &mut progress).await {
                Ok(()) => break,
                Err(MediaError::Refused(problem)) if problem.status == 416 && bytes > 0 => {
                    // All of it was there before, or what was there is not it: the hash knows.
                    break;
                }
                Err(error) => {
                    if bytes > before {
                        tries = Tries::new();
                    }
                    tries.wait_after(error).await?;
                }
            }
        }
        if ObjectName::new(hasher.finalize()) != object {
            tokio::fs::remove_file(&part).await.map_err(fault())?;
            return Err(MediaError::Corrupt);
        }
        file.flush().await.map_err(fault())?;
        file.sync_all().await.map_err(fault())?;
        // A link refuses to take the place of another file, where a rename would not.
        match tokio::fs::hard_link(&part, path).await {
            Ok(()) => tokio::fs::remove_file(&part).await.map_err(fault()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists()),
            // Not every file system has links.
            Err(_) => tokio::fs::rename(&part, path).await.map_err(fault()),
        }
    }
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// Hashes what an earlier call has left.
async fn take_up(file: &mut File, hasher: &mut blake3::Hasher) -> std::io::Result<u64> {
    let mut chunk = vec![0; MEDIA_PIECE_BYTES_MIN];
    let mut bytes = 0;
    loop {
        match file.read(&mut chunk).await? {
            0 => return Ok(bytes),
            length => {
                hasher.update(&chunk[..length]);
                bytes += length as u64;
            }
        }
    }
}

struct Fetch<'a> {
    media: &'a Media,
    conversation: ConversationId,
    object: ObjectName,
}

impl Fetch<'_> {
    /// Appends what is missing, as far as it comes.
    async fn rest(
        &self,
        file: &mut File,
        hasher: &mut blake3::Hasher,
        bytes: &mut u64,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(), MediaError> {
        let fault = || MediaError::file("cannot write what was downloaded");
        let Fetch { media, conversation, object } = self;
        let mut request = media.request(Method::GET, &format!("{conversation}/{object}"))?;
        if *bytes > 0 {
            request = request
                .header(header::RANGE, format!("bytes={bytes}-"))
                .header(header::IF_RANGE, format!("\"{object}\""));
        }
        let mut response = send(request).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT && *bytes > 0 {
            // From the beginning: the server does not go on in the middle.
            *hasher = blake3::Hasher::new();
            *bytes = 0;
            file.set_len(0).await.map_err(fault())?;
        }
        file.seek(std::io::SeekFrom::Start(*bytes)).await.map_err(fault())?;
        let of = *bytes + response.content_length().unwrap_or(0);
        progress(Progress { bytes: *bytes, of });
        while let Some(chunk) = response.chunk().await? {
            file.write_all(&chunk).await.map_err(fault())?;
            hasher.update(&chunk);
            *bytes += chunk.len() as u64;
            progress(Progress { bytes: *bytes, of });
        }
        file.flush().await.map_err(fault())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_lies_beside_its_place() {
        assert_eq!(part_of("a/b.png".as_ref()), Path::new("a/b.png.part"));
    }
}
