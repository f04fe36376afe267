//! Which plots a scenario has: latency by percentile; with steps, what is reached over what is asked for.

use super::plot::{Chart, Scale, Series, number};
use super::{Figure, contenders, latency, spread};
use crate::measure::Round;
use crate::scenario::{Kind, Scenario};

/// The plots, with the last part of their files' names; those without a line are left out.
pub(super) fn charts(scenario: &Scenario, rounds: &[Round]) -> Vec<(&'static str, Chart)> {
    let mut charts = Vec::new();
    if scenario.steps.is_empty() {
        charts.push(("latency", by_percentile(scenario, rounds)));
    } else if scenario.kind == Kind::Idle {
        let memory = |round: &Round| Some(round.resident_bytes as f64 / f64::from(1 << 20));
        charts.push(("memory", over_steps(scenario, rounds, "memory over connections", "MiB", &memory)));
    } else {
        let reached = |round: &Round| Some(round.publishes as f64 / round.window_s);
        let is_store = scenario.kind == Kind::Append;
        let (unit, load) = if is_store { ("appends/s", "batch size") } else { ("publishes/s", "load") };
        let mut throughput = over_steps(scenario, rounds, &format!("throughput over {load}"), unit, &reached);
        if is_store {
            throughput.scale = Scale::Logarithmic;
        }
        charts.push(("throughput", throughput));
        let mut waits = over_steps(scenario, rounds, &format!("p99 over {load}"), "ms", &latency("p99"));
        waits.scale = Scale::Logarithmic;
        charts.push(("latency", waits));
    }
    charts.retain(|(_, chart)| !chart.is_empty());
    charts
}

/// Latency over percentile, a line per contender.
fn by_percentile(scenario: &Scenario, rounds: &[Round]) -> Chart {
    const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];
    let line = |name: &str| {
        let point = |percentile| {
            let of = rounds.iter().filter(|round| round.contender == name);
            spread(of.filter_map(latency(percentile))).map(|spread| spread.median)
        };
        let points: Option<Vec<(f64, f64)>> = (0u32..)
            .zip(PERCENTILES)
            .map(|(x, percentile)| Some((f64::from(x), point(percentile)?)))
            .collect();
        Some(Series { name: name.to_owned(), points: points? })
    };
    Chart {
        title: format!("{}: latency by percentile", scenario.name),
        x: "percentile".to_owned(),
        y: "ms".to_owned(),
        scale: Scale::Logarithmic,
        x_names: PERCENTILES.map(str::to_owned).into(),
        series: contenders(rounds).into_iter().filter_map(line).collect(),
    }
}

/// A figure over the scenario's steps, a line per contender.
fn over_steps(scenario: &Scenario, rounds: &[Round], title: &str, unit: &str, figure: Figure<'_>) -> Chart {
    let steps = &scenario.steps;
    let most = steps.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    // Steps that double again and again would lie on top of each other at the left.
    let is_even = steps.iter().any(|step| *step * 20.0 < most);
    let line = |name: &str| {
        let point = |place: usize, step: f64| {
            let of = rounds.iter().filter(|round| round.contender == name && round.step == Some(step));
            let x = if is_even { place as f64 } else { step };
            Some((x, spread(of.filter_map(figure))?.median))
        };
        let points: Vec<(f64, f64)> =
            steps.iter().enumerate().filter_map(|(place, step)| point(place, *step)).collect();
        (!points.is_empty()).then(|| Series { name: name.to_owned(), points })
    };
    Chart {
        title: format!("{}: {title}", scenario.name),
        x: scenario.step_name().to_owned(),
        y: unit.to_owned(),
        scale: Scale::Linear,
        x_names: if is_even { steps.iter().map(|step| number(*step)).collect() } else { Vec::new() },
        series: contenders(rounds).into_iter().filter_map(line).collect(),
    }
}
