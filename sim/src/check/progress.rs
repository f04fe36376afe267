//! Progress: once nothing goes wrong any more, everything that live clients have published is acknowledged and
//! delivered to all who receive it, within a bounded time.

use super::{Promise, Verdict};

use Promise::Progress as BROKEN;

/// How long the world has to come to rest, microseconds: the longest chain of honest waits (a dead connection
/// is noticed, the client backs off, asks again, is told to come later) with room to spare.
pub const PATIENCE_US: u64 = 300_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Progress {
    since_us: Option<u64>,
}

impl Progress {
    /// From now on nothing goes wrong. Said again when another stretch of quiet begins.
    pub fn on_quiet(&mut self, now_us: u64) {
        self.since_us = Some(now_us);
    }

    /// Something goes wrong again, on purpose.
    pub fn on_trouble(&mut self) {
        self.since_us = None;
    }

    /// This is what the world still waits for. Whether that is nothing.
    ///
    /// # Errors
    /// It has waited too long.
    pub fn on_look(&mut self, now_us: u64, waits_for: &[String]) -> Verdict<bool> {
        let waited_us = self.since_us.map_or(0, |since_us| now_us - since_us);
        BROKEN.holds(waits_for.is_empty() || waited_us <= PATIENCE_US, || {
            format!("{} s without a fault, and still: {}", waited_us / 1_000_000, waits_for.join("; "))
        })?;
        Ok(waits_for.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_something_that_never_comes() {
        let mut progress = Progress::default();
        let waits = ["a publish".to_owned()];
        assert_eq!(progress.on_look(10 * PATIENCE_US, &waits), Ok(false), "there are faults still");
        progress.on_quiet(1000);
        assert_eq!(progress.on_look(1000 + PATIENCE_US, &waits), Ok(false));
        assert!(progress.on_look(1001 + PATIENCE_US, &waits).is_err());
        assert_eq!(progress.on_look(1001 + PATIENCE_US, &[]), Ok(true));
        progress.on_trouble();
        assert_eq!(progress.on_look(9 * PATIENCE_US, &waits), Ok(false));
    }
}
