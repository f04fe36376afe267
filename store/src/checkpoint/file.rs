//! The bytes of a checkpoint (rules J-20 to J-24 of `docs/journal.md`).
//!
//! ```text
//! header 32 | block | block | … | footer: position, counts, perhaps a floor | tail 16
//! block: crc, bytes, entries, 0 | entry … ; entry: conversation, next, last segment, flags, state bytes | state
//! ```
//!
//! Blocks are summed one by one; the footer holds the sum of their sums. So a reader with a buffer of one
//! block can tell that the file is whole before it believes any of it.

use std::io::{self, Write};

use crate::files::ReadFile;
use crate::format::{array, u16_at, u32_at, u64_at};
use crate::limits::{BLOCK_BYTES, STATE_BYTES_MAX};
use crate::record::Conversation;
use crate::segment::{CHECKPOINT, SegmentId};

const MAGIC: u64 = u64::from_le_bytes(*b"RingwCKP");
/// The format where nothing was ever removed.
const VERSION_1: u32 = 1;
/// The format with a floor (J-27). This build reads both, and writes the one that is needed.
pub(crate) const VERSION: u32 = 2;
const HEADER_BYTES: usize = 32;
const BLOCK_HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 40;
const FOOTER_BYTES: usize = 40;
const SHARD_BYTES: usize = 8;
const TAIL_BYTES: usize = 16;
const HAS_LAST: u16 = 1;
const HAS_STATE: u16 = 2;
/// Shards of one generation.
const SHARDS_MAX: usize = 1 << 16;

/// Which segments a checkpoint covers: all before `generation`, and of that generation each shard's segments
/// before the index given (none of a shard that is not listed).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Position {
    pub(crate) generation: u32,
    /// Ascending by shard.
    pub(crate) shards: Vec<(u16, u32)>,
}

impl Position {
    pub(crate) fn covers(&self, id: SegmentId) -> bool {
        id.generation < self.generation || id.generation == self.generation && id.index < self.next(id.shard)
    }

    fn next(&self, shard: u16) -> u32 {
        let place = self.shards.binary_search_by_key(&shard, |(shard, _)| *shard);
        place.map_or(0, |place| self.shards[place].1)
    }

    /// The last segment covered of each shard of the generation: they must exist.
    pub(crate) fn last_segments(&self) -> impl Iterator<Item = SegmentId> + '_ {
        let last = |(shard, next): &(u16, u32)| {
            let index = next.checked_sub(1)?;
            Some(SegmentId { generation: self.generation, shard: *shard, index })
        };
        self.shards.iter().filter_map(last)
    }

    /// Whether nothing is covered.
    pub(crate) fn is_empty(&self) -> bool {
        self.generation == 0
    }

    /// Whether this is the first segment of its shard that is not covered, and others were before it.
    pub(crate) fn ends_before(&self, id: SegmentId) -> bool {
        id.index > 0 && self.covers(SegmentId { index: id.index - 1, ..id }) && !self.covers(id)
    }

    /// Covers one more segment, the next of its shard.
    pub(crate) fn add(&mut self, id: SegmentId) {
        debug_assert!(id.generation >= self.generation);
        if id.generation > self.generation {
            *self = Self { generation: id.generation, shards: Vec::new() };
        }
        match self.shards.binary_search_by_key(&id.shard, |(shard, _)| *shard) {
            Ok(place) => self.shards[place].1 = id.index + 1,
            Err(place) => self.shards.insert(place, (id.shard, id.index + 1)),
        }
    }
}

/// One conversation in a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) conversation: Conversation,
    /// Sequence of its next entry; 0 if it has none.
    pub(crate) next: u64,
    /// The last segment that holds an entry of it.
    pub(crate) last: Option<SegmentId>,
    /// What the server's fold made of it, if anything.
    pub(crate) state: Option<&'a [u8]>,
}

/// What the end of a checkpoint says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    pub(crate) position: Position,
    /// What is covered by this was removed.
    pub(crate) floor: Position,
    pub(crate) conversations: u64,
    blocks: u64,
    /// Sum of the blocks' sums.
    crc: u32,
    /// Where the blocks end.
    end: u64,
}

/// Name of a checkpoint, relative to the data directory.
pub(crate) fn name(number: u64) -> String {
    format!("{CHECKPOINT}/{number:016x}.ckpt")
}

/// The number of a name in the `checkpoint` folder.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_suffix(".ckpt")?, 16).ok()?;
    (format!("{number:016x}.ckpt") == name).then_some(number)
}

/// Writes a checkpoint, entry by entry in ascending order.
pub(crate) struct Writer<'a> {
    out: &'a mut dyn Write,
    number: u64,
    block: Vec<u8>,
    entries: u32,
    footer: Footer,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        out: &'a mut dyn Write,
        number: u64,
        position: Position,
        floor: Position,
    ) -> io::Result<Self> {
        let version = if floor.is_empty() { VERSION_1 } else { VERSION };
        let mut header = [0; HEADER_BYTES];
        header[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        header[8..12].copy_from_slice(&version.to_le_bytes());
        header[16..24].copy_from_slice(&number.to_le_bytes());
        let crc = crc32c::crc32c(&header[..28]);
        header[28..32].copy_from_slice(&crc.to_le_bytes());
        out.write_all(&header)?;
        let end = HEADER_BYTES as u64;
        let footer = Footer { position, floor, conversations: 0, blocks: 0, crc: 0, end };
        Ok(Self { out, number, block: vec![0; BLOCK_HEADER_BYTES], entries: 0, footer })
    }

    pub(crate) fn add(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let state = entry.state.unwrap_or_default();
        if state.len() > STATE_BYTES_MAX {
            return Err(io::Error::other(format!("a state of {} bytes is too large", state.len())));
        }
        let bytes = ENTRY_BYTES + state.len();
        if self.entries > 0 && self.block.len() + bytes > BLOCK_BYTES {
            self.close_block()?;
        }
        let mut head = [0; ENTRY_BYTES];
        head[0..16].copy_from_slice(&entry.conversation);
        head[16..24].copy_from_slice(&entry.next.to_le_bytes());
        if let Some(last) = entry.last {
            head[24..28].copy_from_slice(&last.generation.to_le_bytes());
            head[28..32].copy_from_slice(&last.index.to_le_bytes());
            head[32..34].copy_from_slice(&last.shard.to_le_bytes());
        }
        let flags = if entry.last.is_some() { HAS_LAST } else { 0 };
        let flags = flags | if entry.state.is_some() { HAS_STATE } else { 0 };
        head[34..36].copy_from_slice(&flags.to_le_bytes());
        head[36..40].copy_from_slice(&(state.len() as u32).to_le_bytes());
        self.block.extend_from_slice(&head);
        self.block.extend_from_slice(state);
        self.entries += 1;
        self.footer.conversations += 1;
        Ok(())
    }

    fn close_block(&mut self) -> io::Result<()> {
        let bytes = (self.block.len() - BLOCK_HEADER_BYTES) as u32;
        self.block[4..8].copy_from_slice(&bytes.to_le_bytes());
        self.block[8..12].copy_from_slice(&self.entries.to_le_bytes());
        let crc = block_crc(self.number, self.footer.blocks, &self.block);
        self.block[0..4].copy_from_slice(&crc.to_le_bytes());
        self.out.write_all(&self.block)?;
        self.footer.crc = crc32c::crc32c_append(self.footer.crc, &crc.to_le_bytes());
        self.footer.blocks += 1;
        self.footer.end += self.block.len() as u64;
        self.block.truncate(BLOCK_HEADER_BYTES);
        self.entries = 0;
        Ok(())
    }

    /// Writes what is left. Returns the size of the file and how many conversations are in it.
    pub(crate) fn finish(mut self) -> io::Result<(u64, u64)> {
        if self.entries > 0 {
            self.close_block()?;
        }
        let Footer { position, floor, conversations, blocks, crc, end } = &self.footer;
        let mut footer = Vec::with_capacity(FOOTER_BYTES + position.shards.len() * SHARD_BYTES + TAIL_BYTES);
        footer.extend_from_slice(&self.number.to_le_bytes());
        footer.extend_from_slice(&conversations.to_le_bytes());
        footer.extend_from_slice(&blocks.to_le_bytes());
        footer.extend_from_slice(&crc.to_le_bytes());
        footer.extend_from_slice(&position.generation.to_le_bytes());
        footer.extend_from_slice(&(position.shards.len() as u32).to_le_bytes());
        footer.extend_from_slice(&[0; 4]);
        for (shard, next) in &position.shards {
            footer.extend_from_slice(&u32::from(*shard).to_le_bytes());
            footer.extend_from_slice(&next.to_le_bytes());
        }
        if !floor.is_empty() {
            footer.extend_from_slice(&floor.generation.to_le_bytes());
            footer.extend_from_slice(&(floor.shards.len() as u32).to_le_bytes());
            for (shard, next) in &floor.shards {
                footer.extend_from_slice(&u32::from(*shard).to_le_bytes());
                footer.extend_from_slice(&next.to_le_bytes());
            }
        }
        let crc = crc32c::crc32c(&footer);
        let bytes = footer.len() as u32;
        footer.extend_from_slice(&bytes.to_le_bytes());
        footer.extend_from_slice(&crc.to_le_bytes());
        footer.extend_from_slice(&MAGIC.to_le_bytes());
        self.out.write_all(&footer)?;
        Ok((end + footer.len() as u64, *conversations))
    }
}

/// Sum of a block, which is at home in one place of one checkpoint only.
fn block_crc(number: u64, block: u64, bytes: &[u8]) -> u32 {
    let seed = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &block.to_le_bytes());
    crc32c::crc32c_append(seed, &bytes[4..])
}

/// Why a checkpoint cannot be read.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    /// A whole header of another format.
    Version(u32),
    /// Something is not what was written.
    Damaged(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a checkpoint from its beginning, block by block.
pub(crate) struct Reader {
    file: Box<dyn ReadFile>,
    number: u64,
    pub(crate) footer: Footer,
    offset: u64,
    /// Blocks read, and the sum of their sums.
    blocks: u64,
    crc: u32,
    block: Vec<u8>,
    /// Where the next entry begins in the block.
    at: usize,
}

impl Reader {
    /// Reads header and footer.
    pub(crate) fn open(file: Box<dyn ReadFile>, number: u64) -> Result<Self, Fault> {
        let bytes = file.bytes()?;
        let mut header = [0; HEADER_BYTES];
        let read = file.read_at(0, &mut header)?;
        if read < HEADER_BYTES
            || u64_at(&header, 0) != MAGIC
            || crc32c::crc32c(&header[..28]) != u32_at(&header, 28)
        {
            return Err(Fault::Damaged("its header is unreadable"));
        }
        let version = u32_at(&header, 8);
        if !(VERSION_1..=VERSION).contains(&version) {
            return Err(Fault::Version(version));
        }
        let footer = Self::footer(&*file, bytes)?;
        if footer.0.floor.is_empty() != (version == VERSION_1) {
            return Err(Fault::Damaged("its footer is of another format than its header"));
        }
        if u64_at(&header, 16) != number || footer.1 != number {
            return Err(Fault::Damaged("it is another checkpoint than its name says"));
        }
        let (footer, offset) = (footer.0, HEADER_BYTES as u64);
        Ok(Self { file, number, footer, offset, blocks: 0, crc: 0, block: Vec::new(), at: 0 })
    }

    fn footer(file: &dyn ReadFile, bytes: u64) -> Result<(Footer, u64), Fault> {
        let damaged = Fault::Damaged("its footer is unreadable");
        let mut tail = [0; TAIL_BYTES];
        let Some(at) = bytes.checked_sub(TAIL_BYTES as u64) else { return Err(damaged) };
        file.read_at(at, &mut tail)?;
        let footer_bytes = u32_at(&tail, 0) as usize;
        let slots = footer_bytes.saturating_sub(FOOTER_BYTES) / SHARD_BYTES;
        let plausible = u64_at(&tail, 8) == MAGIC
            && footer_bytes == FOOTER_BYTES + slots * SHARD_BYTES
            && slots <= 2 * SHARDS_MAX + 1;
        let Some(end) = at.checked_sub(footer_bytes as u64).filter(|_| plausible) else {
            return Err(damaged);
        };
        let mut footer = vec![0; footer_bytes];
        file.read_at(end, &mut footer)?;
        if crc32c::crc32c(&footer) != u32_at(&tail, 4) {
            return Err(damaged);
        }
        let shards = u32_at(&footer, 32) as usize;
        let mut slots = footer[FOOTER_BYTES..].chunks_exact(SHARD_BYTES);
        let shard = |slot: &[u8]| (u16_at(slot, 0), u32_at(slot, 4));
        let listed: Vec<_> = slots.by_ref().take(shards).map(shard).collect();
        let position = Position { generation: u32_at(&footer, 28), shards: listed };
        let mut floor = Position::default();
        let mut floors = 0;
        if let Some(head) = slots.next() {
            (floor.generation, floors) = (u32_at(head, 0), u32_at(head, 4) as usize);
            floor.shards = slots.map(shard).collect();
        }
        if position.shards.len() != shards || floor.shards.len() != floors {
            return Err(damaged);
        }
        let (conversations, blocks, crc) = (u64_at(&footer, 8), u64_at(&footer, 16), u32_at(&footer, 24));
        Ok((Footer { position, floor, conversations, blocks, crc, end }, u64_at(&footer, 0)))
    }

    /// Whose entry comes next, without taking it.
    pub(crate) fn peek(&mut self) -> Result<Option<Conversation>, Fault> {
        if self.at == self.block.len() && !self.read_block()? {
            return Ok(None);
        }
        match self.block.get(self.at..self.at + ENTRY_BYTES) {
            Some(head) => Ok(Some(array(head, 0))),
            None => Err(Fault::Damaged("an entry has no end")),
        }
    }

    /// The next entry, or `None` after the last one, when the whole file has been found to be sound.
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'_>>, Fault> {
        if self.at == self.block.len() && !self.read_block()? {
            return Ok(None);
        }
        let damaged = Fault::Damaged("an entry has no end");
        let Some(head) = self.block.get(self.at..self.at + ENTRY_BYTES) else { return Err(damaged) };
        let last =
            SegmentId { generation: u32_at(head, 24), index: u32_at(head, 28), shard: u16_at(head, 32) };
        let flags = u16_at(head, 34);
        let last = (flags & HAS_LAST != 0).then_some(last);
        let (conversation, next) = (array(head, 0), u64_at(head, 16));
        let from = self.at + ENTRY_BYTES;
        let to = from + u32_at(head, 36) as usize;
        let Some(state) = self.block.get(from..to) else { return Err(damaged) };
        let state = (flags & HAS_STATE != 0).then_some(state);
        self.at = to;
        Ok(Some(Entry { conversation, next, last, state }))
    }

    /// Reads and checks the next block; `false` if there is none.
    fn read_block(&mut self) -> Result<bool, Fault> {
        let damaged = || Fault::Damaged("a block is not what was written");
        if self.offset == self.footer.end {
            let whole = self.blocks == self.footer.blocks && self.crc == self.footer.crc;
            return if whole { Ok(false) } else { Err(damaged()) };
        }
        let mut head = [0; BLOCK_HEADER_BYTES];
        self.file.read_at(self.offset, &mut head)?;
        let bytes = u32_at(&head, 4) as usize;
        let left = self.footer.end.saturating_sub(self.offset + BLOCK_HEADER_BYTES as u64);
        if bytes == 0 || bytes as u64 > left || bytes > BLOCK_BYTES.max(ENTRY_BYTES + STATE_BYTES_MAX) {
            return Err(damaged());
        }
        self.block.resize(BLOCK_HEADER_BYTES + bytes, 0);
        let read = self.file.read_at(self.offset, &mut self.block)?;
        let crc = u32_at(&self.block, 0);
        if read != self.block.len() || block_crc(self.number, self.blocks, &self.block) != crc {
            return Err(damaged());
        }
        self.offset += self.block.len() as u64;
        self.blocks += 1;
        self.crc = crc32c::crc32c_append(self.crc, &crc.to_le_bytes());
        self.at = BLOCK_HEADER_BYTES;
        Ok(true)
    }

    /// Reads everything once, for what it is worth, and goes back to the beginning.
    pub(crate) fn check(&mut self) -> Result<(), Fault> {
        let mut before: Option<Conversation> = None;
        while let Some(entry) = self.next()? {
            if before.is_some_and(|before| before >= entry.conversation) {
                return Err(Fault::Damaged("its entries are out of order"));
            }
            before = Some(entry.conversation);
        }
        (self.offset, self.blocks, self.crc, self.at) = (HEADER_BYTES as u64, 0, 0, 0);
        self.block.clear();
        Ok(())
    }
}
