//! A thread that does blocking file work in the order given, and the mailbox for what it did.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;

use super::{Outcome, Task, create};
use crate::{Bell, affinity};

/// What the threads of one driver have done. Filled by them, emptied by the driver.
pub(super) struct Outcomes {
    list: Mutex<Vec<Outcome>>,
    /// Set after the list is filled, so that the driver looks without the lock.
    any: AtomicBool,
    bell: Bell,
}

impl Outcomes {
    pub(super) fn new(bell: Bell) -> Self {
        Self { list: Mutex::default(), any: AtomicBool::new(false), bell }
    }

    pub(super) fn put(&self, outcome: Outcome) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        self.any.store(true, Ordering::Release);
        self.bell.ring();
    }

    pub(super) fn is_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Swaps the list with `room`, which is empty.
    pub(super) fn take(&self, room: &mut Vec<Outcome>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that what is put after this is seen next time.
        self.any.store(false, Ordering::Release);
        std::mem::swap(&mut *list, room);
    }
}

/// One thread, started at its first task. Dropping it abandons the tasks that have not begun and waits for
/// the one that has: nothing touches the files afterwards.
pub(super) struct Worker {
    name: String,
    outcomes: Arc<Outcomes>,
    stop: Arc<AtomicBool>,
    running: Option<Running>,
}

struct Running {
    tasks: mpsc::Sender<Task>,
    thread: JoinHandle<()>,
}

impl Worker {
    pub(super) fn new(name: String, outcomes: Arc<Outcomes>) -> Self {
        Self { name, outcomes, stop: Arc::default(), running: None }
    }

    pub(super) fn give(&mut self, task: Task) {
        if self.running.is_none() {
            match self.start() {
                Ok(running) => self.running = Some(running),
                // The shard learns it as the failure of what it asked for.
                Err(error) => return refuse(task, &error, &self.outcomes),
            }
        }
        if let Some(running) = &self.running
            && let Err(mpsc::SendError(task)) = running.tasks.send(task)
        {
            refuse(task, &io::Error::other("the file thread has ended"), &self.outcomes);
        }
    }

    fn start(&self) -> io::Result<Running> {
        let (tasks, given) = mpsc::channel();
        let (outcomes, stop) = (Arc::clone(&self.outcomes), Arc::clone(&self.stop));
        let thread = std::thread::Builder::new().name(self.name.clone()).spawn(move || {
            // The shard is bound to a processor, and its threads inherit that; file work is not to share it.
            if let Err(error) = affinity::unpin_current() {
                tracing::debug!(%error, "a file thread stays on its shard's processor");
            }
            for task in given {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                if let Some(outcome) = carry_out(task) {
                    outcomes.put(outcome);
                }
            }
        })?;
        Ok(Running { tasks, thread })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(Running { tasks, thread }) = self.running.take() {
            self.stop.store(true, Ordering::Relaxed);
            drop(tasks);
            if thread.join().is_err() {
                tracing::error!(thread = self.name, "a file thread panicked");
            }
        }
    }
}

/// Answers a task that no thread will do.
fn refuse(task: Task, error: &io::Error, outcomes: &Outcomes) {
    let error = || io::Error::new(error.kind(), format!("no file thread: {error}"));
    outcomes.put(match task {
        Task::Create { file, ticket, .. } | Task::Open { file, ticket, .. } => {
            Outcome::Opened { file, ticket, result: Err(error()) }
        }
        Task::Job(job) => Outcome::JobDone { tag: job.tag, result: Err(error()) },
        Task::WriteSync { file, .. } => Outcome::Synced { file, result: Err(error()) },
        Task::Read { tag, .. } => Outcome::ReadDone { tag, result: Err(error()) },
        Task::Close(_) => return,
    });
}

fn carry_out(task: Task) -> Option<Outcome> {
    Some(match task {
        Task::Create { file, ticket, path, bytes } => {
            Outcome::Opened { file, ticket, result: create::create(&path, bytes) }
        }
        Task::Open { file, ticket, path } => Outcome::Opened { file, ticket, result: File::open(path) },
        Task::Job(job) => {
            // A job that panics has failed; it must not take the other files' thread with it.
            let result = std::panic::catch_unwind(AssertUnwindSafe(job.work));
            let result = result.unwrap_or_else(|_| Err(io::Error::other("the job panicked")));
            Outcome::JobDone { tag: job.tag, result }
        }
        Task::Close(handle) => {
            drop(handle);
            return None;
        }
        Task::WriteSync { file, handle, offset, data } => {
            let result = handle.write_all_at(&data, offset).and_then(|()| handle.sync_data());
            Outcome::Synced { file, result }
        }
        Task::Read { handle, offset, bytes, tag } => {
            Outcome::ReadDone { tag, result: read(&handle, offset, bytes) }
        }
    })
}

/// Reads until `bytes` are there or the file ends.
fn read(file: &File, offset: u64, bytes: u32) -> io::Result<Bytes> {
    let mut buffer = room(bytes)?;
    buffer.resize(bytes as usize, 0);
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(buffer.into())
}

/// An empty buffer for `bytes`, or the news that there is no memory for it.
pub(crate) fn room(bytes: u32) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes as usize).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    Ok(buffer)
}
