//! The mark that every published body carries, by which it is known again wherever it turns up.

use crate::random::mix;

/// One wish to publish: who in which life, and which of that life's wishes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Token {
    /// Number of the client's life; a client that lost its memory begins another.
    pub life: u32,
    /// Number of the wish, from 1.
    pub number: u32,
}

/// Bytes of a mark, and so of the shortest body.
pub const TOKEN_BYTES: usize = 12;

impl Token {
    fn seal(self) -> u32 {
        mix(u64::from(self.life) << 32 | u64::from(self.number)) as u32
    }

    /// A body of at least that many bytes with this mark in front. The rest follows from the mark.
    pub fn body(self, bytes: usize) -> Vec<u8> {
        let mut body = Vec::with_capacity(bytes.max(TOKEN_BYTES));
        for word in [self.life, self.number, self.seal()] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        while body.len() < bytes {
            body.push((self.seal() >> 8) as u8 ^ body.len() as u8);
        }
        body
    }

    /// The mark of a body, if it has one and everything behind it is as it was made.
    pub fn of(body: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?));
        let token = Token { life: word(0)?, number: word(4)? };
        (token.body(body.len()) == body).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_known_again_and_a_changed_one_is_not() {
        let token = Token { life: 7, number: 3 };
        for bytes in [0, 12, 13, 400] {
            let mut body = token.body(bytes);
            assert_eq!(Token::of(&body), Some(token));
            for at in 0..body.len() {
                body[at] ^= 1;
                assert_eq!(Token::of(&body), None, "byte {at} of {bytes}");
                body[at] ^= 1;
            }
        }
        assert_eq!(Token::of(b"short"), None);
    }
}
