//! What the ring promises: small claims here, a model, threads, and (with `--cfg loom`) every interleaving.

#[cfg(not(loom))]
mod claims;
#[cfg(loom)]
mod interleavings;
#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod stress;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A value that is counted while it lives; what is left in the count was leaked, below zero was dropped
/// twice.
struct Counted {
    number: usize,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn new(number: usize, alive: &Arc<AtomicUsize>) -> Self {
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
