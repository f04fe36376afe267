//! What a connection has not taken because its peer does not read.
//!
//! The ladder of a slow reader, each step counted: what comes due waits here in one piece (batch); from half
//! of `limits.outbox_bytes_max` on messages are not kept but their conversation's head is, and the client
//! fetches when it reads again (heads); beyond the whole of it, or without progress for
//! `limits.stall_timeout_s`, the connection is cut, and the client resumes from the cursors it has.
//!
//! Owner: its connection. Lifetime: from a short send to the send that takes everything.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use ringwire_protocol::id::ConversationId;

/// Bytes that wait, in order.
#[derive(Debug)]
pub struct Stalled {
    waiting: Vec<Bytes>,
    bytes: usize,
    /// Conversations of which messages were left out, and the newest head of each.
    behind: BTreeMap<ConversationId, u64>,
    /// When the peer last took something, seconds on the monotonic clock.
    pub since_s: u32,
    /// The kernel takes bytes again.
    pub writable: bool,
}

impl Stalled {
    /// The rest of a send that was cut short.
    pub fn new(rest: Bytes, now_s: u32) -> Self {
        Stalled {
            bytes: rest.len(),
            waiting: vec![rest],
            behind: BTreeMap::new(),
            since_s: now_s,
            writable: false,
        }
    }

    /// A message of this conversation was left out.
    pub fn fall_behind(&mut self, conversation: ConversationId, head: u64) {
        self.behind.insert(conversation, head);
    }

    /// The heads of what was left out.
    pub fn behind(&self) -> impl Iterator<Item = (ConversationId, u64)> + '_ {
        self.behind.iter().map(|(conversation, head)| (*conversation, *head))
    }

    /// Adds what came due meanwhile.
    pub fn push(&mut self, payload: Bytes) {
        self.bytes += payload.len();
        self.waiting.push(payload);
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything in one piece: one send per connection and turn.
    pub fn join(mut self) -> Bytes {
        if self.waiting.len() == 1 {
            return self.waiting.remove(0);
        }
        let mut joined = BytesMut::with_capacity(self.bytes);
        for bytes in &self.waiting {
            joined.extend_from_slice(bytes);
        }
        joined.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_leaves_in_order_and_whole() {
        let mut stalled = Stalled::new(Bytes::from_static(b"rest "), 0);
        stalled.push(Bytes::from_static(b"of it"));
        assert_eq!(stalled.bytes(), 10);
        assert_eq!(stalled.join(), Bytes::from_static(b"rest of it"));
    }
}
