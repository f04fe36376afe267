//! The record (J-8, J-9): one payload with what the store must know about it and a checksum of its own, so
//! that history can read and check one record without its batch.

use super::{array, u32_at, u64_at};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::record::{Record, RecordKind};

/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 40;

/// Bytes of a record on disk.
pub(crate) const fn encoded_bytes(payload: usize) -> usize {
    HEADER_BYTES + payload
}

/// Appends a record, its checksum started at the salt's `seed`. The payload's size has been checked.
pub(crate) fn encode(record: &Record<'_>, seed: u32, out: &mut Vec<u8>) {
    debug_assert!(record.payload.len() <= PAYLOAD_BYTES_MAX);
    let mut header = [0; HEADER_BYTES];
    let length_kind = (record.payload.len() as u32) << 8 | u32::from(record.kind.0);
    header[4..8].copy_from_slice(&length_kind.to_le_bytes());
    header[8..16].copy_from_slice(&record.sequence.to_le_bytes());
    header[16..24].copy_from_slice(&record.time_ms.to_le_bytes());
    header[24..40].copy_from_slice(&record.conversation);
    let at = out.len();
    out.extend_from_slice(&header);
    out.extend_from_slice(record.payload);
    let crc = crc32c::crc32c_append(seed, &out[at + 4..]);
    out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The first record of `bytes` and its size on disk, if there is a whole one. Its checksum is not looked at.
pub(crate) fn split(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    if bytes.len() < HEADER_BYTES {
        return None;
    }
    let length_kind = u32_at(bytes, 4);
    let length = (length_kind >> 8) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return None;
    }
    let record = Record {
        kind: RecordKind((length_kind & 0xff) as u8),
        conversation: array(bytes, 24),
        sequence: u64_at(bytes, 8),
        time_ms: u64_at(bytes, 16),
        payload: bytes.get(HEADER_BYTES..HEADER_BYTES + length)?,
    };
    Some((record, HEADER_BYTES + length))
}

/// The record that fills `bytes` exactly, checked.
pub(crate) fn decode(bytes: &[u8], seed: u32) -> Option<Record<'_>> {
    let (record, size) = split(bytes)?;
    (size == bytes.len() && crc32c::crc32c_append(seed, &bytes[4..]) == u32_at(bytes, 0)).then_some(record)
}
