//! The queue and its file together: what is recorded holds at once in memory, and is durable a moment later.
//!
//! ```text
//!   record ──► queue (at once)
//!      └─────► pending bytes ──► committer: one write and fdatasync for all ──► whoever waits is told
//! ```
//!
//! One write is under way; what is recorded meanwhile gathers for the next. A failed write ends the plane, and
//! with it the process: the disk is also the journals'.

use std::cell::{Cell, Ref, RefCell};
use std::io;
use std::rc::Rc;

use tokio::sync::{Notify, oneshot};

use super::file::{Opened, QueueFile, encode};
use super::job::JobId;
use super::queue::{Entry, Queue};

/// The file is written anew when it has this many entries more than twice as many as are needed.
const GARBAGE_ENTRIES: usize = 10_000;

/// The queue, shared by everything on the plane's thread that reads or changes it.
#[derive(Clone)]
pub struct Ledger(Rc<Inner>);

struct Inner {
    queue: RefCell<Queue>,
    /// Entries that are not written, as they stand in the file.
    pending: RefCell<Vec<u8>>,
    pending_entries: Cell<usize>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
    work: Notify,
    is_closing: Cell<bool>,
}

/// Writes what is recorded; runs until the ledger is closed.
pub struct Committer {
    ledger: Ledger,
    file: QueueFile,
    /// Entries in the file.
    entries: usize,
}

/// Takes over what was found in the file.
pub fn ledger(opened: Opened) -> (Ledger, Committer) {
    let entries = opened.entries.len();
    let mut queue = Queue::default();
    opened.entries.into_iter().for_each(|entry| queue.apply(entry));
    let ledger = Ledger(Rc::new(Inner {
        queue: RefCell::new(queue),
        pending: RefCell::default(),
        pending_entries: Cell::new(0),
        waiting: RefCell::default(),
        work: Notify::new(),
        is_closing: Cell::new(false),
    }));
    (ledger.clone(), Committer { ledger, file: opened.file, entries })
}

impl Ledger {
    /// The queue, to read. Not kept over an `await`.
    pub fn queue(&self) -> Ref<'_, Queue> {
        self.0.queue.borrow()
    }

    /// A number for a new job.
    pub fn next_job(&self) -> JobId {
        self.0.queue.borrow_mut().next_job()
    }

    /// Applies an entry; it is durable once [`Self::durable`] returns.
    pub fn record(&self, entry: Entry) {
        encode(&entry, &mut self.0.pending.borrow_mut());
        self.0.pending_entries.set(self.0.pending_entries.get() + 1);
        self.0.queue.borrow_mut().apply(entry);
        self.0.work.notify_one();
    }

    /// Waits until everything that was recorded before is on the disk. Never returns after the disk has failed:
    /// then the plane ends.
    pub async fn durable(&self) {
        let (told, tells) = oneshot::channel();
        self.0.waiting.borrow_mut().push(told);
        self.0.work.notify_one();
        if tells.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets the committer end, once it has written everything.
    pub fn close(&self) {
        self.0.is_closing.set(true);
        self.0.work.notify_one();
    }
}

impl Committer {
    /// Writes until the ledger is closed.
    ///
    /// # Errors
    /// The disk's first failure.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            let ledger = &self.ledger.0;
            let waiting = ledger.waiting.take();
            let mut bytes = ledger.pending.take();
            let count = ledger.pending_entries.take();
            if count == 0 {
                // What was recorded before is written already.
                waiting.into_iter().for_each(|told| {
                    let _ = told.send(());
                });
                if ledger.is_closing.get() {
                    return Ok(());
                }
                ledger.work.notified().await;
                continue;
            }
            let needed = ledger.queue.borrow().entries_count();
            let is_mostly_garbage = self.entries + count > 2 * needed + GARBAGE_ENTRIES;
            if is_mostly_garbage {
                // The queue has the pending entries in it already.
                bytes.clear();
                ledger.queue.borrow().entries().for_each(|entry| encode(&entry, &mut bytes));
                self.entries = needed;
            } else {
                self.entries += count;
            }
            let mut file = self.file;
            let written = tokio::task::spawn_blocking(move || {
                let result = if is_mostly_garbage { file.rewrite(&bytes) } else { file.append(&bytes) };
                (file, result)
            });
            let (file, result) = written.await.map_err(io::Error::other)?;
            result.map_err(|error| {
                let path = file.path().display();
                io::Error::new(error.kind(), format!("the push queue {path} cannot be written: {error}"))
            })?;
            self.file = file;
            waiting.into_iter().for_each(|told| {
                let _ = told.send(());
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwire_protocol::id::{ConversationId, UserId};

    fn woken(at: u64) -> Entry {
        Entry::Woken {
            user: UserId::from_name(&format!("user-{at}")),
            conversation: ConversationId::from_name("room"),
            sequence: at,
            jobs: Vec::new(),
        }
    }

    fn run(test: impl AsyncFnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(tokio::task::LocalSet::new().run_until(test()));
    }

    #[test]
    fn what_is_durable_is_there_after_a_crash() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("queue");
        run(async || {
            let (ledger, committer) = ledger(QueueFile::open(&path).expect("opened"));
            let committing = tokio::task::spawn_local(committer.run());
            for at in 0..100 {
                ledger.record(woken(at));
            }
            ledger.durable().await;
            let entries = QueueFile::open(&path).expect("opened").entries;
            assert_eq!(entries.len(), 100, "durable means: another process reads it");
            ledger.record(woken(100));
            ledger.close();
            committing.await.expect("no panic").expect("a sound disk");
            assert_eq!(QueueFile::open(&path).expect("opened").entries.len(), 101);
        });
    }

    #[test]
    fn a_file_of_what_is_over_is_written_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("queue");
        run(async || {
            let (ledger, committer) = ledger(QueueFile::open(&path).expect("opened"));
            tokio::task::spawn_local(committer.run());
            ledger.record(woken(0));
            for _ in 0..3 {
                for at in 1..(GARBAGE_ENTRIES / 4) as u64 {
                    ledger.record(woken(at));
                    ledger.record(Entry::Back { user: UserId::from_name(&format!("user-{at}")) });
                }
                ledger.durable().await;
            }
            let entries = QueueFile::open(&path).expect("opened").entries;
            assert!(entries.len() < GARBAGE_ENTRIES, "{} entries for one wake-up", entries.len());
            let mut read = Queue::default();
            entries.into_iter().for_each(|entry| read.apply(entry));
            assert_eq!(read.entries_count(), 1);
        });
    }
}
