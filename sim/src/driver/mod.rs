//! The third driver: carries out a shard's operations on a simulated network and a simulated disk.
//!
//! It keeps the promises of the two real ones, and no more: slots with generations, given out again only after
//! `Closed`; a send takes what there is room for and tells of the rest by `Stalled`, then `Writable`; nothing is
//! reported of a connection after `Disconnected` but `Closed`; jobs of one shard run in order, everything else
//! that the disk does may finish in any order.
//!
//! What a shard may not do (send to a stalled connection, use a file that it has closed) is a violation here,
//! as it is a panic there.
//!
//! Owner: one shard of one process. Lifetime: the process.

mod slots;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use bytes::Bytes;
use ringwire_driver::{Completion, ConnectionId, FileId, Job};

pub use slots::{Occupant, Slots};

use crate::disk::Inode;
use crate::network::SocketId;

/// Datagrams that a socket holds.
const DATAGRAMS_MAX: usize = 128;

/// A completion that waits for its shard's turn.
#[derive(Debug)]
pub enum Happened {
    /// See [`Completion::Accepted`].
    Accepted(ConnectionId, SocketId),
    /// See [`Completion::AcceptFailed`].
    AcceptFailed,
    /// See [`Completion::Stalled`].
    Stalled(ConnectionId, Bytes, usize),
    /// See [`Completion::Writable`].
    Writable(ConnectionId),
    /// See [`Completion::Disconnected`]; whether it broke.
    Disconnected(ConnectionId, bool),
    /// See [`Completion::Closed`].
    Closed(ConnectionId),
    /// See [`Completion::FileReady`].
    FileReady(FileId, io::Result<()>),
    /// See [`Completion::Synced`].
    Synced(FileId, io::Result<()>),
    /// See [`Completion::ReadDone`].
    ReadDone(u64, io::Result<Bytes>),
    /// See [`Completion::JobDone`].
    JobDone(u64, io::Result<()>),
    /// See [`Completion::Rung`].
    Rung,
}

impl Happened {
    /// As the shard is told.
    pub fn completion(self) -> Completion<'static> {
        match self {
            Happened::Accepted(connection, socket) => {
                // Every socket has an address of its own, so that logs can be read.
                let [_, a, b, c] = socket.0.to_be_bytes();
                let peer = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, a, b, c), 1000));
                Completion::Accepted { connection, peer }
            }
            Happened::AcceptFailed => {
                let error = io::Error::other("too many open files, says the simulation");
                Completion::AcceptFailed { error }
            }
            Happened::Stalled(connection, payload, sent) => Completion::Stalled { connection, payload, sent },
            Happened::Writable(connection) => Completion::Writable { connection },
            Happened::Disconnected(connection, broken) => {
                let cause = broken.then(|| io::Error::from(io::ErrorKind::ConnectionReset));
                Completion::Disconnected { connection, cause }
            }
            Happened::Closed(connection) => Completion::Closed { connection },
            Happened::FileReady(file, result) => Completion::FileReady { file, result },
            Happened::Synced(file, result) => Completion::Synced { file, result },
            Happened::ReadDone(tag, result) => Completion::ReadDone { tag, result },
            Happened::JobDone(tag, result) => Completion::JobDone { tag, result },
            Happened::Rung => Completion::Rung,
        }
    }

    /// A word for the trace.
    pub fn name(&self) -> &'static str {
        match self {
            Happened::Accepted(..) => "accepted",
            Happened::AcceptFailed => "accept-failed",
            Happened::Stalled(..) => "stalled",
            Happened::Writable(..) => "writable",
            Happened::Disconnected(..) => "disconnected",
            Happened::Closed(..) => "closed",
            Happened::FileReady(..) => "file-ready",
            Happened::Synced(..) => "synced",
            Happened::ReadDone(..) => "read-done",
            Happened::JobDone(..) => "job-done",
            Happened::Rung => "rung",
        }
    }
}

/// A number that the shard has given to a file.
#[derive(Clone, Copy, Debug)]
pub enum FileState {
    /// Asked for.
    Opening,
    /// There.
    Open(Inode),
}

/// One shard's way to the simulated kernel.
#[derive(Debug)]
pub struct Driver {
    /// The connection table.
    pub slots: Slots,
    /// Completions that wait for the next turn.
    pub inbox: VecDeque<Happened>,
    /// Connections with something to read, each once.
    pub readable: VecDeque<ConnectionId>,
    /// Datagrams that the socket holds: from whom, the bits of congestion notification, and each.
    datagrams: VecDeque<(SocketAddr, u8, Bytes)>,
    /// Files by the shard's numbers.
    pub files: BTreeMap<u32, FileState>,
    /// Jobs that have not begun.
    pub jobs: VecDeque<Job>,
    /// A job is under way.
    pub is_working: bool,
    /// Whether new connections are taken.
    pub is_accepting: bool,
}

impl Driver {
    /// A driver with room for so many connections.
    pub fn new(connections_max: u32) -> Self {
        Driver {
            slots: Slots::new(connections_max),
            inbox: VecDeque::new(),
            readable: VecDeque::new(),
            datagrams: VecDeque::new(),
            files: BTreeMap::new(),
            jobs: VecDeque::new(),
            is_working: false,
            is_accepting: true,
        }
    }

    /// Notes that a connection has something to read.
    pub fn on_readable(&mut self, connection: ConnectionId) {
        if let Some(occupant) = self.slots.get(connection)
            && !std::mem::replace(&mut occupant.is_readable, true)
        {
            self.readable.push_back(connection);
        }
    }

    /// A datagram has come; one that finds the socket full is lost.
    pub fn on_datagram(&mut self, peer: SocketAddr, ecn: u8, bytes: Bytes) {
        if self.datagrams.len() < DATAGRAMS_MAX {
            self.datagrams.push_back((peer, ecn, bytes));
        }
    }

    /// Takes the next datagrams of one sender, joined: all of them, from whom, the bits, and how long each is but
    /// the last.
    pub fn take_datagrams(&mut self) -> Option<(Vec<u8>, SocketAddr, u8, usize)> {
        let (peer, ecn, first) = self.datagrams.pop_front()?;
        let (stride, mut data) = (first.len(), first.to_vec());
        while let Some((_, _, next)) = self.datagrams.pop_front_if(|(other, bits, next)| {
            (*other, *bits) == (peer, ecn) && next.len() <= stride && data.len() % stride == 0
        }) {
            data.extend_from_slice(&next);
        }
        Some((data, peer, ecn, stride))
    }

    /// Whether a completion waits, or bytes do.
    pub fn has_work(&self) -> bool {
        !self.inbox.is_empty() || !self.readable.is_empty() || !self.datagrams.is_empty()
    }

    /// The open file of that number.
    pub fn open_file(&self, file: FileId) -> Option<Inode> {
        match self.files.get(&file.0)? {
            FileState::Open(inode) => Some(*inode),
            FileState::Opening => None,
        }
    }
}
