//! Processors: who runs where, and what a process has used.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::fault::{Fault, Result};

/// Which processors serve and which one generates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The server's.
    pub server: Vec<usize>,
    /// The generator's; one of the server's where there are no more.
    pub load: usize,
}

impl Split {
    /// The last processor of the process's set for the generator, the first for a server of one shard (or of
    /// its default number); a server of more shards gets as many, counted from the first.
    ///
    /// # Errors
    /// Where there is only one, or fewer than shards: each would measure the other.
    pub fn of(shards: u16) -> Result<Self> {
        Self::among(Self::all(), shards)
    }

    /// All that this process could use at first; from the first measurement on it is bound to the generator's.
    #[must_use]
    pub fn all() -> Vec<usize> {
        static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
        ALLOWED.get_or_init(allowed_now).clone()
    }

    fn among(allowed: Vec<usize>, shards: u16) -> Result<Self> {
        let needed = usize::from(shards.max(1));
        match allowed.last() {
            Some(last) if allowed.len() >= needed.max(2) => {
                Ok(Split { load: *last, server: allowed.into_iter().take(needed).collect() })
            }
            _ => Err(Fault::Machine(format!(
                "{needed} processors for the server and one for the generator are needed, and this process may \
                 use {}",
                allowed.len()
            ))),
        }
    }
}

/// What this process may use; nothing where the kernel does not say.
fn allowed_now() -> Vec<usize> {
    sched_getaffinity(None)
        .map(|set| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
        .unwrap_or_default()
}

/// Binds the calling thread, and what it starts from now on, to one processor.
///
/// # Errors
/// The kernel refuses.
pub fn bind(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
        .map_err(|error| Fault::system(format!("binding to processor {cpu}"))(error.into()))
}

/// Processor time that all threads of a process have used, nanoseconds.
///
/// # Errors
/// Where the process is gone.
pub fn used_ns(pid: u32) -> Result<u64> {
    let gone = |error| Fault::Server(format!("its /proc/{pid}/task cannot be read: {error}"));
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).map_err(gone)? {
        let path = task.map_err(gone)?.path().join("schedstat");
        // A thread may end between the listing and the reading.
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        total += text.split_ascii_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(total)
}

/// The children of a process, and theirs: servers with worker processes.
#[must_use]
pub fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        at += 1;
        let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    family
}

/// Busy time of one processor since the start, nanoseconds, all causes: how much of it others took.
#[must_use]
pub fn busy_ns(cpu: usize) -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{cpu}");
    let line = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(&name));
    let ticks: Vec<u64> = line
        .map(|line| line.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    // user nice system idle iowait irq softirq steal; a tick is 10 ms in what /proc shows.
    let idle = ticks.get(3).copied().unwrap_or(0) + ticks.get(4).copied().unwrap_or(0);
    let all: u64 = ticks.iter().take(8).sum();
    (all - idle.min(all)) * 10_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_shares_a_processor_only_where_shards_take_all() {
        let split = |shards| Split::among(vec![2, 5, 7], shards);
        assert_eq!(split(1).expect("enough"), Split { server: vec![2], load: 7 });
        assert_eq!(split(2).expect("enough"), Split { server: vec![2, 5], load: 7 });
        assert_eq!(split(3).expect("enough"), Split { server: vec![2, 5, 7], load: 7 });
        assert!(split(4).is_err() && Split::among(vec![0], 1).is_err());
    }

    #[test]
    fn used_time_grows_with_work() {
        let pid = std::process::id();
        let before = used_ns(pid).expect("it runs");
        let mut state = 1u64;
        while used_ns(pid).expect("it runs") < before + 5_000_000 {
            for _ in 0..100_000 {
                state = std::hint::black_box(state.wrapping_mul(3));
            }
        }
        assert!(family(pid).contains(&pid));
    }
}
