//! A disk that forgets what was not synced.
//!
//! ```text
//!   write --> cache (what everybody reads) --sync--> durable (what a power cut leaves)
//!                          '--power cut--> of each 512-byte sector: the old bytes or the new ones
//! ```
//!
//! Owner: the world; shards reach it by operations, boot and jobs by [`SimFiles`]. Lifetime: the world, across
//! all processes that run on it.
//!
//! Invariants: a synced byte stays; a sector is never half written; a name is there after a power cut once its
//! creation was reported, and may or may not be before.
//!
//! Deliberately absent: bytes that rot on a healthy disk (the store's own tests flip bits), other machines.

mod files;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub use files::{SimFiles, name_of};

use crate::random::Random;

/// What a disk writes as a whole or not at all, bytes.
pub const SECTOR: usize = 512;

/// A file's contents, whatever its name is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inode(usize);

/// A write that was not synced.
#[derive(Clone)]
struct Write {
    offset: usize,
    data: Bytes,
    /// A sync of it has failed: the system takes it for clean and will never write it.
    forsaken: bool,
}

#[derive(Clone, Default)]
struct Contents {
    durable: Vec<u8>,
    cache: Vec<u8>,
    unsynced: Vec<Write>,
}

#[derive(Clone)]
struct Name {
    inode: Inode,
    durable: bool,
}

/// What a process leaves behind when it dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// `kill -9`: the system goes on, and with it what it holds in memory.
    Kill,
    /// The machine went down.
    PowerCut,
}

/// How a power cut treats the unsynced writes of one file.
#[derive(Clone, Copy)]
enum Survival {
    Nothing,
    Everything,
    /// The first so many sectors.
    First(usize),
    /// Each sector for itself.
    Some,
}

/// The disk of one world.
#[derive(Clone, Default)]
pub struct Disk {
    names: BTreeMap<String, Name>,
    /// Sealed segments, of which some may be given up: for those who want to know what was in them.
    archive: BTreeMap<String, Inode>,
    contents: Vec<Contents>,
    /// Steps that boot or a job may still do before the process dies in the middle of it.
    fuse: Option<u32>,
    blown: bool,
}

/// The disk, as its users hold it. One thread uses it; the lock is there because the store asks for `Sync`.
pub type SharedDisk = Arc<Mutex<Disk>>;

/// Locks it.
pub fn lock(disk: &SharedDisk) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// A disk with nothing on it.
    pub fn shared() -> SharedDisk {
        Arc::default()
    }

    /// Another disk with the same contents, for looking at them without changing these.
    pub fn copy(disk: &SharedDisk) -> SharedDisk {
        Arc::new(Mutex::new(Disk { fuse: None, blown: false, ..lock(disk).clone() }))
    }

    /// Remembers all sealed segments, before some of them may be given up.
    pub fn archive(&mut self) {
        let sealed = |name: &str| self.names.contains_key(&name.replace(".seg", ".idx"));
        let segments = self.names.iter().filter(|(name, _)| name.ends_with(".seg") && sealed(name));
        let segments: Vec<_> = segments.map(|(name, named)| (name.clone(), named.inode)).collect();
        self.archive.extend(segments);
    }

    /// Brings back every segment that was given up.
    pub fn exhume(&mut self) {
        for (name, inode) in std::mem::take(&mut self.archive) {
            self.names.entry(name).or_insert(Name { inode, durable: true });
        }
    }

    /// The file of that name.
    pub fn find(&self, name: &str) -> Option<Inode> {
        self.names.get(name).map(|name| name.inode)
    }

    fn at(&self, inode: Inode) -> &Contents {
        &self.contents[inode.0]
    }

    fn at_mut(&mut self, inode: Inode) -> &mut Contents {
        &mut self.contents[inode.0]
    }

    fn allocate(&mut self) -> Inode {
        self.contents.push(Contents::default());
        Inode(self.contents.len() - 1)
    }

    /// Begins to create a file that must not exist. Until [`Disk::created`] a power cut may undo it.
    pub fn create(&mut self, name: &str) -> io::Result<Inode> {
        if self.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} exists")));
        }
        let inode = self.allocate();
        self.names.insert(name.to_owned(), Name { inode, durable: false });
        Ok(inode)
    }

    /// The file has its space, and its name is durable.
    pub fn created(&mut self, name: &str, bytes: u64) {
        let Some(named) = self.names.get_mut(name) else { return };
        named.durable = true;
        let inode = named.inode;
        let contents = self.at_mut(inode);
        contents.durable = vec![0; bytes as usize];
        contents.cache = vec![0; bytes as usize];
    }

    /// Creating failed: the file is gone again.
    pub fn uncreate(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Writes into the cache.
    pub fn write(&mut self, inode: Inode, offset: u64, data: &Bytes) {
        let contents = self.at_mut(inode);
        let offset = offset as usize;
        put(&mut contents.cache, offset, data);
        contents.unsynced.push(Write { offset, data: data.clone(), forsaken: false });
    }

    /// Makes what was written durable.
    pub fn sync(&mut self, inode: Inode) {
        let contents = self.at_mut(inode);
        let Contents { durable, unsynced, .. } = contents;
        unsynced.retain(|write| {
            if !write.forsaken {
                put(durable, write.offset, &write.data);
            }
            write.forsaken
        });
    }

    /// A sync has failed. The bytes may stay in the cache, where they look as if they were on disk, or go.
    pub fn fail_sync(&mut self, inode: Inode, random: &mut Random) {
        let contents = self.at_mut(inode);
        if random.one_in(2) {
            contents.cache = contents.durable.clone();
            contents.unsynced.clear();
        }
        for write in &mut contents.unsynced {
            write.forsaken = true;
        }
    }

    /// Reads what the cache has: fewer bytes only at the end of the file.
    pub fn read(&self, inode: Inode, offset: u64, bytes: usize) -> &[u8] {
        let cache = &self.at(inode).cache;
        let start = (offset as usize).min(cache.len());
        &cache[start..start.saturating_add(bytes).min(cache.len())]
    }

    /// Size of a file, bytes.
    pub fn bytes(&self, inode: Inode) -> usize {
        self.at(inode).cache.len()
    }

    /// From now on boot or a job may do so many steps; then the process is dead.
    pub fn light_fuse(&mut self, steps: u32) {
        self.fuse = Some(steps);
    }

    /// Puts the fuse out, and says whether it has blown.
    pub fn put_out_fuse(&mut self) -> bool {
        self.fuse = None;
        std::mem::take(&mut self.blown)
    }

    /// One step of boot or of a job; an error if the process is dead.
    fn step(&mut self) -> io::Result<()> {
        if let Some(steps) = &mut self.fuse {
            match steps.checked_sub(1) {
                Some(left) => *steps = left,
                None => self.blown = true,
            }
        }
        if self.blown { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }

    /// The process died. Returns how many writes were lost or torn.
    pub fn die(&mut self, death: Death, random: &mut Random) -> u32 {
        self.put_out_fuse();
        if death == Death::Kill {
            return 0;
        }
        let mut torn = 0;
        for contents in &mut self.contents {
            let writes = std::mem::take(&mut contents.unsynced);
            let sectors: usize = writes.iter().map(|write| sectors(write.offset, write.data.len())).sum();
            let survival = match random.below(4) {
                0 => Survival::Nothing,
                1 => Survival::Everything,
                2 => Survival::First(random.index(sectors + 1)),
                _ => Survival::Some,
            };
            let mut seen = 0;
            for write in &writes {
                torn += u32::from(!survive(&mut contents.durable, write, survival, &mut seen, random));
            }
            contents.cache.clone_from(&contents.durable);
        }
        let contents = &mut self.contents;
        self.names.retain(|_, name| {
            // A name whose creation was not reported: the file may be gone, empty, or have part of its space.
            if !name.durable {
                let bytes = random.pick(&[0, 1, 600, 1024, 2048]);
                let new = &mut contents[name.inode.0];
                new.durable.resize(bytes, 0);
                new.cache.clone_from(&new.durable);
                name.durable = true;
                return random.one_in(2);
            }
            true
        });
        torn
    }
}

/// Writes at an offset; the file grows where it must.
fn put(file: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(data);
}

/// Sectors that a write touches.
fn sectors(offset: usize, bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (offset + bytes - 1) / SECTOR - offset / SECTOR + 1 }
}

/// Applies what survives of a write, sector by sector. Whether all of it did.
fn survive(
    durable: &mut Vec<u8>,
    write: &Write,
    survival: Survival,
    seen: &mut usize,
    random: &mut Random,
) -> bool {
    let mut whole = true;
    let mut at = 0;
    while at < write.data.len() {
        let offset = write.offset + at;
        let end = write.data.len().min(at + SECTOR - offset % SECTOR);
        let survives = !write.forsaken
            && match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::First(sectors) => *seen < sectors,
                Survival::Some => random.one_in(2),
            };
        if survives {
            put(durable, offset, &write.data[at..end]);
        }
        whole &= survives;
        *seen += 1;
        at = end;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with(bytes: u64) -> (Disk, Inode) {
        let mut disk = Disk::default();
        let inode = disk.create("journal/a").unwrap();
        disk.created("journal/a", bytes);
        (disk, inode)
    }

    #[test]
    fn synced_bytes_survive_and_others_survive_by_sectors() {
        let (mut some, mut all, mut none) = (0, 0, 0);
        for seed in 0..200 {
            let mut random = Random::new(seed, "test");
            let (mut disk, inode) = disk_with(4096);
            disk.write(inode, 0, &Bytes::from(vec![1; 700]));
            disk.sync(inode);
            disk.write(inode, 700, &Bytes::from(vec![2; 1500]));
            assert_eq!(disk.read(inode, 0, 4096)[700], 2);
            disk.die(Death::PowerCut, &mut random);
            let after = disk.read(inode, 0, 4096);
            assert!(after[..700].iter().all(|byte| *byte == 1), "seed {seed}");
            for sector in after[700..2200].chunk_by(|a, b| a == b) {
                assert!(sector[0] == 0 || sector[0] == 2);
            }
            // Sectors are whole: the write's part of each has one value.
            for start in [512, 1024, 1536, 2048] {
                let part = &after[start.max(700)..(start + SECTOR).min(2200)];
                assert!(part.iter().all(|byte| *byte == part[0]), "seed {seed}");
            }
            match after[700..2200].iter().filter(|byte| **byte == 2).count() {
                0 => none += 1,
                1500 => all += 1,
                _ => some += 1,
            }
        }
        assert!(some > 20 && all > 20 && none > 20, "{some} {all} {none}");
    }

    #[test]
    fn a_kill_loses_nothing_that_was_written() {
        let (mut disk, inode) = disk_with(1024);
        disk.write(inode, 3, &Bytes::from_static(b"abc"));
        disk.die(Death::Kill, &mut Random::new(1, "test"));
        assert_eq!(disk.read(inode, 3, 3), b"abc");
        let lost = (0..100).any(|seed| {
            let mut disk = disk.clone();
            disk.die(Death::PowerCut, &mut Random::new(seed, "test"));
            disk.read(inode, 3, 3) == [0; 3]
        });
        assert!(lost, "and yet it is not durable");
    }

    #[test]
    fn what_a_failed_sync_left_behind_is_never_durable() {
        for seed in 0..50 {
            let mut random = Random::new(seed, "test");
            let (mut disk, inode) = disk_with(1024);
            disk.write(inode, 0, &Bytes::from_static(b"abc"));
            disk.fail_sync(inode, &mut random);
            disk.sync(inode);
            disk.die(Death::PowerCut, &mut random);
            assert_eq!(disk.read(inode, 0, 3), [0; 3]);
        }
    }
}
