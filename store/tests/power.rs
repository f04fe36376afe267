//! Power cuts: thousands of seeds of writing, rolling, sealing, checkpointing and recovering, with the power
//! going at any moment, also during recovery.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops by panicking, and has files of its own"
)]

mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ringwire_store::{RecoverOptions, Severity, verify};
use world::model::KeepAll;
use world::{Seen, World};

/// Lives and deaths of one store.
fn live(seed: u64, ack_before_sync: bool) -> Seen {
    let mut world = World::new(seed);
    world.ack_before_sync = ack_before_sync;
    for _ in 0..6 {
        // The power may go during recovery too, any number of times.
        while world.rng.chance(20) {
            let fuse = 1 + world.rng.below(12);
            world.disk.with(|state| state.fuse = Some(fuse));
            let started = world.start(&RecoverOptions::default()).is_ok();
            if !started {
                assert!(!world.has_power(), "only the power may keep a store from starting");
                world.shards.clear();
                world.seen.interrupted_recoveries += 1;
            }
            world.crash();
        }
        let report = world.start(&RecoverOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.damage.is_empty() && report.missing.is_empty(), "{report}");
        if world.rng.chance(50) {
            let fuse = 1 + world.rng.below(60);
            world.disk.with(|state| state.fuse = Some(fuse));
        }
        for _ in 0..world.rng.below(1500) {
            if !world.has_power() {
                break;
            }
            world.tick();
        }
        world.crash();
    }
    if !ack_before_sync {
        let report = verify(&world.disk, &KeepAll).unwrap();
        assert!(report.verdict() <= Some(Severity::Note), "before the next start: {report}");
    }
    world.start(&RecoverOptions::default()).unwrap();
    let report = verify(&world.disk, &KeepAll).unwrap();
    assert_eq!(report.verdict(), None, "after it: {report}");
    world.seen
}

fn seeds() -> u64 {
    std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300)
}

#[test]
fn what_was_reported_durable_survives_every_power_cut() {
    let mut sum = Seen::default();
    for seed in 0..seeds() {
        let seen = catch_unwind(|| live(seed, false)).unwrap_or_else(|_| panic!("seed {seed}"));
        sum.crashes += seen.crashes;
        sum.torn += seen.torn;
        sum.checkpoints += seen.checkpoints;
        sum.restored += seen.restored;
        sum.interrupted_recoveries += seen.interrupted_recoveries;
    }
    println!("{sum:?}");
    assert!(sum.torn > seeds() / 4, "the seeds must reach torn tails: {sum:?}");
    assert!(sum.checkpoints > seeds() && sum.restored > seeds(), "and checkpoints: {sum:?}");
    assert!(sum.interrupted_recoveries > seeds() / 10, "and interrupted recoveries: {sum:?}");
}

#[test]
fn a_journal_that_acknowledges_before_the_sync_is_caught() {
    let caught = (0..40).filter(|seed| catch_unwind(AssertUnwindSafe(|| live(*seed, true))).is_err()).count();
    assert!(caught > 30, "{caught} of 40 seeds noticed");
}
