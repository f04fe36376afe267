//! What the main thread and the shard threads say to each other: few words, by atomics and a channel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ringwire_driver::Bell;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Something a shard thread reports.
#[derive(Debug)]
pub enum Report {
    /// It serves; `fallback` says why io_uring was refused, where it was wanted.
    Ready {
        /// The driver in use.
        driver: ringwire_driver::Kind,
        /// Why not the better one.
        fallback: Option<String>,
    },
    /// It could not start.
    StartFailed {
        /// Which shard.
        shard: u16,
        /// Why, with a hint.
        error: String,
    },
    /// Its journal or its driver failed; it takes nothing durable any more.
    Failed {
        /// Which shard.
        shard: u16,
        /// Why.
        error: String,
    },
    /// The plane's thread has ended although nobody asked for it.
    PlaneFailed {
        /// Why.
        error: String,
    },
    /// What it did, as it ends in good order.
    Served {
        /// Which shard.
        shard: u16,
        /// Its connections' side.
        sessions: Box<crate::session::Counters>,
        /// Its conversations' side.
        conversations: Box<crate::conversation::Counters>,
        /// Its driver.
        driver: ringwire_driver::Counters,
    },
    /// Its thread has ended.
    Ended,
}

/// The shard threads' side.
#[derive(Clone, Debug)]
pub struct Control {
    draining: Arc<AtomicBool>,
    bells: Arc<Mutex<Vec<Option<Bell>>>>,
    reports: UnboundedSender<Report>,
}

impl Control {
    /// For `shards` threads.
    pub fn new(shards: u16) -> (Self, UnboundedReceiver<Report>) {
        let (reports, received) = unbounded_channel();
        let bells = Arc::new(Mutex::new(vec![None; usize::from(shards)]));
        (Control { draining: Arc::default(), bells, reports }, received)
    }

    /// Says something to the main thread.
    pub fn report(&self, report: Report) {
        // Nobody listens only when the process is ending anyway.
        let _ = self.reports.send(report);
    }

    /// Whether the process is to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Asks all shards to end, and wakes them.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        for bell in self.lock().iter().flatten() {
            bell.ring_always();
        }
    }

    /// Gives a shard's bell to the others.
    pub fn hang(&self, shard: u16, bell: Bell) {
        self.lock()[usize::from(shard)] = Some(bell);
    }

    /// All bells, once every shard has hung its own.
    pub fn bells(&self) -> Option<Vec<Bell>> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Bell>>> {
        self.bells.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
