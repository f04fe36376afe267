//! Exactly once: what each device has published into one conversation.
//!
//! A device numbers its publishes 1, 2, 3 … per conversation, without holes. Its owner accepts the next
//! number, answers an earlier one with what became of it, and refuses a later one, because accepting it
//! would make the missing one look like a repetition for ever after.
//!
//! Owner: the conversation. Rebuilt from the journal, where every message carries its number.

use std::collections::VecDeque;

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
        Device { last, recent: recent.collect(), session: 0 }
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

    /// Whether a session of this number may still publish; notes it if it is the newest.
    pub fn admit(&mut self, session: u64) -> bool {
        if session < self.session {
            return false;
        }
        self.session = session;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(device.admit(5) && device.admit(5) && device.admit(9));
        assert!(!device.admit(5));
    }
}
