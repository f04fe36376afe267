//! Presence: once nothing changes any more, every watcher knows how every user is within the time that presence
//! lasts, one heartbeat, and the time it takes to be told.
//!
//! That presence is never stored is looked after where the journal is read (`model/log.rs`): a record that is no
//! entry and no known note is refused there.

use super::lasting::Lasting;
use super::{Promise, Verdict};

/// How long it takes to be told, besides: the sweep's second, the interval between two frames, the network, and
/// a list of watched users that was refused for a moment; and over QUIC the 4 s that pass at most until what a lost
/// datagram has said is said again.
const TELLING_US: u64 = 8_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Presence {
    lasting: Lasting,
}

impl Presence {
    /// Everybody is connected, nothing goes wrong; some watcher believes `wrong`, or none does. `lasts_us` is how
    /// long presence lasts, with a heartbeat.
    ///
    /// # Errors
    /// It has been wrong for too long.
    pub fn on_look(&mut self, now_us: u64, lasts_us: u64, wrong: Option<&str>) -> Verdict {
        self.lasting.on_look(Promise::Presence, now_us, lasts_us + TELLING_US, wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_a_watcher_that_is_never_told() {
        let mut presence = Presence::default();
        let wrong = Some("ada is gone");
        assert!(presence.on_look(1_000, 5_000_000, wrong).is_ok());
        assert!(presence.on_look(13_001_000, 5_000_000, wrong).is_ok());
        assert!(presence.on_look(13_001_001, 5_000_000, wrong).is_err());
        assert!(presence.on_look(13_001_002, 5_000_000, None).is_ok());
        assert!(presence.on_look(13_001_003, 5_000_000, wrong).is_ok(), "it was right in between");
    }
}
