//! Values that know whether they were leaked or dropped twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A value that is counted while it lives; what is left in the count was leaked, below zero was dropped
/// twice.
pub(super) struct Counted {
    pub(super) number: usize,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    pub(super) fn new(number: usize, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self { number, alive: Arc::clone(alive) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let before = self.alive.fetch_sub(1, Ordering::Relaxed);
        // A panic while another one unwinds would abort and hide the first.
        assert!(before > 0 || std::thread::panicking(), "value {} was dropped twice", self.number);
    }
}
