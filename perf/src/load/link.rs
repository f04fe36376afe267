//! What one connection of the generator goes over.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::quic::Quic;
use super::secure::Secure;

/// Source addresses that connections are spread over (127.0.1.1 and up): one has 28,000 ports.
const SOURCES: u32 = 16;

/// What a server is measured over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// WebSocket in the clear.
    Ws,
    /// WebSocket over TLS 1.3.
    Wss,
    /// A stream of a QUIC connection.
    Quic,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Transport::Ws => "ws",
            Transport::Wss => "wss",
            Transport::Quic => "quic",
        })
    }
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum Way {
    /// TCP, in the clear.
    Tcp,
    /// TLS over TCP.
    Tls(Arc<rustls::ClientConfig>),
    /// One stream of a QUIC connection.
    Quic(quinn_proto::ClientConfig),
}

/// What one connection goes over.
#[derive(Debug)]
pub(super) enum Link {
    Closed,
    Tcp(TcpStream),
    Tls(TcpStream, Box<Secure>),
    Quic(Arc<UdpSocket>, quinn_proto::ConnectionHandle),
}

impl Link {
    /// Begins to connect.
    pub(super) fn open(
        way: &Way,
        quic: Option<&mut Quic>,
        index: u32,
        server: SocketAddr,
    ) -> io::Result<Self> {
        match (way, quic) {
            (Way::Quic(_), Some(quic)) => {
                let socket = Arc::new(open_datagrams(index, server)?);
                let handle = quic.connect(index, Arc::clone(&socket), server).map_err(io::Error::other)?;
                Ok(Link::Quic(socket, handle))
            }
            (Way::Tls(config), _) => {
                let secure = Secure::new(config).map_err(io::Error::other)?;
                Ok(Link::Tls(start_connecting(index, server)?, Box::new(secure)))
            }
            _ => start_connecting(index, server).map(Link::Tcp),
        }
    }

    /// What the kernel knows it by.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Link::Closed => None,
            Link::Tcp(stream) | Link::Tls(stream, _) => Some(stream.as_fd()),
            Link::Quic(socket, _) => Some(socket.as_fd()),
        }
    }
}

fn start_connecting(index: u32, address: SocketAddr) -> io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    if address.ip().is_loopback() {
        rustix::net::bind(&socket, &source(index))?;
    }
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn open_datagrams(index: u32, address: SocketAddr) -> io::Result<UdpSocket> {
    let from =
        if address.ip().is_loopback() { source(index) } else { SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0) };
    let socket = UdpSocket::bind(from)?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A local address for this connection.
fn source(index: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, 1 + (index % SOURCES) as u8), 0)
}
