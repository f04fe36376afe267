//! Listening sockets: one per shard on the same address, so that the kernel spreads the connections.
//!
//! Accepted sockets inherit the options set here, which is the only way to set them with direct
//! descriptors, without a system call per connection.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use crate::sys;

/// Connections taken after it was asked to stop: as many as may wait. More: reset by the kernel, as the socket closes.
pub(crate) const LAST_ACCEPTS_MAX: u32 = BACKLOG;

/// Connections that may wait, where nothing else is said.
const BACKLOG: u32 = 4_096;

/// How to listen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections that may wait to be accepted, per socket; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// `SO_SNDBUF` of accepted sockets, bytes (the kernel doubles it); 0: the kernel's default.
    pub send_buffer_bytes: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { backlog: BACKLOG, send_buffer_bytes: 0 }
    }
}

/// Why we cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "{address} is in use: another process (or another Ringwire) listens there; stop it or choose another port"
    )]
    InUse {
        /// As asked.
        address: SocketAddr,
    },
    /// We may not.
    #[error("not allowed to listen on {address}; ports below {first_free} need CAP_NET_BIND_SERVICE", first_free = unprivileged_port_start())]
    Permission {
        /// As asked.
        address: SocketAddr,
    },
    /// The address is not one of this machine, or its family is not available.
    #[error("{address} is not an address of this machine: {source}")]
    BadAddress {
        /// As asked.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// As asked.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn unprivileged_port_start() -> u16 {
    let path = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1_024)
}

/// One listening socket that others of this user may share the address with (`SO_REUSEPORT`).
///
/// # Errors
/// See [`ListenError`]. An address that another socket with `SO_REUSEPORT` of the same user holds is *not*
/// an error; [`bind_shards`] refuses it.
pub fn bind(address: SocketAddr, options: &Options) -> Result<TcpListener, ListenError> {
    let explain = |source| explain(address, source);
    let socket = prepare(address, Transport::Tcp).map_err(explain)?;
    let shared = || {
        let socket = socket.as_fd();
        sys::set_switch(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT)?;
        sys::set_switch(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
        if options.send_buffer_bytes > 0 {
            sys::set_send_buffer(socket, options.send_buffer_bytes)?;
        }
        sys::bind(socket, address)?;
        sys::listen(socket, options.backlog)
    };
    shared().map_err(explain)?;
    Ok(socket.into())
}

/// `count` listening sockets on one address, one per shard. Port 0 is chosen once and is the same for all.
///
/// # Errors
/// See [`ListenError`]. An address in use is refused even where `SO_REUSEPORT` would let us share it: two
/// servers started by mistake would each get half of the connections.
///
/// # Panics
/// If `count` is 0.
pub fn bind_shards(
    address: SocketAddr,
    count: usize,
    options: &Options,
) -> Result<Vec<TcpListener>, ListenError> {
    assert!(count > 0, "at least one shard listens");
    refuse_others(address, Transport::Tcp)?;

    let first = bind(address, options)?;
    let address = first.local_addr().map_err(|source| ListenError::Io { address, source })?;
    let others = (1..count).map(|_| bind(address, options));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// `count` sockets for datagrams on one address, one per shard: the kernel spreads the peers by their addresses.
///
/// # Errors
/// As [`bind_shards`].
///
/// # Panics
/// If the port is 0: datagrams are served beside connections, on their port.
pub fn bind_datagrams(address: SocketAddr, count: usize) -> Result<Vec<UdpSocket>, ListenError> {
    assert!(address.port() != 0, "the port is that of the connections");
    refuse_others(address, Transport::Udp)?;
    let bind = |_| {
        let socket = prepare(address, Transport::Udp)?;
        sys::set_switch(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT)?;
        // A turn's worth at line rate. The kernel caps it (net.core.rmem_max, wmem_max); less loses sooner.
        sys::set_receive_buffer(socket.as_fd(), DATAGRAM_BUFFER_BYTES)?;
        sys::set_send_buffer(socket.as_fd(), DATAGRAM_BUFFER_BYTES)?;
        sys::bind(socket.as_fd(), address)?;
        Ok(UdpSocket::from(socket))
    };
    (0..count).map(bind).collect::<io::Result<_>>().map_err(|source| explain(address, source))
}

/// What the kernel may hold of datagrams in each direction, per socket; it counts its own overhead in.
const DATAGRAM_BUFFER_BYTES: u32 = 4 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
}

/// Whether somebody else has the address, also where `SO_REUSEPORT` would let us share it.
fn refuse_others(address: SocketAddr, transport: Transport) -> Result<(), ListenError> {
    let alone = prepare(address, transport).and_then(|socket| sys::bind(socket.as_fd(), address));
    alone.map_err(|source| explain(address, source))
}

fn prepare(address: SocketAddr, transport: Transport) -> io::Result<OwnedFd> {
    if transport == Transport::Udp {
        // Not SO_REUSEADDR: for datagrams it would share the address with anybody.
        return sys::socket(address, libc::SOCK_DGRAM);
    }
    let socket = sys::socket(address, libc::SOCK_STREAM)?;
    // Connections of a former process that are still winding down do not keep us from starting.
    sys::set_switch(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    Ok(socket)
}

fn explain(address: SocketAddr, source: io::Error) -> ListenError {
    match source.raw_os_error() {
        Some(libc::EADDRINUSE) => ListenError::InUse { address },
        Some(libc::EACCES | libc::EPERM) => ListenError::Permission { address },
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EINVAL) => {
            ListenError::BadAddress { address, source }
        }
        _ => ListenError::Io { address, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn shards_share_one_port_and_strangers_do_not() {
        let listeners = bind_shards(local(0), 3, &Options::default()).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert!(listeners.iter().all(|listener| listener.local_addr().unwrap() == address));
        let refused = bind_shards(address, 1, &Options::default()).unwrap_err();
        assert!(matches!(refused, ListenError::InUse { .. }), "{refused}");
        drop(listeners);
        bind_shards(address, 2, &Options::default()).unwrap();
    }

    #[test]
    fn datagrams_of_shards_share_one_port_and_strangers_do_not() {
        let other = UdpSocket::bind(local(0)).unwrap();
        let address = other.local_addr().unwrap();
        let refused = bind_datagrams(address, 1).unwrap_err();
        assert!(matches!(refused, ListenError::InUse { .. }), "{refused}");
        drop(other);
        let sockets = bind_datagrams(address, 3).unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == address));
        let refused = bind_datagrams(address, 1).unwrap_err();
        assert!(matches!(refused, ListenError::InUse { .. }), "{refused}");
    }

    #[test]
    fn a_plain_listener_of_somebody_else_is_in_use() {
        let other = TcpListener::bind(local(0)).unwrap();
        let refused = bind(other.local_addr().unwrap(), &Options::default()).unwrap_err();
        assert!(matches!(refused, ListenError::InUse { .. }), "{refused}");
    }

    #[test]
    fn a_foreign_address_is_bad() {
        let refused = bind(([192, 0, 2, 1], 7_400).into(), &Options::default()).unwrap_err();
        assert!(matches!(refused, ListenError::BadAddress { .. }), "{refused}");
        assert!(refused.to_string().contains("192.0.2.1:7400"));
    }

    #[test]
    fn a_refusal_for_lack_of_rights_names_the_way_out() {
        let refused = explain(local(80), io::Error::from_raw_os_error(libc::EACCES));
        assert!(refused.to_string().contains("CAP_NET_BIND_SERVICE"), "{refused}");
    }

    #[test]
    fn ipv6_addresses_are_bound_too_where_there_is_ipv6() {
        match bind("[::1]:0".parse().unwrap(), &Options::default()) {
            Ok(listener) => assert!(listener.local_addr().unwrap().is_ipv6()),
            Err(ListenError::BadAddress { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
