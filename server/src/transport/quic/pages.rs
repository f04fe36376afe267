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
    /// Each with what goes before it.
    waiting: VecDeque<(Bytes, Bytes)>,
    /// What goes before which answer: those to several fetches may mix, of which a session has few at a time.
    before: Vec<(u32, Bytes)>,
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

    /// Adds what goes before the answer to the fetch of that number.
    pub(super) fn push_before(&mut self, request: u32, frame: &Bytes) {
        let before = self.take_before(request);
        let before = Bytes::from([&before[..], frame].concat());
        self.bytes += before.len();
        self.before.push((request, before));
    }

    /// What goes before an answer, which is not kept for it any more.
    pub(super) fn take_before(&mut self, request: u32) -> Bytes {
        let at = self.before.iter().position(|(of, _)| *of == request);
        let before = at.map_or(Bytes::new(), |at| self.before.swap_remove(at).1);
        self.bytes -= before.len();
        before
    }

    /// Adds an answer.
    pub(super) fn push(&mut self, request: u32, page: Bytes) {
        let before = self.take_before(request);
        self.bytes += before.len() + page.len();
        self.waiting.push_back((before, page));
    }

    /// Goes on with what is under way, and opens streams, up to `under_way_max` and as far as the client allows; `head` is
    /// what each begins with.
    pub(super) fn advance(&mut self, connection: &mut Connection, head: &[u8], under_way_max: usize) {
        for at in (0..self.under_way.len()).rev() {
            self.write(connection, at);
        }
        while self.under_way.len() < under_way_max && !self.waiting.is_empty() {
            let Some(id) = connection.streams().open(Dir::Uni) else { break };
            let Some((before, page)) = self.waiting.pop_front() else { break };
            // Fails for a stream that is closed only, and this one is new.
            let _ = connection.send_stream(id).set_priority(PRIORITY);
            let is_alone = head.is_empty() && before.is_empty();
            let page = if is_alone { page } else { Bytes::from([head, &before, &page].concat()) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_before_an_answer_goes_before_that_one() {
        let mut pages = Pages::default();
        pages.push_before(1, &Bytes::from_static(b"gap of 1, "));
        pages.push_before(2, &Bytes::from_static(b"gap of 2, "));
        pages.push_before(1, &Bytes::from_static(b"another, "));
        pages.push(2, Bytes::from_static(b"page 2"));
        pages.push(1, Bytes::from_static(b"page 1"));
        pages.push_before(3, &Bytes::from_static(b"gap of 3, "));
        pages.take_before(3);
        pages.push(3, Bytes::from_static(b"page 3"));
        let told: Vec<_> = pages.waiting.iter().map(|(before, page)| [&before[..], page].concat()).collect();
        assert_eq!(told, [&b"gap of 2, page 2"[..], b"gap of 1, another, page 1", b"page 3"]);
        assert_eq!(pages.bytes(), told.iter().map(Vec::len).sum::<usize>());
    }
}
