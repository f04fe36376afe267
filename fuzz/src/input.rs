//! Takes the engine's bytes apart: a script of steps, each with what it needs.

/// What is left of the script.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte; `None`: the script is over.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, or 0.
    pub fn number(&mut self) -> usize {
        usize::from(self.byte().unwrap_or(0))
    }

    /// The next two bytes as a number; missing ones are 0.
    pub fn wide(&mut self) -> usize {
        self.number() | self.number() << 8
    }

    /// At most so many bytes.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes as many as the next one says.
    pub fn piece(&mut self) -> &'a [u8] {
        let most = self.number();
        self.take(most)
    }

    /// Does to some bytes what is done to them on their way: a bit is another, an end is missing, or nothing.
    pub fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let (what, at) = (self.number(), self.wide());
        if bytes.is_empty() {
            return;
        }
        let at = at % bytes.len();
        match what % 4 {
            0 => bytes[at] ^= 1 << (what >> 5),
            1 => bytes.truncate(at),
            2 => {
                let put = self.piece();
                bytes.splice(at..at, put.iter().copied());
            }
            _ => {}
        }
    }
}
