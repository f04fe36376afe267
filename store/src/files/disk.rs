//! [`Files`] on a real disk.
//!
//! One process owns a data directory: a lock on `LOCK` is held as long as the value lives, because a
//! second writer (or a late helper of a first one) would overwrite segments that are in use.

#![expect(clippy::disallowed_methods, reason = "the one place where the store touches real files")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Entry, Files, NewFile, ReadFile};
use crate::segment::{CHECKPOINT, JOURNAL};

/// Name of the lock file.
const LOCK: &str = "LOCK";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data directory {} is in use by {holder}; stop that process, or give this one another directory",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who holds it, as far as the lock file says.
        holder: String,
    },
    /// The system refused.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
}

/// A data directory on disk, locked for this process.
#[derive(Debug)]
pub struct DiskFiles {
    root: PathBuf,
    /// Files begun, to tell their temporary names apart.
    temporary: AtomicU64,
    /// Held, not read: closing it gives the lock back.
    _lock: File,
}

impl DiskFiles {
    /// Makes the directory and its folders where they are missing, and locks it.
    pub fn open(root: &Path) -> Result<Self, OpenError> {
        let at = |what, path: &Path, error| OpenError::Io { what, path: path.to_owned(), error };
        for folder in [root.to_owned(), root.join(JOURNAL), root.join(CHECKPOINT)] {
            make_folder(&folder).map_err(|error| at("make the folder", &folder, error))?;
        }
        let path = root.join(LOCK);
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut lock = lock.map_err(|error| at("open the lock file", &path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: root.to_owned(), holder: holder(&mut lock) });
            }
            Err(TryLockError::Error(error)) => return Err(at("lock", &path, error)),
        }
        let pid = format!("{}\n", std::process::id());
        let written =
            lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(pid.as_bytes()));
        written.map_err(|error| at("write the lock file", &path, error))?;
        Ok(Self { root: root.to_owned(), temporary: AtomicU64::new(0), _lock: lock })
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Makes a folder and its name durable.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// What the lock file says about who holds it.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.take(32).read_to_string(&mut text) {
        Ok(_) if text.trim().parse::<u32>().is_ok() => format!("process {}", text.trim()),
        _ => "another process".to_owned(),
    }
}

/// Makes names in a folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

impl DiskFiles {
    fn sync_folder_of(&self, name: &str) -> io::Result<()> {
        self.path(name).parent().map_or(Ok(()), sync_folder)
    }
}

impl Files for DiskFiles {
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, bytes: entry.metadata()?.len() });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(DiskFile(File::open(self.path(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        let path = self.path(name);
        // A name of its own: two shards may find the same index damaged at the same time.
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let mut temporary = path.clone().into_os_string();
        temporary.push(format!(".{number}.tmp"));
        let temporary = PathBuf::from(temporary);
        let file = BufWriter::with_capacity(1 << 18, File::create(&temporary)?);
        Ok(Box::new(NewDiskFile { file, temporary, path, published: false }))
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(name))?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn rewrite(&self, name: &str, from: u64) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(name))?;
        let bytes = file.metadata()?.len().saturating_sub(from);
        let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        file.read_exact_at(&mut buffer, from)?;
        file.write_all_at(&buffer, from)?;
        file.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))?;
        self.sync_folder_of(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))?;
        self.sync_folder_of(to)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

struct DiskFile(File);

impl ReadFile for DiskFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match self.0.read_at(&mut into[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

struct NewDiskFile {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    published: bool,
}

impl Write for NewDiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewFile for NewDiskFile {
    fn publish(mut self: Box<Self>) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.published = true;
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

impl Drop for NewDiskFile {
    fn drop(&mut self) {
        // If it cannot be removed now, the next start does it.
        if !self.published
            && let Err(error) = fs::remove_file(&self.temporary)
        {
            tracing::debug!(%error, path = %self.temporary.display(), "cannot remove a file that was given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let first = DiskFiles::open(folder.path()).unwrap();
        let refused = DiskFiles::open(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        DiskFiles::open(folder.path()).expect("the lock goes with its owner");
    }

    #[test]
    fn two_may_write_the_same_name_at_once_and_the_last_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = DiskFiles::open(folder.path()).unwrap();
        let (mut first, mut second) =
            (files.create("journal/a").unwrap(), files.create("journal/a").unwrap());
        first.write_all(b"first").unwrap();
        second.write_all(b"second").unwrap();
        first.publish().unwrap();
        assert_eq!(files.read("journal/a").unwrap(), b"first");
        second.publish().unwrap();
        assert_eq!(files.read("journal/a").unwrap(), b"second");
    }

    #[test]
    fn an_unpublished_file_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = DiskFiles::open(folder.path()).unwrap();
        files.write_atomic("journal/a", b"old").unwrap();
        let mut file = files.create("journal/a").unwrap();
        file.write_all(b"new").unwrap();
        drop(file);
        assert_eq!(files.read("journal/a").unwrap(), b"old");
        files.write_atomic("journal/a", b"newer").unwrap();
        assert_eq!(files.read("journal/a").unwrap(), b"newer");
        files.truncate("journal/a", 3).unwrap();
        assert_eq!(files.read("journal/a").unwrap(), b"new");
        files.rename("journal/a", "journal/b").unwrap();
        let names: Vec<_> = files.list("journal").unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["b"], "and leaves nothing behind");
        files.remove("journal/b").unwrap();
        assert!(files.open("journal/b").is_err());
    }
}
