//! Reports: what was measured as lines of JSON, as a table, and as plots; and one page of all of them.
//!
//! A figure is a median of rounds with the smallest and the largest; a ratio is taken within each round, so
//! that what the machine did in that round is on both sides, and then the median of those.

pub mod plot;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Result};
use crate::measure::Round;
use crate::scenario::Scenario;
use plot::{Chart, Series};

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

/// The ratio of two contenders' processor time per delivery, round by round.
#[must_use]
pub fn ratio(rounds: &[Round], of: &str, to: &str) -> Option<Spread> {
    let by_round = |name: &str| -> BTreeMap<u32, f64> {
        rounds
            .iter()
            .filter(|round| round.contender == name)
            .map(|round| (round.round, round.cpu_us))
            .collect()
    };
    let base = by_round(to);
    spread(by_round(of).into_iter().filter_map(|(round, cpu_us)| Some(cpu_us / base.get(&round)?)))
}

/// The table of a scenario.
#[must_use]
pub fn table(scenario: &Scenario, conditions: &str, rounds: &[Round]) -> String {
    let mut out = format!("# {}\n\n{}\n\n{conditions}\n\n", scenario.name, scenario.about);
    let names = contenders(rounds);
    let bases: Vec<&str> = names.iter().copied().filter(|name| name.starts_with("bare")).collect();
    out.push_str("| who | CPU µs per delivery |");
    for base in &bases {
        let _ = write!(out, " ratio to {base} |");
    }
    out.push_str(" deliveries/s | p50 ms | p99 ms | p99.9 ms | RSS MiB | generator busy % | others on its core % | rounds |\n|---|---|");
    out.push_str(&"---|".repeat(bases.len() + 8));
    out.push('\n');
    for name in names {
        let of: Vec<&Round> = rounds.iter().filter(|round| round.contender == name).collect();
        let show = |value: &dyn Fn(&Round) -> f64| {
            spread(of.iter().map(|round| value(round)))
                .map_or_else(|| "n/a".to_owned(), |spread| spread.to_string())
        };
        let median = |value: &dyn Fn(&Round) -> f64| {
            spread(of.iter().map(|round| value(round))).map_or(0.0, |spread| spread.median)
        };
        let latency = |percentile: &'static str| {
            median(&move |round: &Round| round.latency_us.get(percentile).copied().unwrap_or(0.0) / 1e3)
        };
        let _ = write!(out, "| {name} | {} |", show(&|round| round.cpu_us));
        for base in &bases {
            let text = ratio(rounds, name, base).map_or_else(|| "n/a".to_owned(), |ratio| ratio.to_string());
            let _ = write!(out, " {text} |");
        }
        let saturated = of.iter().filter(|round| round.is_saturated).count();
        let _ = writeln!(
            out,
            " {} k | {:.2} | {:.2} | {:.2} | {:.1} | {:.0} | {:.0} | {}{} |",
            (median(&|round| round.per_second) / 1e3).round(),
            latency("p50"),
            latency("p99"),
            latency("p99.9"),
            median(&|round| round.resident_bytes as f64) / f64::from(1 << 20),
            median(&|round| round.busy_percent),
            median(&|round| round.others_percent),
            of.len(),
            if saturated > 0 { format!(" ({saturated} SATURATED: lower bounds)") } else { String::new() },
        );
    }
    out
}

/// Writes the three files of a scenario; where the table is.
///
/// # Errors
/// A file cannot be written.
pub fn write(scenario: &Scenario, conditions: &str, rounds: &[Round]) -> Result<PathBuf> {
    let folder = folder();
    std::fs::create_dir_all(&folder).map_err(Fault::system(format!("making {}", folder.display())))?;
    let place = |ending: &str| folder.join(format!("{}.{ending}", scenario.name));
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
    save(&place("jsonl"), &lines)?;
    let mut text = table(scenario, conditions, rounds);
    let chart = latencies(scenario, rounds);
    if !chart.is_empty() {
        save(&place("svg"), &chart.svg())?;
        let _ = write!(text, "\n![latency percentiles]({}.svg)\n", scenario.name);
    }
    save(&place("md"), &text)?;
    Ok(place("md"))
}

/// Latency over percentile, a line per contender.
fn latencies(scenario: &Scenario, rounds: &[Round]) -> Chart {
    const PERCENTILES: [&str; 4] = ["p50", "p90", "p99", "p99.9"];
    let series = contenders(rounds)
        .into_iter()
        .filter_map(|name| {
            let points: Option<Vec<(f64, f64)>> = (0u32..)
                .zip(PERCENTILES)
                .map(|(x, percentile)| {
                    let of = rounds.iter().filter(|round| round.contender == name);
                    let values = of.filter_map(|round| round.latency_us.get(percentile).copied());
                    let median = spread(values)?.median / 1e3;
                    (median > 0.0).then_some((f64::from(x), median))
                })
                .collect();
            Some(Series { name: name.to_owned(), points: points? })
        })
        .collect();
    Chart {
        title: format!("{}: latency by percentile", scenario.name),
        x: "percentile".to_owned(),
        y: "ms".to_owned(),
        x_names: PERCENTILES.iter().map(|name| (*name).to_owned()).collect(),
        series,
    }
}

/// Joins all tables into one page; where it is.
///
/// # Errors
/// A file cannot be read or written.
pub fn page() -> Result<PathBuf> {
    let folder = folder();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn round(contender: &str, round: u32, cpu_us: f64) -> Round {
        Round {
            scenario: "s".to_owned(),
            contender: contender.to_owned(),
            round,
            deliveries: 1,
            publishes: 1,
            window_s: 1.0,
            cpu_us,
            per_second: 1.0,
            latency_us: [("p50".to_owned(), 1.0)].into(),
            resident_bytes: 1,
            busy_percent: 1.0,
            others_percent: 0.0,
            is_saturated: false,
        }
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        // The machine was twice as slow in the second round: the ratio must not notice.
        let rounds = [
            round("a", 0, 1.1),
            round("bare", 0, 1.0),
            round("a", 1, 2.2),
            round("bare", 1, 2.0),
            round("a", 2, 9.0),
        ];
        let ratio = ratio(&rounds, "a", "bare").expect("two rounds have both");
        assert!((ratio.min - 1.1).abs() < 1e-9 && (ratio.max - 1.1).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two() {
        assert_eq!(spread([4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(spread([]), None);
    }
}
