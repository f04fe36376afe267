//! The thread that makes checkpoints and gives up what is not kept any more: woken when a segment was sealed and now and
//! then, never in anybody's way.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringwire_ring::{Sender, ring};
use ringwire_store::{CheckpointConfig, Checkpointer, Files, Retired, When};

use super::clock::Clock;
use crate::limits::RETIRED_RING;
use crate::store::KeyFold;
use crate::store::retention::Rules;

/// How long shards have to learn that segments are gone before their files are. One that sleeps for longer learns it
/// in its next turn before anything else.
const LEARN: Duration = Duration::from_secs(2);

/// What is kept, and how often one looks.
pub(super) struct Keeping {
    pub(super) rules: Rules,
    pub(super) sweep: Duration,
    pub(super) clock: Clock,
}

/// The thread, and the way to wake it.
pub(super) struct Checkpoints {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// Where a shard learns that segments are given up.
pub(super) type Retirements = ringwire_ring::Receiver<Arc<Retired>>;

impl Checkpoints {
    /// Starts it; it looks once right away, because the last run may have left a long tail.
    pub(super) fn start(
        files: Arc<dyn Files>,
        keeping: Keeping,
        shards: u16,
    ) -> io::Result<(Self, Vec<Retirements>)> {
        let (wake, woken) = sync_channel(1);
        let checkpointer = Checkpointer::new(Arc::clone(&files), KeyFold, CheckpointConfig::default());
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..shards).map(|_| ring(RETIRED_RING)).unzip();
        let mut work = Work { files, checkpointer, keeping, shards: senders };
        let thread =
            std::thread::Builder::new().name("checkpoints".into()).spawn(move || work.run(&woken))?;
        Ok((Checkpoints { wake, thread }, receivers))
    }

    /// What to call when a segment was sealed.
    pub(super) fn on_sealed(&self) -> Arc<dyn Fn() + Send + Sync> {
        let wake = self.wake.clone();
        Arc::new(move || match wake.try_send(()) {
            // A waking that is on its way already serves for both.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        })
    }

    /// After the last shard has stopped: covers what was sealed, so that the next start reads little.
    pub(super) fn finish(self) {
        drop(self.wake);
        if self.thread.join().is_err() {
            tracing::error!("the checkpoint thread panicked; the next start replays more");
        }
    }
}

struct Work {
    files: Arc<dyn Files>,
    checkpointer: Checkpointer<KeyFold>,
    keeping: Keeping,
    shards: Vec<Sender<Arc<Retired>>>,
}

impl Work {
    fn run(&mut self, woken: &Receiver<()>) {
        self.make(When::Worthwhile);
        let mut next = Instant::now() + self.keeping.sweep;
        loop {
            // Where everything is kept there is nothing to look for.
            let wait = match self.keeping.rules.is_all() {
                true => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => woken.recv_timeout(next.saturating_duration_since(Instant::now())),
            };
            match wait {
                Ok(()) => self.make(When::Worthwhile),
                Err(RecvTimeoutError::Timeout) => {
                    // Only what a checkpoint covers can go.
                    self.make(When::Now);
                    self.retire();
                    next = Instant::now() + self.keeping.sweep;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.make(When::Now);
    }

    /// Makes checkpoints until nothing worthwhile is left. A failure costs the next start time, nothing else.
    fn make(&self, when: When) {
        loop {
            match self.checkpointer.run(when) {
                Ok(Some(report)) if report.left_bytes > 0 => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%error, "no checkpoint was made; the next start will replay more");
                    return;
                }
            }
        }
    }

    /// Gives up what is not kept any more. Where that fails it is tried again at the next look.
    fn retire(&mut self) {
        // One that has not learned of the last ones is asleep, and has nobody connected.
        while self.shards.iter_mut().all(|shard| shard.free() > 0) {
            let rules = self.keeping.rules.at(self.keeping.clock.now().unix_ms);
            let retired = match self.checkpointer.retire(&rules) {
                Ok(Some(retired)) => Arc::new(retired),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "nothing could be given up; what is beyond retention stays on disk");
                    return;
                }
            };
            for shard in &mut self.shards {
                // There was room, and nobody else writes here.
                let _ = shard.try_send(Arc::clone(&retired));
                shard.flush();
            }
            let since = Instant::now();
            while Arc::strong_count(&retired) > 1 && since.elapsed() < LEARN {
                std::thread::sleep(Duration::from_millis(20));
            }
            let (segments, bytes) = (retired.segments.len(), retired.bytes);
            match retired.remove(&*self.files) {
                Ok(()) => tracing::info!(segments, bytes, "gave up messages that are beyond retention"),
                Err(error) => {
                    tracing::error!(%error, "files of given-up messages stay until the next start");
                    return;
                }
            }
        }
    }
}
