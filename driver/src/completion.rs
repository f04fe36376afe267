//! What may come back from the kernel: one closed set.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::{ConnectionId, FileId};

/// Something that happened. Borrowed data is valid during the call only.
#[derive(Debug)]
pub enum Completion<'a> {
    /// A connection was accepted; it is being read from already.
    Accepted {
        /// Its slot and generation.
        connection: ConnectionId,
        /// The other end.
        peer: SocketAddr,
    },
    /// Accepting failed (descriptors or memory ran out). The driver pauses and tries again by itself.
    AcceptFailed {
        /// Why.
        error: io::Error,
    },
    /// Bytes arrived, in order. Mutable, so that a mask can be taken off in place.
    Received {
        /// From whom.
        connection: ConnectionId,
        /// At least one byte.
        data: &'a mut [u8],
    },
    /// A send was cut short because the peer does not read. Ask for no other send on this connection
    /// before [`Completion::Writable`]; then send the rest, `payload[sent..]`. A send that was taken
    /// whole is not reported.
    Stalled {
        /// To whom.
        connection: ConnectionId,
        /// The payload of the send that stalled.
        payload: Bytes,
        /// How many of its bytes the kernel took.
        sent: usize,
    },
    /// A stalled connection takes bytes again.
    Writable {
        /// Which.
        connection: ConnectionId,
    },
    /// The peer closed its end, or the connection failed. Reported once; nothing more will be received.
    /// A peer that closed in good order may still read, and may be sent a last word. The shard answers
    /// with [`Operation::Close`](crate::Operation::Close).
    Disconnected {
        /// Which.
        connection: ConnectionId,
        /// `None` where the peer closed in good order.
        cause: Option<io::Error>,
    },
    /// The last completion of a connection that the shard closed, and the only one after it asked to; the
    /// slot may be given out again.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// A file is created or opened, or could not be.
    FileReady {
        /// Which.
        file: FileId,
        /// How it went.
        result: io::Result<()>,
    },
    /// A write and its fdatasync are done, or one of them failed.
    Synced {
        /// Which.
        file: FileId,
        /// How it went.
        result: io::Result<()>,
    },
    /// A read is done.
    ReadDone {
        /// As asked.
        tag: u64,
        /// The bytes; shorter than asked only at the end of the file.
        result: io::Result<Bytes>,
    },
    /// A job is done.
    JobDone {
        /// As asked.
        tag: u64,
        /// How it went.
        result: io::Result<()>,
    },
    /// Datagrams arrived from one peer, behind each other: all are `stride` bytes long, but for the last, which
    /// may be shorter.
    Datagrams {
        /// The other end, as the socket sees it: on an IPv6 socket, an IPv4 peer is a mapped address.
        peer: SocketAddr,
        /// Which of our addresses they were sent to.
        local_ip: Option<IpAddr>,
        /// The two bits of explicit congestion notification (RFC 3168); 0: not spoken.
        ecn: u8,
        /// Bytes of one datagram.
        stride: usize,
        /// At least one byte.
        data: &'a mut [u8],
    },
    /// Somebody rang the doorbell; also a thread of the driver's own, so look at everything, and expect
    /// nothing.
    Rung,
}
