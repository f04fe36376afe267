//! Stores of earlier days, kept for ever: whatever this build is, it recovers their bytes as was written down
//! beside them. A new format version gets a new folder; the old ones stay.
//!
//! `WRITE_FIXTURES=1 cargo test -p ringwire-store --test fixtures` makes the folder of the present version
//! where it is missing; it never changes one that is there.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops by panicking, and has files of its own"
)]

mod world;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringwire_store::{
    CheckpointConfig, Checkpointer, Config, HistoryConfig, RecordKind, RecoverOptions, RecoveryError,
    VerifyReport, When, recover, verify,
};
use world::disk::SimDisk;
use world::model::{Item, KeepAll, Table};
use world::owner;
use world::rng::Rng;
use world::shard::Shard;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Two starts with different numbers of shards, a checkpoint between them, a note, a skip, and tails.
fn healthy() -> SimDisk {
    let mut rng = Rng::new(2026);
    let disk = SimDisk::new(1);
    let mut sequences = [0_u64; 5];
    for shards in [2, 1] {
        let recovered = recover(&disk, &mut Table::default(), &RecoverOptions::default()).unwrap();
        let generation = recovered.generation;
        let config = Config { segment_bytes: 2048, ..Config::default() };
        let mut all: Vec<_> = recovered
            .indexes(shards, |conversation| owner(conversation, shards))
            .into_iter()
            .enumerate()
            .map(|(shard, index)| {
                let place = (generation, shard as u16);
                Shard::new(&disk, config, HistoryConfig::default(), place, index, &mut rng)
            })
            .collect();
        for turn in 0..24 {
            let number = rng.below(5) as u8;
            let shard = &mut all[owner(&[number; 16], shards)];
            let payload_bytes = rng.below(100) as usize;
            let payload = rng.bytes(payload_bytes);
            let sequence = &mut sequences[usize::from(number)];
            let kind = match turn {
                9 => RecordKind::SKIP.0,
                5 | 15 => 0x81,
                _ => 1,
            };
            *sequence += if kind == 0x81 { 0 } else { 1 };
            shard.append([number; 16], Item { kind, sequence: *sequence, time_ms: turn, payload });
            shard.settle();
        }
        if shards == 2 {
            let config = CheckpointConfig::default();
            Checkpointer::new(Arc::new(disk.clone()), KeepAll, config).run(When::Now).unwrap().unwrap();
        }
    }
    disk
}

/// The newest segment with batches, and where its last one begins.
fn tail(disk: &SimDisk) -> (String, usize) {
    let names = disk.names();
    let unsealed = |name: &&String| name.ends_with(".seg") && !names.contains(&name.replace(".seg", ".idx"));
    let batches = |name: &String| {
        let bytes = disk.get(name);
        (0..bytes.len()).rev().find(|at| bytes[*at..].starts_with(b"RwBt"))
    };
    names.iter().filter(unsealed).rev().find_map(|name| Some((name.clone(), batches(name)?))).unwrap()
}

fn torn() -> SimDisk {
    let disk = healthy();
    let (name, at) = tail(&disk);
    let mut bytes = disk.get(&name);
    bytes[at + 60..].fill(0);
    disk.set(&name, bytes);
    disk
}

fn corrupt() -> SimDisk {
    let disk = healthy();
    let name = "journal/00000002-0000-00000000.seg";
    let mut bytes = disk.get(name);
    bytes[1300] ^= 0x10;
    disk.set(name, bytes);
    disk
}

/// What comes of a store, as text: facts only, since wordings change.
fn outcome(disk: &SimDisk) -> String {
    let report = verify(disk, &KeepAll).unwrap();
    let mut text = String::new();
    let VerifyReport { segments, bytes, batches, records, entries, conversations, checkpoint, .. } = &report;
    writeln!(text, "verify: {segments} segments, {bytes} bytes, {batches} batches, {records} records")
        .unwrap();
    writeln!(text, "verify: {entries} entries, {conversations} conversations, checkpoint {checkpoint:?}")
        .unwrap();
    writeln!(text, "verify: {:?}", report.verdict()).unwrap();
    for accept_corruption in [false, true] {
        let disk = disk.snapshot();
        writeln!(text, "recover, accepting corruption: {accept_corruption}").unwrap();
        let mut table = Table::default();
        let (generation, report) = match recover(&disk, &mut table, &RecoverOptions { accept_corruption }) {
            Err(RecoveryError::Corrupt(report)) => (None, *report),
            Err(error) => panic!("{error}"),
            Ok(recovered) => (Some(recovered.generation), recovered.report),
        };
        writeln!(text, "generation: {generation:?}").unwrap();
        for torn in report.torn {
            writeln!(text, "torn: {} at {}", torn.segment, torn.offset).unwrap();
        }
        for damage in report.damage {
            writeln!(text, "damage: {} {}..{}", damage.segment, damage.from, damage.to).unwrap();
        }
        for missing in report.missing {
            writeln!(text, "missing: {:02x} {}..={}", missing.conversation[0], missing.from, missing.to)
                .unwrap();
        }
        for (conversation, items) in table.0.iter().filter(|_| generation.is_some()) {
            for Item { kind, sequence, time_ms, payload } in items {
                let payload: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(text, "record: {:02x} {kind:02x} {sequence} {time_ms} {payload}", conversation[0])
                    .unwrap();
            }
        }
    }
    text
}

fn write(folder: &Path, disk: &SimDisk) {
    for name in disk.names() {
        let path = folder.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, disk.get(&name)).unwrap();
    }
    fs::write(folder.join("outcome.txt"), outcome(disk)).unwrap();
}

fn read(folder: &Path) -> SimDisk {
    let disk = SimDisk::new(1);
    for sub in ["journal", "checkpoint"] {
        for entry in fs::read_dir(folder.join(sub)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{sub}/{}", entry.file_name().to_str().unwrap());
            disk.set(&name, fs::read(entry.path()).unwrap());
        }
    }
    disk
}

#[test]
fn every_store_ever_kept_is_recovered_as_written_down() {
    let present = folder().join(format!("v{}", ringwire_store::VERSION));
    if std::env::var_os("WRITE_FIXTURES").is_some() && !present.exists() {
        for (name, disk) in [("healthy", healthy()), ("torn", torn()), ("corrupt", corrupt())] {
            write(&present.join(name), &disk);
        }
    }
    let mut checked = 0;
    for version in fs::read_dir(folder()).unwrap() {
        for store in fs::read_dir(version.unwrap().path()).unwrap() {
            let store = store.unwrap().path();
            let expected = fs::read_to_string(store.join("outcome.txt")).unwrap();
            assert_eq!(outcome(&read(&store)), expected, "{}", store.display());
            checked += 1;
        }
    }
    assert!(checked >= 3, "the fixtures are there: {checked}");
}

#[test]
fn the_kept_stores_are_what_their_names_say() {
    let text = |name: &str| {
        let path = folder().join("v1").join(name).join("outcome.txt");
        fs::read_to_string(path).unwrap_or_default()
    };
    let lines = |text: &str, beginning: &str| text.lines().filter(|line| line.starts_with(beginning)).count();
    let (healthy, torn, corrupt) = (text("healthy"), text("torn"), text("corrupt"));
    assert_eq!(
        (lines(&healthy, "torn"), lines(&healthy, "damage"), lines(&healthy, "record")),
        (0, 0, 2 * 48)
    );
    assert_eq!((lines(&torn, "torn"), lines(&torn, "damage"), lines(&torn, "record")), (2, 0, 2 * 47));
    assert_eq!(lines(&corrupt, "torn"), 0);
    assert_eq!(lines(&corrupt, "record"), 47, "only where corruption is accepted");
    assert!(lines(&corrupt, "damage") >= 2 && lines(&corrupt, "missing") == 2, "{corrupt}");
}
