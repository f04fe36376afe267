//! One direction of a connection.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// What travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Chunk {
    /// Some bytes, at least one.
    Bytes(Bytes),
    /// The other end will write nothing more.
    End,
    /// The connection is broken.
    Reset,
}

/// Bytes on their way, and those that have arrived and are not read.
#[derive(Debug)]
pub struct Pipe {
    flying: VecDeque<Chunk>,
    arrived: VecDeque<Chunk>,
    /// Written and not yet read.
    outstanding: usize,
    /// Most that may be outstanding: the two kernels' buffers together.
    pub window: usize,
    /// When the last chunk arrives; none may overtake it.
    pub last_us: u64,
    /// The writer waits for room.
    pub is_starved: bool,
    is_ended: bool,
}

impl Pipe {
    /// An empty one.
    pub fn new(window: usize) -> Self {
        Pipe {
            flying: VecDeque::new(),
            arrived: VecDeque::new(),
            outstanding: 0,
            window,
            last_us: 0,
            is_starved: false,
            is_ended: false,
        }
    }

    /// Bytes that may be written now.
    pub fn room(&self) -> usize {
        self.window.saturating_sub(self.outstanding)
    }

    /// Bytes written and not read.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Puts a chunk on its way; whether it goes at all. Nothing follows an end.
    pub fn push(&mut self, chunk: Chunk) -> bool {
        if self.is_ended {
            return false;
        }
        match &chunk {
            Chunk::Bytes(bytes) => self.outstanding += bytes.len(),
            Chunk::End | Chunk::Reset => self.is_ended = true,
        }
        self.flying.push_back(chunk);
        true
    }

    /// The next chunk arrives. Whether there was one.
    pub fn arrive(&mut self) -> bool {
        let chunk = self.flying.pop_front();
        let any = chunk.is_some();
        self.arrived.extend(chunk);
        any
    }

    /// The next chunk is lost on the way.
    pub fn vanish(&mut self) {
        self.flying.pop_front();
    }

    /// Takes at most `most` bytes of what has arrived, or the end; `None`: nothing is there.
    pub fn read(&mut self, most: usize) -> Option<Chunk> {
        // A cut may have left a chunk nothing.
        while self
            .arrived
            .pop_front_if(|chunk| matches!(chunk, Chunk::Bytes(bytes) if bytes.is_empty()))
            .is_some()
        {}
        let first = self.arrived.front_mut()?;
        if let Chunk::Bytes(bytes) = first
            && bytes.len() > most
        {
            self.outstanding -= most;
            return Some(Chunk::Bytes(bytes.split_to(most)));
        }
        let chunk = self.arrived.pop_front()?;
        if let Chunk::Bytes(bytes) = &chunk {
            self.outstanding -= bytes.len();
        }
        Some(chunk)
    }

    /// Everything that has arrived in one piece, so that pieces need not be as it was sent.
    pub fn join_arrived(&mut self) {
        let bytes: Vec<Bytes> = self
            .arrived
            .iter()
            .map_while(|chunk| if let Chunk::Bytes(bytes) = chunk { Some(bytes.clone()) } else { None })
            .collect();
        if bytes.len() > 1 {
            self.arrived.drain(..bytes.len());
            let mut joined = BytesMut::new();
            bytes.iter().for_each(|bytes| joined.extend_from_slice(bytes));
            self.arrived.push_front(Chunk::Bytes(joined.freeze()));
        }
    }

    /// Whether anything waits to be read.
    pub fn is_readable(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Bytes on their way.
    pub fn flying_bytes(&self) -> usize {
        let bytes = |chunk: &Chunk| if let Chunk::Bytes(bytes) = chunk { bytes.len() } else { 0 };
        self.flying.iter().map(bytes).sum()
    }

    /// Lets only the first `keep` bytes of what flies through, then breaks the connection. Chunks keep their
    /// number, so that the events that move them stay right; whether one has to be added for the break.
    pub fn cut(&mut self, keep: usize) -> bool {
        let mut left = keep;
        let mut cut_at = None;
        for (at, chunk) in self.flying.iter_mut().enumerate() {
            let Chunk::Bytes(bytes) = chunk else { continue };
            if bytes.len() > left {
                self.outstanding -= bytes.len() - left;
                bytes.truncate(left);
                cut_at.get_or_insert(at + 1);
            }
            left -= bytes.len();
        }
        self.is_ended = true;
        let Some(at) = cut_at else {
            self.flying.push_back(Chunk::Reset);
            return true;
        };
        // What comes after the cut has no bytes left: it is where the break stands.
        let rest = self.flying.split_off(at);
        match rest.len() {
            0 => {
                self.flying.push_back(Chunk::Reset);
                true
            }
            count => {
                self.flying.push_back(Chunk::Reset);
                self.flying.extend((1..count).map(|_| Chunk::Reset));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(data: &'static [u8]) -> Chunk {
        Chunk::Bytes(Bytes::from_static(data))
    }

    #[test]
    fn bytes_come_out_in_order_and_give_their_room_back() {
        let mut pipe = Pipe::new(10);
        pipe.push(bytes(b"abcd"));
        pipe.push(bytes(b"efg"));
        pipe.push(Chunk::End);
        assert!(!pipe.push(bytes(b"late")));
        assert_eq!((pipe.room(), pipe.read(9)), (3, None));
        while pipe.arrive() {}
        pipe.join_arrived();
        assert_eq!(pipe.read(5), Some(bytes(b"abcde")));
        assert_eq!(pipe.read(5), Some(bytes(b"fg")));
        assert_eq!((pipe.room(), pipe.read(5)), (10, Some(Chunk::End)));
        assert!(!pipe.is_readable());
    }

    #[test]
    fn a_cut_lets_a_prefix_through_and_then_breaks() {
        for keep in 0..=9 {
            let mut pipe = Pipe::new(100);
            for data in [&b"abc"[..], b"def", b"ghi"] {
                pipe.push(Chunk::Bytes(Bytes::copy_from_slice(data)));
            }
            let added = pipe.cut(keep);
            let mut events = 3 + usize::from(added);
            while events > 0 {
                assert!(pipe.arrive());
                events -= 1;
            }
            assert!(!pipe.arrive(), "as many events as chunks");
            let mut read = Vec::new();
            while let Some(Chunk::Bytes(bytes)) = pipe.read(2) {
                read.extend_from_slice(&bytes);
            }
            assert_eq!(read, &b"abcdefghi"[..keep]);
            assert_eq!(pipe.outstanding(), 0);
        }
    }
}
