//! How often somebody may do something: a few times at once, and then once per interval.

/// One limit of one session, in eight bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When everything that was done would have been due, had it come evenly; milliseconds.
    due_ms: u64,
}

impl Pace {
    /// Whether another one may be done now; then it counts.
    pub(crate) fn take(&mut self, now_ms: u64, interval_ms: u64, burst: u32) -> bool {
        let due_ms = self.due_ms.max(now_ms);
        if due_ms > now_ms + interval_ms * u64::from(burst - 1) {
            return false;
        }
        self.due_ms = due_ms + interval_ms;
        true
    }

    /// Milliseconds until another one may be done.
    pub(crate) fn wait_ms(self, now_ms: u64, interval_ms: u64, burst: u32) -> u64 {
        self.due_ms.saturating_sub(now_ms + interval_ms * u64::from(burst - 1))
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
        assert_eq!(pace.wait_ms(5_000, 100, 3), 100);
        assert_eq!(passed(&mut pace, 5_099), 0);
        assert_eq!(passed(&mut pace, 5_100), 1);
        assert_eq!(passed(&mut pace, 5_350), 2);
        assert_eq!(passed(&mut pace, 9_000), 3, "what was not used is not saved beyond the burst");
    }
}
