//! One UDP socket beside the connections: datagrams in and out, with segmentation and receive offload.
//!
//! Both drivers have it and tell it only when the socket is readable or writable; what it does then is the same
//! for both. Readiness is heard of by edges, so what a turn leaves in the socket is remembered in `has_more`.
//!
//! ```text
//!   kernel ── recvmmsg, 64 KiB rooms ──► Completion::Datagrams
//!   Operations::datagrams ── sendmsg ──► kernel, and what it does not take ──► waiting (bounded) or dropped
//! ```
//!
//! Belongs to one driver. Invariants: *bounded turns*: a turn receives [`RECEIVES_PER_TURN`] times at most, so
//! that a flood leaves the connections their share; *order*: what waits leaves before what comes later.
//!
//! Absent: what datagrams mean, and any promise that they arrive.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use crate::operation::{Datagrams as Wanted, Outgoing};
use crate::{Completion, Counters, OpenError, sys};

/// Rooms of one receive, and the bytes of one: as much as the kernel joins into one.
const ROOMS: usize = 4;
const ROOM_BYTES: usize = 64 * 1024;

/// Receives in one turn.
const RECEIVES_PER_TURN: usize = 16;

/// Bytes that wait for the kernel to take datagrams again. More: dropped, as a full queue on the way would do.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

pub(crate) struct Datagrams {
    socket: UdpSocket,
    state: UdpSocketState,
    rooms: Box<[u8]>,
    /// The socket may have more to read without telling so again.
    has_more: bool,
    /// What the kernel did not take, in order.
    waiting: VecDeque<(Outgoing, Box<[u8]>)>,
    waiting_bytes: usize,
    received: u64,
    sent: u64,
    dropped: u64,
}

impl Datagrams {
    pub(crate) fn new(socket: UdpSocket) -> Result<Self, OpenError> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))
            .map_err(OpenError::io("setting up the socket of datagrams"))?;
        let rooms = vec![0; ROOMS * ROOM_BYTES].into_boxed_slice();
        Ok(Self {
            socket,
            state,
            rooms,
            has_more: true,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            received: 0,
            sent: 0,
            dropped: 0,
        })
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The socket is readable.
    pub(crate) fn on_readable(&mut self) {
        self.has_more = true;
    }

    /// Whether the next wait has something to hand over, so that it must not block.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Whether writability has to be watched.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Hands over a turn's worth of what has arrived; whether that was anything.
    pub(crate) fn receive(&mut self, sink: &mut dyn FnMut(Completion<'_>)) -> bool {
        let mut any = false;
        for _ in 0..RECEIVES_PER_TURN {
            if !self.has_more {
                break;
            }
            any |= self.receive_once(sink);
        }
        any
    }

    fn receive_once(&mut self, sink: &mut dyn FnMut(Completion<'_>)) -> bool {
        let mut about = [RecvMeta::default(); ROOMS];
        let received = {
            let mut rooms = self.rooms.chunks_exact_mut(ROOM_BYTES);
            let mut slices: [IoSliceMut<'_>; ROOMS] =
                std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
            self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut about)
        };
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                self.has_more = false;
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::debug!(%error, "datagrams could not be received");
                }
                return false;
            }
        };
        // Fewer than there was room for: the socket is empty, and tells when it is not.
        self.has_more = received == ROOMS;
        for (room, about) in self.rooms.chunks_exact_mut(ROOM_BYTES).zip(&about[..received]) {
            if about.len == 0 {
                continue;
            }
            self.received += about.len.div_ceil(about.stride.max(1)) as u64;
            sink(Completion::Datagrams {
                peer: about.addr,
                local_ip: about.dst_ip,
                ecn: about.ecn.map_or(0, |ecn| ecn as u8),
                stride: about.stride,
                data: &mut room[..about.len],
            });
        }
        received > 0
    }

    /// Sends what is asked for, behind what waits.
    pub(crate) fn send(&mut self, wanted: &mut Wanted) {
        for outgoing in wanted.list.drain(..) {
            let bytes = &wanted.bytes[outgoing.start..outgoing.start + outgoing.bytes];
            self.sent += bytes.len().div_ceil(outgoing.segment_bytes.max(1)) as u64;
            let is_taken = self.waiting.is_empty() && self.hand_over(&outgoing, bytes);
            if !is_taken {
                self.keep(outgoing, bytes);
            }
        }
        wanted.bytes.clear();
    }

    /// The socket is writable: sends what waits, as far as the kernel takes it.
    pub(crate) fn on_writable(&mut self) {
        while let Some((outgoing, bytes)) = self.waiting.pop_front() {
            if !self.hand_over(&outgoing, &bytes) {
                self.waiting.push_front((outgoing, bytes));
                return;
            }
            self.waiting_bytes -= bytes.len();
        }
    }

    fn keep(&mut self, outgoing: Outgoing, bytes: &[u8]) {
        if self.waiting_bytes + bytes.len() > WAITING_BYTES_MAX {
            self.dropped += bytes.len().div_ceil(outgoing.segment_bytes.max(1)) as u64;
            return;
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push_back((outgoing, bytes.into()));
    }

    /// Whether the kernel has taken it, or never will.
    fn hand_over(&mut self, outgoing: &Outgoing, bytes: &[u8]) -> bool {
        let segment_bytes = outgoing.segment_bytes;
        // Where the kernel or the network's driver cannot cut, which is found out by trying, we do.
        let piece = if self.state.max_gso_segments() > 1 { bytes.len() } else { segment_bytes };
        for part in bytes.chunks(piece.max(1)) {
            let transmit = Transmit {
                destination: outgoing.destination,
                ecn: EcnCodepoint::from_bits(outgoing.ecn),
                contents: part,
                segment_size: (segment_bytes < part.len()).then_some(segment_bytes),
                src_ip: outgoing.source,
            };
            match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                Ok(()) => {}
                // A piece that was sent already is sent again, and thrown away by the receiver as a copy.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // Too long for the way (a probe of how long it may be), no way there, or refused by a rule.
                Err(error) => {
                    self.dropped += part.len().div_ceil(segment_bytes.max(1)) as u64;
                    tracing::trace!(%error, to = %outgoing.destination, "a datagram could not be sent");
                }
            }
        }
        true
    }

    pub(crate) fn count(&self, counters: &mut Counters) {
        counters.datagrams_received = self.received;
        // Of a kernel that does not tell, none are known.
        counters.datagrams_overflown = sys::dropped(self.socket()).map_or(0, u64::from);
        counters.datagrams_sent = self.sent;
        counters.datagrams_dropped = self.dropped;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn wanted(destination: SocketAddr, parts: &[&[u8]]) -> Wanted {
        let mut wanted = Wanted::default();
        for part in parts {
            let (start, bytes) = (wanted.bytes.len(), part.len());
            wanted.bytes.extend_from_slice(part);
            let segment_bytes = bytes;
            let outgoing = Outgoing { destination, source: None, ecn: 0, segment_bytes, start, bytes };
            wanted.list.push(outgoing);
        }
        wanted
    }

    fn local() -> UdpSocket {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
    }

    #[test]
    fn what_waits_leaves_first_and_the_queue_is_bounded() {
        let peer = local();
        let to = peer.local_addr().unwrap();
        let mut datagrams = Datagrams::new(local()).unwrap();
        // As if the kernel had refused one: loopback never does.
        datagrams.keep(wanted(to, &[b"a"]).list[0], b"a");
        datagrams.send(&mut wanted(to, &[b"b", b"c"]));
        assert!(datagrams.is_blocked());
        datagrams.on_writable();
        assert!(!datagrams.is_blocked());
        let mut room = [0; 8];
        for expected in [b'a', b'b', b'c'] {
            assert_eq!(peer.recv(&mut room).unwrap(), 1);
            assert_eq!(room[0], expected);
        }
        datagrams.keep(wanted(to, &[b"a"]).list[0], b"a");
        let large = vec![0; WAITING_BYTES_MAX / 2];
        datagrams.send(&mut wanted(to, &[&large, &large, b"z"]));
        assert_eq!((datagrams.waiting.len(), datagrams.dropped), (3, 1), "the second large one is dropped");
        assert!(datagrams.waiting_bytes <= WAITING_BYTES_MAX);
    }

    #[test]
    fn without_segmentation_in_the_kernel_we_cut() {
        let peer = local();
        let mut datagrams = Datagrams::new(local()).unwrap();
        let mut one = wanted(peer.local_addr().unwrap(), &[&[7; 250]]);
        one.list[0].segment_bytes = 100;
        let mut room = [0; 512];
        datagrams.send(&mut one);
        let lengths: Vec<usize> = (0..3).map(|_| peer.recv(&mut room).unwrap()).collect();
        assert_eq!(lengths, [100, 100, 50]);
        assert_eq!(datagrams.sent, 3);
    }
}
