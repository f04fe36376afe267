//! How often somebody may do something: a few times at once, and then once per interval.

/// One limit of one session, in eight bytes. Times are milliseconds, or whatever else all who ask it count in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When everything that was done would have been due, had it come evenly.
    due: u64,
}

impl Pace {
    /// Whether another one may be done now; then it counts.
    pub(crate) fn take(&mut self, now: u64, interval: u64, burst: u32) -> bool {
        let due = self.due.max(now);
        if due > now + interval * u64::from(burst - 1) {
            return false;
        }
        self.due = due + interval;
        true
    }

    /// How long until another one may be done.
    pub(crate) fn wait(self, now: u64, interval: u64, burst: u32) -> u64 {
        self.due.saturating_sub(now + interval * u64::from(burst - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let mut pace = Pace::default();
        let passed = |pace: &mut Pace, now_ms| (0..10).filter(|_| pace.take(now_ms, 100, 3)).count();
        assert_eq!(passed(&mut pace, 5_000), 3);
        assert_eq!(pace.wait(5_000, 100, 3), 100);
        assert_eq!(passed(&mut pace, 5_099), 0);
        assert_eq!(passed(&mut pace, 5_100), 1);
        assert_eq!(passed(&mut pace, 5_350), 2);
        assert_eq!(passed(&mut pace, 9_000), 3, "what was not used is not saved beyond the burst");
    }
}
