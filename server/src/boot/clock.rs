//! The clocks of the real world; the only place of the server that reads them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::clock::Now;

/// Both clocks, from a common start, so that all shards agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the monotonic clock.
    #[expect(clippy::disallowed_methods, reason = "this is where the server's time comes from")]
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// The instant that the monotonic clock counts from, for those who know instants only. A second apart from it,
    /// always the same.
    pub fn base(&self) -> Instant {
        self.start
    }

    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "this is where the server's time comes from")]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            // From one second on, so that no number made of it is zero.
            monotonic_ns: 1_000_000_000
                + u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX / 2),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(0),
        }
    }
}
