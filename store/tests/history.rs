//! History against a model, over random histories: both directions, across segments, shards and generations,
//! with small caches, any order of completion, and damaged indexes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops by panicking, and has files of its own"
)]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use ringwire_store::{
    Config, Conversation, Direction, FetchError, HistoryConfig, Page, Query, RecordKind, RecoverOptions,
    When, recover,
};
use world::disk::SimDisk;
use world::model::{Item, Table};
use world::rng::Rng;
use world::shard::Shard;
use world::{World, owner};

/// What a query must be answered with.
fn expected(entries: &[Item], query: &Query) -> (Vec<Item>, bool) {
    let mut page: Vec<Item> = Vec::new();
    let mut bytes = 0;
    let matching: Vec<&Item> = match query.direction {
        Direction::Forward => entries.iter().filter(|item| item.sequence >= query.from).collect(),
        Direction::Backward => entries.iter().rev().filter(|item| item.sequence <= query.from).collect(),
    };
    for item in &matching {
        let full = page.len() == query.limit as usize;
        if full || !page.is_empty() && bytes + item.payload.len() > query.bytes_max {
            break;
        }
        bytes += item.payload.len();
        page.push((*item).clone());
    }
    let more = page.len() < matching.len();
    if query.direction == Direction::Backward {
        page.reverse();
    }
    (page, more)
}

fn compare(page: &Page, expected: &(Vec<Item>, bool), query: &Query) {
    let got: Vec<_> = page
        .entries
        .iter()
        .map(|entry| Item {
            kind: entry.kind.0,
            sequence: entry.sequence,
            time_ms: entry.time_ms,
            payload: entry.payload.to_vec(),
        })
        .collect();
    assert_eq!(got, expected.0, "{query:?}");
    assert_eq!(page.more, expected.1, "{query:?}");
}

/// Entries of a conversation that are durable.
fn durable(world: &World, conversation: &Conversation) -> Vec<Item> {
    let count = world.durable.get(conversation).copied().unwrap_or(0);
    let items = world.appended.0.get(conversation).into_iter().flatten().take(count);
    items.filter(|item| item.is_entry()).cloned().collect()
}

fn query(world: &mut World) -> Query {
    let conversation = [world.rng.below(u64::from(world.conversations) + 1) as u8; 16];
    let head = durable(world, &conversation).last().map_or(0, |item| item.sequence);
    let direction = if world.rng.chance(50) { Direction::Forward } else { Direction::Backward };
    let from = match world.rng.below(4) {
        0 => 0,
        1 => u64::MAX,
        _ => world.rng.below(head + 3),
    };
    let limit = 1 + world.rng.below(40) as u32;
    let bytes_max = if world.rng.chance(30) { world.rng.below(2000) as usize } else { usize::MAX };
    Query { conversation, from, direction, limit, bytes_max }
}

/// Damages an index file that was not damaged before, one way or another.
fn damage_an_index(world: &mut World, damaged: &mut BTreeSet<String>) {
    let whole = |name: &String| name.ends_with(".idx") && !damaged.contains(name);
    let names: Vec<_> = world.disk.names().into_iter().filter(whole).collect();
    if names.is_empty() {
        return;
    }
    let name = &names[world.rng.below(names.len() as u64) as usize];
    damaged.insert(name.clone());
    let mut bytes = world.disk.get(name);
    match world.rng.below(4) {
        0 => {
            world.disk.with(|state| state.files.remove(name));
            return;
        }
        1 => bytes.truncate(world.rng.below(bytes.len() as u64) as usize),
        _ => {
            for _ in 0..=world.rng.below(4) {
                let at = world.rng.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << world.rng.below(8);
            }
        }
    }
    world.disk.set(name, bytes);
}

fn live(seed: u64, damage: bool) -> u64 {
    let mut world = World::new(seed);
    let mut answered = 0;
    let mut damaged = BTreeSet::new();
    for _ in 0..4 {
        world.start(&RecoverOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        let mut asked: BTreeMap<u64, (Query, (Vec<Item>, bool))> = BTreeMap::new();
        for turn in 0..600 {
            world.tick();
            if world.rng.chance(10) {
                let query = query(&mut world);
                let answer = expected(&durable(&world, &query.conversation), &query);
                let owner = owner(&query.conversation, world.shards.len());
                let shard = &mut world.shards[owner];
                shard.history.fetch(shard.journal.index(), turn, query).unwrap();
                asked.insert(turn, (query, answer));
            }
            if damage && world.rng.chance(3) {
                damage_an_index(&mut world, &mut damaged);
            }
            answered += collect(&mut world, &mut asked);
        }
        world.settle();
        answered += collect(&mut world, &mut asked);
        assert!(asked.is_empty(), "every query is answered");
        for shard in &world.shards {
            assert_eq!(shard.history.pending(), 0);
            assert!(damage || shard.rebuilt == 0, "a sound index is never made anew");
        }
        world.crash();
    }
    answered
}

fn collect(world: &mut World, asked: &mut BTreeMap<u64, (Query, (Vec<Item>, bool))>) -> u64 {
    let mut answered = 0;
    for shard in &mut world.shards {
        while let Some((tag, result)) = shard.history.take_done() {
            let (query, expected) = asked.remove(&tag).expect("asked");
            compare(&result.unwrap_or_else(|error| panic!("{query:?}: {error}")), &expected, &query);
            answered += 1;
        }
    }
    answered
}

fn seeds(otherwise: u64) -> u64 {
    std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn history_equals_the_model() {
    let answered: u64 = (0..seeds(150))
        .map(|seed| std::panic::catch_unwind(|| live(seed, false)).unwrap_or_else(|_| panic!("seed {seed}")))
        .sum();
    println!("{answered} queries answered");
    assert!(answered > 100 * seeds(150));
}

#[test]
fn a_damaged_index_is_made_anew_and_changes_no_answer() {
    for seed in 0..seeds(150) {
        std::panic::catch_unwind(|| live(seed, true)).unwrap_or_else(|_| panic!("seed {seed}"));
    }
}

/// A store with some sealed segments, at rest.
fn at_rest(seed: u64) -> World {
    let mut world = World::new(seed);
    world.start(&RecoverOptions::default()).unwrap();
    for _ in 0..800 {
        let shard = world.rng.below(world.shards.len() as u64) as usize;
        world.append();
        world.shards[shard].turn();
        world.shards[shard].step();
        world.observe();
    }
    world.settle();
    world
}

#[test]
fn a_damaged_segment_gives_an_error_and_never_a_wrong_entry() {
    let (mut errors, mut answers) = (0, 0);
    for seed in 0..60 {
        let mut world = at_rest(seed);
        let names: Vec<_> = world.disk.names().into_iter().filter(|name| name.ends_with(".seg")).collect();
        for name in &names {
            let mut bytes = world.disk.get(name);
            let at = world.rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << world.rng.below(8);
            world.disk.set(name, bytes);
        }
        for _ in 0..100 {
            let query = query(&mut world);
            let answer = expected(&durable(&world, &query.conversation), &query);
            let owner = owner(&query.conversation, world.shards.len());
            match world.shards[owner].fetch(query) {
                Ok(page) => {
                    compare(&page, &answer, &query);
                    answers += 1;
                }
                Err(FetchError::Damaged { .. } | FetchError::Io { .. }) => errors += 1,
                Err(FetchError::Busy { .. }) => panic!("nothing else is asked"),
            }
        }
    }
    assert!(errors > 20 && answers > 1000, "{errors} errors, {answers} answers");
}

#[test]
fn requests_beyond_the_bound_are_refused() {
    let mut world = at_rest(5);
    world.crash();
    world.start(&RecoverOptions::default()).unwrap();
    let conversation = *world.appended.0.keys().next().unwrap();
    let owner = owner(&conversation, world.shards.len());
    let shard = &mut world.shards[owner];
    let query =
        Query { conversation, from: 1, direction: Direction::Forward, limit: 5, bytes_max: usize::MAX };
    let refused = (0..200).find_map(|tag| shard.history.fetch(shard.journal.index(), tag, query).err());
    assert_eq!(refused, Some(FetchError::Busy { waiting: 100 }));
    shard.settle();
    assert_eq!(shard.history.pending(), 0);
}

#[test]
fn a_stopped_and_checkpointed_store_replays_nothing() {
    for seed in 0..20 {
        let mut world = at_rest(seed);
        for shard in &mut world.shards {
            shard.journal.stop();
            shard.settle();
            assert!(shard.journal.is_stopped());
        }
        while world.checkpointer.run(When::Now).unwrap().is_some() {}
        world.crash();
        let report = world.start(&RecoverOptions::default()).unwrap();
        assert_eq!((report.replayed_records, report.torn.len(), report.repairs.len()), (0, 0, 0), "{report}");
    }
}

#[test]
fn an_index_made_anew_is_the_one_that_was_lost() {
    let mut checked = 0;
    for seed in 0..40 {
        let mut world = at_rest(seed);
        world.crash();
        world.start(&RecoverOptions::default()).unwrap();
        let whole = world.disk.snapshot();
        let indexes: Vec<_> = whole.names().into_iter().filter(|name| name.ends_with(".idx")).collect();
        for name in &indexes {
            let lost = whole.snapshot();
            lost.with(|state| state.files.remove(name));
            let mut table = Table::default();
            recover(&lost, &mut table, &RecoverOptions::default()).unwrap();
            assert_eq!(lost.get(name), whole.get(name), "{name}");
            checked += 1;
        }
        // Where a checkpoint covers everything, it is made from the segment and the indexes before it.
        while world.checkpointer.run(When::Now).unwrap().is_some() {}
        let whole = world.disk.snapshot();
        for name in &indexes {
            let lost = whole.snapshot();
            lost.with(|state| state.files.remove(name));
            let mut table = Table::default();
            let recovered = recover(&lost, &mut table, &RecoverOptions::default()).unwrap();
            assert_eq!(recovered.report.replayed_records, 0);
            assert_eq!(lost.get(name), whole.get(name), "{name}");
        }
    }
    assert!(checked > 100, "{checked}");
}

/// One shard that fills its first segment and seals it, started again on what it left.
fn filled(config: Config, records: impl Iterator<Item = (Conversation, Item)>) -> Shard {
    let disk = SimDisk::new(1);
    let mut rng = Rng::new(1);
    let mut start = || {
        let recovered = recover(&disk, &mut Table::default(), &RecoverOptions::default()).unwrap();
        let place = (recovered.generation, 0);
        let index = recovered.indexes(1, |_| 0).remove(0);
        Shard::new(&disk, config, HistoryConfig::default(), place, index, &mut rng)
    };
    let mut shard = start();
    shard.settle();
    for (conversation, item) in records {
        shard.append(conversation, item);
        if shard.journal.is_full() {
            shard.settle();
        }
    }
    shard.settle();
    start()
}

#[test]
fn a_conversation_full_of_holes_is_read_across_pages_of_its_index() {
    let item = |kind, sequence| Item { kind, sequence, time_ms: 0, payload: vec![sequence as u8; 3] };
    let noise = |number: u64| ([200; 16], item(1, number + 1));
    let records = (0..400_u64).flat_map(|number| {
        let skip = ([7; 16], item(RecordKind::SKIP.0, 2 * number + 1));
        [skip, ([7; 16], item(1, 2 * number + 2)), noise(number)]
    });
    let mut shard = filled(Config { segment_bytes: 1 << 20, ..Config::default() }, records);
    for (direction, from) in
        [(Direction::Forward, 0), (Direction::Backward, u64::MAX), (Direction::Forward, 301)]
    {
        let query = Query { conversation: [7; 16], from, direction, limit: 4000, bytes_max: usize::MAX };
        let page = shard.fetch(query).unwrap();
        let got: Vec<_> = page.entries.iter().map(|entry| entry.sequence).collect();
        let first = if from == 301 { 151 } else { 1 };
        assert_eq!(got, (first..=400).map(|number| 2 * number).collect::<Vec<_>>());
        assert!(!page.more);
    }
    assert_eq!(shard.rebuilt, 0);
}

#[test]
fn a_directory_longer_than_the_first_read_is_read_whole() {
    let conversation = |number: u32| u128::from(number.wrapping_mul(2_654_435_761)).to_be_bytes();
    let item =
        |number: u32| Item { kind: 1, sequence: 1, time_ms: 5, payload: number.to_le_bytes().to_vec() };
    let records = (0..60_000).map(|number| (conversation(number), item(number)));
    let mut shard = filled(Config { segment_bytes: 8 << 20, ..Config::default() }, records);
    for number in (0..60_000).step_by(977) {
        let query = Query {
            conversation: conversation(number),
            from: 1,
            direction: Direction::Forward,
            limit: 10,
            bytes_max: usize::MAX,
        };
        let page = shard.fetch(query).unwrap();
        assert_eq!(page.entries.len(), 1);
        assert_eq!(page.entries[0].payload[..], number.to_le_bytes());
    }
    assert_eq!(shard.rebuilt, 0);
}
