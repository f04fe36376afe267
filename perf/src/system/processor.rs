//! Processors: who runs where, and what a process has used.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::fault::{Fault, Result};

/// Which processor serves and which generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The server's.
    pub server: usize,
    /// The generator's.
    pub load: usize,
}

/// The first processor of the process's set for the server, the last for the generator.
///
/// # Errors
/// Where there is only one: each would measure the other.
pub fn split() -> Result<Split> {
    let set =
        sched_getaffinity(None).map_err(|error| Fault::system("reading the processors")(error.into()))?;
    let mut allowed = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu));
    match (allowed.next(), allowed.next_back()) {
        (Some(server), Some(load)) => Ok(Split { server, load }),
        _ => Err(Fault::Machine(
            "server and generator need a processor each, and this process may use one only".to_owned(),
        )),
    }
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
