//! What is kept of conversations: for how long, and how many of the newest messages.
//!
//! The journal gives up whole segments, when there is nothing to be kept in them (`ringwire-store`). So a message is
//! kept at least as long as is said here, and goes with the last of those that were written around it.

use std::time::Duration;

use ringwire_protocol::message::ConversationKind;
use ringwire_store::Retention;

use super::Folded;
use crate::limits::SEGMENTS_PER_AGE;

/// What is kept of the conversations of one class. A message goes when either bound is passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// For how long; zero: for ever.
    pub age: Duration,
    /// How many of the newest; 0: all.
    pub messages: u64,
}

impl Kept {
    /// Whether nothing ever goes.
    pub fn is_all(self) -> bool {
        self == Kept::default()
    }

    fn is_beyond(self, head: u64, last: u64, age_ms: u64) -> bool {
        let by_age = !self.age.is_zero() && u128::from(age_ms) > self.age.as_millis();
        let by_count = self.messages > 0 && last.saturating_add(self.messages) <= head;
        by_age || by_count
    }
}

/// What is kept, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Of conversations of two.
    pub direct: Kept,
    /// Of all others.
    pub group: Kept,
}

impl Rules {
    /// Whether nothing ever goes.
    pub fn is_all(self) -> bool {
        self.direct.is_all() && self.group.is_all()
    }

    /// The longest that anything is kept, if not for ever.
    pub fn age_max(self) -> Option<Duration> {
        let ages = [self.direct.age, self.group.age];
        ages.iter().all(|age| !age.is_zero()).then(|| ages[0].max(ages[1]))
    }

    /// How long one journal file may take records, milliseconds, so that what is little goes in time; `u64::MAX`: for
    /// ever.
    pub fn segment_age_ms(self) -> u64 {
        let ages = [self.direct.age, self.group.age].into_iter().filter(|age| !age.is_zero());
        let age = ages.min().map(|age| age / SEGMENTS_PER_AGE);
        age.map_or(u64::MAX, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(1000))
    }

    /// As they are at this time.
    pub fn at(self, unix_ms: u64) -> RulesAt {
        RulesAt { rules: self, unix_ms }
    }
}

/// The rules at one time.
#[derive(Clone, Copy, Debug)]
pub struct RulesAt {
    rules: Rules,
    unix_ms: u64,
}

impl Retention<Folded> for RulesAt {
    fn is_beyond(&self, _: &[u8; 16], folded: &Folded, last: u64, time_ms: u64) -> bool {
        match folded {
            Folded::Conversation(state) => {
                let kept = match state.kind {
                    ConversationKind::Direct => self.rules.direct,
                    ConversationKind::Group => self.rules.group,
                };
                kept.is_beyond(state.head, last, self.unix_ms.saturating_sub(time_ms))
            }
            // Each is again an entry of its conversation, in the same segment: that one decides. And what it is about
            // is older than it is.
            Folded::Amended(_) => true,
            // Of users there are notes only, and those are folded.
            Folded::User(_) => true,
        }
    }

    fn forget(&self, _: &[u8; 16], folded: &mut Folded, last: u64) {
        if let Folded::Conversation(state) = folded {
            state.expired = state.expired.max(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::State;

    const DAY_MS: u64 = 86_400_000;

    fn beyond(rules: Rules, kind: ConversationKind, last: u64, days_old: u64) -> bool {
        let folded = Folded::Conversation(Box::new(State { kind, head: 100, ..State::default() }));
        rules.at(400 * DAY_MS).is_beyond(&[0; 16], &folded, last, (400 - days_old) * DAY_MS)
    }

    #[test]
    fn each_class_has_its_rule_and_either_bound_is_enough() {
        use ConversationKind::{Direct, Group};
        let age = |days: u64| Kept { age: Duration::from_secs(days * 86_400), messages: 0 };
        let count = |messages| Kept { age: Duration::ZERO, messages };
        let rules = Rules { direct: age(30), group: count(10) };
        for (kind, last, days_old, expected) in
            [(Direct, 1, 31, true), (Direct, 1, 30, false), (Group, 90, 0, true), (Group, 91, 399, false)]
        {
            assert_eq!(beyond(rules, kind, last, days_old), expected, "{kind:?} {last} {days_old}");
        }
        let both = Rules { group: Kept { messages: 10, ..age(30) }, ..Rules::default() };
        assert!(beyond(both, Group, 95, 31) && beyond(both, Group, 90, 1) && !beyond(both, Group, 95, 1));
        assert!(!beyond(both, Direct, 1, 399), "off where nothing is said");
        assert!(Rules::default().is_all() && !both.is_all());
        assert_eq!((both.age_max(), rules.age_max()), (None, None));
        let aged = Rules { direct: age(3), group: age(9) };
        assert_eq!((aged.segment_age_ms(), Rules::default().segment_age_ms()), (3 * DAY_MS / 4, u64::MAX));
        assert_eq!(aged.age_max(), Some(Duration::from_secs(9 * 86_400)));
    }
}
