//! A client's end of a QUIC connection (W-70): what `ringwire-client` does with `quinn`, on the state machine below it.
//!
//! ```text
//!   datagrams -> Quic -> Brought (stream, page, datagram) -> Link
//!   datagrams <- Quic <- write, tell, close               <- Link
//! ```
//!
//! Owner: the client whose connection it is. Lifetime: from dialling until either side ends it; what QUIC says after
//! that is not said, as by a program that exits.
//!
//! What the client says by a ticket goes out before the handshake is over; where the server has forgotten the ticket, it
//! is said again.
//!
//! Deliberately absent: several addresses of a server, and its sockets, which are the world's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, ConnectionId, ConnectionIdGenerator,
    DatagramEvent, Dir, EcnCodepoint, Endpoint, EndpointConfig, Event, ReadError, SendDatagramError,
    StreamEvent, StreamId, TransportConfig, VarInt,
};
use ringwire_client::core::Cause;
use ringwire_client::limits::{
    FRAME_BYTES_TAKEN, QUIC_BYTES_MAX, QUIC_DATAGRAM_BYTES_MAX, QUIC_PAGES_MAX, QUIC_STREAM_BYTES_MAX,
};
use ringwire_protocol::Fault;
use ringwire_protocol::frame::FrameReader;

use super::web::{Answer, Web};
use crate::network::trust::{NAME, Tickets};
use crate::network::{PathId, SERVER};
use crate::random::Random;

/// Datagrams that wait for a client that does not read; what comes beyond is lost, as in a full socket.
const INBOX_MAX: usize = 64;

/// Datagrams that are taken in one piece, which the system cuts.
const SEGMENTS_MAX: usize = 10;

/// What the connection has brought.
#[derive(Debug)]
pub enum Brought {
    /// The stream is open.
    Open,
    /// The server has answered; whether it took what was said early, if anything was.
    Confirmed(Option<bool>),
    /// Bytes of the stream.
    Stream(Bytes),
    /// A frame that came beside it.
    Beside(Bytes),
    /// What came beside it is no frame.
    Fault(Fault),
    /// It is over.
    Lost(Cause),
}

/// What kind of client dials.
#[derive(Clone)]
pub struct Manner {
    /// What is known from earlier connections.
    pub tickets: Tickets,
    /// Bytes of a stream that it takes ahead, where that is less than the product's.
    pub window: u32,
    /// It reads streams in their order.
    pub is_ordered: bool,
}

/// Ids of a length, drawn.
struct Ids(Random);

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.0.word().to_le_bytes())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// A stream of the server's.
struct Page {
    /// What it begins with, until that says what it is; only over HTTP/3.
    head: Option<Vec<u8>>,
    /// It is not for the session.
    is_other: bool,
    /// Cuts it into frames.
    reader: FrameReader,
}

/// See the module.
pub struct Quic {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    stream: Option<StreamId>,
    /// Everything said before the handshake was over.
    early: Option<Vec<u8>>,
    /// What is to be said again, before anything else.
    again: Vec<u8>,
    /// HTTP/3, where that is spoken.
    web: Option<Web>,
    /// Streams of the server's.
    pages: BTreeMap<StreamId, Page>,
    brought: VecDeque<Brought>,
    /// The stream is read in its order; not so where that bug is planted.
    is_ordered: bool,
    /// The server has said that it does not know the connection.
    pub was_reset: bool,
    /// It has moved, and nothing has come since.
    pub has_moved: bool,
    /// Where the client is.
    pub path: PathId,
    /// Which process it has dialled.
    pub epoch: u32,
    /// What has arrived and was not looked at, with the bits of congestion notification.
    pub inbox: VecDeque<(u8, BytesMut)>,
    /// When it wants its timer, and which setting of it counts.
    pub wake_at_us: Option<u64>,
    /// See there.
    pub wake_version: u32,
}

impl Quic {
    /// Dials from there.
    ///
    /// # Panics
    /// Never: the configuration is the same in every world.
    pub fn dial(now: Instant, path: PathId, manner: Manner, random: &mut Random) -> Self {
        let ids = Random::new(random.word(), "connection ids");
        let mut config = EndpointConfig::default();
        config.cid_generator(move || Box::new(Ids(ids.clone()))).rng_seed(Some(seed(random)));
        let mut endpoint = Endpoint::new(Arc::new(config), None, true, None);
        let first = ConnectionId::new(&seed(random)[..20]);
        let mut config = ClientConfig::new(manner.tickets.config);
        config.transport_config(Arc::new(transport(manner.window)));
        config.initial_dst_cid_provider(Arc::new(move || first));
        let (handle, connection) =
            endpoint.connect(now, config, SERVER, NAME).expect("the server's address and name are valid");
        let may_be_early = connection.has_0rtt();
        let mut quic = Quic {
            endpoint,
            handle,
            connection,
            stream: None,
            early: None,
            again: Vec::new(),
            web: manner.tickets.is_browser.then(Web::default),
            pages: BTreeMap::new(),
            brought: VecDeque::new(),
            is_ordered: manner.is_ordered,
            was_reset: false,
            has_moved: false,
            path,
            epoch: 0,
            inbox: VecDeque::new(),
            wake_at_us: None,
            wake_version: 0,
        };
        if may_be_early {
            quic.early = Some(Vec::new());
            quic.stream = quic.connection.streams().open(Dir::Bi);
        }
        quic
    }

    fn open(&mut self) {
        self.stream = self.connection.streams().open(Dir::Bi);
        self.brought.push_back(match self.stream {
            Some(_) => Brought::Open,
            None => Brought::Lost(Cause::Network("the server allows no stream".to_owned())),
        });
    }

    /// A datagram has come to the client's socket.
    pub fn on_arrived(&mut self, ecn: u8, bytes: BytesMut) {
        if self.inbox.len() < INBOX_MAX {
            self.inbox.push_back((ecn, bytes));
        }
    }

    /// Looks at everything that has come, and at the clock.
    pub fn serve(&mut self, now: Instant) {
        let mut answer = Vec::new();
        for (ecn, bytes) in std::mem::take(&mut self.inbox) {
            let ecn = EcnCodepoint::from_bits(ecn);
            // An answer would be for a stranger, and there is none.
            if let Some(DatagramEvent::ConnectionEvent(_, event)) =
                self.endpoint.handle(now, SERVER, None, ecn, bytes, &mut answer)
            {
                self.connection.handle_event(event);
            }
        }
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
        self.attend();
    }

    fn attend(&mut self) {
        loop {
            while let Some(event) = self.connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                    self.connection.handle_event(event);
                }
            }
            let Some(event) = self.connection.poll() else { return };
            match event {
                Event::Connected => {
                    let early = self.early.take();
                    let taken = early.is_some().then(|| self.connection.accepted_0rtt());
                    self.brought.push_back(Brought::Confirmed(taken));
                    match (taken, early, &mut self.web) {
                        (Some(false), Some(said), _) => {
                            self.stream = self.connection.streams().open(Dir::Bi);
                            self.again = said;
                        }
                        (None, _, Some(web)) => web.begin(&mut self.connection),
                        (None, _, None) => self.open(),
                        _ => {}
                    }
                }
                Event::ConnectionLost { reason } => {
                    self.was_reset = matches!(reason, ConnectionError::Reset);
                    let cause = match &self.web {
                        // What the session has to say was said in it; this code is HTTP's.
                        Some(_) => Cause::Network(format!("QUIC: {reason}")),
                        None => cause(reason),
                    };
                    self.brought.push_back(Brought::Lost(cause));
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                    while let Some(id) = self.connection.streams().accept(Dir::Uni) {
                        let head = self.web.is_some().then(Vec::new);
                        let reader = FrameReader::new(FRAME_BYTES_TAKEN);
                        self.pages.insert(id, Page { head, is_other: false, reader });
                        self.read_page(id);
                    }
                }
                Event::Stream(StreamEvent::Readable { id }) if Some(id) != self.stream => match &mut self.web
                {
                    Some(web) if web.is_request(id) => match web.on_request(&mut self.connection) {
                        Answer::Nothing => {}
                        Answer::Session(stream) => {
                            self.stream = Some(stream);
                            self.brought.push_back(Brought::Open);
                        }
                        Answer::Over(cause) => self.brought.push_back(Brought::Lost(cause)),
                    },
                    _ => self.read_page(id),
                },
                Event::DatagramReceived => {
                    while let Some(bytes) = self.connection.datagrams().recv() {
                        let frame = match &self.web {
                            Some(web) => web.undo_datagram(bytes),
                            None => Some(bytes),
                        };
                        self.brought.extend(frame.map(Brought::Beside));
                    }
                }
                _ => {}
            }
        }
    }

    fn read_page(&mut self, id: StreamId) {
        let Some(Page { head, is_other, reader }) = self.pages.get_mut(&id) else { return };
        let mut stream = self.connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        let is_over = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    let mut bytes = chunk.bytes;
                    if let Some(begun) = head {
                        begun.extend_from_slice(&bytes);
                        let Some(head_bytes) = Web::head_bytes(begun) else { continue };
                        *is_other = head_bytes == 0;
                        bytes = Bytes::copy_from_slice(&begun[head_bytes..]);
                        *head = None;
                    }
                    let mut rest = if *is_other { &[][..] } else { &bytes[..] };
                    let fault = loop {
                        match reader.next(&mut rest) {
                            Ok(Some(frame)) => {
                                let frame = Bytes::copy_from_slice(frame.bytes);
                                self.brought.push_back(Brought::Beside(frame));
                            }
                            Ok(None) => break None,
                            Err(fault) => break Some(fault),
                        }
                    };
                    if let Some(fault) = fault {
                        self.brought.push_back(Brought::Fault(fault));
                        break true;
                    }
                }
                Err(ReadError::Blocked) => break false,
                Ok(None) | Err(ReadError::Reset(_)) => break true,
            }
        };
        let _ = chunks.finalize();
        if is_over {
            self.pages.remove(&id);
        }
    }

    /// What the connection has brought next; of the stream, at most so many bytes.
    pub fn poll(&mut self, bytes_max: usize) -> Option<Brought> {
        self.attend();
        if let Some(brought) = self.brought.pop_front() {
            return Some(brought);
        }
        let mut stream = self.connection.recv_stream(self.stream?);
        let mut chunks = stream.read(self.is_ordered).ok()?;
        let read = chunks.next(bytes_max);
        let _ = chunks.finalize();
        match read {
            Ok(Some(chunk)) => Some(Brought::Stream(chunk.bytes)),
            Err(ReadError::Blocked) => None,
            Ok(None) | Err(ReadError::Reset(_)) => {
                self.stream = None;
                Some(Brought::Lost(Cause::Network("the server ended the stream".to_owned())))
            }
        }
    }

    /// Writes to the stream; how many bytes were taken.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(stream) = self.stream else { return 0 };
        let mut stream = self.connection.send_stream(stream);
        if !self.again.is_empty() {
            let written = stream.write(&self.again).unwrap_or(0);
            self.again.drain(..written);
            return 0;
        }
        // To write nothing would be something, too: a frame of the stream without bytes, and its acknowledgement.
        let written = if bytes.is_empty() { 0 } else { stream.write(bytes).unwrap_or(0) };
        if let Some(early) = &mut self.early {
            early.extend_from_slice(&bytes[..written]);
        }
        written
    }

    /// Whether the stream is open before the server has answered.
    pub fn is_early(&self) -> bool {
        self.early.is_some()
    }

    /// Whether it speaks HTTP/3.
    pub fn is_browser(&self) -> bool {
        self.web.is_some()
    }

    /// Whether something is to be said again first.
    pub fn repeats(&self) -> bool {
        !self.again.is_empty()
    }

    /// Opens another stream and says something on it; whether that could be done.
    pub fn open_more(&mut self, dir: Dir, said: &[u8]) -> bool {
        let Some(stream) = self.connection.streams().open(dir) else { return false };
        let _ = self.connection.send_stream(stream).write(said);
        true
    }

    /// Sends a frame as a datagram; whether that can be.
    pub fn tell(&mut self, frame: Vec<u8>) -> bool {
        let datagram = match &self.web {
            Some(web) => web.datagram(&frame),
            None => frame.into(),
        };
        let told = self.connection.datagrams().send(datagram, true);
        !matches!(
            told,
            Err(SendDatagramError::UnsupportedByPeer
                | SendDatagramError::Disabled
                | SendDatagramError::TooLarge)
        )
    }

    /// Says its last word, where that is one of the session's own.
    pub fn say_end(&mut self, code: u16, reason: &str) {
        if let Some(web) = &self.web {
            web.close(&mut self.connection, code, reason);
        }
    }

    /// Ends it.
    pub fn close(&mut self, now: Instant, code: u16, reason: &str) {
        let reason = Bytes::copy_from_slice(reason.as_bytes());
        self.connection.close(now, VarInt::from_u32(code.into()), reason);
    }

    /// The client has noticed that it is somewhere else.
    pub fn on_moved(&mut self) {
        self.connection.local_address_changed();
    }

    /// The next datagrams to send, with the bits of congestion notification.
    pub fn transmit(&mut self, now: Instant) -> Option<(u8, Vec<Bytes>)> {
        let mut buffer = Vec::new();
        let transmit = self.connection.poll_transmit(now, SEGMENTS_MAX, &mut buffer)?;
        let bytes = Bytes::from(buffer).slice(..transmit.size);
        let segment_bytes = transmit.segment_size.unwrap_or(transmit.size).max(1);
        let ends = (0..transmit.size).step_by(segment_bytes);
        let cut = ends.map(|from| bytes.slice(from..transmit.size.min(from + segment_bytes))).collect();
        Some((transmit.ecn.map_or(0, |ecn| ecn as u8), cut))
    }

    /// When it is to be served although nothing came.
    pub fn deadline(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }
}

fn seed(random: &mut Random) -> [u8; 32] {
    let mut seed = [0; 32];
    for part in seed.chunks_exact_mut(8) {
        part.copy_from_slice(&random.word().to_le_bytes());
    }
    seed
}

/// As the product's client has it, but for the windows.
fn transport(window: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(None)
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(QUIC_PAGES_MAX))
        .stream_receive_window(VarInt::from_u32(QUIC_STREAM_BYTES_MAX.min(window)))
        .receive_window(VarInt::from_u32(QUIC_BYTES_MAX.min(window.saturating_mul(4))))
        .datagram_receive_buffer_size(Some(QUIC_DATAGRAM_BYTES_MAX))
        .datagram_send_buffer_size(QUIC_DATAGRAM_BYTES_MAX);
    transport
}

fn cause(error: ConnectionError) -> Cause {
    match error {
        ConnectionError::ApplicationClosed(close) => Cause::Closed {
            code: u16::try_from(close.error_code.into_inner()).ok(),
            reason: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        error => Cause::Network(format!("QUIC: {error}")),
    }
}
