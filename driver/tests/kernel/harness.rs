//! One driver on the test's thread, its completions as owned values, and peers on loopback.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringwire_driver::{
    AnyDriver, Completion, Config, ConnectionId, Driver, FileId, Kind, OpenError, Operation, Operations,
    listen, open,
};

/// How long a test waits for what must come; reached only when it does not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a claim over both drivers, as two tests.
macro_rules! claims {
    ($($(#[$meta:meta])* $claim:ident),* $(,)?) => {$(
        mod $claim {
            $(#[$meta])*
            #[test]
            fn epoll() {
                super::$claim(ringwire_driver::Kind::Epoll);
            }

            $(#[$meta])*
            #[test]
            fn uring() {
                if $crate::harness::has_uring() {
                    super::$claim(ringwire_driver::Kind::Uring);
                }
            }
        }
    )*};
}
pub(crate) use claims;

/// Whether this kernel gives us io_uring; says so where it does not.
pub(crate) fn has_uring() -> bool {
    match open(Kind::Uring, Config::default()) {
        Ok(_) => true,
        Err(OpenError::Uring(reason)) => {
            eprintln!("not run on io_uring: {reason}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// A completion that outlives its call.
#[derive(Debug)]
pub(crate) enum Event {
    Accepted(ConnectionId, SocketAddr),
    AcceptFailed(#[expect(dead_code, reason = "shown where it is not expected")] io::Error),
    Received(ConnectionId, Vec<u8>),
    Stalled(ConnectionId, Bytes, usize),
    Writable(ConnectionId),
    Disconnected(ConnectionId, Option<io::Error>),
    Closed(ConnectionId),
    FileReady(FileId, io::Result<()>),
    Synced(FileId, io::Result<()>),
    ReadDone(u64, io::Result<Bytes>),
    JobDone(u64, io::Result<()>),
    Datagrams { peer: SocketAddr, ecn: u8, stride: usize, data: Vec<u8> },
    Rung,
}

impl From<Completion<'_>> for Event {
    fn from(completion: Completion<'_>) -> Self {
        match completion {
            Completion::Accepted { connection, peer } => Self::Accepted(connection, peer),
            Completion::AcceptFailed { error } => Self::AcceptFailed(error),
            Completion::Received { connection, data } => Self::Received(connection, data.to_vec()),
            Completion::Stalled { connection, payload, sent } => Self::Stalled(connection, payload, sent),
            Completion::Writable { connection } => Self::Writable(connection),
            Completion::Disconnected { connection, cause } => Self::Disconnected(connection, cause),
            Completion::Closed { connection } => Self::Closed(connection),
            Completion::FileReady { file, result } => Self::FileReady(file, result),
            Completion::Synced { file, result } => Self::Synced(file, result),
            Completion::ReadDone { tag, result } => Self::ReadDone(tag, result),
            Completion::JobDone { tag, result } => Self::JobDone(tag, result),
            Completion::Datagrams { peer, local_ip, ecn, stride, data } => {
                assert_eq!(local_ip, Some(Ipv4Addr::LOCALHOST.into()));
                Self::Datagrams { peer, ecn, stride, data: data.to_vec() }
            }
            Completion::Rung => Self::Rung,
        }
    }
}

/// One driver, and what came out of it and was not looked at yet.
pub(crate) struct World {
    pub(crate) driver: AnyDriver,
    pub(crate) operations: Operations,
    pub(crate) events: VecDeque<Event>,
    pub(crate) address: SocketAddr,
}

impl World {
    /// A driver that listens on a port of its own; `change` adjusts its configuration.
    pub(crate) fn new(kind: Kind, change: impl FnOnce(&mut Config)) -> Self {
        let listener = listen::bind((Ipv4Addr::LOCALHOST, 0).into(), &listen::Options::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = Config {
            listener: Some(listener),
            connections_max: 256,
            receive_buffers: 64,
            receive_buffer_bytes: 4_096,
            receive_turn_bytes: 4_096,
            spin: Duration::ZERO,
            ..Config::default()
        };
        change(&mut config);
        let opened = open(kind, config).unwrap();
        assert_eq!(opened.kind, kind);
        assert_eq!(opened.fallback, None, "nothing was refused");
        Self { driver: opened.driver, operations: Operations::default(), events: VecDeque::new(), address }
    }

    /// One wait of at most `timeout`; its completions go to `sink`.
    pub(crate) fn wait_with(
        &mut self,
        timeout: Duration,
        mut sink: impl FnMut(&mut Operations, Completion<'_>),
    ) {
        let Self { driver, operations, .. } = self;
        driver.wait(Some(timeout), &mut || true, &mut |completion| sink(operations, completion)).unwrap();
    }

    /// One wait of at most `timeout`; its completions join `events`. Rings do not: a driver's own threads
    /// ring it, too.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        let Self { driver, events, .. } = self;
        driver
            .wait(Some(timeout), &mut || true, &mut |completion| events.push_back(completion.into()))
            .unwrap();
        self.events.retain(|event| !matches!(event, Event::Rung));
    }

    pub(crate) fn submit(&mut self) {
        self.driver.submit(&mut self.operations);
        assert!(self.operations.is_empty() && self.operations.payloads.is_empty(), "all was taken");
    }

    /// Asks for one thing and submits it.
    pub(crate) fn ask(&mut self, operation: Operation) {
        self.operations.push(operation);
        self.submit();
    }

    /// Sends `data` and submits.
    pub(crate) fn send(&mut self, connection: ConnectionId, data: impl Into<Bytes>) {
        let payload = self.operations.payload(data.into());
        self.operations.send(connection, payload);
        self.submit();
    }

    /// Turns until an event fits, and takes it out; the others stay. Panics when it does not come.
    pub(crate) fn expect<T>(&mut self, what: &str, mut fits: impl FnMut(&mut Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for index in 0..self.events.len() {
                if let Some(found) = fits(&mut self.events[index]) {
                    self.events.remove(index);
                    return found;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come; there were {:?}", self.events);
            self.wait(left);
            self.submit();
        }
    }

    /// The next connection that is accepted.
    pub(crate) fn accepted(&mut self) -> ConnectionId {
        self.expect("Accepted", |event| match event {
            Event::Accepted(connection, _) => Some(*connection),
            _ => None,
        })
    }

    /// A peer and our end of it.
    pub(crate) fn connect(&mut self) -> (TcpStream, ConnectionId) {
        let peer = dial(self.address);
        let local = peer.local_addr().unwrap();
        let connection = self.expect("Accepted", |event| match event {
            Event::Accepted(connection, address) if *address == local => Some(*connection),
            _ => None,
        });
        (peer, connection)
    }

    /// Exactly `bytes` bytes received on `connection`.
    pub(crate) fn received(&mut self, connection: ConnectionId, bytes: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < bytes {
            all.extend(self.expect("Received", |event| match event {
                Event::Received(from, data) if *from == connection => Some(std::mem::take(data)),
                _ => None,
            }));
        }
        assert_eq!(all.len(), bytes);
        all
    }

    pub(crate) fn disconnected(&mut self, connection: ConnectionId) -> Option<io::Error> {
        self.expect("Disconnected", |event| match event {
            Event::Disconnected(from, cause) if *from == connection => Some(cause.take()),
            _ => None,
        })
    }

    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        self.expect("Closed", |event| matches!(event, Event::Closed(c) if *c == connection).then_some(()));
    }

    /// Whether a wait of a few milliseconds brings a ring.
    pub(crate) fn is_rung(&mut self) -> bool {
        let mut is_rung = false;
        self.wait_with(Duration::from_millis(50), |_, completion| {
            is_rung |= matches!(completion, Completion::Rung);
        });
        is_rung
    }

    /// Turns until nothing has come for a few milliseconds.
    pub(crate) fn settle(&mut self) {
        loop {
            let before = self.events.len();
            self.wait(Duration::from_millis(20));
            self.submit();
            if self.events.len() == before {
                return;
            }
        }
    }
}

/// A peer that gives up reading and writing after [`PATIENCE`].
pub(crate) fn dial(address: SocketAddr) -> TcpStream {
    let peer = TcpStream::connect(address).unwrap();
    peer.set_nodelay(true).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    peer
}
