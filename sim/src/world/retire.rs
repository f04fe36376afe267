//! Giving up what is beyond retention: sometimes it is killed half way.

use std::sync::Arc;

use ringwire::fanout::letter::owner_of;
use ringwire_protocol::ConversationId;
use ringwire_store::Files;

use super::World;
use crate::check::{Promise, Verdict};
use crate::disk::{Death, SimFiles, lock};
use crate::model::Log;

impl World {
    /// Looks what may go, tells the shards, and removes the files; or leaves that to the next start.
    pub(super) fn retire(&mut self) -> Verdict {
        let rules = self.settings.retention;
        if rules.is_all() || self.process.is_none() {
            return Ok(());
        }
        let unix_ms = self.server_now().unix_ms;
        self.checks.retention.on_sweep(unix_ms);
        // Whatever becomes of it: what may be gone by then is known.
        lock(&self.disk).archive();
        if self.random.faults.one_in(12) {
            let steps = self.random.faults.within(0..=12) as u32;
            lock(&self.disk).light_fuse(steps);
        }
        let Some(process) = &self.process else { return Ok(()) };
        let result = process.checkpointer.retire(&rules.at(unix_ms));
        if lock(&self.disk).put_out_fuse() {
            self.trace.note(self.now_us, "died-retiring", 0, 0);
            self.die(Death::PowerCut);
            return Ok(());
        }
        let retired = match result {
            Ok(Some(retired)) => retired,
            Ok(None) => return Ok(()),
            Err(error) => return Promise::Contract.broken(format!("nothing can be given up: {error}")),
        };
        self.counts.given_up += retired.segments.len() as u64;
        self.trace.note(self.now_us, "gave-up", retired.segments.len() as u64, retired.bytes);
        for seat in self.seats() {
            seat.shard.on_retired(&retired);
        }
        let (log, _) = Log::read(&self.disk, &self.ids)?;
        for (key, last) in &retired.last {
            let id = ConversationId::from_bytes(*key);
            // The others are buckets of amendments.
            if let Some(room) = self.ids.iter().position(|known| *known == id) {
                let known = self.checks.retention.expired(room).max(*last);
                self.checks.retention.on_expired(room, known, &log)?;
            }
        }
        if self.random.faults.one_in(4) {
            // Killed before it has removed them, or late.
            return Ok(());
        }
        if self.random.faults.one_in(12) {
            let steps = self.random.faults.within(0..=4) as u32;
            lock(&self.disk).light_fuse(steps);
        }
        let files: Arc<dyn Files> = Arc::new(SimFiles::new(&self.disk));
        let removed = retired.remove(&*files);
        if lock(&self.disk).put_out_fuse() {
            self.die(Death::PowerCut);
            return Ok(());
        }
        removed.or_else(|error| Promise::Contract.broken(format!("files cannot be removed: {error}")))
    }

    /// What the server has given up, as it says after a start: at least what it had before.
    pub(super) fn check_expired(&mut self, log: &Log) -> Verdict {
        let Some(shards) = self.process.as_ref().map(|process| process.seats.len()) else { return Ok(()) };
        for (room, id) in self.ids.clone().into_iter().enumerate() {
            let owner = usize::from(owner_of(id, shards as u16));
            let seat = self.process.as_ref().map(|process| &process.seats[owner]);
            let state = seat.and_then(|seat| seat.shard.conversations().state(id));
            let expired = state.map_or(0, |state| state.expired);
            self.checks.retention.on_expired(room, expired, log)?;
        }
        Ok(())
    }
}
