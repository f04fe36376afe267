//! Who is tried when: so many at a time for each provider, later again where it did not go.
//!
//! ```text
//!   new, replayed ──► due (by time, per provider) ──► under way ──► delivered, gone: done
//!                        ▲                                │ ───────► refused, tried too often: dead letter
//!                        └──── after a wait ◄── failed ◄──┘
//! ```
//!
//! Attempts are counted in memory: a restart tries everything anew, at once. A try that a crash cut short is
//! made again, so a wake-up may arrive twice, with the same id.
//!
//! Owner: one task of the plane.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff;
use super::carrier::{Carriers, Outcome};
use super::job::{Job, JobId};
use super::ledger::Ledger;
use super::queue::{DeadLetter, Entry};
use super::target::{PROVIDERS, index, name};
use super::{Counters, Dropped};

/// How the dispatcher behaves.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Tries of one provider under way at a time.
    pub concurrency: usize,
    /// Tries before a job becomes a dead letter.
    pub attempts_max: u32,
}

/// One provider's jobs.
#[derive(Default)]
struct Lane {
    due: BinaryHeap<Reverse<(Instant, JobId)>>,
    under_way: usize,
}

/// The task.
pub struct Dispatcher {
    ledger: Ledger,
    carriers: Rc<Carriers>,
    pace: Pace,
    counters: Rc<RefCell<Counters>>,
    /// Told of registrations whose device is gone.
    dropped: Dropped,
    lanes: [Lane; 4],
    attempts: HashMap<JobId, u32>,
    /// Services that asked for a pause.
    paused: HashMap<String, Instant>,
    under_way: JoinSet<(Job, Outcome)>,
}

impl Dispatcher {
    /// With everything due that waits in the queue.
    pub fn new(
        ledger: Ledger,
        carriers: Rc<Carriers>,
        pace: Pace,
        counters: Rc<RefCell<Counters>>,
        dropped: Dropped,
    ) -> Self {
        let mut dispatcher = Dispatcher {
            ledger: ledger.clone(),
            carriers,
            pace,
            counters,
            dropped,
            lanes: Default::default(),
            attempts: HashMap::new(),
            paused: HashMap::new(),
            under_way: JoinSet::new(),
        };
        for job in ledger.queue().jobs() {
            dispatcher.lanes[index(job.target.provider)].due.push(Reverse((Instant::now(), job.id)));
        }
        dispatcher
    }

    /// Runs until nobody can send jobs any more.
    pub async fn run(mut self, mut jobs: UnboundedReceiver<JobId>) {
        loop {
            self.start_due();
            let next = self.next_due();
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(id) => self.add(id),
                    None => return,
                },
                Some(ended) = self.under_way.join_next() => match ended {
                    Ok((job, outcome)) => self.on_outcome(job, outcome),
                    // A task that panicked has shown a bug: the plane ends with it.
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => return,
                    },
                },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    fn add(&mut self, id: JobId) {
        let provider = self.ledger.queue().job(id).map(|job| job.target.provider);
        if let Some(provider) = provider {
            self.lanes[index(provider)].due.push(Reverse((Instant::now(), id)));
        }
    }

    /// When the next job is due that has room.
    fn next_due(&self) -> Option<Instant> {
        let free = self.lanes.iter().filter(|lane| lane.under_way < self.pace.concurrency);
        free.filter_map(|lane| lane.due.peek().map(|Reverse((at, _))| *at)).min()
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        self.paused.retain(|_, until| *until > now);
        for lane in &mut self.lanes {
            while lane.under_way < self.pace.concurrency {
                let Some(Reverse((at, id))) = lane.due.pop() else { break };
                if at > now {
                    lane.due.push(Reverse((at, id)));
                    break;
                }
                let Some(job) = self.ledger.queue().job(id).cloned() else {
                    // Its user has been back.
                    self.attempts.remove(&id);
                    continue;
                };
                if let Some(until) = self.paused.get(&Carriers::origin(&job)) {
                    lane.due.push(Reverse((*until, id)));
                    continue;
                }
                lane.under_way += 1;
                let carriers = Rc::clone(&self.carriers);
                self.under_way.spawn_local(async move {
                    let outcome = carriers.send(&job).await;
                    (job, outcome)
                });
            }
        }
    }

    fn on_outcome(&mut self, job: Job, outcome: Outcome) {
        let provider = job.target.provider;
        self.lanes[index(provider)].under_way -= 1;
        let is_wanted = self.ledger.queue().job(job.id).is_some();
        let mut counters = self.counters.borrow_mut();
        let counts = &mut counters.by_provider[index(provider)];
        match outcome {
            Outcome::Delivered => {
                counts.delivered += 1;
                self.attempts.remove(&job.id);
                self.ledger.record(Entry::Done { job: job.id });
            }
            Outcome::Gone { why } => {
                counts.gone += 1;
                tracing::debug!(provider = name(provider), job = job.id, why, "the device is gone");
                self.attempts.remove(&job.id);
                self.ledger.record(Entry::Done { job: job.id });
                drop(counters);
                (self.dropped)(&job);
            }
            // Its user has been back: nothing is to be tried again.
            _ if !is_wanted => {
                self.attempts.remove(&job.id);
            }
            Outcome::Refused { why } => {
                counts.dead += 1;
                drop(counters);
                self.bury(job, why);
            }
            Outcome::Retry { after, why } => {
                counts.failed += 1;
                drop(counters);
                self.on_failed(job, after, why);
            }
        }
    }

    fn on_failed(&mut self, job: Job, after: Option<Duration>, why: String) {
        let provider = job.target.provider;
        let attempts = self.attempts.entry(job.id).or_default();
        *attempts += 1;
        if *attempts >= self.pace.attempts_max {
            self.counters.borrow_mut().by_provider[index(provider)].dead += 1;
            return self.bury(job, why);
        }
        tracing::debug!(provider = name(provider), job = job.id, attempts, why, "a push failed for now");
        let now = Instant::now();
        if let Some(after) = after {
            self.paused.insert(Carriers::origin(&job), now + after);
        }
        // Without randomness all wait the longest: slower, and still right.
        let wait = backoff::wait(*attempts, after, getrandom::u64().unwrap_or(u64::MAX));
        self.lanes[index(provider)].due.push(Reverse((now + wait, job.id)));
    }

    fn bury(&mut self, job: Job, why: String) {
        let provider = name(job.target.provider);
        tracing::warn!(provider, job = job.id, wake = %job.wake, why, "a push was given up; it is a dead letter");
        let attempts = self.attempts.remove(&job.id).unwrap_or_default().max(1);
        let died_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        self.ledger.record(Entry::Dead(DeadLetter { job, attempts, why, died_ms }));
    }
}

const _: () = assert!(PROVIDERS.len() == 4, "there is a lane for each provider");
