//! The bytes of an index file (rules J-12 to J-15 of `docs/journal.md`).
//!
//! ```text
//! header 128 | directory: first conversation of each page, crc | pages of 4 KiB: runs, sorted | positions | crc
//! ```
//!
//! A reader needs the header and directory once (16 bytes per 85 runs), then one page per conversation, then
//! just the positions it wants. Header, directory and pages have a checksum each, positions a short one; what
//! a position leads to is proven by the checksum, conversation and sequence of the record.

use std::io::{self, Write};

use super::runs::{Position, Runs};
use crate::format::header::SALVAGED;
use crate::format::{array, u16_at, u32_at, u64_at};
use crate::limits;
use crate::record::Conversation;
use crate::segment::{Salt, SegmentId};

/// First eight bytes of every index file.
const MAGIC: u64 = u64::from_le_bytes(*b"RingwIDX");
/// The format this build writes, and the only one it reads.
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 128;
/// One page of runs.
pub(crate) const PAGE_BYTES: usize = 4096;
const PAGE_HEADER_BYTES: usize = 16;
const RUN_BYTES: usize = 48;
/// Runs of a full page.
pub(crate) const PAGE_RUNS: usize = (PAGE_BYTES - PAGE_HEADER_BYTES) / RUN_BYTES;
/// One directory entry.
pub(crate) const KEY_BYTES: usize = size_of::<Conversation>();
/// One position.
pub(crate) const POSITION_BYTES: usize = 8;
/// A checksum behind the directory, and one at the end.
pub(crate) const CRC_BYTES: usize = 4;

const HAS_PREVIOUS: u16 = 1;

const _: () = assert!(PAGE_RUNS == 85);

/// What an index file says about its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IndexHeader {
    pub(crate) id: SegmentId,
    pub(crate) salt: Salt,
    /// The segment's, see [`SALVAGED`](crate::format::header::SALVAGED).
    pub(crate) flags: u16,
    /// Valid bytes of the segment; the file was cut to this size.
    pub(crate) segment_bytes: u64,
    /// Number of the first batch; 0 if there is none.
    pub(crate) first_batch: u64,
    /// Number of the last batch; 0 if there is none.
    pub(crate) last_batch: u64,
    /// Records of any kind.
    pub(crate) records: u64,
    /// Records that are entries, each with a position.
    pub(crate) entries: u64,
    /// Runs in all pages.
    pub(crate) runs: u32,
    /// Positions in the list behind the pages.
    pub(crate) positions: u32,
}

/// A run as it lies in a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IndexRun {
    pub(crate) conversation: Conversation,
    /// Sequence of its first entry.
    pub(crate) first: u64,
    pub(crate) count: u32,
    /// Where its positions are.
    pub(crate) positions: Positions,
    /// The segment that holds what came before, possibly this one.
    pub(crate) previous: Option<SegmentId>,
}

/// Where a run's positions are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Positions {
    /// A run of one entry carries its position: where traffic is spread widely most runs are such.
    Inline(Position),
    /// From this place in the list of positions on.
    Listed(u32),
}

impl IndexHeader {
    /// What is known before the runs are counted; [`write`] does that.
    pub(crate) fn new(
        id: SegmentId,
        salt: Salt,
        bytes: u64,
        batches: Option<(u64, u64)>,
        records: u64,
    ) -> Self {
        let (first_batch, last_batch) = batches.unwrap_or((0, 0));
        let segment_bytes = bytes;
        let (flags, entries, runs, positions) = (0, 0, 0, 0);
        Self { id, salt, flags, segment_bytes, first_batch, last_batch, records, entries, runs, positions }
    }

    /// Whether batches were taken out of the segment, so that numbers do not go on from its last one.
    pub(crate) fn is_salvaged(&self) -> bool {
        self.flags & SALVAGED != 0
    }

    pub(crate) fn pages(&self) -> u32 {
        self.runs.div_ceil(PAGE_RUNS as u32)
    }

    /// Bytes of header and directory with its checksum.
    pub(crate) fn front_bytes(&self) -> usize {
        HEADER_BYTES + self.pages() as usize * KEY_BYTES + CRC_BYTES
    }

    /// Where a page begins.
    pub(crate) fn page_offset(&self, page: u32) -> u64 {
        self.front_bytes() as u64 + u64::from(page) * PAGE_BYTES as u64
    }

    /// Where a position begins.
    pub(crate) fn position_offset(&self, position: u32) -> u64 {
        self.page_offset(self.pages()) + u64::from(position) * POSITION_BYTES as u64
    }

    /// Bytes of the whole file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.position_offset(self.positions) + CRC_BYTES as u64
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.id.generation.to_le_bytes());
        out[16..20].copy_from_slice(&self.id.index.to_le_bytes());
        out[20..22].copy_from_slice(&self.id.shard.to_le_bytes());
        out[22..24].copy_from_slice(&self.flags.to_le_bytes());
        out[24..40].copy_from_slice(&self.salt.0);
        out[40..48].copy_from_slice(&self.segment_bytes.to_le_bytes());
        out[48..56].copy_from_slice(&self.first_batch.to_le_bytes());
        out[56..64].copy_from_slice(&self.last_batch.to_le_bytes());
        out[64..72].copy_from_slice(&self.records.to_le_bytes());
        out[72..80].copy_from_slice(&self.entries.to_le_bytes());
        out[80..84].copy_from_slice(&self.runs.to_le_bytes());
        out[84..88].copy_from_slice(&self.positions.to_le_bytes());
        let crc = crc32c::crc32c(&out[..124]);
        out[124..128].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header. `None`: damaged, or of another format; either way the file is rebuilt.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let whole = u64_at(bytes, 0) == MAGIC
            && u32_at(bytes, 8) == VERSION
            && crc32c::crc32c(&bytes[..124]) == u32_at(bytes, 124);
        whole.then(|| Self {
            id: SegmentId {
                generation: u32_at(bytes, 12),
                index: u32_at(bytes, 16),
                shard: u16_at(bytes, 20),
            },
            salt: Salt(array(bytes, 24)),
            flags: u16_at(bytes, 22),
            segment_bytes: u64_at(bytes, 40),
            first_batch: u64_at(bytes, 48),
            last_batch: u64_at(bytes, 56),
            records: u64_at(bytes, 64),
            entries: u64_at(bytes, 72),
            runs: u32_at(bytes, 80),
            positions: u32_at(bytes, 84),
        })
    }
}

impl IndexRun {
    fn encode(&self) -> [u8; RUN_BYTES] {
        let mut out = [0; RUN_BYTES];
        out[0..16].copy_from_slice(&self.conversation);
        out[16..24].copy_from_slice(&self.first.to_le_bytes());
        out[24..28].copy_from_slice(&self.count.to_le_bytes());
        match self.positions {
            Positions::Inline(Position { offset, length }) => {
                out[28..32].copy_from_slice(&offset.to_le_bytes());
                out[44..48].copy_from_slice(&length.to_le_bytes());
            }
            Positions::Listed(place) => out[28..32].copy_from_slice(&place.to_le_bytes()),
        }
        if let Some(previous) = self.previous {
            out[32..36].copy_from_slice(&previous.generation.to_le_bytes());
            out[36..40].copy_from_slice(&previous.index.to_le_bytes());
            out[40..42].copy_from_slice(&previous.shard.to_le_bytes());
            out[42..44].copy_from_slice(&HAS_PREVIOUS.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Self {
        let previous =
            SegmentId { generation: u32_at(bytes, 32), index: u32_at(bytes, 36), shard: u16_at(bytes, 40) };
        let count = u32_at(bytes, 24);
        Self {
            conversation: array(bytes, 0),
            first: u64_at(bytes, 16),
            count,
            positions: match count {
                1 => Positions::Inline(Position { offset: u32_at(bytes, 28), length: u32_at(bytes, 44) }),
                _ => Positions::Listed(u32_at(bytes, 28)),
            },
            previous: (u16_at(bytes, 42) & HAS_PREVIOUS != 0).then_some(previous),
        }
    }
}

impl Position {
    /// Offset in 30 bits, length in 21, and a check of both in the 13 that are left: how long records are
    /// decides where a page of history ends, so a wrong length must not pass.
    pub(crate) fn encode(self) -> [u8; POSITION_BYTES] {
        debug_assert!(self.offset < 1 << 30 && self.length < 1 << 21);
        let value = u64::from(self.length) << 30 | u64::from(self.offset);
        (check(value) << 51 | value).to_le_bytes()
    }

    /// `None`: not what was written.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (value, sum) = (u64_at(bytes, 0) & ((1 << 51) - 1), u64_at(bytes, 0) >> 51);
        let position = Self { offset: (value & ((1 << 30) - 1)) as u32, length: (value >> 30) as u32 };
        (check(value) == sum).then_some(position)
    }
}

/// Thirteen bits that any change of one bit changes.
fn check(value: u64) -> u64 {
    let crc = u64::from(crc32c::crc32c(&value.to_le_bytes()));
    (crc ^ crc >> 13 ^ crc >> 26) & 0x1fff
}

const _: () = assert!(limits::SEGMENT_BYTES_MAX <= 1 << 30 && limits::PAYLOAD_BYTES_MAX < (1 << 21) - 40);

/// The directory behind the header, checked: the first conversation of each page.
pub(crate) fn decode_directory(front: &[u8], header: &IndexHeader) -> Option<Vec<Conversation>> {
    let bytes = front.get(HEADER_BYTES..header.front_bytes())?;
    let (keys, crc) = bytes.split_at(bytes.len() - CRC_BYTES);
    (crc32c::crc32c(keys) == u32_at(crc, 0))
        .then(|| keys.chunks_exact(KEY_BYTES).map(|key| array(key, 0)).collect())
}

/// The runs of a page, checked, ascending by conversation and sequence.
pub(crate) fn decode_page(bytes: &[u8], page: u32) -> Option<Vec<IndexRun>> {
    let bytes = bytes.get(..PAGE_BYTES)?;
    let count = u32_at(bytes, 4) as usize;
    let whole =
        crc32c::crc32c(&bytes[4..]) == u32_at(bytes, 0) && u32_at(bytes, 8) == page && count <= PAGE_RUNS;
    whole.then(|| {
        bytes[PAGE_HEADER_BYTES..].chunks_exact(RUN_BYTES).take(count).map(IndexRun::decode).collect()
    })
}

/// Writes an index file of `runs`. The header's counts of what it indexes are filled in here.
pub(crate) fn write(
    out: &mut dyn Write,
    mut header: IndexHeader,
    runs: &Runs,
    segment: &dyn Fn(u32) -> Option<SegmentId>,
) -> io::Result<()> {
    let mut order: Vec<u32> = (0..runs.all().len() as u32).collect();
    order.sort_unstable_by_key(|run| {
        let run = runs.run(*run);
        (run.conversation, run.first)
    });
    header.runs = order.len() as u32;
    header.entries = runs.entries() as u64;
    header.positions = runs.all().iter().map(|run| if run.count > 1 { run.count } else { 0 }).sum();
    let mut out = Summed { out, crc: 0 };
    out.write_all(&header.encode())?;
    let mut directory = Vec::with_capacity(header.pages() as usize * KEY_BYTES);
    for page in order.chunks(PAGE_RUNS) {
        directory.extend_from_slice(&runs.run(page[0]).conversation);
    }
    out.write_all(&directory)?;
    out.write_all(&crc32c::crc32c(&directory).to_le_bytes())?;
    let mut listed = 0;
    for (number, page) in order.chunks(PAGE_RUNS).enumerate() {
        let mut bytes = [0; PAGE_BYTES];
        bytes[4..8].copy_from_slice(&(page.len() as u32).to_le_bytes());
        bytes[8..12].copy_from_slice(&(number as u32).to_le_bytes());
        for (run, place) in page.iter().zip(bytes[PAGE_HEADER_BYTES..].chunks_exact_mut(RUN_BYTES)) {
            let run = runs.run(*run);
            let positions = match run.count {
                1 => Positions::Inline(runs.backward(run, 0).next().expect("a run has an entry")),
                _ => Positions::Listed(listed),
            };
            if let Positions::Listed(_) = positions {
                listed += run.count;
            }
            let (conversation, previous) = (run.conversation, segment(run.previous.segment));
            let run = IndexRun { conversation, first: run.first, count: run.count, positions, previous };
            place.copy_from_slice(&run.encode());
        }
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[0..4].copy_from_slice(&crc.to_le_bytes());
        out.write_all(&bytes)?;
    }
    let mut positions = Vec::new();
    for run in &order {
        let run = runs.run(*run);
        if run.count == 1 {
            continue;
        }
        positions.clear();
        positions.extend(runs.backward(run, run.count - 1).map(Position::encode));
        positions.reverse();
        out.write_all(positions.as_flattened())?;
    }
    let crc = out.crc;
    out.write_all(&crc.to_le_bytes())
}

/// Sums what it writes.
pub(crate) struct Summed<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) crc: u32,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_with_one_wrong_bit_is_noticed() {
        let most = Position { offset: (1 << 30) - 1, length: (1 << 20) + 40 };
        for position in
            [most, Position { offset: 1024, length: 40 }, Position { offset: 777_777, length: 301 }]
        {
            let bytes = position.encode();
            assert_eq!(Position::decode(&bytes), Some(position));
            for bit in 0..64 {
                let wrong = u64::from_le_bytes(bytes) ^ 1 << bit;
                assert_eq!(Position::decode(&wrong.to_le_bytes()), None, "bit {bit}");
            }
        }
    }
}
