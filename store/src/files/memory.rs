//! A file that is in memory already.

use std::io;

use super::ReadFile;

/// Bytes in memory, read like a file.
pub struct InMemory(pub Vec<u8>);

impl ReadFile for InMemory {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let bytes = into.len().min(self.0.len() - from);
        into[..bytes].copy_from_slice(&self.0[from..from + bytes]);
        Ok(bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
