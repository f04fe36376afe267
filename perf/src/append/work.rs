//! The work of every contender that appends, and the line in which it says how that went.
//!
//! This file is also part of `perf/comparators`, which has no other code of this package: everybody appends
//! the same records in the same batches, and counts in the same way.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is to be appended.
#[derive(Clone, Debug)]
pub struct Work {
    /// An empty folder on a disk.
    pub folder: PathBuf,
    /// Records that are made durable together.
    pub batch: usize,
    /// Bytes of a record's payload.
    pub body_bytes: usize,
    /// Conversations that records are of.
    pub conversations: u64,
    /// How long.
    pub time: Duration,
}

impl Work {
    /// From the arguments in the order of [`Work::arguments`].
    ///
    /// # Errors
    /// One is missing or no number.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let folder = PathBuf::from(arguments.next().ok_or("a folder is missing")?);
        let mut number = |what: &str| -> Result<u64, String> {
            let text = arguments.next().ok_or_else(|| format!("{what} is missing"))?;
            text.parse().map_err(|error| format!("{what} \"{text}\": {error}"))
        };
        let work = Work {
            folder,
            batch: number("the batch")? as usize,
            body_bytes: number("the body")? as usize,
            conversations: number("the number of conversations")?,
            time: Duration::from_millis(number("the time")?),
        };
        if work.batch == 0 || work.conversations == 0 {
            return Err("batch and conversations are at least 1".to_owned());
        }
        Ok(work)
    }

    /// As arguments of a program.
    #[must_use]
    pub fn arguments(&self) -> [String; 5] {
        [
            self.folder.display().to_string(),
            self.batch.to_string(),
            self.body_bytes.to_string(),
            self.conversations.to_string(),
            self.time.as_millis().to_string(),
        ]
    }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Of which conversation.
    pub conversation: [u8; 16],
    /// Dense from 1 within it.
    pub sequence: u64,
    /// What it says.
    pub payload: &'a [u8],
}

impl Item<'_> {
    /// For stores of keys and values: in the order in which a conversation is read.
    #[must_use]
    pub fn key(&self) -> [u8; 24] {
        let mut key = [0; 24];
        key[..16].copy_from_slice(&self.conversation);
        key[16..].copy_from_slice(&self.sequence.to_be_bytes());
        key
    }
}

/// Records of conversations of which a few are busy: the smaller of three draws. The same in every run.
pub struct Traffic {
    random: u64,
    sequences: Vec<u64>,
    payload: Vec<u8>,
}

impl Traffic {
    /// From the beginning.
    #[must_use]
    pub fn new(work: &Work) -> Self {
        Self {
            random: 88_172_645_463_325_252,
            sequences: vec![0; work.conversations as usize],
            payload: (0..work.body_bytes).map(|at| at as u8).collect(),
        }
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// The next one.
    pub fn record(&mut self) -> Item<'_> {
        let count = self.sequences.len() as u64;
        let number = (0..3).map(|_| self.draw() % count).min().unwrap_or(0);
        let sequence = &mut self.sequences[number as usize];
        *sequence += 1;
        Item {
            conversation: u128::from(number)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                .to_be_bytes(),
            sequence: *sequence,
            payload: &self.payload,
        }
    }
}

/// Appends batches until the time is over; `append` returns when the disk has the batch. The line to print.
///
/// # Errors
/// Whatever `append` says.
pub fn measure(
    work: &Work,
    mut append: impl FnMut(&mut Traffic, usize) -> Result<(), String>,
) -> Result<String, String> {
    let mut traffic = Traffic::new(work);
    let mut times: Vec<Duration> = Vec::new();
    let (begun, cpu) = (Instant::now(), cpu_us()?);
    let mut before = begun;
    while before - begun < work.time {
        append(&mut traffic, work.batch)?;
        let now = Instant::now();
        times.push(now - before);
        before = now;
    }
    let (cpu, seconds) = (cpu_us()? - cpu, (before - begun).as_secs_f64());
    times.sort_unstable();
    let count = times.len() * work.batch;
    let quantile = |share: f64| {
        let at = ((times.len() - 1) as f64 * share).round() as usize;
        times[at].as_secs_f64() * 1e6
    };
    Ok(format!(
        "{{\"appends\":{count},\"seconds\":{seconds},\"cpu_us\":{cpu},\"latency_us\":{{\"p50\":{},\"p90\":{},\"p99\":{},\
         \"p99.9\":{},\"max\":{}}}}}",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0)
    ))
}

/// Processor time of all threads of this process so far, those that have ended too; microseconds, in steps of
/// 10 ms.
fn cpu_us() -> Result<f64, String> {
    let text =
        std::fs::read_to_string("/proc/self/stat").map_err(|error| format!("/proc/self/stat: {error}"))?;
    // The name in parentheses may have spaces; what follows it starts with field 3.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) * 10_000.0),
        _ => Err("/proc/self/stat has no times".to_owned()),
    }
}
