//! A data directory with anything in it: recovery never panics, believes no length, invents no record, changes
//! nothing when it refuses, and is content with what it leaves. History over any index file gives the right
//! entries or an error.

#![no_main]

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ringwire_store::files::{Entry, InMemory, NewFile, ReadFile};
use ringwire_store::{
    Conversation, Direction, Files, Fold, FoldError, History, HistoryConfig, HistoryOp, Query, Record,
    RecordKind, RecoverOptions, RecoveryError, recover,
};

const SEGMENT: &str = "journal/00000001-0000-00000000.seg";
const INDEX: &str = "journal/00000001-0000-00000000.idx";
const CHECKPOINT: &str = "checkpoint/0000000000000001.ckpt";
const SALT: [u8; 16] = *b"0123456789abcdef";

type Map = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Map>>);

impl Disk {
    fn with<R>(&self, act: impl FnOnce(&mut Map) -> R) -> R {
        act(&mut self.0.lock().expect("one thread"))
    }
}

struct New(Disk, String, Vec<u8>);

impl Write for New {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.2.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for New {
    fn publish(self: Box<Self>) -> io::Result<()> {
        let Self(disk, name, bytes) = *self;
        disk.with(|files| files.insert(name, bytes));
        Ok(())
    }
}

impl Files for Disk {
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let entry = |(name, bytes): (&String, &Vec<u8>)| {
            let name = name.strip_prefix(folder)?.strip_prefix('/')?.to_owned();
            Some(Entry { name, bytes: bytes.len() as u64 })
        };
        Ok(self.with(|files| files.iter().filter_map(entry).collect()))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>> {
        let bytes = self.with(|files| files.get(name).cloned()).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(InMemory(bytes)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(New(self.clone(), name.to_owned(), Vec::new())))
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.with(|files| files.get_mut(name).expect("there").truncate(bytes as usize));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|files| files.remove(name)).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|files| {
            let bytes = files.remove(from).expect("there");
            files.insert(to.to_owned(), bytes);
        });
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}

type Item = (u8, Conversation, u64, u64, Vec<u8>);

#[derive(Default, PartialEq, Debug)]
struct Table(Vec<Item>);

impl Fold for Table {
    fn restore(&mut self, _: &Conversation, _: &[u8]) -> Result<(), FoldError> {
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        let Record { kind, conversation, sequence, time_ms, payload } = *record;
        self.0.push((kind.0, conversation, sequence, time_ms, payload.to_vec()));
        Ok(())
    }
}

/// A header with a sound checksum.
fn header() -> Vec<u8> {
    let mut copy = b"RingwSEG".to_vec();
    copy.extend_from_slice(&1_u32.to_le_bytes());
    copy.extend_from_slice(&1_u32.to_le_bytes());
    copy.extend_from_slice(&[0; 8]);
    copy.extend_from_slice(&SALT);
    copy.resize(60, 0);
    let crc = crc32c::crc32c(&copy);
    copy.extend_from_slice(&crc.to_le_bytes());
    let mut bytes = copy.clone();
    bytes.resize(512, 0);
    bytes.extend_from_slice(&copy);
    bytes.resize(1024, 0);
    bytes
}

/// Sound batches that the input describes, a byte of it per record; what is in them.
fn build(input: &[u8], items: &mut HashSet<Item>) -> Vec<u8> {
    let seed = crc32c::crc32c(&SALT);
    let mut bytes = header();
    let mut sequences = [0_u64; 4];
    for (number, batch) in (1_u64..).zip(input.chunks(3)) {
        let mut records = Vec::new();
        for byte in batch {
            let who = byte & 3;
            sequences[usize::from(who)] += 1;
            let (sequence, payload) = (sequences[usize::from(who)], vec![*byte; usize::from(byte >> 3)]);
            let mut record = ((payload.len() as u32) << 8 | 1).to_le_bytes().to_vec();
            record.extend_from_slice(&sequence.to_le_bytes());
            record.extend_from_slice(&number.to_le_bytes());
            record.extend_from_slice(&[who; 16]);
            record.extend_from_slice(&payload);
            records.extend_from_slice(&crc32c::crc32c_append(seed, &record).to_le_bytes());
            records.extend_from_slice(&record);
            items.insert((1, [who; 16], sequence, number, payload));
        }
        let mut head = b"RwBt\0\0\0\0".to_vec();
        head.extend_from_slice(&(records.len() as u32).to_le_bytes());
        head.extend_from_slice(&(batch.len() as u32).to_le_bytes());
        head.extend_from_slice(&number.to_le_bytes());
        head.extend_from_slice(&SALT[8..]);
        head.extend_from_slice(&1_u32.to_le_bytes());
        head.extend_from_slice(&[0; 8]);
        head.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &records), &head[8..]);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&records);
    }
    bytes
}

/// Changes some bytes, and cuts.
fn edit(bytes: &mut Vec<u8>, edits: &[u8]) {
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        match bytes.get_mut(at) {
            Some(byte) => *byte ^= edit[2],
            None => bytes.resize((at % 9000).min(bytes.len()), 0),
        }
    }
}

fn start(disk: &Disk, accept_corruption: bool) -> Result<(Table, ringwire_store::Recovered), RecoveryError> {
    let mut table = Table::default();
    recover(disk, &mut table, &RecoverOptions { accept_corruption }).map(|recovered| (table, recovered))
}

/// Whatever the directory holds. `items`: all the records there can be, if that is known.
fn check(disk: &Disk, items: Option<&HashSet<Item>>) {
    let before = disk.with(|files| files.clone());
    if start(disk, false).is_err() {
        assert!(before == disk.with(|files| files.clone()), "a refusal changes nothing");
    }
    let Ok((table, _)) = start(disk, true) else { return };
    if let Some(items) = items {
        assert!(table.0.iter().all(|item| items.contains(item)), "a record was invented");
    }
    let Ok((again, recovered)) = start(disk, false) else { panic!("what recovery leaves is sound") };
    assert_eq!(again, table);
    assert!(recovered.report.damage.is_empty());
}

/// History over an index that may hold anything.
fn read(disk: &Disk, index: &[u8], items: &HashSet<Item>) {
    let Ok((_, recovered)) = start(disk, false) else { return };
    let Some(index_of_shard) = recovered.indexes(1, |_| 0).pop() else { return };
    if disk.with(|files| files.contains_key(INDEX)) {
        disk.with(|files| files.insert(INDEX.to_owned(), index.to_vec()));
    }
    let mut history =
        History::new(HistoryConfig { cache_bytes: 0, ..HistoryConfig::default() }, &index_of_shard);
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    for who in 0..4 {
        let conversation = [who; 16];
        for (direction, from) in [(Direction::Forward, 0), (Direction::Backward, u64::MAX)] {
            let query = Query { conversation, from, direction, limit: 100, bytes_max: usize::MAX };
            history.fetch(&index_of_shard, 0, query).expect("nothing else waits");
        }
    }
    while let Some(op) = history.poll() {
        match op {
            HistoryOp::Open { file, name } => {
                let there = disk.open(&name).map(|_| ());
                names.insert(file, name);
                history.on_opened(file, there);
            }
            HistoryOp::Read { file, offset, bytes, tag } => {
                assert!(bytes < 8 << 20, "reads are bounded");
                let result = disk.open(&names[&file]).and_then(|file| {
                    let mut data = vec![0; bytes as usize];
                    let read = file.read_at(offset, &mut data)?;
                    Ok(Bytes::from(data).slice(..read))
                });
                history.on_read(tag, result);
            }
            HistoryOp::Close { .. } => {}
            HistoryOp::Rebuild(rebuild) => history.on_rebuilt(rebuild.segment(), rebuild.run(disk)),
        }
        while let Some((_, result)) = history.take_done() {
            for entry in result.into_iter().flat_map(|page| page.entries) {
                let found = items.iter().any(|(_, _, sequence, time_ms, payload)| {
                    (*sequence, *time_ms) == (entry.sequence, entry.time_ms)
                        && payload[..] == entry.payload[..]
                });
                assert!(found && entry.kind == RecordKind(1), "an entry was invented");
            }
        }
    }
    assert_eq!(history.pending(), 0, "every request is answered");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let disk = Disk::default();
    let add = |name: &str, bytes: &[u8]| disk.with(|files| files.insert(name.to_owned(), bytes.to_vec()));
    let (first, second) = data.split_at(data.len() / 2);
    let mut items = HashSet::new();
    match mode % 5 {
        0 => {
            add(SEGMENT, data);
            check(&disk, None);
        }
        1 => {
            add(SEGMENT, &[&header(), data].concat());
            check(&disk, None);
        }
        2 => {
            add(SEGMENT, first);
            add(INDEX, second);
            add(CHECKPOINT, first);
            check(&disk, None);
        }
        3 => {
            let mut bytes = build(first, &mut items);
            edit(&mut bytes, second);
            add(SEGMENT, &bytes);
            check(&disk, Some(&items));
        }
        _ => {
            let bytes = build(first, &mut items);
            add(SEGMENT, &bytes);
            // The real index, edited: most of what it holds stays believable.
            let _ = start(&disk, false);
            let mut index = disk.with(|files| files.get(INDEX).cloned()).unwrap_or_default();
            edit(&mut index, second);
            read(&disk, &index, &items);
        }
    }
});
