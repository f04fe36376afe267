//! How the process is, as boot knows it and the plane tells it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ringwire_driver::Bell;

/// Where the process is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Shards are starting.
    Starting,
    /// It serves.
    Ready,
    /// It asks clients to go elsewhere, because of a signal or a failure.
    Draining,
}

/// Kept by boot, read by the plane.
#[derive(Debug)]
pub struct Status {
    phase: AtomicU8,
    bells: Arc<OnceLock<Vec<Bell>>>,
    started: Instant,
}

impl Status {
    /// At the start of the process.
    #[expect(clippy::new_without_default, reason = "it reads the clock, which a default should not")]
    pub fn new() -> Self {
        Status { phase: AtomicU8::new(Phase::Starting as u8), bells: Arc::default(), started: Instant::now() }
    }

    /// All shards serve; these are their bells.
    pub fn set_ready(&self, bells: Vec<Bell>) {
        // Told once; a second telling could only say the same.
        let _ = self.bells.set(bells);
        // A signal may have come before the last shard was ready.
        let _ = self.phase.compare_exchange(
            Phase::Starting as u8,
            Phase::Ready as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    /// The process is on its way out.
    pub fn set_draining(&self) {
        self.phase.store(Phase::Draining as u8, Ordering::Release);
    }

    /// Where the process is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Ready as u8 => Phase::Ready,
            phase if phase == Phase::Draining as u8 => Phase::Draining,
            _ => Phase::Starting,
        }
    }

    /// How long the process runs.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The bells, once all shards serve.
    pub fn bells(&self) -> Arc<OnceLock<Vec<Bell>>> {
        Arc::clone(&self.bells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_drains_is_not_ready_again() {
        let status = Status::new();
        assert_eq!(status.phase(), Phase::Starting);
        status.set_draining();
        status.set_ready(Vec::new());
        assert_eq!(status.phase(), Phase::Draining);
    }
}
