//! Worlds that went wrong once do not go wrong again.

use ringwire_sim::{Options, run};

const SEEDS: &str = include_str!("../seeds.txt");

#[test]
fn what_went_wrong_once_does_not_go_wrong_again() {
    for line in SEEDS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (seed, story) = line.split_once(' ').expect("a seed, a space and its story");
        let seed = seed.parse().expect("a seed is a number");
        assert_eq!(run(seed, Options::default()).violation, None, "seed {seed}: {story}");
    }
}
