//! The io_uring driver: one ring per shard, in which a delivery costs no completion and an idle connection
//! no buffer.
//!
//! A turn is two entries into the kernel at most: `submit` hands over what was asked for and collects what
//! is there, `wait` enters only when nothing is. Accepted sockets are direct descriptors: they use no
//! descriptor numbers, and the kernel finds them without counting references.
//!
//! Belongs to the thread that opened it (the ring is set up for a single issuer).
//!
//! Invariants:
//! - *memory outlives requests*: buffers, the accept pool and file operations are freed after every request
//!   has ended; where one does not end in time when the driver is dropped, they are leaked;
//! - *close last*: a descriptor is closed when nothing armed names it, and a slot is freed when its
//!   descriptor is closed, so no completion finds another occupant;
//! - *stalls before turns*: a wait hands over every short send of the submit before it.
//!
//! Ring restrictions (only the opcodes in use) are not set yet; their place is in `setup`, before the ring
//! is used.

#[expect(unsafe_code, reason = "the kernel writes peers' addresses into memory of the pool")]
mod accept;
#[expect(unsafe_code, reason = "memory shared with the kernel")]
mod buffers;
mod close;
mod connection;
#[expect(unsafe_code, reason = "the kernel reads and writes the memory of file operations")]
mod file;
mod open;
mod receive;
#[expect(unsafe_code, reason = "entries name memory; the promises about it are passed on here")]
mod ring;
#[expect(unsafe_code, reason = "the kernel reads payloads in place")]
mod send;
mod setup;
#[expect(unsafe_code, reason = "frees what the kernel was lent, when it was given back")]
mod teardown;
mod token;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::time::Duration;

use bytes::Bytes;

use crate::bell::spin;
use crate::datagrams::Datagrams;
use crate::files::Files;
use crate::slots::Slots;
use crate::{Bell, Completion, ConnectionId, Counters, Driver, Operation, Operations};
use accept::Acceptor;
use buffers::Buffers;
use connection::Connection;
pub(crate) use open::Refused;
use ring::{CHUNK, Entered, Purpose, Ring};
use token::{Opcode, Token};

/// Completions after which a turn begins, however much more the kernel has; half a queue where it is small.
const GATHERED: usize = 512;

/// A driver on io_uring; see [`Driver`].
pub struct UringDriver {
    ring: Ring,
    /// What the kernel may write to or read from while requests are armed.
    buffers: ManuallyDrop<Buffers>,
    acceptor: ManuallyDrop<Acceptor>,
    in_flight: ManuallyDrop<file::Table>,
    /// The last submit's, until the next wait has seen which sends fell short.
    payloads: ManuallyDrop<Vec<Bytes>>,
    slots: Slots<Connection>,
    datagrams: Option<Datagrams>,
    /// A poll for writability of datagrams is armed.
    is_watching_datagrams_out: bool,
    /// Who waits for a receive to be armed, in order; ids that have left are skipped.
    starved: VecDeque<ConnectionId>,
    /// Completions that had to be taken off the queue outside `wait`, with the payload of a send.
    stash: VecDeque<(Entered, Option<Bytes>)>,
    /// The ring failed; said at the next wait.
    failed: Option<io::Error>,
    files: Files,
    bell: Bell,
    bells: Vec<Bell>,
    spin: Duration,
    counters: Counters,
    /// To be used on the thread that opened it.
    _not_send: PhantomData<*const ()>,
}

impl UringDriver {
    fn watch_bell(&mut self) {
        self.make_room(1);
        self.ring.watch_signals(self.bell.eventfd(), Token::new(Opcode::Doorbell, 0, 0));
    }

    fn watch_datagrams_in(&mut self) {
        self.make_room(1);
        if let Some(datagrams) = &self.datagrams {
            self.ring.watch_signals(datagrams.socket(), Token::new(Opcode::Datagrams, 0, 0));
        }
    }

    /// Watches writability while datagrams wait.
    fn watch_datagrams_out(&mut self) {
        self.make_room(1);
        if let Some(datagrams) = &self.datagrams
            && datagrams.is_blocked()
            && !self.is_watching_datagrams_out
        {
            self.is_watching_datagrams_out = true;
            self.ring.watch_room(datagrams.socket(), Token::new(Opcode::DatagramsOut, 0, 0));
        }
    }

    /// Sees to it that `entries` more can be queued, and that the queue is not left to grow.
    fn make_room(&mut self, entries: usize) {
        if self.ring.queued() + entries > CHUNK {
            self.enter(Purpose::Submit);
        }
    }

    /// Enters the kernel. After a failure for good nothing is entered any more: what is queued may name
    /// memory that we no longer vouch for.
    fn enter(&mut self, purpose: Purpose) {
        while self.failed.is_none() {
            match self.ring.enter(purpose) {
                Ok(()) => return,
                // Older kernels take nothing more while completions wait for room.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => self.stash_completions(),
                Err(error) => self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.ring.give_up();
        self.failed = Some(error);
    }

    /// Takes completions off the queue, for the next wait.
    fn stash_completions(&mut self) {
        while let Some(entered) = self.ring.take() {
            let payload = self.payload_of(entered);
            self.stash.push_back((entered, payload));
        }
    }

    /// Takes all of them, also those that the kernel keeps aside.
    fn stash_everything(&mut self) {
        loop {
            self.stash_completions();
            if !self.ring.is_overflown() || self.failed.is_some() {
                return;
            }
            self.enter(Purpose::Collect);
        }
    }

    /// The payload of a send that fell short.
    fn payload_of(&self, entered: Entered) -> Option<Bytes> {
        let token = Token::unpack(entered.user_data).filter(|token| token.opcode == Opcode::Send)?;
        self.payloads.get(token.detail as usize).cloned()
    }

    fn carry_out(&mut self, operation: Operation) {
        match operation {
            Operation::Close { connection } => self.close(connection),
            Operation::StopAccepting => self.stop_accepting(),
            Operation::CreateFile { file, path, bytes } => self.files.create(file, path, bytes),
            Operation::OpenFile { file, path } => self.files.open(file, path),
            Operation::CloseFile { file } => self.files.close(file),
            Operation::WriteSync { file, offset, data } => self.write_sync(file, offset, data),
            Operation::Read { file, offset, bytes, tag } => self.read(file, offset, bytes, tag),
            Operation::Ring { shard } => self.ring_shard(shard),
            Operation::Job(job) => self.files.job(job),
        }
    }

    /// By message where the other has a ring, at 300 ns within a submission, else by its eventfd.
    fn ring_shard(&mut self, shard: usize) {
        debug_assert!(shard < self.bells.len(), "shard {shard} is connected");
        let Some(bell) = self.bells.get(shard) else { return };
        if !bell.claim() {
            return;
        }
        match (bell.ring_fd(), u32::try_from(shard)) {
            (Some(other), Ok(shard)) if shard < crate::CONNECTIONS_MAX => {
                self.make_room(1);
                self.ring.ring_other(other, Token::new(Opcode::RingOther, shard, 0));
            }
            _ => bell.ring_always(),
        }
    }

    /// Has the kernel do what it deferred, until a turn's worth has completed. One entry does some twenty
    /// pieces of it, and the more a turn brings, the more of what it causes is sent together.
    fn gather(&mut self) {
        let enough = GATHERED.min(self.ring.completions_max() / 2);
        while self.ring.has_deferred() && self.ring.ready() < enough && self.failed.is_none() {
            let ready = self.ring.ready();
            self.enter(Purpose::Collect);
            // The flag can be left standing with no work behind it: whoever adds work raises it afterwards, and
            // by then the work may have been done. It goes down with the next work only, so an entry that
            // brings nothing is the last one.
            if self.ring.ready() == ready {
                break;
            }
        }
    }

    /// Hands over everything that has completed; whether that was anything.
    fn deliver(&mut self, sink: &mut dyn FnMut(Completion<'_>)) -> bool {
        let mut any = self.files.deliver(sink);
        loop {
            // Counted first: what our own entries complete meanwhile has its turn at the next wait.
            for _ in 0..self.stash.len() + self.ring.ready() {
                let Some((entered, payload)) = self.next() else { break };
                self.on_entered(entered, payload, sink);
                any = true;
            }
            if !self.ring.is_overflown() || self.failed.is_some() {
                break;
            }
            self.counters.overflows += 1;
            self.enter(Purpose::Collect);
            if self.ring.lost() > 0 {
                // A short send or an end may be among them: nothing can be relied on any more.
                self.fail(io::Error::other("the kernel had no memory for completions and dropped some"));
            }
        }
        any |= self.datagrams.as_mut().is_some_and(|datagrams| datagrams.receive(sink));
        self.feed_the_starved();
        if self.failed.is_none() {
            self.payloads.clear();
        }
        any
    }

    fn next(&mut self) -> Option<(Entered, Option<Bytes>)> {
        if let Some(stashed) = self.stash.pop_front() {
            return Some(stashed);
        }
        let entered = self.ring.take()?;
        Some((entered, self.payload_of(entered)))
    }

    fn on_entered(&mut self, entered: Entered, payload: Option<Bytes>, sink: &mut dyn FnMut(Completion<'_>)) {
        let Some(token) = Token::unpack(entered.user_data) else {
            self.counters.stale += 1;
            return;
        };
        match token.opcode {
            Opcode::Receive => self.on_receive(token, entered, sink),
            Opcode::Send => {
                if let Some(payload) = payload {
                    self.on_send(token, entered, payload, sink);
                }
            }
            Opcode::Writable => self.on_writable(token, sink),
            Opcode::Accept => self.on_accept(token, entered, sink),
            Opcode::Close => self.on_close(token, entered, sink),
            Opcode::Write => self.on_write(token, entered, sink),
            Opcode::Read => self.on_read(token, entered, sink),
            Opcode::Rung => sink(Completion::Rung),
            Opcode::Doorbell => {
                if !entered.has_more() {
                    self.watch_bell();
                }
                sink(Completion::Rung);
            }
            Opcode::Datagrams => {
                if let Some(datagrams) = &mut self.datagrams {
                    datagrams.on_readable();
                }
                if !entered.has_more() {
                    self.watch_datagrams_in();
                }
            }
            Opcode::DatagramsOut => {
                self.is_watching_datagrams_out = false;
                if let Some(datagrams) = &mut self.datagrams {
                    datagrams.on_writable();
                }
                self.watch_datagrams_out();
            }
            // It was claimed for us alone, so it must ring. The other ring may be full, or just gone.
            Opcode::RingOther => {
                if let Some(bell) = self.bells.get(token.slot as usize) {
                    bell.ring_always();
                }
            }
            Opcode::CancelReceive => self.cancel_receive(token.connection()),
            Opcode::CancelWritable => self.cancel_writable(token.connection()),
            Opcode::CancelAccept => self.cancel_accept(token.slot),
            Opcode::Refuse => {
                tracing::error!(result = entered.result, "a refused connection could not be closed");
            }
        }
    }

    /// Only another shard is worth spinning for: who else rings is in less of a hurry.
    fn spin_time(&self) -> Duration {
        if self.bells.len() > 1 { self.spin } else { Duration::ZERO }
    }

    /// `ignores_deferred`: what is deferred, or only said to be, does not count. It is safe to sleep then,
    /// because an entry that waits does what is deferred first.
    fn is_quiet(&mut self, ignores_deferred: bool, idle: &mut dyn FnMut() -> bool) -> bool {
        let is_deferred = !ignores_deferred && self.ring.has_deferred();
        idle() && !self.files.is_anything_done() && !self.ring.has_completions() && !is_deferred
    }
}

impl Driver for UringDriver {
    fn submit(&mut self, operations: &mut Operations) {
        operations.check();
        if !self.payloads.is_empty() {
            // Two submits without a wait between them: the payloads of the first make way.
            self.stash_everything();
            if self.failed.is_none() {
                self.payloads.clear();
            }
        }
        if self.failed.is_none() {
            std::mem::swap(&mut *self.payloads, &mut operations.payloads);
            self.send_all(&mut operations.sends);
        }
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.send(&mut operations.datagrams);
            self.watch_datagrams_out();
        }
        for operation in operations.rest.drain(..) {
            self.carry_out(operation);
        }
        operations.sends.clear();
        operations.payloads.clear();
        if self.ring.queued() > 0 {
            self.enter(Purpose::Collect);
        }
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        idle: &mut dyn FnMut() -> bool,
        sink: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        self.resume_accepting();
        self.gather();
        if !self.deliver(sink) && self.failed.is_none() {
            // Who wanted nothing until now may have left something to hand over.
            let has_datagrams = self.datagrams.as_ref().is_some_and(Datagrams::has_more);
            let must_not_block = timeout == Some(Duration::ZERO) || has_datagrams || !self.starved.is_empty();
            if must_not_block || self.ring.queued() > 0 || self.ring.is_anything_there() {
                self.enter(Purpose::Collect);
                self.gather();
                if self.deliver(sink) || must_not_block {
                    return self.verdict();
                }
            }
            let spinning = self.spin_time();
            // Collecting has brought nothing, so a flag that still stands counts for nothing.
            let is_stale = self.ring.has_deferred();
            if spin(spinning, &mut || self.is_quiet(is_stale, idle)) {
                self.bell.say_asleep();
                let purpose = match self.is_quiet(true, idle) {
                    true => Purpose::Wait(self.acceptor.pause.cap(timeout)),
                    false => Purpose::Collect,
                };
                self.enter(purpose);
                self.bell.say_awake();
            }
            self.gather();
            self.deliver(sink);
        }
        self.verdict()
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

impl UringDriver {
    fn verdict(&mut self) -> io::Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(error) => Err(io::Error::new(error.kind(), format!("io_uring failed: {error}"))),
        }
    }
}

impl fmt::Debug for UringDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringDriver").field("counters", &self.counters()).finish_non_exhaustive()
    }
}
