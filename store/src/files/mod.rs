//! The store's view of a disk: blocking, for boot and for jobs on a file thread. A shard never calls it.
//!
//! Names are relative to the data directory and have one folder: `journal/…` or `checkpoint/…`. The real
//! disk is [`DiskFiles`]; a simulation brings its own and decides what survives a power cut.

mod disk;
mod memory;

use std::io;
use std::path::PathBuf;

pub use disk::{DiskFiles, OpenError};
pub use memory::InMemory;

/// A file as a listing shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// The name without its folder.
    pub name: String,
    /// Size, bytes.
    pub bytes: u64,
}

/// An open file, for reading.
pub trait ReadFile: Send {
    /// Fills `into` from `offset`. Returns how many bytes there were: fewer only at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Size, bytes.
    fn bytes(&self) -> io::Result<u64>;
}

/// A file being written that nobody sees yet; dropped without [`NewFile::publish`], nobody ever does. Two may
/// be on their way to the same name.
pub trait NewFile: io::Write + Send {
    /// Makes the bytes durable, then the name. After an error either the whole file has the name, or whatever
    /// had it before.
    fn publish(self: Box<Self>) -> io::Result<()>;
}

/// What boot and jobs ask of a disk. Every change is durable when the call returns.
pub trait Files: Send + Sync {
    /// The files of a folder, sorted by name.
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>>;
    /// Opens for reading.
    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>>;
    /// Starts a file that replaces what has the name, at once and whole, when it is published.
    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>>;
    /// Shortens a file.
    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()>;
    /// Removes a file. One that is not there is an error.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Renames within a folder; replaces what has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Where a driver finds the file.
    fn path(&self, name: &str) -> PathBuf;

    /// The whole file. For small ones: the caller knows its size is bounded.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.open(name)?;
        let bytes = usize::try_from(file.bytes()?).map_err(io::Error::other)?;
        let mut out = vec![0; bytes];
        let read = file.read_at(0, &mut out)?;
        out.truncate(read);
        Ok(out)
    }

    /// Writes the bytes of a file from `from` on once more, where they are, and makes them durable. What is read
    /// may be in the system's memory only, and marked as written, where a sync has failed before.
    fn rewrite(&self, name: &str, from: u64) -> io::Result<()> {
        let _ = from;
        let bytes = self.read(name)?;
        self.write_atomic(name, &bytes)
    }

    /// Writes a whole file, at once.
    fn write_atomic(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(name)?;
        file.write_all(bytes)?;
        file.publish()
    }
}
