//! Which files are open for reading, under which number.
//!
//! ```text
//! (nothing) -> opening, reads wait -> open -> idle longest -> closed
//!                                       \--> replaced on disk: closed once nothing is in flight
//! ```

use std::collections::{HashMap, VecDeque};

use super::HistoryOp;
use super::lru::Lru;
use crate::segment::SegmentId;

/// A file that history reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum FileKey {
    Index(SegmentId),
    Segment(SegmentId),
}

impl FileKey {
    pub(super) fn segment(self) -> SegmentId {
        match self {
            Self::Index(id) | Self::Segment(id) => id,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Index(id) => id.index_name(),
            Self::Segment(id) => id.segment_name(),
        }
    }
}

/// A read that waits for its file, or is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) tag: u64,
}

struct OpenFile {
    number: u32,
    /// `Some` until the file is open.
    waiting: Option<Vec<Read>>,
    /// Reads asked for and not reported, the waiting ones included.
    in_flight: u32,
}

/// The files, and the numbers the driver knows them by.
pub(super) struct OpenFiles {
    max: usize,
    files: Lru<FileKey, OpenFile>,
    /// Open files by number; those that were replaced on disk have no key any more.
    keys: HashMap<u32, FileKey>,
    replaced: HashMap<u32, OpenFile>,
    free: Vec<u32>,
    numbers: u32,
}

impl OpenFiles {
    /// At most `max` files, and no more above that than have reads in flight.
    pub(super) fn new(max: usize) -> Self {
        let (keys, replaced) = (HashMap::new(), HashMap::new());
        Self { max, files: Lru::new(), keys, replaced, free: Vec::new(), numbers: 0 }
    }

    /// The files that are open, or being opened.
    pub(super) fn keys(&self) -> impl Iterator<Item = FileKey> + '_ {
        self.keys.values().copied()
    }

    /// Reads from a file, opening it where needed. Returns the file's number.
    pub(super) fn read(&mut self, key: FileKey, read: Read, ops: &mut VecDeque<HistoryOp>) -> u32 {
        if self.files.get(&key).is_none() {
            self.open(key, ops);
        }
        let file = self.files.get(&key).expect("opened above");
        file.in_flight += 1;
        match &mut file.waiting {
            Some(waiting) => waiting.push(read),
            None => ops.push_back(read.of(file.number)),
        }
        file.number
    }

    fn open(&mut self, key: FileKey, ops: &mut VecDeque<HistoryOp>) {
        while self.files.weight() >= self.max {
            let Some((_, idle)) = self.files.evict(|file| file.in_flight == 0) else { break };
            self.close(idle.number, ops);
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.numbers += 1;
            self.numbers - 1
        });
        self.keys.insert(number, key);
        self.files.insert(key, OpenFile { number, waiting: Some(Vec::new()), in_flight: 0 }, 1);
        ops.push_back(HistoryOp::Open { file: number, name: key.name() });
    }

    fn close(&mut self, number: u32, ops: &mut VecDeque<HistoryOp>) {
        self.keys.remove(&number);
        self.free.push(number);
        ops.push_back(HistoryOp::Close { file: number });
    }

    /// The driver opened a file: its reads go out. Or it could not: the tags of those that failed.
    pub(super) fn opened(&mut self, number: u32, opened: bool, ops: &mut VecDeque<HistoryOp>) -> Vec<u64> {
        let key = self.keys[&number];
        let replaced = self.replaced.contains_key(&number);
        let file = match replaced {
            true => self.replaced.get_mut(&number),
            false => self.files.get(&key),
        };
        let file = file.expect("the file is being opened");
        let waiting = file.waiting.take().expect("a file is opened once");
        if opened {
            ops.extend(waiting.into_iter().map(|read| read.of(number)));
            self.close_if_replaced(number, ops);
            return Vec::new();
        }
        match replaced {
            true => self.replaced.remove(&number),
            false => self.files.remove(&key),
        };
        // Never open, so there is nothing to close.
        self.keys.remove(&number);
        self.free.push(number);
        waiting.into_iter().map(|read| read.tag).collect()
    }

    /// A read of the file with this number was reported.
    pub(super) fn read_done(&mut self, number: u32, ops: &mut VecDeque<HistoryOp>) {
        let key = self.keys[&number];
        match self.replaced.get_mut(&number) {
            Some(file) => file.in_flight -= 1,
            None => self.files.get(&key).expect("a file with reads in flight is not closed").in_flight -= 1,
        }
        self.close_if_replaced(number, ops);
    }

    /// The file was replaced on disk: the next read opens it anew.
    pub(super) fn replaced(&mut self, key: FileKey, ops: &mut VecDeque<HistoryOp>) {
        if let Some(file) = self.files.remove(&key) {
            let number = file.number;
            self.replaced.insert(number, file);
            self.close_if_replaced(number, ops);
        }
    }

    fn close_if_replaced(&mut self, number: u32, ops: &mut VecDeque<HistoryOp>) {
        let idle = |file: &OpenFile| file.in_flight == 0 && file.waiting.is_none();
        if self.replaced.get(&number).is_some_and(idle) {
            self.replaced.remove(&number);
            self.close(number, ops);
        }
    }
}

impl Read {
    fn of(self, file: u32) -> HistoryOp {
        HistoryOp::Read { file, offset: self.offset, bytes: self.bytes, tag: self.tag }
    }
}
