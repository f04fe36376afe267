//! Which processors there are for us, and binding a thread to one.
//!
//! The set is taken once, at first use: what the process was started with (taskset, a container's cpuset),
//! not what a thread was bound to since.

use std::io;
use std::num::NonZero;
use std::sync::OnceLock;

use crate::sys;

/// The processors of the process: the mask, its members, and how many may run at once.
struct Allowed {
    mask: [u64; 128],
    cpus: Vec<usize>,
    /// Fewer than `cpus` where a control group limits processor time.
    parallel: usize,
}

fn allowed() -> io::Result<&'static Allowed> {
    static ALLOWED: OnceLock<Allowed> = OnceLock::new();
    if let Some(allowed) = ALLOWED.get() {
        return Ok(allowed);
    }
    let mask = sys::cpu_mask()?;
    let cpus: Vec<_> = (0..mask.len() * 64).filter(|cpu| mask[cpu / 64] >> (cpu % 64) & 1 == 1).collect();
    let parallel = std::thread::available_parallelism().map_or(1, NonZero::get).clamp(1, cpus.len().max(1));
    Ok(ALLOWED.get_or_init(|| Allowed { mask, cpus, parallel }))
}

/// How many threads can run at once: the processors in the process's affinity mask, or fewer where its
/// control group has a quota. At least 1.
#[must_use]
pub fn available() -> usize {
    allowed().map_or(1, |allowed| allowed.parallel)
}

/// Binds the calling thread to the `index`-th processor of the process's set, counted round; its number.
///
/// # Errors
/// The kernel refuses (the set changed meanwhile, or seccomp).
pub fn pin_current(index: usize) -> io::Result<usize> {
    let allowed = allowed()?;
    let cpu = allowed.cpus[index % allowed.cpus.len()];
    let mut mask = [0; 128];
    mask[cpu / 64] = 1 << (cpu % 64);
    sys::set_cpu_mask(&mask)?;
    Ok(cpu)
}

/// Lets the calling thread run on the process's whole set again. Threads inherit the binding of the one
/// that starts them, so helpers of a bound shard call this.
///
/// # Errors
/// As for [`pin_current`].
pub fn unpin_current() -> io::Result<()> {
    sys::set_cpu_mask(&allowed()?.mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_thread_runs_where_it_was_bound_and_can_be_freed() {
        std::thread::spawn(|| {
            let count = available();
            let all = sys::cpu_mask().unwrap();
            assert!(count >= 1);
            for index in 0..=count {
                let cpu = pin_current(index).unwrap();
                let bound = sys::cpu_mask().unwrap();
                assert_eq!(bound.iter().map(|word| word.count_ones()).sum::<u32>(), 1);
                assert_eq!(bound[cpu / 64], 1 << (cpu % 64));
                assert_eq!(available(), count, "binding one thread does not shrink the machine");
            }
            unpin_current().unwrap();
            assert_eq!(sys::cpu_mask().unwrap(), all);
        })
        .join()
        .unwrap();
    }
}
