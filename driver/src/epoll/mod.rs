//! The epoll driver: for kernels and containers that refuse io_uring.
//!
//! Edge-triggered, one receive buffer for all connections, at most one `recv` per connection and turn; who
//! filled the buffer is remembered in `more` and comes before the next turn's events. Sends are tried at
//! once in `submit`; writability is watched only while a connection is stalled. What happens in `submit`
//! waits in `pending` for the next `wait`.
//!
//! Belongs to one shard, as every driver. File writes, syncs and reads go to the sync thread.

mod accept;
mod connection;
mod receive;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::Bytes;

use crate::bell::spin;
use crate::datagrams::Datagrams;
use crate::files::Files;
use crate::pause::Pause;
use crate::slots::Slots;
use crate::sys::{self, Event, Poller};
use crate::{
    Bell, Completion, Config, ConnectionId, Counters, Driver, OpenError, Operation, Operations, Send,
};
use connection::Connection;

/// Events taken in one wait.
const EVENTS_MAX: usize = 1_024;

/// Descriptors beside the connections: epoll, bell, listener, the store's files, logs, and what else the
/// process may have.
const DESCRIPTORS_BESIDE: u64 = 64;

/// Descriptors of the process beside those of its shards: the plane's connections, transfers of media.
const DESCRIPTORS_OF_OTHERS: u64 = 1_024;

/// Tokens of what is not a connection: slots that no table reaches.
const LISTENER: ConnectionId = ConnectionId { slot: u32::MAX, generation: 0 };
const DOORBELL: ConnectionId = ConnectionId { slot: u32::MAX, generation: 1 };
const DATAGRAMS: ConnectionId = ConnectionId { slot: u32::MAX, generation: 2 };

/// A driver on epoll; see [`Driver`].
pub struct EpollDriver {
    poller: Poller,
    bell: Bell,
    bells: Vec<Bell>,
    listener: Option<TcpListener>,
    datagrams: Option<Datagrams>,
    /// Writability of datagrams is watched.
    is_watching_datagrams_out: bool,
    pause: Pause,
    slots: Slots<Connection>,
    scratch: Box<[u8]>,
    /// Who may have more to read without a new event; each once.
    more: Vec<ConnectionId>,
    pending: VecDeque<Pending>,
    files: Files,
    spin: Duration,
    counters: Counters,
}

/// What happened outside `wait`.
enum Pending {
    Accepted { connection: ConnectionId, peer: SocketAddr },
    Stalled { connection: ConnectionId, payload: Bytes, sent: usize },
    Disconnected { connection: ConnectionId, cause: io::Error },
    Closed { connection: ConnectionId },
}

impl EpollDriver {
    /// Opens the driver on the calling thread.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn open(config: Config) -> Result<Self, OpenError> {
        let needed = u64::from(config.connections_max) + DESCRIPTORS_BESIDE;
        let limit = sys::raise_descriptors().map_err(OpenError::io("reading the descriptor limit"))?;
        if limit < needed {
            return Err(OpenError::Descriptors { connections_max: config.connections_max, needed, limit });
        }
        let connections_max = share(&config, limit)?;
        let poller = Poller::new(EVENTS_MAX).map_err(OpenError::io("opening epoll"))?;
        let bell = Bell::new().map_err(OpenError::io("opening the doorbell's eventfd"))?;
        poller
            .add(bell.eventfd(), token(DOORBELL), libc::EPOLLIN | libc::EPOLLET)
            .map_err(OpenError::io("watching the doorbell"))?;
        let mut driver = Self {
            poller,
            files: Files::new(config.shard, bell.clone()),
            bell,
            bells: Vec::new(),
            listener: None,
            datagrams: None,
            is_watching_datagrams_out: false,
            pause: Pause::default(),
            slots: Slots::new(connections_max),
            scratch: vec![0; config.receive_turn_bytes as usize].into_boxed_slice(),
            more: Vec::new(),
            pending: VecDeque::new(),
            spin: config.spin,
            counters: Counters::default(),
        };
        if let Some(listener) = config.listener {
            driver.listen(listener, config.send_buffer_bytes)?;
        }
        if let Some(socket) = config.datagrams {
            let datagrams = Datagrams::new(socket)?;
            driver
                .poller
                .add(datagrams.socket(), token(DATAGRAMS), libc::EPOLLIN | libc::EPOLLET)
                .map_err(OpenError::io("watching the socket of datagrams"))?;
            driver.datagrams = Some(datagrams);
        }
        Ok(driver)
    }

    fn on_datagrams_event(&mut self, flags: u32) {
        let Some(datagrams) = &mut self.datagrams else { return };
        if flags & libc::EPOLLOUT.cast_unsigned() != 0 {
            datagrams.on_writable();
        }
        if flags & !libc::EPOLLOUT.cast_unsigned() != 0 {
            datagrams.on_readable();
        }
        self.watch_datagrams();
    }

    /// Watches writability while datagrams wait, and no longer: every datagram that leaves is an edge of it.
    fn watch_datagrams(&mut self) {
        let Some(datagrams) = &mut self.datagrams else { return };
        if datagrams.is_blocked() == self.is_watching_datagrams_out {
            return;
        }
        self.is_watching_datagrams_out = datagrams.is_blocked();
        let out = if datagrams.is_blocked() { libc::EPOLLOUT } else { 0 };
        let interest = libc::EPOLLIN | libc::EPOLLET | out;
        if let Err(error) = self.poller.change(datagrams.socket(), token(DATAGRAMS), interest) {
            tracing::error!(%error, "cannot change what is watched on the socket of datagrams");
        }
    }

    fn receive_datagrams(&mut self, sink: &mut dyn FnMut(Completion<'_>)) -> bool {
        self.datagrams.as_mut().is_some_and(|datagrams| datagrams.receive(sink))
    }

    fn send(&mut self, send: Send, payloads: &[Bytes]) {
        let payload = &payloads[send.payload.0 as usize];
        let Some(connection) = self.slots.get_mut(send.connection).filter(|c| !c.is_closing) else {
            self.counters.stale += 1;
            return;
        };
        assert!(!connection.is_stalled, "{:?} is stalled: no send before Writable", send.connection);
        if connection.is_broken {
            return;
        }
        match sys::send(connection.socket.as_fd(), payload) {
            Ok(sent) if sent == payload.len() => {}
            Ok(sent) => self.stall(send.connection, payload.clone(), sent),
            Err(cause) => self.break_off(send.connection, cause),
        }
    }

    /// Bytes could not be sent or will never be: reports it, unless the end was reported before.
    fn break_off(&mut self, id: ConnectionId, cause: io::Error) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        connection.is_broken = true;
        if !std::mem::replace(&mut connection.is_disconnected, true) {
            self.pending.push_back(Pending::Disconnected { connection: id, cause });
        }
    }

    fn stall(&mut self, id: ConnectionId, payload: Bytes, sent: usize) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        connection.is_stalled = true;
        self.counters.stalls += 1;
        self.pending.push_back(Pending::Stalled { connection: id, payload, sent });
        let interest = connection::INTEREST | libc::EPOLLOUT;
        if let Err(cause) = self.poller.change(connection.socket.as_fd(), token(id), interest) {
            self.break_off(id, cause);
        }
    }

    fn carry_out(&mut self, operation: Operation) {
        match operation {
            Operation::Close { connection } => self.close(connection),
            Operation::StopAccepting => self.stop_listening(),
            Operation::CreateFile { file, path, bytes } => self.files.create(file, path, bytes),
            Operation::OpenFile { file, path } => self.files.open(file, path),
            Operation::CloseFile { file } => self.files.close(file),
            Operation::WriteSync { file, offset, data } => self.files.write_sync(file, offset, data),
            Operation::Read { file, offset, bytes, tag } => self.files.read(file, offset, bytes, tag),
            Operation::Ring { shard } => {
                debug_assert!(shard < self.bells.len(), "shard {shard} is connected");
                if let Some(bell) = self.bells.get(shard) {
                    bell.ring();
                }
            }
            Operation::Job(job) => self.files.job(job),
        }
    }

    /// Nothing is watched from here on; descriptor and slot are freed when the shard hears of it, first
    /// thing in the next wait.
    fn close(&mut self, id: ConnectionId) {
        let Some(connection) = self.slots.get_mut(id).filter(|connection| !connection.is_closing) else {
            self.counters.stale += 1;
            return;
        };
        connection.is_closing = true;
        if let Err(error) = self.poller.remove(connection.socket.as_fd()) {
            tracing::debug!(%error, connection = ?id, "a closing connection was not watched");
        }
        self.pending.push_back(Pending::Closed { connection: id });
    }

    /// Hands over what happened outside `wait`; whether that was anything.
    fn deliver_pending(&mut self, sink: &mut dyn FnMut(Completion<'_>)) -> bool {
        let mut any = self.files.deliver(sink);
        while let Some(pending) = self.pending.pop_front() {
            any = true;
            match pending {
                Pending::Accepted { connection, peer } => sink(Completion::Accepted { connection, peer }),
                Pending::Closed { connection } => {
                    self.slots.remove(connection);
                    sink(Completion::Closed { connection });
                }
                // Closed in the turn in which it happened: only that is reported.
                Pending::Stalled { connection, .. } | Pending::Disconnected { connection, .. }
                    if self.is_closing(connection) => {}
                Pending::Stalled { connection, payload, sent } => {
                    sink(Completion::Stalled { connection, payload, sent });
                }
                Pending::Disconnected { connection, cause } => {
                    sink(Completion::Disconnected { connection, cause: Some(cause) });
                }
            }
        }
        any
    }

    fn is_closing(&mut self, id: ConnectionId) -> bool {
        self.slots.get_mut(id).is_none_or(|connection| connection.is_closing)
    }

    /// Waits at most `timeout` for events and hands over what they bring; whether there were any.
    fn poll(&mut self, timeout: Option<Duration>, sink: &mut dyn FnMut(Completion<'_>)) -> io::Result<bool> {
        let found = self.poller.wait(timeout)?;
        for index in 0..found {
            let Event { token, flags } = self.poller.event(index);
            match connection_of(token) {
                LISTENER => self.accept(sink),
                DOORBELL => sink(Completion::Rung),
                DATAGRAMS => self.on_datagrams_event(flags),
                connection => self.on_event(connection, flags, sink),
            }
        }
        self.receive_datagrams(sink);
        Ok(found > 0)
    }
}

impl Driver for EpollDriver {
    fn submit(&mut self, operations: &mut Operations) {
        operations.check();
        for send in operations.sends.drain(..) {
            self.send(send, &operations.payloads);
        }
        operations.payloads.clear();
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.send(&mut operations.datagrams);
            self.watch_datagrams();
        }
        for operation in operations.rest.drain(..) {
            self.carry_out(operation);
        }
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        idle: &mut dyn FnMut() -> bool,
        sink: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        self.resume_accepting(sink);
        let mut any = self.deliver_pending(sink);
        any |= self.receive_more(sink);
        // Only another shard is worth spinning for: who else rings is in less of a hurry.
        let spinning = if self.bells.len() > 1 { self.spin } else { Duration::ZERO };
        let has_datagrams = self.datagrams.as_ref().is_some_and(Datagrams::has_more);
        let must_not_block = any || has_datagrams || !self.more.is_empty() || timeout == Some(Duration::ZERO);
        // The sockets have their turn however much else there is, and nobody spins while they are ready.
        if must_not_block || !spinning.is_zero() {
            any |= self.poll(Some(Duration::ZERO), sink)?;
            if any || must_not_block {
                return Ok(());
            }
        }
        let files = &self.files;
        let mut quiet = || idle() && !files.is_anything_done();
        if !spin(spinning, &mut quiet) {
            self.files.deliver(sink);
            return Ok(());
        }
        self.bell.say_asleep();
        let polled = if quiet() { self.poll(self.pause.cap(timeout), sink) } else { Ok(false) };
        self.bell.say_awake();
        self.files.deliver(sink);
        polled.map(drop)
    }

    fn bell(&self) -> Bell {
        self.bell.clone()
    }

    fn connect(&mut self, bells: Vec<Bell>) {
        self.bells = bells;
    }

    fn counters(&self) -> Counters {
        let mut counters =
            Counters { connections: self.slots.live(), table_bytes: self.slots.bytes(), ..self.counters };
        if let Some(datagrams) = &self.datagrams {
            datagrams.count(&mut counters);
        }
        counters
    }
}

impl fmt::Debug for EpollDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpollDriver").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

/// How many connections this shard may have so that all of them find descriptors: as many as configured, or its share
/// of what the process may have.
fn share(config: &Config, limit: u64) -> Result<u32, OpenError> {
    let (connections_max, shards) = (config.connections_max, config.shards.max(1) as u64);
    let needed = (u64::from(connections_max) + DESCRIPTORS_BESIDE) * shards + DESCRIPTORS_OF_OTHERS;
    if shards == 1 || needed <= limit {
        return Ok(connections_max);
    }
    let each = (limit.saturating_sub(DESCRIPTORS_OF_OTHERS) / shards).saturating_sub(DESCRIPTORS_BESIDE);
    if each == 0 {
        return Err(OpenError::Descriptors { connections_max, needed, limit });
    }
    if config.shard == 0 {
        tracing::warn!(
            "{shards} shards with {connections_max} connections each need {needed} descriptors with epoll, and this \
             process may have {limit}: each takes {each}; raise the hard limit (ulimit -Hn, LimitNOFILE=) for more"
        );
    }
    // Less than was configured.
    Ok(each as u32)
}

fn token(id: ConnectionId) -> u64 {
    u64::from(id.slot) << 32 | u64::from(id.generation)
}

fn connection_of(token: u64) -> ConnectionId {
    ConnectionId { slot: (token >> 32) as u32, generation: token as u32 }
}
