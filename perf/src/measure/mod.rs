//! Measuring a scenario: who is compared, in which order, and what is taken down.
//!
//! ```text
//!   run: rounds x contenders x steps --> contender (starts one, fresh) --> scene (drives it, window, edges) --> Round
//! ```
//!
//! The contenders take turns (A B C A B C …), each round with fresh processes, so that what changes on the
//! machine meanwhile meets all of them; figures are medians of rounds, and ratios are taken within a round.

pub mod contender;
mod scene;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Result};
use crate::scenario::{Promise, Scenario};
use crate::system::processor::{self, Split};
use crate::system::want_descriptors;
use contender::Contender;

/// Share of the window above which the generator is the bottleneck, percent, unless told otherwise.
pub const BUSY_PERCENT_MAX: f64 = 90.0;

/// Share of an open loop's intended publishes below which a figure is marked: its latencies are those of a
/// server that fell behind.
pub const REACHED_PERCENT_MIN: f64 = 90.0;

/// Descriptors of the generator beside its connections.
const DESCRIPTORS_BESIDE: u64 = 64;

/// How a scenario is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's binary.
    pub binary: PathBuf,
    /// Who, in the order of their turns.
    pub contenders: Vec<Contender>,
    /// How often each.
    pub rounds: u32,
    /// Real-time priority for server and generator: for machines that are shared with other work.
    pub is_real_time: bool,
    /// Record a round whose generator was saturated, marked, instead of failing.
    pub allow_saturated: bool,
    /// Share of the window from which on the generator counts as saturated, percent.
    pub busy_percent_max: f64,
    /// The promise asked for, instead of the scenario's.
    pub durability: Option<Promise>,
}

/// One step of one turn of one contender.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    /// The scenario.
    pub scenario: String,
    /// Who.
    pub contender: String,
    /// Which round, from 0.
    pub round: u32,
    /// The step, where the scenario has some.
    pub step: Option<f64>,
    /// Deliveries in the window (or echoes, acknowledgements, connections).
    pub deliveries: u64,
    /// Publishes completed in the window.
    pub publishes: u64,
    /// Open loop: publishes of the intended ones that were completed in the window, percent.
    pub reached_percent: Option<f64>,
    /// Length of the window, seconds.
    pub window_s: f64,
    /// Processor time of the server in the window, µs per delivery.
    pub cpu_us: f64,
    /// Deliveries per second.
    pub per_second: f64,
    /// Latency percentiles, µs; none where nothing was timed.
    pub latency_us: BTreeMap<String, f64>,
    /// Resident memory of the server at the window's end, bytes.
    pub resident_bytes: u64,
    /// The same before the first connection.
    pub resident_before_bytes: u64,
    /// Connections at the window's end.
    pub connections: u32,
    /// Share of the window that the generator was busy, percent.
    pub busy_percent: f64,
    /// Share of the server's processors that others took, percent of one.
    pub others_percent: f64,
    /// The generator was the bottleneck: the figure is a lower bound.
    pub is_saturated: bool,
}

impl Round {
    /// Whether its open loop fell behind so far that it is marked.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.reached_percent.is_some_and(|percent| percent < REACHED_PERCENT_MIN)
    }
}

/// Measures all rounds; `each` is told of every one.
///
/// # Errors
/// See [`Fault`]; a contender that fails ends the measurement, because a comparison with holes is none.
pub fn run(scenario: &Scenario, options: &Options, each: &mut dyn FnMut(&Round)) -> Result<Vec<Round>> {
    want_descriptors(u64::from(scenario.connections_max()) + DESCRIPTORS_BESIDE)?;
    processor::bind(Split::of(1)?.load)?;
    if options.is_real_time {
        real_time(std::process::id())?;
    }
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        for contender in &options.contenders {
            for step in scenario.steps() {
                let mut figure = contender.turn(&scenario.at(step), options)?;
                (figure.round, figure.step) = (round, step);
                judge(&mut figure, options)?;
                each(&figure);
                rounds.push(figure);
            }
        }
    }
    Ok(rounds)
}

/// Marks a figure that is the generator's own, or refuses it.
fn judge(figure: &mut Round, options: &Options) -> Result<()> {
    if figure.busy_percent <= options.busy_percent_max {
        return Ok(());
    }
    if !options.allow_saturated {
        return Err(Fault::Saturated {
            contender: figure.contender.clone(),
            busy: figure.busy_percent,
            limit: options.busy_percent_max,
        });
    }
    figure.is_saturated = true;
    Ok(())
}

/// Gives a process real-time priority, by the tool that everybody has.
fn real_time(pid: u32) -> Result<()> {
    let status = Command::new("chrt")
        .args(["-a", "-f", "-p", "10", &pid.to_string()])
        .status()
        .map_err(Fault::system("starting chrt"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Fault::Machine("real-time priority is refused (it needs CAP_SYS_NICE)".to_owned()))
    }
}
