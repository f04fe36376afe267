//! Byte streams between clients and shards, as TCP gives them: in order, in pieces of any size, late, cut
//! anywhere, or silent. Datagrams go along [`Paths`].
//!
//! ```text
//!   write (as much as the window takes) -> flying -> arrived -> read in pieces -> room for the writer
//! ```
//!
//! Owner: the world, which moves the chunks by events. Lifetime of a socket: from the client's dialling until
//! both ends have let go. Socket numbers are never used twice.
//!
//! Invariants: bytes come out as they went in; an end of the stream comes after the bytes before it; what a
//! writer has outstanding never exceeds the window.
//!
//! Deliberately absent: the packets of a stream, retransmission (a pause stands for it), several hosts.

mod paths;
mod pipe;
pub mod trust;

use ringwire_driver::ConnectionId;

pub use paths::{Path, PathId, Paths, SERVER, socket_of};
pub use pipe::{Chunk, Pipe};

/// A connection, from dialling to its last byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SocketId(pub u32);

/// One end of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Who dialled.
    Client,
    /// Who accepted.
    Server,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// Who dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialler {
    /// A real client, by index.
    Client(usize),
    /// Somebody who does not play by the rules, by index.
    Intruder(usize),
    /// Somebody who looks on, by index.
    Onlooker(usize),
}

/// The server's end: a slot of a shard of one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Home {
    /// Which process.
    pub epoch: u32,
    /// Which of its shards.
    pub shard: usize,
    /// Which slot and generation there.
    pub connection: ConnectionId,
}

/// One connection.
#[derive(Debug)]
pub struct Socket {
    /// Who dialled.
    pub dialler: Dialler,
    /// The server's end, while it is open.
    pub home: Option<Home>,
    /// Whether the client's end is open.
    pub client_open: bool,
    /// Bytes to the server.
    pub up: Pipe,
    /// Bytes to the client.
    pub down: Pipe,
    /// Time one way, microseconds, without what varies; to the server and to the client.
    pub delay_us: [u64; 2],
    /// Nothing arrives any more, in either direction, and nobody is told.
    pub is_silent: bool,
    /// Nothing arrives before this time.
    pub held_until_us: u64,
}

impl Socket {
    /// The bytes on their way to this side.
    pub fn towards(&mut self, side: Side) -> &mut Pipe {
        match side {
            Side::Server => &mut self.up,
            Side::Client => &mut self.down,
        }
    }

    /// Whether this side still holds its end.
    pub fn is_open(&self, side: Side) -> bool {
        match side {
            Side::Client => self.client_open,
            Side::Server => self.home.is_some(),
        }
    }
}

/// All connections of a world.
#[derive(Debug, Default)]
pub struct Network {
    sockets: Vec<Option<Box<Socket>>>,
}

impl Network {
    /// Adds a socket.
    pub fn add(&mut self, socket: Socket) -> SocketId {
        self.sockets.push(Some(Box::new(socket)));
        SocketId(self.sockets.len() as u32 - 1)
    }

    /// A number for a connection that is no socket.
    pub fn reserve(&mut self) -> SocketId {
        self.sockets.push(None);
        SocketId(self.sockets.len() as u32 - 1)
    }

    /// The socket, unless both ends have let go of it.
    pub fn get(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.sockets.get_mut(id.0 as usize)?.as_deref_mut()
    }

    /// Forgets the socket if nobody holds an end any more.
    pub fn forget_if_closed(&mut self, id: SocketId) {
        let place = &mut self.sockets[id.0 as usize];
        if place.as_ref().is_some_and(|socket| !socket.client_open && socket.home.is_none()) {
            *place = None;
        }
    }

    /// All sockets that somebody holds an end of.
    pub fn open(&mut self) -> impl Iterator<Item = (SocketId, &mut Socket)> {
        let numbered = self.sockets.iter_mut().enumerate();
        numbered.filter_map(|(at, socket)| Some((SocketId(at as u32), socket.as_deref_mut()?)))
    }
}
