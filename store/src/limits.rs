//! Every bound of the store, with the reason for its value.

/// Size of a segment file, bytes. Large enough that a roll is rare (several seconds apart at 10 MB/s), small
/// enough that an index job, a checkpoint input and a recovery scan are each a matter of milliseconds.
pub const SEGMENT_BYTES_DEFAULT: u32 = 64 << 20;
/// The smallest segment: both headers and one small batch. Simulation uses sizes near it.
pub const SEGMENT_BYTES_MIN: u32 = 2048;
/// The largest segment. Offsets are 32 bits wide; a quarter of that leaves no sum near the edge.
pub const SEGMENT_BYTES_MAX: u32 = 1 << 30;

/// Payload of one record, bytes. Sixteen times the default frame; also what a reader may have to allocate
/// for one record, so it must not come near memory sizes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// One batch with its header, bytes: what recovery reads and checks at once.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Where the writer closes a batch although the disk is busy. 1 MiB is 0.5 ms of writing on a slow SSD:
/// longer batches add latency and gain nothing.
pub const BATCH_BYTES_DEFAULT: usize = 1 << 20;
/// Encoded but not yet synced, bytes, at which the journal calls itself full. About 80 ms of a disk that
/// does 100 MB/s: beyond it publishers are better told `busy` than kept waiting.
pub const PENDING_BYTES_DEFAULT: usize = 8 << 20;
/// Batch buffers kept for reuse. One in flight, one open, one being swapped.
pub const SPARE_BUFFERS: usize = 3;
/// Rolled segments whose index file is not published yet. Their offsets stay in memory (16 bytes a record);
/// a disk that cannot publish an index for this many segments is a failed disk.
pub const SEALING_MAX: usize = 8;

const _: () = assert!(PAYLOAD_BYTES_MAX < BATCH_BYTES_MAX, "a batch holds at least one record");
const _: () = assert!(BATCH_BYTES_DEFAULT <= BATCH_BYTES_MAX, "a reader accepts what the writer makes");
const _: () = assert!(BATCH_BYTES_MAX <= SEGMENT_BYTES_DEFAULT as usize / 4, "a roll wastes little");
const _: () = assert!(PAYLOAD_BYTES_MAX < 1 << 24, "24 bits hold a payload's length");

/// Entries of one page of history. A client scrolls by fifty; a replica or an export takes more.
pub const PAGE_ENTRIES_MAX: u32 = 4096;
/// Payload bytes of one page of history, at most.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// Records of a segment closer together than this are read at once: one read of 4 KiB more costs less than
/// one more read.
pub const READ_GAP_BYTES: u32 = 4 << 10;
/// Bytes of one read of records, unless a single record is larger.
pub const READ_BYTES_MAX: u32 = 256 << 10;
/// First read of an index file: header and directory of up to 500 pages, which is 42,000 runs.
pub const FRONT_READ_BYTES: u32 = 8 << 10;
/// Header and directory of an index file, at most: every record of the largest segment in a run of its own.
pub const FRONT_BYTES_MAX: u32 = 6 << 20;
const _: () = assert!(
    FRONT_BYTES_MAX as usize > (SEGMENT_BYTES_MAX as usize / crate::format::record::HEADER_BYTES) / 85 * 16
);

/// Sealed bytes that no checkpoint covers at which the next one is worthwhile, if the last one is small.
/// Replaying them takes a tenth of a second.
pub const CHECKPOINT_AFTER_BYTES: u64 = 128 << 20;
/// Segments that one merge takes in, bytes. Bounds how long it runs.
pub const CHECKPOINT_INPUT_BYTES: u64 = 1 << 30;
/// Segments that are looked at once for what need not be kept, bytes; but of each shard one. Bounds how long it runs,
/// and what is remembered of the conversations in them.
pub const RETIRE_INPUT_BYTES: u64 = 256 << 20;
/// Records that one merge takes in. It remembers the conversations they belong to, 16 bytes each: 64 MB if
/// every one belongs to another.
pub const CHECKPOINT_INPUT_RECORDS: u64 = 4 << 20;
/// States that one merge holds in memory, bytes as encoded.
pub const CHECKPOINT_MEMORY_BYTES: u64 = 32 << 20;
/// Where a block of a checkpoint is closed.
pub const BLOCK_BYTES: usize = 64 << 10;
/// State of one conversation, bytes. A million members of fifty bytes fit.
pub const STATE_BYTES_MAX: usize = 64 << 20;
