//! Appending to other stores: a batch of records is one transaction or write batch, and durable before the
//! next one, as far as the store knows how to.
//!
//! All have a cache of 256 MiB and otherwise their defaults.

mod fjall;
mod redb;
mod sled;

use crate::work::Work;

/// Cache of each store, bytes.
const CACHE_BYTES: u64 = 256 << 20;

/// Appends with the engine of a name; the line to print.
pub(crate) fn run(engine: &str, work: &Work) -> Result<String, String> {
    match engine {
        "sled" => sled::run(work),
        "fjall" => fjall::run(work),
        "redb" => redb::run(work),
        other => Err(format!("there is no engine {other}; there are sled, fjall and redb")),
    }
}

/// For `map_err`.
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
