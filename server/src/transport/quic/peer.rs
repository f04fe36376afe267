//! One QUIC connection: its stream, its datagrams, and what QUIC says about them.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{Connection, Dir, ReadError, SendDatagramError, StreamEvent, StreamId, VarInt, WriteError};
use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::frame::FrameReader;

use super::crypto::Agreed;
use super::deadlines::Scheduled;
use super::pages::Pages;
use super::room::Room;
use super::web::{Outcome, Web};
use super::{Event, Quic};
use crate::limits::{QUIC_MOVES_BURST, QUIC_MOVES_INTERVAL_MS, QUIC_UNPROVEN_TIMES};
use crate::pace::Pace;

/// Bytes that one read takes: a turn's frames of nearly every client.
const READ_BYTES: usize = 16 * 1024;

/// ALPN of HTTP/3.
const ALPN_WEB: &[u8] = b"h3";

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// No stream yet.
    Waiting,
    /// A session is on it.
    Open,
    /// Closed from one side or the other; QUIC still answers what comes late.
    Over,
}

pub(super) struct Peer {
    pub(super) connection: Connection,
    pub(super) id: ConnectionId,
    pub(super) stage: Stage,
    /// Where it began, and has proven to be; it may have moved since.
    address: SocketAddr,
    /// How often it has moved.
    moves: Pace,
    /// Bytes that came for it, and that it was sent.
    pub(super) came_bytes: u64,
    /// See there.
    pub(super) sent_bytes: u64,
    /// HTTP/3, where that is spoken.
    pub(super) web: Option<Box<Web>>,
    /// The client's stream.
    pub(super) live: Option<StreamId>,
    /// The client has closed its stream.
    pub(super) has_ended: bool,
    /// The last write was cut short.
    pub(super) is_blocked: bool,
    pub(super) reader: FrameReader,
    /// Bytes that came early and have to wait.
    pub(super) held: Vec<u8>,
    pub(super) pages: Option<Box<Pages>>,
    /// How much it may have without an acknowledgement.
    pub(super) room: Room,
    /// Something was written in this turn.
    pub(super) is_writing: bool,
    /// The stream of nothing whose acknowledgement is a sign of life.
    proof: Option<StreamId>,
    pub(super) scheduled: Scheduled,
    /// Until when it has to have a stream, nanoseconds on the monotonic clock.
    pub(super) until_ns: u64,
    pub(super) is_touched: bool,
    is_handshaking: bool,
    is_validated: bool,
}

impl Peer {
    pub(super) fn new(
        id: ConnectionId,
        connection: Connection,
        address: SocketAddr,
        is_validated: bool,
        until_ns: u64,
        frame_bytes_max: usize,
    ) -> Self {
        Peer {
            connection,
            id,
            stage: Stage::Waiting,
            address,
            moves: Pace::default(),
            came_bytes: 0,
            sent_bytes: 0,
            web: None,
            live: None,
            has_ended: false,
            is_blocked: false,
            reader: FrameReader::new(frame_bytes_max),
            held: Vec::new(),
            pages: None,
            room: Room::Little,
            is_writing: false,
            proof: None,
            scheduled: Scheduled::default(),
            until_ns,
            is_touched: false,
            is_handshaking: true,
            is_validated,
        }
    }

    /// How many datagrams it may be sent at once, of those wanted: as many as came pays for, until it is clear that
    /// somebody is there. quinn-proto counts, too, and lets the last one exceed what there is.
    pub(super) fn segments_allowed(&self, wanted: usize) -> usize {
        if !self.is_handshaking || self.is_validated {
            return wanted;
        }
        let bytes = (QUIC_UNPROVEN_TIMES * self.came_bytes).saturating_sub(self.sent_bytes);
        wanted.min((bytes / u64::from(self.connection.current_mtu())) as usize)
    }

    /// Whether a datagram from this address may be looked at. Where it began it may always be.
    pub(super) fn may_come_from(&self, address: SocketAddr, now_ms: u64) -> bool {
        address == self.connection.remote_address()
            || address == self.address
            || self.moves.wait(now_ms, QUIC_MOVES_INTERVAL_MS, QUIC_MOVES_BURST) == 0
    }

    /// A datagram was looked at; before that it was there.
    pub(super) fn on_moved(&mut self, was_at: SocketAddr, now_ms: u64) {
        let address = self.connection.remote_address();
        if address != was_at && address != self.address {
            self.moves.take(now_ms, QUIC_MOVES_INTERVAL_MS, QUIC_MOVES_BURST);
        }
    }

    /// Gives back what only a session needs.
    pub(super) fn forget(&mut self) {
        self.held = Vec::new();
        self.pages = None;
        self.reader = FrameReader::new(0);
    }

    /// What the handshake has agreed on so far.
    fn agreed(&self) -> Option<Box<Agreed>> {
        self.connection.crypto_session().handshake_data()?.downcast().ok()
    }

    pub(super) fn read(&mut self) -> Option<Bytes> {
        if !self.held.is_empty() {
            let is_early = self.connection.is_handshaking();
            return (!is_early).then(|| Bytes::from(std::mem::take(&mut self.held)));
        }
        let mut stream = self.connection.recv_stream(self.live?);
        let mut chunks = stream.read(true).ok()?;
        let read = chunks.next(READ_BYTES);
        // Whether a frame is due for it is found out by asking for one.
        let _ = chunks.finalize();
        match read {
            Ok(Some(chunk)) => Some(chunk.bytes),
            Err(ReadError::Blocked) => None,
            // Its work is done, or it says that it is not interested any more.
            Ok(None) | Err(ReadError::Reset(_)) => {
                self.has_ended = true;
                None
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &Bytes) -> usize {
        let Some(live) = self.live else { return bytes.len() };
        let mut rest = [bytes.clone()];
        let mut stream = self.connection.send_stream(live);
        // Until nothing is taken: only then is it told when the stream takes more.
        while !rest[0].is_empty() {
            match stream.write_chunks(&mut rest) {
                Ok(_) => {}
                Err(WriteError::Blocked) => break,
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => return bytes.len(),
            }
        }
        self.is_blocked = !rest[0].is_empty();
        bytes.len() - rest[0].len()
    }

    pub(super) fn tell(&mut self, frame: &Bytes) -> bool {
        let datagram = self.web.as_ref().map_or_else(|| frame.clone(), |web| web.datagram(frame));
        match self.connection.datagrams().send(datagram, true) {
            Ok(()) => true,
            // Older ones make room, so it is never blocked.
            Err(SendDatagramError::Blocked(_)) => true,
            Err(
                SendDatagramError::UnsupportedByPeer
                | SendDatagramError::Disabled
                | SendDatagramError::TooLarge,
            ) => false,
        }
    }

    pub(super) fn challenge(&mut self) -> bool {
        let Some(id) = self.connection.streams().open(Dir::Uni) else { return false };
        let head = self.head();
        let mut stream = self.connection.send_stream(id);
        // Both fail for a stream that is closed only, and this one is new. A head that finds the connection's
        // window shut is left out; the stream is acknowledged all the same.
        let _ = stream.write(&head);
        let _ = stream.finish();
        self.proof = Some(id);
        true
    }

    /// What streams of ours begin with.
    fn head(&self) -> Vec<u8> {
        self.web.as_ref().map_or_else(Vec::new, |web| web.stream_head())
    }

    /// Has answers to fetches go on, where there are any, and behind what is live.
    pub(super) fn advance_pages(&mut self) {
        if self.pages.is_none() || self.is_blocked {
            return;
        }
        let head = self.head();
        if let Some(pages) = &mut self.pages {
            pages.advance(&mut self.connection, &head, self.room.pages());
            if pages.is_empty() {
                self.pages = None;
            }
        }
    }
}

impl Quic {
    pub(super) fn on_event(&mut self, instant: Instant, index: u32, event: quinn_proto::Event) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        match event {
            quinn_proto::Event::HandshakeDataReady => {
                if peer.agreed().is_some_and(|agreed| agreed.protocol == ALPN_WEB) {
                    peer.web.get_or_insert_default().begin(&mut peer.connection);
                }
            }
            quinn_proto::Event::Connected => {
                self.end_handshake(index, true);
                let Some(peer) = self.peers.get_mut(index) else { return };
                if let Some(web) = &mut peer.web {
                    web.begin(&mut peer.connection);
                }
                if peer.stage == Stage::Open {
                    peer.until_ns = u64::MAX;
                    // What had to wait for this, and what came behind it.
                    self.events.push_back(Event::Readable(peer.id));
                }
            }
            quinn_proto::Event::ConnectionLost { reason } => {
                tracing::debug!(peer = %peer.address, %reason, "QUIC connection lost");
                if peer.stage == Stage::Open {
                    self.events.push_back(Event::Lost(peer.id));
                }
                peer.stage = Stage::Over;
                peer.until_ns = u64::MAX;
                peer.forget();
                self.end_handshake(index, false);
            }
            quinn_proto::Event::Stream(event) => self.on_stream(instant, index, event),
            quinn_proto::Event::DatagramReceived => {
                while let Some(bytes) = peer.connection.datagrams().recv() {
                    let bytes = match &peer.web {
                        Some(web) => web.undo_datagram(bytes),
                        None => Some(bytes),
                    };
                    if let Some(bytes) = bytes.filter(|_| peer.stage == Stage::Open) {
                        self.events.push_back(Event::Datagram(peer.id, bytes));
                    }
                }
            }
            quinn_proto::Event::DatagramsUnblocked => {}
        }
    }

    /// The connection counts as one in handshake no longer.
    pub(super) fn end_handshake(&mut self, index: u32, is_complete: bool) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        if !std::mem::replace(&mut peer.is_handshaking, false) {
            return;
        }
        self.counters.handshakes -= 1;
        self.counters.unproven -= u64::from(!peer.is_validated);
        let of = if peer.web.is_some() { &mut self.counters.web } else { &mut self.counters.native };
        if !is_complete {
            of.failed += 1;
            return;
        }
        of.completed(peer.agreed().is_some_and(|agreed| agreed.is_resumed));
        self.counters.early += u64::from(peer.connection.has_0rtt());
    }

    fn on_stream(&mut self, instant: Instant, index: u32, event: StreamEvent) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        match event {
            StreamEvent::Opened { dir } => self.on_opened(instant, index, dir),
            StreamEvent::Readable { id } if Some(id) == peer.live => {
                self.events.push_back(Event::Readable(peer.id));
            }
            StreamEvent::Writable { id } if Some(id) == peer.live => {
                if std::mem::replace(&mut peer.is_blocked, false) {
                    self.events.push_back(Event::Writable(peer.id));
                } else if peer.room == Room::Ebbing {
                    self.on_ebbed(index);
                }
            }
            StreamEvent::Writable { .. } => peer.advance_pages(),
            StreamEvent::Finished { id } if Some(id) == peer.proof => {
                peer.proof = None;
                self.events.push_back(Event::Proven(peer.id));
            }
            StreamEvent::Finished { id } | StreamEvent::Stopped { id, .. } => {
                if Some(id) == peer.live {
                    // A client that does not want to hear anything is gone.
                    return self.lose(instant, index, Code::NORMAL, "");
                }
                if let Some(pages) = &mut peer.pages {
                    pages.on_end(&mut peer.connection, id);
                }
                peer.advance_pages();
            }
            StreamEvent::Available { .. } => {
                if let Some(web) = &mut peer.web {
                    web.begin(&mut peer.connection);
                }
                peer.advance_pages();
            }
            StreamEvent::Readable { id } => self.on_web_readable(instant, index, id),
        }
    }

    /// A stream has something that is not for the session, if HTTP/3 is spoken.
    fn on_web_readable(&mut self, instant: Instant, index: u32, id: StreamId) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some(web) = &mut peer.web else { return };
        match web.on_readable(&mut peer.connection, id, &self.setup.origins) {
            Outcome::Nothing => {}
            Outcome::Opened(id, bytes) => {
                peer.held = bytes;
                self.open(index, id);
            }
            Outcome::Ended => self.lose(instant, index, Code::NORMAL, ""),
            Outcome::Fault(code, reason) => self.lose(instant, index, code, reason),
        }
    }

    /// The client speaks on this stream: a session may begin.
    fn open(&mut self, index: u32, id: StreamId) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.live = Some(id);
        peer.stage = Stage::Open;
        if !peer.is_handshaking {
            peer.until_ns = u64::MAX;
        }
        let is_web = peer.web.is_some();
        self.events.push_back(Event::Opened { id: peer.id, peer: peer.address, is_web });
        self.events.push_back(Event::Readable(peer.id));
    }

    /// The client opened streams: the first is the one it speaks on, and there is no other.
    fn on_opened(&mut self, instant: Instant, index: u32, dir: Dir) {
        loop {
            let Some(peer) = self.peers.get_mut(index) else { return };
            if let Some(web) = &mut peer.web {
                let opened = web.on_opened(&mut peer.connection, dir);
                return opened.into_iter().for_each(|id| self.on_web_readable(instant, index, id));
            }
            let Some(id) = peer.connection.streams().accept(dir) else { return };
            if dir == Dir::Uni || peer.stage != Stage::Waiting {
                // Each is told to stop, so that it is not left with a window of bytes until the end.
                let code = VarInt::from_u32(u32::from(Code::UNEXPECTED_FRAME.number()));
                let _ = peer.connection.recv_stream(id).stop(code);
                if peer.stage != Stage::Over {
                    let reason = "the client has one stream, and opened another";
                    self.lose(instant, index, Code::UNEXPECTED_FRAME, reason);
                }
                continue;
            }
            self.open(index, id);
        }
    }
}
