//! Answers to fetches, each on a stream of its own behind the live one.
//!
//! Few are under way at a time, so that what is not acknowledged of them leaves most of the connection's send
//! window to live messages; the others wait here and count as what the reader has not taken.

use std::collections::VecDeque;

use bytes::Bytes;
use quinn_proto::{Connection, Dir, StreamId, WriteError};

use crate::limits::QUIC_PAGES_UNDER_WAY;

/// Live messages have 0.
const PRIORITY: i32 = -1;

/// The answers on their way to one client.
#[derive(Default)]
pub(super) struct Pages {
    /// Bytes of those that wait or are not written whole.
    bytes: usize,
    /// Each with what goes before it.
    waiting: VecDeque<(Bytes, Bytes)>,
    /// What goes before the next.
    before: Bytes,
    /// Streams that are not acknowledged whole, and what is not written of each.
    under_way: Vec<(StreamId, Bytes)>,
}

impl Pages {
    /// Bytes that are not written.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty() && self.before.is_empty()
    }

    /// Adds a frame: what goes before the next answer, or the answer.
    pub(super) fn push(&mut self, frame: Bytes, is_last: bool) {
        self.bytes += frame.len();
        if is_last {
            self.waiting.push_back((std::mem::take(&mut self.before), frame));
        } else {
            self.before = Bytes::from([&self.before[..], &frame].concat());
        }
    }

    /// Opens streams as far as that is allowed; `head` is what each begins with.
    pub(super) fn advance(&mut self, connection: &mut Connection, head: &[u8]) {
        while self.under_way.len() < QUIC_PAGES_UNDER_WAY && !self.waiting.is_empty() {
            let Some(id) = connection.streams().open(Dir::Uni) else { break };
            let Some((before, page)) = self.waiting.pop_front() else { break };
            // Fails for a stream that is closed only, and this one is new.
            let _ = connection.send_stream(id).set_priority(PRIORITY);
            let is_alone = head.is_empty() && before.is_empty();
            let page = if is_alone { page } else { Bytes::from([head, &before, &page].concat()) };
            self.bytes += head.len();
            self.under_way.push((id, page));
            self.on_writable(connection, id);
        }
    }

    /// A stream takes bytes, perhaps. Whether it is one of these.
    pub(super) fn on_writable(&mut self, connection: &mut Connection, id: StreamId) -> bool {
        let Some(at) = self.under_way.iter().position(|(stream, _)| *stream == id) else { return false };
        let rest = &mut self.under_way[at].1;
        if rest.is_empty() {
            return true;
        }
        let before = rest.len();
        let written = connection.send_stream(id).write_chunks(std::slice::from_mut(rest));
        self.bytes -= before - rest.len();
        match written {
            Ok(_) if rest.is_empty() => {
                // Fails only where the peer has stopped it, which is heard of.
                let _ = connection.send_stream(id).finish();
            }
            Ok(_) | Err(WriteError::Blocked) => {}
            Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                self.on_end(connection, id, true);
            }
        }
        true
    }

    /// A stream was acknowledged whole, or its reader wants no more of it. Whether it is one of these.
    pub(super) fn on_end(&mut self, connection: &mut Connection, id: StreamId, stopped: bool) -> bool {
        let Some(at) = self.under_way.iter().position(|(stream, _)| *stream == id) else { return false };
        if stopped {
            // Fails where it is gone already.
            let _ = connection.send_stream(id).reset(quinn_proto::VarInt::from_u32(0));
        }
        self.drop_stream(at);
        true
    }

    fn drop_stream(&mut self, at: usize) {
        let (_, rest) = self.under_way.swap_remove(at);
        self.bytes -= rest.len();
    }
}
