//! A WebSocket echo server on one shard's driver: every text or binary message comes back as it was.
//!
//! ```text
//! driver -- Completion --> Echo -- bytes --> Peer (handshake, codec, outbox) --> Operations -- driver
//! ```
//!
//! It is the real driver and the real codec with next to nothing between them, for conformance suites and
//! for measuring what the layers above cost.
//!
//! Invariants: one send per connection and turn, none while the connection is stalled; what a peer owes us
//! the reading of is bounded ([`OUTBOX_BYTES_MAX`]), beyond it the peer is cut.
//!
//! Deliberately absent: sessions, frames of Ringwire's own, limits on rates, more than one shard.

mod peer;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringwire_driver::{
    AnyDriver, Completion, Config, ConnectionId, Driver as _, Kind, OpenError, Operation, Operations, listen,
};

use peer::{Peer, Wish};

/// The longest message that is taken, bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What may wait for a peer to read it, bytes: a longest message and the pongs and small ones around it.
pub const OUTBOX_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// Connections at once.
const CONNECTIONS_MAX: u32 = 1_024;

/// How long a peer that was told to go has time to read it and to close its end. Closing at once would
/// reset the connection if it is still sending, and the reset may overtake the close frame; its answer
/// must not be waited for (RFC 6455 §7.1.7), and suites count half a second as a server that hangs.
const LINGER: Duration = Duration::from_millis(100);

/// Why the echo server cannot start or go on.
#[derive(Debug)]
pub enum EchoError {
    /// No listening socket.
    Listen(listen::ListenError),
    /// No driver.
    Open(OpenError),
    /// The driver failed.
    Driver(io::Error),
}

impl std::fmt::Display for EchoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Driver(error) => write!(f, "the driver failed: {error}"),
        }
    }
}

impl std::error::Error for EchoError {}

/// The server; belongs to the thread that opened it.
#[derive(Debug)]
pub struct Echo {
    driver: AnyDriver,
    fallback: Option<String>,
    address: SocketAddr,
    connections: Connections,
    operations: Operations,
}

impl Echo {
    /// Listens and opens the driver, on the calling thread.
    ///
    /// # Errors
    /// The address cannot be listened on, or the kernel refuses the driver.
    pub fn open(kind: Kind, address: SocketAddr) -> Result<Self, EchoError> {
        let listener = listen::bind(address, &listen::Options::default()).map_err(EchoError::Listen)?;
        let address = listener.local_addr().map_err(EchoError::Driver)?;
        let config =
            Config { listener: Some(listener), connections_max: CONNECTIONS_MAX, ..Config::default() };
        let opened = ringwire_driver::open(kind, config).map_err(EchoError::Open)?;
        Ok(Self {
            driver: opened.driver,
            fallback: opened.fallback,
            address,
            connections: Connections::default(),
            operations: Operations::default(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Why it is epoll where io_uring was wanted.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// One turn: waits for something to happen, at most `timeout` (`None`: for ever), and answers it.
    ///
    /// # Errors
    /// The driver failed; there is no going on.
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<(), EchoError> {
        let patience = self.connections.patience(Instant::now());
        let timeout = [timeout, patience].into_iter().flatten().min();
        let connections = &mut self.connections;
        self.driver
            .wait(timeout, &mut || true, &mut |completion| connections.on_completion(completion))
            .map_err(EchoError::Driver)?;
        self.connections.end_of_turn(Instant::now(), &mut self.operations);
        self.driver.submit(&mut self.operations);
        Ok(())
    }
}

/// All peers, by slot.
#[derive(Debug, Default)]
struct Connections {
    slots: Vec<Option<Connection>>,
    /// Who has something to say or is to be closed, each at least once.
    touched: Vec<ConnectionId>,
    /// Who was told to go, by deadline (which grows, since the time to go is the same for all).
    lingering: VecDeque<(Instant, ConnectionId)>,
}

#[derive(Debug)]
struct Connection {
    generation: u32,
    peer: Peer,
    /// What a send left over, while the peer does not read.
    rest: Option<Bytes>,
    /// Whether [`Completion::Writable`] is still to come.
    is_stalled: bool,
    is_lingering: bool,
    is_closing: bool,
}

/// What a connection needs of the turns to come.
enum Next {
    Nothing,
    /// To be looked at next turn, whether or not anything happens.
    Again,
    /// To be cut after [`LINGER`].
    Deadline,
}

impl Connections {
    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.slot as usize)?.as_mut();
        slot.filter(|connection| connection.generation == id.generation)
    }

    /// How long the driver may wait before there is something to do here.
    fn patience(&self, now: Instant) -> Option<Duration> {
        if !self.touched.is_empty() {
            return Some(Duration::ZERO);
        }
        self.lingering.front().map(|(at, _)| at.saturating_duration_since(now))
    }

    fn on_completion(&mut self, completion: Completion<'_>) {
        let touched = match completion {
            Completion::Accepted { connection, .. } => {
                self.insert(connection);
                return;
            }
            Completion::Received { connection, data } => {
                if let Some(state) = self.get(connection) {
                    state.peer.on_bytes(data);
                }
                connection
            }
            Completion::Stalled { connection, payload, sent } => {
                if let Some(state) = self.get(connection) {
                    state.is_stalled = true;
                    state.rest = Some(payload.slice(sent..));
                }
                return;
            }
            Completion::Writable { connection } => {
                if let Some(state) = self.get(connection) {
                    state.is_stalled = false;
                }
                connection
            }
            Completion::Disconnected { connection, .. } => {
                if let Some(state) = self.get(connection) {
                    state.peer.on_gone();
                }
                connection
            }
            Completion::Closed { connection } => {
                if self.get(connection).is_some() {
                    self.slots[connection.slot as usize] = None;
                }
                return;
            }
            // Not asked for here: files, jobs, bells. Accepting again is the driver's business.
            Completion::AcceptFailed { .. }
            | Completion::FileReady { .. }
            | Completion::Synced { .. }
            | Completion::ReadDone { .. }
            | Completion::JobDone { .. }
            | Completion::Datagrams { .. }
            | Completion::Rung => return,
        };
        self.touched.push(touched);
    }

    fn insert(&mut self, id: ConnectionId) {
        let slot = id.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        let connection = Connection {
            generation: id.generation,
            peer: Peer::new(MESSAGE_BYTES_MAX),
            rest: None,
            is_stalled: false,
            is_lingering: false,
            is_closing: false,
        };
        assert!(
            self.slots[slot].replace(connection).is_none(),
            "a slot is given out again after Closed only"
        );
    }

    /// Turns what the peers want into operations: at most one send each, closes last.
    fn end_of_turn(&mut self, now: Instant, operations: &mut Operations) {
        while let Some((_, id)) = self.lingering.front().copied().filter(|(at, _)| *at <= now) {
            self.lingering.pop_front();
            if let Some(connection) = self.get(id) {
                connection.peer.on_gone();
            }
            self.touched.push(id);
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for id in touched.drain(..) {
            let Some(connection) = self.get(id) else { continue };
            match connection.settle(id, operations) {
                Next::Nothing => {}
                Next::Again => self.touched.push(id),
                Next::Deadline => self.lingering.push_back((now + LINGER, id)),
            }
        }
    }
}

impl Connection {
    /// Asks for what this connection needs now, and says what it needs of the next turns.
    fn settle(&mut self, id: ConnectionId, operations: &mut Operations) -> Next {
        let wish = self.peer.wish();
        if self.is_closing {
            return Next::Nothing;
        }
        if wish == Wish::Cut || self.peer.outbox_bytes() > OUTBOX_BYTES_MAX {
            return self.close(id, operations);
        }
        let ready = if self.is_stalled { None } else { self.rest.take().or_else(|| self.peer.take_outbox()) };
        let sends = ready.is_some();
        if let Some(bytes) = ready {
            let payload = operations.payload(bytes);
            operations.send(id, payload);
        }
        match wish {
            // Whether this turn's send is taken whole is known after the next wait: no close before that.
            Wish::Close if sends => Next::Again,
            Wish::Close if !self.is_stalled => self.close(id, operations),
            Wish::Linger if !self.is_lingering => {
                self.is_lingering = true;
                Next::Deadline
            }
            Wish::Close | Wish::Linger | Wish::Stay | Wish::Cut => Next::Nothing,
        }
    }

    fn close(&mut self, id: ConnectionId, operations: &mut Operations) -> Next {
        self.is_closing = true;
        operations.push(Operation::Close { connection: id });
        Next::Nothing
    }
}
