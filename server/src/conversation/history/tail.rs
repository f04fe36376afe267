//! Recent messages in memory, for those who come back after a moment and for those who scroll up a little.
//!
//! One budget for the whole shard: the oldest message of all is forgotten first, whichever conversation it
//! is of. What is not here is read from the journal.

use std::collections::VecDeque;

use bytes::Bytes;
use ringwire_protocol::id::ConversationId;

/// The last messages of one conversation, without holes, the newest at the back.
#[derive(Debug, Default)]
pub struct Tail {
    first: u64,
    frames: VecDeque<Bytes>,
}

impl Tail {
    /// The frames from `from` on, or `None` where the earliest of them is forgotten.
    pub fn from(&self, from: u64) -> Option<impl Iterator<Item = &Bytes>> {
        if self.frames.is_empty() || from < self.first {
            return None;
        }
        let skip = usize::try_from(from - self.first).ok()?;
        Some(self.frames.iter().skip(skip))
    }

    /// Sequence of the earliest frame kept, if any is.
    pub fn first(&self) -> Option<u64> {
        (!self.frames.is_empty()).then_some(self.first)
    }

    fn push(&mut self, sequence: u64, frame: Bytes) {
        if self.frames.is_empty() {
            self.first = sequence;
        }
        debug_assert_eq!(self.first + self.frames.len() as u64, sequence, "a tail has no holes");
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> usize {
        let Some(frame) = self.frames.pop_front() else { return 0 };
        self.first += 1;
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        frame.len()
    }
}

/// The budget of a shard's tails.
#[derive(Debug)]
pub struct Budget {
    /// Whose message is the oldest, and so on.
    order: VecDeque<ConversationId>,
    bytes: usize,
    bytes_max: usize,
}

/// What a frame costs beyond its bytes: its handle, its place in the order, the allocation's header.
const OVERHEAD: usize = 96;

impl Budget {
    /// A budget of `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Budget { order: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Bytes kept, with what keeping them costs.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a frame in `tail`.
    pub fn keep(&mut self, conversation: ConversationId, tail: &mut Tail, sequence: u64, frame: Bytes) {
        self.bytes += frame.len() + OVERHEAD;
        self.order.push_back(conversation);
        tail.push(sequence, frame);
    }

    /// While the budget is exceeded: whose oldest message is to be forgotten. Give its tail to
    /// [`Budget::forget`].
    pub fn excess(&mut self) -> Option<ConversationId> {
        if self.bytes <= self.bytes_max { None } else { self.order.pop_front() }
    }

    /// Forgets the oldest message of `tail`.
    pub fn forget(&mut self, tail: &mut Tail) {
        self.bytes -= tail.pop() + OVERHEAD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_message_of_all_is_forgotten_first() {
        let ids = [ConversationId::from_name("a"), ConversationId::from_name("b")];
        let mut tails = [Tail::default(), Tail::default()];
        let mut budget = Budget::new(3 * (OVERHEAD + 10));
        for sequence in 1..=4u64 {
            for (id, tail) in ids.iter().zip(&mut tails) {
                budget.keep(*id, tail, sequence, Bytes::from(vec![sequence as u8; 10]));
            }
            while let Some(oldest) = budget.excess() {
                let at = ids.iter().position(|id| *id == oldest).expect("one of the two");
                budget.forget(&mut tails[at]);
            }
        }
        assert_eq!((tails[0].first(), tails[1].first()), (Some(4), Some(3)));
        assert!(tails[1].from(2).is_none());
        let kept: Vec<u8> = tails[1].from(3).expect("kept").map(|frame| frame[0]).collect();
        assert_eq!(kept, [3, 4]);
        assert_eq!(tails[1].from(9).expect("beyond the end is empty").count(), 0);
    }
}
