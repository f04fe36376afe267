//! Who types in a conversation, by what the server has repeated lately.
//!
//! Owner: one conversation of the core; emptied with the connection. The reader is told beginnings and ends, not repetitions.

use std::collections::BTreeMap;
use std::time::Duration;

use ringwire_protocol::UserId;

use crate::limits::{TYPING_EXPIRY, TYPISTS_MAX};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Typists {
    until: BTreeMap<UserId, Duration>,
}

impl Typists {
    /// The server says that this user types, or has stopped. Whether that is news.
    pub(crate) fn on_notice(&mut self, user: UserId, active: bool, now: Duration) -> bool {
        if !active {
            return self.until.remove(&user).is_some();
        }
        if self.until.len() >= TYPISTS_MAX && !self.until.contains_key(&user) {
            return false;
        }
        self.until.insert(user, now + TYPING_EXPIRY).is_none()
    }

    /// When the next one has been silent for too long.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.until.values().min().copied()
    }

    /// Those who have been silent for too long; they type no more.
    pub(crate) fn take_expired(&mut self, now: Duration) -> Vec<UserId> {
        let expired: Vec<UserId> =
            self.until.iter().filter(|&(_, &until)| until <= now).map(|(&user, _)| user).collect();
        for user in &expired {
            self.until.remove(user);
        }
        expired
    }

    /// Everybody; nobody types any more.
    pub(crate) fn take_all(&mut self) -> Vec<UserId> {
        std::mem::take(&mut self.until).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> UserId {
        UserId::from_name(&number.to_string())
    }

    #[test]
    fn beginnings_and_ends_are_news_and_repetitions_are_not() {
        let (mut typists, second) = (Typists::default(), Duration::from_secs);
        assert!(typists.on_notice(user(1), true, second(0)));
        assert!(!typists.on_notice(user(1), true, second(3)));
        assert_eq!(typists.next(), Some(second(8)));
        assert_eq!(typists.take_expired(second(7)), []);
        assert_eq!(typists.take_expired(second(8)), [user(1)]);
        assert!(!typists.on_notice(user(1), false, second(9)));
        assert_eq!(typists.next(), None);
    }

    #[test]
    fn a_crowd_is_bounded() {
        let mut typists = Typists::default();
        let news =
            (0..TYPISTS_MAX + 5).filter(|&number| typists.on_notice(user(number), true, Duration::ZERO));
        assert_eq!(news.count(), TYPISTS_MAX);
        assert!(!typists.on_notice(user(0), true, Duration::ZERO), "who is in stays in");
        assert_eq!(typists.take_all().len(), TYPISTS_MAX);
    }
}
