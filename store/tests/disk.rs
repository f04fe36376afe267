//! The whole store on a real disk: append, kill, recover.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops by panicking, and has files of its own"
)]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

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
