//! sled: a write batch, then a flush.
//!
//! Its flush calls `sync_file_range`, which does not empty the disk's cache: less is promised than by the others.

use super::{CACHE_BYTES, text};
use crate::work::{Work, measure};

pub(super) fn run(work: &Work) -> Result<String, String> {
    let config = sled::Config::new().path(&work.folder).cache_capacity(CACHE_BYTES);
    // Nothing is to be flushed but what is waited for.
    let store = config.flush_every_ms(None).open().map_err(text)?;
    measure(work, |traffic, count| {
        let mut batch = sled::Batch::default();
        for _ in 0..count {
            let item = traffic.record();
            batch.insert(&item.key()[..], item.payload);
        }
        store.apply_batch(batch).map_err(text)?;
        store.flush().map(drop).map_err(text)
    })
}
