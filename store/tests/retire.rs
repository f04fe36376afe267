//! Giving up what is beyond retention: thousands of lives of a store that removes its oldest segments while it is
//! written to, read and killed. Nothing but what was given up is missing, whatever the number of shards, and wherever
//! the power went.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops by panicking, and has files of its own"
)]

mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;

use ringwire_store::{Conversation, Direction, Files, Query, RecoverOptions, Retention, Severity, verify};
use world::model::{Item, KeepAll};
use world::{World, next_sequence};

/// Keeps the newest entries of each conversation; some conversations keep everything.
struct Newest {
    kept: u64,
    /// What was forgotten, as it was said.
    forgotten: Mutex<BTreeMap<Conversation, u64>>,
}

impl Retention<Vec<Item>> for Newest {
    fn is_beyond(&self, conversation: &Conversation, state: &Vec<Item>, last: u64, time_ms: u64) -> bool {
        let newest = state.iter().filter(|item| item.is_entry() && item.sequence <= last);
        assert!(newest.map(|item| item.time_ms).max().is_some_and(|newest_ms| time_ms <= newest_ms));
        conversation[0] != 3 && last + self.kept < next_sequence(state)
    }

    fn forget(&self, conversation: &Conversation, _: &mut Vec<Item>, last: u64) {
        self.forgotten.lock().unwrap().insert(*conversation, last);
    }
}

#[derive(Default, Debug)]
struct Seen {
    retired: u64,
    interrupted: u64,
    left_over: u64,
    fetched: u64,
}

struct Life {
    world: World,
    retention: Newest,
    /// The last entry that each conversation has given up.
    gone: BTreeMap<Conversation, u64>,
    seen: Seen,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let kept = world.rng.below(30);
        let retention = Newest { kept, forgotten: Mutex::default() };
        Self { world, retention, gone: BTreeMap::new(), seen: Seen::default() }
    }

    /// Gives up what may be, tells readers, and removes; or not, as one that is killed before it has.
    fn retire(&mut self) {
        self.retention.forgotten.lock().unwrap().clear();
        let retired = match self.world.checkpointer.retire(&self.retention) {
            Ok(retired) => retired,
            Err(error) => {
                assert!(!self.world.has_power(), "{error}");
                // Whether it was decided shows in what the next start finds; both are right.
                self.seen.interrupted += 1;
                let forgotten = self.retention.forgotten.lock().unwrap().clone();
                for (conversation, last) in forgotten {
                    let gone = self.gone.entry(conversation).or_default();
                    *gone = last.max(*gone);
                }
                return;
            }
        };
        let Some(retired) = retired else { return };
        self.seen.retired += 1;
        assert_eq!(*self.retention.forgotten.lock().unwrap(), retired.last.iter().copied().collect());
        for (conversation, last) in &retired.last {
            let before = self.gone.get(conversation).copied();
            self.gone.insert(*conversation, before.unwrap_or(0).max(*last));
            let is_new = before.is_none_or(|before| before < *last);
            assert!(is_new || self.seen.interrupted > 0, "each entry goes once");
        }
        for shard in &mut self.world.shards {
            shard.journal.retire(&retired.floor);
            shard.history.retire(&retired.floor);
        }
        if self.world.rng.chance(15) {
            self.seen.left_over += 1;
            return;
        }
        if retired.remove(&self.world.disk).is_err() {
            assert!(!self.world.has_power());
            return;
        }
        for id in &retired.segments {
            assert!(self.world.disk.open(&id.segment_name()).is_err(), "the disk has its room back");
        }
    }

    /// Everything that is kept is read, in both directions, and a page that begins with what is gone begins with the
    /// first that is kept.
    fn read(&mut self) {
        for conversation in 0..self.world.conversations {
            let conversation = [conversation; 16];
            let owner = world::owner(&conversation, self.world.shards.len());
            let all = self.world.appended.entries(&conversation);
            // Where the power went as it was decided, it may not have been: then more is there, and not asked for.
            let gone = self.gone.get(&conversation).copied().unwrap_or(0);
            let kept: Vec<u64> =
                all.iter().map(|item| item.sequence).filter(|sequence| *sequence > gone).collect();
            let limit = 1 + self.world.rng.below(9) as u32;
            let shard = &mut self.world.shards[owner];
            let query = |from, direction| Query { conversation, from, direction, limit, bytes_max: 1 << 20 };
            let mut found = Vec::new();
            let mut from = gone + 1;
            loop {
                let page = shard.fetch(query(from, Direction::Forward)).unwrap();
                self.seen.fetched += 1;
                let Some(last) = page.entries.last() else { break };
                from = last.sequence + 1;
                found.extend(page.entries.iter().map(|entry| entry.sequence));
            }
            assert_eq!(found, kept, "forward, of {conversation:?} without what is before {gone}");
            let (mut found, mut from) = (Vec::new(), u64::MAX);
            while from > gone {
                let page = shard.fetch(query(from, Direction::Backward)).unwrap();
                let Some(first) = page.entries.first() else { break };
                from = first.sequence - 1;
                found.extend(page.entries.iter().rev().map(|entry| entry.sequence));
            }
            found.retain(|sequence| *sequence > gone);
            found.reverse();
            assert_eq!(found, kept, "backward, of {conversation:?} without what is before {gone}");
        }
    }
}

fn live(seed: u64) -> Seen {
    let mut life = Life::new(seed);
    for _ in 0..5 {
        while life.world.rng.chance(15) {
            let fuse = 1 + life.world.rng.below(20);
            life.world.disk.with(|state| state.fuse = Some(fuse));
            if life.world.start(&RecoverOptions::default()).is_err() {
                assert!(!life.world.has_power(), "only the power may keep a store from starting");
                life.world.shards.clear();
            }
            life.world.crash();
        }
        // Everything that was ever appended is known again, from the checkpoint or from segments: that is checked here.
        let report = life.world.start(&RecoverOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.damage.is_empty() && report.missing.is_empty(), "{report}");
        life.world.settle();
        life.read();
        let fused = life.world.rng.chance(50);
        if fused {
            let fuse = 1 + life.world.rng.below(90);
            life.world.disk.with(|state| state.fuse = Some(fuse));
        }
        for _ in 0..life.world.rng.below(1500) {
            if !life.world.has_power() {
                break;
            }
            life.world.tick();
            if life.world.has_power() && life.world.rng.chance(2) {
                life.retire();
            }
        }
        if life.world.has_power() {
            life.world.disk.with(|state| state.fuse = None);
            life.world.settle();
            life.read();
        }
        life.world.crash();
    }
    let report = verify(&life.world.disk, &KeepAll).unwrap();
    assert!(report.verdict() <= Some(Severity::Note), "before the next start: {report}");
    life.world.start(&RecoverOptions::default()).unwrap();
    let report = verify(&life.world.disk, &KeepAll).unwrap();
    assert_eq!(report.verdict(), None, "after it: {report}");
    life.seen
}

#[test]
fn what_is_kept_survives_every_removal_and_what_is_gone_is_never_read() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300);
    let mut sum = Seen::default();
    for seed in 0..seeds {
        let seen = std::panic::catch_unwind(|| live(seed)).unwrap_or_else(|_| panic!("seed {seed}"));
        sum.retired += seen.retired;
        sum.interrupted += seen.interrupted;
        sum.left_over += seen.left_over;
        sum.fetched += seen.fetched;
    }
    println!("{sum:?}");
    assert!(sum.retired > seeds && sum.interrupted > seeds / 20 && sum.left_over > seeds / 10, "{sum:?}");
}
