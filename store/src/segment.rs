//! Which segment: its identity, its file names, and the secret in its checksums.

use std::fmt;

/// Folder of segments and their index files, below the data directory.
pub const JOURNAL: &str = "journal";
/// Folder of checkpoints, below the data directory.
pub const CHECKPOINT: &str = "checkpoint";

/// One segment of one shard in one generation.
///
/// The derived order is the replay order: generation by generation, within one by shard (their conversations
/// are disjoint), within a shard by index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId {
    /// Which start of the process wrote it, from 1.
    pub generation: u32,
    /// Which shard of that start.
    pub shard: u16,
    /// Which segment of that shard, dense from 0.
    pub index: u32,
}

impl SegmentId {
    /// The segment's file, relative to the data directory.
    pub fn segment_name(self) -> String {
        format!("{JOURNAL}/{self}.seg")
    }

    /// Its index file, there once the segment is sealed.
    pub fn index_name(self) -> String {
        format!("{JOURNAL}/{self}.idx")
    }

    /// Where the damaged original is kept when its good batches are salvaged for the `time`th time, from 1.
    pub fn corrupt_name(self, time: u32) -> String {
        format!("{JOURNAL}/{self}.seg.corrupt.{time}")
    }

    /// The next segment of the same shard and generation.
    pub(crate) fn next(self) -> Self {
        Self { index: self.index.checked_add(1).expect("a generation has fewer than 2^32 segments"), ..self }
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:04x}-{:08x}", self.generation, self.shard, self.index)
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Sixteen secret random bytes of a segment (J-4). They seed its checksums and tag its batches, so that no
/// payload can be taken for a batch or a record: who chooses payloads does not know them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl Salt {
    /// Where every checksum of the segment starts.
    pub(crate) fn seed(&self) -> u32 {
        crc32c::crc32c(&self.0)
    }

    /// What every batch header of the segment carries.
    pub(crate) fn tag(&self) -> [u8; 8] {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        [a, b, c, d, e, f, g, h]
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// What a name in the `journal` folder means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JournalName {
    Segment(SegmentId),
    Index(SegmentId),
    /// A damaged original, kept for people; never read.
    Corrupt(SegmentId, u32),
    /// What an interrupted atomic write left; removed.
    Temporary,
    Unknown,
}

/// Reads a name in the `journal` folder (without the folder).
pub(crate) fn parse(name: &str) -> JournalName {
    if name.ends_with(".tmp") {
        return JournalName::Temporary;
    }
    let Some((stem, ending)) = name.split_once('.') else { return JournalName::Unknown };
    let Some(id) = parse_stem(stem) else { return JournalName::Unknown };
    match ending {
        "seg" => JournalName::Segment(id),
        "idx" => JournalName::Index(id),
        _ => match ending.strip_prefix("seg.corrupt.").and_then(|time| time.parse().ok()) {
            Some(time) => JournalName::Corrupt(id, time),
            None => JournalName::Unknown,
        },
    }
}

fn parse_stem(stem: &str) -> Option<SegmentId> {
    let mut parts = stem.split('-');
    let (generation, shard, index) = (parts.next()?, parts.next()?, parts.next()?);
    let id = SegmentId {
        generation: u32::from_str_radix(generation, 16).ok()?,
        shard: u16::from_str_radix(shard, 16).ok()?,
        index: u32::from_str_radix(index, 16).ok()?,
    };
    // One spelling per segment: no upper case, no signs, no missing zeros.
    (parts.next().is_none() && id.to_string() == stem).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let id = SegmentId { generation: 0x1a, shard: 3, index: 0x2000 };
        assert_eq!(id.segment_name(), "journal/0000001a-0003-00002000.seg");
        assert_eq!(parse("0000001a-0003-00002000.seg"), JournalName::Segment(id));
        assert_eq!(parse("0000001a-0003-00002000.idx"), JournalName::Index(id));
        assert_eq!(parse("0000001a-0003-00002000.seg.corrupt.2"), JournalName::Corrupt(id, 2));
        assert_eq!(parse("0000001a-0003-00002000.idx.tmp"), JournalName::Temporary);
        for bad in [
            "1a-3-2000.seg",
            "0000001A-0003-00002000.seg",
            "0000001a-0003-00002000",
            "x.seg",
            "",
            "+000001a-0003-00002000.seg",
            "0000001a-0003-00002000-0.seg",
            "0000001a-0003-00002000.seg.gz",
            "0000001a-0003-00002000.seg.corrupt",
        ] {
            assert_eq!(parse(bad), JournalName::Unknown, "{bad}");
        }
    }

    #[test]
    fn replay_order_is_generation_shard_index() {
        let id = |generation, shard, index| SegmentId { generation, shard, index };
        let mut ids = [id(2, 0, 0), id(1, 1, 0), id(1, 0, 9), id(1, 1, 1)];
        ids.sort();
        assert_eq!(ids, [id(1, 0, 9), id(1, 1, 0), id(1, 1, 1), id(2, 0, 0)]);
    }
}
