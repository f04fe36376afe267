//! One shard: a journal and a history, and a driver that finishes things in any order.

use std::io;

use ringwire_store::{
    Config, Conversation, EntryNumber, FetchError, Files, History, HistoryConfig, HistoryOp, Index, Journal,
    JournalOp, Page, Query, Rebuild, Record, RecordKind, Salt, Seal, SegmentId,
};

use super::disk::SimDisk;
use super::model::Item;
use super::rng::Rng;

/// Something the driver has been asked and has not done.
pub enum Pending {
    Create(SegmentId, u64),
    Write(SegmentId, u64, bytes::Bytes),
    Seal(Seal),
    Open(u32),
    Read(u32, u64, u32, u64),
    Rebuild(Rebuild),
}

pub struct Shard {
    pub journal: Journal,
    pub history: History,
    pub disk: SimDisk,
    pub pending: Vec<Pending>,
    /// Names of the files that history has open.
    open: Vec<Option<String>>,
    /// What was appended and is not known to be durable.
    pub unsynced: Vec<(EntryNumber, Conversation, Item)>,
    /// Count as durable what was only handed out: a planted bug.
    pub ack_before_sync: bool,
    /// Indexes that history has had made anew.
    pub rebuilt: u64,
    rng: Rng,
}

impl Shard {
    pub fn new(
        disk: &SimDisk,
        config: Config,
        history: HistoryConfig,
        (generation, shard): (u32, u16),
        index: Index,
        rng: &mut Rng,
    ) -> Self {
        let mut salts = rng.fork();
        let history = History::new(history, &index);
        let salts = Box::new(move || Salt(salts.bytes(16).try_into().unwrap()));
        Self {
            journal: Journal::new(config, generation, shard, index, salts),
            history,
            disk: disk.clone(),
            pending: Vec::new(),
            open: Vec::new(),
            unsynced: Vec::new(),
            ack_before_sync: false,
            rebuilt: 0,
            rng: rng.fork(),
        }
    }

    pub fn append(&mut self, conversation: Conversation, item: Item) {
        let record = Record {
            kind: RecordKind(item.kind),
            conversation,
            sequence: item.sequence,
            time_ms: item.time_ms,
            payload: &item.payload,
        };
        let entry = self.journal.append(&record).unwrap();
        self.unsynced.push((entry, conversation, item));
    }

    /// Hands this turn's operations to the driver.
    pub fn turn(&mut self) {
        while let Some(op) = self.journal.poll() {
            self.pending.push(match op {
                JournalOp::Create { segment, bytes } => Pending::Create(segment, bytes),
                JournalOp::Write { segment, offset, data } => Pending::Write(segment, offset, data),
                JournalOp::Seal(seal) => Pending::Seal(seal),
            });
        }
        while let Some(op) = self.history.poll() {
            match op {
                HistoryOp::Open { file, name } => {
                    self.open.resize(self.open.len().max(file as usize + 1), None);
                    assert!(self.open[file as usize].is_none(), "a number is given once");
                    self.open[file as usize] = Some(name);
                    self.pending.push(Pending::Open(file));
                }
                HistoryOp::Read { file, offset, bytes, tag } => {
                    self.pending.push(Pending::Read(file, offset, bytes, tag));
                }
                HistoryOp::Close { file } => {
                    let reads =
                        |op: &Pending| matches!(op, Pending::Read(of, ..) | Pending::Open(of) if *of == file);
                    assert!(!self.pending.iter().any(reads), "closed with something in flight");
                    self.open[file as usize].take().expect("open");
                }
                HistoryOp::Rebuild(rebuild) => self.pending.push(Pending::Rebuild(rebuild)),
            }
        }
    }

    /// The driver finishes one operation, any one. `false`: there is none, or the power is gone.
    pub fn step(&mut self) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let at = self.rng.below(self.pending.len() as u64) as usize;
        match self.pending.swap_remove(at) {
            Pending::Create(segment, bytes) => {
                self.disk.set(&segment.segment_name(), vec![0; bytes as usize]);
                self.journal.on_created(segment, Ok(()));
            }
            Pending::Write(segment, offset, data) => {
                self.disk.write(&segment.segment_name(), offset, &data);
                drop(data);
                self.journal.on_written(segment, Ok(()));
            }
            Pending::Seal(seal) => {
                let segment = seal.segment();
                let result = seal.run(&self.disk);
                let power = self.disk.with(|state| state.fuse != Some(0));
                if !power {
                    return false;
                }
                self.journal.on_sealed(segment, result);
            }
            Pending::Open(file) => {
                let name = self.open[file as usize].clone().expect("open");
                let result = self.disk.open(&name).map(|_| ());
                if result.is_err() {
                    self.open[file as usize] = None;
                }
                self.history.on_opened(file, result);
            }
            Pending::Read(file, offset, bytes, tag) => {
                let name = self.open[file as usize].clone().expect("open");
                let result = self.disk.open(&name).and_then(|file| {
                    let mut data = vec![0; bytes as usize];
                    let read = file.read_at(offset, &mut data)?;
                    data.truncate(read);
                    Ok(bytes::Bytes::from(data))
                });
                self.history.on_read(tag, result);
            }
            Pending::Rebuild(rebuild) => {
                let segment = rebuild.segment();
                self.rebuilt += 1;
                self.history.on_rebuilt(segment, rebuild.run(&self.disk));
            }
        }
        true
    }

    /// What is durable now and was not known to be.
    pub fn take_durable(&mut self) -> Vec<(Conversation, Item)> {
        let positions = self.journal.positions();
        assert!(positions.synced <= positions.written && positions.written <= positions.appended);
        let durable = if self.ack_before_sync { positions.written } else { positions.synced };
        let count = self.unsynced.iter().take_while(|(entry, ..)| *entry <= durable).count();
        self.unsynced.drain(..count).map(|(_, conversation, item)| (conversation, item)).collect()
    }

    /// Turns and steps until everything is done.
    pub fn settle(&mut self) {
        loop {
            self.turn();
            if !self.step() && self.pending.is_empty() {
                return;
            }
            if self.disk.with(|state| state.fuse == Some(0)) {
                return;
            }
        }
    }

    /// Fetches a page and waits for it.
    pub fn fetch(&mut self, query: Query) -> Result<Page, FetchError> {
        self.history.fetch(self.journal.index(), 77, query)?;
        loop {
            if let Some((tag, result)) = self.history.take_done() {
                assert_eq!(tag, 77);
                return result;
            }
            self.turn();
            assert!(self.step(), "a fetch waits for nothing");
        }
    }

    /// The power goes: what becomes of what was under way.
    pub fn crash(&mut self, rng: &mut Rng) {
        for op in self.pending.drain(..) {
            match op {
                Pending::Write(segment, offset, data) => {
                    self.disk.tear(&segment.segment_name(), offset, &data, rng);
                }
                Pending::Create(segment, bytes) => {
                    if rng.chance(50) {
                        let bytes = if rng.chance(50) { bytes } else { 0 };
                        self.disk.set(&segment.segment_name(), vec![0; bytes as usize]);
                    }
                }
                Pending::Seal(_) | Pending::Open(_) | Pending::Read(..) | Pending::Rebuild(_) => {}
            }
        }
    }
}

/// An error that the driver reports.
pub fn broken() -> io::Error {
    io::Error::other("planted")
}
