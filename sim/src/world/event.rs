//! What can happen in a world: one closed set.

use bytes::Bytes;
use ringwire_driver::{ConnectionId, FileId, Job};

use crate::disk::Inode;
use crate::network::{Dialler, PathId, Side, SocketId};

/// Something that happens at its time.
#[derive(Debug)]
pub enum Event {
    /// A shard has its turn, if that is still the one that was planned.
    Turn {
        /// Of which process.
        epoch: u32,
        /// Which shard.
        shard: usize,
        /// Which plan; an earlier one is void.
        version: u32,
    },
    /// A client's wish to connect reaches the server.
    Dial(SocketId),
    /// The answer to it reaches the client.
    Answered(SocketId, bool),
    /// The next chunk arrives at that side.
    Arrive(SocketId, Side),
    /// A writer hears that there is room again; that side reads what it writes.
    Room(SocketId, Side),
    /// A datagram arrives.
    Datagram {
        /// Along which path.
        path: PathId,
        /// At which end.
        to: Side,
        /// The bits of congestion notification.
        ecn: u8,
        /// When it left.
        sent_us: u64,
        /// What it is.
        bytes: Bytes,
    },
    /// A deadline of somebody's QUIC, if it is still the one that was set.
    QuicWake {
        /// Whose.
        whose: Dialler,
        /// Which deadline; an earlier one is void.
        version: u32,
    },
    /// Somebody moves to another address.
    Move,
    /// The last completion of a connection that was closed.
    Released {
        /// Of which process.
        epoch: u32,
        /// Which shard.
        shard: usize,
        /// Which.
        connection: ConnectionId,
    },
    /// The disk has done something for a shard.
    Disk {
        /// Of which process.
        epoch: u32,
        /// Which shard.
        shard: usize,
        /// What.
        work: Box<Work>,
    },
    /// A client's deadline, if it is still the one that was set.
    Wake {
        /// Which client.
        client: usize,
        /// Which deadline; an earlier one is void.
        version: u32,
    },
    /// A client does something.
    Act {
        /// Which client.
        client: usize,
    },
    /// A client that was frozen goes on.
    Thaw {
        /// Which client.
        client: usize,
    },
    /// An intruder does something.
    Intrude {
        /// Which.
        intruder: usize,
    },
    /// An onlooker does something.
    Onlook {
        /// Which.
        onlooker: usize,
    },
    /// Something goes wrong.
    Fault,
    /// A checkpoint may be worthwhile.
    Checkpoint {
        /// To which process.
        epoch: u32,
    },
    /// A process starts.
    Boot,
    /// Looks how far the world is from its end.
    Look,
}

/// What the disk is asked for.
#[derive(Debug)]
pub enum Work {
    /// A file was created, or could not be.
    Create {
        /// The shard's number.
        file: FileId,
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
        /// What it is, unless creating fails.
        inode: Option<Inode>,
    },
    /// A file was opened, if it is there.
    Open {
        /// The shard's number.
        file: FileId,
        /// Its name.
        name: String,
    },
    /// A write is synced, or could not be.
    Sync {
        /// The shard's number.
        file: FileId,
        /// What it is; `None`: the shard has no such file.
        inode: Option<Inode>,
        /// Whether the disk fails.
        fails: bool,
    },
    /// A read.
    Read {
        /// From what; `None`: the shard has no such file.
        inode: Option<Inode>,
        /// Byte offset.
        offset: u64,
        /// How many bytes.
        bytes: u32,
        /// As asked.
        tag: u64,
        /// Whether the disk fails.
        fails: bool,
    },
    /// A job.
    Run(Job),
}
