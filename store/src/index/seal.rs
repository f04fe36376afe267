//! Sealing a segment: cut the file to what is valid, publish its index.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::file::{self, IndexHeader};
use super::runs::Runs;
use crate::files::Files;
use crate::segment::SegmentId;

/// The job that seals one segment. Running it twice does no harm.
#[derive(Clone)]
pub struct Seal {
    pub(crate) header: IndexHeader,
    pub(crate) runs: Arc<Runs>,
    /// What the places in the runs mean.
    pub(crate) segments: Arc<[SegmentId]>,
}

impl Seal {
    /// The segment that is sealed.
    pub fn segment(&self) -> SegmentId {
        self.header.id
    }

    /// Valid bytes of the segment: what a checkpoint would have to read.
    pub fn bytes(&self) -> u64 {
        self.header.segment_bytes
    }

    /// Does it; blocks. Give the value up before reporting, so that its memory can be used again.
    pub fn run(self, files: &dyn Files) -> io::Result<()> {
        let id = self.header.id;
        files.truncate(&id.segment_name(), self.header.segment_bytes)?;
        let mut out = files.create(&id.index_name())?;
        file::write(&mut out, self.header, &self.runs, &|place| self.segments.get(place as usize).copied())?;
        out.publish()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Seal({}, {} B, {} entries)",
            self.header.id,
            self.header.segment_bytes,
            self.runs.entries()
        )
    }
}
