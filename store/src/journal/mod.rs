//! The writing state machine of one shard: records in, operations out.
//!
//! ```text
//! append -> open batch -> (full) waiting batches -> in flight: write + fdatasync -> synced
//! segment: wanted -> creating -> created -> header being written -> ready -> closed -> sealed
//! ```
//!
//! Place on the path: after sequencing, before acknowledgement. Owner: the shard, for the life of the
//! process. Invariants:
//! * one batch is in flight; so whatever follows a bad batch in a segment proves corruption, not a torn write
//!   (with two in flight, recovery judged wrongly in 801 of 3,000 simulated power cuts);
//! * a segment's header is synced before its first batch is written;
//! * nothing counts as synced after a failed write or sync: the page cache is not trusted any more.
//!
//! Deliberately absent: the decision what to acknowledge, file handles, retries of failed writes.

mod batch;
mod op;
mod segments;

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use crate::checkpoint::Floor;
use crate::format::{batch as batch_format, header, record as record_format};
use crate::index::Index;
use crate::index::runs::Runs;
use crate::limits;
use crate::record::Record;
use crate::segment::{Salt, SegmentId};
use batch::Batch;
pub use op::{AppendError, EntryNumber, JournalOp, Positions};
use segments::{Phase, Sealing, Segment};

/// Where salts come from: the operating system, or a simulation's seed. Must be unpredictable to whoever
/// chooses payloads.
pub type SaltSource = Box<dyn FnMut() -> Salt + Send>;

/// Sizes of one journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Size of a segment file, bytes; brought into
    /// [`SEGMENT_BYTES_MIN`](limits::SEGMENT_BYTES_MIN)..=[`SEGMENT_BYTES_MAX`](limits::SEGMENT_BYTES_MAX).
    pub segment_bytes: u32,
    /// Where a batch is closed although the disk is busy, bytes; at most
    /// [`BATCH_BYTES_MAX`](limits::BATCH_BYTES_MAX).
    pub batch_bytes: usize,
    /// Bytes waiting for the disk at which [`Journal::is_full`] says so. Twice as many are refused.
    pub pending_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: limits::SEGMENT_BYTES_DEFAULT,
            batch_bytes: limits::BATCH_BYTES_DEFAULT,
            pending_bytes: limits::PENDING_BYTES_DEFAULT,
        }
    }
}

enum State {
    Running,
    /// Takes nothing more; what it has is still written.
    Stopping,
    Failed(String),
}

struct InFlight {
    segment: SegmentId,
    /// The driver has the other half; kept to get the buffer back.
    data: Bytes,
    /// End of the batch in the segment.
    end: u32,
    last: EntryNumber,
}

/// One shard's journal of one generation.
pub struct Journal {
    config: Config,
    salts: SaltSource,
    state: State,
    /// Oldest first: closed ones not yet written, then the one that takes batches.
    segments: VecDeque<Segment>,
    /// Created before it is needed.
    ahead: Option<Segment>,
    /// Offset in the segment that takes batches at which one that could not be created is tried again.
    retry_at: u32,
    /// Closed batches, oldest first. They wait for the disk or for their segment.
    waiting: VecDeque<Batch>,
    open: Option<Batch>,
    in_flight: Option<InFlight>,
    /// Batch buffers to use again.
    spare: Vec<Vec<u8>>,
    ops: VecDeque<JournalOp>,
    positions: Positions,
    next_batch: u64,
    /// Bytes appended and not yet synced.
    pending: usize,
    /// Rolled, all synced, not sealed yet.
    sealing: Vec<Sealing>,
    /// Memory of a sealed segment's offsets, to use again.
    spare_runs: Option<Runs>,
    index: Index,
}

impl Journal {
    /// A journal that begins a fresh segment of `generation`, on top of what recovery found for this shard.
    pub fn new(config: Config, generation: u32, shard: u16, index: Index, salts: SaltSource) -> Self {
        let config = Config {
            segment_bytes: config.segment_bytes.clamp(limits::SEGMENT_BYTES_MIN, limits::SEGMENT_BYTES_MAX),
            batch_bytes: config.batch_bytes.min(limits::BATCH_BYTES_MAX),
            pending_bytes: config.pending_bytes.max(1),
        };
        let mut journal = Self {
            config,
            salts,
            state: State::Running,
            segments: VecDeque::new(),
            ahead: None,
            retry_at: 0,
            waiting: VecDeque::new(),
            open: None,
            in_flight: None,
            spare: Vec::new(),
            ops: VecDeque::new(),
            positions: Positions::default(),
            next_batch: 1,
            pending: 0,
            sealing: Vec::new(),
            spare_runs: None,
            index,
        };
        let first = journal.want(SegmentId { generation, shard, index: 0 });
        journal.take_batches(first);
        journal
    }

    /// Adds a record to the open batch. It is durable once [`Journal::on_written`] has returned its number
    /// or a later one.
    pub fn append(&mut self, record: &Record<'_>) -> Result<EntryNumber, AppendError> {
        self.check_running()?;
        let max = self.payload_bytes_max();
        if record.payload.len() > max {
            return Err(AppendError::TooLarge { bytes: record.payload.len(), max });
        }
        let bytes = record_format::encoded_bytes(record.payload.len());
        let entry = EntryNumber(self.positions.appended.0 + 1);
        let (offset, length) = self.room(bytes).push(record, entry);
        self.appended(record, entry, offset, length);
        self.make_ahead(offset);
        Ok(entry)
    }

    /// Adds two records to one batch: after any crash either both are there, or neither. (Salvage of a damaged
    /// batch keeps what is whole of it, so that may be one of them.) Returns the number of the second.
    pub fn append_both(
        &mut self,
        first: &Record<'_>,
        second: &Record<'_>,
    ) -> Result<EntryNumber, AppendError> {
        self.check_running()?;
        let max = self.payload_bytes_max().saturating_sub(record_format::HEADER_BYTES);
        let bytes = first.payload.len() + second.payload.len();
        if bytes > max {
            return Err(AppendError::TooLarge { bytes, max });
        }
        let bytes = record_format::encoded_bytes(first.payload.len())
            + record_format::encoded_bytes(second.payload.len());
        let entry = EntryNumber(self.positions.appended.0 + 1);
        let batch = self.room(bytes);
        let first_at = batch.push(first, entry);
        let last = EntryNumber(entry.0 + 1);
        let second_at = batch.push(second, last);
        self.appended(first, entry, first_at.0, first_at.1);
        self.appended(second, last, second_at.0, second_at.1);
        self.make_ahead(second_at.0);
        Ok(last)
    }

    fn check_running(&self) -> Result<(), AppendError> {
        match &self.state {
            State::Running if self.pending >= 2 * self.config.pending_bytes => {
                Err(AppendError::Full { pending: self.pending })
            }
            State::Running => Ok(()),
            State::Stopping => Err(AppendError::Stopped),
            State::Failed(why) => Err(AppendError::Failed(why.clone())),
        }
    }

    /// Notes a record that is in the open batch now.
    fn appended(&mut self, record: &Record<'_>, entry: EntryNumber, offset: u32, length: u32) {
        self.positions.appended = entry;
        self.pending += length as usize;
        if record.kind.is_entry() {
            self.index.add(&record.conversation, record.sequence, offset, length);
        }
        self.segments.back_mut().expect("one segment takes batches").records += 1;
    }

    /// The next thing to do. Call until `None` at the end of a turn: whatever was appended in the turn then
    /// goes into one write if the disk is free.
    pub fn poll(&mut self) -> Option<JournalOp> {
        if matches!(self.state, State::Failed(_)) {
            return None;
        }
        if let Some(op) = self.ops.pop_front() {
            return Some(op);
        }
        if let Some(op) = self.prepare() {
            return Some(op);
        }
        self.write_batch()
    }

    /// The driver created a segment's file, or could not.
    pub fn on_created(&mut self, segment: SegmentId, result: io::Result<()>) {
        let Some(segment) = self.segment(segment) else { return };
        assert!(matches!(segment.phase, Phase::Creating), "a segment is created once");
        segment.phase = match result {
            Ok(()) => Phase::Created,
            Err(why) => {
                let why = format!("cannot create {}: {why}", segment.id.segment_name());
                tracing::error!(why, "the journal fails when it needs that file; will try again before");
                Phase::Broken(why)
            }
        };
    }

    /// The driver wrote and synced what [`Journal::poll`] gave it for a segment, or could not. Returns the
    /// newest durable entry; after a failure that never moves again.
    pub fn on_written(&mut self, segment: SegmentId, result: io::Result<()>) -> EntryNumber {
        if matches!(self.state, State::Failed(_)) {
            return self.positions.synced;
        }
        if let Err(why) = result {
            self.fail(format!("cannot write and sync {}: {why}", segment.segment_name()));
            return self.positions.synced;
        }
        match self.in_flight.take_if(|in_flight| in_flight.segment == segment) {
            Some(written) => self.batch_synced(written),
            None => {
                if let Some(segment) = self.segment(segment) {
                    assert!(matches!(segment.phase, Phase::WritingHeader), "a write is reported once");
                    segment.phase = Phase::Ready;
                }
            }
        }
        self.positions.synced
    }

    /// A [`Seal`](crate::Seal) job is done, or failed; a failed one is asked for again after the next roll.
    pub fn on_sealed(&mut self, segment: SegmentId, result: io::Result<()>) {
        self.sealed(segment, result);
    }

    /// Takes nothing more. What was appended is still written, then the segment is sealed.
    pub fn stop(&mut self) {
        if matches!(self.state, State::Running) {
            self.state = State::Stopping;
            self.close_open();
            self.segments.back_mut().expect("one segment takes batches").closed = true;
            self.seal_written();
        }
    }

    /// Whether [`Journal::stop`] has nothing left to wait for. Never, once it has failed.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopping)
            && self.positions.synced == self.positions.appended
            && self.ops.is_empty()
            && self.sealing.iter().all(|sealing| !sealing.asked)
    }

    /// Whether so much waits for the disk that publishers should be refused with `busy`. One that was let in
    /// just before is still taken.
    pub fn is_full(&self) -> bool {
        self.pending >= self.config.pending_bytes || matches!(self.state, State::Failed(_) | State::Stopping)
    }

    /// Why the journal failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        match &self.state {
            State::Failed(why) => Some(why),
            State::Running | State::Stopping => None,
        }
    }

    /// How far it has come.
    pub fn positions(&self) -> Positions {
        self.positions
    }

    /// Bytes appended and not yet synced.
    pub fn pending_bytes(&self) -> usize {
        self.pending
    }

    /// The largest payload it takes, bytes.
    pub fn payload_bytes_max(&self) -> usize {
        let overhead =
            header::DATA_OFFSET as usize + batch_format::HEADER_BYTES + record_format::HEADER_BYTES;
        limits::PAYLOAD_BYTES_MAX.min(self.config.segment_bytes as usize - overhead)
    }

    /// Segments below `floor` are about to be removed; see [`Checkpointer::retire`](crate::Checkpointer::retire).
    pub fn retire(&mut self, floor: &Floor) {
        self.index.retire(floor.clone());
    }

    /// Where this shard's conversations are.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The open batch, with room for a record of `bytes` in batch and segment.
    fn room(&mut self, bytes: usize) -> &mut Batch {
        let fits = |batch: &Batch| {
            batch.bytes() + bytes <= self.config.batch_bytes
                && batch.end() as usize + bytes <= self.config.segment_bytes as usize
        };
        if self.open.as_ref().is_some_and(|open| !fits(open)) {
            self.close_open();
        }
        if self.open.is_none() {
            self.open = Some(self.begin_batch(bytes));
        }
        self.open.as_mut().expect("opened above")
    }

    fn begin_batch(&mut self, bytes: usize) -> Batch {
        let size = batch_format::HEADER_BYTES + bytes;
        let taking = self.segments.back().expect("one segment takes batches");
        if taking.placed as usize + size > self.config.segment_bytes as usize {
            self.roll();
        }
        let taking = self.segments.back_mut().expect("one segment takes batches");
        let number = self.next_batch;
        self.next_batch += 1;
        self.pending += batch_format::HEADER_BYTES;
        let buffer = self.spare.pop().unwrap_or_default();
        taking.batches.get_or_insert((number, number)).1 = number;
        Batch::new(taking.id, taking.salt, taking.placed, number, buffer)
    }

    fn close_open(&mut self) {
        if let Some(batch) = self.open.take() {
            let taking = self.segments.back_mut().expect("one segment takes batches");
            debug_assert_eq!(taking.id, batch.segment);
            taking.placed = batch.end();
            self.waiting.push_back(batch);
        }
    }

    fn write_batch(&mut self) -> Option<JournalOp> {
        if self.in_flight.is_some() {
            return None;
        }
        let next = self.waiting.front().or(self.open.as_ref())?.segment;
        match self.segment(next).map(|segment| &segment.phase) {
            Some(Phase::Ready) => {}
            Some(Phase::Broken(why)) => {
                let why = why.clone();
                self.fail(why);
                return None;
            }
            Some(Phase::Wanted | Phase::Creating | Phase::Created | Phase::WritingHeader) | None => {
                return None;
            }
        }
        if self.waiting.is_empty() {
            self.close_open();
        }
        let batch = self.waiting.pop_front()?;
        let (offset, end, last) = (batch.offset, batch.end(), batch.last);
        let data = batch.finish();
        self.positions.written = last;
        self.in_flight = Some(InFlight { segment: next, data: data.clone(), end, last });
        Some(JournalOp::Write { segment: next, offset: u64::from(offset), data })
    }

    fn batch_synced(&mut self, written: InFlight) {
        debug_assert!(written.last > self.positions.synced && written.last <= self.positions.written);
        self.positions.synced = written.last;
        self.pending -= written.data.len();
        self.index.synced(written.segment, written.end);
        if let Some(segment) = self.segment(written.segment) {
            segment.synced = written.end;
        }
        if written.data.is_unique() && self.spare.len() < limits::SPARE_BUFFERS {
            self.spare.push(Vec::from(written.data));
        }
        self.seal_written();
    }

    fn fail(&mut self, why: String) {
        tracing::error!(why, "the journal has failed; nothing more becomes durable");
        self.state = State::Failed(why);
    }
}

#[cfg(test)]
mod tests;
