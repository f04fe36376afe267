//! What the harness asks of the machine: processors, limits, and what `/proc` says of a process.

pub mod certificate;
pub mod memory;
pub mod processor;
pub mod server;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::fault::{Fault, Result};

/// Raises the soft limit of descriptors to the hard one and checks that `needed` fit.
///
/// # Errors
/// Where the hard limit is too low; says what would help.
pub fn want_descriptors(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if hard < needed {
        return Err(Fault::Machine(format!(
            "{needed} descriptors are needed, but this process may have {hard}: raise the hard limit \
             (ulimit -Hn, LimitNOFILE=) or ask for fewer connections"
        )));
    }
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, wanted).map_err(|error| Fault::system("raising RLIMIT_NOFILE")(error.into()))
}

/// Nanoseconds on the monotonic clock.
#[inline]
#[must_use]
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// How many threads wanted a processor in the last minute, as the kernel says it; for the conditions of a report.
#[must_use]
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
