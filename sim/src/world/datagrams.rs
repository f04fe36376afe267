//! Datagrams between those who dial and shards, with QUIC in them.
//!
//! A datagram that leaves is lost, doubled, damaged, too long for its path, or arrives after a time of its own, so
//! that any may overtake any; some are marked for congestion, and some paths wipe such marks out; and strangers send
//! copies and noise. Who has a connection may find himself at another address in the middle of it, with or without
//! noticing, and must lose nothing by it.
//!
//! What a server says on a QUIC connection is read where the client has decrypted it, and not where it leaves: there
//! it is ciphertext. So checkers hear of it later than of what goes over a stream of bytes, and not of what is lost
//! on its way; no promise depends on when one hears.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::EcnCodepoint;
use ringwire::clock::Now;
use ringwire_client::core::Cause;
use ringwire_driver::{Completion, Datagrams};

use super::{Event, Stage, World};
use crate::check::Verdict;
use crate::network::{Dialler, Path, PathId, SERVER, Side, socket_of};

/// What the monotonic clock of the first process counts from.
#[expect(clippy::disallowed_methods, reason = "an instant to begin with; how late it is does not matter")]
pub(super) fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

impl World {
    pub(super) fn client_instant(&self) -> Instant {
        base() + Duration::from_micros(self.now_us)
    }

    pub(super) fn new_path(&mut self, owner: Option<Dialler>) -> PathId {
        let (first, last) = self.settings.network.delay_us;
        let random = &mut self.random.datagrams;
        let delay_us = [random.within(first..=last), random.within(first..=last)];
        let width = random.pick(&self.settings.datagrams.widths);
        let bleaches = random.one_in(self.settings.datagrams.bleach);
        self.paths.add(owner, delay_us, width, bleaches)
    }

    /// A shard sends.
    ///
    /// # Errors
    /// It is more than the address may be sent.
    pub(super) fn send_datagrams(&mut self, datagrams: &mut Datagrams) -> Verdict {
        for out in datagrams.list.drain(..) {
            let bytes = Bytes::copy_from_slice(&datagrams.bytes[out.start..out.start + out.bytes]);
            let Some(path) = self.paths.find(out.destination) else { continue };
            self.checks.amplification.on_sent(path.0, out.bytes)?;
            for from in (0..out.bytes).step_by(out.segment_bytes.max(1)) {
                let to = out.bytes.min(from + out.segment_bytes);
                self.put_datagram(path, Side::Client, out.ecn, bytes.slice(from..to));
            }
        }
        datagrams.bytes.clear();
        Ok(())
    }

    pub(super) fn put_datagram(&mut self, path: PathId, to: Side, ecn: u8, bytes: Bytes) {
        self.counts.datagrams += 1;
        let settings = &self.settings.datagrams;
        let random = &mut self.random.datagrams;
        let (is_lost, is_doubled) = (random.one_in(settings.loss), random.one_in(settings.double));
        let (is_damaged, at) = (random.one_in(settings.damage), random.word());
        let is_congested = random.one_in(settings.congestion);
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
        let ecn = match ecn {
            0 => 0,
            _ if it.bleaches => {
                self.counts.bleached += 1;
                0
            }
            _ if is_congested => {
                self.counts.marked += 1;
                EcnCodepoint::Ce as u8
            }
            ecn => ecn,
        };
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
        let Path { delay_us, width, bleaches, .. } = *self.paths.get(seen);
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
        let path = self.paths.add(None, delay_us, width, bleaches);
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
        let (owner, address) = (it.owner, it.address);
        if to == Side::Client {
            let Some(owner) = owner else { return Ok(()) };
            if let Some(quic) = self.quic_of(owner).filter(|quic| quic.path == path) {
                quic.on_arrived(ecn, BytesMut::from(&bytes[..]));
                self.checks.amplification.on_heard(path.0);
                return self.serve_quic(owner);
            }
            return Ok(());
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        let shard = socket_of(address, process.seats.len());
        let seat = &mut process.seats[shard];
        if !seat.is_over {
            self.checks.amplification.on_came(path.0, &bytes);
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
        let path = if only_port {
            self.paths.add_port(before)
        } else {
            self.new_path(Some(Dialler::Client(client)))
        };
        let Some(quic) = &mut self.clients[client].quic else { return Ok(()) };
        quic.path = path;
        quic.has_moved = true;
        if notices {
            quic.on_moved();
        }
        self.counts.moves += 1;
        self.trace.note(self.now_us, "move", client as u64, u64::from(path.0));
        self.serve_client_quic(client)
    }

    /// Trouble with the path of a client that has one. Whether there was one.
    pub(super) fn trouble_a_path(&mut self, cut: bool, silence: bool) -> bool {
        let mut on_paths: Vec<PathId> = Vec::new();
        on_paths.extend(self.clients.iter().filter_map(|client| Some(client.quic.as_ref()?.path)));
        on_paths.extend(self.onlookers.iter().filter_map(|onlooker| Some(onlooker.quic.as_ref()?.path)));
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
            let owner = path.owner;
            self.counts.cuts += 1;
            if let (Some(Dialler::Client(client)), true) = (owner, self.random.datagrams.one_in(2)) {
                self.end_quic(client, Cause::Network("the network is gone".to_owned()));
                self.plan(0, Event::Thaw { client });
            }
        } else {
            path.held_until_us = now_us + held_us;
        }
        self.trace.note(now_us, "trouble", u64::from(id.0), u64::from(silence));
        true
    }
}

/// One bit is another.
fn damage(bytes: &Bytes, at: u64) -> Bytes {
    /// Flags, version, and how long the id is.
    const HEAD_BYTES: usize = 6;
    /// What authenticates the last packet.
    const TAG_BYTES: usize = 16;
    let mut damaged = bytes.to_vec();
    let length = damaged.len();
    let is_long = damaged.first().is_some_and(|flags| flags & 0x80 != 0) && length > HEAD_BYTES + TAG_BYTES;
    let place = match at as usize % if is_long { HEAD_BYTES + TAG_BYTES } else { length } {
        // With another id or sample, a greeting's flags are what its ciphertext makes of them, and that is drawn by TLS: in
        // one run it would be asked to prove its address, in another thrown away.
        place if is_long && place >= HEAD_BYTES => length - TAG_BYTES + (place - HEAD_BYTES),
        place => place,
    };
    damaged[place] ^= 1 << (at >> 61);
    Bytes::from(damaged)
}
