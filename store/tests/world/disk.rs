//! A disk in memory that loses power.
//!
//! What [`Files`] does is durable when it returns, as its contract says; the power may go in the middle of
//! any change. What a driver writes is durable once it says so; of a write under way any set of sectors may
//! survive.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ringwire_store::Files;
use ringwire_store::files::{Entry, InMemory, NewFile, ReadFile};

use super::rng::Rng;

pub const SECTOR: usize = 512;

pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Changes until the power goes.
    pub fuse: Option<u64>,
    rng: Rng,
}

#[derive(Clone)]
pub struct SimDisk(pub Arc<Mutex<State>>);

fn no_power() -> io::Error {
    io::Error::other("no power")
}

impl State {
    /// Whether a change takes place: all of it, or, when the power goes during it, `Err` with whether it took
    /// place nevertheless.
    fn change(&mut self) -> Result<(), bool> {
        match &mut self.fuse {
            None => Ok(()),
            Some(0) => Err(false),
            Some(1) => {
                self.fuse = Some(0);
                Err(self.rng.chance(50))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { files: BTreeMap::new(), fuse: None, rng: Rng::new(seed) })))
    }

    pub fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.0.lock().unwrap())
    }

    pub fn names(&self) -> Vec<String> {
        self.with(|state| state.files.keys().cloned().collect())
    }

    pub fn get(&self, name: &str) -> Vec<u8> {
        self.with(|state| state.files[name].clone())
    }

    pub fn set(&self, name: &str, bytes: Vec<u8>) {
        self.with(|state| state.files.insert(name.to_owned(), bytes));
    }

    /// A copy that shares nothing.
    pub fn snapshot(&self) -> Self {
        let copy = Self::new(1);
        copy.with(|state| state.files = self.with(|state| state.files.clone()));
        copy
    }

    /// A driver's write reached the disk and was synced.
    pub fn write(&self, name: &str, offset: u64, data: &[u8]) {
        self.with(|state| {
            let file = state.files.get_mut(name).expect("the file was created");
            let (from, to) = (offset as usize, offset as usize + data.len());
            file.resize(file.len().max(to), 0);
            file[from..to].copy_from_slice(data);
        });
    }

    /// The power went during a driver's write: some of its sectors are there.
    pub fn tear(&self, name: &str, offset: u64, data: &[u8], rng: &mut Rng) {
        let first = offset as usize / SECTOR;
        let last = (offset as usize + data.len() - 1) / SECTOR;
        let (mode, at) = (rng.below(5), first + rng.below((last - first + 2) as u64) as usize);
        for sector in first..=last {
            let survives = match mode {
                0 => false,
                1 => true,
                2 => sector < at,
                3 => sector >= at,
                _ => rng.chance(50),
            };
            if survives {
                let from = (sector * SECTOR).max(offset as usize);
                let to = ((sector + 1) * SECTOR).min(offset as usize + data.len());
                self.write(name, from as u64, &data[from - offset as usize..to - offset as usize]);
            }
        }
    }
}

impl Files for SimDisk {
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        self.with(|state| {
            let files = state.files.iter().filter_map(|(name, bytes)| {
                let name = name.strip_prefix(folder)?.strip_prefix('/')?.to_owned();
                Some(Entry { name, bytes: bytes.len() as u64 })
            });
            Ok(files.collect())
        })
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>> {
        let bytes = self.with(|state| state.files.get(name).cloned());
        Ok(Box::new(InMemory(bytes.ok_or(io::ErrorKind::NotFound)?)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(New { disk: self.clone(), name: name.to_owned(), bytes: Vec::new() }))
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.with(|state| {
            let changed = state.change();
            if changed != Err(false) {
                state.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?.truncate(bytes as usize);
            }
            changed.map_err(|_| no_power())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|state| {
            let changed = state.change();
            if changed != Err(false) {
                state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
            }
            changed.map_err(|_| no_power())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|state| {
            let changed = state.change();
            if changed != Err(false) {
                let bytes = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
                state.files.insert(to.to_owned(), bytes);
            }
            changed.map_err(|_| no_power())
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}

struct New {
    disk: SimDisk,
    name: String,
    bytes: Vec<u8>,
}

impl Write for New {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for New {
    fn publish(self: Box<Self>) -> io::Result<()> {
        let Self { disk, name, bytes } = *self;
        disk.with(|state| {
            let changed = state.change();
            match changed {
                Ok(()) | Err(true) => {
                    state.files.insert(name, bytes);
                }
                Err(false) => {
                    // What an interrupted atomic write leaves.
                    let part = state.rng.below(bytes.len() as u64 + 1) as usize;
                    state.files.insert(format!("{name}.tmp"), bytes[..part].to_vec());
                }
            }
            changed.map_err(|_| no_power())
        })
    }
}
