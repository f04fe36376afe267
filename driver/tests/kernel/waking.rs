//! Sleeping, and being woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ringwire_driver::{Bell, Completion, Config, Driver, Kind, Operation, Operations, open};

use crate::harness::{PATIENCE, World, claims};

claims! {
    a_bell_from_another_thread_wakes_a_sleeper_every_time,
    shards_wake_each_other_every_time,
    a_driver_that_is_awake_is_not_rung,
    who_is_not_idle_does_not_block,
    a_wait_lasts_as_long_as_its_timeout,
    a_bell_outlives_its_driver,
}

const ROUNDS: u64 = 2_000;

/// Waits until `counter` reaches `goal`, as a shard waits for its rings.
fn wait_for(driver: &mut impl Driver, counter: &AtomicU64, goal: u64) {
    let start = Instant::now();
    while counter.load(Ordering::Acquire) < goal {
        let mut idle = || counter.load(Ordering::Acquire) < goal;
        driver
            .wait(Some(PATIENCE), &mut idle, &mut |completion| {
                assert!(matches!(completion, Completion::Rung), "{completion:?}");
            })
            .unwrap();
        assert!(start.elapsed() < PATIENCE, "a wake-up was lost at {goal}");
    }
}

fn a_bell_from_another_thread_wakes_a_sleeper_every_time(kind: Kind) {
    for spin in [Duration::ZERO, Duration::from_micros(20)] {
        let mut world = World::new(kind, |config| config.spin = spin);
        let bell = world.driver.bell();
        // Spinning is for other shards.
        world.driver.connect(vec![bell.clone(), bell.clone()]);
        let (asked, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let ringer = {
            let (asked, answered) = (Arc::clone(&asked), Arc::clone(&answered));
            std::thread::spawn(move || {
                for round in 1..=ROUNDS {
                    asked.store(round, Ordering::Release);
                    bell.ring();
                    while answered.load(Ordering::Acquire) < round {
                        std::thread::yield_now();
                    }
                }
            })
        };
        for round in 1..=ROUNDS {
            wait_for(&mut world.driver, &asked, round);
            answered.store(round, Ordering::Release);
        }
        ringer.join().unwrap();
    }
}

/// Two drivers, each on a thread of its own, that wake each other by `Operation::Ring`.
fn shards_wake_each_other_every_time(kind: Kind) {
    let counters = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let (bells, rendezvous): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel::<Vec<Bell>>()).unzip();
    let (mine, all) = mpsc::channel();
    let mut rendezvous = rendezvous.into_iter();
    let shards: Vec<_> = (0..2usize)
        .map(|shard| {
            let (mine, others, counters) = (mine.clone(), rendezvous.next().unwrap(), Arc::clone(&counters));
            std::thread::spawn(move || {
                let config = Config { shard, spin: Duration::ZERO, ..Config::default() };
                let mut driver = open(kind, config).unwrap().driver;
                mine.send((shard, driver.bell())).unwrap();
                driver.connect(others.recv().unwrap());
                let mut operations = Operations::default();
                for round in 1..=ROUNDS {
                    // Shard 0 speaks first, then each answers the other.
                    if shard == 1 {
                        wait_for(&mut driver, &counters[1], round);
                    }
                    counters[1 - shard].store(round, Ordering::Release);
                    operations.push(Operation::Ring { shard: 1 - shard });
                    driver.submit(&mut operations);
                    if shard == 0 {
                        wait_for(&mut driver, &counters[0], round);
                    }
                }
            })
        })
        .collect();
    let mut list: Vec<_> = (0..2).map(|_| all.recv().unwrap()).collect();
    list.sort_by_key(|(shard, _)| *shard);
    let list: Vec<_> = list.into_iter().map(|(_, bell)| bell).collect();
    for sender in bells {
        sender.send(list.clone()).unwrap();
    }
    for shard in shards {
        shard.join().unwrap();
    }
}

fn a_driver_that_is_awake_is_not_rung(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let bell = world.driver.bell();
    world.driver.connect(vec![bell.clone()]);
    world.settle();
    world.events.clear();
    for _ in 0..10 {
        bell.ring();
        world.operations.push(Operation::Ring { shard: 0 });
    }
    world.submit();
    assert!(!world.is_rung());
    bell.ring_always();
    assert!(world.is_rung(), "who rings always is always heard");
}

fn who_is_not_idle_does_not_block(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    for _ in 0..100 {
        world.driver.wait(None, &mut || false, &mut |completion| panic!("{completion:?}")).unwrap();
    }
    // Idle at first, but not at the last look.
    let mut looks = 0;
    let mut idle = || {
        looks += 1;
        looks < 2
    };
    world.driver.wait(None, &mut idle, &mut |completion| panic!("{completion:?}")).unwrap();
    assert_eq!(looks, 2, "it looks once more after saying that it sleeps");
}

fn a_wait_lasts_as_long_as_its_timeout(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    world.settle();
    for timeout in [Duration::from_millis(30), Duration::from_micros(1_500)] {
        let start = Instant::now();
        world.wait(timeout);
        assert!(start.elapsed() >= timeout, "{:?} of {timeout:?}", start.elapsed());
    }
    world.wait(Duration::ZERO);
    assert!(world.events.is_empty(), "{:?}", world.events);
}

fn a_bell_outlives_its_driver(kind: Kind) {
    let world = World::new(kind, |_| ());
    let bell = world.driver.bell();
    drop(world);
    bell.ring();
    bell.ring_always();

    // Ringing a shard that is gone does no harm to the ringer either.
    let mut world = World::new(kind, |_| ());
    world.driver.connect(vec![bell]);
    world.ask(Operation::Ring { shard: 0 });
    assert!(!world.is_rung());
    assert!(world.events.is_empty(), "{:?}", world.events);
}
