//! Making an index file anew from its segment.
//!
//! The segment says everything but one thing: where its conversations were before. That is looked up in the
//! index files of earlier segments, newest first, until each is found.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::build::Builder;
use super::file::{self, IndexHeader};
use super::runs::NONE;
use super::seal::Seal;
use crate::files::Files;
use crate::format::record;
use crate::record::Conversation;
use crate::recovery::scan::{Next, Scanner};
use crate::segment::{JOURNAL, JournalName, SegmentId, parse};

/// The job that makes the index of a sealed segment anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rebuild {
    pub(crate) segment: SegmentId,
}

impl Rebuild {
    /// For the segment given; it must be sealed.
    pub fn of(segment: SegmentId) -> Self {
        Self { segment }
    }

    /// The segment it is about.
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Does it; blocks. A damaged segment is an error: recovery or `verify` says what is lost.
    pub fn run(self, files: &dyn Files) -> io::Result<()> {
        let file = files.open(&self.segment.segment_name())?;
        let damaged = |what: &str| io::Error::other(format!("{}: {what}", self.segment.segment_name()));
        let mut scanner = match Scanner::open(&*file)? {
            Ok(scanner) if scanner.header().id == self.segment => scanner,
            _ => return Err(damaged("its header is unreadable")),
        };
        let mut builder = Builder::default();
        loop {
            match scanner.next()? {
                Next::Batch(header, records) => {
                    if !builder.batch(&header, records, 0, |_| NONE) {
                        return Err(damaged("a batch holds a record without an end"));
                    }
                }
                Next::End => break,
                Next::Torn | Next::Corrupt(_) => return Err(damaged("not all of it can be read")),
            }
        }
        let header = builder.header(scanner.header(), scanner.offset());
        drop(file);
        let segments = earlier(files, self.segment)?;
        let found = previous(files, &segments, &builder)?;
        // Place 0 is the segment itself, for runs that follow a hole in it.
        builder.set_previous(|conversation| found.get(conversation).map_or(NONE, |place| place + 1));
        let segments = std::iter::once(self.segment).chain(segments).collect::<Vec<_>>();
        Seal { header, runs: Arc::new(builder.into_runs()), segments: segments.into() }.run(files)
    }
}

/// Segments before `id` in replay order, newest first.
fn earlier(files: &dyn Files, id: SegmentId) -> io::Result<Vec<SegmentId>> {
    let mut segments = Vec::new();
    for entry in files.list(JOURNAL)? {
        match parse(&entry.name) {
            JournalName::Segment(found) if found < id => segments.push(found),
            _ => {}
        }
    }
    segments.sort_unstable_by(|a, b| b.cmp(a));
    Ok(segments)
}

/// The first of `segments` that holds each conversation of the builder.
fn previous(
    files: &dyn Files,
    segments: &[SegmentId],
    builder: &Builder,
) -> io::Result<HashMap<Conversation, u32, foldhash::fast::RandomState>> {
    let mut found = HashMap::default();
    let conversations = builder.conversations();
    for (place, segment) in segments.iter().enumerate() {
        if found.len() == conversations {
            break;
        }
        let mut holds = |conversation: &Conversation| {
            if builder.has(conversation) {
                found.entry(*conversation).or_insert(place as u32);
            }
        };
        // An index that is damaged too is made anew in its turn; here its segment serves.
        match indexed(files, *segment)? {
            Some(all) => all.iter().for_each(&mut holds),
            None => scanned(files, *segment, &mut holds)?,
        }
    }
    Ok(found)
}

/// The conversations of a segment, as its index says; `None` if that cannot be used.
fn indexed(files: &dyn Files, segment: SegmentId) -> io::Result<Option<Vec<Conversation>>> {
    let file = match files.open(&segment.index_name()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; file::PAGE_BYTES];
    let read = file.read_at(0, &mut bytes[..file::HEADER_BYTES])?;
    let Some(header) = IndexHeader::decode(&bytes[..read]) else { return Ok(None) };
    let mut all = Vec::new();
    for page in 0..header.pages() {
        let read = file.read_at(header.page_offset(page), &mut bytes)?;
        let Some(runs) = file::decode_page(&bytes[..read], page) else { return Ok(None) };
        all.extend(runs.iter().map(|run| run.conversation));
        all.dedup();
    }
    Ok(Some(all))
}

/// The conversations of a segment, as far as it can be read.
fn scanned(files: &dyn Files, segment: SegmentId, holds: &mut dyn FnMut(&Conversation)) -> io::Result<()> {
    let file = files.open(&segment.segment_name())?;
    let Ok(mut scanner) = Scanner::open(&*file)? else { return Ok(()) };
    loop {
        match scanner.next()? {
            Next::Batch(_, mut records) => {
                while let Some((record, bytes)) = record::split(records) {
                    if record.kind.is_entry() {
                        holds(&record.conversation);
                    }
                    records = &records[bytes..];
                }
            }
            Next::Corrupt(to) => scanner.resume(to),
            Next::End | Next::Torn => return Ok(()),
        }
    }
}
