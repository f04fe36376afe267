//! `cargo xtask autobahn`: the Autobahn test suite against the echo server in `perf`, which is the real
//! driver and the real codec with nothing else between them.
//!
//! ```text
//! wstest (Python 2.7, pinned, in .tools) -- WebSocket --> ringwire-perf echo --driver uring|epoll
//!        `-> index.json -> verdict
//! ```
//!
//! Core cases are all but 9.* (large messages; a run of their own), 12.* and 13.* (compression, which the
//! server does not offer).

mod echo;
mod verdict;
mod wstest;

use std::fmt;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::process::Tests;
use crate::project::Project;
use crate::report::{Outcome, Verdict};
use verdict::Results;

#[derive(Args)]
pub(crate) struct Options {
    /// Which driver the echo server uses; both in turn if not given.
    #[arg(long)]
    driver: Option<Driver>,
    /// Which cases.
    #[arg(long, default_value = "core")]
    cases: Cases,
}

#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub(crate) enum Driver {
    Uring,
    Epoll,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        })
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Cases {
    /// Everything but 9.*, 12.* and 13.*.
    Core,
    /// 9.*: messages up to 16 MiB, and a million small ones.
    #[value(name = "9")]
    Large,
    /// Core and 9.*.
    All,
}

impl Cases {
    fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Large => "9",
            Self::All => "all",
        }
    }

    fn selected(self) -> &'static [&'static str] {
        match self {
            Self::Core | Self::All => &["*"],
            Self::Large => &["9.*"],
        }
    }

    fn excluded(self) -> &'static [&'static str] {
        match self {
            Self::Core => &["9.*", "12.*", "13.*"],
            Self::Large | Self::All => &["12.*", "13.*"],
        }
    }

    /// How many cases there are in the pinned suite: a report with fewer is not a pass.
    fn count(self) -> usize {
        match self {
            Self::Core => 247,
            Self::Large => 54,
            Self::All => 301,
        }
    }

    /// Far beyond what a slow machine needs; then something hangs.
    fn time_out(self) -> Duration {
        Duration::from_secs(match self {
            Self::Core => 300,
            Self::Large | Self::All => 1_200,
        })
    }
}

/// The verb: fails if a case failed, or if anything is missing to run it.
pub(crate) fn run(project: &Project, options: &Options) -> Result<(), String> {
    let drivers = match options.driver {
        Some(driver) => vec![driver],
        None => vec![Driver::Epoll, Driver::Uring],
    };
    for driver in drivers {
        run_one(project, driver, options.cases)?.into_result()?;
    }
    Ok(())
}

/// The step of `cargo xtask test`. A kernel or container that refuses io_uring is no failure of ours.
pub(crate) fn core(project: &Project, driver: Driver) -> Outcome {
    match run_one(project, driver, Cases::Core) {
        Ok(tests) => Ok(Verdict::Ran(tests)),
        Err(echo::Refusal::Driver(why)) => Ok(Verdict::Skipped(why)),
        Err(other) => Err(other.into()),
    }
}

fn run_one(project: &Project, driver: Driver, cases: Cases) -> Result<Tests, echo::Refusal> {
    let python = wstest::install(project)?;
    let mut server = echo::Server::start(project, driver)?;
    let folder = project.target.join("autobahn").join(format!("{driver}-{}", cases.name()));
    let agent = format!("ringwire-{driver}");
    let results = wstest::run(&python, &folder, &agent, &server.address, cases)
        .and_then(|index| Results::read(&index, &agent))
        .map_err(|error| server.explain(error))?;
    println!("autobahn {} on {driver}: {}", cases.name(), results.summary());
    Ok(results.judge(cases.count(), &folder))
}
