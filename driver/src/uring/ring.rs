//! The submission and completion queues: pushing, entering, taking. Knows opcodes, not connections.
//!
//! Invariants:
//! - *full counts*: `armed` is the number of requests that will still complete, so a ring with none of
//!   them touches no memory of ours;
//! - *small batches*: the queue is handed to the kernel whenever [`CHUNK`] entries are waiting. Thousands
//!   of sends in one submission lost to epoll, because their payloads left the cache before the kernel
//!   read them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode, types};

use super::buffers::GROUP;
use super::token::{Opcode, Token};

/// Entries handed to the kernel at once.
pub(super) const CHUNK: usize = 128;

/// Room in the submission queue: a chunk, and what completions ask for meanwhile.
pub(super) const SUBMISSIONS: u32 = 256;

/// A completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    pub(super) user_data: u64,
    /// As the system call would have returned, errors negated.
    pub(super) result: i32,
    pub(super) flags: u32,
}

impl Entered {
    /// The request stays armed and will complete again.
    pub(super) fn has_more(self) -> bool {
        io_uring::cqueue::more(self.flags)
    }
}

/// What an entry into the kernel is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Hand over what is queued.
    Submit,
    /// That, and run what the kernel has deferred, without waiting.
    Collect,
    /// That, and wait for a completion; `None`: for ever.
    Wait(Option<Duration>),
}

pub(super) struct Ring {
    io: IoUring,
    armed: usize,
    /// It failed for good: nothing is queued or entered any more, because what is queued already may name
    /// memory that nobody vouches for.
    is_dead: bool,
}

impl Ring {
    pub(super) fn new(io: IoUring) -> Self {
        Self { io, armed: 0, is_dead: false }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }

    pub(super) fn io(&self) -> &IoUring {
        &self.io
    }

    /// Requests that will still complete.
    pub(super) fn armed(&self) -> usize {
        self.armed
    }

    /// Entries waiting to be handed over.
    pub(super) fn queued(&mut self) -> usize {
        self.io.submission().len()
    }

    /// Queues an entry.
    ///
    /// # Safety
    /// Memory that the entry names stays valid, and is used by nobody else, until the request's last
    /// completion was taken; or, for an entry that completes inside the entering call (see
    /// [`Ring::push_quiet`]), until that call returned.
    ///
    /// # Panics
    /// If there is no room: callers enter whenever [`CHUNK`] entries wait, so there is.
    pub(super) unsafe fn push(&mut self, entry: &Entry) {
        self.armed += usize::from(!self.is_dead);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.put(entry) };
    }

    /// Queues an entry that completes inside the entering call, and is heard of only if it fails.
    ///
    /// # Safety
    /// As for [`Ring::push`].
    ///
    /// # Panics
    /// As for [`Ring::push`].
    pub(super) unsafe fn push_quiet(&mut self, entry: Entry) {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.put(&entry.flags(Flags::SKIP_SUCCESS)) };
    }

    /// # Safety
    /// As for [`Ring::push`].
    unsafe fn put(&mut self, entry: &Entry) {
        if self.is_dead {
            return;
        }
        // SAFETY: passed on from the caller.
        let pushed = unsafe { self.io.submission().push(entry) };
        assert!(pushed.is_ok(), "the submission queue is entered before it is full");
    }

    /// Receives into the shared buffers: again and again, or once.
    pub(super) fn receive(&mut self, file: u32, is_multishot: bool, token: Token) {
        let entry = if is_multishot {
            opcode::RecvMulti::new(Fixed(file), GROUP).build()
        } else {
            let no_buffer = std::ptr::null_mut();
            opcode::Recv::new(Fixed(file), no_buffer, 0).buf_group(GROUP).build().flags(Flags::BUFFER_SELECT)
        };
        // SAFETY: names no memory; the shared buffers outlive the ring's requests (see `UringDriver`).
        unsafe { self.push(&entry.user_data(token.pack())) };
    }

    /// Tells once when a connection takes bytes.
    pub(super) fn watch_writable(&mut self, file: u32, token: Token) {
        let entry = opcode::PollAdd::new(Fixed(file), libc::POLLOUT as u32).build();
        // SAFETY: names no memory.
        unsafe { self.push(&entry.user_data(token.pack())) };
    }

    /// Tells every time that `fd` is signalled.
    pub(super) fn watch_signals(&mut self, fd: BorrowedFd<'_>, token: Token) {
        let entry = opcode::PollAdd::new(types::Fd(fd.as_raw_fd()), libc::POLLIN as u32).multi(true).build();
        // SAFETY: names no memory.
        unsafe { self.push(&entry.user_data(token.pack())) };
    }

    /// Tells once when `fd` takes data.
    pub(super) fn watch_room(&mut self, fd: BorrowedFd<'_>, token: Token) {
        let entry = opcode::PollAdd::new(types::Fd(fd.as_raw_fd()), libc::POLLOUT as u32).build();
        // SAFETY: names no memory.
        unsafe { self.push(&entry.user_data(token.pack())) };
    }

    /// Ends the request `target`, which completes as cancelled, or as it would have. `token` is heard of
    /// where there is none: its last completion came already, or the kernel has it between two states and
    /// must be asked again.
    pub(super) fn cancel(&mut self, target: Token, token: Token) {
        let entry = opcode::AsyncCancel::new(target.pack()).build().user_data(token.pack());
        // SAFETY: names no memory.
        unsafe { self.push_quiet(entry) };
    }

    /// Closes a direct descriptor.
    pub(super) fn close(&mut self, file: u32, token: Token) {
        let entry = opcode::Close::new(Fixed(file)).build().user_data(token.pack());
        // SAFETY: names no memory.
        unsafe { self.push(&entry) };
    }

    /// The same, heard of only if it fails.
    pub(super) fn close_quietly(&mut self, file: u32, token: Token) {
        let entry = opcode::Close::new(Fixed(file)).build().user_data(token.pack());
        // SAFETY: names no memory.
        unsafe { self.push_quiet(entry) };
    }

    /// Wakes the owner of another ring.
    pub(super) fn ring_other(&mut self, other: RawFd, token: Token) {
        let rung = Token::new(Opcode::Rung, 0, 0).pack();
        let entry = opcode::MsgRingData::new(types::Fd(other), 0, rung, None).build();
        // SAFETY: names no memory.
        unsafe { self.push_quiet(entry.user_data(token.pack())) };
    }

    /// Never to be entered again.
    pub(super) fn give_up(&mut self) {
        self.is_dead = true;
    }

    /// Enters the kernel; everything queued is handed over where the result is `Ok`.
    pub(super) fn enter(&mut self, purpose: Purpose) -> io::Result<()> {
        loop {
            let queued = self.queued();
            let result = self.enter_once(queued as u32, purpose);
            match result {
                // Fewer are taken only where the kernel had no memory for a request.
                Ok(taken) if taken < queued => std::thread::yield_now(),
                Ok(_) => return Ok(()),
                Err(error) => match error.raw_os_error() {
                    // The time is over, or a signal came while waiting: by then all was handed over.
                    Some(libc::ETIME) => return Ok(()),
                    Some(libc::EINTR) if self.queued() == 0 => return Ok(()),
                    Some(libc::EINTR | libc::EAGAIN) => std::thread::yield_now(),
                    _ => return Err(error),
                },
            }
        }
    }

    fn enter_once(&self, queued: u32, purpose: Purpose) -> io::Result<usize> {
        let collect = EnterFlags::GETEVENTS.bits();
        let submitter = self.io.submitter();
        match purpose {
            // SAFETY: no argument is passed.
            Purpose::Submit => unsafe { submitter.enter::<libc::sigset_t>(queued, 0, 0, None) },
            // SAFETY: as above.
            Purpose::Collect => unsafe { submitter.enter::<libc::sigset_t>(queued, 0, collect, None) },
            // SAFETY: as above.
            Purpose::Wait(None) => unsafe { submitter.enter::<libc::sigset_t>(queued, 1, collect, None) },
            Purpose::Wait(Some(timeout)) => {
                let timeout = Timespec::from(timeout);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
        }
    }

    /// How many completions the queue holds.
    pub(super) fn completions_max(&self) -> usize {
        self.io.params().cq_entries() as usize
    }

    /// How many completions can be taken now.
    pub(super) fn ready(&mut self) -> usize {
        self.io.completion().len()
    }

    /// The next completion.
    pub(super) fn take(&mut self) -> Option<Entered> {
        let entry = self.io.completion().next()?;
        let entered = Entered { user_data: entry.user_data(), result: entry.result(), flags: entry.flags() };
        let is_last = !entered.has_more();
        let is_counted = !matches!(
            Token::unpack(entered.user_data).map(|token| token.opcode),
            None | Some(
                Opcode::Send
                    | Opcode::Refuse
                    | Opcode::CancelReceive
                    | Opcode::CancelWritable
                    | Opcode::CancelAccept
                    | Opcode::Rung
                    | Opcode::RingOther
            )
        );
        if is_last && is_counted {
            self.armed -= 1;
        }
        Some(entered)
    }

    /// How many completions the kernel dropped because it had no memory to keep them aside.
    pub(super) fn lost(&mut self) -> u32 {
        self.io.completion().overflow()
    }

    /// The kernel keeps completions that found no room in the queue; entering to collect brings them.
    pub(super) fn is_overflown(&mut self) -> bool {
        self.io.submission().cq_overflow()
    }

    /// The kernel put work off until it is entered to collect. It may also have done that work since: the flag
    /// is raised after the work is added, and lowered only when work is done.
    pub(super) fn has_deferred(&mut self) -> bool {
        self.io.submission().taskrun()
    }

    /// There are completions, or what will become completions when they are collected.
    pub(super) fn is_anything_there(&mut self) -> bool {
        self.has_completions() || self.has_deferred()
    }

    /// There are completions, in the queue or kept aside by the kernel.
    pub(super) fn has_completions(&mut self) -> bool {
        self.ready() > 0 || self.is_overflown()
    }

    /// Ends everything that is armed and throws the completions away; false where something did not end
    /// within `patience`, so that its memory must not be freed.
    pub(super) fn quench(&mut self, patience: Duration) -> bool {
        if self.is_dead || self.enter(Purpose::Submit).is_err() {
            return false;
        }
        let slice = Timespec::from(patience / 2);
        // What it returns tells nothing that counting does not.
        let _ = self.io.submitter().register_sync_cancel(Some(slice), CancelBuilder::any());
        const ROUNDS: u32 = 20;
        for _ in 0..ROUNDS {
            while self.take().is_some() {}
            if self.armed == 0 {
                return true;
            }
            if self.enter(Purpose::Wait(Some(patience / 2 / ROUNDS))).is_err() {
                break;
            }
        }
        false
    }
}
