//! Reading a segment batch by batch, and judging what does not fit (J-10, J-11).
//!
//! ```text
//! | header | batch 1 | batch 2 | 0000…      clean: only zeros after the last batch
//! | header | batch 1 | ba??ch…             torn: nothing valid after it
//! | header | batch 1 | ??? | batch 3 | …   corrupt: a later batch proves that 2 was synced
//! ```
//!
//! Memory: one buffer of at most [`BATCH_BYTES_MAX`], whatever the file says.

use std::io;

use crate::files::ReadFile;
use crate::format::batch::{self, BatchHeader};
use crate::format::header::{DATA_OFFSET, Header, HeaderFault, SALVAGED};
use crate::limits::BATCH_BYTES_MAX;

/// How much is read at once, bytes.
const READ_BYTES: usize = 1 << 18;

/// A segment being read from its beginning.
pub(crate) struct Scanner<'a> {
    file: &'a dyn ReadFile,
    header: Header,
    /// Both copies of the header are whole.
    pub(crate) header_whole: bool,
    /// Size of the file, bytes.
    bytes: u64,
    /// Where the next batch should begin.
    offset: u64,
    /// Number of the last batch, 0 at the beginning.
    number: u64,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    buffered: u64,
}

/// What lies at the scanner's offset.
pub(crate) enum Next<'a> {
    /// A whole, checked batch: its header and its records.
    Batch(BatchHeader, &'a [u8]),
    /// Only zeros from here on.
    End,
    /// Nothing that can be read as a batch, and no valid batch after it.
    Torn,
    /// Nothing that can be read as a batch, but a valid one at this later offset.
    Corrupt(u64),
}

impl<'a> Scanner<'a> {
    /// Reads the header. The scanner then stands at the first batch.
    pub(crate) fn open(file: &'a dyn ReadFile) -> io::Result<Result<Self, HeaderFault>> {
        let bytes = file.bytes()?;
        let mut front = [0; DATA_OFFSET as usize];
        let read = file.read_at(0, &mut front)?;
        let decoded = Header::decode(&front[..read]);
        Ok(decoded.map(|(header, whole)| Self { header_whole: whole, ..Self::behind(file, bytes, header) }))
    }

    /// For a file of `bytes` whose header is known from elsewhere. The scanner stands at the first batch.
    pub(crate) fn behind(file: &'a dyn ReadFile, bytes: u64, header: Header) -> Self {
        let offset = u64::from(DATA_OFFSET);
        Self { file, header, header_whole: false, bytes, offset, number: 0, buffer: Vec::new(), buffered: 0 }
    }

    /// Whether the file holds nothing: a whole header and then zeros, or a header that was being written and
    /// then zeros. A batch is written only after the header is synced, so such a file never held one.
    pub(crate) fn is_blank(file: &dyn ReadFile) -> io::Result<bool> {
        let bytes = file.bytes()?;
        let left = bytes.saturating_sub(u64::from(DATA_OFFSET));
        let mut buffer = vec![0; READ_BYTES.min(usize::try_from(left).unwrap_or(READ_BYTES))];
        let mut at = u64::from(DATA_OFFSET);
        while at < bytes {
            let read = file.read_at(at, &mut buffer)?;
            if !all_zero(&buffer[..read]) {
                return Ok(false);
            }
            if read == 0 {
                break;
            }
            at += read as u64;
        }
        Ok(true)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// End of the last batch that was read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Continues at an offset that [`Next::Corrupt`] named.
    pub(crate) fn resume(&mut self, offset: u64) {
        self.offset = offset;
        self.number = 0;
    }

    /// What comes next. A batch is stepped over; anything else stays where it is.
    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        if let Some(header) = self.whole_at(self.offset)? {
            // Dense, except where the segment's header says that bad batches were taken out, or where the
            // caller has resumed behind one.
            let salvaged = self.header.flags & SALVAGED != 0;
            let follows = match salvaged {
                true => header.number > self.number,
                false => header.number == self.number + 1,
            };
            if self.number == 0 || follows {
                let at = (self.offset - self.buffered) as usize;
                self.offset += u64::from(header.bytes());
                self.number = header.number;
                let records = &self.buffer[at + batch::HEADER_BYTES..at + header.bytes() as usize];
                return Ok(Next::Batch(header, records));
            }
            return Ok(Next::Corrupt(self.offset));
        }
        self.judge()
    }

    /// What the bytes are that are not a batch.
    fn judge(&mut self) -> io::Result<Next<'_>> {
        let mut zeros = true;
        let mut at = self.offset;
        let tag = self.header.salt.tag();
        while at < self.bytes {
            let window = self.window(at, batch::HEADER_BYTES)?;
            let zero = all_zero(window);
            zeros = zeros && zero;
            let found = match zero {
                true => None,
                false => window.windows(tag.len()).position(|bytes| bytes == tag),
            };
            let Some(found) = found else {
                // The next window overlaps by what could be the beginning of a tag.
                let step = window.len().saturating_sub(tag.len() - 1).max(1);
                at += step as u64;
                continue;
            };
            let after = at + found as u64 + 1;
            if let Some(start) = (after - 1).checked_sub(batch::TAG_OFFSET as u64)
                && start > self.offset
                && self.whole_at(start)?.is_some()
            {
                return Ok(Next::Corrupt(start));
            }
            at = after;
        }
        Ok(if zeros { Next::End } else { Next::Torn })
    }

    /// The batch at `offset`, if it is whole; its bytes are in the buffer then.
    fn whole_at(&mut self, offset: u64) -> io::Result<Option<BatchHeader>> {
        let Ok(claimed) = u32::try_from(offset) else { return Ok(None) };
        let (id, salt) = (self.header.id, self.header.salt);
        let window = self.window(offset, batch::HEADER_BYTES)?;
        let Some(header) = BatchHeader::decode(window, id, &salt, claimed) else { return Ok(None) };
        let bytes = header.bytes() as usize;
        let window = self.window(offset, bytes)?;
        let Some(batch) = window.get(..bytes) else { return Ok(None) };
        Ok(BatchHeader::check(batch, &salt, &batch[batch::HEADER_BYTES..]).then_some(header))
    }

    /// The file from `offset`, at least `bytes` of it unless it ends before.
    fn window(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        debug_assert!(bytes <= BATCH_BYTES_MAX);
        let end = self.buffered + self.buffer.len() as u64;
        let wanted = (offset + bytes as u64).min(self.bytes);
        if offset < self.buffered || wanted > end {
            let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
            self.buffer.resize(bytes.max(READ_BYTES).min(left), 0);
            let read = self.file.read_at(offset, &mut self.buffer)?;
            self.buffer.truncate(read);
            self.buffered = offset;
        }
        let at = usize::try_from(offset - self.buffered).map_err(io::Error::other)?;
        Ok(self.buffer.get(at..).unwrap_or_default())
    }
}

/// Whether there are only zeros. In blocks, so that the compiler compares many at once: most of a segment
/// may be preallocated and unwritten.
fn all_zero(bytes: &[u8]) -> bool {
    bytes.chunks(256).all(|block| block.iter().fold(0, |any, byte| any | byte) == 0)
}
