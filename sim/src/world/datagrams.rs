//! Datagrams between clients and shards, and the clients that speak QUIC in them.
//!
//! A datagram that leaves is lost, doubled, damaged, too long for its path, or arrives after a time of its own, so
//! that any may overtake any; and strangers send copies and noise. A client may find itself at another address in the middle of a connection, with or
//! without noticing, and must lose nothing by it.
//!
//! What a server says on a QUIC connection is read where the client has decrypted it, and not where it leaves: there
//! it is ciphertext. So checkers hear of it later than of what goes over a stream of bytes, and not of what is lost
//! on its way; no promise depends on when one hears.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ringwire::clock::Now;
use ringwire_client::core::Cause;
use ringwire_driver::{Completion, Datagrams};

use super::listen::Line;
use super::{Event, Stage, World};
use crate::check::Verdict;
use crate::client::quic::{Brought, Manner, Quic};
use crate::network::{Dialler, Path, PathId, SERVER, Side, SocketId, socket_of};
use crate::plant::Plant;

/// What the monotonic clock of the first process counts from.
#[expect(clippy::disallowed_methods, reason = "an instant to begin with; how late it is does not matter")]
pub(super) fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

impl World {
    fn client_instant(&self) -> Instant {
        base() + Duration::from_micros(self.now_us)
    }

    /// Whether this client's next connection is one of QUIC. After one that did not come about it is not: clients
    /// fall back.
    pub(super) fn wants_quic(&mut self, client: usize) -> bool {
        let drawn = self.random.datagrams.one_in(self.settings.datagrams.share);
        let fell_back = std::mem::take(&mut self.clients[client].falls_back);
        drawn && !fell_back
    }

    /// A client dials from an address of its own.
    pub(super) fn dial_quic(&mut self, client: usize) {
        let path = self.new_path(client);
        let now = self.client_instant();
        let random = &mut self.random.datagrams;
        let this = &mut self.clients[client];
        let id = self.network.reserve();
        let is_ordered = self.plant != Some(Plant::UnorderedStream);
        let tickets = Arc::clone(&this.tickets);
        let manner = Manner { tickets, window: self.settings.datagrams.window, is_ordered };
        let quic = Quic::dial(now, path, manner, random);
        this.falls_back = true;
        this.socket = Some((id, false));
        if quic.is_early() {
            this.socket = Some((id, true));
            this.link.on_open_stream(Duration::from_micros(self.now_us));
        }
        this.quic = Some(Box::new(quic));
        let (user, origin, life) = (this.user, this.origin, this.life);
        self.lines.push(Line::of_stream(user, origin, life));
        self.checks.typing.on_dialled(user, self.now_us);
        self.counts.dials += 1;
        self.counts.quic_dials += 1;
        self.trace.note(self.now_us, "dial-quic", u64::from(id.0), u64::from(path.0));
    }

    fn new_path(&mut self, client: usize) -> PathId {
        let (first, last) = self.settings.network.delay_us;
        let random = &mut self.random.datagrams;
        let delay_us = [random.within(first..=last), random.within(first..=last)];
        let width = random.pick(&self.settings.datagrams.widths);
        self.paths.add(client, delay_us, width)
    }

    /// A shard sends.
    pub(super) fn send_datagrams(&mut self, datagrams: &mut Datagrams) {
        for out in datagrams.list.drain(..) {
            let bytes = Bytes::copy_from_slice(&datagrams.bytes[out.start..out.start + out.bytes]);
            let Some(path) = self.paths.find(out.destination) else { continue };
            for from in (0..out.bytes).step_by(out.segment_bytes.max(1)) {
                let to = out.bytes.min(from + out.segment_bytes);
                self.put_datagram(path, Side::Client, out.ecn, bytes.slice(from..to));
            }
        }
        datagrams.bytes.clear();
    }

    fn put_datagram(&mut self, path: PathId, to: Side, ecn: u8, bytes: Bytes) {
        self.counts.datagrams += 1;
        let settings = &self.settings.datagrams;
        let random = &mut self.random.datagrams;
        let (is_lost, is_doubled) = (random.one_in(settings.loss), random.one_in(settings.double));
        let (is_damaged, at) = (random.one_in(settings.damage), random.word());
        let it = self.paths.get(path);
        let what = if to == Side::Client { "datagram-down" } else { "datagram-up" };
        self.trace.note(self.now_us, what, u64::from(path.0), bytes.len() as u64);
        if is_lost || it.is_silent || bytes.len() > it.width || bytes.is_empty() {
            self.counts.datagrams_lost += u64::from(is_lost);
            self.counts.too_wide += u64::from(bytes.len() > it.width);
            return;
        }
        let delay_us = it.delay_us[usize::from(to == Side::Client)];
        let bytes = if is_damaged { damage(&bytes, at) } else { bytes };
        if to == Side::Server && self.random.datagrams.one_in(self.settings.datagrams.strangers) {
            self.let_stranger_send(path, &bytes);
        }
        let most_us = delay_us * self.settings.datagrams.jitter_percent / 100;
        for _ in 0..=usize::from(is_doubled) {
            let jitter_us = self.random.datagrams.within(0..=most_us);
            let sent_us = self.now_us;
            let event = Event::Datagram { path, to, ecn, sent_us, bytes: bytes.clone() };
            self.plan(delay_us + jitter_us, event);
        }
    }

    /// Somebody who has seen a datagram sends it from an address of his own, perhaps before it arrives; or anything.
    /// What is sent to him is for nobody.
    fn let_stranger_send(&mut self, seen: PathId, bytes: &Bytes) {
        let Path { client, delay_us, width, .. } = *self.paths.get(seen);
        let random = &mut self.random.datagrams;
        let (is_noise, is_long) = (random.one_in(2), random.one_in(2));
        let in_us = random.within(0..=2 * delay_us[0]);
        let noise = (0..random.within(1..=40)).flat_map(|_| random.word().to_le_bytes());
        let mut noise: Vec<u8> = noise.collect();
        // The first byte says what it is: a long header of the version in use, or a short one.
        noise[0] |= 0x40;
        if is_long {
            noise[0] |= 0x80;
            noise[1..5].copy_from_slice(&1u32.to_be_bytes());
        }
        let bytes = if is_noise { Bytes::from(noise) } else { bytes.clone() };
        let path = self.paths.add(client, delay_us, width);
        self.counts.from_strangers += 1;
        let sent_us = self.now_us;
        self.plan(in_us, Event::Datagram { path, to: Side::Server, ecn: 0, sent_us, bytes });
    }

    pub(super) fn on_datagram(
        &mut self,
        path: PathId,
        to: Side,
        ecn: u8,
        sent_us: u64,
        bytes: Bytes,
    ) -> Verdict {
        let it = self.paths.get(path);
        if it.is_silent || sent_us < it.cut_us {
            return Ok(());
        }
        if it.held_until_us > self.now_us {
            let in_us = it.held_until_us - self.now_us + self.random.datagrams.below(1_000);
            self.plan(in_us, Event::Datagram { path, to, ecn, sent_us, bytes });
            return Ok(());
        }
        let (client, address) = (it.client, it.address);
        if to == Side::Client {
            if let Some(quic) = self.clients[client].quic.as_mut().filter(|quic| quic.path == path) {
                quic.on_arrived(ecn, BytesMut::from(&bytes[..]));
                return self.serve_quic(client);
            }
            return Ok(());
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        let shard = socket_of(address, process.seats.len());
        let seat = &mut process.seats[shard];
        if !seat.is_over {
            seat.driver.on_datagram(address, ecn, bytes);
            let in_us = self.random.datagrams.within(0..=5);
            self.wake(shard, in_us);
        }
        Ok(())
    }

    /// The datagrams that have come to a shard's socket, those of one sender behind each other joined, as the kernel
    /// does.
    pub(super) fn hand_over_datagrams(&mut self, epoch: u32, shard: usize, now: Now) {
        let now_us = self.now_us;
        let World { process, trace, .. } = self;
        let Some(process) = process.as_mut().filter(|process| process.epoch == epoch) else { return };
        let seat = &mut process.seats[shard];
        while let Some((mut data, peer, ecn, stride)) = seat.driver.take_datagrams() {
            trace.note(now_us, "datagrams", shard as u64, data.len() as u64);
            let local_ip = Some(SERVER.ip());
            let data = &mut data[..];
            seat.shard.on_completion(now, Completion::Datagrams { peer, local_ip, ecn, stride, data });
        }
    }

    /// A client's connection has something to look at.
    pub(super) fn serve_quic(&mut self, client: usize) -> Verdict {
        if self.is_frozen(client) {
            return Ok(());
        }
        let (now, instant, epoch) = (self.client_now(), self.client_instant(), self.epoch);
        if let Some(quic) = &mut self.clients[client].quic {
            quic.serve(instant);
        }
        loop {
            let most = self.piece_of_stream();
            let this = &mut self.clients[client];
            let (Some(quic), Some((id, _))) = (&mut this.quic, this.socket) else { break };
            match quic.poll(most) {
                None => break,
                Some(Brought::Open) => {
                    this.socket = Some((id, true));
                    this.link.on_open_stream(now);
                }
                Some(Brought::Confirmed(early)) => {
                    this.falls_back = false;
                    quic.epoch = epoch;
                    self.counts.quic_opened += 1;
                    self.counts.early += u64::from(early == Some(true));
                    self.counts.early_refused += u64::from(early == Some(false));
                }
                Some(Brought::Stream(bytes)) => {
                    self.counts.moves_survived += u64::from(std::mem::take(&mut quic.has_moved));
                    self.hear(id, &bytes)?;
                    self.clients[client].link.on_bytes(now, &mut bytes.to_vec());
                }
                Some(Brought::Beside(frame)) => {
                    self.hear_beside(id, &frame)?;
                    self.clients[client].link.on_frame(now, &frame);
                }
                Some(Brought::Fault(fault)) => this.link.on_fault(fault),
                Some(Brought::Lost(cause)) => self.end_quic(client, cause),
            }
        }
        self.pump(client)
    }

    fn piece_of_stream(&mut self) -> usize {
        let random = &mut self.random.datagrams;
        let most = if random.one_in(8) { 3 } else { self.settings.network.piece as u64 };
        random.within(1..=most) as usize
    }

    /// The connection is over, for the client.
    fn end_quic(&mut self, client: usize, cause: Cause) {
        let now = self.client_now();
        let this = &mut self.clients[client];
        this.quic = None;
        this.out.clear();
        this.is_welcome = false;
        let socket = this.socket.take();
        self.trace.tell(self.now_us, || format!("client {}: QUIC is over: {cause:?}", this.life));
        this.link.on_closed(now, cause);
        if let Some((id, _)) = socket {
            self.trace.note(self.now_us, "end-quic", u64::from(id.0), 0);
            self.checks.order.on_closed(id.0);
        }
    }

    /// All clients lose their QUIC connections; what they do about it, they do when they are served next.
    pub(super) fn end_all_quic(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].quic.is_some() {
                self.end_quic(client, Cause::Network("the network begins anew".to_owned()));
            }
        }
    }

    /// Writes what the client has to say. Whether that was anything.
    pub(super) fn write_quic(&mut self, client: usize) -> bool {
        let now = self.client_now();
        let this = &mut self.clients[client];
        let mut any = false;
        while let (Some(quic), Some((_, true))) = (&mut this.quic, this.socket) {
            if this.out.is_empty() {
                this.link.poll_output(now, &mut this.out);
            }
            while let Some(frame) = this.link.poll_datagram() {
                any = true;
                if !quic.tell(frame.clone()) {
                    this.out.extend_from_slice(&frame);
                }
            }
            // To write nothing is something, too: a frame of the stream without bytes.
            if this.out.is_empty() && !quic.repeats() {
                break;
            }
            let repeats = quic.repeats();
            let written = quic.write(&this.out);
            if repeats && !quic.repeats() {
                any = true;
                continue;
            }
            this.out.drain(..written);
            any |= written > 0;
            if written == 0 {
                break;
            }
        }
        any
    }

    /// The client gives the connection up, with a last word.
    pub(super) fn close_quic(&mut self, client: usize) {
        let instant = self.client_instant();
        self.write_quic(client);
        self.flush_quic(client);
        let this = &mut self.clients[client];
        let (code, reason) = this.link.take_goodbye();
        if let Some(quic) = &mut this.quic {
            quic.close(instant, code, &reason);
        }
        self.flush_quic(client);
        self.end_quic(client, Cause::Wanted);
    }

    /// Sends what the connection has to send, and sets its timer.
    pub(super) fn flush_quic(&mut self, client: usize) {
        let instant = self.client_instant();
        let now_us = self.now_us;
        while let Some(quic) = &mut self.clients[client].quic {
            let path = quic.path;
            let Some((ecn, datagrams)) = quic.transmit(instant) else { break };
            for bytes in datagrams {
                self.put_datagram(path, Side::Server, ecn, bytes);
            }
        }
        let Some(quic) = &mut self.clients[client].quic else { return };
        let at_us = quic.deadline().map(|at| {
            let age = at.saturating_duration_since(base()).as_nanos().div_ceil(1000);
            u64::try_from(age).unwrap_or(u64::MAX).max(now_us + 1)
        });
        if at_us == quic.wake_at_us {
            return;
        }
        quic.wake_at_us = at_us;
        self.quic_wakes += 1;
        quic.wake_version = self.quic_wakes;
        let version = quic.wake_version;
        if let Some(at_us) = at_us {
            self.plan(at_us - now_us, Event::QuicWake { client, version });
        }
    }

    pub(super) fn on_quic_wake(&mut self, client: usize, version: u32) -> Verdict {
        match &mut self.clients[client].quic {
            Some(quic) if quic.wake_version == version => quic.wake_at_us = None,
            _ => return Ok(()),
        }
        self.serve_quic(client)
    }

    /// Somebody moves.
    pub(super) fn on_move(&mut self) -> Verdict {
        if self.stage != Stage::Active {
            return Ok(());
        }
        let in_us = self.random.datagrams.around(self.settings.datagrams.move_us);
        self.plan(in_us.max(1), Event::Move);
        let client = self.random.datagrams.index(self.clients.len());
        let (only_port, notices) = (self.random.datagrams.one_in(3), self.random.datagrams.one_in(2));
        let Some(before) = self.clients[client].quic.as_ref().map(|quic| quic.path) else { return Ok(()) };
        let path = if only_port { self.paths.add_port(before) } else { self.new_path(client) };
        let Some(quic) = &mut self.clients[client].quic else { return Ok(()) };
        quic.path = path;
        quic.has_moved = true;
        if notices {
            quic.on_moved();
        }
        self.counts.moves += 1;
        self.trace.note(self.now_us, "move", client as u64, u64::from(path.0));
        self.serve_quic(client)
    }

    /// Trouble with the path of a client that has one. Whether there was one.
    pub(super) fn trouble_a_path(&mut self, cut: bool, silence: bool) -> bool {
        let mut on_paths: Vec<PathId> = Vec::new();
        on_paths.extend(self.clients.iter().filter_map(|client| Some(client.quic.as_ref()?.path)));
        let held_us = self.random.datagrams.within(1_000..=3_000_000);
        if on_paths.is_empty() || self.random.datagrams.one_in(2) {
            return false;
        }
        let id = self.random.datagrams.pick(&on_paths);
        let now_us = self.now_us;
        let path = self.paths.get(id);
        path.is_silent |= silence;
        if cut {
            // What flies is lost. Sometimes the client notices, and comes back by what it was given to resume.
            path.cut_us = now_us;
            let client = path.client;
            self.counts.cuts += 1;
            if self.random.datagrams.one_in(2) {
                self.end_quic(client, Cause::Network("the network is gone".to_owned()));
                self.plan(0, Event::Thaw { client });
            }
        } else {
            path.held_until_us = now_us + held_us;
        }
        self.trace.note(now_us, "trouble", u64::from(id.0), u64::from(silence));
        true
    }

    /// Whether the connection with this number is one of QUIC to a process that lives, on a path that does.
    pub(super) fn is_alive_on_quic(&mut self, id: SocketId) -> bool {
        let epoch = self.process.as_ref().map(|process| process.epoch);
        let client = self.clients.iter().find(|client| client.socket.is_some_and(|(socket, _)| socket == id));
        let Some(quic) = client.and_then(|client| client.quic.as_ref()) else { return false };
        let (path, dialled) = (quic.path, quic.epoch);
        Some(dialled) == epoch && !self.paths.get(path).is_silent
    }

    /// A client wants a connection.
    pub(super) fn dial_for(&mut self, client: usize) {
        if self.wants_quic(client) {
            return self.dial_quic(client);
        }
        let id = self.dial(Dialler::Client(client));
        self.clients[client].socket = Some((id, false));
    }
}

/// One bit is another.
fn damage(bytes: &Bytes, at: u64) -> Bytes {
    let mut damaged = bytes.to_vec();
    let place = at as usize % damaged.len();
    damaged[place] ^= 1 << (at >> 61);
    Bytes::from(damaged)
}
