//! The queue's file: entries behind each other, each with its length and checksum.
//!
//! ```text
//!   header "RWPUSH1\n" | u32 length | u32 CRC32C of length and entry | entry, JSON | u32 length | ...
//! ```
//!
//! A write is durable after fdatasync, and only then anybody is told. A record that a crash cut short ends the
//! reading; what follows is set aside, never passed over in silence. When most of the file is about what is over,
//! it is written anew beside the old one and takes its place.
//!
//! Owner: the plane's queue. All of it blocks: it is called on the runtime's blocking threads.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::queue::Entry;

/// The layout; another one has another number.
const HEADER: &[u8; 8] = b"RWPUSH1\n";

/// Bytes before an entry.
const HEAD_BYTES: usize = 8;

/// No entry is longer: a wake-up has so many devices at most, and each so many bytes.
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Why the queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk, or the directory's rights.
    #[error("cannot use the push queue {path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another program's, or a later release's.
    #[error("{0} is no push queue that this release reads; start the release that wrote it, or move it away")]
    Foreign(PathBuf),
    /// An entry that passes its checksum and cannot be read.
    #[error("{path} has an entry that this release does not know ({error}); start the release that wrote it")]
    Entry {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: String,
    },
}

/// The open file, and how long it is.
#[derive(Debug)]
pub struct QueueFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// What was found at the start.
#[derive(Debug)]
pub struct Opened {
    /// The file, to append to.
    pub file: QueueFile,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Bytes that could not be read; they are set aside beside it.
    pub torn_bytes: u64,
}

/// Appends an entry as it stands in the file.
pub fn encode(entry: &Entry, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    // Strings and numbers only: there is nothing in an entry that JSON cannot hold.
    if let Err(error) = serde_json::to_writer(&mut *out, entry) {
        unreachable!("an entry is always JSON: {error}");
    }
    let length = (out.len() - start - HEAD_BYTES) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(length, &out[start + HEAD_BYTES..]);
    out[start + 4..start + HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(length: u32, entry: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), entry)
}

/// The first record of `bytes`; `None` where it is cut short or damaged.
fn split(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let entry = rest.get(..length as usize).filter(|entry| entry.len() <= ENTRY_BYTES_MAX)?;
    let is_whole = length > 0 && checksum(length, entry) == u32::from_le_bytes(*sum);
    is_whole.then_some((entry, HEAD_BYTES + length as usize))
}

impl QueueFile {
    /// Opens or makes the file and reads what is in it.
    ///
    /// # Errors
    /// Where the disk refuses, or the file is not ours.
    pub fn open(path: &Path) -> Result<Opened, FileError> {
        let fail = |error| FileError::Io { path: path.to_owned(), error };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(fail)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fail)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() < HEADER.len() && HEADER.starts_with(&bytes) {
            // New, or killed while it was made.
            let mut opened = QueueFile { path: path.to_owned(), file, bytes: 0 };
            opened.rewrite(&[]).map_err(fail)?;
            return Ok(Opened { file: opened, entries: Vec::new(), torn_bytes: 0 });
        }
        if !bytes.starts_with(HEADER) {
            return Err(FileError::Foreign(path.to_owned()));
        }
        let mut entries = Vec::new();
        let mut at = HEADER.len();
        while let Some((entry, length)) = split(&bytes[at..]) {
            let entry = serde_json::from_slice(entry)
                .map_err(|error| FileError::Entry { path: path.to_owned(), error: error.to_string() })?;
            entries.push(entry);
            at += length;
        }
        let torn = &bytes[at..];
        if !torn.is_empty() {
            write_new(&path.with_extension("torn"), &[torn]).map_err(fail)?;
            file.set_len(at as u64).and_then(|()| file.sync_all()).map_err(fail)?;
        }
        file.seek(SeekFrom::Start(at as u64)).map_err(fail)?;
        let torn_bytes = torn.len() as u64;
        Ok(Opened { file: QueueFile { path: path.to_owned(), file, bytes: at as u64 }, entries, torn_bytes })
    }

    /// Appends encoded entries; durable when it returns.
    ///
    /// # Errors
    /// Where the disk fails. The file must not be written to any more then: what is in it is not known.
    pub fn append(&mut self, entries: &[u8]) -> io::Result<()> {
        self.file.write_all(entries)?;
        self.file.sync_data()?;
        self.bytes += entries.len() as u64;
        Ok(())
    }

    /// Puts a file with these entries in the place of the present one; durable when it returns.
    ///
    /// # Errors
    /// Where the disk fails; the present file is still there.
    pub fn rewrite(&mut self, entries: &[u8]) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let file = write_new(&new, &[HEADER, entries])?;
        std::fs::rename(&new, &self.path)?;
        sync_directory(&self.path)?;
        self.file = file;
        self.bytes = (HEADER.len() + entries.len()) as u64;
        Ok(())
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Which file it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u64) -> Vec<Entry> {
        (0..count).map(|job| Entry::Done { job }).collect()
    }

    fn encoded(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| encode(entry, &mut bytes));
        bytes
    }

    #[test]
    fn what_was_appended_is_read_again_after_any_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("push").join("queue");
        let mut file = QueueFile::open(&path).unwrap().file;
        file.append(&encoded(&entries(2))).unwrap();
        file.append(&encoded(&entries(3)[2..])).unwrap();
        drop(file);
        let whole = std::fs::read(&path).unwrap();
        let record = (whole.len() - HEADER.len()) / 3;
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let opened = QueueFile::open(&path).unwrap();
            let kept = cut.saturating_sub(HEADER.len()) / record;
            assert_eq!(opened.entries, entries(kept as u64), "cut at {cut}");
            let mut file = opened.file;
            file.append(&encoded(&entries(1))).unwrap();
            let again = QueueFile::open(&path).unwrap();
            assert_eq!((again.entries.len(), again.torn_bytes), (kept + 1, 0), "cut at {cut}");
        }
    }

    #[test]
    fn damage_ends_the_reading_and_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue");
        let mut file = QueueFile::open(&path).unwrap().file;
        file.append(&encoded(&entries(3))).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in HEADER.len()..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            std::fs::write(&path, &bytes).unwrap();
            let opened = QueueFile::open(&path).unwrap();
            assert!(opened.entries.len() < 3, "damage at {at} is seen");
            assert_eq!(opened.entries, entries(opened.entries.len() as u64));
            let torn = std::fs::read(path.with_extension("torn")).unwrap();
            assert_eq!(torn.len() as u64, opened.torn_bytes);
            assert!(bytes.ends_with(&torn));
        }
    }

    #[test]
    fn another_programs_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue");
        std::fs::write(&path, "something else").unwrap();
        assert!(matches!(QueueFile::open(&path), Err(FileError::Foreign(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"something else");
    }

    #[test]
    fn a_rewritten_file_takes_the_place_of_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue");
        let mut file = QueueFile::open(&path).unwrap().file;
        file.append(&encoded(&entries(9))).unwrap();
        file.rewrite(&encoded(&entries(2))).unwrap();
        file.append(&encoded(&entries(3)[2..])).unwrap();
        assert_eq!(file.bytes(), std::fs::metadata(&path).unwrap().len());
        assert_eq!(QueueFile::open(&path).unwrap().entries, entries(3));
    }
}
