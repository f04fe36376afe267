//! Masking (§5.3): every byte of a client's payload is XORed with one of four.

/// Masks or unmasks `data` in place; `offset` is how many bytes of the same payload came before.
///
/// Eight bytes at a time, in blocks that the compiler turns into vector instructions; no alignment is needed.
#[inline]
pub fn mask(data: &mut [u8], mut key: [u8; 4], offset: usize) {
    key.rotate_left(offset % 4);
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (blocks, rest) = data.as_chunks_mut::<64>();
    for block in blocks {
        for bytes in block.as_chunks_mut().0 {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
    }
    let (words, rest) = rest.as_chunks_mut();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(word.to_ne_bytes()) {
        *byte ^= key;
    }
}
