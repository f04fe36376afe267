//! How long to wait before the next connection: full jitter under a bound that doubles.
//!
//! A server that restarts loses all its clients in the same moment. Waits that are only doubled keep them in step;
//! waits drawn from the whole range spread them out, which is what lets the server come back at all.

use std::time::Duration;

use super::random::Random;

/// The waits of one client; lives as long as its core.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), attempt: 0 }
    }

    /// The next wait: between the least one and a bound that starts at twice that and doubles up to the longest.
    pub(crate) fn next(&mut self, random: &mut Random) -> Duration {
        // 2^20 times any sensible minimum is beyond any maximum; the cap keeps the shift defined.
        self.attempt = (self.attempt + 1).min(20);
        let bound = self.min.saturating_mul(1 << self.attempt).min(self.max);
        random.between(self.min, bound)
    }

    /// The connection was stable: the next wait is a short one again.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

    #[test]
    fn waits_stay_in_bounds_and_fill_them() {
        let mut shortest = [Duration::MAX; 8];
        let mut longest = [Duration::ZERO; 8];
        for seed in 0..2_000 {
            let mut random = Random::new(seed);
            let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
            for attempt in 0..8 {
                let wait = backoff.next(&mut random);
                shortest[attempt] = shortest[attempt].min(wait);
                longest[attempt] = longest[attempt].max(wait);
            }
        }
        for attempt in 0..8_u32 {
            let bound = (BACKOFF_MIN * (2 << attempt)).min(BACKOFF_MAX);
            let (low, high) = (shortest[attempt as usize], longest[attempt as usize]);
            assert!(low >= BACKOFF_MIN && high <= bound, "attempt {attempt}: {low:?}..{high:?}");
            let slack = (bound - BACKOFF_MIN) / 50;
            assert!(low <= BACKOFF_MIN + slack, "attempt {attempt} never waits short: {low:?}");
            assert!(high + slack >= bound, "attempt {attempt} never waits long: {high:?} of {bound:?}");
        }
    }

    #[test]
    fn half_of_ten_thousand_clients_return_in_each_half_of_the_range() {
        let mut early = 0;
        for seed in 0..10_000 {
            let wait = Backoff::new(BACKOFF_MIN, BACKOFF_MAX).next(&mut Random::new(seed));
            early += u32::from(wait < BACKOFF_MIN * 3 / 2);
        }
        assert!((4_700..=5_300).contains(&early), "{early} of 10000 in the first half");
    }

    #[test]
    fn reset_starts_short_again() {
        let mut random = Random::new(7);
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        for _ in 0..50 {
            assert!(backoff.next(&mut random) <= BACKOFF_MAX);
        }
        backoff.reset();
        assert!(backoff.next(&mut random) <= BACKOFF_MIN * 2);
    }
}
