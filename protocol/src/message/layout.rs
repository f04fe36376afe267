//! The one layout that a table with a struct and at most one byte vector needs, written and recognised
//! without a builder.
//!
//! ```text
//! 0             4         10 or 12   12                16              16+N          20+N          24+N
//! | root offset | vtable  | pad      | vtable distance | fixed, N      | body offset | body length | body | pad
//! ```
//!
//! It is ordinary FlatBuffers, but all that varies in it is the struct, the length and the body. So a reader
//! that finds the same constants needs no verifier: two compares and a bound prove what the verifier would (a
//! Publish 11 ns instead of 38, a Message 15 instead of 35). Anything else, written by another language's
//! builder, goes through the verifier.

use super::encoder::padding;
use crate::frame::{self, FrameType, HEADER_BYTES};

const VTABLE: usize = 4;
/// Four below a multiple of eight, so that the struct behind the table's first word is aligned.
const TABLE: usize = 12;
const FIXED: usize = TABLE + 4;

/// The bytes before a struct of `N` bytes. `body`: a vector follows it.
const fn head<const N: usize>(body: bool) -> [u8; FIXED] {
    assert!(N.is_multiple_of(4) || !body, "the offset behind the struct is aligned");
    assert!(N < 1 << 12, "vtable entries are 16 bits");
    let mut head = [0; FIXED];
    head[0] = TABLE as u8;
    head[VTABLE] = if body { 8 } else { 6 };
    let table_bytes = if body { 8 + N as u16 } else { 4 + N as u16 };
    [head[VTABLE + 2], head[VTABLE + 3]] = table_bytes.to_le_bytes();
    head[VTABLE + 4] = (FIXED - TABLE) as u8;
    if body {
        [head[VTABLE + 6], head[VTABLE + 7]] = (4 + N as u16).to_le_bytes();
    }
    head[TABLE] = (TABLE - VTABLE) as u8;
    head
}

/// Distance from the body's offset to its length.
const BODY_OFFSET: [u8; 4] = 4u32.to_le_bytes();

/// Appends a frame whose table has one struct and nothing else.
#[inline]
pub(super) fn write<const N: usize>(kind: FrameType, fixed: &[u8; N], out: &mut Vec<u8>) {
    let end = FIXED + N;
    let padding = padding(end);
    out.reserve(HEADER_BYTES + end + padding);
    out.extend_from_slice(&frame::header(kind, (end + padding) as u32));
    out.extend_from_slice(const { &head::<N>(false) });
    out.extend_from_slice(fixed);
    out.extend_from_slice(&[0; 8][..padding]);
}

/// Appends a frame whose table has one struct and one vector of bytes.
#[inline]
pub(super) fn write_with_body<const N: usize>(
    kind: FrameType,
    fixed: &[u8; N],
    body: &[u8],
    out: &mut Vec<u8>,
) {
    let end = FIXED + N + 8 + body.len();
    let padding = padding(end);
    out.reserve(HEADER_BYTES + end + padding);
    out.extend_from_slice(&frame::header(kind, (end + padding) as u32));
    out.extend_from_slice(const { &head::<N>(true) });
    out.extend_from_slice(fixed);
    let [l0, l1, l2, l3] = (body.len() as u32).to_le_bytes();
    let [o0, o1, o2, o3] = BODY_OFFSET;
    out.extend_from_slice(&[o0, o1, o2, o3, l0, l1, l2, l3]);
    out.extend_from_slice(body);
    out.extend_from_slice(&[0; 8][..padding]);
}

/// The struct, if the root is what [`write`] makes.
#[inline]
pub(super) fn read<const N: usize>(root: &[u8]) -> Option<&[u8; N]> {
    let rest = root.strip_prefix(const { &head::<N>(false) })?;
    rest.first_chunk()
}

/// Struct and body, if the root is what [`write_with_body`] makes.
#[inline]
pub(super) fn read_with_body<const N: usize>(root: &[u8]) -> Option<(&[u8; N], &[u8])> {
    let rest = root.strip_prefix(const { &head::<N>(true) })?;
    let (fixed, rest) = rest.split_first_chunk()?;
    let rest = rest.strip_prefix(&BODY_OFFSET)?;
    let (&length, rest) = rest.split_first_chunk()?;
    let body = rest.get(..u32::from_le_bytes(length) as usize)?;
    Some((fixed, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated as wire;
    use crate::message::verify;

    /// Whatever is recognised, the verifier accepts and reads alike.
    fn agrees(root: &[u8]) -> bool {
        let recognised = read_with_body::<80>(root);
        let verified = verify::bare_root::<wire::Message<'_>>(root);
        if let Some((fixed, body)) = recognised {
            let table = verified.expect("what is recognised is valid");
            assert_eq!((&table.fixed().0, table.body().bytes()), (fixed, body));
        }
        if let Some(fixed) = read::<24>(root) {
            let table = verify::bare_root::<wire::Head<'_>>(root).expect("what is recognised is valid");
            assert_eq!(&table.fixed().0, fixed);
        }
        recognised.is_some()
    }

    #[test]
    fn what_is_recognised_is_what_the_verifier_accepts() {
        let mut frame = Vec::new();
        write_with_body(FrameType::Message, &[7; 80], b"a body", &mut frame);
        assert!(agrees(&frame[HEADER_BYTES..]), "our own layout is recognised");
        let root = &mut frame[HEADER_BYTES..];
        let mut recognised = 0;
        for at in 0..root.len() {
            for value in 0..=255 {
                let before = core::mem::replace(&mut root[at], value);
                recognised += usize::from(agrees(root));
                recognised += usize::from(agrees(&root[..at]));
                root[at] = before;
            }
        }
        assert!(recognised > 80 * 256, "changes of values are recognised too");
        frame.clear();
        write(FrameType::Head, &[7; 24], &mut frame);
        let root = &mut frame[HEADER_BYTES..];
        assert!(read::<24>(root).is_some());
        for at in 0..root.len() {
            for value in 0..=255 {
                let before = core::mem::replace(&mut root[at], value);
                agrees(root);
                agrees(&root[..at]);
                root[at] = before;
            }
        }
    }
}
