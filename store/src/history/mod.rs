//! Reading what was journalled: a state machine, requests in, operations out.
//!
//! Place on the path: a session's `Fetch`, on the shard that owns the conversation. Owner: that shard, for
//! the life of the process. It reads segments of all shards and generations. Invariants:
//! * only synced bytes are read;
//! * every record's checksum, conversation and sequence is checked before it is served;
//! * files, reads, cached index parts and requests are bounded ([`HistoryConfig`]); what is above waits, and
//!   what would wait too long is refused.
//!
//! Deliberately absent: who may read, caching of entries (the server keeps hot tails), mapped files (a fault
//! on one stalled a shard for 261 ms).

mod cache;
mod fetch;
mod files;
mod lru;
mod page;
mod reads;
pub(crate) mod stretch;

use std::collections::{HashMap, VecDeque};
use std::io;

use bytes::Bytes;

use crate::checkpoint::Floor;
use crate::index::Index;
use crate::index::file;
use crate::index::rebuild::Rebuild;
use crate::limits;
use crate::segment::SegmentId;
use cache::{Cache, Loaded, Part};
use fetch::{Fetch, Place, Stage};
use files::{FileKey, OpenFiles, Read};
pub use page::{Direction, Entry, FetchError, Page, Query};
use stretch::Span;

/// Bounds of one shard's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryConfig {
    /// Memory for parts of index files, bytes.
    pub cache_bytes: usize,
    /// Files kept open. More are open only while reads are in flight on them.
    pub open_files: usize,
    /// Reads in flight.
    pub reads: usize,
    /// Bytes of reads in flight, unless a single read is larger.
    pub read_bytes: usize,
    /// Requests under way at once.
    pub fetches: usize,
    /// Requests that wait beyond those; the next is refused.
    pub waiting: usize,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 8 << 20,
            open_files: 64,
            reads: 64,
            read_bytes: 8 << 20,
            fetches: 32,
            waiting: 1024,
        }
    }
}

/// An operation for the shard to hand to its driver.
#[derive(Debug)]
pub enum HistoryOp {
    /// Open for reading; then [`History::on_opened`].
    Open {
        /// The number it is to have; small, and used again after `Close`.
        file: u32,
        /// Which, relative to the data directory.
        name: String,
    },
    /// Read; then [`History::on_read`].
    Read {
        /// From which file.
        file: u32,
        /// Byte offset.
        offset: u64,
        /// How many bytes; fewer only at the end of the file.
        bytes: u32,
        /// Returned in the report.
        tag: u64,
    },
    /// Close. Nothing is in flight on it; no report.
    Close {
        /// Which.
        file: u32,
    },
    /// Run [`Rebuild::run`] on a thread that may block; then [`History::on_rebuilt`].
    Rebuild(Rebuild),
}

/// What a read was for.
enum Purpose {
    /// Header and directory; `true`: as long as the header says, not as long as is usual.
    Front(SegmentId, bool),
    Page(SegmentId, u32),
    /// Of this fetch's stretch.
    Positions(u64, usize),
    Records(u64, Span),
}

struct InFlight {
    purpose: Purpose,
    file: u32,
    key: FileKey,
    bytes: u32,
}

/// One shard's reading side.
pub struct History {
    config: HistoryConfig,
    /// Segments there were at boot, in replay order: the way on where an index has lost a conversation.
    old: Vec<SegmentId>,
    /// Nothing is looked for below it.
    floor: Floor,
    fetches: HashMap<u64, Fetch, foldhash::fast::RandomState>,
    /// Not begun.
    waiting: VecDeque<Fetch>,
    fetch_next: u64,
    cache: Cache,
    /// Fetches that wait for a part of an index.
    loading: HashMap<Part, Vec<u64>, foldhash::fast::RandomState>,
    /// Fetches that wait for a new index.
    rebuilding: HashMap<SegmentId, Vec<u64>, foldhash::fast::RandomState>,
    files: OpenFiles,
    /// Reads not asked for yet.
    queue: VecDeque<(Purpose, FileKey, u64, u32)>,
    in_flight: HashMap<u64, InFlight, foldhash::fast::RandomState>,
    in_flight_bytes: usize,
    read_next: u64,
    ops: VecDeque<HistoryOp>,
    done: VecDeque<(u64, Result<Page, FetchError>)>,
}

impl History {
    /// A history over what `index` knows at boot.
    pub fn new(config: HistoryConfig, index: &Index) -> Self {
        let config = HistoryConfig { reads: config.reads.max(1), fetches: config.fetches.max(1), ..config };
        Self {
            config,
            old: index.segments().to_vec(),
            floor: index.floor().clone(),
            fetches: HashMap::default(),
            waiting: VecDeque::new(),
            fetch_next: 0,
            cache: Cache::new(config.cache_bytes),
            loading: HashMap::default(),
            rebuilding: HashMap::default(),
            files: OpenFiles::new(config.open_files.max(1)),
            queue: VecDeque::new(),
            in_flight: HashMap::default(),
            in_flight_bytes: 0,
            read_next: 0,
            ops: VecDeque::new(),
            done: VecDeque::new(),
        }
    }

    /// Asks for a page. The answer comes from [`History::take_done`] under `tag`, perhaps at once.
    pub fn fetch(&mut self, index: &Index, tag: u64, query: Query) -> Result<(), FetchError> {
        if self.waiting.len() >= self.config.waiting && self.fetches.len() >= self.config.fetches {
            return Err(FetchError::Busy { waiting: self.waiting.len() });
        }
        let limit = query.limit.clamp(1, limits::PAGE_ENTRIES_MAX);
        let query = Query { limit, bytes_max: query.bytes_max.min(limits::PAGE_BYTES_MAX), ..query };
        self.waiting.push_back(Fetch::new(tag, query, index.start(&query)));
        self.begin_waiting();
        Ok(())
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<HistoryOp> {
        while self.ops.is_empty() && self.in_flight.len() < self.config.reads {
            let fits = |bytes: u32| self.in_flight_bytes + bytes as usize <= self.config.read_bytes;
            let first = self.queue.pop_front_if(|(.., bytes)| self.in_flight.is_empty() || fits(*bytes));
            let Some((purpose, key, offset, bytes)) = first else { break };
            let tag = self.read_next;
            self.read_next += 1;
            let file = self.files.read(key, Read { offset, bytes, tag }, &mut self.ops);
            self.in_flight_bytes += bytes as usize;
            self.in_flight.insert(tag, InFlight { purpose, file, key, bytes });
        }
        self.ops.pop_front()
    }

    /// A finished request: its tag and its answer.
    pub fn take_done(&mut self) -> Option<(u64, Result<Page, FetchError>)> {
        self.done.pop_front()
    }

    /// Requests not answered yet.
    pub fn pending(&self) -> usize {
        self.fetches.len() + self.waiting.len()
    }

    /// Memory held by cached parts of index files, bytes.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// The driver opened a file, or could not.
    pub fn on_opened(&mut self, file: u32, result: io::Result<()>) {
        let failed = self.files.opened(file, result.is_ok(), &mut self.ops);
        let error = result.err().unwrap_or_else(|| io::ErrorKind::Other.into());
        for tag in failed {
            if let Some(read) = self.in_flight.remove(&tag) {
                self.in_flight_bytes -= read.bytes as usize;
                self.read_failed(&read, &error);
            }
        }
        self.begin_waiting();
    }

    /// The driver read, or could not.
    pub fn on_read(&mut self, tag: u64, result: io::Result<Bytes>) {
        let read = self.in_flight.remove(&tag).expect("a read is reported once");
        self.in_flight_bytes -= read.bytes as usize;
        self.files.read_done(read.file, &mut self.ops);
        match result {
            Err(error) => self.read_failed(&read, &error),
            Ok(data) => match read.purpose {
                Purpose::Front(id, whole) => self.front_read(id, whole, &data),
                Purpose::Page(id, page) => match file::decode_page(&data, page) {
                    Some(runs) => self.loaded(Part::Page(id, page), Loaded::Page(runs)),
                    None => self.index_broken(Part::Page(id, page), "a page of its index is damaged"),
                },
                Purpose::Positions(fetch, stretch) => self.positions_read(fetch, stretch, &data),
                Purpose::Records(fetch, span) => self.records_read(fetch, span, &data),
            },
        }
        self.begin_waiting();
    }

    /// Segments below `floor` are about to be removed: nothing more is read from them, and no file of theirs is kept
    /// open. What is under way may fail, as what can be tried again.
    pub fn retire(&mut self, floor: &Floor) {
        self.floor = floor.clone();
        self.old.retain(|id| !floor.covers(*id));
        for key in self.files.keys().filter(|key| floor.covers(key.segment())).collect::<Vec<_>>() {
            self.cache.forget(key.segment());
            self.files.replaced(key, &mut self.ops);
        }
    }

    /// A [`Rebuild`] job is done, or failed.
    pub fn on_rebuilt(&mut self, segment: SegmentId, result: io::Result<()>) {
        self.cache.forget(segment);
        self.files.replaced(FileKey::Index(segment), &mut self.ops);
        let waiting = self.rebuilding.remove(&segment).unwrap_or_default();
        match result {
            Ok(()) => waiting.into_iter().for_each(|id| self.advance(id)),
            Err(error) => {
                for id in waiting {
                    self.fail(id, FetchError::Io { name: segment.index_name(), why: error.to_string() });
                }
            }
        }
        self.begin_waiting();
    }

    fn begin_waiting(&mut self) {
        while self.fetches.len() < self.config.fetches
            && let Some(fetch) = self.waiting.pop_front()
        {
            let id = self.fetch_next;
            self.fetch_next += 1;
            self.fetches.insert(id, fetch);
            self.advance(id);
        }
    }

    /// Takes a request as far as it goes without a read.
    fn advance(&mut self, id: u64) {
        while let Some(fetch) = self.fetches.get_mut(&id) {
            debug_assert_eq!(fetch.outstanding, 0);
            match fetch.stage {
                Stage::Walking => match fetch.look() {
                    Some(place) => {
                        if let Err(part) = look(&mut self.cache, (&self.old, &self.floor), fetch, place) {
                            // As `look` has left it: it may know the page by now.
                            let place = fetch.next.unwrap_or(place);
                            return self.load(part, place, id);
                        }
                    }
                    None => self.read_positions(id),
                },
                Stage::ReadingPositions => match fetch.choose() {
                    Ok(spans) => self.read_records(id, spans),
                    Err(segment) => {
                        return self.rebuild(segment, vec![id], "a position in its index makes no sense");
                    }
                },
                Stage::ReadingRecords => return self.answer(id),
            }
            if self.fetches.get(&id).is_some_and(|fetch| fetch.outstanding > 0) {
                return;
            }
        }
    }

    fn answer(&mut self, id: u64) {
        if let Some(fetch) = self.fetches.remove(&id) {
            self.done.push_back((fetch.tag, Ok(fetch.page())));
        }
    }

    fn fail(&mut self, id: u64, error: FetchError) {
        if let Some(fetch) = self.fetches.remove(&id) {
            self.done.push_back((fetch.tag, Err(error)));
        }
    }
}

/// One step of a walk: to the page of a segment's index, or to the segment before. `Err`: a part of an index
/// has to be loaded first.
fn look(
    cache: &mut Cache,
    (old, floor): (&[SegmentId], &Floor),
    fetch: &mut Fetch,
    place: Place,
) -> Result<(), Part> {
    let Place { segment, page } = place;
    if floor.covers(segment) {
        // What was there before is gone; what is kept has been found.
        fetch.next = None;
        return Ok(());
    }
    let conversation = fetch.query.conversation;
    let page = match page {
        Some(page) => Some(page),
        None => cache.page_of(segment, &conversation)?,
    };
    if let Some((header, number)) = page {
        fetch.next = Some(Place { segment, page });
        let runs = cache.runs(segment, number, &conversation)?;
        if !runs.is_empty() {
            fetch.found(segment, &header, runs, number);
            return Ok(());
        }
    }
    // The segment lost the conversation when it was salvaged; what came before is in an earlier one.
    let before = old.partition_point(|old| *old < segment).checked_sub(1);
    fetch.next = before.map(|at| Place { segment: old[at], page: None });
    Ok(())
}
