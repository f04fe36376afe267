//! Our journal as a shard uses it: its operations carried out by a driver, and the next batch encoded while the
//! disk works. So each batch is on the disk before the next but one is begun; the last batch of a run, one of
//! thousands, is counted when the disk has begun with it.

use std::sync::Arc;

use ringwire::store::Log;
use ringwire_driver::{Completion, Config as DriverConfig, Driver as _, Kind, Operations};
use ringwire_protocol::ConversationId;
use ringwire_store::{Config, DiskFiles, EntryNumber, Index, Journal, Salt};

use super::work::{Traffic, Work, measure};

pub(super) fn run(work: &Work, kind: Kind) -> Result<String, String> {
    let files = Arc::new(DiskFiles::open(&work.folder).map_err(|error| error.to_string())?);
    let journal = Journal::new(Config::default(), 1, 0, Index::default(), Box::new(|| Salt([7; 16])));
    let config = DriverConfig { connections_max: 1, ..DriverConfig::default() };
    let opened = ringwire_driver::open(kind, config).map_err(|error| error.to_string())?;
    let mut shard =
        Shard { driver: opened.driver, operations: Operations::default(), log: Log::new(journal, files) };
    // The first segment is there before the time begins.
    shard.append(&mut Traffic::new(work), 1)?;
    shard.wait_for(shard.log.appended())?;
    measure(work, |traffic, batch| shard.append(traffic, batch))
}

struct Shard {
    driver: ringwire_driver::AnyDriver,
    operations: Operations,
    log: Log,
}

impl Shard {
    /// A turn: appends a batch; returns when the disk has the one before and works on this one.
    fn append(&mut self, traffic: &mut Traffic, batch: usize) -> Result<(), String> {
        let before = self.log.appended();
        for _ in 0..batch {
            let item = traffic.record();
            let conversation = ConversationId::from_bytes(item.conversation);
            self.log
                .append(conversation, item.sequence, 1_700_000_000_000, item.payload)
                .map_err(|error| error.to_string())?;
        }
        self.wait_for(before)?;
        self.submit()
    }

    fn submit(&mut self) -> Result<(), String> {
        self.log.poll(&mut self.operations);
        self.driver.submit(&mut self.operations);
        self.log.failure().map_or(Ok(()), |why| Err(why.to_owned()))
    }

    fn wait_for(&mut self, entry: EntryNumber) -> Result<(), String> {
        while self.log.synced() < entry {
            self.submit()?;
            let log = &mut self.log;
            let waited = self.driver.wait(None, &mut || true, &mut |completion| match completion {
                Completion::FileReady { file, result } => drop(log.on_file_ready(file, result)),
                Completion::Synced { file, result } => drop(log.on_synced(file, result)),
                Completion::JobDone { tag, result } => drop(log.on_job(tag, result)),
                _ => {}
            });
            waited.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
