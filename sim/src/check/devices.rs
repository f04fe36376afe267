//! Devices: at most one session of a device lives, once the newest was heard of.

use std::collections::BTreeMap;

use ringwire_protocol::UserId;

use super::{Promise, Verdict};

use Promise::Devices as BROKEN;

/// How long two sessions of a device may live side by side, microseconds: the newer is pinged and answers, or is
/// closed for not answering.
const MEETING_US: u64 = 18_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Devices {
    /// When more than one session of a device was seen first.
    doubled: BTreeMap<(UserId, u64), u64>,
}

impl Devices {
    /// These sessions live: user and hashed device of each. Whether two are of one device.
    ///
    /// # Errors
    /// They have been for too long.
    pub fn on_look(&mut self, now_us: u64, sessions: impl Iterator<Item = (UserId, u64)>) -> Verdict<bool> {
        let mut counts: BTreeMap<(UserId, u64), usize> = BTreeMap::new();
        for session in sessions {
            *counts.entry(session).or_default() += 1;
        }
        self.doubled.retain(|device, _| counts.get(device).is_some_and(|count| *count > 1));
        for (device, count) in counts.into_iter().filter(|(_, count)| *count > 1) {
            let since_us = *self.doubled.entry(device).or_insert(now_us);
            BROKEN.holds(now_us - since_us <= MEETING_US, || {
                let (user, origin) = device;
                format!(
                    "device {origin:x} of user {user} has {count} sessions, for {} ms",
                    (now_us - since_us) / 1000
                )
            })?;
        }
        Ok(!self.doubled.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_two_sessions_that_both_stay() {
        let (ada, bob) = (UserId::from_name("ada"), UserId::from_name("bob"));
        let apart = [(ada, 1), (ada, 2), (bob, 1)];
        let together = [(ada, 1), (ada, 1)];
        let mut devices = Devices::default();
        assert!(devices.on_look(0, apart.into_iter()).is_ok());
        assert!(devices.on_look(10, together.into_iter()).is_ok());
        assert!(devices.on_look(10 + MEETING_US, together.into_iter()).is_ok());
        assert!(devices.on_look(11 + MEETING_US, together.into_iter()).is_err());
        assert!(devices.on_look(12 + MEETING_US, apart.into_iter()).is_ok());
        assert!(devices.on_look(13 + MEETING_US, together.into_iter()).is_ok(), "it was one in between");
    }
}
