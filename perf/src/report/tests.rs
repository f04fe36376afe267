//! What tables say of rounds.

use super::*;
use crate::scenario;

fn round(contender: &str, round: u32, cpu_us: f64) -> Round {
    Round {
        scenario: "s".to_owned(),
        contender: contender.to_owned(),
        round,
        step: None,
        deliveries: 1,
        publishes: 1,
        reached_percent: None,
        window_s: 1.0,
        cpu_us,
        per_second: 1.0,
        latency_us: [("p50".to_owned(), 1.0)].into(),
        resident_bytes: 1_500,
        resident_before_bytes: 500,
        connections: 10,
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
    let ratio = ratio(&rounds, "a", "bare", None, &cpu).expect("two rounds have both");
    assert!((ratio.min - 1.1).abs() < 1e-9 && (ratio.max - 1.1).abs() < 1e-9, "{ratio}");
}

#[test]
fn the_median_of_an_even_number_is_between_the_two() {
    assert_eq!(spread([4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
    assert_eq!(spread([]), None);
}

#[test]
fn figures_that_are_not_the_servers_are_marked_in_the_table() {
    let scenario = scenario::read("fanout-1000").expect("it is there");
    let saturated = Round { is_saturated: true, ..round("a", 0, 1.0) };
    let behind = Round { reached_percent: Some(61.0), ..round("b", 0, 1.0) };
    let table = table(&scenario, "", &[saturated, behind, round("bare send", 0, 1.0)]);
    assert!(table.contains("1 (1 SATURATED: lower bounds)"), "{table}");
    assert!(table.contains("1 (1 BEHIND: 61 % of the rate)"), "{table}");
    assert!(table.contains("| 100 |"), "1,000 bytes over ten connections: {table}");
}

#[test]
fn a_scenario_is_set_against_its_other_half() {
    let scenario = scenario::read("two-shards").expect("it is there");
    let fast = Round { per_second: 1.8, ..round("ringwire uring", 0, 1.0) };
    let table = table(&scenario, "", &[fast, round("ringwire uring, one shard", 0, 1.0)]);
    assert!(table.contains("deliveries/s 1.800 (1.800..1.800)x"), "{table}");
}
