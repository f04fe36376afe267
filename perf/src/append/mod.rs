//! Appending without a server: records in batches, each batch on the disk before the next one.
//!
//! Everybody does [`work`] in a process of their own: the bare loop (a write and an fdatasync of the same
//! bytes), our journal with everything done on one thread, the same as a shard uses it (on a driver, which works
//! while the next batch is encoded), and the stores in `perf/comparators`.
//!
//! Deliberately absent: sockets; what is compared is the store alone.

mod bare;
mod ours;
mod shard;
pub mod work;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use ringwire_driver::Kind;
use rustix::fs::FallocateFlags;
use serde::Deserialize;

use crate::fault::{Fault, Result};
use work::Work;

/// Names of those who append without another crate.
pub const ENGINES: [&str; 4] = ["bare", "ringwire", "uring", "epoll"];

/// What a contender says of its work.
#[derive(Debug, Deserialize)]
pub struct Line {
    /// Records.
    pub appends: u64,
    /// How long it took.
    pub seconds: f64,
    /// Processor time, µs in all.
    pub cpu_us: f64,
    /// Of a batch, µs by percentile.
    pub latency_us: BTreeMap<String, f64>,
}

/// Appends and prints the line.
///
/// # Errors
/// The disk fails, or there is no such engine.
pub fn run(engine: &str, work: &Work) -> Result<()> {
    let line = match engine {
        "bare" => bare::run(work),
        "ringwire" => ours::run(work),
        "uring" => shard::run(work, Kind::Uring),
        "epoll" => shard::run(work, Kind::Epoll),
        other => {
            return Err(Fault::Usage(format!(
                "there is no engine {other}; there are {}",
                ENGINES.join(", ")
            )));
        }
    };
    println!("{}", line.map_err(Fault::Server)?);
    Ok(())
}

/// Checks that a folder is on something that forgets nothing at a power failure.
///
/// # Errors
/// It is in memory: a figure of durable writes there would be of nothing.
pub fn want_disk(folder: &Path) -> Result<()> {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    let kind = rustix::fs::statfs(folder)
        .map_err(|error| Fault::system(format!("looking at {}", folder.display()))(error.into()))?
        .f_type;
    if [TMPFS, RAMFS].contains(&kind) {
        return Err(Fault::Machine(format!(
            "{} is in memory, so nothing written there is durable: set TMPDIR to a folder on a disk",
            folder.display()
        )));
    }
    Ok(())
}

/// A new file of this size, with its blocks.
fn preallocate(path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_engine_appends_for_as_long_as_asked() {
        let epoll = |work: &Work| shard::run(work, Kind::Epoll);
        for engine in [bare::run, ours::run, epoll] {
            let folder = tempfile::tempdir().expect("a folder");
            let work = Work {
                folder: folder.path().to_owned(),
                batch: 3,
                body_bytes: 100,
                conversations: 7,
                time: Duration::from_millis(50),
            };
            let line: Line = serde_json::from_str(&engine(&work).expect("it runs")).expect("valid");
            assert!(line.appends >= 3 && line.appends.is_multiple_of(3), "{line:?}");
            assert!(line.seconds >= 0.05 && line.latency_us["p50"] > 0.0, "{line:?}");
        }
    }

    #[test]
    fn work_survives_the_command_line() {
        let work = Work {
            folder: "a b".into(),
            batch: 2,
            body_bytes: 3,
            conversations: 4,
            time: Duration::from_millis(5),
        };
        let read = Work::read(work.arguments().into_iter()).expect("valid");
        assert_eq!(read.arguments(), work.arguments());
        assert!(Work::read(["a", "1", "2", "3"].map(str::to_owned).into_iter()).is_err());
    }

    #[test]
    fn a_folder_in_memory_is_refused() {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            let error = want_disk(memory).expect_err("it is a tmpfs").to_string();
            assert!(error.contains("TMPDIR"), "{error}");
        }
    }
}
