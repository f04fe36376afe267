//! Reports: what was measured as lines of JSON, as a table, and as plots; and one page of all of them.
//!
//! A figure is a median of rounds with the smallest and the largest; a ratio is taken within each round, so
//! that what the machine did in that round is on both sides, and then the median of those.

mod charts;
pub mod plot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Result};
use crate::measure::Round;
use crate::scenario::{Kind, Scenario};

/// The folder of reports.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reports")
}

/// Median, smallest and largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one (the mean of the two in the middle).
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// The spread of some values; `None` of none.
#[must_use]
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    };
    Some(Spread { median, min, max })
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median >= 100.0 { 0 } else { 3 };
        write!(f, "{:.digits$} ({:.digits$}..{:.digits$})", self.median, self.min, self.max)
    }
}

/// Contenders in the order in which they first appear.
fn contenders(rounds: &[Round]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for round in rounds {
        if !names.contains(&round.contender.as_str()) {
            names.push(&round.contender);
        }
    }
    names
}

/// A figure of a round; `None` where it was not taken.
pub type Figure<'a> = &'a dyn Fn(&Round) -> Option<f64>;

/// Processor time per delivery.
fn cpu(round: &Round) -> Option<f64> {
    Some(round.cpu_us)
}

/// Deliveries (appends, echoes, connections) per second.
fn throughput(round: &Round) -> Option<f64> {
    Some(round.per_second)
}

/// A latency percentile, ms.
fn latency(percentile: &'static str) -> impl Fn(&Round) -> Option<f64> {
    move |round| round.latency_us.get(percentile).map(|us| us / 1e3)
}

/// The ratio of one figure of two contenders at the same step, round by round.
#[must_use]
pub fn ratio(rounds: &[Round], of: &str, to: &str, step: Option<f64>, figure: Figure<'_>) -> Option<Spread> {
    let by_round = |name: &str| -> BTreeMap<u32, f64> {
        let rounds = rounds.iter().filter(|round| round.contender == name && round.step == step);
        rounds.filter_map(|round| Some((round.round, figure(round)?))).collect()
    };
    let base = by_round(to);
    spread(
        by_round(of)
            .into_iter()
            .filter_map(|(round, value)| Some(value / base.get(&round).filter(|base| **base > 0.0)?)),
    )
}

/// The table of a scenario.
#[must_use]
pub fn table(scenario: &Scenario, conditions: &str, rounds: &[Round]) -> String {
    let names = contenders(rounds);
    let bases: Vec<&str> = names.iter().copied().filter(|name| name.starts_with("bare")).collect();
    let steps = scenario.steps();
    let mut columns = vec!["who".to_owned()];
    if !scenario.steps.is_empty() {
        columns.push(scenario.step_name().to_owned());
    }
    let (one, many) = match scenario.kind {
        Kind::Append => ("append", "appends"),
        Kind::Fanout => ("delivery", "deliveries"),
        Kind::Echo => ("echo", "echoes"),
        Kind::Idle | Kind::Connect | Kind::Reconnect => ("connection", "connections"),
    };
    // A store is compared by what it gets through, everything else by what it costs.
    let of_base: Figure<'_> = if scenario.kind == Kind::Append { &throughput } else { &cpu };
    columns.push(format!("CPU µs per {one}"));
    let of = if scenario.kind == Kind::Append { "appends/s" } else { "CPU" };
    columns.extend(bases.iter().map(|base| format!("{of}, ratio to {base}")));
    columns.push(format!("{many}/s"));
    let others = ["p50 ms", "p99 ms", "p99.9 ms", "RSS MiB", "RSS B per connection"];
    columns.extend(others.map(str::to_owned));
    columns.extend(["generator busy %", "others on its cores %", "rounds"].map(str::to_owned));
    let mut out = format!("# {}\n\n{}\n\n{conditions}\n\n", scenario.name, scenario.about);
    let _ = writeln!(out, "| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
    for name in names.iter().copied() {
        for step in &steps {
            let cells = row(scenario, rounds, name, *step, &bases, of_base);
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
    out.push_str(&halves(scenario, rounds, &names));
    out
}

fn row(
    scenario: &Scenario,
    rounds: &[Round],
    name: &str,
    step: Option<f64>,
    bases: &[&str],
    of_base: Figure<'_>,
) -> Vec<String> {
    let of: Vec<&Round> =
        rounds.iter().filter(|round| round.contender == name && round.step == step).collect();
    let median = |figure: Figure<'_>, digits: usize| {
        let found = spread(of.iter().filter_map(|round| figure(round)));
        found.map_or_else(|| "n/a".to_owned(), |spread| format!("{:.digits$}", spread.median))
    };
    let shown = |spread: Option<Spread>| spread.map_or_else(|| "n/a".to_owned(), |spread| spread.to_string());
    let mut cells = vec![name.to_owned()];
    cells.extend(step.map(|step| step.to_string()));
    cells.push(shown(spread(of.iter().filter_map(|round| cpu(round)))));
    cells.extend(bases.iter().map(|base| shown(ratio(rounds, name, base, step, of_base))));
    cells.push(match spread(of.iter().filter_map(|round| throughput(round))) {
        // Nothing happens a number of times per second where everybody is idle.
        _ if scenario.kind == Kind::Idle => "n/a".to_owned(),
        Some(Spread { median, .. }) if median >= 10_000.0 => format!("{:.0} k", median / 1e3),
        Some(Spread { median, .. }) => format!("{median:.0}"),
        None => "n/a".to_owned(),
    });
    cells.extend(["p50", "p99", "p99.9"].map(|percentile| median(&latency(percentile), 2)));
    cells.push(median(&|round| Some(round.resident_bytes as f64 / f64::from(1 << 20)), 1));
    cells.push(median(&per_connection, 0));
    cells.push(median(&|round| Some(round.busy_percent), 0));
    cells.push(median(&|round| Some(round.others_percent), 0));
    let mut count = of.len().to_string();
    let saturated = of.iter().filter(|round| round.is_saturated).count();
    if saturated > 0 {
        let _ = write!(count, " ({saturated} SATURATED: lower bounds)");
    }
    let behind = of.iter().filter(|round| round.is_behind()).count();
    if behind > 0 {
        let reached = median(&|round| round.reached_percent, 0);
        let _ = write!(count, " ({behind} BEHIND: {reached} % of the rate)");
    }
    cells.push(count);
    cells
}

/// Growth of resident memory per connection, bytes.
fn per_connection(round: &Round) -> Option<f64> {
    let growth = round.resident_bytes as f64 - round.resident_before_bytes as f64;
    (round.connections > 0).then(|| growth / f64::from(round.connections))
}

/// A scenario against its other half, one line per driver.
fn halves(scenario: &Scenario, rounds: &[Round], names: &[&str]) -> String {
    let mut out = String::new();
    let Some(versus) = &scenario.versus else { return out };
    for name in names {
        let other = format!("{name}, {}", versus.name);
        let ratio =
            |figure: Figure<'_>| ratio(rounds, name, &other, None, figure).map(|spread| spread.to_string());
        let (Some(gets_through), Some(cpu)) = (ratio(&throughput), ratio(&cpu)) else {
            continue;
        };
        let p99 = ratio(&latency("p99")).unwrap_or_else(|| "n/a".to_owned());
        let _ = write!(
            out,
            "\n{name} against {}, in the same rounds: deliveries/s {gets_through}x, CPU per delivery {cpu}x, \
             p99 {p99}x.\n",
            versus.name
        );
    }
    out
}

/// Writes the files of a scenario; where the table is.
///
/// # Errors
/// A file cannot be written.
pub fn write(scenario: &Scenario, conditions: &str, rounds: &[Round]) -> Result<PathBuf> {
    let folder = folder();
    std::fs::create_dir_all(&folder).map_err(Fault::system(format!("making {}", folder.display())))?;
    let place = |ending: &str| folder.join(format!("{}{ending}", scenario.name));
    let save = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(Fault::system(format!("writing {}", path.display())))
    };
    let mut lines = String::new();
    for round in rounds {
        lines.push_str(
            &serde_json::to_string(round).unwrap_or_else(|error| unreachable!("plain data: {error}")),
        );
        lines.push('\n');
    }
    save(&place(".jsonl"), &lines)?;
    let mut text = table(scenario, conditions, rounds);
    for (what, chart) in charts::charts(scenario, rounds) {
        save(&place(&format!("-{what}.svg")), &chart.svg())?;
        let _ = write!(text, "\n![{}]({}-{what}.svg)\n", chart.title, scenario.name);
    }
    save(&place(".md"), &text)?;
    Ok(place(".md"))
}

/// Joins all tables into one page; where it is.
///
/// # Errors
/// A file cannot be read or written.
pub fn page() -> Result<PathBuf> {
    let folder = folder();
    if !folder.is_dir() {
        return Err(Fault::Usage("there are no reports yet: `cargo xtask bench run` writes them".to_owned()));
    }
    let entries =
        std::fs::read_dir(&folder).map_err(Fault::system(format!("reading {}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort_unstable();
    let mut text =
        String::from("# All reports\n\nWritten by `cargo xtask bench report` from the files beside it.\n");
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if name.ends_with(".md") && name != "README.md" {
            let table = std::fs::read_to_string(&file).map_err(Fault::system(format!("reading {name}")))?;
            text.push_str("\n#");
            text.push_str(&table);
        }
    }
    let path = folder.join("README.md");
    std::fs::write(&path, text).map_err(Fault::system(format!("writing {}", path.display())))?;
    Ok(path)
}
