//! What the store costs: encoding records, opening what was written, reading pages of it.
//!
//! ```text
//! cargo run --release -p ringwire-store --example cost -- DIR encode
//! cargo run --release -p ringwire-store --example cost -- DIR open MESSAGES
//! cargo run --release -p ringwire-store --example cost -- DIR read MESSAGES
//! ```
//!
//! One line per cell. CPU is what the kernel says this thread ran (`/proc/thread-self/schedstat`). DIR must not be
//! a RAM disk. Appending beside a bare write and fdatasync loop and other stores: `cargo xtask bench run append`.

#![allow(clippy::disallowed_methods, reason = "it measures real files and real time")]

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use ringwire_store::{
    CheckpointConfig, Checkpointer, Config, Conversation, Direction, DiskFiles, Files, Fold, FoldError,
    History, HistoryConfig, HistoryOp, Index, Journal, JournalOp, Query, Record, RecordKind, RecoverOptions,
    Salt, SegmentId, StateFold, When, recover,
};

const PAYLOAD_BYTES: usize = 256;
const CONVERSATIONS: u64 = 10_000;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("DIR"));
    let what = arguments.next().expect("encode, open or read");
    let number = arguments.next().map(|number| number.parse::<u64>().expect("a number"));
    match what.as_str() {
        "encode" => encode(),
        "open" => open(&folder, number.unwrap_or(1_000_000))?,
        "read" => read(&folder, number.unwrap_or(1_000_000))?,
        _ => panic!("encode, open or read"),
    }
    Ok(())
}

/// CPU time of this thread, microseconds.
fn cpu_us() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds") / 1000.0
}

/// Anonymous memory of this process, MB.
fn memory_mb() -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find(|line| line.starts_with("RssAnon")).expect("RssAnon");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).expect("kB") / 1024.0
}

/// Traffic over conversations, a few of them busy: the smaller of three draws.
struct Traffic {
    random: u64,
    sequences: Vec<u64>,
    payload: Vec<u8>,
}

impl Traffic {
    fn new() -> Self {
        let payload = (0..PAYLOAD_BYTES).map(|at| at as u8).collect();
        Self { random: 88_172_645_463_325_252, sequences: vec![0; CONVERSATIONS as usize], payload }
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn record(&mut self) -> Record<'_> {
        let number = (0..3).map(|_| self.draw() % CONVERSATIONS).min().unwrap_or(0);
        let sequence = &mut self.sequences[number as usize];
        *sequence += 1;
        Record {
            kind: RecordKind(1),
            conversation: conversation(number),
            sequence: *sequence,
            time_ms: 1_700_000_000_000,
            payload: &self.payload,
        }
    }
}

fn conversation(number: u64) -> Conversation {
    u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}

/// A driver that does everything at once, on this thread.
struct Driver {
    files: Arc<DiskFiles>,
    open: HashMap<SegmentId, File>,
}

impl Driver {
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

fn preallocate(path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let done = Command::new("fallocate").arg("-l").arg(bytes.to_string()).arg(path).status()?;
    assert!(done.success(), "fallocate works here");
    file.sync_all()?;
    Ok(file)
}

/// CPU per append with a disk that takes no time.
fn encode() {
    for batch in [1, 16, 128, 1024] {
        let salts = Box::new(|| Salt([7; 16]));
        let mut journal = Journal::new(Config::default(), 1, 0, Index::default(), salts);
        let mut traffic = Traffic::new();
        let count = 2_000_000;
        let (mut bytes, begun) = (0, cpu_us());
        for at in 0..count {
            journal.append(&traffic.record()).expect("room");
            if at % batch == batch - 1 {
                while let Some(op) = journal.poll() {
                    match op {
                        JournalOp::Create { segment, .. } => journal.on_created(segment, Ok(())),
                        JournalOp::Write { segment, data, .. } => {
                            bytes += data.len();
                            drop(data);
                            journal.on_written(segment, Ok(()));
                        }
                        JournalOp::Seal(seal) => {
                            let segment = seal.segment();
                            drop(seal);
                            journal.on_sealed(segment, Ok(()));
                        }
                    }
                }
            }
        }
        let us = (cpu_us() - begun) / count as f64;
        let (traffic_us, overhead) = (idle_traffic(count), bytes as f64 / (count * PAYLOAD_BYTES) as f64);
        println!("encode batch {batch:5}: {:.3} us per append, bytes x{overhead:.2}", us - traffic_us);
    }
}

/// What making the records costs.
fn idle_traffic(count: usize) -> f64 {
    let (mut traffic, begun) = (Traffic::new(), cpu_us());
    for _ in 0..count {
        std::hint::black_box(traffic.record());
    }
    (cpu_us() - begun) / count as f64
}

/// A fold as small as a server's: heads and times.
#[derive(Default)]
struct Heads(HashMap<Conversation, (u64, u64)>);

impl Fold for Heads {
    fn restore(&mut self, conversation: &Conversation, state: &[u8]) -> Result<(), FoldError> {
        self.0.insert(*conversation, HeadFold.decode(conversation, state)?);
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        self.0.insert(record.conversation, (record.sequence, record.time_ms));
        Ok(())
    }
}

struct HeadFold;

impl StateFold for HeadFold {
    type State = (u64, u64);

    fn decode(&self, _: &Conversation, bytes: &[u8]) -> Result<Self::State, FoldError> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        number(0).zip(number(8)).ok_or_else(|| FoldError("too short".to_owned()))
    }

    fn apply(&self, state: &mut Option<Self::State>, record: &Record<'_>) -> Result<(), FoldError> {
        *state = Some((record.sequence, record.time_ms));
        Ok(())
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.0.to_le_bytes());
        // As large as a state with some members.
        out.extend_from_slice(&state.1.to_le_bytes());
        out.extend_from_slice(&[0; 200]);
    }
}

fn open(folder: &Path, messages: u64) -> io::Result<()> {
    let _ = fs::remove_dir_all(folder);
    let files = Arc::new(DiskFiles::open(folder).map_err(io::Error::other)?);
    let checkpointer = Checkpointer::new(files.clone(), HeadFold, CheckpointConfig::default());
    let mut driver = Driver { files: files.clone(), open: HashMap::new() };
    let mut journal = Journal::new(Config::default(), 1, 0, Index::default(), Box::new(|| Salt([7; 16])));
    let mut traffic = Traffic::new();
    let (begun, mut merging) = (Instant::now(), 0.0);
    for at in 0..messages {
        journal.append(&traffic.record()).map_err(io::Error::other)?;
        if at % 1024 == 0 {
            driver.carry_out(&mut journal)?;
            let merge = Instant::now();
            if at % (1 << 18) == 0 && checkpointer.run(When::Worthwhile)?.is_some() {
                merging += merge.elapsed().as_secs_f64();
            }
        }
    }
    driver.carry_out(&mut journal)?;
    println!(
        "{messages} messages written in {:.1} s, {merging:.2} s of it merging",
        begun.elapsed().as_secs_f64()
    );
    println!("index in memory: {:.1} MB", journal.index().memory_bytes() as f64 / 1e6);
    // As a kill leaves it.
    for cold in [false, true] {
        if cold {
            drop_cache(folder);
        }
        time_open(&files, &format!("after a kill, page cache {}", if cold { "cold" } else { "warm" }))?;
    }
    // And without any checkpoint: everything is replayed.
    let checkpoints = files.list("checkpoint")?;
    for entry in &checkpoints {
        fs::rename(folder.join("checkpoint").join(&entry.name), folder.join(&entry.name))?;
    }
    time_open(&files, "without a checkpoint")?;
    for entry in &checkpoints {
        fs::rename(folder.join(&entry.name), folder.join("checkpoint").join(&entry.name))?;
    }
    let merge = Instant::now();
    while let Some(report) = checkpointer.run(When::Now)? {
        println!("{report:?}");
    }
    println!("checkpoint at the stop: {:.2} s", merge.elapsed().as_secs_f64());
    for cold in [false, true] {
        if cold {
            drop_cache(folder);
        }
        time_open(&files, &format!("after a clean stop, page cache {}", if cold { "cold" } else { "warm" }))?;
    }
    drop(driver);
    fs::remove_dir_all(folder)
}

fn time_open(files: &Arc<DiskFiles>, what: &str) -> io::Result<()> {
    let before = memory_mb();
    let (begun, cpu) = (Instant::now(), cpu_us());
    let mut heads = Heads::default();
    let recovered = recover(&**files, &mut heads, &RecoverOptions::default()).map_err(io::Error::other)?;
    let (taken, cpu) = (begun.elapsed().as_secs_f64(), (cpu_us() - cpu) / 1e6);
    let report = recovered.report.clone();
    let indexes = recovered.indexes(1, |_| 0);
    println!(
        "{what}: open {taken:.3} s ({cpu:.3} s CPU), {:.1} MB more memory; {} of {} segments and {} records replayed, \
         {} conversations restored",
        memory_mb() - before,
        report.replayed_segments,
        report.segments,
        report.replayed_records,
        report.restored
    );
    drop((heads, indexes));
    Ok(())
}

/// Pages of fifty from a store at rest, one after the other; reads are done at once, from the page cache.
fn read(folder: &Path, messages: u64) -> io::Result<()> {
    let _ = fs::remove_dir_all(folder);
    let files = Arc::new(DiskFiles::open(folder).map_err(io::Error::other)?);
    let mut driver = Driver { files: files.clone(), open: HashMap::new() };
    let mut journal = Journal::new(Config::default(), 1, 0, Index::default(), Box::new(|| Salt([7; 16])));
    let mut traffic = Traffic::new();
    for at in 0..messages {
        journal.append(&traffic.record()).map_err(io::Error::other)?;
        if at % 1024 == 0 {
            driver.carry_out(&mut journal)?;
        }
    }
    driver.carry_out(&mut journal)?;
    let mut reader = Reader {
        history: History::new(HistoryConfig::default(), journal.index()),
        files,
        open: HashMap::new(),
        operations: 0,
    };
    for what in ["latest", "after"] {
        for pass in 0..2 {
            let mut times = Vec::new();
            reader.operations = 0;
            let (mut entries, cpu) = (0, cpu_us());
            for _ in 0..20_000 {
                let number = traffic.draw() % CONVERSATIONS;
                let head = traffic.sequences[number as usize];
                let (direction, from) = match what {
                    "latest" => (Direction::Backward, u64::MAX),
                    _ => (Direction::Forward, 1 + traffic.draw() % head.max(1)),
                };
                let query = Query {
                    conversation: conversation(number),
                    from,
                    direction,
                    limit: 50,
                    bytes_max: 1 << 20,
                };
                let begun = Instant::now();
                entries += reader.fetch(journal.index(), query)?;
                times.push(begun.elapsed().as_nanos());
            }
            times.sort_unstable();
            println!(
                "{what} 50, pass {pass}: {:.1} us CPU; p50 {:.1} us, p99 {:.1} us, max {:.1} us; {:.1} entries and {:.1} \
                 operations each; {:.1} MB of index parts cached",
                (cpu_us() - cpu) / times.len() as f64,
                times[times.len() / 2] as f64 / 1000.0,
                times[times.len() * 99 / 100] as f64 / 1000.0,
                times[times.len() - 1] as f64 / 1000.0,
                entries as f64 / times.len() as f64,
                reader.operations as f64 / times.len() as f64,
                reader.history.cache_bytes() as f64 / 1e6
            );
        }
    }
    drop((driver, reader));
    fs::remove_dir_all(folder)
}

struct Reader {
    history: History,
    files: Arc<DiskFiles>,
    open: HashMap<u32, File>,
    operations: u64,
}

impl Reader {
    /// How many entries the page has.
    fn fetch(&mut self, index: &Index, query: Query) -> io::Result<usize> {
        self.history.fetch(index, 0, query).map_err(io::Error::other)?;
        loop {
            if let Some((_, result)) = self.history.take_done() {
                return result.map(|page| page.entries.len()).map_err(io::Error::other);
            }
            self.operations += 1;
            match self.history.poll().expect("something to do") {
                HistoryOp::Open { file, name } => {
                    self.open.insert(file, File::open(self.files.path(&name))?);
                    self.history.on_opened(file, Ok(()));
                }
                HistoryOp::Read { file, offset, bytes, tag } => {
                    let mut data = vec![0; bytes as usize];
                    let read = self.open[&file].read_at(&mut data, offset)?;
                    data.truncate(read);
                    self.history.on_read(tag, Ok(data.into()));
                }
                HistoryOp::Close { file } => drop(self.open.remove(&file)),
                HistoryOp::Rebuild(rebuild) => panic!("{rebuild:?} of a sound index"),
            }
        }
    }
}

/// Takes the folder's files out of the page cache, as far as the system lets us.
fn drop_cache(folder: &Path) {
    let _ = Command::new("sync").status();
    for sub in ["journal", "checkpoint"] {
        for entry in fs::read_dir(folder.join(sub)).into_iter().flatten().flatten() {
            let path = format!("if={}", entry.path().display());
            let _ = Command::new("dd").args([&path, "iflag=nocache", "count=0", "status=none"]).status();
        }
    }
}
