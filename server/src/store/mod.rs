//! The journal as a shard uses it: the store's wishes become the driver's operations, the driver's
//! completions become the store's facts.
//!
//! Owner: the shard. Lifetime: the process; another generation begins with the next start.
//!
//! Absent: what entries mean (`conversation` folds them), formats (`ringwire-store`), and I/O.

mod fold;
pub mod recovery;
pub mod retention;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use ringwire_driver::{FileId, Job, Operation, Operations};
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_store::{
    Files, Floor, History, HistoryConfig, HistoryOp, Journal, JournalOp, Record, RecordKind, SegmentId,
};

pub(crate) use fold::message;
pub use fold::{Folded, KeyFold, Tables};
pub use ringwire_store::{AppendError, Direction, EntryNumber, FetchError, Page, Query};

/// A message of a conversation, as the whole `Message` frame.
pub const ENTRY: RecordKind = RecordKind(1);

/// An entry again, in the log of the amendments of its bucket, whose key it is under; see
/// [`crate::conversation::state`].
pub const AMENDMENT: RecordKind = RecordKind(2);

/// A note: sequences up to the record's own may have been shown before they were synced. No payload.
pub const RESERVED: RecordKind = RecordKind(0x81);

/// A note: how members of the conversation stand. The record's sequence is the conversation's last.
pub const MEMBERS: RecordKind = RecordKind(0x82);

/// A note: something about a user, whose id it is under; see [`crate::user::state`]. Its sequence is 0.
pub const USER: RecordKind = RecordKind(0x83);

/// What a completion brought about.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing that anybody waits for.
    Nothing,
    /// Every entry up to this one is durable.
    Synced(EntryNumber),
    /// The journal has failed, just now.
    Failed,
}

/// What a driver's file is to the store.
#[derive(Clone, Copy)]
enum Use {
    Write(SegmentId),
    /// The history's own number.
    Read(u32),
}

/// What a job on the file thread is for.
#[derive(Clone, Copy)]
enum JobUse {
    Seal(SegmentId),
    Rebuild(SegmentId),
}

/// One shard's journal.
pub struct Log {
    journal: Journal,
    history: History,
    files: Arc<dyn Files>,
    uses: HashMap<FileId, Use, RandomState>,
    written_to: HashMap<SegmentId, FileId, RandomState>,
    read_from: HashMap<u32, FileId, RandomState>,
    /// Numbers to use again, so that they stay small.
    free: Vec<FileId>,
    /// By the tag of their job.
    jobs: HashMap<u64, JobUse, RandomState>,
    next_tag: u64,
    failure_told: bool,
    sealed: Sealed,
    /// Since when the segment that takes records does, or longer, milliseconds since 1970; none before the first record.
    begun_ms: Option<u64>,
}

/// Called on the file thread when a segment was sealed.
pub type Sealed = Arc<dyn Fn() + Send + Sync>;

impl Log {
    /// Writes to `journal`; `files` is where its seals and checkpoints go.
    pub fn new(journal: Journal, files: Arc<dyn Files>) -> Self {
        Log {
            history: History::new(HistoryConfig::default(), journal.index()),
            journal,
            files,
            uses: HashMap::default(),
            written_to: HashMap::default(),
            read_from: HashMap::default(),
            free: Vec::new(),
            jobs: HashMap::default(),
            next_tag: 0,
            failure_told: false,
            sealed: Arc::new(|| {}),
            begun_ms: None,
        }
    }

    /// When [`Log::roll_if_older`] may have something to do, milliseconds from now.
    pub fn next_roll_ms(&self, unix_ms: u64, age_ms: u64) -> Option<u64> {
        let due_ms = self.begun_ms?.checked_add(age_ms)?;
        Some(due_ms.saturating_sub(unix_ms).max(1))
    }

    /// Says who is to know that a segment was sealed: whoever makes checkpoints.
    pub fn notify_seals(&mut self, sealed: Sealed) {
        self.sealed = sealed;
    }

    /// Appends one entry of a conversation.
    ///
    /// # Errors
    /// Where the journal is full or has failed; nothing was appended.
    pub fn append(
        &mut self,
        conversation: ConversationId,
        sequence: u64,
        time_ms: u64,
        frame: &[u8],
    ) -> Result<EntryNumber, AppendError> {
        self.journal.append(&Record {
            kind: ENTRY,
            conversation: *conversation.as_bytes(),
            sequence,
            time_ms,
            payload: frame,
        })
    }

    /// Appends an entry of a conversation that amends an earlier one, and the same to the log `bucket` of its
    /// amendments, as its entry `nth`: both or none, also after a crash.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_amendment(
        &mut self,
        (conversation, sequence): (ConversationId, u64),
        (bucket, nth): (ConversationId, u64),
        time_ms: u64,
        frame: &[u8],
    ) -> Result<EntryNumber, AppendError> {
        let entry =
            Record { kind: ENTRY, conversation: *conversation.as_bytes(), sequence, time_ms, payload: frame };
        let again = Record { kind: AMENDMENT, conversation: *bucket.as_bytes(), sequence: nth, ..entry };
        self.journal.append_both(&entry, &again)
    }

    /// Appends a note about members of a conversation, whose last sequence is `head`.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn note_members(
        &mut self,
        conversation: ConversationId,
        head: u64,
        time_ms: u64,
        note: &[u8],
    ) -> Result<EntryNumber, AppendError> {
        self.journal.append(&Record {
            kind: MEMBERS,
            conversation: *conversation.as_bytes(),
            sequence: head,
            time_ms,
            payload: note,
        })
    }

    /// The longest note or entry, bytes.
    pub fn payload_bytes_max(&self) -> usize {
        self.journal.payload_bytes_max()
    }

    /// Appends a note that the sequences of a conversation up to `up_to` are reserved.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn reserve(
        &mut self,
        conversation: ConversationId,
        up_to: u64,
        time_ms: u64,
    ) -> Result<EntryNumber, AppendError> {
        self.journal.append(&Record {
            kind: RESERVED,
            conversation: *conversation.as_bytes(),
            sequence: up_to,
            time_ms,
            payload: &[],
        })
    }

    /// Appends a note that the order of a conversation goes on behind `behind`, although entries before it are
    /// missing. Comes before the entry that goes on.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn skip(
        &mut self,
        conversation: ConversationId,
        behind: u64,
        time_ms: u64,
    ) -> Result<EntryNumber, AppendError> {
        self.journal.append(&Record {
            kind: RecordKind::SKIP,
            conversation: *conversation.as_bytes(),
            sequence: behind,
            time_ms,
            payload: &[],
        })
    }

    /// Appends a note about a user; the key's owner is the user's home.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn note_user(&mut self, user: UserId, time_ms: u64, note: &[u8]) -> Result<EntryNumber, AppendError> {
        let conversation = *user.as_bytes();
        self.journal.append(&Record { kind: USER, conversation, sequence: 0, time_ms, payload: note })
    }

    /// The last entry appended.
    pub fn appended(&self) -> EntryNumber {
        self.journal.positions().appended
    }

    /// The last entry that is durable.
    pub fn synced(&self) -> EntryNumber {
        self.journal.positions().synced
    }

    /// Whether everything appended is durable.
    pub fn is_synced(&self) -> bool {
        let positions = self.journal.positions();
        positions.appended == positions.synced
    }

    /// Bytes appended and not yet synced.
    pub fn pending_bytes(&self) -> usize {
        self.journal.pending_bytes()
    }

    /// Whether publishers have to wait for the disk.
    pub fn is_full(&self) -> bool {
        self.journal.is_full()
    }

    /// Why nothing is taken any more, if so.
    pub fn failure(&self) -> Option<&str> {
        self.journal.failure()
    }

    /// Writes what is there and takes nothing more.
    pub fn stop(&mut self) {
        self.journal.stop();
    }

    /// Whether everything is written after [`Log::stop`].
    pub fn is_stopped(&self) -> bool {
        self.journal.is_stopped() && self.jobs.is_empty()
    }

    /// Goes on to another segment where this one has taken records for so long: else what is little would never be
    /// old enough as a whole to be given up.
    pub fn roll_if_older(&mut self, unix_ms: u64, age_ms: u64) {
        let written = self.journal.positions().appended != EntryNumber::default();
        let begun_ms = match self.begun_ms {
            None if !written || age_ms == u64::MAX => return,
            None => *self.begun_ms.insert(unix_ms),
            Some(begun_ms) => begun_ms,
        };
        if unix_ms.saturating_sub(begun_ms) >= age_ms {
            self.journal.roll_over();
            self.begun_ms = Some(unix_ms);
        }
    }

    /// Closes this turn's batch and hands over what the disk is to do.
    pub fn poll(&mut self, operations: &mut Operations) {
        while let Some(op) = self.journal.poll() {
            self.on_journal_op(op, operations);
        }
        while let Some(op) = self.history.poll() {
            self.on_history_op(op, operations);
        }
    }

    fn on_journal_op(&mut self, op: JournalOp, operations: &mut Operations) {
        match op {
            JournalOp::Create { segment, bytes } => {
                let file = self.open_as(Use::Write(segment));
                self.written_to.insert(segment, file);
                let path = self.files.path(&segment.segment_name());
                operations.push(Operation::CreateFile { file, path, bytes });
            }
            JournalOp::Write { segment, offset, data } => {
                let file = *self.written_to.get(&segment).expect("a segment is created before it is written");
                operations.push(Operation::WriteSync { file, offset, data });
            }
            JournalOp::Seal(seal) => {
                if let Some(file) = self.written_to.remove(&seal.segment()) {
                    self.close(file, operations);
                }
                let segment = seal.segment();
                let sealed = Arc::clone(&self.sealed);
                self.job(JobUse::Seal(segment), operations, move |files| {
                    seal.run(files)?;
                    sealed();
                    Ok(())
                });
            }
        }
    }

    fn on_history_op(&mut self, op: HistoryOp, operations: &mut Operations) {
        match op {
            HistoryOp::Open { file: number, name } => {
                let file = self.open_as(Use::Read(number));
                self.read_from.insert(number, file);
                operations.push(Operation::OpenFile { file, path: self.files.path(&name) });
            }
            HistoryOp::Read { file, offset, bytes, tag } => {
                let file = *self.read_from.get(&file).expect("a file is opened before it is read");
                operations.push(Operation::Read { file, offset, bytes, tag });
            }
            HistoryOp::Close { file } => {
                if let Some(file) = self.read_from.remove(&file) {
                    self.close(file, operations);
                }
            }
            HistoryOp::Rebuild(rebuild) => {
                let segment = rebuild.segment();
                self.job(JobUse::Rebuild(segment), operations, move |files| rebuild.run(files));
            }
        }
    }

    fn open_as(&mut self, as_what: Use) -> FileId {
        let file = self.free.pop().unwrap_or(FileId(self.uses.len() as u32));
        self.uses.insert(file, as_what);
        file
    }

    fn close(&mut self, file: FileId, operations: &mut Operations) {
        self.uses.remove(&file);
        self.free.push(file);
        operations.push(Operation::CloseFile { file });
    }

    fn job(
        &mut self,
        what_for: JobUse,
        operations: &mut Operations,
        work: impl FnOnce(&dyn Files) -> io::Result<()> + Send + 'static,
    ) {
        self.next_tag += 1;
        self.jobs.insert(self.next_tag, what_for);
        let files = Arc::clone(&self.files);
        operations.push(Operation::Job(Job { tag: self.next_tag, work: Box::new(move || work(&*files)) }));
    }

    /// A file is there, or is not.
    pub fn on_file_ready(&mut self, file: FileId, result: io::Result<()>) -> Step {
        match self.uses.get(&file) {
            Some(Use::Write(segment)) => self.journal.on_created(*segment, result),
            Some(Use::Read(number)) => self.history.on_opened(*number, result),
            None => {}
        }
        self.check_failure(Step::Nothing)
    }

    /// A batch is durable, or never will be.
    pub fn on_synced(&mut self, file: FileId, result: io::Result<()>) -> Step {
        let Some(Use::Write(segment)) = self.uses.get(&file) else { return Step::Nothing };
        let entry = self.journal.on_written(*segment, result);
        self.check_failure(Step::Synced(entry))
    }

    /// A job is done.
    pub fn on_job(&mut self, tag: u64, result: io::Result<()>) -> Step {
        match self.jobs.remove(&tag) {
            Some(JobUse::Seal(segment)) => self.journal.on_sealed(segment, result),
            Some(JobUse::Rebuild(segment)) => self.history.on_rebuilt(segment, result),
            None => {}
        }
        self.check_failure(Step::Nothing)
    }

    /// Failures may also come to light while the journal is asked for its next operation.
    pub fn check_failure(&mut self, otherwise: Step) -> Step {
        if self.journal.failure().is_some() && !self.failure_told {
            self.failure_told = true;
            return Step::Failed;
        }
        otherwise
    }

    /// Segments below `floor` are about to be removed: nothing is read from them any more.
    pub fn retire(&mut self, floor: &Floor) {
        self.journal.retire(floor);
        self.history.retire(floor);
    }

    /// Asks for entries of a conversation; answered by [`Log::take_fetched`] under the same tag.
    ///
    /// # Errors
    /// Where as many requests wait as may.
    pub fn fetch(&mut self, tag: u64, query: Query) -> Result<(), FetchError> {
        self.history.fetch(self.journal.index(), tag, query)
    }

    /// A read is done.
    pub fn on_read(&mut self, tag: u64, result: io::Result<Bytes>) {
        self.history.on_read(tag, result);
    }

    /// The next answered fetch: its tag, and the entries in the order of their sequences.
    pub fn take_fetched(&mut self) -> Option<(u64, Result<Page, FetchError>)> {
        self.history.take_done()
    }
}
