//! Exactly once: what each device has published into one conversation.
//!
//! A device numbers its publishes 1, 2, 3 … per conversation, without holes. Its owner accepts the next
//! number, answers an earlier one with what became of it, and refuses a later one, because accepting it
//! would make the missing one look like a repetition for ever after.
//!
//! A device has one session that may publish: the newest. Which of two that is their client says, where it counts its
//! connections (W-27): what it said on one that it has given up since may come late, even behind the whole of the next.
//!
//! Owner: the conversation. Rebuilt from the journal, where every message carries its number.

use std::collections::VecDeque;

use crate::fanout::letter::Author;
use crate::limits::PUBLISH_WINDOW;

/// What one device has published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Last number accepted; 0 before the first.
    last: u64,
    /// Sequences of the last accepted numbers, the newest at the back.
    recent: VecDeque<u64>,
    /// The newest session seen; an earlier one may no longer publish. Not stored: sessions end with the
    /// process.
    session: u64,
    /// Which connection of the device that is, as its client says.
    attempt: u64,
}

/// What a client sequence means.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next one: accept it.
    Next,
    /// Accepted before, as this sequence; `None` where that is longer ago than the window.
    Duplicate(Option<u64>),
    /// This one is expected instead.
    Gap(u64),
}

impl Device {
    /// As it was stored.
    pub fn restore(last: u64, recent: impl Iterator<Item = u64>) -> Self {
        Device { last, recent: recent.collect(), session: 0, attempt: 0 }
    }

    /// Last number accepted.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Sequences of the last accepted numbers, the newest last.
    pub fn recent(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.recent.iter().copied()
    }

    /// Judges a number.
    pub fn judge(&self, client_sequence: u64) -> Verdict {
        if client_sequence == self.last + 1 {
            return Verdict::Next;
        }
        if client_sequence > self.last || client_sequence == 0 {
            return Verdict::Gap(self.last + 1);
        }
        let back = self.last - client_sequence;
        let known = usize::try_from(back).ok().filter(|back| *back < self.recent.len());
        Verdict::Duplicate(known.map(|back| self.recent[self.recent.len() - 1 - back]))
    }

    /// Notes that `client_sequence` was accepted as `sequence`.
    ///
    /// A number is skipped only where recovery has lost the entry between (an operator has accepted that);
    /// what came before is then answered without its sequence.
    pub fn accept(&mut self, client_sequence: u64, sequence: u64) {
        assert!(client_sequence > self.last, "a client sequence is accepted once");
        if client_sequence != self.last + 1 {
            self.recent.clear();
        }
        self.last = client_sequence;
        if self.recent.len() == usize::from(PUBLISH_WINDOW) {
            self.recent.pop_front();
        }
        self.recent.push_back(sequence);
    }

    /// Whether this session may still publish; notes it if it is the newest.
    pub fn admit(&mut self, author: &Author) -> bool {
        let (session, attempt) = (author.session.number, author.attempt);
        // Of two starts of a client nobody knows the order but by their coming.
        let is_same_start = attempt != 0 && attempt >> 32 == self.attempt >> 32;
        let is_older = if is_same_start { attempt < self.attempt } else { session < self.session };
        if !is_older {
            (self.session, self.attempt) = (session, attempt);
        }
        !is_older
    }
}

#[cfg(test)]
mod tests {
    use ringwire_driver::ConnectionId;
    use ringwire_protocol::id::UserId;

    use super::*;
    use crate::fanout::letter::SessionRef;

    #[test]
    fn numbers_are_accepted_once_and_in_order() {
        let mut device = Device::default();
        assert_eq!(device.judge(2), Verdict::Gap(1));
        assert_eq!(device.judge(0), Verdict::Gap(1));
        for n in 1..=100 {
            assert_eq!(device.judge(n), Verdict::Next);
            device.accept(n, n * 10);
            assert_eq!(device.judge(n), Verdict::Duplicate(Some(n * 10)));
        }
        let oldest = 100 - u64::from(PUBLISH_WINDOW) + 1;
        assert_eq!(device.judge(oldest), Verdict::Duplicate(Some(oldest * 10)));
        assert_eq!(device.judge(oldest - 1), Verdict::Duplicate(None));
        assert_eq!(device.judge(102), Verdict::Gap(101));
    }

    #[test]
    fn a_number_lost_with_its_entry_is_a_duplicate_without_a_sequence() {
        let mut device = Device::default();
        device.accept(1, 10);
        device.accept(5, 50);
        assert_eq!(device.judge(1), Verdict::Duplicate(None));
        assert_eq!(device.judge(3), Verdict::Duplicate(None));
        assert_eq!(device.judge(5), Verdict::Duplicate(Some(50)));
        assert_eq!(device.judge(6), Verdict::Next);
    }

    #[test]
    fn an_earlier_session_is_shut_out_by_a_later_one() {
        let mut device = Device::default();
        assert!([5, 5, 9].into_iter().all(|number| device.admit(&author(number, 0))));
        assert!(!device.admit(&author(5, 0)));
    }

    #[test]
    fn what_is_later_the_client_says_and_not_the_network() {
        const START: u64 = 7 << 32;
        let mut device = Device::default();
        assert!(device.admit(&author(5, START | 2)));
        assert!(!device.admit(&author(9, START | 1)), "given up before the other was begun");
        assert!(device.admit(&author(5, START | 2)), "it changes nothing for the one that is used");
        assert!(device.admit(&author(6, START | 3)));
        // Another start of the client, or one that does not count.
        assert!(device.admit(&author(10, (3 << 32) | 1)));
        assert!(!device.admit(&author(8, START | 4)));
        assert!(device.admit(&author(11, 0)));
    }

    fn author(number: u64, attempt: u64) -> Author {
        let connection = ConnectionId { slot: 0, generation: 0 };
        let session = SessionRef { number, connection, shard: 0 };
        Author { user: UserId::from_name("ada"), origin: 1, attempt, session }
    }
}
