//! fjall: a write batch that is committed with fdatasync.

use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use super::{CACHE_BYTES, text};
use crate::work::{Work, measure};

pub(super) fn run(work: &Work) -> Result<String, String> {
    let store = Database::builder(&work.folder).cache_size(CACHE_BYTES).open().map_err(text)?;
    let messages = store.keyspace("messages", KeyspaceCreateOptions::default).map_err(text)?;
    measure(work, |traffic, count| {
        let mut batch = store.batch().durability(Some(PersistMode::SyncData));
        for _ in 0..count {
            let item = traffic.record();
            batch.insert(&messages, item.key(), item.payload);
        }
        batch.commit().map_err(text)
    })
}
