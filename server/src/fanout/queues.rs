//! What is due to each connection at the end of the turn.
//!
//! A queue is a path in a tree: a node says which frame comes last and which node holds what comes before
//! it. A connection keeps the index of its node and nothing else, so queueing one message to ten thousand
//! connections writes ten thousand integers, and connections that are due the same frames hold the same
//! node. At the end of the turn each node is joined into one payload at most, whoever shares it.
//!
//! ```text
//!   EMPTY --a--> 1 --b--> 3        connection x: 3 = a b
//!     \                            connection y: 3 = a b   (the same payload)
//!      --b--> 2                    connection z: 2 = b
//! ```
//!
//! Owner: the shard. Lifetime: everything in it is of one turn.

use bytes::Bytes;
use ringwire_driver::{Operations, PayloadIndex};

use super::encoded::header_bytes;

/// A queue. [`Queue::EMPTY`] between turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queue(u32);

impl Queue {
    /// Nothing is due.
    pub const EMPTY: Queue = Queue(0);
}

/// A frame of this turn, to be added to queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameIndex(u32);

struct Frame {
    source: Source,
    /// The last queue this frame was added to and what came of it: subscribers of one conversation are
    /// mostly in the same state, so this finds the shared node nearly always. A miss costs a second copy,
    /// not correctness.
    last: (Queue, Queue),
}

enum Source {
    Shared(Bytes),
    /// Bytes `start..end` of the turn's scratch.
    Scratch(usize, usize),
}

struct Node {
    before: Queue,
    frame: FrameIndex,
    bytes: usize,
    payload: Payload,
    /// Place of its form for byte streams, behind 1; 0: not made.
    stream: u32,
}

#[derive(Clone, Copy)]
enum Payload {
    Unmade,
    Joined(usize, usize),
    Made(PayloadIndex),
}

/// The queues of one turn.
pub struct Queues {
    frames: Vec<Frame>,
    nodes: Vec<Node>,
    scratch: Vec<u8>,
    /// What byte streams (QUIC) get: the frames without the WebSocket around them.
    streams: Vec<Bytes>,
}

impl Default for Queues {
    fn default() -> Self {
        let mut queues =
            Queues { frames: Vec::new(), nodes: Vec::new(), scratch: Vec::new(), streams: Vec::new() };
        queues.clear();
        queues
    }
}

impl Queues {
    /// Adds a frame that exists already, such as a message for many.
    pub fn shared(&mut self, bytes: Bytes) -> FrameIndex {
        self.frame(Source::Shared(bytes))
    }

    /// Adds a frame that `write` appends to the turn's scratch: for one connection, without an allocation.
    pub fn written(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> FrameIndex {
        let start = self.scratch.len();
        write(&mut self.scratch);
        self.frame(Source::Scratch(start, self.scratch.len()))
    }

    fn frame(&mut self, source: Source) -> FrameIndex {
        let index = FrameIndex(self.frames.len() as u32);
        self.frames.push(Frame { source, last: (Queue::EMPTY, Queue::EMPTY) });
        index
    }

    /// The queue that holds `frame` behind everything in `queue`.
    pub fn push(&mut self, queue: Queue, frame: FrameIndex) -> Queue {
        let (before, after) = self.frames[frame.0 as usize].last;
        if before == queue && after != Queue::EMPTY {
            return after;
        }
        let bytes = self.bytes(queue) + self.frame_bytes(frame);
        let after = Queue(self.nodes.len() as u32);
        self.nodes.push(Node { before: queue, frame, bytes, payload: Payload::Unmade, stream: 0 });
        self.frames[frame.0 as usize].last = (queue, after);
        after
    }

    /// Bytes due in `queue`.
    pub fn bytes(&self, queue: Queue) -> usize {
        self.nodes[queue.0 as usize].bytes
    }

    fn frame_bytes(&self, frame: FrameIndex) -> usize {
        match &self.frames[frame.0 as usize].source {
            Source::Shared(bytes) => bytes.len(),
            Source::Scratch(start, end) => end - start,
        }
    }

    /// The frames of a queue as a byte stream carries them, made once whoever shares it. Before [`Queues::finish`].
    pub fn stream(&mut self, queue: Queue) -> Bytes {
        let node = &self.nodes[queue.0 as usize];
        if let Some(made) = node.stream.checked_sub(1) {
            return self.streams[made as usize].clone();
        }
        let bytes = match &self.frames[node.frame.0 as usize].source {
            // The usual case: one message for many.
            Source::Shared(message) if node.before == Queue::EMPTY => message.slice(header_bytes(message)..),
            _ => self.join_stream(queue),
        };
        self.streams.push(bytes.clone());
        self.nodes[queue.0 as usize].stream = self.streams.len() as u32;
        bytes
    }

    /// In memory of its own: what waits for a stream's acknowledgement must not keep a whole turn's scratch.
    fn join_stream(&self, queue: Queue) -> Bytes {
        let mut parts = Vec::new();
        let mut at = queue;
        while at != Queue::EMPTY {
            let node = &self.nodes[at.0 as usize];
            let message = match &self.frames[node.frame.0 as usize].source {
                Source::Shared(bytes) => &bytes[..],
                Source::Scratch(start, end) => &self.scratch[*start..*end],
            };
            parts.push(&message[header_bytes(message)..]);
            at = node.before;
        }
        parts.reverse();
        Bytes::from(parts.concat())
    }

    /// Makes the payloads of all `queues` and says them in order to `each`, then forgets the turn.
    pub fn finish(
        &mut self,
        queues: impl Iterator<Item = Queue> + Clone,
        operations: &mut Operations,
        mut each: impl FnMut(&mut Operations, PayloadIndex),
    ) {
        for queue in queues.clone() {
            self.join(queue);
        }
        let scratch = Bytes::from(std::mem::take(&mut self.scratch));
        for queue in queues {
            let node = &mut self.nodes[queue.0 as usize];
            let index = match node.payload {
                Payload::Made(index) => index,
                Payload::Joined(start, end) => operations.payload(scratch.slice(start..end)),
                Payload::Unmade => match &self.frames[node.frame.0 as usize].source {
                    Source::Shared(bytes) => operations.payload(bytes.clone()),
                    Source::Scratch(start, end) => operations.payload(scratch.slice(*start..*end)),
                },
            };
            node.payload = Payload::Made(index);
            each(operations, index);
        }
        self.clear();
    }

    /// Appends the frames of a queue of several to the scratch, in order, once.
    fn join(&mut self, queue: Queue) {
        let node = &self.nodes[queue.0 as usize];
        if node.before == Queue::EMPTY || !matches!(node.payload, Payload::Unmade) {
            return;
        }
        let length = node.bytes;
        let start = self.scratch.len();
        self.scratch.resize(start + length, 0);
        let mut end = start + length;
        let mut at = queue;
        while at != Queue::EMPTY {
            let node = &self.nodes[at.0 as usize];
            match &self.frames[node.frame.0 as usize].source {
                Source::Shared(bytes) => {
                    end -= bytes.len();
                    self.scratch[end..end + bytes.len()].copy_from_slice(bytes);
                }
                Source::Scratch(from, to) => {
                    end -= to - from;
                    self.scratch.copy_within(*from..*to, end);
                }
            }
            at = node.before;
        }
        assert_eq!(end, start, "the frames of a queue add up to its bytes");
        self.nodes[queue.0 as usize].payload = Payload::Joined(start, start + length);
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.nodes.clear();
        self.streams.clear();
        self.nodes.push(Node {
            before: Queue::EMPTY,
            frame: FrameIndex(0),
            bytes: 0,
            payload: Payload::Unmade,
            stream: 0,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(queues: &mut Queues, due: &[Queue]) -> (Vec<Vec<u8>>, usize) {
        let mut operations = Operations::default();
        let mut indices = Vec::new();
        queues.finish(due.iter().copied(), &mut operations, |_, index| indices.push(index));
        let bytes = indices.iter().map(|index| operations.payloads[index.0 as usize].to_vec()).collect();
        (bytes, operations.payloads.len())
    }

    #[test]
    fn equal_queues_share_one_payload() {
        let mut queues = Queues::default();
        let a = queues.shared(Bytes::from_static(b"aaa"));
        let b = queues.shared(Bytes::from_static(b"bb"));
        let mut due = vec![Queue::EMPTY; 1000];
        for queue in &mut due {
            *queue = queues.push(*queue, a);
        }
        for queue in &mut due {
            *queue = queues.push(*queue, b);
        }
        let (bytes, payloads) = finish(&mut queues, &due);
        assert!(bytes.iter().all(|bytes| bytes == b"aaabb"));
        assert_eq!(payloads, 1);
    }

    #[test]
    fn a_private_frame_between_shared_ones_keeps_its_place() {
        let mut queues = Queues::default();
        let a = queues.shared(Bytes::from_static(b"a"));
        let x = queues.push(Queue::EMPTY, a);
        let private = queues.written(|out| out.extend_from_slice(b"-x-"));
        let x = queues.push(x, private);
        let y = queues.push(Queue::EMPTY, a);
        let b = queues.shared(Bytes::from_static(b"b"));
        let x = queues.push(x, b);
        let y = queues.push(y, b);
        assert_eq!((queues.bytes(x), queues.bytes(y)), (5, 2));
        let (bytes, _) = finish(&mut queues, &[x, y]);
        assert_eq!(bytes, [b"a-x-b".to_vec(), b"ab".to_vec()]);
    }

    #[test]
    fn byte_streams_get_the_frames_alone_and_share_them() {
        use ringwire_protocol::ws::{self, Opcode};
        let message = |body: &[u8]| super::super::encoded::Encoded::new(body).websocket().clone();
        let mut queues = Queues::default();
        let long = [b'l'; 300];
        let a = queues.shared(message(b"aaa"));
        let one = queues.push(Queue::EMPTY, a);
        assert_eq!(queues.stream(one), &b"aaa"[..]);
        let b = queues.written(|out| out.extend_from_slice(&message(&long)));
        let ping = queues.written(|out| ws::write_message(out, Opcode::Ping, b"ping", None));
        let two = queues.push(one, b);
        let three = queues.push(two, ping);
        let expected = [&b"aaa"[..], &long].concat();
        assert_eq!(queues.stream(three), expected, "a ping has no place on a byte stream");
        let (first, second) = (queues.stream(two), queues.stream(two));
        assert_eq!((&first[..], first.as_ptr()), (&expected[..], second.as_ptr()), "made once");
        let (websocket, _) = finish(&mut queues, &[two]);
        assert_eq!(websocket, [[message(b"aaa"), message(&long)].concat()], "the other form is as it was");
    }

    #[test]
    fn the_next_turn_starts_empty() {
        let mut queues = Queues::default();
        let a = queues.shared(Bytes::from_static(b"a"));
        let x = queues.push(Queue::EMPTY, a);
        finish(&mut queues, &[x]);
        let b = queues.shared(Bytes::from_static(b"b"));
        let x = queues.push(Queue::EMPTY, b);
        let (bytes, payloads) = finish(&mut queues, &[x]);
        assert_eq!((bytes, payloads), (vec![b"b".to_vec()], 1));
    }
}
