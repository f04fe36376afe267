//! What a connection has not taken because its peer does not read.
//!
//! Owner: its connection. Lifetime: from a short send to the send that takes everything. Bounded by
//! `limits.outbox_bytes_max`; beyond it the connection is cut, and the client resumes from what it has.

use bytes::{Bytes, BytesMut};

/// Bytes that wait, in order.
#[derive(Debug)]
pub struct Stalled {
    waiting: Vec<Bytes>,
    bytes: usize,
    /// The kernel takes bytes again.
    pub writable: bool,
}

impl Stalled {
    /// The rest of a send that was cut short.
    pub fn new(rest: Bytes) -> Self {
        Stalled { bytes: rest.len(), waiting: vec![rest], writable: false }
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
        let mut stalled = Stalled::new(Bytes::from_static(b"rest "));
        stalled.push(Bytes::from_static(b"of it"));
        assert_eq!(stalled.bytes(), 10);
        assert_eq!(stalled.join(), Bytes::from_static(b"rest of it"));
    }
}
