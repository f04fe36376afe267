//! The thread that makes checkpoints: woken when a segment was sealed, never in anybody's way.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use ringwire_store::{CheckpointConfig, Checkpointer, Files, When};

use crate::store::KeyFold;

/// The thread, and the way to wake it.
pub(super) struct Checkpoints {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts it; it looks once right away, because the last run may have left a long tail.
    pub(super) fn start(files: Arc<dyn Files>) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let checkpointer = Checkpointer::new(files, KeyFold, CheckpointConfig::default());
        let thread = std::thread::Builder::new()
            .name("checkpoints".into())
            .spawn(move || work(&checkpointer, &woken))?;
        Ok(Checkpoints { wake, thread })
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

fn work(checkpointer: &Checkpointer<KeyFold>, woken: &Receiver<()>) {
    make(checkpointer, When::Worthwhile);
    while woken.recv().is_ok() {
        make(checkpointer, When::Worthwhile);
    }
    make(checkpointer, When::Now);
}

/// Makes checkpoints until nothing worthwhile is left. A failure costs the next start time, nothing else.
fn make(checkpointer: &Checkpointer<KeyFold>, when: When) {
    loop {
        match checkpointer.run(when) {
            Ok(Some(report)) if report.left_bytes > 0 => {}
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%error, "no checkpoint was made; the next start will replay more");
                return;
            }
        }
    }
}
