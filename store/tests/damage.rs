//! Damage of every kind: each byte flipped, each length cut, forged batches. Never a wrong record; torn and
//! corrupt told apart; what is lost is named; what is good is kept.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops by panicking, and has files of its own"
)]

mod world;

use std::collections::BTreeSet;

use ringwire_store::{
    Config, Conversation, Direction, HistoryConfig, Query, RecoverOptions, RecoveryError, RecoveryReport,
    Severity, VerifyReport, recover, verify,
};
use world::disk::SimDisk;
use world::model::{Item, KeepAll, Table};
use world::rng::Rng;
use world::shard::Shard;

const DATA_OFFSET: usize = 1024;

/// A small store: what was appended, batch by batch, with the place of each.
struct Store {
    disk: SimDisk,
    appended: Table,
    batches: Vec<Batch>,
}

#[derive(Clone, Debug)]
struct Batch {
    name: String,
    from: usize,
    to: usize,
    items: Vec<(Conversation, Item)>,
}

/// Two shards with sealed segments, and a tail each.
fn small(batches: usize) -> Store {
    let mut rng = Rng::new(42);
    let disk = SimDisk::new(1);
    let recovered = recover(&disk, &mut Table::default(), &RecoverOptions::default()).unwrap();
    let config = Config { segment_bytes: 2048, ..Config::default() };
    let generation = recovered.generation;
    let mut shards: Vec<_> = recovered
        .indexes(2, |conversation| usize::from(conversation[0]) % 2)
        .into_iter()
        .enumerate()
        .map(|(shard, index)| {
            Shard::new(&disk, config, HistoryConfig::default(), (generation, shard as u16), index, &mut rng)
        })
        .collect();
    let mut store = Store { disk: disk.clone(), appended: Table::default(), batches: Vec::new() };
    for shard in &mut shards {
        shard.settle();
    }
    for turn in 0..batches {
        let shard = turn % 2;
        for _ in 0..=rng.below(3) {
            let conversation = [(rng.below(2) * 2) as u8 + shard as u8; 16];
            let known = store.appended.0.entry(conversation).or_default();
            let payload_bytes = rng.below(90) as usize;
            let sequence = known.len() as u64 + 1;
            let item = Item { kind: 1, sequence, time_ms: turn as u64, payload: rng.bytes(payload_bytes) };
            known.push(item.clone());
            shards[shard].append(conversation, item);
        }
        shards[shard].settle();
    }
    for name in disk.names().into_iter().filter(|name| name.ends_with(".seg")) {
        store.batches.extend(parse(&name, &disk.get(&name)));
    }
    assert_eq!(store.without(|_| false), store.appended);
    store
}

/// The batches of a segment, read as docs/journal.md says and without a line of the store's code.
fn parse(name: &str, bytes: &[u8]) -> Vec<Batch> {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let salt = &bytes[24..40];
    let (mut batches, mut from) = (Vec::new(), DATA_OFFSET);
    while bytes.get(from..from + 4) == Some(b"RwBt") {
        let to = from + 48 + u32_at(from + 8) as usize;
        let crc = crc32c::crc32c_append(crc32c::crc32c(salt), &bytes[from + 48..to]);
        assert_eq!(crc32c::crc32c_append(crc, &bytes[from + 8..from + 48]), u32_at(from + 4));
        let (mut items, mut at) = (Vec::new(), from + 48);
        while at < to {
            let end = at + 40 + (u32_at(at + 4) >> 8) as usize;
            assert_eq!(crc32c::crc32c_append(crc32c::crc32c(salt), &bytes[at + 4..end]), u32_at(at));
            let item = Item {
                kind: bytes[at + 4],
                sequence: u64_at(at + 8),
                time_ms: u64_at(at + 16),
                payload: bytes[at + 40..end].to_vec(),
            };
            items.push((bytes[at + 24..at + 40].try_into().unwrap(), item));
            at = end;
        }
        assert_eq!(items.len(), u32_at(from + 12) as usize);
        batches.push(Batch { name: name.to_owned(), from, to, items });
        from = to;
    }
    batches
}

/// Where the batches of a segment end.
fn end(disk: &SimDisk, name: &str) -> usize {
    parse(name, &disk.get(name)).last().map_or(DATA_OFFSET, |batch| batch.to)
}

impl Store {
    /// Whether a segment may end in an incomplete write.
    fn is_tail(&self, name: &str) -> bool {
        !self.disk.names().contains(&name.replace(".seg", ".idx"))
    }

    fn without(&self, gone: impl Fn(&Batch) -> bool) -> Table {
        let mut table = Table::default();
        for batch in self.batches.iter().filter(|batch| !gone(batch)) {
            for (conversation, item) in &batch.items {
                table.0.entry(*conversation).or_default().push(item.clone());
            }
        }
        table
    }
}

fn start(disk: &SimDisk, accept_corruption: bool) -> Result<(Table, RecoveryReport), RecoveryError> {
    let mut table = Table::default();
    let recovered = recover(disk, &mut table, &RecoverOptions { accept_corruption })?;
    Ok((table, recovered.report))
}

/// Accepts corruption; checks that everything readable is there and that exactly the rest is reported.
fn accept(store: &Store, disk: &SimDisk, exactly: bool) -> Table {
    let (table, report) = start(disk, true).unwrap();
    let mut lost = BTreeSet::new();
    for (conversation, items) in &store.appended.0 {
        let kept = table.0.get(conversation).map_or(&[][..], Vec::as_slice);
        assert!(kept.is_sorted_by_key(|item| item.sequence), "in order");
        for item in kept {
            assert!(items.contains(item), "a wrong record: {item:?}");
        }
        let gone = items.iter().filter(|item| !kept.contains(item));
        lost.extend(gone.map(|item| (*conversation, item.sequence)));
    }
    let mut named = BTreeSet::new();
    for missing in &report.missing {
        named.extend((missing.from..=missing.to).map(|sequence| (missing.conversation, sequence)));
    }
    assert!(named.is_subset(&lost), "named {named:?} but lost {lost:?}");
    if exactly {
        assert_eq!(named, lost, "{report}");
    }
    let (again, report) = start(disk, false).unwrap_or_else(|error| panic!("after salvage: {error}"));
    assert_eq!(again, table, "what was salvaged stays");
    assert!(report.damage.is_empty());
    served(disk, &table);
    let verified = verify(disk, &KeepAll).unwrap();
    let worst = verified.verdict();
    // A loss without a trace cannot be told from a conversation that lost nothing, but a hole can.
    assert!(worst <= Some(Severity::Note), "{verified}");
    table
}

/// History serves exactly what is left, though back-pointers may lead to segments that lost a conversation.
fn served(disk: &SimDisk, table: &Table) {
    let disk = disk.snapshot();
    let recovered = recover(&disk, &mut Table::default(), &RecoverOptions::default()).unwrap();
    let place = (recovered.generation, 0);
    let index = recovered.indexes(1, |_| 0).remove(0);
    let (config, history) = (Config::default(), HistoryConfig::default());
    let mut shard = Shard::new(&disk, config, history, place, index, &mut Rng::new(9));
    for (conversation, items) in &table.0 {
        for (direction, from) in [(Direction::Forward, 0), (Direction::Backward, u64::MAX)] {
            let query =
                Query { conversation: *conversation, from, direction, limit: 1000, bytes_max: usize::MAX };
            let page = shard.fetch(query).unwrap();
            let got: Vec<_> = page.entries.iter().map(|entry| entry.payload.to_vec()).collect();
            let expected: Vec<_> = items.iter().map(|item| item.payload.clone()).collect();
            assert_eq!(got, expected, "{direction:?}");
        }
    }
}

#[test]
fn a_flipped_byte_is_torn_in_the_last_batch_corrupt_before_it_and_nothing_elsewhere() {
    let store = small(40);
    let (mut torn, mut corrupt, mut harmless) = (0, 0, 0);
    for name in store.disk.names().into_iter().filter(|name| name.ends_with(".seg")) {
        let bytes = store.disk.get(&name);
        let last = store.batches.iter().filter(|batch| batch.name == name).map(|batch| batch.to).max();
        for at in 0..bytes.len() {
            let disk = store.disk.snapshot();
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            disk.set(&name, flipped);
            let hit =
                store.batches.iter().find(|batch| batch.name == name && (batch.from..batch.to).contains(&at));
            let before = disk.snapshot();
            let result = start(&disk, false);
            match hit {
                Some(batch) if store.is_tail(&name) && Some(batch.to) == last => {
                    let (table, report) = result.unwrap_or_else(|error| panic!("{name} {at}: {error}"));
                    assert_eq!(table, store.without(|other| other.name == name && other.from == batch.from));
                    assert_eq!(report.torn.len(), 1, "{name} {at}: {report}");
                    torn += 1;
                }
                Some(_) => {
                    let Err(RecoveryError::Corrupt(report)) = result else {
                        panic!("{name} {at}: not noticed")
                    };
                    assert!(!report.damage.is_empty());
                    assert_eq!(
                        disk.with(|state| state.files.clone()),
                        before.with(|state| state.files.clone())
                    );
                    corrupt += 1;
                    if at % 7 == 0 {
                        accept(&store, &disk, !store.is_tail(&name));
                    }
                }
                None => {
                    let (table, report) = result.unwrap_or_else(|error| panic!("{name} {at}: {error}"));
                    assert_eq!(table, store.appended, "{name} {at}");
                    assert!(report.damage.is_empty() && report.missing.is_empty(), "{report}");
                    harmless += 1;
                }
            }
        }
    }
    println!("{torn} torn, {corrupt} corrupt, {harmless} harmless");
    assert!(torn > 100 && corrupt > 1000 && harmless > 1000);
}

#[test]
fn a_cut_is_a_prefix_in_a_tail_and_corrupt_in_a_sealed_segment() {
    let store = small(40);
    for name in store.disk.names().into_iter().filter(|name| name.ends_with(".seg")) {
        let bytes = store.disk.get(&name);
        let end = end(&store.disk, &name);
        for length in 0..bytes.len() {
            let disk = store.disk.snapshot();
            disk.set(&name, bytes[..length].to_vec());
            let kept = store.without(|batch| batch.name == name && batch.to > length);
            let result = start(&disk, false);
            match (store.is_tail(&name), length >= end) {
                (true, true) => assert_eq!(result.unwrap().0, store.appended, "only zeros were cut"),
                (true, false) => {
                    let (table, report) = result.unwrap_or_else(|error| panic!("{name} {length}: {error}"));
                    assert_eq!(table, kept, "{name} {length}");
                    let at_a_boundary = length <= DATA_OFFSET
                        || store.batches.iter().any(|batch| batch.name == name && batch.to == length);
                    assert_eq!(report.torn.is_empty(), at_a_boundary, "{name} {length}: {report}");
                }
                (false, false) => {
                    assert!(matches!(result, Err(RecoveryError::Corrupt(_))), "{name} {length}");
                    if length % 41 == 0 {
                        let table = accept(&store, &disk, true);
                        for (conversation, items) in kept.0 {
                            let all = items.iter().all(|item| table.0[&conversation].contains(item));
                            assert!(all, "whole batches are kept");
                        }
                    }
                }
                (false, true) => unreachable!("a sealed segment has nothing behind its batches"),
            }
        }
    }
}

#[test]
fn a_torn_end_behind_damage_is_cut_and_not_salvaged() {
    let store = small(40);
    let tails: Vec<_> = store.batches.iter().filter(|batch| store.is_tail(&batch.name)).collect();
    let mut checked = 0;
    for (damaged, last) in
        tails.iter().zip(tails.iter().skip(2)).filter(|(first, last)| first.name == last.name)
    {
        let disk = store.disk.snapshot();
        let mut bytes = disk.get(&damaged.name);
        bytes[damaged.from + 60] ^= 1;
        // The header of the last batch did not survive; whole records behind it did. Nobody was told of them.
        bytes[last.from..last.from + 48].fill(0);
        bytes[last.to..].fill(0);
        disk.set(&damaged.name, bytes);
        let (table, report) = start(&disk, true).unwrap();
        assert_eq!((report.torn.len(), report.torn[0].offset), (1, last.from as u64));
        assert_eq!(start(&disk, false).unwrap().0, table);
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn a_missing_file_is_noticed_and_named() {
    let store = small(40);
    for name in store.disk.names().into_iter().filter(|name| name.ends_with(".seg")) {
        let disk = store.disk.snapshot();
        disk.with(|state| state.files.remove(&name));
        let tail = store.is_tail(&name);
        let last =
            *store.disk.names().iter().filter(|other| other[..22] == name[..22]).max().unwrap() == name;
        match start(&disk, false) {
            Err(RecoveryError::Corrupt(report)) => {
                assert!(report.damage.iter().any(|damage| damage.what.contains("missing")), "{report}");
                accept(&store, &disk, !tail);
            }
            Ok((table, _)) => {
                assert!(tail && last, "{name}: only what nothing leads to can vanish");
                assert_eq!(table, store.without(|batch| batch.name == name));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn verify_finds_every_flipped_bit_that_matters() {
    let store = small(24);
    let clean = verify(&store.disk, &KeepAll).unwrap();
    assert!(clean.verdict() <= Some(Severity::Note), "{clean}");
    assert_eq!(clean.entries, store.appended.0.values().map(|items| items.len() as u64).sum::<u64>());
    let check = |disk: &SimDisk| -> VerifyReport { verify(disk, &KeepAll).unwrap() };
    for name in store.disk.names() {
        let bytes = store.disk.get(&name);
        let index = name.ends_with(".idx");
        for at in (0..bytes.len()).step_by(3) {
            let disk = store.disk.snapshot();
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            disk.set(&name, flipped);
            let report = check(&disk);
            let hit =
                store.batches.iter().find(|batch| batch.name == name && (batch.from..batch.to).contains(&at));
            let last = store.batches.iter().filter(|batch| batch.name == name).map(|batch| batch.to).max();
            match hit {
                _ if index => {
                    assert_eq!(report.verdict(), Some(Severity::Repairable), "{name} {at}: {report}")
                }
                Some(batch) if !store.is_tail(&name) || Some(batch.to) != last => {
                    assert_eq!(report.verdict(), Some(Severity::Corrupt), "{name} {at}: {report}");
                }
                _ => assert!(report.verdict() <= Some(Severity::Note), "{name} {at}: {report}"),
            }
        }
    }
}

/// A batch as the format says, with a salt of the forger's choice.
fn forged(salt: [u8; 16], id: (u32, u32, u16), number: u64, offset: u32) -> Vec<u8> {
    let records = vec![0; 60];
    let mut batch = b"RwBt\0\0\0\0".to_vec();
    batch.extend_from_slice(&(records.len() as u32).to_le_bytes());
    batch.extend_from_slice(&1_u32.to_le_bytes());
    batch.extend_from_slice(&number.to_le_bytes());
    batch.extend_from_slice(&salt[8..]);
    batch.extend_from_slice(&id.0.to_le_bytes());
    batch.extend_from_slice(&id.1.to_le_bytes());
    batch.extend_from_slice(&id.2.to_le_bytes());
    batch.extend_from_slice(&[0; 2]);
    batch.extend_from_slice(&offset.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&salt), &records), &batch[8..]);
    batch[4..8].copy_from_slice(&crc.to_le_bytes());
    batch.extend_from_slice(&records);
    batch
}

/// A store whose last, torn batch carries a forged one in its payload, made with `salt` or the real one.
fn with_forgery(salt: Option<[u8; 16]>) -> Result<(Table, RecoveryReport), RecoveryError> {
    let disk = SimDisk::new(1);
    let mut rng = Rng::new(3);
    let recovered = recover(&disk, &mut Table::default(), &RecoverOptions::default()).unwrap();
    let index = recovered.indexes(1, |_| 0).remove(0);
    let mut shard = Shard::new(
        &disk,
        Config { segment_bytes: 8192, ..Config::default() },
        HistoryConfig::default(),
        (1, 0),
        index,
        &mut rng,
    );
    let item = |sequence, payload| Item { kind: 1, sequence, time_ms: 0, payload };
    shard.append([1; 16], item(1, vec![7; 100]));
    shard.settle();
    let name = "journal/00000001-0000-00000000.seg";
    let real: [u8; 16] = disk.get(name)[24..40].try_into().unwrap();
    let end = end(&disk, name);
    let payload_at = end + 48 + 40;
    let forgery = forged(salt.unwrap_or(real), (1, 0, 0), 3, payload_at as u32);
    shard.append([1; 16], item(2, forgery));
    shard.settle();
    // The power went: the header of the batch did not survive, the payload did.
    let mut bytes = disk.get(name);
    bytes[end..end + 88].fill(0);
    disk.set(name, bytes);
    start(&disk, false)
}

#[test]
fn a_forged_batch_in_a_payload_fools_nobody_without_the_salt() {
    for salt in [[0; 16], [0xff; 16], [7; 16]] {
        let (table, report) = with_forgery(Some(salt)).unwrap();
        assert_eq!(table.0[&[1; 16]].len(), 1);
        assert_eq!(report.torn.len(), 1);
    }
    // With the salt it would: so the test can fail, and the salt is what protects.
    assert!(matches!(with_forgery(None), Err(RecoveryError::Corrupt(_))));
}

#[test]
fn strange_files_are_named_with_what_to_do() {
    for (name, text) in [
        ("journal/notes.txt", "move it out"),
        ("journal/00000001-0000-00000000.seg.gz", "move it out"),
        ("checkpoint/latest", "move it out"),
    ] {
        let store = small(4);
        store.disk.set(name, b"hello".to_vec());
        let error = start(&store.disk, false).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(text), "{error}");
    }
    let store = small(4);
    let name = "journal/00000001-0000-00000000.seg";
    let mut bytes = store.disk.get(name);
    for copy in [0, 512] {
        bytes[copy + 8] = 2;
        let crc = crc32c::crc32c(&bytes[copy..copy + 60]);
        bytes[copy + 60..copy + 64].copy_from_slice(&crc.to_le_bytes());
    }
    store.disk.set(name, bytes);
    let error = start(&store.disk, false).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("format version 2"), "{error}");
}
