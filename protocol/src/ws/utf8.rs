//! UTF-8 that arrives in pieces: refused at the first byte that no valid text could have there.

use crate::fault::WebSocketFault;

/// State between two pieces: the bytes of a character that is cut.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    cut: [u8; 4],
    len: u8,
}

/// What a look at some bytes said.
enum Verdict {
    Whole,
    /// Valid up to here; the rest begins a character.
    Cut(usize),
}

fn check(bytes: &[u8]) -> Result<Verdict, WebSocketFault> {
    match simdutf8::compat::from_utf8(bytes) {
        Ok(_) => Ok(Verdict::Whole),
        Err(error) if error.error_len().is_none() => Ok(Verdict::Cut(error.valid_up_to())),
        Err(_) => Err(WebSocketFault::InvalidUtf8),
    }
}

impl Utf8 {
    /// The next piece.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), WebSocketFault> {
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            // Three bytes at most wait here: a fourth completes the character or is refused.
            self.cut[usize::from(self.len)] = byte;
            self.len += 1;
            if let Verdict::Whole = check(&self.cut[..usize::from(self.len)])? {
                self.len = 0;
            }
        }
        if let Verdict::Cut(valid) = check(piece)? {
            let cut = &piece[valid..];
            self.cut[..cut.len()].copy_from_slice(cut);
            self.len = cut.len() as u8;
        }
        Ok(())
    }

    /// The end of the text.
    pub(super) fn finish(&mut self) -> Result<(), WebSocketFault> {
        if self.len == 0 { Ok(()) } else { Err(WebSocketFault::InvalidUtf8) }
    }
}

/// Checks a text that is there as a whole.
pub(super) fn check_whole(bytes: &[u8]) -> Result<&str, WebSocketFault> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| WebSocketFault::InvalidUtf8)
}
