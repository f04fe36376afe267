//! The doorbell: how a sleeping driver is woken from another thread, and only then.
//!
//! Who has something for a shard writes it into a ring, then rings. Who goes to sleep says so, then looks
//! at the rings once more. Between the write and the look of either side stands a sequentially consistent
//! fence, so at least one of them sees the other: a wake-up cannot be lost, and a driver that is awake is
//! never rung (a ring costs 300 ns to 3 µs, and the sleeper up to 20 µs).
//!
//! ```text
//!   ringer                         sleeper
//!   write into the ring            sleeping = true
//!   fence                          fence
//!   sleeping? -> claim and ring    ring empty? -> block
//! ```

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering, fence};
use std::time::{Duration, Instant};

use crate::sys;

/// Wakes one driver, from any thread; cheap to clone. It outlives the driver harmlessly.
#[derive(Clone)]
pub struct Bell(Arc<Shared>);

/// On cache lines of its own: others look at `sleeping` every turn.
#[repr(align(128))]
struct Shared {
    /// The driver is about to block or blocks, and nobody has rung yet.
    sleeping: AtomicBool,
    /// The driver's ring, for messages from other rings, or -1. While a driver is dropped the number may
    /// be stale for a moment; a message to a wrong ring is at worst one `Rung` too many.
    ring: AtomicI32,
    /// Never read: the driver watches it edge-triggered, and the counter cannot fill in practice (2^64).
    eventfd: OwnedFd,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let eventfd = sys::eventfd()?;
        Ok(Self(Arc::new(Shared { sleeping: AtomicBool::new(false), ring: AtomicI32::new(-1), eventfd })))
    }

    /// Wakes the driver if it said that it sleeps. What it is to find must have been written before.
    pub fn ring(&self) {
        if self.claim() {
            self.ring_always();
        }
    }

    /// Wakes the driver, or makes its next wait return at once.
    pub fn ring_always(&self) {
        sys::eventfd_signal(self.0.eventfd.as_fd());
    }

    /// Whether the driver sleeps and nobody else has undertaken to wake it: then the caller must.
    pub(crate) fn claim(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.sleeping.load(Ordering::Relaxed) && self.0.sleeping.swap(false, Ordering::Relaxed)
    }

    /// Where other rings may send a message.
    pub(crate) fn set_ring(&self, ring: RawFd) {
        self.0.ring.store(ring, Ordering::Relaxed);
    }

    pub(crate) fn ring_fd(&self) -> Option<RawFd> {
        Some(self.0.ring.load(Ordering::Relaxed)).filter(|fd| *fd >= 0)
    }

    /// The driver's side: from here on others ring. The caller looks at its rings once more after this.
    pub(crate) fn say_asleep(&self) {
        self.0.sleeping.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The driver's side: no more ringing.
    pub(crate) fn say_awake(&self) {
        self.0.sleeping.store(false, Ordering::Relaxed);
    }

    /// What the driver watches.
    pub(crate) fn eventfd(&self) -> BorrowedFd<'_> {
        self.0.eventfd.as_fd()
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sleeping = self.0.sleeping.load(Ordering::Relaxed);
        f.debug_struct("Bell").field("sleeping", &sleeping).finish_non_exhaustive()
    }
}

/// Looks at `quiet` until it turns false or `spin` is over; whether it stayed quiet.
pub(crate) fn spin(spin: Duration, quiet: &mut dyn FnMut() -> bool) -> bool {
    /// Looks between two readings of the clock.
    const LOOKS: u32 = 32;
    if !quiet() {
        return false;
    }
    if spin.is_zero() {
        return true;
    }
    let start = Instant::now();
    loop {
        for _ in 0..LOOKS {
            std::hint::spin_loop();
            if !quiet() {
                return false;
            }
        }
        if start.elapsed() >= spin {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_ringer_claims_a_sleeper() {
        let bell = Bell::new().unwrap();
        assert!(!bell.claim(), "an awake driver is not rung");
        bell.say_asleep();
        assert!(bell.clone().claim());
        assert!(!bell.claim(), "somebody rings already");
        bell.say_asleep();
        bell.say_awake();
        assert!(!bell.claim());
    }

    #[test]
    fn spinning_ends_when_something_comes() {
        let mut looks = 0;
        let stayed = spin(Duration::from_secs(3_600), &mut || {
            looks += 1;
            looks < 100
        });
        assert!(!stayed);
        assert_eq!(looks, 100);
        assert!(spin(Duration::ZERO, &mut || true), "no spinning at all still looks once");
    }
}
