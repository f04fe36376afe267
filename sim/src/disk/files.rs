//! The store's `Files` on a simulated disk: what boot and jobs do, in one go, unless a fuse blows first.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ringwire_store::Files;
use ringwire_store::files::{Entry, NewFile, ReadFile};

use super::{Contents, Disk, Inode, Name, SharedDisk, lock};

/// Where drivers find the files; nothing is ever there.
const ROOT: &str = "data";

/// One process's way to the disk.
pub struct SimFiles {
    disk: SharedDisk,
}

impl SimFiles {
    /// The files of this disk.
    pub fn new(disk: &SharedDisk) -> Self {
        Self { disk: SharedDisk::clone(disk) }
    }
}

/// The name of the file that a driver is given by this path.
pub fn name_of(path: &Path) -> String {
    path.strip_prefix(ROOT).unwrap_or(path).to_string_lossy().into_owned()
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {name}"))
}

impl Disk {
    /// Makes a whole file's contents durable, but for what the system has given up on.
    fn settle(&mut self, inode: Inode) {
        self.sync(inode);
        let Contents { durable, cache, unsynced } = self.at_mut(inode);
        durable.resize(cache.len(), 0);
        // A cut file has no writes behind its end.
        unsynced.retain(|write| write.offset < cache.len());
    }
}

impl Files for SimFiles {
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let disk = lock(&self.disk);
        let prefix = format!("{folder}/");
        let listed = disk.names.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        Ok(listed
            .map(|(name, named)| Entry {
                name: name[prefix.len()..].to_owned(),
                bytes: disk.bytes(named.inode) as u64,
            })
            .collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>> {
        let inode = lock(&self.disk).find(name).ok_or_else(|| missing(name))?;
        Ok(Box::new(SimFile { disk: SharedDisk::clone(&self.disk), inode }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        let temporary = format!("{name}.tmp");
        let inode = disk.allocate();
        disk.names.insert(temporary.clone(), Name { inode, durable: false });
        let disk = SharedDisk::clone(&self.disk);
        Ok(Box::new(NewSimFile { disk, inode, temporary, name: name.to_owned() }))
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        let inode = disk.find(name).ok_or_else(|| missing(name))?;
        disk.at_mut(inode).cache.truncate(bytes as usize);
        disk.settle(inode);
        Ok(())
    }

    fn rewrite(&self, name: &str, from: u64) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        let inode = disk.find(name).ok_or_else(|| missing(name))?;
        let bytes = Bytes::copy_from_slice(disk.read(inode, from, usize::MAX));
        disk.write(inode, from, &bytes);
        disk.step()?;
        disk.sync(inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        disk.names.remove(name).map(drop).ok_or_else(|| missing(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        let mut named = disk.names.remove(from).ok_or_else(|| missing(from))?;
        named.durable = true;
        disk.names.insert(to.to_owned(), named);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(ROOT).join(name)
    }
}

struct SimFile {
    disk: SharedDisk,
    inode: Inode,
}

impl ReadFile for SimFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let disk = lock(&self.disk);
        let read = disk.read(self.inode, offset, into.len());
        into[..read.len()].copy_from_slice(read);
        Ok(read.len())
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(lock(&self.disk).bytes(self.inode) as u64)
    }
}

struct NewSimFile {
    disk: SharedDisk,
    inode: Inode,
    temporary: String,
    name: String,
}

impl io::Write for NewSimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.disk).at_mut(self.inode).cache.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for NewSimFile {
    fn publish(self: Box<Self>) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        let contents = disk.at_mut(self.inode);
        contents.durable = contents.cache.clone();
        disk.step()?;
        // From here on both names may be seen after a power cut; the rename is one step of the journal of any
        // file system in use, so it is one here.
        disk.names.remove(&self.temporary);
        disk.names.insert(self.name.clone(), Name { inode: self.inode, durable: true });
        disk.step()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Death;
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_published_file_replaces_the_old_one_whole_or_not_at_all() {
        for steps in 0..6 {
            for seed in 0..20 {
                let disk = Disk::shared();
                let files = SimFiles::new(&disk);
                files.write_atomic("journal/a", b"old").unwrap();
                lock(&disk).light_fuse(steps);
                let written = files.write_atomic("journal/a", b"newer");
                lock(&disk).die(Death::PowerCut, &mut Random::new(seed, "test"));
                let after = files.read("journal/a").unwrap();
                assert!(after == b"old" || after == b"newer", "{after:?} after {steps} steps");
                assert!(written.is_err() || after == b"newer");
            }
        }
    }

    #[test]
    fn names_are_listed_by_folder_and_paths_lead_back() {
        let disk = Disk::shared();
        let files = SimFiles::new(&disk);
        for name in ["journal/b", "journal/a", "checkpoint/c"] {
            files.write_atomic(name, b"x").unwrap();
        }
        let names: Vec<_> = files.list("journal").unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(name_of(&files.path("journal/a")), "journal/a");
        files.rename("journal/a", "journal/z").unwrap();
        assert!(files.open("journal/a").is_err() && files.open("journal/z").is_ok());
        assert!(files.remove("journal/a").is_err());
    }
}
