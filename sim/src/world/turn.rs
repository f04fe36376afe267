//! One turn of one shard, as its thread has it: completions, the end of the turn, operations.

use ringwire::clock::Now;
use ringwire::limits::{FETCHES_PER_SESSION, PUBLISH_WINDOW};
use ringwire_driver::{Completion, Operation, Operations};
use ringwire_store::HistoryConfig;

use super::World;
use super::process::Ending;
use crate::check::bounds::Level;
use crate::check::{Promise, Verdict};
use crate::driver::Happened;
use crate::network::{Chunk, Side};

/// How often an ending shard looks whether it is done, microseconds.
const ENDING_TURN_US: u64 = 10_000;

/// The largest record with what is around it, bytes: one may be taken when almost too much waits.
const RECORD_BYTES_MAX: usize = 4096;

/// Files that a shard has open at once: what history keeps open, what it reads from besides, and segments.
const FILES_MAX: usize = 80;

/// Jobs of a shard that wait: seals, one per segment that may be unsealed, and index files made anew.
const JOBS_MAX: usize = 16;

/// Letters about a session, besides those about its conversations, that are never refused: that it has begun,
/// lives and is over, whom it watches, what is in its inbox.
const LETTERS_OF_A_SESSION: usize = 16;

/// How long the disk has for what was accepted, microseconds.
const STOP_GRACE_US: u64 = 10_000_000;

impl World {
    pub(super) fn on_turn(&mut self, epoch: u32, shard: usize, version: u32) -> Verdict {
        if !self.take_turn(epoch, shard, version) {
            return Ok(());
        }
        let now = self.server_now();
        let must_fail = self.hand_over_completions(epoch, shard, now);
        self.hand_over_bytes(epoch, shard, now);
        self.hand_over_datagrams(epoch, shard, now);
        if self.end_shard(shard, now) {
            // The last words of connections that nobody closes for it.
            let Some(seat) = self.seat(epoch, shard) else { return Ok(()) };
            seat.shard.end_of_turn(now);
            let mut operations = std::mem::take(seat.shard.operations());
            self.carry_out(epoch, shard, &mut operations)?;
            return self.on_shard_over(shard);
        }
        let Some(seat) = self.seat(epoch, shard) else { return Ok(()) };
        seat.shard.end_of_turn(now);
        if let Some(failure) = seat.shard.take_failure() {
            seat.has_failed = true;
            self.counts.failures += 1;
            self.trace.tell(self.now_us, || format!("shard {shard} has failed: {failure}"));
            self.end_process();
        }
        let Some(seat) = self.seat(epoch, shard) else { return Ok(()) };
        Promise::Durability.holds(!must_fail || seat.has_failed, || {
            format!("a sync of shard {shard} has failed, and the shard does not say so")
        })?;
        let Some(seat) = self.seat(epoch, shard) else { return Ok(()) };
        let mut operations = std::mem::take(seat.shard.operations());
        self.carry_out(epoch, shard, &mut operations)?;
        self.check_levels(epoch, shard)?;
        let Some(seat) = self.seat(epoch, shard) else { return Ok(()) };
        // The vectors go back for their memory.
        *seat.shard.operations() = operations;
        let has_work = seat.driver.has_work() || !seat.shard.is_idle();
        let sleep_us = seat.shard.sleep_ms(now).map(|ms| ms * 1000);
        let sleep_us = match seat.ending {
            Some(_) => Some(sleep_us.unwrap_or(ENDING_TURN_US).min(ENDING_TURN_US)),
            None => sleep_us,
        };
        let gap_us = self.random.schedule.within(1..=20);
        match sleep_us {
            _ if has_work => self.wake(shard, gap_us),
            Some(sleep_us) => self.wake(shard, sleep_us.max(gap_us)),
            None => {}
        }
        Ok(())
    }

    /// Everything that has completed. Whether the shard has learned of a failed sync.
    fn hand_over_completions(&mut self, epoch: u32, shard: usize, now: Now) -> bool {
        let (now_us, mut must_fail) = (self.now_us, false);
        let World { process, trace, .. } = self;
        let Some(process) = process.as_mut().filter(|process| process.epoch == epoch) else { return false };
        let seat = &mut process.seats[shard];
        trace.note(now_us, "turn", shard as u64, seat.driver.inbox.len() as u64);
        while let Some(happened) = seat.driver.inbox.pop_front() {
            let of = match &happened {
                Happened::Writable(connection) => {
                    // Closed meanwhile: nothing is said of it any more.
                    match seat.driver.slots.get(*connection) {
                        Some(occupant) if !occupant.is_closing && !occupant.is_disconnected => {
                            occupant.is_stalled = false;
                        }
                        _ => continue,
                    }
                    connection.slot
                }
                Happened::Closed(connection) => {
                    seat.driver.slots.remove(*connection);
                    connection.slot
                }
                Happened::Accepted(connection, _)
                | Happened::Stalled(connection, ..)
                | Happened::Disconnected(connection, _) => connection.slot,
                Happened::Synced(_, result) => {
                    must_fail |= result.is_err();
                    0
                }
                _ => 0,
            };
            trace.note(now_us, happened.name(), shard as u64, u64::from(of));
            seat.shard.on_completion(now, happened.completion());
        }
        must_fail
    }

    /// A piece of what has arrived, for each connection that has any.
    fn hand_over_bytes(&mut self, epoch: u32, shard: usize, now: Now) {
        let Some(seat) = self.seat(epoch, shard) else { return };
        for _ in 0..seat.driver.readable.len() {
            let Some(seat) = self.seat(epoch, shard) else { return };
            let Some(connection) = seat.driver.readable.pop_front() else { return };
            let Some(occupant) = seat.driver.slots.get(connection) else { continue };
            occupant.is_readable = false;
            if occupant.is_closing || occupant.is_disconnected {
                continue;
            }
            let id = occupant.socket;
            let most = self.piece();
            let Some(socket) = self.network.get(id) else { continue };
            socket.up.join_arrived();
            let Some(chunk) = socket.up.read(most) else { continue };
            let more = socket.up.is_readable();
            self.tell_writer(id, Side::Server);
            self.trace.note(self.now_us, "received", shard as u64, u64::from(connection.slot));
            let Some(seat) = self.seat(epoch, shard) else { return };
            match chunk {
                Chunk::Bytes(bytes) => {
                    let mut data = bytes.to_vec();
                    seat.shard.on_completion(now, Completion::Received { connection, data: &mut data });
                    if more {
                        seat.driver.on_readable(connection);
                    }
                }
                Chunk::End | Chunk::Reset => {
                    if let Some(occupant) = seat.driver.slots.get(connection) {
                        occupant.is_disconnected = true;
                    }
                    let broken = chunk == Chunk::Reset;
                    seat.shard.on_completion(now, Happened::Disconnected(connection, broken).completion());
                }
            }
        }
    }

    /// What an ending process does in a shard's turn. Whether the shard's thread ends.
    fn end_shard(&mut self, shard: usize, now: Now) -> bool {
        let (now_us, drain_ms) = (self.now_us, self.settings.drain_ms);
        let Some(process) = self.process.as_mut().filter(|process| process.is_ending) else { return false };
        let seat = &mut process.seats[shard];
        let ending = seat.ending.get_or_insert_with(|| {
            seat.shard.drain(now, (drain_ms / 2) as u32);
            Ending { until_us: now_us + drain_ms * 1000, is_stopped: false }
        });
        let over = seat.shard.is_drained() || now_us >= ending.until_us;
        if over && !ending.is_stopped {
            ending.is_stopped = true;
            seat.shard.stop(now);
        }
        let given_up = now_us >= ending.until_us + STOP_GRACE_US;
        ending.is_stopped && (seat.shard.is_stopped() || given_up)
    }

    fn carry_out(&mut self, epoch: u32, shard: usize, operations: &mut Operations) -> Verdict {
        let mut payloads = std::mem::take(&mut operations.payloads);
        for send in operations.sends.drain(..) {
            self.send(epoch, shard, send.connection, &payloads[send.payload.0 as usize])?;
        }
        payloads.clear();
        operations.payloads = payloads;
        self.send_datagrams(&mut operations.datagrams)?;
        for operation in operations.rest.drain(..) {
            match operation {
                Operation::Close { connection } => self.close(epoch, shard, connection),
                Operation::StopAccepting => {
                    if let Some(seat) = self.seat(epoch, shard) {
                        seat.driver.is_accepting = false;
                    }
                }
                Operation::Ring { shard: other } => {
                    if let Some(seat) = self.seat(epoch, other) {
                        seat.driver.inbox.push_back(Happened::Rung);
                        let in_us = self.random.schedule.within(1..=10);
                        self.wake(other, in_us);
                    }
                }
                file_operation => self.ask_disk(epoch, shard, file_operation)?,
            }
        }
        Ok(())
    }

    /// Looks at everything that has a limit.
    fn check_levels(&mut self, epoch: u32, shard: usize) -> Verdict {
        let connections_max = self.settings.connections_max as usize;
        let rooms = self.ids.len();
        let pending_bytes = self.settings.journal.pending_bytes;
        let limits = &self.settings.limits;
        let Some(process) = self.process.as_mut().filter(|process| process.epoch == epoch) else {
            return Ok(());
        };
        let shards = process.seats.len();
        let seat = &mut process.seats[shard];
        let (live, known) = (seat.driver.slots.live(), seat.shard.sessions().len());
        let (files, jobs) = (seat.driver.files.len(), seat.driver.jobs.len());
        let levels = seat.shard.levels();
        let quic = seat.shard.sessions().quic_counters();
        let (on_quic, in_handshake) = (quic.connections as usize, quic.handshakes as usize);
        // Answers that wait for a sync and are never refused: what a session may have unanswered of each kind.
        let sessions: u64 = process.seats.iter().map(|seat| seat.shard.sessions().counters.accepted()).sum();
        let answers = sessions as usize * usize::from(PUBLISH_WINDOW);
        let awaiting_max = limits.awaiting_sync_max + answers + 2;
        // What one turn can add after the last look at the backlog: an answer to each request, and what was
        // waiting for a sync, once for every shard.
        // Changes of members are told to the homes of who changed; entries are refused when too many of those wait.
        let members = awaiting_max + shards * limits.request_ring;
        let must_arrive = sessions as usize * (rooms + LETTERS_OF_A_SESSION) + members;
        let requests = shards * limits.request_ring + must_arrive;
        let backlog_max = limits.delivery_backlog + requests + awaiting_max * shards;
        // Those of sessions that have ended are still read for.
        let history = HistoryConfig::default();
        let (publishes, fetches) = (usize::from(PUBLISH_WINDOW), usize::from(FETCHES_PER_SESSION));
        let looked_at = [
            (Level::KnownConnections, known, live + on_quic),
            (Level::QuicConnections, on_quic, connections_max),
            (Level::QuicHandshakes, in_handshake, on_quic),
            (Level::QuicUnproven, quic.unproven as usize, limits.quic_unvalidated_max),
            (Level::QuicWide, quic.wide as usize, limits.quic_wide_max),
            (Level::Connections, live, connections_max),
            (Level::Files, files, FILES_MAX),
            (Level::Jobs, jobs, JOBS_MAX),
            (Level::OwnRequests, levels.own_requests, requests),
            (Level::RequestsWaiting, levels.requests_waiting, must_arrive),
            (Level::DeliveriesWaiting, levels.deliveries_waiting, backlog_max),
            (Level::AwaitingSync, levels.awaiting_sync, awaiting_max),
            (Level::JournalBytes, levels.journal_bytes, 2 * pending_bytes + RECORD_BYTES_MAX),
            (Level::Fetches, levels.fetches, history.fetches + history.waiting),
            (Level::TailBytes, levels.tail_bytes, limits.tail_bytes),
            (Level::OutboxBytes, levels.outbox_bytes_max, limits.outbox_bytes_max),
            (Level::Subscriptions, levels.subscriptions_max, limits.subscriptions_per_connection),
            (Level::Publishes, levels.publishes_max, publishes),
            (Level::SessionFetches, levels.fetches_max, fetches),
        ];
        looked_at.into_iter().try_for_each(|(of, level, most)| self.checks.bounds.on_level(of, level, most))
    }

    /// A shard's thread has ended: what it had open closes.
    fn on_shard_over(&mut self, shard: usize) -> Verdict {
        let Some(process) = &mut self.process else { return Ok(()) };
        let (epoch, seat) = (process.epoch, &mut process.seats[shard]);
        seat.is_over = true;
        Self::take_counters(&mut self.counts, seat);
        let is_over = process.seats.iter().all(|seat| seat.is_over);
        self.trace.note(self.now_us, "shard-over", u64::from(epoch), shard as u64);
        let of_shard: Vec<_> = self
            .network
            .open()
            .filter(|(_, socket)| socket.home.is_some_and(|home| (home.epoch, home.shard) == (epoch, shard)))
            .map(|(id, _)| id)
            .collect();
        for id in of_shard {
            self.hang_up(id, false);
        }
        if is_over {
            self.counts.drains += 1;
            self.process = None;
            self.plan_boot();
        }
        Ok(())
    }
}
