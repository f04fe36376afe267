//! Lines of standard input, bounded: a file without line breaks must not fill the memory.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest line that is kept. Longer than any body a server takes by default, so that it is the server's limit that
/// is told.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// One line of the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// Its bytes, without the line break.
    Whole(Vec<u8>),
    /// It was longer than what is kept; so many bytes.
    TooLong(u64),
}

/// Reads lines; may be cancelled between any two bytes without losing one.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// Bytes of the present line that were not kept.
    skipped: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: Vec::new(), skipped: 0 }
    }

    /// The next line, `None` at the end. A last line without a line break counts.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = self.input.fill_buf().await?;
            if bytes.is_empty() {
                let more = !self.line.is_empty() || self.skipped > 0;
                return Ok(more.then(|| self.take()));
            }
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let kept = part.len().min(LINE_BYTES_MAX - self.line.len());
            self.line.extend_from_slice(&part[..kept]);
            self.skipped += (part.len() - kept) as u64;
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let mut line = std::mem::take(&mut self.line);
        match std::mem::take(&mut self.skipped) {
            0 => {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                Line::Whole(line)
            }
            skipped => Line::TooLong(line.len() as u64 + skipped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(3, input));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_are_cut_at_line_breaks_of_both_kinds() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(read(b"").await, []);
        assert_eq!(read(b"one\ntwo\r\n\nlast").await, [whole("one"), whole("two"), whole(""), whole("last")]);
    }

    #[tokio::test]
    async fn an_endless_line_is_counted_and_not_kept() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 10];
        input.extend(b"\nnext\n");
        let lines = read(&input).await;
        assert_eq!(lines, [Line::TooLong(LINE_BYTES_MAX as u64 + 10), Line::Whole(b"next".to_vec())]);
    }
}
