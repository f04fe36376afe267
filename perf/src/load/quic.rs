//! The client's end of QUIC: one endpoint without sockets, a connection and one bidirectional stream for each
//! socket, as the clients of a real server have.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, EndpointEvent,
    Event, ReadError, StreamEvent, StreamId, WriteError,
};

use super::secure::SERVER_NAME;

/// Longest datagram that is taken, bytes.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

/// All connections of a run.
pub struct Quic {
    endpoint: Endpoint,
    config: ClientConfig,
    held: HashMap<ConnectionHandle, Held>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Connections that have to be looked at before anybody sleeps.
    touched: Vec<ConnectionHandle>,
    incoming: Box<[u8]>,
    outgoing: Vec<u8>,
}

struct Held {
    connection: Connection,
    socket: Arc<UdpSocket>,
    index: u32,
    stream: Option<StreamId>,
    timeout: Option<Instant>,
}

/// What became of a connection that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// Its stream is open: what it has to say can be written.
    Open(u32),
    /// Its stream has bytes.
    Readable(u32),
    /// It is over, and why.
    Lost(u32, String),
}

impl Quic {
    /// No connections yet; all will be set up like this.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Quic {
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None),
            config,
            held: HashMap::new(),
            timers: BinaryHeap::new(),
            touched: Vec::new(),
            incoming: vec![0; DATAGRAM_BYTES_MAX].into_boxed_slice(),
            outgoing: Vec::new(),
        }
    }

    /// Begins a handshake on a socket that is connected to `server`.
    ///
    /// # Errors
    /// The configuration suits nobody.
    pub fn connect(
        &mut self,
        index: u32,
        socket: Arc<UdpSocket>,
        server: SocketAddr,
    ) -> Result<ConnectionHandle, String> {
        let (handle, connection) = self
            .endpoint
            .connect(Instant::now(), self.config.clone(), server, SERVER_NAME)
            .map_err(|error| error.to_string())?;
        self.held.insert(handle, Held { connection, socket, index, stream: None, timeout: None });
        self.touched.push(handle);
        Ok(handle)
    }

    /// Closes a connection and forgets it.
    pub fn cut(&mut self, handle: ConnectionHandle) {
        let Some(mut held) = self.held.remove(&handle) else { return };
        let now = Instant::now();
        held.connection.close(now, 0u32.into(), bytes::Bytes::new());
        self.outgoing.clear();
        if let Some(transmit) = held.connection.poll_transmit(now, 1, &mut self.outgoing) {
            // One that is lost is closed by its time-out.
            let _ = held.socket.send(&self.outgoing[..transmit.size]);
        }
        self.endpoint.handle_event(handle, EndpointEvent::drained());
    }

    /// Takes the datagrams that wait on a connection's socket.
    ///
    /// # Errors
    /// The socket is broken, or nobody listens at the other end.
    pub fn receive(&mut self, handle: ConnectionHandle, server: SocketAddr) -> Result<(), String> {
        let Some(socket) = self.held.get(&handle).map(|held| Arc::clone(&held.socket)) else { return Ok(()) };
        let now = Instant::now();
        loop {
            let count = match socket.recv(&mut self.incoming) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            };
            self.outgoing.clear();
            let data = BytesMut::from(&self.incoming[..count]);
            match self.endpoint.handle(now, server, None, None, data, &mut self.outgoing) {
                Some(DatagramEvent::ConnectionEvent(to, event)) => {
                    if let Some(held) = self.held.get_mut(&to) {
                        held.connection.handle_event(event);
                    }
                }
                Some(DatagramEvent::Response(_) | DatagramEvent::NewConnection(_)) | None => {}
            }
        }
        self.touched.push(handle);
        Ok(())
    }

    /// Appends what has come on a connection's stream.
    ///
    /// # Errors
    /// The server has ended the stream.
    pub fn read(&mut self, handle: ConnectionHandle, plain: &mut Vec<u8>) -> Result<(), String> {
        let Some(held) = self.held.get_mut(&handle) else { return Ok(()) };
        let Some(stream) = held.stream else { return Ok(()) };
        let mut receiver = held.connection.recv_stream(stream);
        let mut chunks = receiver.read(true).map_err(|error| error.to_string())?;
        let outcome = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => plain.extend_from_slice(&chunk.bytes),
                Ok(None) => break Err("the server ended the stream".to_owned()),
                Err(ReadError::Blocked) => break Ok(()),
                Err(error) => break Err(error.to_string()),
            }
        };
        if chunks.finalize().should_transmit() {
            self.touched.push(handle);
        }
        outcome
    }

    /// Takes from the front of `plain` what the stream has room for.
    ///
    /// # Errors
    /// The server has stopped the stream.
    pub fn write(&mut self, handle: ConnectionHandle, plain: &mut Vec<u8>) -> Result<(), String> {
        let Some(held) = self.held.get_mut(&handle) else { return Ok(()) };
        let Some(stream) = held.stream else { return Ok(()) };
        while !plain.is_empty() {
            match held.connection.send_stream(stream).write(plain) {
                Ok(written) => drop(plain.drain(..written)),
                Err(WriteError::Blocked) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        self.touched.push(handle);
        Ok(())
    }

    /// How long nothing is due.
    #[must_use]
    pub fn quiet_for(&self) -> Option<Duration> {
        let Reverse((due, _)) = self.timers.peek()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Sends what is due and says what became of the connections that were touched.
    ///
    /// # Errors
    /// A socket is broken.
    pub fn settle(&mut self, news: &mut Vec<News>) -> Result<(), String> {
        let now = Instant::now();
        while self.timers.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            let Some(Reverse((due, handle))) = self.timers.pop() else { break };
            let handle = ConnectionHandle(handle);
            if let Some(held) = self.held.get_mut(&handle)
                && held.timeout == Some(due)
            {
                held.timeout = None;
                held.connection.handle_timeout(now);
                self.touched.push(handle);
            }
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for handle in touched.drain(..) {
            self.look_at(now, handle, news)?;
        }
        self.touched = touched;
        Ok(())
    }

    fn look_at(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        news: &mut Vec<News>,
    ) -> Result<(), String> {
        let Some(held) = self.held.get_mut(&handle) else { return Ok(()) };
        while let Some(event) = held.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                held.connection.handle_event(event);
            }
        }
        while let Some(event) = held.connection.poll() {
            match event {
                Event::Connected => {
                    held.stream = held.connection.streams().open(Dir::Bi);
                    news.push(News::Open(held.index));
                }
                Event::Stream(StreamEvent::Readable { id }) if held.stream == Some(id) => {
                    news.push(News::Readable(held.index));
                }
                Event::Stream(StreamEvent::Writable { id }) if held.stream == Some(id) => {
                    news.push(News::Open(held.index));
                }
                Event::ConnectionLost { reason } => news.push(News::Lost(held.index, reason.to_string())),
                _ => {}
            }
        }
        loop {
            self.outgoing.clear();
            let Some(transmit) = held.connection.poll_transmit(now, 1, &mut self.outgoing) else { break };
            match held.socket.send(&self.outgoing[..transmit.size]) {
                Ok(_) => {}
                // Lost like any other: it is sent again.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        let timeout = held.connection.poll_timeout();
        if timeout != held.timeout {
            held.timeout = timeout;
            if let Some(due) = timeout {
                self.timers.push(Reverse((due, handle.0)));
            }
        }
        Ok(())
    }
}
