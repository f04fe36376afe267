//! Uploads under way: a file and a note for each, in a folder of their own.
//!
//! ```text
//!   ID.json     what was announced, and the object it became        written to ID.json.new, then renamed
//!   ID.part     the bytes so far; their number is the offset        gone once the object is stored
//!   ID.checked  the offset before bytes whose checksum is not known yet
//! ```
//!
//! Owner: the plane; it lives as long as the process, and the folder longer: after kill -9 an upload goes on
//! where its file ends. An upload has one writer at a time, by its turn.
//!
//! Invariants: announced bytes of all uploads never exceed `bytes_max`; an acknowledged offset is synced; nothing
//! here is an object.
//!
//! Absent: HTTP, and what becomes of a finished upload.

mod upload;
mod writer;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::hash::ObjectId;
use crate::limits::{MEDIA_UPLOAD_BYTES_MIN, MEDIA_UPLOADS_MAX};
pub use upload::{About, Upload, UploadId};
pub use writer::Writer;

#[derive(Serialize, Deserialize)]
struct Note {
    about: About,
    object: Option<ObjectId>,
}

/// Why an upload is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The user has as many under way as he may have.
    User,
    /// There is no place for so many bytes, or for one more upload.
    Spool,
}

/// All uploads under way.
pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    uploads_per_user: usize,
    uploads: RefCell<HashMap<UploadId, Rc<Upload>>>,
}

/// What was found in the folder; it is still to be taken to the plane's thread.
pub struct Recovered {
    folder: PathBuf,
    uploads: Vec<Upload>,
}

impl Recovered {
    /// Takes up what is in the folder. What belongs to no upload is removed.
    ///
    /// # Errors
    /// Where the folder cannot be read or written.
    pub fn read(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (mut uploads, mut others) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match id_of(&path).filter(|_| has_ending(&path, "json")).and_then(|id| recover(folder, id)) {
                Some(upload) => uploads.push(upload),
                None => others.push(path),
            }
        }
        let open: HashSet<UploadId> =
            uploads.iter().filter(|upload| upload.object().is_none()).map(|upload| upload.id).collect();
        for path in others {
            if !(has_ending(&path, "part") && id_of(&path).is_some_and(|id| open.contains(&id))) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(Recovered { folder: folder.to_owned(), uploads })
    }
}

fn id_of(path: &Path) -> Option<UploadId> {
    path.file_stem().and_then(|stem| stem.to_str()).and_then(UploadId::parse)
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension == ending)
}

impl Spool {
    /// Goes on with what was found.
    pub fn new(found: Recovered, bytes_max: u64, uploads_per_user: usize) -> Self {
        let uploads = found.uploads.into_iter().map(|upload| (upload.id, Rc::new(upload))).collect();
        Spool { folder: found.folder, bytes_max, uploads_per_user, uploads: RefCell::new(uploads) }
    }

    /// The upload of a name.
    pub fn get(&self, id: UploadId) -> Option<Rc<Upload>> {
        self.uploads.borrow().get(&id).cloned()
    }

    /// Uploads under way, and the bytes announced of them.
    pub fn level(&self) -> (usize, u64) {
        let uploads = self.uploads.borrow();
        let open = uploads.values().filter(|upload| upload.object().is_none());
        open.fold((0, 0), |(count, bytes), upload| (count + 1, bytes + cost(&upload.about)))
    }

    /// Gives an upload its place, and its file.
    ///
    /// # Errors
    /// `Ok(Err)` where there is no place, `Err` where the disk refuses.
    pub async fn create(&self, id: UploadId, about: About) -> io::Result<Result<Rc<Upload>, Full>> {
        if let Err(full) = self.admit(&about) {
            return Ok(Err(full));
        }
        let upload = Rc::new(Upload::new(id, about));
        self.uploads.borrow_mut().insert(id, Rc::clone(&upload));
        let made = async {
            tokio::fs::File::create_new(self.path(id, "part")).await?;
            self.write_note(&upload).await
        };
        match made.await {
            Ok(()) => Ok(Ok(upload)),
            Err(error) => {
                self.remove(&upload).await;
                Err(error)
            }
        }
    }

    fn admit(&self, about: &About) -> Result<(), Full> {
        let (_, bytes) = self.level();
        let mut uploads = self.uploads.borrow_mut();
        let own = |upload: &&Rc<Upload>| upload.object().is_none() && upload.about.user == about.user;
        if uploads.values().filter(own).count() >= self.uploads_per_user {
            return Err(Full::User);
        }
        if bytes.saturating_add(cost(about)) > self.bytes_max {
            return Err(Full::Spool);
        }
        if uploads.len() >= MEDIA_UPLOADS_MAX {
            // The memory of what is finished makes room; its client has had its answer, most likely.
            let finished = uploads.values().filter(|upload| upload.object().is_some());
            let oldest = finished.min_by_key(|upload| upload.about.expires_ms).map(|upload| upload.id);
            let oldest = oldest.ok_or(Full::Spool)?;
            uploads.remove(&oldest);
            // Its note is small, and forgotten at the next start if this fails.
            let _ = std::fs::remove_file(self.path(oldest, "json"));
        }
        Ok(())
    }

    /// Opens an upload's file behind its offset. The caller has the turn.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub async fn writer(&self, upload: &Rc<Upload>, is_checked: bool) -> io::Result<Writer> {
        let start = upload.offset();
        let marker = self.path(upload.id, "checked");
        if is_checked {
            tokio::fs::write(&marker, start.to_string()).await?;
        }
        let mut file = tokio::fs::File::options().write(true).open(self.path(upload.id, "part")).await?;
        // What an earlier request left behind its offset is not part of the upload.
        file.set_len(start).await?;
        file.seek(io::SeekFrom::Start(start)).await?;
        let marker = is_checked.then_some(marker);
        Ok(Writer { file, upload: Rc::clone(upload), marker, start, written: start })
    }

    /// Where an upload's bytes are.
    pub fn bytes_of(&self, upload: &Upload) -> PathBuf {
        self.path(upload.id, "part")
    }

    /// Notes that an upload has become an object; its bytes go.
    ///
    /// # Errors
    /// Where the disk refuses; it will be found unfinished then, and finished again.
    pub async fn finish(&self, upload: &Upload, object: ObjectId) -> io::Result<()> {
        upload.object.set(Some(object));
        let noted = self.write_note(upload).await;
        if noted.is_err() {
            upload.object.set(None);
            return noted;
        }
        remove_if_there(&self.path(upload.id, "part")).await
    }

    /// Forgets an upload. What cannot be removed from the disk is removed at the next start.
    pub async fn remove(&self, upload: &Upload) {
        self.uploads.borrow_mut().remove(&upload.id);
        for ending in ["json", "part", "checked"] {
            let path = self.path(upload.id, ending);
            if let Err(error) = remove_if_there(&path).await {
                tracing::warn!(%error, path = %path.display(), "an upload that is given up stays on the disk");
            }
        }
    }

    /// Forgets what is past its time and not being written; says how many there were.
    pub async fn expire(&self, now_ms: u64) -> usize {
        let past = |upload: &&Rc<Upload>| upload.about.expires_ms <= now_ms;
        let expired: Vec<_> = self.uploads.borrow().values().filter(past).cloned().collect();
        let mut count = 0;
        for upload in expired {
            if let Ok(_turn) = upload.turn.try_lock() {
                self.remove(&upload).await;
                count += 1;
            }
        }
        count
    }

    fn path(&self, id: UploadId, ending: &str) -> PathBuf {
        self.folder.join(format!("{id}.{ending}"))
    }

    async fn write_note(&self, upload: &Upload) -> io::Result<()> {
        let note = Note { about: upload.about.clone(), object: upload.object() };
        let (path, new) = (self.path(upload.id, "json"), self.path(upload.id, "json.new"));
        let mut file = tokio::fs::File::create(&new).await?;
        file.write_all(&serde_json::to_vec(&note)?).await?;
        file.sync_all().await?;
        tokio::fs::rename(new, path).await?;
        // The name is durable with its folder.
        tokio::fs::File::open(&self.folder).await?.sync_all().await
    }
}

/// What an upload takes of the spool: an empty one is not free.
fn cost(about: &About) -> u64 {
    about.length.max(MEDIA_UPLOAD_BYTES_MIN)
}

async fn remove_if_there(path: &Path) -> io::Result<()> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An upload as the folder has it; `None` where it cannot go on.
fn recover(folder: &Path, id: UploadId) -> Option<Upload> {
    let read = |ending: &str| std::fs::read(folder.join(format!("{id}.{ending}")));
    let note: Note = serde_json::from_slice(&read("json").ok()?).ok()?;
    let upload = Upload::new(id, note.about);
    upload.object.set(note.object);
    if note.object.is_some() {
        upload.offset.set(upload.about.length);
        return Some(upload);
    }
    let part = folder.join(format!("{id}.part"));
    let mut offset = std::fs::metadata(&part).ok()?.len();
    if let Ok(marker) = read("checked") {
        // Bytes that nobody has checked are as if they had not come. The marker goes, so they go first.
        let checked: Option<u64> = std::str::from_utf8(&marker).ok().and_then(|text| text.parse().ok());
        offset = offset.min(checked.unwrap_or(0));
        std::fs::File::options().write(true).open(&part).ok()?.set_len(offset).ok()?;
    }
    upload.offset.set(offset);
    (offset <= upload.about.length).then_some(upload)
}
