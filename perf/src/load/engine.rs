//! Connecting in bounded numbers, setting up, receiving, sending; over TCP, TLS and QUIC alike.
//!
//! Invariants: a connection's bytes are handed over whole units at a time and in order; what the kernel does
//! not take is kept and sent later, so a publish is never lost between two layers; anything unexpected ends
//! the run with a message that names the connection.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::adapter::{Adapter, Item, Role, Step, Who};
use super::link::{Link, Way};
use super::quic::{News, Quic};
use crate::fault::{Fault, Result};
use crate::system::now_ns;

/// Handshakes under way at once while connecting, unless told otherwise.
pub const CONNECTING_MAX: usize = 128;

/// Bytes taken in one read.
const READ_BYTES: usize = 256 * 1024;

/// How long nothing may happen while connections are set up.
const PATIENCE_NS: u64 = 30_000_000_000;

/// Sockets found ready in one look up to which the generator keeps up: they waited for it as long as so many take,
/// a tenth of a millisecond. One that looks again and again always finds a few, and is not the slower for it.
const KEPT_UP_EVENTS: usize = 16;

/// Longest unit that is put together from parts, bytes.
const UNIT_BYTES_MAX: usize = 16 << 20;

/// Who is told of each item: the protocol, the connection, the item, and when it arrived.
pub type Each<'a, A> = dyn FnMut(&A, u32, Item<'_>, u64) -> Result<()> + 'a;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    link: Link,
    /// Who it is.
    pub who: Who,
    step: u8,
    is_ready: bool,
    is_watching_writes: bool,
    /// It is not read for the time being.
    is_stopped: bool,
    /// Part of a unit.
    partial: Vec<u8>,
    /// What the kernel has not taken.
    unsent: Vec<u8>,
}

impl Connection {
    /// Whether it is not read for the time being.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }
}

/// All connections of a run.
pub struct Engine<A> {
    /// The protocol.
    pub adapter: A,
    address: SocketAddr,
    way: Way,
    quic: Option<Quic>,
    poller: OwnedFd,
    connections: Vec<Connection>,
    waiting: VecDeque<u32>,
    connecting: usize,
    ready: usize,
    buffer: Box<[u8]>,
    /// What TLS and QUIC have opened.
    plain: Vec<u8>,
    events: Vec<epoll::Event>,
    /// Bytes received, of everything.
    pub received_bytes: u64,
    /// Nanoseconds in which it waited for something to happen, or kept up with what did.
    pub waited_ns: u64,
    /// Whether to wait inside the kernel (or to look again and again).
    pub sleeps: bool,
    /// Handshakes under way at once while connecting.
    pub connecting_max: usize,
}

impl<A: Adapter> Engine<A> {
    /// No connections yet.
    ///
    /// # Errors
    /// There is no epoll.
    pub fn new(adapter: A, address: SocketAddr, way: Way) -> Result<Self> {
        let poller = epoll::create(CreateFlags::CLOEXEC)
            .map_err(|error| Fault::system("opening epoll")(error.into()))?;
        Ok(Engine {
            adapter,
            address,
            quic: if let Way::Quic(config) = &way { Some(Quic::new(config.clone())) } else { None },
            way,
            poller,
            connections: Vec::new(),
            waiting: VecDeque::new(),
            connecting: 0,
            ready: 0,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            plain: Vec::new(),
            events: Vec::with_capacity(1024),
            received_bytes: 0,
            waited_ns: 0,
            sleeps: true,
            connecting_max: CONNECTING_MAX,
        })
    }

    /// How many connections are set up.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// The connections, by index.
    #[must_use]
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// Adds connections and waits until all are set up. `check` is asked now and then whether the server
    /// lives. `each` gets what arrives for those that are set up already.
    ///
    /// # Errors
    /// Somebody is refused, or nothing happens for half a minute.
    pub fn connect(
        &mut self,
        people: impl IntoIterator<Item = Who>,
        check: &mut dyn FnMut() -> Result<()>,
        each: &mut Each<'_, A>,
    ) -> Result<()> {
        for who in people {
            self.waiting.push_back(self.connections.len() as u32);
            self.connections.push(Connection {
                link: Link::Closed,
                who,
                step: 0,
                is_ready: false,
                is_watching_writes: false,
                is_stopped: false,
                partial: Vec::new(),
                unsent: Vec::new(),
            });
        }
        self.settle(check, each)
    }

    /// Waits until every connection is set up.
    fn settle(&mut self, check: &mut dyn FnMut() -> Result<()>, each: &mut Each<'_, A>) -> Result<()> {
        let (mut best, mut since) = (self.ready, now_ns());
        loop {
            while self.connecting < self.connecting_max {
                let Some(index) = self.waiting.pop_front() else { break };
                self.begin(index)?;
            }
            if self.connecting == 0 {
                return Ok(());
            }
            self.turn(Some(Duration::from_millis(200)), each)?;
            if self.ready > best {
                (best, since) = (self.ready, now_ns());
            } else if now_ns() - since > 500_000_000 {
                check()?;
                if now_ns() - since > PATIENCE_NS {
                    return Err(Fault::Server(format!(
                        "{} of {} connections are set up, and nothing has happened for 30 s",
                        self.ready,
                        self.connections.len()
                    )));
                }
            }
        }
    }

    /// Closes a connection at once; it may come back by [`Engine::reconnect`].
    pub fn cut(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if let (Link::Quic(_, handle), Some(quic)) = (&connection.link, &mut self.quic) {
            quic.cut(*handle);
        }
        connection.link = Link::Closed;
        self.ready -= usize::from(std::mem::replace(&mut connection.is_ready, false));
    }

    /// Closes these connections at once and sets them up again as somebody else.
    ///
    /// # Errors
    /// As for [`Engine::connect`].
    pub fn reconnect(
        &mut self,
        people: impl IntoIterator<Item = (u32, Role)>,
        check: &mut dyn FnMut() -> Result<()>,
        each: &mut Each<'_, A>,
    ) -> Result<()> {
        for (index, role) in people {
            self.cut(index);
            let connection = &mut self.connections[index as usize];
            connection.who.role = role;
            (connection.step, connection.is_watching_writes) = (0, false);
            connection.partial.clear();
            connection.unsent.clear();
            self.waiting.push_back(index);
        }
        self.settle(check, each)
    }

    fn begin(&mut self, index: u32) -> Result<()> {
        let link = Link::open(&self.way, self.quic.as_mut(), index, self.address)
            .map_err(Fault::system(format!("connecting to {}", self.address)))?;
        let mut flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        flags.set(EventFlags::OUT, !matches!(link, Link::Quic(..)));
        if let Some(socket) = link.socket() {
            epoll::add(&self.poller, socket, EventData::new_u64(index.into()), flags)
                .map_err(|error| Fault::system("watching a socket")(error.into()))?;
        }
        let connection = &mut self.connections[index as usize];
        connection.is_watching_writes = !matches!(link, Link::Quic(..));
        connection.link = link;
        self.adapter.begin(&connection.who, &mut connection.unsent);
        self.connecting += 1;
        Ok(())
    }

    fn is_stopped(&self, index: u32) -> bool {
        self.connections[index as usize].is_stopped
    }

    /// Stops reading a connection, or goes on with it.
    ///
    /// # Errors
    /// epoll refuses.
    pub fn stop_reading(&mut self, index: u32, is_stopped: bool) -> Result<()> {
        self.connections[index as usize].is_stopped = is_stopped;
        self.watch(index)
    }

    fn watch(&self, index: u32) -> Result<()> {
        let connection = &self.connections[index as usize];
        let Some(socket) = connection.link.socket() else { return Ok(()) };
        // By edge: by level the kernel looks at every socket a second time, to find that it was emptied.
        let mut flags = EventFlags::ET;
        flags.set(EventFlags::IN | EventFlags::RDHUP, !connection.is_stopped);
        flags.set(EventFlags::OUT, connection.is_watching_writes);
        epoll::modify(&self.poller, socket, EventData::new_u64(index.into()), flags)
            .map_err(|error| Fault::system("watching a socket")(error.into()))
    }

    /// Sends bytes on a connection, or keeps what the kernel does not take now.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, index: u32, bytes: &[u8]) -> Result<()> {
        self.connections[index as usize].unsent.extend_from_slice(bytes);
        self.flush(index)
    }

    /// The adapter and a connection's outgoing bytes, for appending what [`Engine::flush`] sends.
    pub fn outgoing(&mut self, index: u32) -> (&A, &mut Vec<u8>) {
        (&self.adapter, &mut self.connections[index as usize].unsent)
    }

    /// Sends what is there to be sent.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn flush(&mut self, index: u32) -> Result<()> {
        let connection = &mut self.connections[index as usize];
        let (mut stream, bytes) = match (&mut connection.link, &mut self.quic) {
            (Link::Tcp(stream), _) => (&*stream, &mut connection.unsent),
            (Link::Tls(stream, secure), _) => {
                let sealed = secure.seal(&mut connection.unsent).map_err(|what| broken(index, &what))?;
                (&*stream, sealed)
            }
            (Link::Quic(_, handle), Some(quic)) => {
                let written = quic.write(*handle, &mut connection.unsent);
                return written.map_err(|what| broken(index, &what));
            }
            _ => return Ok(()),
        };
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(sent) => drop(bytes.drain(..sent)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(index, &error.to_string())),
            }
        }
        let wants = !bytes.is_empty();
        if wants != connection.is_watching_writes {
            connection.is_watching_writes = wants;
            self.watch(index)?;
        }
        Ok(())
    }

    /// Takes what happened, waiting at most `timeout` for it; how many connections had something.
    ///
    /// # Errors
    /// A connection ends, what arrives is not the protocol, or `each` has had enough.
    pub fn turn(&mut self, timeout: Option<Duration>, each: &mut Each<'_, A>) -> Result<usize> {
        let began = now_ns();
        self.settle_quic(each)?;
        let due = self.quic.as_ref().and_then(Quic::quiet_for);
        let timeout = if self.sleeps { timeout.into_iter().chain(due).min() } else { Some(Duration::ZERO) };
        let timeout = timeout.and_then(|timeout| rustix::time::Timespec::try_from(timeout).ok());
        self.events.clear();
        match epoll::wait(&self.poller, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Fault::system("waiting for events")(error.into())),
        }
        let slept_ns = if self.sleeps { now_ns() - began } else { 0 };
        let mut events = std::mem::take(&mut self.events);
        let found = events.len();
        for event in events.drain(..) {
            let (index, flags) = (event.data.u64() as u32, event.flags);
            if flags.contains(EventFlags::OUT) {
                self.flush(index)?;
            }
            if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                // One that has ended is read to its end, which is an error: there is no other edge.
                let has_ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
                while self.receive(index, each)? || (has_ended && !self.is_stopped(index)) {}
            }
        }
        self.events = events;
        self.settle_quic(each)?;
        self.waited_ns += if found <= KEPT_UP_EVENTS { now_ns() - began } else { slept_ns };
        Ok(found)
    }

    /// Sends what QUIC has due, and takes what it has opened.
    fn settle_quic(&mut self, each: &mut Each<'_, A>) -> Result<()> {
        let Some(quic) = &mut self.quic else { return Ok(()) };
        let mut news = Vec::new();
        quic.settle(&mut news).map_err(Fault::Server)?;
        let is_any = !news.is_empty();
        for news in news {
            match news {
                News::Open(index) => self.flush(index)?,
                News::Readable(index) => {
                    let connection = &self.connections[index as usize];
                    let (Link::Quic(_, handle), false) = (&connection.link, connection.is_stopped) else {
                        continue;
                    };
                    let mut plain = std::mem::take(&mut self.plain);
                    plain.clear();
                    let read = self.quic.as_mut().map_or(Ok(()), |quic| quic.read(*handle, &mut plain));
                    self.received_bytes += plain.len() as u64;
                    self.take(index, &plain, each)?;
                    self.plain = plain;
                    read.map_err(|what| broken(index, &what))?;
                }
                News::Lost(index, why) => return Err(broken(index, &why)),
            }
        }
        match (is_any, &mut self.quic) {
            // What was answered leaves at once.
            (true, Some(quic)) => {
                let mut news = Vec::new();
                quic.settle(&mut news).map_err(Fault::Server)?;
                news.into_iter().try_for_each(|news| match news {
                    News::Lost(index, why) => Err(broken(index, &why)),
                    News::Open(index) => self.flush(index),
                    News::Readable(_) => Ok(()),
                })
            }
            _ => Ok(()),
        }
    }

    /// Takes what has come on a connection, as far as one read goes; whether there may be more.
    ///
    /// # Errors
    /// As for [`Engine::turn`].
    pub fn receive(&mut self, index: u32, each: &mut Each<'_, A>) -> Result<bool> {
        let connection = &mut self.connections[index as usize];
        let mut stream = match &connection.link {
            Link::Closed => return Ok(false),
            Link::Tcp(stream) | Link::Tls(stream, _) => stream,
            Link::Quic(_, handle) => {
                let received = self.quic.as_mut().map_or(Ok(()), |quic| quic.receive(*handle, self.address));
                return received.map(|()| false).map_err(|what| broken(index, &what));
            }
        };
        let count = match stream.read(&mut self.buffer) {
            Ok(0) => return Err(broken(index, "the server closed it")),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(broken(index, &error.to_string())),
        };
        let is_more = count == self.buffer.len();
        self.received_bytes += count as u64;
        if let Link::Tls(_, secure) = &mut connection.link {
            let mut plain = std::mem::take(&mut self.plain);
            plain.clear();
            secure.open(&self.buffer[..count], &mut plain).map_err(|what| broken(index, &what))?;
            self.take(index, &plain, each)?;
            self.plain = plain;
            if !self.connections[index as usize].is_ready {
                // The handshake has something to say.
                self.flush(index)?;
            }
        } else {
            let buffer = std::mem::take(&mut self.buffer);
            let taken = self.take(index, &buffer[..count], each);
            self.buffer = buffer;
            taken?;
        }
        Ok(is_more)
    }

    /// Takes the next bytes of a connection's protocol.
    fn take(&mut self, index: u32, bytes: &[u8], each: &mut Each<'_, A>) -> Result<()> {
        let connection = &mut self.connections[index as usize];
        let now = now_ns();
        let adapter = &self.adapter;
        let mut joined;
        let mut input = bytes;
        if !connection.partial.is_empty() {
            joined = std::mem::take(&mut connection.partial);
            joined.extend_from_slice(input);
            input = &joined;
        }
        let wrong = |what: String| broken(index, &what);
        let mut said = false;
        while let Some(unit) = self.adapter.unit(connection.step, &mut input).map_err(wrong)? {
            if connection.is_ready {
                let mut outcome = Ok(());
                let items = adapter.items(unit, &mut |item| {
                    if outcome.is_ok() {
                        outcome = each(adapter, index, item, now);
                    }
                });
                items.map_err(wrong)?;
                outcome?;
            } else {
                let step = &mut connection.step;
                let outcome = self.adapter.set_up(&connection.who, step, unit, &mut connection.unsent);
                said = true;
                if outcome.map_err(wrong)? == Step::Ready {
                    connection.is_ready = true;
                    self.ready += 1;
                    self.connecting -= 1;
                }
            }
        }
        if !input.is_empty() {
            if input.len() > UNIT_BYTES_MAX {
                return Err(wrong(format!("a unit of more than {UNIT_BYTES_MAX} bytes came")));
            }
            connection.partial = input.to_vec();
        }
        if said {
            self.flush(index)?;
        }
        Ok(())
    }
}

fn broken(index: u32, what: &str) -> Fault {
    Fault::Server(format!("connection {index}: {what}"))
}
