//! How a world comes to its end: it is left in peace, and must come to rest.

use ringwire::fanout::letter::owner_of;

use super::{Event, Stage, World};
use crate::check::{Room, Verdict};
use crate::client::Standing;
use crate::disk::Death;
use crate::model::Log;

/// How often one looks, microseconds.
const LOOK_US: u64 = 40_000;

/// Connections of a shard once nothing goes wrong. Those of QUIC have the slots behind.
pub(super) const CONNECTIONS_MAX: u32 = 192;

impl World {
    pub(super) fn on_look(&mut self) -> Verdict {
        match self.stage {
            Stage::Active => self.leave_in_peace()?,
            Stage::Settling | Stage::Audit => {
                self.encourage()?;
                let mut waits_for = self.waits_for();
                self.look_at_people(&mut waits_for)?;
                if self.checks.progress.on_look(self.now_us, &waits_for)? {
                    return self.on_rest();
                }
            }
            Stage::Over => return Ok(()),
        }
        self.plan(LOOK_US, Event::Look);
        Ok(())
    }

    /// From now on nothing goes wrong.
    fn leave_in_peace(&mut self) -> Verdict {
        self.stage = Stage::Settling;
        self.trace.note(self.now_us, "peace", 0, 0);
        self.checks.progress.on_quiet(self.now_us);
        self.checks.typing.on_quiet(self.now_us);
        self.heal_network();
        self.disk_failures = 0;
        self.fuse = None;
        self.slow_disk_until_us = self.now_us;
        let (first, last) = self.settings.disk.time_us;
        self.settings.disk.time_us = (first.min(500), last.min(500));
        // Room for everybody, whichever shard they come to.
        self.settings.connections_max = CONNECTIONS_MAX;
        for shard in 0..self.process.as_ref().map_or(0, |process| process.seats.len()) {
            if let Some(process) = &mut self.process {
                process.seats[shard].held_until_us = self.now_us;
                process.seats[shard].driver.slots.set_max(CONNECTIONS_MAX);
            }
            self.wake(shard, 1);
        }
        for intruder in 0..self.intruders.len() {
            self.on_intrude(intruder)?;
        }
        for client in 0..self.clients.len() {
            self.clients[client].frozen_until_us = self.now_us;
            self.on_thaw(client)?;
        }
        Ok(())
    }

    /// Nobody stays away or stops reading for reasons of its own.
    fn encourage(&mut self) -> Verdict {
        let now = self.client_now();
        for client in 0..self.clients.len() {
            self.clients[client].link.core().start(now);
            self.grant(client, 1 << 40);
            if let Some((room, _)) = self.clients[client].audit {
                let head = self.head(room);
                self.drive_audit(client, head);
            }
            self.pump(client)?;
        }
        Ok(())
    }

    /// What people see of each other is right, soon; asked when everybody is connected and everything written.
    fn look_at_people(&mut self, waits_for: &mut Vec<String>) -> Verdict {
        self.checks.typing.on_look(self.now_us)?;
        if self.check_devices()? {
            waits_for.push("a device that has two sessions".to_owned());
        }
        let is_quiet = waits_for.is_empty();
        let wrong = self.onlookers_wait_for(waits_for);
        let heartbeat_us = u64::from(self.settings.heartbeat_ms) * 1000;
        let heartbeat_s = u64::from(self.settings.heartbeat_ms.div_ceil(1000));
        let lasts_s = u64::from(self.settings.limits.presence_ttl_s).max(heartbeat_s * 3 / 2);
        let lasts_us = lasts_s * 1_000_000 + heartbeat_us;
        self.checks.presence.on_look(self.now_us, lasts_us, wrong.as_deref().filter(|_| is_quiet))?;
        let is_right = is_quiet && wrong.is_none();
        let wrong = self.wrong_counts();
        waits_for.extend(wrong.clone());
        self.checks.counts.on_look(self.now_us, lasts_us, wrong.as_deref().filter(|_| is_right))
    }

    /// Where a conversation ends, as its owner says.
    fn head(&self, room: Room) -> u64 {
        let Some(process) = &self.process else { return 0 };
        let owner = owner_of(self.ids[room], process.seats.len() as u16);
        let conversations = process.seats[usize::from(owner)].shard.conversations();
        conversations.state(self.ids[room]).map_or(0, |state| state.head)
    }

    /// What the world still waits for.
    fn waits_for(&mut self) -> Vec<String> {
        let Some(process) = &self.process else { return vec!["a process".to_owned()] };
        if process.is_ending {
            return vec!["the process to end".to_owned()];
        }
        let mut waits: Vec<String> = Vec::new();
        for (shard, seat) in process.seats.iter().enumerate() {
            if seat.shard.conversations().is_writing() {
                waits.push(format!("shard {shard}, which is writing"));
            }
        }
        let heads: Vec<u64> = (0..self.ids.len()).map(|room| self.head(room)).collect();
        for client in &mut self.clients {
            let (life, core) = (client.life, client.link.core());
            if !client.is_welcome {
                waits.push(format!("client {life}, which is not connected"));
            }
            let open = self.checks.exactly_once.open(life);
            if open > 0 || !core.is_idle() {
                waits.push(format!("client {life}, which has {open} publishes and perhaps requests open"));
            }
            for (room, standing) in &client.rooms {
                let cursor = core.cursor(self.ids[*room]).unwrap_or(0);
                if *standing != Standing::In || cursor < heads[*room] {
                    let head = heads[*room];
                    waits.push(format!("client {life}, {standing:?} room {room} at {cursor} of {head}"));
                }
            }
            waits.extend(client.waits_for_audit());
        }
        waits
    }

    /// The world is at rest.
    fn on_rest(&mut self) -> Verdict {
        self.trace.note(self.now_us, "rest", 0, 0);
        if self.stage == Stage::Settling {
            // What everybody believes to be there has to be there for somebody who comes later.
            self.die(Death::PowerCut);
            self.stage = Stage::Audit;
            self.checks.progress.on_quiet(self.now_us);
            self.on_boot()?;
            self.begin_onlookers_anew();
            self.add_auditors()?;
            self.plan(LOOK_US, Event::Look);
            return Ok(());
        }
        self.stage = Stage::Over;
        self.die(Death::PowerCut);
        self.judge()
    }

    /// The last word: the journal, and everything that was ever said.
    fn judge(&mut self) -> Verdict {
        let (log, _) = Log::read(&self.disk, &self.ids)?;
        self.check_log(&log)?;
        self.checks.isolation.on_log(&log)?;
        self.check_inboxes(&log)?;
        self.checks.amendments.on_log(&log)?;
        self.checks.typing.on_log(&log)?;
        self.checks.exactly_once.on_log(&log, &self.ids)?;
        self.counts.stored = log.len() as u64;
        let all = || log.rooms.iter().flat_map(|story| story.entries.values());
        self.counts.amendments = all().filter(|entry| entry.kind.refers()).count() as u64;
        self.counts.changes = all().filter(|entry| entry.change.is_some()).count() as u64;
        self.trace.note(self.now_us, "stored", self.counts.stored, self.trace.events());
        for room in 0..self.ids.len() {
            for (sequence, entry) in log.entries(room) {
                self.trace.note(self.now_us, "entry", sequence, entry.time_ms ^ entry.client_sequence);
            }
        }
        Ok(())
    }
}
