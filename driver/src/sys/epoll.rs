//! epoll, as a safe object.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::checked;

/// An epoll instance and the room its events are written to.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// Something that epoll reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// As given when the descriptor was added.
    pub(crate) token: u64,
    /// `EPOLLIN` and so on.
    pub(crate) flags: u32,
}

impl Poller {
    /// `events_max`: how many events one wait takes at most.
    pub(crate) fn new(events_max: usize) -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; events_max] })
    }

    fn control(&self, operation: i32, fd: BorrowedFd<'_>, token: u64, flags: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: flags.cast_unsigned(), u64: token };
        // SAFETY: `event` is valid during the call, which copies it.
        checked(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) })
            .map(drop)
    }

    /// Watches `fd` until it is closed or removed.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64, flags: i32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, flags)
    }

    /// Watches for something else; what is ready already is reported again.
    pub(crate) fn change(&self, fd: BorrowedFd<'_>, token: u64, flags: i32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, flags)
    }

    /// Watches no longer.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Waits at most `timeout` (`None`: for ever), in steps of a millisecond; how many events there are.
    /// A signal ends the wait without any.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout_ms = match timeout {
            None => -1,
            // Rounded up: rounded down, the last millisecond before a timer would be a busy loop.
            Some(timeout) => i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
        };
        let room = i32::try_from(self.events.len()).unwrap_or(i32::MAX);
        // SAFETY: `events` is valid for writing `room` events.
        let found = checked(unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), room, timeout_ms)
        });
        match found {
            Ok(found) => Ok(found.cast_unsigned() as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The `index`-th event of the last wait.
    pub(crate) fn event(&self, index: usize) -> Event {
        let event = self.events[index];
        Event { token: event.u64, flags: event.events }
    }
}
