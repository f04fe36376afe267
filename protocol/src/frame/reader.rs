//! Frames out of a byte stream that is cut anywhere (QUIC).
//!
//! One per stream, owned by the connection's shard. A frame that lies whole in the input is lent from there;
//! only what is cut is copied, and its memory is given back before the next frame is looked for. Bounded by
//! `bytes_max`, and by twice what the peer has really sent: the length in a header reserves nothing by
//! itself.

use super::{Frame, HEADER_BYTES, Header};
use crate::fault::Fault;

/// Smallest allocation for a partial frame: most frames fit, so that one allocation is all it takes.
const PARTIAL_BYTES_MIN: usize = 256;

/// Incremental reader of frames; see the module's documentation.
#[derive(Debug)]
pub struct FrameReader {
    partial: Vec<u8>,
    bytes_max: u32,
    /// The frame in `partial` was lent out by the last call.
    lent: bool,
}

impl FrameReader {
    /// A reader at the start of a stream. `bytes_max` bounds header and body together.
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(crate::limits::FRAME_BYTES_CEILING) as u32;
        Self { partial: Vec::new(), bytes_max, lent: false }
    }

    /// The next frame. `input` advances past what was consumed; `None`: all of it was, and what is partial is
    /// kept inside. After a fault the stream is at no known place: close it.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Frame<'a>>, Fault> {
        let bytes_max = self.bytes_max as usize;
        if self.lent {
            self.partial = Vec::new();
            self.lent = false;
        }
        if self.partial.is_empty() {
            while let Some((header, _)) = input.split_first_chunk() {
                let header = Header::parse(*header, bytes_max)?;
                let Some((bytes, rest)) = input.split_at_checked(header.bytes) else { break };
                *input = rest;
                if let Some(frame) = header.frame(bytes) {
                    return Ok(Some(frame));
                }
            }
        }
        self.fill(input)
    }

    /// Whether the stream may end here without a frame being cut (W-3).
    pub fn finish(&self) -> Result<(), Fault> {
        if self.partial.is_empty() || self.lent { Ok(()) } else { Err(Fault::CutStream) }
    }

    /// Bytes owned at the moment.
    pub fn memory_bytes(&self) -> usize {
        self.partial.capacity()
    }

    fn fill<'a>(&'a mut self, input: &mut &[u8]) -> Result<Option<Frame<'a>>, Fault> {
        while !input.is_empty() {
            self.take(input, HEADER_BYTES);
            let Some(header) = self.partial.first_chunk() else { break };
            let header = Header::parse(*header, self.bytes_max as usize)?;
            self.take(input, header.bytes);
            if self.partial.len() < header.bytes {
                break;
            }
            if header.kind.is_some() {
                self.lent = true;
                return Ok(header.frame(&self.partial));
            }
            self.partial = Vec::new();
        }
        Ok(None)
    }

    /// Moves bytes from `input` until `partial` has `target` of them.
    fn take(&mut self, input: &mut &[u8], target: usize) {
        let count = target.saturating_sub(self.partial.len()).min(input.len());
        let (taken, rest) = input.split_at(count);
        if self.partial.capacity() == 0 {
            self.partial.reserve_exact(PARTIAL_BYTES_MIN.max(count));
        }
        self.partial.extend_from_slice(taken);
        *input = rest;
    }
}
