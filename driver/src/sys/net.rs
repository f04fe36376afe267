//! Sockets.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::checked;

/// Room for the peer's address, as the kernel fills it.
#[repr(C)]
pub(crate) struct PeerAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl PeerAddress {
    pub(crate) fn new() -> Self {
        // SAFETY: sockaddr_storage is plain integers; all zeroes is a value of it.
        let storage = unsafe { MaybeUninit::zeroed().assume_init() };
        Self { storage, length: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// Where the kernel is to write: the address and its length, which starts as the room there is.
    pub(crate) fn reset(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        self.length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        ((&raw mut self.storage).cast(), &raw mut self.length)
    }

    /// The address; unspecified where the family is neither IPv4 nor IPv6 (a listener that is not TCP).
    pub(crate) fn get(&self) -> SocketAddr {
        let long_enough = |bytes: usize| self.length as usize >= bytes;
        match i32::from(self.storage.ss_family) {
            libc::AF_INET if long_enough(size_of::<libc::sockaddr_in>()) => {
                // SAFETY: the family says which struct the kernel wrote, it is long enough, and
                // sockaddr_storage is aligned for every one of them.
                let address = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
                SocketAddr::new(IpAddr::V4(ip), u16::from_be(address.sin_port))
            }
            libc::AF_INET6 if long_enough(size_of::<libc::sockaddr_in6>()) => {
                // SAFETY: as above.
                let address = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
                let port = u16::from_be(address.sin6_port);
                // A listener on [::] takes IPv4 peers, too; they are reported as what they are.
                if let Some(ip) = ip.to_ipv4_mapped() {
                    return SocketAddr::new(IpAddr::V4(ip), port);
                }
                SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into()
            }
            _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        }
    }

    /// The other way round, for bind.
    fn from_std(address: SocketAddr) -> Self {
        let mut this = Self::new();
        match address {
            SocketAddr::V4(v4) => {
                // SAFETY: sockaddr_storage is large enough and aligned for every address struct.
                let room = unsafe { &mut *(&raw mut this.storage).cast::<libc::sockaddr_in>() };
                room.sin_family = libc::AF_INET as libc::sa_family_t;
                room.sin_port = v4.port().to_be();
                room.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
                this.length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(v6) => {
                // SAFETY: as above.
                let room = unsafe { &mut *(&raw mut this.storage).cast::<libc::sockaddr_in6>() };
                room.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                room.sin6_port = v6.port().to_be();
                room.sin6_addr.s6_addr = v6.ip().octets();
                room.sin6_flowinfo = v6.flowinfo();
                room.sin6_scope_id = v6.scope_id();
                this.length = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        this
    }
}

/// A new socket of a kind (`SOCK_STREAM` and so on) for addresses like this one: non-blocking, closed on exec.
pub(crate) fn socket(address: SocketAddr, kind: i32) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes no pointers.
    let fd = checked(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn bind(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let address = PeerAddress::from_std(address);
    // SAFETY: `storage` is valid for reading `length` bytes, which from_std took from the struct it wrote.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address.storage).cast(), address.length) })
        .map(drop)
}

pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    let backlog = libc::c_int::try_from(backlog).unwrap_or(libc::c_int::MAX);
    // SAFETY: takes no pointers.
    checked(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

/// Sets an integer option.
fn set_option(socket: BorrowedFd<'_>, level: i32, option: i32, value: libc::c_int) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` is valid for reading `length` bytes.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) })
        .map(drop)
}

/// Turns an option on.
pub(crate) fn set_switch(socket: BorrowedFd<'_>, level: i32, option: i32) -> io::Result<()> {
    set_option(socket, level, option, 1)
}

/// `SO_SNDBUF`, bytes; the kernel doubles it and caps it at `net.core.wmem_max`.
pub(crate) fn set_send_buffer(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    set_option(
        socket,
        libc::SOL_SOCKET,
        libc::SO_SNDBUF,
        libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX),
    )
}

/// `SO_RCVBUF`, bytes; likewise, by `net.core.rmem_max`.
pub(crate) fn set_receive_buffer(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    set_option(
        socket,
        libc::SOL_SOCKET,
        libc::SO_RCVBUF,
        libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX),
    )
}

/// How many datagrams the kernel has thrown away because this socket's buffer was full, modulo 2^32.
pub(crate) fn dropped(socket: BorrowedFd<'_>) -> io::Result<u32> {
    /// Where that stands in what `SO_MEMINFO` answers (`SK_MEMINFO_DROPS`).
    const DROPS: usize = 8;
    let mut about = [0u32; DROPS + 1];
    let mut length = size_of_val(&about) as libc::socklen_t;
    let room = (&raw mut about).cast();
    // SAFETY: `about` is valid for writing `length` bytes, and `length` for one socklen_t.
    checked(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, room, &raw mut length)
    })?;
    Ok(about[DROPS])
}

/// Takes one connection; `WouldBlock` where none waits.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut peer = PeerAddress::new();
    let (address, length) = peer.reset();
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `address` is valid for writing `*length` bytes, and `length` for one socklen_t.
    let fd = checked(unsafe { libc::accept4(listener.as_raw_fd(), address, length, flags) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, peer.get()))
}

/// How a receive ended without bytes.
#[derive(Debug)]
pub(crate) enum ReceiveError {
    /// Nothing there yet.
    Empty,
    /// The peer closed its end in good order.
    Closed,
    /// The connection failed.
    Failed(io::Error),
}

/// Takes what is there, without waiting.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, ReceiveError> {
    loop {
        // SAFETY: `buffer` is valid for writing `buffer.len()` bytes.
        let taken = unsafe {
            libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
        };
        if let Ok(taken) = usize::try_from(taken) {
            return if taken == 0 { Err(ReceiveError::Closed) } else { Ok(taken) };
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return Err(ReceiveError::Empty),
            _ => return Err(ReceiveError::Failed(error)),
        }
    }
}

/// Gives the kernel as much of `data` as it takes without waiting; how much that was.
pub(crate) fn send(socket: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    loop {
        // SAFETY: `data` is valid for reading `data.len()` bytes.
        let sent = unsafe { libc::send(socket.as_raw_fd(), data.as_ptr().cast(), data.len(), flags) };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return Ok(0),
            _ => return Err(error),
        }
    }
}
