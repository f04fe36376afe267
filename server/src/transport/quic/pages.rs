//! Answers to fetches, each on a stream of its own behind the live one.
//!
//! Few are under way at a time, so that what is not acknowledged of them leaves most of the connection's send
//! window to live messages; the others wait here and count as what the reader has not taken.

use std::collections::VecDeque;

use bytes::Bytes;
use quinn_proto::{Connection, Dir, StreamId, WriteError};

/// Live messages have 0.
const PRIORITY: i32 = -1;

/// The answers on their way to one client.
#[derive(Default)]
pub(super) struct Pages {
    /// Bytes of those that wait or are not written whole.
    bytes: usize,
    waiting: VecDeque<Bytes>,
    /// Streams that are not acknowledged whole, and what is not written of each.
    under_way: Vec<(StreamId, Bytes)>,
}

impl Pages {
    /// Bytes that are not written.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Adds an answer.
    pub(super) fn push(&mut self, answer: Bytes) {
        self.bytes += answer.len();
        self.waiting.push_back(answer);
    }

    /// Goes on with what is under way, and opens streams, up to `under_way_max` and as far as the client allows; `head` is
    /// what each begins with.
    pub(super) fn advance(&mut self, connection: &mut Connection, head: &[u8], under_way_max: usize) {
        for at in (0..self.under_way.len()).rev() {
            self.write(connection, at);
        }
        while self.under_way.len() < under_way_max && !self.waiting.is_empty() {
            let Some(id) = connection.streams().open(Dir::Uni) else { break };
            let Some(page) = self.waiting.pop_front() else { break };
            // Fails for a stream that is closed only, and this one is new.
            let _ = connection.send_stream(id).set_priority(PRIORITY);
            let page = if head.is_empty() { page } else { Bytes::from([head, &page].concat()) };
            self.bytes += head.len();
            self.under_way.push((id, page));
            self.write(connection, self.under_way.len() - 1);
        }
    }

    fn write(&mut self, connection: &mut Connection, at: usize) {
        let (id, rest) = &mut self.under_way[at];
        // Until nothing is taken: only then is it told when the stream takes more.
        while !rest.is_empty() {
            let before = rest.len();
            let written = connection.send_stream(*id).write_chunks(std::slice::from_mut(rest));
            self.bytes -= before - rest.len();
            match written {
                Ok(_) if rest.is_empty() => {
                    // Fails only where the peer has stopped it, which is heard of.
                    let _ = connection.send_stream(*id).finish();
                }
                Ok(_) => {}
                Err(WriteError::Blocked) => return,
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                    return self.drop_stream(connection, at);
                }
            }
        }
    }

    /// A stream was acknowledged whole, or its reader wants no more of it.
    pub(super) fn on_end(&mut self, connection: &mut Connection, id: StreamId) {
        if let Some(at) = self.under_way.iter().position(|(stream, _)| *stream == id) {
            self.drop_stream(connection, at);
        }
    }

    fn drop_stream(&mut self, connection: &mut Connection, at: usize) {
        let (id, rest) = self.under_way.swap_remove(at);
        self.bytes -= rest.len();
        // Fails where it was acknowledged whole.
        let _ = connection.send_stream(id).reset(quinn_proto::VarInt::from_u32(0));
    }
}
