//! The batch header (J-5 to J-7): what one turn wrote with one write and one fdatasync.

use super::{array, u16_at, u32_at, u64_at};
use crate::limits::BATCH_BYTES_MAX;
use crate::segment::{Salt, SegmentId};

/// First four bytes of every batch.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"RwBt");
/// Bytes before the records.
pub(crate) const HEADER_BYTES: usize = 48;
/// Where the salt's tag lies in the header; the search for a later batch looks for it.
pub(crate) const TAG_OFFSET: usize = 24;

/// What a batch header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    pub(crate) segment: SegmentId,
    /// Bytes of the records.
    pub(crate) length: u32,
    /// How many records.
    pub(crate) count: u32,
    /// Dense from 1 within a shard and generation, across segments.
    pub(crate) number: u64,
    /// Where in the segment's file the header lies.
    pub(crate) offset: u32,
}

impl BatchHeader {
    /// Header bytes for records whose running checksum, started at the salt's seed, is `records_crc`.
    pub(crate) fn encode(&self, salt: &Salt, records_crc: u32) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..16].copy_from_slice(&self.count.to_le_bytes());
        out[16..24].copy_from_slice(&self.number.to_le_bytes());
        out[24..32].copy_from_slice(&salt.tag());
        out[32..36].copy_from_slice(&self.segment.generation.to_le_bytes());
        out[36..40].copy_from_slice(&self.segment.index.to_le_bytes());
        out[40..42].copy_from_slice(&self.segment.shard.to_le_bytes());
        out[44..48].copy_from_slice(&self.offset.to_le_bytes());
        // The header goes into the checksum after the records, so that those can be summed as they are
        // appended, before length and count are known.
        let crc = crc32c::crc32c_append(records_crc, &out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header that claims to lie at `offset` of `segment`. `None`: it is none of this segment's.
    /// A `Some` is only a claim until [`BatchHeader::check`] has seen the records.
    pub(crate) fn decode(bytes: &[u8], segment: SegmentId, salt: &Salt, offset: u32) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let header = Self {
            segment: SegmentId {
                generation: u32_at(bytes, 32),
                index: u32_at(bytes, 36),
                shard: u16_at(bytes, 40),
            },
            length: u32_at(bytes, 8),
            count: u32_at(bytes, 12),
            number: u64_at(bytes, 16),
            offset: u32_at(bytes, 44),
        };
        let ours = u32_at(bytes, 0) == MAGIC
            && array(bytes, TAG_OFFSET) == salt.tag()
            && header.segment == segment
            && header.offset == offset
            && u16_at(bytes, 42) == 0
            && header.length as usize <= BATCH_BYTES_MAX - HEADER_BYTES
            && header.count > 0
            && header.number > 0;
        ours.then_some(header)
    }

    /// Whether header and records are what was written.
    pub(crate) fn check(bytes: &[u8], salt: &Salt, records: &[u8]) -> bool {
        let crc = crc32c::crc32c_append(salt.seed(), records);
        crc32c::crc32c_append(crc, &bytes[8..HEADER_BYTES]) == u32_at(bytes, 4)
    }

    /// Bytes of header and records.
    pub(crate) fn bytes(&self) -> u32 {
        HEADER_BYTES as u32 + self.length
    }
}
