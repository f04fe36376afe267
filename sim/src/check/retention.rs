//! Retention: only what is beyond retention is given up, from the beginning of a conversation and never again kept;
//! and nobody is told that anything else has expired.

use super::{Promise, Room, Verdict};
use crate::model::Log;
use ringwire::store::retention::{Kept, Rules};

use Promise::Retention as BROKEN;

/// See the module.
#[derive(Debug)]
pub struct Retention {
    rules: Rules,
    /// Rooms before this one are groups, the others are of two.
    groups: Room,
    /// The last sequence that each room has given up.
    expired: Vec<u64>,
    /// The latest time at which one looked, milliseconds since 1970.
    looked_ms: u64,
}

impl Retention {
    /// For so many rooms, of which the first are groups.
    pub fn new(rules: Rules, groups: Room, rooms: usize) -> Self {
        Retention { rules, groups, expired: vec![0; rooms], looked_ms: 0 }
    }

    /// Somebody looks at this time what may go.
    pub fn on_sweep(&mut self, unix_ms: u64) {
        self.looked_ms = self.looked_ms.max(unix_ms);
    }

    /// A room has given up everything up to `last`; the journal, with what was given up, is this.
    ///
    /// # Errors
    /// That is less than before, or something of it was to be kept.
    pub fn on_expired(&mut self, room: Room, last: u64, log: &Log) -> Verdict {
        let before = std::mem::replace(&mut self.expired[room], last);
        BROKEN
            .holds(last >= before, || format!("room {room} keeps what is behind {last}, after {before}"))?;
        let Kept { age, messages } = if room < self.groups { self.rules.group } else { self.rules.direct };
        let head = log.end(room);
        for (sequence, entry) in log.entries(room).take_while(|(sequence, _)| *sequence <= last) {
            let by_count = messages > 0 && sequence + messages <= head;
            let old_ms = self.looked_ms.saturating_sub(entry.time_ms);
            let by_age = !age.is_zero() && u128::from(old_ms) > age.as_millis();
            BROKEN.holds(by_count || by_age, || {
                format!("{sequence} of room {room} was given up, {old_ms} ms old and with the head at {head}")
            })?;
        }
        Ok(())
    }

    /// Somebody is told that everything up to `to` has expired.
    ///
    /// # Errors
    /// It has not.
    pub fn on_told(&self, room: Room, to: u64) -> Verdict {
        let expired = self.expired[room];
        BROKEN.holds(to <= expired, || {
            format!("room {room} is said to have expired up to {to}, and it has up to {expired}")
        })
    }

    /// The last sequence that a room has given up.
    pub fn expired(&self, room: Room) -> u64 {
        self.expired[room]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::exactly_once::sample;
    use super::*;
    use crate::model::Story;

    fn retention(kept: Kept) -> (Retention, Log) {
        let mut entries = vec![sample(b"x", 0); 10];
        for (entry, at) in entries.iter_mut().zip(1..) {
            entry.time_ms = 1_000 * at;
        }
        let log = Log { rooms: vec![Story::of(entries)] };
        (Retention::new(Rules { group: kept, ..Rules::default() }, 1, 1), log)
    }

    #[test]
    fn canary_what_is_to_be_kept_is_given_up() {
        let (mut retention, log) = retention(Kept { messages: 4, ..Kept::default() });
        assert!(retention.on_expired(0, 6, &log).is_ok());
        assert!(retention.on_expired(0, 7, &log).is_err());
    }

    #[test]
    fn canary_what_is_young_is_given_up_and_what_is_gone_is_kept_again() {
        let (mut retention, log) = retention(Kept { age: Duration::from_secs(3), messages: 0 });
        retention.on_sweep(8_500);
        assert!(retention.on_expired(0, 5, &log).is_ok());
        assert!(retention.on_expired(0, 4, &log).is_err());
        retention.on_sweep(8_500);
        assert!(retention.on_expired(0, 6, &log).is_err());
    }

    #[test]
    fn canary_a_gap_over_what_is_kept() {
        let (mut retention, log) = retention(Kept { messages: 4, ..Kept::default() });
        retention.on_expired(0, 6, &log).expect("beyond");
        assert!(retention.on_told(0, 6).is_ok() && retention.on_told(0, 7).is_err());
        assert_eq!(retention.expired(0), 6);
    }
}
