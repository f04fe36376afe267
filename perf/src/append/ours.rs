//! Our journal, with its operations carried out at once, on this thread.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use ringwire_store::{
    Config, DiskFiles, Files as _, Index, Journal, JournalOp, Record, RecordKind, Salt, SegmentId,
};

use super::preallocate;
use super::work::{Item, Work, measure};

pub(super) fn run(work: &Work) -> Result<String, String> {
    let files = Arc::new(DiskFiles::open(&work.folder).map_err(|error| error.to_string())?);
    let mut driver = Driver { files, open: HashMap::new() };
    let mut journal = Journal::new(Config::default(), 1, 0, Index::default(), Box::new(|| Salt([7; 16])));
    driver.carry_out(&mut journal).map_err(|error| error.to_string())?;
    measure(work, |traffic, batch| {
        for _ in 0..batch {
            journal.append(&record(traffic.record())).map_err(|error| error.to_string())?;
        }
        driver.carry_out(&mut journal).map_err(|error| error.to_string())
    })
}

fn record(item: Item<'_>) -> Record<'_> {
    Record {
        kind: RecordKind(1),
        conversation: item.conversation,
        sequence: item.sequence,
        time_ms: 1_700_000_000_000,
        payload: item.payload,
    }
}

struct Driver {
    files: Arc<DiskFiles>,
    open: HashMap<SegmentId, File>,
}

impl Driver {
    /// Everything the journal asks for, until it asks for nothing more.
    fn carry_out(&mut self, journal: &mut Journal) -> io::Result<()> {
        while let Some(op) = journal.poll() {
            match op {
                JournalOp::Create { segment, bytes } => {
                    let file = preallocate(&self.files.path(&segment.segment_name()), bytes)?;
                    self.open.insert(segment, file);
                    journal.on_created(segment, Ok(()));
                }
                JournalOp::Write { segment, offset, data } => {
                    let file = &self.open[&segment];
                    file.write_all_at(&data, offset)?;
                    file.sync_data()?;
                    drop(data);
                    journal.on_written(segment, Ok(()));
                }
                JournalOp::Seal(seal) => {
                    let segment = seal.segment();
                    self.open.remove(&segment);
                    let result = seal.run(&*self.files);
                    journal.on_sealed(segment, result);
                }
            }
        }
        Ok(())
    }
}
