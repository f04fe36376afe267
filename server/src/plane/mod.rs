//! The plane: one thread for what is not hot: HTTP for operators, push, and media.
//!
//! ```text
//!   operator ── HTTP ──► http ── Ask ──► shard          boot ── Status ──► plane
//!                          ▲── answer ────┘              boot ── stop ────► plane
//! ```
//!
//! Owner: boot starts it and stops it, after the last shard. Inside it is a tokio runtime of one thread; what
//! runs on it may wait, and nothing on a shard ever waits for it.
//!
//! Invariants: it shares no memory with shards beside the exchange; a failure of it is a failure of the process.
//!
//! Absent: frames, conversations, the journal.

#![expect(clippy::disallowed_methods, reason = "the plane owns a thread, files and timers of its own")]

pub mod exchange;
pub mod http;
pub mod objects;
pub mod push;
mod status;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::transport::tls::offer::Offer;
use exchange::{Ends, Shards};
pub use http::admin::AdminKey;
pub use status::{Phase, Status};

/// What the plane is started with.
pub struct Plan {
    /// The operators' port, bound.
    pub listener: TcpListener,
    /// The certificates of it; `None`: it is in the clear.
    pub tls: Option<Offer>,
    /// The ways to the shards.
    pub ends: Ends,
    /// How the process is, kept by boot.
    pub status: Arc<Status>,
    /// What an operator shows to be one; `None`: the admin interface is closed.
    pub admin_key: Option<AdminKey>,
    /// Push.
    pub push: push::Plan,
    /// Media sharing, opened; `None`: it is off.
    pub media: Option<objects::Opened>,
}

/// The plane's thread.
pub struct Plane {
    thread: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Plane {
    /// Starts it. `failed` is told if it ends before it is asked to.
    ///
    /// # Errors
    /// Where the system has no thread or no runtime to give.
    pub fn start(plan: Plan, failed: impl FnOnce(String) + Send + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        plan.listener.set_nonblocking(true)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("plane".into()).spawn(move || {
            let mut ending = Ending { failed: Some(Box::new(failed)) };
            match runtime.block_on(tokio::task::LocalSet::new().run_until(run(plan, stopped))) {
                Ok(()) => ending.failed = None,
                Err(error) => ending.tell(error.to_string()),
            }
        })?;
        Ok(Plane { thread, stop })
    }

    /// Stops it; after the last shard has ended.
    pub fn finish(self) {
        // Where it ended by itself, nobody listens.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the plane's thread panicked; its backtrace is above");
        }
    }
}

async fn run(plan: Plan, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let shards = Shards::new(plan.ends, plan.status.bells());
    let (push, work) = push::start(plan.push, shards.clone());
    let media = plan.media.map(|opened| objects::Media::start(opened, shards.clone()));
    let service = http::Service::new(shards, plan.status, plan.admin_key, push, media);
    let listener = tokio::net::TcpListener::from_std(plan.listener)?;
    let (end_serving, serving_ends) = oneshot::channel();
    let serving = tokio::task::spawn_local(http::serve(listener, plan.tls, service, serving_ends));
    // Whoever holds the sender being gone means the same: nobody would stop the plane later.
    let worked = work.run(async { drop(stopped.await) }).await;
    drop(end_serving);
    serving.await.map_err(io::Error::other)?;
    worked
}

/// Says that the thread is over although nobody asked for it, however it came to that.
struct Ending {
    failed: Option<Box<dyn FnOnce(String) + Send>>,
}

impl Ending {
    fn tell(&mut self, error: String) {
        if let Some(failed) = self.failed.take() {
            failed(error);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell("it panicked; the message is above".to_owned());
        }
    }
}
