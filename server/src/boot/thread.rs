//! A shard's thread: wait, hand over, close the turn, submit.

use std::cell::{Cell, RefCell};
use std::sync::Barrier;
use std::time::Duration;

use ringwire_driver::{AnyDriver, Driver, Opened, affinity};

use super::clock::Clock;
use super::control::{Control, Report};
use crate::shard::Shard;

/// What a thread is started with. Everything in it is moved there and stays there.
pub struct Plan {
    /// Which shard.
    pub index: u16,
    /// Which driver.
    pub kind: ringwire_driver::Kind,
    /// How it is set up.
    pub driver: ringwire_driver::Config,
    /// Makes the shard, on its own thread.
    pub make: Box<dyn FnOnce() -> Shard + Send>,
    /// The common clock.
    pub clock: Clock,
    /// How long clients have to go elsewhere.
    pub drain: Duration,
}

/// Runs a shard until the process drains.
pub fn run(plan: Plan, control: &Control, all_hung: &Barrier) {
    let index = plan.index;
    // One shard per processor; where that is refused (a container's cpuset may change), the scheduler does.
    if let Err(error) = affinity::pin_current(usize::from(index)) {
        tracing::debug!(shard = index, %error, "the shard's thread is not pinned");
    }
    let opened = ringwire_driver::open(plan.kind, plan.driver);
    if let Ok(opened) = &opened {
        control.hang(index, opened.driver.bell());
    }
    // Every thread comes here, also those that failed: nobody waits for ever.
    all_hung.wait();
    let Opened { mut driver, kind, fallback } = match opened {
        Ok(opened) => opened,
        Err(error) => {
            return control.report(Report::StartFailed { shard: index, error: error.to_string() });
        }
    };
    if let Some(bells) = control.bells() {
        driver.connect(bells);
    }
    let shard = RefCell::new((plan.make)());
    control.report(Report::Ready { driver: kind, fallback });
    if let Err(error) = turns(&shard, &mut driver, plan.clock, control, plan.drain) {
        control.report(Report::Failed { shard: index, error: format!("its driver failed: {error}") });
    }
    let shard = shard.borrow();
    control.report(Report::Served {
        shard: index,
        sessions: Box::new(shard.sessions().counters),
        conversations: Box::new(shard.conversations().counters),
        driver: driver.counters(),
    });
}

/// Says that a shard's thread is over, however it came to that: a shard that panics takes the others down in
/// good order, because its conversations have nobody else.
pub struct Ending<'a> {
    /// Which shard.
    pub shard: u16,
    /// Who is told.
    pub control: &'a Control,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = "it panicked; the message is above".to_owned();
            self.control.report(Report::Failed { shard: self.shard, error });
        }
        self.control.report(Report::Ended);
    }
}

fn turns(
    shard: &RefCell<Shard>,
    driver: &mut AnyDriver,
    clock: Clock,
    control: &Control,
    drain: Duration,
) -> std::io::Result<()> {
    let mut ending: Option<Stopping> = None;
    // What the journal asks for before the first connection comes.
    shard.borrow_mut().end_of_turn(clock.now());
    driver.submit(shard.borrow_mut().operations());
    loop {
        let timeout = shard.borrow_mut().sleep_ms(clock.now()).map(Duration::from_millis);
        let timeout = match ending {
            Some(_) => Some(timeout.map_or(ENDING_TURN, |timeout| timeout.min(ENDING_TURN))),
            None => timeout,
        };
        // The clock is read once per turn, after the wait, and only if something happened.
        let now = Cell::new(None);
        driver.wait(
            timeout,
            &mut || shard.borrow_mut().is_idle() && !control.is_draining(),
            &mut |completion| {
                let at = now.get().unwrap_or_else(|| clock.now());
                now.set(Some(at));
                shard.borrow_mut().on_completion(at, completion);
            },
        )?;
        let now = now.get().unwrap_or_else(|| clock.now());
        let mut shard = shard.borrow_mut();
        if control.is_draining() {
            let ending = ending.get_or_insert_with(|| {
                shard.drain(now, u32::try_from(drain.as_millis() / 2).unwrap_or(u32::MAX));
                Stopping { until_ms: now.monotonic_ms() + drain.as_millis() as u64, stopped: false }
            });
            let over = shard.is_drained() || now.monotonic_ms() >= ending.until_ms;
            if over && !ending.stopped {
                ending.stopped = true;
                shard.stop(now);
            }
            let given_up = now.monotonic_ms() >= ending.until_ms + STOP_GRACE_MS;
            if ending.stopped && (shard.is_stopped() || given_up) {
                // The last words of connections that nobody closes for us.
                shard.end_of_turn(now);
                driver.submit(shard.operations());
                return Ok(());
            }
        }
        shard.note_driver(|| driver.counters());
        shard.end_of_turn(now);
        if let Some(error) = shard.take_failure() {
            control.report(Report::Failed { shard: shard.index(), error });
        }
        driver.submit(shard.operations());
    }
}

/// How a shard ends: first the clients, then the journal.
struct Stopping {
    until_ms: u64,
    stopped: bool,
}

/// How often an ending shard looks whether it is done.
const ENDING_TURN: Duration = Duration::from_millis(10);

/// How long the disk has for what was accepted, milliseconds.
const STOP_GRACE_MS: u64 = 10_000;
