//! The segment header (J-2, J-3): who the segment is, and its salt. Written and synced before any batch.

use super::{array, u16_at, u32_at, u64_at};
use crate::segment::{Salt, SegmentId};

/// First eight bytes of every segment.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"RingwSEG");
/// The format this build writes, and the only one it reads.
pub const VERSION: u32 = 1;
/// Bytes of one copy.
pub(crate) const HEADER_BYTES: usize = 64;
/// Where the second copy lies: in another sector, since losing the salt would lose the segment.
pub(crate) const COPY_OFFSET: usize = 512;
/// Where the first batch begins.
pub(crate) const DATA_OFFSET: u32 = 1024;

/// The good batches of a damaged segment, rewritten: batch numbers ascend but may have holes (J-18).
pub(crate) const SALVAGED: u16 = 1;

/// What the header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) id: SegmentId,
    pub(crate) salt: Salt,
    /// Preallocated size of the file, bytes.
    pub(crate) bytes: u64,
    pub(crate) flags: u16,
}

/// Why there is no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderFault {
    /// Neither copy is whole.
    Missing,
    /// A whole header of another format.
    Version(u32),
}

impl Header {
    /// Both copies and the padding: the first [`DATA_OFFSET`] bytes of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut copy = [0; HEADER_BYTES];
        copy[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        copy[8..12].copy_from_slice(&VERSION.to_le_bytes());
        copy[12..16].copy_from_slice(&self.id.generation.to_le_bytes());
        copy[16..20].copy_from_slice(&self.id.index.to_le_bytes());
        copy[20..22].copy_from_slice(&self.id.shard.to_le_bytes());
        copy[22..24].copy_from_slice(&self.flags.to_le_bytes());
        copy[24..40].copy_from_slice(&self.salt.0);
        copy[40..48].copy_from_slice(&self.bytes.to_le_bytes());
        let crc = crc32c::crc32c(&copy[..60]);
        copy[60..64].copy_from_slice(&crc.to_le_bytes());
        let mut out = vec![0; DATA_OFFSET as usize];
        out[..HEADER_BYTES].copy_from_slice(&copy);
        out[COPY_OFFSET..COPY_OFFSET + HEADER_BYTES].copy_from_slice(&copy);
        out
    }

    /// Reads the first whole copy. The flag says whether both are whole and equal.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, bool), HeaderFault> {
        let copies = [Self::decode_copy(bytes, 0), Self::decode_copy(bytes, COPY_OFFSET)];
        match copies {
            [Some(Ok(a)), Some(Ok(b))] => Ok((a, a == b)),
            [Some(Ok(header)), None] | [None, Some(Ok(header))] => Ok((header, false)),
            [Some(Err(version)), _] | [_, Some(Err(version))] => Err(HeaderFault::Version(version)),
            [None, None] => Err(HeaderFault::Missing),
        }
    }

    fn decode_copy(bytes: &[u8], at: usize) -> Option<Result<Self, u32>> {
        let copy = bytes.get(at..at + HEADER_BYTES)?;
        if u64_at(copy, 0) != MAGIC || crc32c::crc32c(&copy[..60]) != u32_at(copy, 60) {
            return None;
        }
        let version = u32_at(copy, 8);
        if version != VERSION {
            return Some(Err(version));
        }
        let id = SegmentId { generation: u32_at(copy, 12), index: u32_at(copy, 16), shard: u16_at(copy, 20) };
        let (flags, bytes) = (u16_at(copy, 22), u64_at(copy, 40));
        Some(Ok(Self { id, salt: Salt(array(copy, 24)), bytes, flags }))
    }
}
