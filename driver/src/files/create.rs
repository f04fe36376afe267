//! Creating a file so that it is there after a power cut: space, contents' length, directory entry.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::sys;

/// Creates `path`, which must not exist, with `bytes` reserved on the disk; all of it durable. Fails
/// without leaving the file behind.
///
/// Reserved space is what makes a later fdatasync cheap (no new length to record) and a full disk visible
/// here, not in the middle of a batch.
pub(super) fn create(path: &Path, bytes: u64) -> io::Result<File> {
    // Messages are nobody else's business.
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let settle = || {
        reserve(&file, bytes)?;
        file.sync_all()?;
        sync_directory_of(path)
    };
    match settle() {
        Ok(()) => Ok(file),
        Err(error) => {
            if let Err(left) = std::fs::remove_file(path) {
                tracing::warn!(path = %path.display(), error = %left, "a file that could not be set up stays");
            }
            Err(error)
        }
    }
}

fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match sys::fallocate(file, bytes) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => write_zeroes(file, bytes),
        result => result,
    }
}

/// For file systems that cannot reserve: the same promise, slower.
fn write_zeroes(mut file: &File, bytes: u64) -> io::Result<()> {
    let zeroes = vec![0; 256 * 1_024];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(zeroes.len() as u64) as usize;
        file.write_all(&zeroes[..part])?;
        left -= part as u64;
    }
    Ok(())
}

/// The name is in the directory, and the directory is a file of its own to sync.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroes_fill_exactly_what_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [0, 1, 256 * 1_024, 256 * 1_024 + 7] {
            let path = folder.path().join(bytes.to_string());
            let file = File::create(&path).unwrap();
            write_zeroes(&file, bytes).unwrap();
            assert_eq!(file.metadata().unwrap().len(), bytes);
        }
    }

    #[test]
    fn an_existing_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        std::fs::write(&path, "here first").unwrap();
        assert_eq!(create(&path, 4_096).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"here first");
    }

    #[test]
    fn a_file_that_cannot_be_reserved_is_removed_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        create(&path, u64::MAX).unwrap_err();
        assert!(!path.exists());
        create(&path, 8_192).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 8_192);
    }
}
