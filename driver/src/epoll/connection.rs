//! What the epoll driver knows of one connection.

use std::os::fd::OwnedFd;

/// What is always watched. `EPOLLRDHUP` tells of a peer's end even when a receive was not cut short by it.
pub(super) const INTEREST: i32 = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;

/// One slot of the table.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    /// A send was cut short; `EPOLLOUT` is watched.
    pub(super) is_stalled: bool,
    /// The peer's end or an error is there to be read, after what is left of its bytes.
    pub(super) is_ending: bool,
    /// It is in the list of those with more to read.
    pub(super) has_more: bool,
    /// `Disconnected` was reported: nothing more is received, and it is not reported again. A peer that
    /// only ended its own side may still be sent to.
    pub(super) is_disconnected: bool,
    /// A send failed: bytes are missing, so no others may follow.
    pub(super) is_broken: bool,
    /// The shard closed it: nothing but `Closed` is reported.
    pub(super) is_closing: bool,
}

/// An idle connection costs this much, and the kernel's part.
const _: () = assert!(size_of::<Connection>() <= 12);

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            is_stalled: false,
            is_ending: false,
            has_more: false,
            is_disconnected: false,
            is_broken: false,
            is_closing: false,
        }
    }
}
