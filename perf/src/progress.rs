//! How far a long run is: a bar on a terminal, a line per turn elsewhere.
//!
//! Everything goes to standard error, so that tables can be piped. The bar goes away when the run ends, whether
//! it ends well or not; nothing is drawn while a window is open, because drawing takes the generator's time.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use ringwire_perf::measure::Round;

/// Columns of the bar itself.
const WIDTH: usize = 24;

/// A run that is under way.
pub(crate) struct Progress {
    done: usize,
    total: usize,
    began: Instant,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        let progress =
            Self { done: 0, total, began: Instant::now(), is_terminal: std::io::stderr().is_terminal() };
        if progress.is_terminal {
            eprint!("{}", bar(0, total, Duration::ZERO));
        }
        progress
    }

    /// A turn is over.
    pub(crate) fn show(&mut self, round: &Round) {
        self.done += 1;
        let line = line(round);
        if self.is_terminal {
            eprint!("\r\x1b[K{} {line}", bar(self.done, self.total, self.began.elapsed()));
        } else {
            eprintln!("[{}/{}] {line}", self.done, self.total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn line(round: &Round) -> String {
    let step = round.step.map(|step| format!(" at {step}")).unwrap_or_default();
    let latency =
        round.latency_us.get("p99").map(|us| format!(", p99 {:.2} ms", us / 1e3)).unwrap_or_default();
    format!(
        "{}{step}: {:.3} µs/delivery, {:.1} k/s{latency}, generator {:.0} % busy{}{}",
        round.contender,
        round.cpu_us,
        round.per_second / 1e3,
        round.busy_percent,
        if round.is_saturated { " SATURATED" } else { "" },
        if round.is_behind() { " BEHIND" } else { "" },
    )
}

/// `[####----] 3/10, 20 s left`: what is left is as long as what was, per turn.
fn bar(done: usize, total: usize, took: Duration) -> String {
    let full = (done * WIDTH).checked_div(total).unwrap_or(WIDTH);
    let left = (took.as_secs() * (total - done) as u64).checked_div(done as u64);
    let left = left.map(|seconds| format!(", {seconds} s left")).unwrap_or_default();
    format!("[{}{}] {done}/{total}{left}", "#".repeat(full), "-".repeat(WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_and_says_what_is_left() {
        assert_eq!(bar(0, 4, Duration::ZERO), "[------------------------] 0/4");
        assert_eq!(bar(1, 4, Duration::from_secs(5)), "[######------------------] 1/4, 15 s left");
        assert_eq!(bar(4, 4, Duration::from_secs(20)), "[########################] 4/4, 0 s left");
    }
}
