//! Where objects are kept: a local folder, or S3 and what is compatible with it.
//!
//! ```text
//!   objects/HH/HASH                      the content; HH are the first two digits of its hash
//!   references/HH/HASH/CONVERSATION      that its members may read it, with its type and name there
//! ```
//!
//! An object without a reference is nobody's and goes; a reference is written after its content and removed
//! before it. All is in the store itself, so there is nothing to recover after a crash.
//!
//! Invariants: an object is whole or not there; one process at a time writes below one prefix.
//!
//! Absent: who may read, and how long a reference lasts.

use std::future::poll_fn;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload,
    RetryConfig,
};
use ringwire_protocol::id::ConversationId;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use super::hash::ObjectId;
use crate::config::media::{Place, S3};
use crate::limits::{MEDIA_CHUNK_BYTES, MEDIA_PART_BYTES, MEDIA_STORING_MAX};

/// Times that a content is written again because a sweep took it away between two steps.
const PUT_TRIES: usize = 3;

/// How long one step of the store may take: a request, or a part.
const STEP_PATIENCE: Duration = Duration::from_secs(60);

/// Waits for one step.
async fn step<T>(work: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
    match tokio::time::timeout(STEP_PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(generic("store", format!("it does not answer in {STEP_PATIENCE:?}"))),
    }
}

/// What a conversation knows of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its type there.
    pub kind: String,
    /// Its file's name there.
    pub name: String,
    /// Its length.
    pub length: u64,
    /// Who uploaded it there, as text.
    pub user: String,
    /// When, milliseconds since 1970.
    pub uploaded_ms: u64,
}

/// The store.
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    /// Between looking whether an object is referred to and acting on it.
    deciding: tokio::sync::Mutex<()>,
    /// Contents on their way in; each takes a part's memory.
    storing: tokio::sync::Semaphore,
}

/// A piece of content after the other.
pub enum Content {
    /// Of a local file, so many bytes of it.
    File(tokio::fs::File, u64),
    /// From elsewhere.
    Stream(Pin<Box<dyn Stream<Item = object_store::Result<Bytes>> + Send>>),
}

impl Store {
    /// Opens the store that is configured.
    ///
    /// # Errors
    /// Where the folder cannot be made, or the settings make no store.
    pub fn open(place: &Place) -> object_store::Result<Self> {
        let (objects, prefix, folder): (Arc<dyn ObjectStore>, _, _) = match place {
            Place::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| generic("local", error))?;
                // What is acknowledged is on the disk, here as in the journal.
                let local =
                    LocalFileSystem::new_with_prefix(folder)?.with_fsync(true).with_automatic_cleanup(true);
                (Arc::new(local), Path::default(), Some(folder.clone()))
            }
            Place::S3(s3) => (Arc::new(s3_store(s3)?), Path::parse(&s3.prefix)?, None),
        };
        Ok(Store {
            objects,
            prefix,
            folder,
            deciding: tokio::sync::Mutex::new(()),
            storing: tokio::sync::Semaphore::new(MEDIA_STORING_MAX),
        })
    }

    fn content_path(&self, id: ObjectId) -> Path {
        let name = id.to_string();
        self.prefix.clone().join("objects").join(&name[..2]).join(name)
    }

    fn references_path(&self, id: ObjectId) -> Path {
        let name = id.to_string();
        self.prefix.clone().join("references").join(&name[..2]).join(name)
    }

    fn reference_path(&self, id: ObjectId, conversation: ConversationId) -> Path {
        self.references_path(id).join(conversation.to_string())
    }

    /// Stores a file's content, where it is not stored yet, and refers to it.
    ///
    /// # Errors
    /// Where the store refuses; then nothing refers to it.
    pub async fn put(
        &self,
        file: &FilePath,
        id: ObjectId,
        conversation: ConversationId,
        reference: &Reference,
    ) -> object_store::Result<()> {
        let path = self.content_path(id);
        let payload = serde_json::to_vec(reference).map_err(|error| generic("reference", error))?;
        for _ in 0..PUT_TRIES {
            if !self.has(&path, reference.length).await? {
                self.put_content(file, &path, reference.length).await?;
            }
            let _deciding = self.deciding.lock().await;
            if self.has(&path, reference.length).await? {
                let at = self.reference_path(id, conversation);
                return step(self.objects.put(&at, PutPayload::from(payload))).await.map(drop);
            }
        }
        Err(generic("content", "it vanishes as soon as it is written; does another process clean up here?"))
    }

    async fn has(&self, path: &Path, length: u64) -> object_store::Result<bool> {
        match step(self.objects.head(path)).await {
            Ok(meta) => Ok(meta.size == length),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// In one piece where it fits one, else in parts, so that memory does not grow with it.
    async fn put_content(&self, file: &FilePath, path: &Path, length: u64) -> object_store::Result<()> {
        let _place = self.storing.acquire().await.map_err(|error| generic("content", error))?;
        let mut file = tokio::fs::File::open(file).await.map_err(|error| generic("spool", error))?;
        if length <= MEDIA_PART_BYTES {
            let content = read_part(&mut file, length).await?;
            return step(self.objects.put(path, content.into())).await.map(drop);
        }
        let mut upload = step(self.objects.put_multipart(path)).await?;
        let mut left = length;
        let parts = async {
            while left > 0 {
                let part = read_part(&mut file, left.min(MEDIA_PART_BYTES)).await?;
                left -= part.len() as u64;
                step(upload.put_part(part.into())).await?;
            }
            step(upload.complete()).await.map(drop)
        };
        let stored = parts.await;
        if stored.is_err() {
            // What stays behind of it is the store's to clean up; the first error says more.
            let _ = step(upload.abort()).await;
        }
        stored
    }

    /// What a conversation knows of an object; `None`: nothing.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn reference(
        &self,
        id: ObjectId,
        conversation: ConversationId,
    ) -> object_store::Result<Option<Reference>> {
        let path = self.reference_path(id, conversation);
        let read = step(async { self.objects.get(&path).await?.bytes().await });
        let bytes = match read.await {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| generic("reference", error))
    }

    /// Reads a part of an object, piece by piece.
    ///
    /// # Errors
    /// Where the store does not answer, or has no such object.
    pub async fn read(&self, id: ObjectId, range: std::ops::Range<u64>) -> object_store::Result<Content> {
        let length = range.end - range.start;
        let mut options = GetOptions::default();
        if length > 0 {
            options.range = Some(range.clone().into());
        }
        let path = self.content_path(id);
        let result = step(self.objects.get_opts(&path, options)).await?;
        match result.payload {
            GetResultPayload::File(file, _) => {
                let mut file = tokio::fs::File::from_std(file);
                let start = io::SeekFrom::Start(range.start);
                tokio::io::AsyncSeekExt::seek(&mut file, start).await.map_err(|e| generic("local", e))?;
                Ok(Content::File(file, length))
            }
            GetResultPayload::Stream(stream) => Ok(Content::Stream(stream)),
        }
    }

    /// Takes an object from a conversation. The content goes with a later sweep.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn remove_reference(
        &self,
        id: ObjectId,
        conversation: ConversationId,
    ) -> object_store::Result<()> {
        let _deciding = self.deciding.lock().await;
        gone(step(self.objects.delete(&self.reference_path(id, conversation))).await)
    }

    /// Removes a reference that [`Self::references`] listed, unless it has become younger since.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn expire_reference(&self, path: &Path, before_ms: u64) -> object_store::Result<bool> {
        let _deciding = self.deciding.lock().await;
        match step(self.objects.head(path)).await {
            Ok(meta) if modified_ms(&meta) < before_ms => {
                gone(step(self.objects.delete(path)).await).map(|()| true)
            }
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes an object if nobody refers to it.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn remove_unreferenced(&self, id: ObjectId) -> object_store::Result<bool> {
        let _deciding = self.deciding.lock().await;
        let mut references = self.objects.list(Some(&self.references_path(id)));
        match step(async { next(&mut references).await.transpose() }).await? {
            Some(_) => Ok(false),
            None => gone(step(self.objects.delete(&self.content_path(id))).await).map(|()| true),
        }
    }

    /// All references to objects whose hash begins with two digits.
    pub fn references(&self, digits: &str) -> Listing {
        self.objects.list(Some(&self.prefix.clone().join("references").join(digits)))
    }

    /// All objects whose hash begins with two digits.
    pub fn contents(&self, digits: &str) -> Listing {
        self.objects.list(Some(&self.prefix.clone().join("objects").join(digits)))
    }

    /// The folder, where it is one.
    pub fn folder(&self) -> Option<&FilePath> {
        self.folder.as_deref()
    }
}

/// What a listing yields, one by one.
pub type Listing = Pin<Box<dyn Stream<Item = object_store::Result<ObjectMeta>> + Send>>;

/// The next of a stream.
pub async fn next<T>(stream: &mut Pin<Box<dyn Stream<Item = T> + Send>>) -> Option<T> {
    poll_fn(|context| stream.as_mut().poll_next(context)).await
}

/// When an object was last written, milliseconds since 1970.
pub fn modified_ms(meta: &ObjectMeta) -> u64 {
    u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0)
}

impl Content {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Where the content cannot be read to its end.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self {
            Content::File(_, 0) => None,
            Content::File(file, left) => {
                let mut piece =
                    Vec::with_capacity(usize::try_from(*left).unwrap_or(usize::MAX).min(MEDIA_CHUNK_BYTES));
                Some(match file.take(piece.capacity() as u64).read_to_end(&mut piece).await {
                    Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(length) => {
                        *left -= length as u64;
                        Ok(piece.into())
                    }
                    Err(error) => Err(error),
                })
            }
            Content::Stream(stream) => next(stream).await.map(|piece| piece.map_err(io::Error::other)),
        }
    }
}

async fn read_part(file: &mut tokio::fs::File, length: u64) -> object_store::Result<Vec<u8>> {
    let mut part = vec![0; usize::try_from(length).map_err(|error| generic("spool", error))?];
    file.read_exact(&mut part).await.map_err(|error| generic("spool", error))?;
    Ok(part)
}

fn gone(deleted: object_store::Result<()>) -> object_store::Result<()> {
    match deleted {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        other => other,
    }
}

fn generic(
    store: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> object_store::Error {
    object_store::Error::Generic { store, source: source.into() }
}

fn s3_store(s3: &S3) -> object_store::Result<impl ObjectStore + use<>> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        // Whoever uploads waits for this; he tries again himself.
        .with_retry(RetryConfig {
            max_retries: 3,
            retry_timeout: Duration::from_secs(20),
            ..Default::default()
        })
        // A content may take long; what stands still is given up by whoever reads or writes it.
        .with_client_options(
            ClientOptions::new().with_connect_timeout(Duration::from_secs(5)).with_timeout_disabled(),
        );
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some((id, secret)) = &s3.key {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    builder.build()
}
