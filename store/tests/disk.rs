//! The whole store on a real disk: append, kill, recover.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops by panicking, and has files of its own"
)]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use ringwire_store::{
    Config, Conversation, DiskFiles, EntryNumber, Files, Fold, FoldError, Index, Journal, JournalOp, Record,
    RecordKind, RecoverOptions, Salt, recover,
};

/// A fold that keeps everything.
#[derive(Default)]
struct Table(BTreeMap<Conversation, Vec<(u64, Vec<u8>)>>);

impl Fold for Table {
    fn restore(&mut self, _: &Conversation, _: &[u8]) -> Result<(), FoldError> {
        Err(FoldError("no checkpoint was made".to_owned()))
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        self.0.entry(record.conversation).or_default().push((record.sequence, record.payload.to_vec()));
        Ok(())
    }
}

/// Carries a journal's operations out at once.
fn carry_out(files: &DiskFiles, journal: &mut Journal) -> EntryNumber {
    while let Some(op) = journal.poll() {
        match op {
            JournalOp::Create { segment, bytes } => {
                let path = files.path(&segment.segment_name());
                let file = OpenOptions::new().write(true).create_new(true).open(path).unwrap();
                file.set_len(bytes).unwrap();
                journal.on_created(segment, Ok(()));
            }
            JournalOp::Write { segment, offset, data } => {
                let file = OpenOptions::new().write(true).open(files.path(&segment.segment_name())).unwrap();
                file.write_all_at(&data, offset).unwrap();
                file.sync_data().unwrap();
                drop(data);
                journal.on_written(segment, Ok(()));
            }
            JournalOp::Seal(seal) => {
                let segment = seal.segment();
                let result = seal.run(files);
                journal.on_sealed(segment, result);
            }
        }
    }
    journal.positions().synced
}

#[test]
fn what_was_synced_is_replayed_after_a_kill_with_another_number_of_shards() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { segment_bytes: 8192, ..Config::default() };
    let mut expected: BTreeMap<Conversation, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    for (start, shards) in [1, 3, 2, 4].into_iter().enumerate() {
        let files = DiskFiles::open(folder.path()).unwrap();
        let mut table = Table::default();
        let recovered = recover(&files, &mut table, &RecoverOptions::default()).unwrap();
        assert_eq!(recovered.generation as usize, start + 1);
        assert_eq!(table.0, expected);
        let generation = recovered.generation;
        let indexes: Vec<Index> = recovered.indexes(shards, |conversation| conversation[0] as usize % shards);
        let salts = |shard| Box::new(move || Salt([shard as u8 + 1; 16]));
        let mut journals: Vec<_> = (0..shards)
            .zip(indexes)
            .map(|(shard, index)| Journal::new(config, generation, shard as u16, index, salts(shard)))
            .collect();
        for turn in 0..100_u32 {
            for conversation in 0..10_u8 {
                let journal = &mut journals[conversation as usize % shards];
                let known = expected.entry([conversation; 16]).or_default();
                let payload = format!("{start} {turn} {conversation}").into_bytes();
                let sequence = known.len() as u64 + 1;
                let record = Record {
                    kind: RecordKind(1),
                    conversation: [conversation; 16],
                    sequence,
                    time_ms: 7,
                    payload: &payload,
                };
                journal.append(&record).unwrap();
                known.push((sequence, payload));
            }
            for journal in &mut journals {
                assert_eq!(carry_out(&files, journal), journal.positions().appended);
            }
        }
    }
}

/// Not a test of its own: the writer that the next test kills. Prints each sequence once it is durable.
#[test]
fn writer() {
    let Some(folder) = std::env::var_os("RINGWIRE_STORE_WRITE_TO") else { return };
    let files = DiskFiles::open(folder.as_ref()).unwrap();
    let mut table = Table::default();
    let recovered = recover(&files, &mut table, &RecoverOptions::default()).unwrap();
    let generation = recovered.generation;
    let index = recovered.indexes(1, |_| 0).remove(0);
    let config = Config { segment_bytes: 64 << 10, ..Config::default() };
    let mut journal = Journal::new(config, generation, 0, index, Box::new(|| Salt([9; 16])));
    let mut next = table.0.get(&[1; 16]).map_or(0, Vec::len) as u64;
    let mut out = std::io::stdout();
    loop {
        for _ in 0..=next % 5 {
            next += 1;
            let payload = vec![next as u8; 400];
            let (kind, conversation) = (RecordKind(1), [1; 16]);
            journal
                .append(&Record { kind, conversation, sequence: next, time_ms: 0, payload: &payload })
                .unwrap();
        }
        carry_out(&files, &mut journal);
        assert_eq!(journal.positions().synced, journal.positions().appended);
        writeln!(out, "durable {next}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_called_durable() {
    let folder = tempfile::tempdir().unwrap();
    let mut durable = 0;
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["writer", "--exact", "--nocapture"])
            .env("RINGWIRE_STORE_WRITE_TO", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut heard, enough) = (0, 1 + round * 7 % 40);
        for line in lines.map_while(Result::ok) {
            if let Some(sequence) = line.strip_prefix("durable ") {
                durable = sequence.parse().unwrap();
                heard += 1;
            }
            if heard == enough {
                // In the middle of whatever it does now; what it still says is heard too.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(heard >= enough, "the writer ended by itself");
        let files = DiskFiles::open(folder.path()).unwrap();
        let mut table = Table::default();
        recover(&files, &mut table, &RecoverOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        let items = &table.0[&[1; 16]];
        assert!(items.len() as u64 >= durable, "{} of {durable}", items.len());
        assert!(items.iter().zip(1..).all(|((sequence, payload), expected)| {
            *sequence == expected && *payload == vec![expected as u8; 400]
        }));
    }
}
