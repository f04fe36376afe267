//! Writes with their sync, and reads, through the ring.
//!
//! A write asks for its sync itself (`RWF_DSYNC`): one request that the kernel works off on one thread of its own.
//! A linked fdatasync is started only when this thread looks at the ring, which wakes it between the two. A short
//! write is durable as far as it came, and the rest is asked for.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use bytes::Bytes;
use io_uring::opcode;
use io_uring::types::Fd;

use super::UringDriver;
use super::ring::Entered;
use super::token::{Opcode, Token};
use crate::files::room;
use crate::{Completion, FileId};

/// The most that is asked of the kernel in one request; it takes 2 GiB at most.
const PART_MAX: usize = 1 << 30;

/// File operations in flight. The kernel reads and writes memory that they own, so an entry stays until
/// its last completion.
#[derive(Default)]
pub(super) struct Table {
    entries: Vec<Option<InFlight>>,
    free: Vec<u32>,
}

enum InFlight {
    Write(Write),
    Read(Read),
}

struct Write {
    file: FileId,
    handle: Arc<File>,
    offset: u64,
    data: Bytes,
    /// Bytes of `data` that are written.
    done: usize,
}

struct Read {
    tag: u64,
    handle: Arc<File>,
    offset: u64,
    /// Its length is what was read; its capacity at least what was asked for.
    buffer: Vec<u8>,
    asked: usize,
}

impl Table {
    fn insert(&mut self, operation: InFlight) -> u32 {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = Some(operation);
            return index;
        }
        self.entries.push(Some(operation));
        (self.entries.len() - 1) as u32
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut InFlight> {
        self.entries.get_mut(index as usize)?.as_mut()
    }

    fn remove(&mut self, index: u32) -> Option<InFlight> {
        let operation = self.entries.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(operation)
    }
}

impl UringDriver {
    pub(super) fn write_sync(&mut self, file: FileId, offset: u64, data: Bytes) {
        match self.files.get_for(file, offset, data.len()) {
            Ok(handle) => {
                let write = Write { file, handle, offset, data, done: 0 };
                let index = self.in_flight.insert(InFlight::Write(write));
                self.push_write(index);
            }
            Err(error) => self.files.refuse_write(file, error),
        }
    }

    pub(super) fn read(&mut self, file: FileId, offset: u64, bytes: u32, tag: u64) {
        let prepared =
            self.files.get_for(file, offset, bytes as usize).and_then(|handle| Ok((handle, room(bytes)?)));
        match prepared {
            Ok((handle, buffer)) => {
                let read = Read { tag, handle, offset, buffer, asked: bytes as usize };
                let index = self.in_flight.insert(InFlight::Read(read));
                self.push_read(index);
            }
            Err(error) => self.files.refuse_read(tag, error),
        }
    }

    /// Asks for what is left of a write.
    fn push_write(&mut self, index: u32) {
        self.make_room(1);
        let Some(InFlight::Write(write)) = self.in_flight.get_mut(index) else { return };
        let left = &write.data[write.done..];
        let fd = Fd(write.handle.as_raw_fd());
        let entry = opcode::Write::new(fd, left.as_ptr(), left.len().min(PART_MAX) as u32)
            .offset(write.offset + write.done as u64)
            .rw_flags(libc::RWF_DSYNC)
            .build()
            .user_data(Token::new(Opcode::Write, index, 0).pack());
        // SAFETY: the table keeps `data`, and the file open, until the request has completed; it is freed only
        // after every request has ended, or else leaked (see `UringDriver`).
        unsafe { self.ring.push(&entry) };
    }

    fn push_read(&mut self, index: u32) {
        self.make_room(1);
        let Some(InFlight::Read(read)) = self.in_flight.get_mut(index) else { return };
        let filled = read.buffer.len();
        let left = (read.asked - filled).min(PART_MAX) as u32;
        let start = read.buffer.spare_capacity_mut().as_mut_ptr().cast();
        let entry = opcode::Read::new(Fd(read.handle.as_raw_fd()), start, left)
            .offset(read.offset + filled as u64)
            .build()
            .user_data(Token::new(Opcode::Read, index, 0).pack());
        // SAFETY: the buffer has room for `asked` bytes, `left` of them behind `filled`; its heap memory
        // stays where it is, untouched, in the table until the request has completed (as above).
        unsafe { self.ring.push(&entry) };
    }

    /// A write with its sync has completed.
    pub(super) fn on_write(&mut self, token: Token, entered: Entered, sink: &mut dyn FnMut(Completion<'_>)) {
        let Some(InFlight::Write(write)) = self.in_flight.get_mut(token.slot) else {
            self.counters.stale += 1;
            return;
        };
        let result = match entered.result {
            error if -error == libc::EINTR || -error == libc::EAGAIN => return self.push_write(token.slot),
            // Also a sync that failed. It is not tried again: what it did not write may be dropped already.
            error @ ..0 => Err(io::Error::from_raw_os_error(-error)),
            0 if write.done < write.data.len() => Err(io::ErrorKind::WriteZero.into()),
            part => {
                write.done += part.cast_unsigned() as usize;
                if write.done < write.data.len() {
                    return self.push_write(token.slot);
                }
                Ok(())
            }
        };
        if let Some(InFlight::Write(write)) = self.in_flight.remove(token.slot) {
            self.let_go(write.handle);
            sink(Completion::Synced { file: write.file, result });
        }
    }

    pub(super) fn on_read(&mut self, token: Token, entered: Entered, sink: &mut dyn FnMut(Completion<'_>)) {
        let Some(InFlight::Read(read)) = self.in_flight.get_mut(token.slot) else {
            self.counters.stale += 1;
            return;
        };
        let failed = match entered.result {
            error if -error == libc::EINTR || -error == libc::EAGAIN => return self.push_read(token.slot),
            error @ ..0 => Some(io::Error::from_raw_os_error(-error)),
            part => {
                let filled = read.buffer.len() + part.cast_unsigned() as usize;
                assert!(filled <= read.asked, "the kernel reads no more than it was asked to");
                // SAFETY: the kernel has just written the `part` bytes behind the old length.
                unsafe { read.buffer.set_len(filled) };
                // Short of the end of the file: the rest is asked for.
                if part > 0 && filled < read.asked {
                    return self.push_read(token.slot);
                }
                None
            }
        };
        if let Some(InFlight::Read(read)) = self.in_flight.remove(token.slot) {
            self.let_go(read.handle);
            let result = failed.map_or_else(|| Ok(read.buffer.into()), Err);
            sink(Completion::ReadDone { tag: read.tag, result });
        }
    }

    /// The last holder of a file that the shard has closed gives it to the file thread.
    fn let_go(&mut self, handle: Arc<File>) {
        if Arc::strong_count(&handle) == 1 {
            self.files.release(handle);
        }
    }
}
