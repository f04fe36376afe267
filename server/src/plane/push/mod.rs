//! Push: those who are away are told that there is something new, once per conversation until they return.
//!
//! ```text
//!   shards ── Wake, Back ──► take ──► ledger (durable) ──► dispatch ──► carrier ──► push service
//!                                        ▲                    │
//!                                        '── done, dead ──────'
//! ```
//!
//! Who is away, and since when, and for which conversations, is known to shards; here it is known who has been
//! woken, and what is still to be delivered. A payload says ids only.
//!
//! Owner: the plane's thread. Invariants: see `queue`.
//!
//! Absent: registrations (a user's home has them; a wake brings those it needs), messages.

mod backoff;
mod carrier;
mod dispatch;
mod file;
mod job;
mod ledger;
mod queue;
pub mod target;
mod text;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

pub use carrier::{
    Apns, ApnsConfig, Carriers, Client, Fcm, FcmConfig, ServiceAccount, VapidKey, WebPush, WebPushConfig,
    Webhook, WebhookConfig,
};
pub use dispatch::Pace;
pub use file::{FileError, Opened, QueueFile};
pub use job::{Job, JobId, WakeId};
pub use queue::DeadLetter;

use super::exchange::{Letter, Shards, Wake};
use crate::limits::{PUSH_JOBS_MAX, WAKES_PER_TURN};
use dispatch::Dispatcher;
use ledger::{Committer, Ledger};
use queue::Entry;

/// Called with a job whose device is gone.
type Dropped = Box<dyn Fn(&Job)>;

/// What push is started with, made by boot; the file is open, so that what is wrong with it keeps the server
/// from starting.
pub struct Plan {
    /// The queue's file.
    pub opened: Opened,
    /// The carriers that are configured.
    pub carriers: Carriers,
    /// How fast.
    pub pace: Pace,
}

/// Where the queue's file is in the data directory.
pub fn queue_path(data: &std::path::Path) -> PathBuf {
    data.join("push").join("queue")
}

/// What one provider's pushes came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProviderCounters {
    /// Taken by the service.
    pub delivered: u64,
    /// Tries that are made again.
    pub failed: u64,
    /// Devices that are gone.
    pub gone: u64,
    /// Jobs that became dead letters.
    pub dead: u64,
}

/// What push counts; all since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Wake-ups taken: each counts once, however many devices and tries it has.
    pub wakes: u64,
    /// Wake-ups of users who were woken for that conversation already.
    pub wakes_repeated: u64,
    /// By [`target::index`].
    pub by_provider: [ProviderCounters; 4],
}

/// The running push, as the plane's other parts see it.
#[derive(Clone)]
pub struct Push {
    ledger: Ledger,
    counters: Rc<RefCell<Counters>>,
    /// Bounded by the queue: every number sent is a job in it.
    jobs: UnboundedSender<JobId>,
}

/// What push does, to be run beside the rest.
pub struct Work {
    push: Push,
    committer: Committer,
    dispatcher: Dispatcher,
    new_jobs: tokio::sync::mpsc::UnboundedReceiver<JobId>,
    shards: Shards,
}

/// Puts push together, on the plane's thread.
pub fn start(plan: Plan, shards: Shards) -> (Push, Work) {
    let (ledger, committer) = ledger::ledger(plan.opened);
    let counters = Rc::new(RefCell::new(Counters::default()));
    let dropped = {
        let shards = shards.clone();
        Box::new(move |job: &Job| forget_registration(&shards, job))
    };
    let carriers = Rc::new(plan.carriers);
    let dispatcher = Dispatcher::new(ledger.clone(), carriers, plan.pace, Rc::clone(&counters), dropped);
    let (jobs, new_jobs) = unbounded_channel();
    let push = Push { ledger, counters, jobs };
    (push.clone(), Work { push, committer, dispatcher, new_jobs, shards })
}

/// Asks the user's home to drop the registration. Where it does not answer, the next push finds the same again.
fn forget_registration(shards: &Shards, job: &Job) {
    let (shards, user, device) = (shards.clone(), job.user, job.device);
    let token = job.target.token.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = shards.unregister(user, device, token).await {
            tracing::debug!(%user, %error, "a registration of a device that is gone was not dropped yet");
        }
    });
}

impl Work {
    /// Takes wake-ups and pushes until `stopped`; then writes what is left, so that the next start goes on.
    ///
    /// # Errors
    /// Where the queue's file cannot be written any more.
    pub async fn run(self, stopped: impl Future<Output = ()>) -> io::Result<()> {
        let committing = tokio::task::spawn_local(self.committer.run());
        tokio::pin!(committing);
        let dispatching = self.dispatcher.run(self.new_jobs);
        tokio::pin!(dispatching);
        tokio::pin!(stopped);
        let mut letters = Vec::new();
        // Letters may have come before anybody listened.
        let mut has_more = true;
        loop {
            let has_room = self.push.ledger.queue().jobs_count() < PUSH_JOBS_MAX;
            let taking = async {
                if !has_room {
                    // Wakes wait in the rings and outlets; jobs end meanwhile.
                    tokio::time::sleep(FULL_PAUSE).await;
                } else if !has_more {
                    self.shards.notified().await;
                }
            };
            tokio::select! {
                () = taking => {}
                () = &mut dispatching => unreachable!("push itself can send jobs"),
                ended = &mut committing => return ended.map_err(io::Error::other)?,
                () = &mut stopped => break,
            }
            if has_room {
                letters.clear();
                self.shards.take_letters(WAKES_PER_TURN, &mut letters);
                has_more = letters.len() == WAKES_PER_TURN;
                self.push.take(&letters);
            }
        }
        // Shards have ended: what they have sent is all there is.
        letters.clear();
        self.shards.take_letters(usize::MAX, &mut letters);
        self.push.record(&letters);
        self.push.ledger.close();
        committing.await.map_err(io::Error::other)?
    }
}

/// How long wake-ups wait before a full queue is looked at again.
const FULL_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl Push {
    /// Records letters and starts what they ask for, once it is durable.
    fn take(&self, letters: &[Letter]) {
        let jobs = self.record(letters);
        if jobs.is_empty() {
            return;
        }
        let push = self.clone();
        tokio::task::spawn_local(async move {
            push.ledger.durable().await;
            push.dispatch(jobs);
        });
    }

    fn record(&self, letters: &[Letter]) -> Vec<JobId> {
        let mut started = Vec::new();
        for letter in letters {
            match letter {
                Letter::Wake(wake) => self.record_wake(wake, &mut started),
                Letter::Back { user } => {
                    let is_awaited = self.ledger.queue().is_awaited(*user);
                    if is_awaited {
                        self.ledger.record(Entry::Back { user: *user });
                    }
                }
            }
        }
        started
    }

    fn record_wake(&self, wake: &Wake, started: &mut Vec<JobId>) {
        let is_woken = self.ledger.queue().is_woken(wake.user, wake.conversation);
        if is_woken {
            self.counters.borrow_mut().wakes_repeated += 1;
            return;
        }
        self.counters.borrow_mut().wakes += 1;
        let id = WakeId::new(wake.user, wake.conversation, wake.sequence);
        let jobs: Vec<Job> = wake
            .devices
            .iter()
            .map(|registered| Job {
                id: self.ledger.next_job(),
                wake: id,
                user: wake.user,
                conversation: wake.conversation,
                sequence: wake.sequence,
                device: registered.device,
                target: registered.target.clone(),
            })
            .collect();
        started.extend(jobs.iter().map(|job| job.id));
        self.ledger.record(Entry::Woken {
            user: wake.user,
            conversation: wake.conversation,
            sequence: wake.sequence,
            jobs,
        });
    }

    fn dispatch(&self, jobs: Vec<JobId>) {
        for job in jobs {
            // Where push has ended, the next start finds the job in the file.
            let _ = self.jobs.send(job);
        }
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        *self.counters.borrow()
    }

    /// How many jobs wait, and how many are dead letters.
    pub fn levels(&self) -> (usize, usize) {
        let queue = self.ledger.queue();
        (queue.jobs_count(), queue.dead_count())
    }

    /// Dead letters after `after`, the oldest first.
    pub fn dead_letters(&self, after: Option<JobId>, limit: usize) -> Vec<DeadLetter> {
        self.ledger.queue().dead_after(after).take(limit).cloned().collect()
    }

    /// Makes dead letters jobs again; `None`: all. Says how many; durable when it returns.
    pub async fn replay(&self, job: Option<JobId>) -> usize {
        let jobs = self.dead_ids(job);
        for job in &jobs {
            self.ledger.record(Entry::Replayed { job: *job });
        }
        self.ledger.durable().await;
        let count = jobs.len();
        self.dispatch(jobs);
        count
    }

    /// Throws a dead letter away; `None`: all. Says how many; durable when it returns.
    pub async fn forget(&self, job: Option<JobId>) -> usize {
        let jobs = self.dead_ids(job);
        for job in &jobs {
            self.ledger.record(Entry::Forgotten { job: *job });
        }
        self.ledger.durable().await;
        jobs.len()
    }

    fn dead_ids(&self, job: Option<JobId>) -> Vec<JobId> {
        let queue = self.ledger.queue();
        match job {
            Some(job) => queue.dead_letter(job).map(|letter| letter.job.id).into_iter().collect(),
            None => queue.dead_after(None).map(|letter| letter.job.id).collect(),
        }
    }
}
