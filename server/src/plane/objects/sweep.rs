//! Cleaning up: uploads past their time, references past their retention, objects that nobody refers to.
//!
//! The store is looked at in 256 pieces, by the first two digits of the hash, spread over `media.sweep`. Each
//! step is safe by itself, and nothing is remembered between them: a killed process begins again, anywhere.

use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::Media;
use super::hash::ObjectId;
use super::store::{modified_ms, next};
use crate::limits::MEDIA_SWEEP_REMEMBERED;

/// Pieces of a round.
const PIECES: u32 = 256;

/// Age from which a half-written file of the local store is nobody's any more.
const STAGED_AGE: Duration = Duration::from_secs(24 * 3600);

/// What a piece removed.
#[derive(Default)]
struct Removed {
    references: u64,
    objects: u64,
}

/// Cleans up for ever.
pub(super) async fn run(media: Rc<Media>) {
    let pause = media.config.sweep / PIECES;
    let mut removed = Removed::default();
    // Somewhere, so that a process that never lives for a whole round gets everywhere in the end.
    let mut first = [0];
    if getrandom::fill(&mut first).is_err() {
        tracing::debug!("no random number; the round begins at its beginning");
    }
    loop {
        for step in 0..PIECES {
            let piece = (step + u32::from(first[0])) % PIECES;
            tokio::time::sleep(pause).await;
            let expired = media.spool.expire((media.now_ms)()).await;
            if expired > 0 {
                tracing::info!(expired, "gave up media uploads that were not finished in time");
            }
            if let Err(error) = media.sweep(&format!("{piece:02x}"), &mut removed).await {
                tracing::warn!(%error, piece, "media were not cleaned up; the next round tries again");
            }
        }
        let Removed { references, objects } = std::mem::take(&mut removed);
        if references + objects > 0 {
            tracing::info!(references, objects, "removed media past their retention");
        }
    }
}

impl Media {
    /// One piece: first the references, then what has none.
    async fn sweep(&self, digits: &str, removed: &mut Removed) -> object_store::Result<()> {
        let retention = u64::try_from(self.config.retention.as_millis()).unwrap_or(u64::MAX);
        let before_ms = (self.now_ms)().saturating_sub(retention);
        let mut referred: HashSet<ObjectId> = HashSet::new();
        let mut references = self.store.references(digits);
        while let Some(reference) = next(&mut references).await {
            let reference = reference?;
            if modified_ms(&reference) < before_ms {
                removed.references +=
                    u64::from(self.store.expire_reference(&reference.location, before_ms).await?);
            } else if referred.len() < MEDIA_SWEEP_REMEMBERED {
                let folder = reference.location.parts().nth_back(1);
                referred.extend(folder.and_then(|name| name.as_ref().parse::<ObjectId>().ok()));
            }
        }
        let mut contents = self.store.contents(digits);
        while let Some(content) = next(&mut contents).await {
            let content = content?;
            let id = content.location.filename().and_then(|name| name.parse().ok());
            // What has another name is not ours.
            if let Some(id) = id.filter(|id| !referred.contains(id)) {
                removed.objects += u64::from(self.store.remove_unreferenced(id).await?);
            }
        }
        if let Some(folder) = self.store.folder() {
            let folders = ["objects", "references"].map(|kind| folder.join(kind).join(digits));
            let work = move || folders.iter().for_each(|folder| remove_staged(folder));
            // Where that panics, the folder is looked at in the next round.
            let _ = tokio::task::spawn_blocking(work).await;
        }
        Ok(())
    }
}

/// Removes what a killed process has left half-written: the local store writes to `NAME#N` and renames.
fn remove_staged(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            remove_staged(&path);
            continue;
        }
        let is_staged = path.file_name().is_some_and(|name| name.to_string_lossy().contains('#'));
        let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
        let is_old = modified
            .is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > STAGED_AGE));
        if is_staged && is_old && std::fs::remove_file(&path).is_err() {
            tracing::warn!(path = %path.display(), "a half-written file cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_written_files_go_when_they_are_old() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = SystemTime::now() - 2 * STAGED_AGE;
        for (name, time) in [("abc#1", old), ("abc#2", SystemTime::now()), ("abc", old)] {
            let file = std::fs::File::create(folder.path().join(name)).expect("disk");
            file.set_modified(time).expect("settable");
        }
        remove_staged(folder.path());
        remove_staged(&folder.path().join("none"));
        let mut left: Vec<_> =
            std::fs::read_dir(folder.path()).expect("there").map(|e| e.expect("one").file_name()).collect();
        left.sort();
        assert_eq!(left, ["abc", "abc#2"]);
    }
}
