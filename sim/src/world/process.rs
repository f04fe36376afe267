//! The server's process: its shards, each with its driver, and when each has its next turn.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ringwire::clock::Now;
use ringwire::shard::Shard;
use ringwire::store::KeyFold;
use ringwire_store::Checkpointer;

use super::{Counts, Event, World};
use crate::driver::Driver;

/// A monotonic clock begins here in every process, as in the real one.
const CLOCK_BEGINS_NS: u64 = 1_000_000_000;

/// How a shard ends: first the clients, then the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) until_us: u64,
    pub(super) is_stopped: bool,
}

/// A shard and its driver.
pub(super) struct Seat {
    pub(super) shard: Shard,
    pub(super) driver: Driver,
    /// When the next turn is, and which plan of it counts.
    turn_at_us: Option<u64>,
    version: u32,
    /// It gets no turn before.
    pub(super) held_until_us: u64,
    /// When it had its last turn.
    last_us: u64,
    pub(super) ending: Option<Ending>,
    /// Its thread has ended.
    pub(super) is_over: bool,
    /// Its journal has failed, and it has said so.
    pub(super) has_failed: bool,
}

impl Seat {
    pub(super) fn new(shard: Shard, connections_max: u32) -> Self {
        Seat {
            shard,
            driver: Driver::new(connections_max),
            turn_at_us: None,
            version: 0,
            held_until_us: 0,
            last_us: 0,
            ending: None,
            is_over: false,
            has_failed: false,
        }
    }
}

/// One start of the server.
pub(super) struct Process {
    pub(super) epoch: u32,
    pub(super) seats: Vec<Seat>,
    pub(super) begun_us: u64,
    /// It was asked to end, or a journal has failed.
    pub(super) is_ending: bool,
    /// A segment was sealed since one last looked.
    pub(super) sealed: Arc<AtomicBool>,
    pub(super) checkpointer: Checkpointer<KeyFold>,
}

impl World {
    /// What the clocks of this process say.
    pub(super) fn server_now(&self) -> Now {
        let begun_us = self.process.as_ref().map_or(0, |process| process.begun_us);
        Now {
            monotonic_ns: CLOCK_BEGINS_NS + (self.now_us - begun_us) * 1000,
            unix_ms: self.unix_ms + self.now_us / 1000,
        }
    }

    /// The seat of a shard, if that process still runs and the shard with it.
    pub(super) fn seat(&mut self, epoch: u32, shard: usize) -> Option<&mut Seat> {
        let process = self.process.as_mut().filter(|process| process.epoch == epoch)?;
        process.seats.get_mut(shard).filter(|seat| !seat.is_over)
    }

    /// Lets a shard have a turn in so many microseconds, unless it has one before.
    pub(super) fn wake(&mut self, shard: usize, in_us: u64) {
        let now_us = self.now_us;
        let Some(process) = &mut self.process else { return };
        let (epoch, seat) = (process.epoch, &mut process.seats[shard]);
        let at_us = (now_us + in_us).max(seat.held_until_us).max(seat.last_us + 1);
        if seat.is_over || seat.turn_at_us.is_some_and(|planned_us| planned_us <= at_us) {
            return;
        }
        seat.version += 1;
        seat.turn_at_us = Some(at_us);
        let version = seat.version;
        self.plan(at_us - now_us, Event::Turn { epoch, shard, version });
    }

    /// Whether this turn is to be had now. One that the shard is kept from comes later.
    pub(super) fn take_turn(&mut self, epoch: u32, shard: usize, version: u32) -> bool {
        let now_us = self.now_us;
        let Some(seat) = self.seat(epoch, shard).filter(|seat| seat.version == version) else { return false };
        seat.turn_at_us = None;
        if seat.held_until_us > now_us {
            self.wake(shard, 0);
            return false;
        }
        seat.last_us = now_us;
        true
    }

    /// All shards that still run.
    pub(super) fn seats(&mut self) -> impl Iterator<Item = &mut Seat> {
        self.process.iter_mut().flat_map(|process| &mut process.seats).filter(|seat| !seat.is_over)
    }

    /// Takes down what a shard has counted, before it is gone.
    pub(super) fn take_counters(counts: &mut Counts, seat: &Seat) {
        let sessions = seat.shard.sessions().counters;
        counts.slow += sessions.slow;
        counts.demoted += sessions.demoted;
        counts.heads += sessions.heads;
        counts.faults += sessions.faults;
        let quic = seat.shard.sessions().quic_counters();
        counts.strays += quic.strays;
        counts.quic_refused += quic.refused;
        counts.quic_overdue += quic.overdue;
        counts.retried += quic.retried;
        counts.from_memory += seat.shard.conversations().counters.published_from_memory;
    }

    /// The process is to end in good order.
    pub(super) fn end_process(&mut self) {
        let Some(process) = &mut self.process else { return };
        if !std::mem::replace(&mut process.is_ending, true) {
            for shard in 0..process.seats.len() {
                self.wake(shard, 1);
            }
        }
    }
}
