//! An index file against what its segment says.

use std::io;

use crate::files::Files;
use crate::format::u32_at;
use crate::index::file::{self, CRC_BYTES, IndexHeader, IndexRun, PAGE_BYTES};
use crate::index::runs::Runs;
use crate::segment::SegmentId;

/// What is wrong with an index file, if anything. `header` and `runs` are what its segment leads to.
pub(super) fn compare(
    files: &dyn Files,
    segments: &[SegmentId],
    header: IndexHeader,
    runs: &Runs,
) -> io::Result<Option<String>> {
    let found = files.read(&header.id.index_name())?;
    let mut expected = Vec::new();
    file::write(&mut expected, header, runs, &|place| segments.get(place as usize).copied())?;
    if found == expected {
        return Ok(None);
    }
    let sum = found.len().checked_sub(CRC_BYTES).map(|at| crc32c::crc32c(&found[..at]) == u32_at(&found, at));
    if sum != Some(true) {
        return Ok(Some("its checksum is wrong".to_owned()));
    }
    let (Some(found), Some(expected)) = (all_runs(&found), all_runs(&expected)) else {
        return Ok(Some("it cannot be read".to_owned()));
    };
    Ok(differs(&found, &expected))
}

/// Where a conversation was before may be said with less: a later segment than where it really was leads
/// there too (the walk goes on from a segment that has lost the conversation). Nothing else may differ.
fn differs(found: &[IndexRun], expected: &[IndexRun]) -> Option<String> {
    let but_previous = |run: &IndexRun| IndexRun { previous: None, ..*run };
    if !found.iter().map(but_previous).eq(expected.iter().map(but_previous)) {
        return Some("it does not say what its segment says".to_owned());
    }
    let misled = found.iter().zip(expected).any(|(found, expected)| found.previous < expected.previous);
    misled.then(|| "it leads past an earlier segment".to_owned())
}

fn all_runs(bytes: &[u8]) -> Option<Vec<IndexRun>> {
    let header = IndexHeader::decode(bytes)?;
    file::decode_directory(bytes, &header)?;
    let mut runs = Vec::new();
    for page in 0..header.pages() {
        let at = usize::try_from(header.page_offset(page)).ok()?;
        runs.extend(file::decode_page(bytes.get(at..at + PAGE_BYTES)?, page)?);
    }
    Some(runs)
}
