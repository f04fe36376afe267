//! What to do when accepting fails: go on, or pause and try again later.
//!
//! When descriptors or memory run out, the connection stays in the listener's queue and accepting again
//! fails again: without a pause that is a busy loop. One report per outage, not one per try.

use std::io;
use std::time::{Duration, Instant};

/// How long accepting rests when descriptors or memory ran out.
const PAUSE: Duration = Duration::from_millis(100);

/// The state of accepting on one listener; belongs to its driver.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    until: Option<Instant>,
    /// The present outage was reported.
    failing: bool,
}

/// What a failed accept asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// That connection is gone or the call was disturbed: accept the next.
    GoOn,
    /// Rest, and say so.
    PauseAndReport,
    /// Rest; it was said already.
    Pause,
}

impl Pause {
    pub(crate) fn on_success(&mut self) {
        self.failing = false;
    }

    /// Judges a failure; after a pause verdict [`Pause::take_over`] tells when to try again.
    pub(crate) fn on_error(&mut self, error: &io::Error) -> Verdict {
        if concerns_one_connection(error) {
            return Verdict::GoOn;
        }
        if self.until.is_none() {
            self.until = Some(Instant::now() + PAUSE);
        }
        if std::mem::replace(&mut self.failing, true) { Verdict::Pause } else { Verdict::PauseAndReport }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// True once when the pause has run out.
    pub(crate) fn take_over(&mut self) -> bool {
        let over = self.until.is_some_and(|until| Instant::now() >= until);
        if over {
            self.until = None;
        }
        over
    }

    /// A wait must not outlast the pause.
    pub(crate) fn cap(&self, timeout: Option<Duration>) -> Option<Duration> {
        let Some(until) = self.until else { return timeout };
        let left = until.saturating_duration_since(Instant::now());
        Some(timeout.map_or(left, |timeout| timeout.min(left)))
    }
}

/// The errors that accept(2) passes on from the new socket or from the moment; all others will come again.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EAGAIN
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    #[test]
    fn an_outage_is_reported_once_and_tried_again() {
        let mut pause = Pause::default();
        assert_eq!(pause.on_error(&error(libc::ECONNABORTED)), Verdict::GoOn);
        assert!(!pause.is_on());
        assert_eq!(pause.cap(None), None);

        assert_eq!(pause.on_error(&error(libc::ENFILE)), Verdict::PauseAndReport);
        assert!(pause.is_on());
        assert!(pause.cap(None).unwrap() <= PAUSE);
        assert_eq!(pause.cap(Some(Duration::ZERO)), Some(Duration::ZERO));
        assert_eq!(pause.on_error(&error(libc::EMFILE)), Verdict::Pause, "the same outage");

        while !pause.take_over() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!pause.is_on());
        assert_eq!(pause.on_error(&error(libc::ENFILE)), Verdict::Pause, "still the same outage");
        pause.on_success();
        assert_eq!(pause.on_error(&error(libc::ENFILE)), Verdict::PauseAndReport, "a new outage");
    }
}
