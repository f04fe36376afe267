//! QUIC on `quinn-proto` (docs/decisions/0005): datagrams and time in, datagrams and events out.
//!
//! ```text
//!   driver ──datagrams──► endpoint ──► connections ──streams──► Event, read ──► session
//!   driver ◄──datagrams── flush ◄───── connections ◄──streams── write, page, tell ◄── session
//! ```
//!
//! A connection has a slot behind those of the driver, so a session does not know which of the two it is on. The
//! client opens one stream; what the session writes to it is frames behind each other (W-70). Answers to fetches
//! go on streams of their own with a lower priority (`pages`), signs of the moment as datagrams where they fit.
//! `arrivals` judges who may connect, `web` speaks as much HTTP/3 as WebTransport needs, in the `words` of that.
//!
//! Owner: the shard. Lifetime: the process; a connection lives from its first datagram until QUIC has drained it,
//! the session on it from its first stream until either side closes.
//!
//! Invariants. Q-1: nobody is sent more than three times what came from an address that is not proven; who may have
//! moved is asked with a datagram or two, whatever came, and how often that happens is bounded. Q-2: connections in
//! handshake are bounded, and beyond a lower bound an address has to prove itself before it costs memory. Q-3: what a
//! peer can make us keep is bounded by the windows in `limits`, and how many may have wide ones is, too (`room`).
//! Q-4: an idle connection costs one entry in an ordered set and no turn.
//!
//! Absent: sockets, clocks, randomness (inputs), what frames mean, and anything of HTTP/3 beyond one request.

mod arrivals;
mod counters;
mod crypto;
mod deadlines;
mod ids;
mod pages;
mod peer;
mod peers;
mod room;
pub mod settings;
#[cfg(test)]
mod tests;
mod web;
pub mod words;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{ConnectionHandle, Endpoint, ServerConfig, Transmit, VarInt};
use ringwire_driver::{ConnectionId, Datagrams, Operations, Outgoing};
use ringwire_protocol::code::Code;
use ringwire_protocol::frame::FrameReader;

pub use arrivals::Stray;
pub use counters::Counters;
use deadlines::Deadlines;
use ids::Ids;
use peer::{Peer, Stage};
use peers::Peers;
use settings::{Dates, Keys, Patience};

use crate::clock::Now;
use crate::fanout::letter::ShardIndex;
use crate::limits::{QUIC_SENDS_PER_TURN, QUIC_TRANSMITS_PER_TURN};
use crate::transport::gate::{Gate, Rate};
use crate::transport::tls::offer::Offer;

/// Datagrams that the kernel cuts out of one send.
const SEGMENTS_MAX: usize = 10;

/// How long a browser has to go after it was told that its session is over.
const WEB_LINGER: Duration = Duration::from_secs(2);

/// What happened to a connection that its session has to know.
#[derive(Debug)]
pub enum Event {
    /// A client has opened its stream: a session may begin.
    Opened {
        /// Which.
        id: ConnectionId,
        /// Where it came from.
        peer: SocketAddr,
        /// Whether it is a browser's, over HTTP/3.
        is_web: bool,
    },
    /// There is something to [`Quic::read`].
    Readable(ConnectionId),
    /// The stream takes bytes again after it did not.
    Writable(ConnectionId),
    /// A datagram came: one frame.
    Datagram(ConnectionId, Bytes),
    /// What [`Quic::challenge`] asked for was answered.
    Proven(ConnectionId),
    /// The connection is over.
    Lost(ConnectionId),
}

/// What a shard's QUIC begins with.
pub struct Setup {
    /// The certificates.
    pub offer: Offer,
    /// Keys and seeds.
    pub keys: Keys,
    /// Time-outs.
    pub patience: Patience,
    /// Which shard this is, and of how many.
    pub shard: ShardIndex,
    /// See above.
    pub shards: ShardIndex,
    /// The first slot that no connection of the driver has.
    pub first_slot: u32,
    /// Connections at a time.
    pub connections_max: u32,
    /// See [`crate::limits::QUIC_UNVALIDATED_MAX`].
    pub unvalidated_max: usize,
    /// See [`crate::limits::QUIC_WIDE_MAX`].
    pub wide_max: usize,
    /// Longest frame, bytes.
    pub frame_bytes_max: usize,
    /// Origins of pages that may connect; empty: any.
    pub origins: Vec<String>,
    /// How many connections one address may begin, per shard; `None`: any number.
    pub handshakes: Option<Rate>,
    /// The instant at which the shards' monotonic clock stood at 0.
    pub base: Instant,
}

/// All QUIC connections of a shard.
pub struct Quic {
    setup: Setup,
    endpoint: Endpoint,
    ids: Ids,
    dates: Arc<Dates>,
    gate: Gate,
    server: Arc<ServerConfig>,
    /// What `server` was made of, to see whether the certificates have changed.
    crypto: Arc<rustls::ServerConfig>,
    /// By the endpoint's handle.
    peers: Peers,
    generations: Vec<u32>,
    deadlines: Deadlines,
    /// Those with something to send or to say to the endpoint; each once.
    touched: VecDeque<u32>,
    events: VecDeque<Event>,
    out: Datagrams,
    scratch: Vec<u8>,
    draining: bool,
    /// Nobody has to prove an address: a bug for the simulation to find.
    #[cfg(feature = "planted-bugs")]
    pub asks_nobody: bool,
    /// What happened, for the operator.
    pub counters: Counters,
}

impl Quic {
    /// No connections yet.
    ///
    /// # Errors
    /// Where the certificates' configuration cannot speak QUIC.
    pub fn new(mut setup: Setup) -> Result<Self, String> {
        let ids = Ids::new(setup.keys.secret, setup.keys.seed, setup.shard);
        let crypto = Arc::clone(&setup.offer.current().quic);
        let dates = Arc::new(Dates::default());
        let server = settings::server(&setup.keys, &dates, setup.patience, Arc::clone(&crypto))?;
        let config = Arc::new(settings::endpoint(&setup.keys, ids.clone()));
        // The driver's sockets never let a datagram be cut on its way, so its length can be found out by trying.
        let endpoint = Endpoint::new(config, Some(Arc::clone(&server)), true, None);
        Ok(Quic {
            gate: Gate::new(setup.handshakes),
            setup,
            endpoint,
            ids,
            dates,
            server,
            crypto,
            peers: Peers::default(),
            generations: Vec::new(),
            deadlines: Deadlines::default(),
            touched: VecDeque::new(),
            events: VecDeque::new(),
            out: Datagrams::default(),
            scratch: Vec::new(),
            draining: false,
            #[cfg(feature = "planted-bugs")]
            asks_nobody: false,
            counters: Counters::default(),
        })
    }

    /// The shards' monotonic clock at that time.
    fn age(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.setup.base)
    }

    fn age_ms(&self, instant: Instant) -> u64 {
        u64::try_from(self.age(instant).as_millis()).unwrap_or(u64::MAX)
    }

    fn instant(&self, now: Now) -> Instant {
        self.setup.base + Duration::from_nanos(now.monotonic_ns)
    }

    /// Takes nobody new.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// What happened next. To be asked until there is nothing.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether something is to be sent that nothing has to happen for.
    pub fn has_due(&self) -> bool {
        !self.touched.is_empty() || !self.events.is_empty()
    }

    /// When a connection has to be looked at, milliseconds from now.
    pub fn next_ms(&self, now: Now) -> Option<u64> {
        let at_ns = self.deadlines.next_ns()?;
        Some(at_ns.saturating_sub(now.monotonic_ns).div_ceil(1_000_000))
    }

    /// Looks at those whose deadline has come.
    pub fn on_time(&mut self, now: Now) {
        let instant = self.instant(now);
        while let Some(index) = self.deadlines.pop(now.monotonic_ns) {
            let Some(peer) = self.peers.get_mut(index) else { continue };
            peer.scheduled = deadlines::Scheduled::default();
            if peer.connection.poll_timeout().is_some_and(|at| at <= instant) {
                peer.connection.handle_timeout(instant);
            }
            if peer.until_ns <= now.monotonic_ns {
                peer.until_ns = u64::MAX;
                if peer.stage == Stage::Over {
                    // It was told, and has not gone by itself.
                    peer.connection.close(instant, VarInt::from_u32(web::H3_NO_ERROR), Bytes::new());
                } else {
                    self.counters.overdue += 1;
                    self.lose(instant, index, Code::HANDSHAKE_TIMEOUT, Code::HANDSHAKE_TIMEOUT.name());
                }
            }
            self.touch(index);
            self.attend(instant, index);
        }
    }

    /// The peer of a connection that a session may still use.
    fn open_peer(&mut self, id: ConnectionId) -> Option<(u32, &mut Peer)> {
        let index = id.slot.checked_sub(self.setup.first_slot)?;
        let peer = self.peers.get_mut(index)?;
        (peer.id == id && peer.stage == Stage::Open).then_some((index, peer))
    }

    fn touch(&mut self, index: u32) {
        if let Some(peer) = self.peers.get_mut(index)
            && !std::mem::replace(&mut peer.is_touched, true)
        {
            self.touched.push_back(index);
        }
    }

    /// Whether what is read now came before the handshake was complete, so that somebody may have sent it again.
    pub fn is_early(&mut self, id: ConnectionId) -> bool {
        self.open_peer(id).is_some_and(|(_, peer)| peer.connection.is_handshaking())
    }

    /// The next bytes of the stream; none while what came early is held back.
    pub fn read(&mut self, now: Now, id: ConnectionId) -> Option<Bytes> {
        let (index, peer) = self.open_peer(id)?;
        let read = peer.read();
        if peer.has_ended {
            // It is gone, as one that closes its WebSocket.
            let instant = self.instant(now);
            self.lose(instant, index, Code::NORMAL, "");
        }
        self.touch(index);
        read
    }

    /// Keeps bytes that came early until the handshake is complete.
    pub fn hold(&mut self, id: ConnectionId, frame: &[u8], rest: &[u8]) {
        if let Some((_, peer)) = self.open_peer(id) {
            peer.held = [frame, rest].concat();
        }
    }

    /// Lends what cuts the stream into frames.
    pub fn take_reader(&mut self, id: ConnectionId) -> Option<FrameReader> {
        let frame_bytes_max = self.setup.frame_bytes_max;
        let (_, peer) = self.open_peer(id)?;
        Some(std::mem::replace(&mut peer.reader, FrameReader::new(frame_bytes_max)))
    }

    /// Takes it back.
    pub fn return_reader(&mut self, id: ConnectionId, reader: FrameReader) {
        if let Some((_, peer)) = self.open_peer(id) {
            peer.reader = reader;
        }
    }

    /// Sends a frame as a datagram; whether that can be.
    pub fn tell(&mut self, id: ConnectionId, frame: &Bytes) -> bool {
        let Some((index, peer)) = self.open_peer(id) else { return true };
        let told = peer.tell(frame);
        self.touch(index);
        told
    }

    /// Bytes of answers to fetches that the client has not taken.
    pub fn page_bytes(&mut self, id: ConnectionId) -> usize {
        self.open_peer(id).and_then(|(_, peer)| peer.pages.as_ref()).map_or(0, |pages| pages.bytes())
    }

    /// Asks the peer for a sign of life: a stream of nothing, whose acknowledgement is the answer. Where the client
    /// allows no streams, it is taken to live.
    pub fn challenge(&mut self, id: ConnectionId) {
        let Some((index, peer)) = self.open_peer(id) else { return };
        if !peer.challenge() {
            self.events.push_back(Event::Proven(id));
        }
        self.touch(index);
    }

    /// Closes with a code (W-25), behind what was written, as far as the path takes it now.
    pub fn close(&mut self, now: Now, id: ConnectionId, code: u16, reason: &str) {
        let instant = self.instant(now);
        let Some((index, _)) = self.open_peer(id) else { return };
        self.transmit(instant, index);
        self.end(instant, index, code, reason);
        self.touch(index);
    }

    /// Closes from here, and tells the session.
    fn lose(&mut self, instant: Instant, index: u32, code: Code, reason: &str) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        if peer.stage == Stage::Open {
            self.events.push_back(Event::Lost(peer.id));
        }
        self.end(instant, index, code.number(), reason);
    }

    fn end(&mut self, instant: Instant, index: u32, code: u16, reason: &str) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.stage = Stage::Over;
        peer.until_ns = u64::MAX;
        peer.forget();
        let told = peer.web.as_mut().map(|web| web.close(&mut peer.connection, code, reason));
        match told {
            // A browser hears the code in the session's own words, and closes the connection itself, or time does.
            Some(true) => {
                let age = instant.saturating_duration_since(self.setup.base) + WEB_LINGER;
                peer.until_ns = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
            }
            Some(false) => {
                peer.connection.close(instant, VarInt::from_u32(web::H3_NO_ERROR), Bytes::new());
            }
            None => {
                let reason = Bytes::copy_from_slice(reason.as_bytes());
                peer.connection.close(instant, VarInt::from_u32(u32::from(code)), reason);
            }
        }
        self.end_handshake(index, false);
    }

    /// Hands over what is to be sent; beyond a turn's worth, the rest waits for the next.
    pub fn flush(&mut self, now: Now, operations: &mut Operations) {
        let instant = self.instant(now);
        for _ in 0..self.touched.len() {
            if self.out.list.len() >= QUIC_SENDS_PER_TURN {
                break;
            }
            let Some(index) = self.touched.pop_front() else { break };
            let Some(peer) = self.peers.get_mut(index) else { continue };
            peer.is_touched = false;
            // What was asked for since may have something to say to the endpoint.
            self.attend(instant, index);
            self.narrow(index);
            if self.transmit(instant, index) {
                self.touch(index);
            }
            self.settle(index, instant);
        }
        self.counters.datagrams_out +=
            self.out.list.iter().map(|out| out.bytes.div_ceil(out.segment_bytes.max(1)) as u64).sum::<u64>();
        if operations.datagrams.list.is_empty() {
            std::mem::swap(&mut operations.datagrams, &mut self.out);
        }
    }

    /// Takes what a connection may send now; whether there is more.
    fn transmit(&mut self, instant: Instant, index: u32) -> bool {
        let Some(peer) = self.peers.get_mut(index) else { return false };
        for _ in 0..QUIC_TRANSMITS_PER_TURN {
            self.scratch.clear();
            let segments = peer.segments_allowed(SEGMENTS_MAX);
            if segments == 0 {
                return false;
            }
            let Some(transmit) = peer.connection.poll_transmit(instant, segments, &mut self.scratch) else {
                return false;
            };
            peer.sent_bytes += transmit.size as u64;
            put(&mut self.out, &transmit, &self.scratch);
        }
        true
    }

    /// Notes when to look at a connection again.
    fn settle(&mut self, index: u32, instant: Instant) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let timeout = peer.connection.poll_timeout().map(|timeout| {
            // Not in the past: `on_time` would find it again and again in one turn.
            let at = timeout.max(instant).saturating_duration_since(self.setup.base);
            u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
        });
        let at_ns = timeout.unwrap_or(u64::MAX).min(peer.until_ns);
        if at_ns != u64::MAX {
            self.deadlines.set(&mut peer.scheduled, index, at_ns);
        }
    }

    /// Lets a connection and the endpoint talk, and says what happened.
    fn attend(&mut self, instant: Instant, index: u32) {
        loop {
            let Some(peer) = self.peers.get_mut(index) else { return };
            while let Some(event) = peer.connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(ConnectionHandle(index as usize), event) {
                    peer.connection.handle_event(event);
                }
            }
            let Some(event) = peer.connection.poll() else { break };
            self.on_event(instant, index, event);
        }
        // The endpoint gives the handle to the next who comes.
        if self.peers.get_mut(index).is_some_and(|peer| peer.connection.is_drained()) {
            self.end_handshake(index, false);
            self.on_ebbed(index);
            if let Some(peer) = self.peers.remove(index) {
                self.deadlines.forget(peer.scheduled, index);
            }
            self.generations[index as usize] = self.generations[index as usize].wrapping_add(1);
            self.counters.connections -= 1;
        }
    }
}

/// Adds datagrams to those that leave.
fn put(out: &mut Datagrams, transmit: &Transmit, bytes: &[u8]) {
    let (start, bytes) = (out.bytes.len(), &bytes[..transmit.size]);
    out.bytes.extend_from_slice(bytes);
    out.list.push(Outgoing {
        destination: transmit.destination,
        source: transmit.src_ip,
        ecn: transmit.ecn.map_or(0, |ecn| ecn as u8),
        segment_bytes: transmit.segment_size.unwrap_or(bytes.len()),
        start,
        bytes: bytes.len(),
    });
}
