//! A store in a simulated world: one seed decides what is written, when things finish, and when the power
//! goes.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod disk;
pub mod model;
pub mod rng;
pub mod shard;

use std::collections::BTreeMap;
use std::sync::Arc;

use ringwire_store::{
    CheckpointConfig, Checkpointer, Config, Conversation, HistoryConfig, RecordKind, RecoverOptions,
    RecoveryError, RecoveryReport, When, recover,
};

use disk::SimDisk;
use model::{Item, KeepAll, Table};
use rng::Rng;
use shard::Shard;

/// Counts, to see that the seeds reach what they should.
#[derive(Default, Debug)]
pub struct Seen {
    pub crashes: u64,
    pub torn: u64,
    pub rolls: u64,
    pub checkpoints: u64,
    pub restored: u64,
    pub interrupted_recoveries: u64,
    pub fetches: u64,
}

pub struct World {
    pub disk: SimDisk,
    pub rng: Rng,
    pub config: Config,
    pub shards: Vec<Shard>,
    /// What was appended, durable or not.
    pub appended: Table,
    /// How many items of each conversation are durable.
    pub durable: BTreeMap<Conversation, usize>,
    pub checkpointer: Checkpointer<KeepAll>,
    pub conversations: u8,
    pub payload_max: u64,
    pub ack_before_sync: bool,
    pub seen: Seen,
    time_ms: u64,
}

pub fn owner(conversation: &Conversation, shards: usize) -> usize {
    usize::from(conversation[0].wrapping_mul(37)) % shards
}

/// The sequence that the next entry has.
pub fn next_sequence(items: &[Item]) -> u64 {
    items.iter().fold(1, |next, item| match item.kind {
        kind if kind == RecordKind::SKIP.0 => next.max(item.sequence + 1),
        _ if item.is_entry() => item.sequence + 1,
        _ => next,
    })
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(rng.next());
        let config = Config {
            segment_bytes: 2048 + rng.below(14_000) as u32,
            batch_bytes: 200 + rng.below(3000) as usize,
            pending_bytes: 1000 + rng.below(20_000) as usize,
        };
        let checkpoints = CheckpointConfig {
            after_bytes: rng.below(30_000),
            input_bytes: 1 + rng.below(60_000),
            input_records: 1 + rng.below(1000),
            memory_bytes: rng.below(20_000),
        };
        Self {
            checkpointer: Checkpointer::new(Arc::new(disk.clone()), KeepAll, checkpoints),
            disk,
            config,
            shards: Vec::new(),
            appended: Table::default(),
            durable: BTreeMap::new(),
            conversations: 1 + rng.below(12) as u8,
            payload_max: 1 + rng.below(500),
            ack_before_sync: false,
            seen: Seen::default(),
            time_ms: 0,
            rng,
        }
    }

    /// Starts the process with any number of shards.
    pub fn start(&mut self, options: &RecoverOptions) -> Result<RecoveryReport, RecoveryError> {
        let mut table = Table::default();
        let recovered = recover(&self.disk, &mut table, options)?;
        self.check(&table);
        self.appended = table;
        self.durable = self.appended.0.iter().map(|(id, items)| (*id, items.len())).collect();
        let shards = 1 + self.rng.below(4) as usize;
        let (generation, report) = (recovered.generation, recovered.report.clone());
        let indexes = recovered.indexes(shards, |conversation| owner(conversation, shards));
        let history = HistoryConfig {
            cache_bytes: self.rng.below(20_000) as usize,
            open_files: 1 + self.rng.below(6) as usize,
            reads: 1 + self.rng.below(6) as usize,
            read_bytes: self.rng.below(10_000) as usize,
            fetches: 1 + self.rng.below(3) as usize,
            waiting: 100,
        };
        self.shards.clear();
        for (shard, index) in indexes.into_iter().enumerate() {
            let place = (generation, shard as u16);
            let mut shard = Shard::new(&self.disk, self.config, history, place, index, &mut self.rng);
            shard.ack_before_sync = self.ack_before_sync;
            self.shards.push(shard);
        }
        self.seen.torn += report.torn.len() as u64;
        self.seen.restored += report.restored;
        Ok(report)
    }

    /// Whether a recovered table is allowed: all that is durable, and nothing but what was appended, in order.
    fn check(&self, table: &Table) {
        for (conversation, items) in &table.0 {
            let appended = self.appended.0.get(conversation).map_or(&[][..], Vec::as_slice);
            assert!(appended.starts_with(items), "something was invented, lost within, or reordered");
        }
        for (conversation, count) in &self.durable {
            let items = table.0.get(conversation).map_or(0, Vec::len);
            assert!(items >= *count, "{items} of {count} durable items of {conversation:?} are left");
        }
    }

    /// Appends one item somewhere, if the journal takes any.
    pub fn append(&mut self) {
        let conversation = [self.rng.below(u64::from(self.conversations)) as u8; 16];
        let owner = owner(&conversation, self.shards.len());
        let shard = &mut self.shards[owner];
        if shard.journal.is_full() {
            return;
        }
        let note = self.rng.chance(20);
        let most = self.payload_max.min(shard.journal.payload_bytes_max() as u64);
        let payload_bytes = self.rng.below(most + 1) as usize;
        let payload = self.rng.bytes(payload_bytes);
        let known = self.appended.0.entry(conversation).or_default();
        let next = next_sequence(known);
        self.time_ms += self.rng.below(3);
        let (kind, sequence) = match note {
            true if self.rng.chance(20) => (RecordKind::SKIP.0, next + self.rng.below(5)),
            true => (0x81, self.rng.below(9)),
            false => (1, next),
        };
        let item = Item { kind, sequence, time_ms: self.time_ms, payload };
        known.push(item.clone());
        shard.append(conversation, item);
    }

    /// Notes what has become durable.
    pub fn observe(&mut self) {
        for shard in &mut self.shards {
            for (conversation, item) in shard.take_durable() {
                let count = self.durable.entry(conversation).or_default();
                assert_eq!(self.appended.0[&conversation][*count], item, "durable in order");
                *count += 1;
            }
        }
    }

    /// Something happens.
    pub fn tick(&mut self) {
        let shard = self.rng.below(self.shards.len() as u64) as usize;
        match self.rng.below(10) {
            0..5 => self.append(),
            5..7 => self.shards[shard].turn(),
            _ => {
                self.shards[shard].step();
            }
        }
        self.observe();
        if self.rng.chance(2) {
            let when = if self.rng.chance(50) { When::Worthwhile } else { When::Now };
            if let Ok(Some(_)) = self.checkpointer.run(when) {
                self.seen.checkpoints += 1;
            } else {
                let power = self.disk.with(|state| state.fuse != Some(0));
                if power {
                    // Only the power may keep a checkpoint from being made.
                    self.checkpointer.run(when).unwrap();
                }
            }
        }
    }

    pub fn has_power(&self) -> bool {
        self.disk.with(|state| state.fuse != Some(0))
    }

    /// The power goes, and comes back.
    pub fn crash(&mut self) {
        for shard in &mut self.shards {
            shard.crash(&mut self.rng);
        }
        self.disk.with(|state| state.fuse = None);
        self.seen.crashes += 1;
    }

    /// Everything under way is finished.
    pub fn settle(&mut self) {
        self.shards.iter_mut().for_each(Shard::settle);
        self.observe();
    }
}
