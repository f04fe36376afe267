//! The bytes of a segment (rules J-1 to J-9 of `docs/journal.md`): header, batch, record.
//!
//! Pure: slices in, values out. Everything is little-endian. Nothing here trusts a length it has not
//! compared with what is there.

pub(crate) mod batch;
pub(crate) mod header;
pub(crate) mod record;

/// The `N` bytes at `at`. The caller has checked that they are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// The 16-bit number at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

/// The 32-bit number at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

/// The 64-bit number at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
