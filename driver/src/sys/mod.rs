//! The small libc corner: the system calls that the standard library does not offer, each behind a safe
//! function. No policy.

mod epoll;
mod limits;
mod net;

pub(crate) use epoll::{Event, Poller};
pub(crate) use limits::{cpu_mask, raise_descriptors, set_cpu_mask};
pub(crate) use net::{
    PeerAddress, ReceiveError, accept, bind, dropped, listen, receive, send, set_receive_buffer,
    set_send_buffer, set_switch, socket,
};

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The result of a call that says -1 on failure.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same, called again while signals interrupt it.
fn uninterrupted(mut call: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        match checked(call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A new eventfd, non-blocking.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds one to an eventfd. It can fail only when 2^64 - 2 signals were never read; then it is readable.
pub(crate) fn eventfd_signal(eventfd: BorrowedFd<'_>) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: `one` is valid for its 8 bytes during the call.
    unsafe { libc::write(eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Reserves the file's first `bytes` on the disk and makes it that long.
pub(crate) fn fallocate(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    // SAFETY: takes no pointers; the descriptor is borrowed from `file`.
    uninterrupted(|| unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) }).map(drop)
}
