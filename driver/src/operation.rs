//! What a shard may ask of the kernel: one closed set.
//!
//! A shard fills an [`Operations`] during its turn; the driver empties it in [`Driver::submit`]. A new
//! system call is a new variant here, and the compiler finds every driver that must learn it.
//!
//! [`Driver::submit`]: crate::Driver::submit

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use bytes::Bytes;

/// One accepted connection: a slot in the driver's table and the generation of its occupant.
///
/// A completion for an earlier occupant of the slot carries an earlier generation, so it can never be
/// taken for the present one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    /// Index into the driver's table and into the shard's; dense from 0.
    pub slot: u32,
    /// How many occupants the slot had before this one, modulo 2^32.
    pub generation: u32,
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// A file that the shard has opened; the shard chooses the number and does not use it for another file
/// before [`Operation::CloseFile`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId(pub u32);

/// Index of a payload of this turn, as returned by [`Operations::payload`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadIndex(pub u32);

/// One send: the whole payload, to one connection.
#[derive(Clone, Copy, Debug)]
pub struct Send {
    /// To whom. At most one send per connection and turn, and none while an earlier one is stalled: two
    /// sends in flight on one stream socket may interleave.
    pub connection: ConnectionId,
    /// What.
    pub payload: PayloadIndex,
}

/// Work for the driver's job thread: blocking, off the shard thread.
pub struct Job {
    /// Returned in [`Completion::JobDone`](crate::Completion::JobDone).
    pub tag: u64,
    /// What to do.
    pub work: Box<dyn FnOnce() -> std::io::Result<()> + std::marker::Send>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.tag)
    }
}

/// Everything but sends.
#[derive(Debug)]
pub enum Operation {
    /// End what is in flight on the connection, close it, free the slot and report
    /// [`Completion::Closed`](crate::Completion::Closed). Carried out after this turn's sends, which the
    /// peer still gets, unless bytes of its own are on their way to us: then its kernel may throw ours
    /// away. Who wants a last word to be read closes after the peer did.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// Take no more connections (drain): those that wait to be accepted are, a backlog's worth at most, and still
    /// reported, so that they can be told; then the listening socket is closed, and who comes is refused.
    StopAccepting,
    /// Create a file that must not exist, preallocate `bytes`, make its directory entry durable.
    /// Completes with `FileReady`.
    CreateFile {
        /// The number it is to have.
        file: FileId,
        /// Where.
        path: PathBuf,
        /// Preallocated size, bytes.
        bytes: u64,
    },
    /// Open an existing file for reading. Completes with `FileReady`.
    OpenFile {
        /// The number it is to have.
        file: FileId,
        /// Where.
        path: PathBuf,
    },
    /// Close a file once nothing is in flight on it. No completion.
    CloseFile {
        /// Which.
        file: FileId,
    },
    /// Write all of `data` at `offset`, then fdatasync. One in flight per file. Completes with `Synced`.
    WriteSync {
        /// Where to.
        file: FileId,
        /// Byte offset.
        offset: u64,
        /// What; shared, so that the journal's bytes are not copied for the kernel.
        data: Bytes,
    },
    /// Read `bytes` at `offset`. Completes with `ReadDone`; fewer bytes only at the end of the file.
    Read {
        /// Where from.
        file: FileId,
        /// Byte offset.
        offset: u64,
        /// How many bytes.
        bytes: u32,
        /// Returned in the completion.
        tag: u64,
    },
    /// Wake another shard if it sleeps (doorbell).
    Ring {
        /// Index of the shard, as in the list given to `connect`.
        shard: usize,
    },
    /// Run a blocking job on the job thread. Completes with `JobDone`. Jobs of one driver run in order;
    /// files are created and opened beside them, so order between the two is the shard's business.
    Job(Job),
}

/// Datagrams to one peer, which the kernel cuts into segments.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// To whom, as [`Completion::Datagrams`](crate::Completion::Datagrams) said it.
    pub destination: SocketAddr,
    /// Which of our addresses they come from; `None`: the kernel chooses.
    pub source: Option<IpAddr>,
    /// The bits of explicit congestion notification.
    pub ecn: u8,
    /// Bytes of each datagram but the last, which may be shorter.
    pub segment_bytes: usize,
    /// Where they begin in [`Datagrams::bytes`].
    pub start: usize,
    /// How many bytes they are.
    pub bytes: usize,
}

/// One turn's datagrams. They are sent in order; what the kernel does not take waits for it, up to a bound, and is
/// dropped beyond.
#[derive(Default, Debug)]
pub struct Datagrams {
    /// All of them, behind each other.
    pub bytes: Vec<u8>,
    /// To whom which.
    pub list: Vec<Outgoing>,
}

/// One turn's operations, in the order asked; the sends apart, because there can be as many as there are
/// connections.
#[derive(Default, Debug)]
pub struct Operations {
    /// This turn's payloads.
    pub payloads: Vec<Bytes>,
    /// Carried out first.
    pub sends: Vec<Send>,
    /// Carried out after the sends.
    pub rest: Vec<Operation>,
    /// Carried out after the sends, too; nothing without a socket for them.
    pub datagrams: Datagrams,
}

impl Operations {
    /// Adds a payload that this turn's sends may share.
    pub fn payload(&mut self, bytes: Bytes) -> PayloadIndex {
        let index =
            PayloadIndex(u32::try_from(self.payloads.len()).expect("a turn has fewer than 2^32 payloads"));
        self.payloads.push(bytes);
        index
    }

    /// Asks for one send.
    pub fn send(&mut self, connection: ConnectionId, payload: PayloadIndex) {
        debug_assert!((payload.0 as usize) < self.payloads.len(), "the payload is of this turn");
        self.sends.push(Send { connection, payload });
    }

    /// Asks for anything else.
    pub fn push(&mut self, operation: Operation) {
        self.rest.push(operation);
    }

    /// Refuses, in debug builds, what would corrupt a stream: two sends to one connection in one turn.
    pub(crate) fn check(&self) {
        thread_local!(static SEEN: RefCell<Vec<ConnectionId>> = const { RefCell::new(Vec::new()) });
        if cfg!(debug_assertions) {
            SEEN.with_borrow_mut(|seen| {
                seen.clear();
                seen.extend(self.sends.iter().map(|send| send.connection));
                seen.sort_unstable();
                let twice = seen.windows(2).find(|pair| pair[0] == pair[1]);
                assert!(twice.is_none(), "two sends to {:?} in one turn", twice.map(|pair| pair[0]));
            });
        }
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.rest.is_empty() && self.datagrams.list.is_empty()
    }
}
