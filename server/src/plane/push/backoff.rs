//! How long a job waits before the next try.

use std::time::Duration;

/// Before the second try at most, doubled for each further one.
const FIRST: Duration = Duration::from_secs(1);

/// Never longer, unless a service asks for it.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// The wait after `attempts` tries. Full jitter: anything from nothing to the whole wait, so that jobs that
/// failed together do not come again together. A service that asked for a pause gets it, and the jitter on top.
pub fn wait(attempts: u32, asked: Option<Duration>, random: u64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let most = doubled.min(LONGEST);
    let part = random as f64 / u64::MAX as f64;
    match asked {
        Some(asked) => asked + FIRST.mul_f64(part),
        None => most.mul_f64(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread() {
        let most = |attempts| wait(attempts, None, u64::MAX);
        assert_eq!([1, 2, 3, 4].map(most), [1, 2, 4, 8].map(Duration::from_secs));
        assert_eq!(most(40), LONGEST);
        assert_eq!(wait(5, None, 0), Duration::ZERO);
        assert_eq!(wait(5, None, u64::MAX / 2).as_secs(), 8);
    }

    #[test]
    fn what_a_service_asks_for_is_waited_at_least() {
        let asked = Some(Duration::from_secs(30));
        assert_eq!(wait(1, asked, 0), Duration::from_secs(30));
        assert_eq!(wait(9, asked, u64::MAX), Duration::from_secs(31));
    }
}
