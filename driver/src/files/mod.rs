//! A driver's files: which are open, and the threads for what would block the shard.
//!
//! Jobs go to the *job thread*; opening, creating and closing to the *file thread*, because a journal that
//! waits for its next segment must not wait for a job as well; writes, syncs and reads to the ring in the
//! io_uring driver, and in the epoll driver to the *sync thread*, because creating a file takes longer than
//! a sync may. Each thread starts when it first has something to do.
//!
//! Owned by one driver. An operation in flight holds its file by itself, so a file number may be closed
//! and given out again at any time.

mod create;
mod worker;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Bell, Completion, FileId, Job};
pub(crate) use worker::room;
use worker::{Outcomes, Worker};

pub(crate) struct Files {
    table: HashMap<FileId, Entry>,
    /// One per create or open, so that a late answer is not taken for that of a later file of this number.
    tickets: u64,
    outcomes: Arc<Outcomes>,
    /// Emptied outcomes' memory, for the next time.
    taken: Vec<Outcome>,
    job_thread: Worker,
    file_thread: Worker,
    sync_thread: Worker,
}

enum Entry {
    Opening { ticket: u64 },
    Open(Arc<File>),
}

/// What a thread is to do.
pub(super) enum Task {
    Create {
        file: FileId,
        ticket: u64,
        path: PathBuf,
        bytes: u64,
    },
    Open {
        file: FileId,
        ticket: u64,
        path: PathBuf,
    },
    Job(Job),
    /// The last close of a file may free its blocks, which takes milliseconds.
    Close(Arc<File>),
    WriteSync {
        file: FileId,
        handle: Arc<File>,
        offset: u64,
        data: Bytes,
    },
    Read {
        handle: Arc<File>,
        offset: u64,
        bytes: u32,
        tag: u64,
    },
}

/// What a thread did.
pub(super) enum Outcome {
    Opened { file: FileId, ticket: u64, result: io::Result<File> },
    JobDone { tag: u64, result: io::Result<()> },
    Synced { file: FileId, result: io::Result<()> },
    ReadDone { tag: u64, result: io::Result<Bytes> },
}

impl Files {
    /// `bell` is rung when a thread has done something.
    pub(crate) fn new(shard: usize, bell: Bell) -> Self {
        let outcomes = Arc::new(Outcomes::new(bell));
        Self {
            table: HashMap::new(),
            tickets: 0,
            job_thread: Worker::new(format!("job-{shard}"), Arc::clone(&outcomes)),
            file_thread: Worker::new(format!("file-{shard}"), Arc::clone(&outcomes)),
            sync_thread: Worker::new(format!("sync-{shard}"), Arc::clone(&outcomes)),
            outcomes,
            taken: Vec::new(),
        }
    }

    pub(crate) fn create(&mut self, file: FileId, path: PathBuf, bytes: u64) {
        let ticket = self.begin_opening(file);
        self.file_thread.give(Task::Create { file, ticket, path, bytes });
    }

    pub(crate) fn open(&mut self, file: FileId, path: PathBuf) {
        let ticket = self.begin_opening(file);
        self.file_thread.give(Task::Open { file, ticket, path });
    }

    fn begin_opening(&mut self, file: FileId) -> u64 {
        self.tickets += 1;
        let former = self.table.insert(file, Entry::Opening { ticket: self.tickets });
        debug_assert!(former.is_none(), "{file:?} is closed before its number is used again");
        self.tickets
    }

    /// Forgets the number; the file is closed when the last operation in flight on it is done.
    pub(crate) fn close(&mut self, file: FileId) {
        if let Some(Entry::Open(handle)) = self.table.remove(&file) {
            self.release(handle);
        }
    }

    /// Lets go of a file off the shard's thread.
    pub(crate) fn release(&mut self, handle: Arc<File>) {
        self.file_thread.give(Task::Close(handle));
    }

    /// An open file.
    fn get(&self, file: FileId) -> io::Result<Arc<File>> {
        match self.table.get(&file) {
            Some(Entry::Open(handle)) => Ok(Arc::clone(handle)),
            Some(Entry::Opening { .. }) => Err(io::Error::other(format!("{file:?} is not open yet"))),
            None => Err(io::Error::other(format!("{file:?} is not open"))),
        }
    }

    pub(crate) fn job(&mut self, job: Job) {
        self.job_thread.give(Task::Job(job));
    }

    /// An open file, for `bytes` at `offset`, which must be places that a file can have: the ring takes
    /// the largest offsets for "where the file stands".
    pub(crate) fn get_for(&self, file: FileId, offset: u64, bytes: usize) -> io::Result<Arc<File>> {
        let end = offset.checked_add(bytes as u64);
        if end.is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.get(file)
    }

    /// Write and fdatasync, on the sync thread.
    pub(crate) fn write_sync(&mut self, file: FileId, offset: u64, data: Bytes) {
        match self.get_for(file, offset, data.len()) {
            Ok(handle) => self.sync_thread.give(Task::WriteSync { file, handle, offset, data }),
            Err(error) => self.refuse_write(file, error),
        }
    }

    /// Answers a write that was not begun.
    pub(crate) fn refuse_write(&self, file: FileId, error: io::Error) {
        self.outcomes.put(Outcome::Synced { file, result: Err(error) });
    }

    /// Answers a read that was not begun.
    pub(crate) fn refuse_read(&self, tag: u64, error: io::Error) {
        self.outcomes.put(Outcome::ReadDone { tag, result: Err(error) });
    }

    /// Read, on the sync thread.
    pub(crate) fn read(&mut self, file: FileId, offset: u64, bytes: u32, tag: u64) {
        match self.get_for(file, offset, bytes as usize) {
            Ok(handle) => self.sync_thread.give(Task::Read { handle, offset, bytes, tag }),
            Err(error) => self.refuse_read(tag, error),
        }
    }

    /// Whether [`Files::deliver`] has something to hand over.
    pub(crate) fn is_anything_done(&self) -> bool {
        self.outcomes.is_any()
    }

    /// Hands over what the threads have done; whether that was anything.
    pub(crate) fn deliver(&mut self, sink: &mut dyn FnMut(Completion<'_>)) -> bool {
        if !self.outcomes.is_any() {
            return false;
        }
        let mut taken = std::mem::take(&mut self.taken);
        self.outcomes.take(&mut taken);
        let any = !taken.is_empty();
        for outcome in taken.drain(..) {
            sink(match outcome {
                Outcome::Opened { file, ticket, result } => {
                    Completion::FileReady { file, result: self.on_opened(file, ticket, result) }
                }
                Outcome::JobDone { tag, result } => Completion::JobDone { tag, result },
                Outcome::Synced { file, result } => Completion::Synced { file, result },
                Outcome::ReadDone { tag, result } => Completion::ReadDone { tag, result },
            });
        }
        self.taken = taken;
        any
    }

    /// A file that was opened elsewhere, for devices that fail in ways that no new file does.
    #[cfg(test)]
    pub(crate) fn adopt(&mut self, file: FileId, handle: File) {
        self.table.insert(file, Entry::Open(Arc::new(handle)));
    }

    fn on_opened(&mut self, file: FileId, ticket: u64, result: io::Result<File>) -> io::Result<()> {
        let is_wanted = matches!(self.table.get(&file), Some(Entry::Opening { ticket: t }) if *t == ticket);
        match (result, is_wanted) {
            (Ok(handle), true) => {
                self.table.insert(file, Entry::Open(Arc::new(handle)));
                Ok(())
            }
            // Closed by the shard before it was open.
            (Ok(handle), false) => {
                self.release(Arc::new(handle));
                Ok(())
            }
            (Err(error), true) => {
                self.table.remove(&file);
                Err(error)
            }
            (Err(error), false) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a write of one byte to `device` ends on the sync thread.
    fn write_to(device: &str) -> io::Result<()> {
        let mut files = Files::new(0, Bell::new()?);
        files.adopt(FileId(1), File::options().write(true).open(device)?);
        files.write_sync(FileId(1), 0, Bytes::from_static(b"x"));
        let mut found = None;
        while found.is_none() {
            files.deliver(&mut |completion| match completion {
                Completion::Synced { result, .. } => found = Some(result),
                other => panic!("{other:?}"),
            });
            std::thread::yield_now();
        }
        found.unwrap()
    }

    #[test]
    fn a_full_device_and_one_that_cannot_sync_are_errors() {
        assert_eq!(write_to("/dev/full").unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        // It takes every byte, and knows no fdatasync.
        assert_eq!(write_to("/dev/null").unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
