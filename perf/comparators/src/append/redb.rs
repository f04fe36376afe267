//! redb: one write transaction with its default durability, which waits for the disk.

use redb::{Database, TableDefinition};

use super::{CACHE_BYTES, text};
use crate::work::{Work, measure};

const MESSAGES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("messages");

pub(super) fn run(work: &Work) -> Result<String, String> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES as usize);
    let store = builder.create(work.folder.join("store.redb")).map_err(text)?;
    measure(work, |traffic, count| {
        let transaction = store.begin_write().map_err(text)?;
        {
            let mut messages = transaction.open_table(MESSAGES).map_err(text)?;
            for _ in 0..count {
                let item = traffic.record();
                messages.insert(&item.key()[..], item.payload).map_err(text)?;
            }
        }
        transaction.commit().map_err(text)
    })
}
