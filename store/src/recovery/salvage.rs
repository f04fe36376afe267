//! Keeping what is good of a damaged segment (J-18).
//!
//! Whole batches are kept as they are. In what is damaged, records are looked for one by one: each has a
//! checksum seeded with the segment's secret salt, so that nothing a client wrote can pass for one. The
//! search only steps from one record to where the next should be; it never tries every byte.

use std::collections::HashSet;
use std::io::{self, Write};

use super::report::Missing;
use super::scan::{Next, Scanner};
use crate::files::{Files, InMemory, ReadFile};
use crate::format::batch::{self, BatchHeader};
use crate::format::header::{DATA_OFFSET, Header, SALVAGED};
use crate::format::record;
use crate::index::file::{self, IndexHeader};
use crate::index::rebuild::Rebuild;
use crate::limits::BATCH_BYTES_MAX;
use crate::record::Conversation;
use crate::segment::{Salt, SegmentId};

/// What a damaged stretch of a segment still holds, in order.
pub(super) enum Found {
    /// A whole record, as on disk.
    Whole(Vec<u8>),
    /// An entry that is damaged, but still has an end and claims to be this one.
    Lost(Conversation, u64),
}

/// Looks for records in the bytes from `from` to `to`, where a batch should begin.
pub(super) fn remains(file: &dyn ReadFile, header: &Header, from: u64, to: u64) -> io::Result<Vec<Found>> {
    let mut remains = Vec::new();
    let seed = header.salt.seed();
    let mut at = from;
    // Batch after batch, as long as where the next begins is known.
    while at + batch::HEADER_BYTES as u64 <= to {
        let most = (to - at).min(BATCH_BYTES_MAX as u64) as usize;
        let mut bytes = vec![0; most];
        let read = file.read_at(at, &mut bytes)?;
        bytes.truncate(read);
        let offset = u32::try_from(at).map_err(io::Error::other)?;
        let claim = BatchHeader::decode(&bytes, header.id, &header.salt, offset);
        if let Some(claim) = claim {
            bytes.truncate(claim.bytes() as usize);
        }
        let walked = walk(&bytes, batch::HEADER_BYTES, seed, &mut remains);
        match claim {
            Some(claim) => at += u64::from(claim.bytes()),
            None if walked > batch::HEADER_BYTES => at += walked as u64,
            None => break,
        }
    }
    Ok(remains)
}

/// Walks from record to record; returns where it could not go on.
fn walk(bytes: &[u8], from: usize, seed: u32, remains: &mut Vec<Found>) -> usize {
    let sound = |at: usize| {
        let (_, size) = record::split(bytes.get(at..)?)?;
        record::decode(&bytes[at..at + size], seed).map(|_| size)
    };
    let mut at = from;
    while at < bytes.len() {
        if let Some(size) = sound(at) {
            remains.push(Found::Whole(bytes[at..at + size].to_vec()));
            at += size;
            continue;
        }
        // Damaged; but if its length leads to a sound one, or to the end, it can be stepped over.
        let Some((record, size)) = record::split(&bytes[at..]) else { break };
        if at + size != bytes.len() && sound(at + size).is_none() {
            break;
        }
        if record.kind.is_entry() {
            remains.push(Found::Lost(record.conversation, record.sequence));
        }
        at += size;
    }
    at
}

/// Entries that a segment's index names and `seen` does not have.
pub(super) fn missing(
    files: &dyn Files,
    header: &IndexHeader,
    seen: &HashSet<(Conversation, u64)>,
) -> io::Result<Vec<Missing>> {
    let mut missing = Vec::new();
    let index = files.open(&header.id.index_name())?;
    let mut bytes = vec![0; file::PAGE_BYTES];
    for page in 0..header.pages() {
        let read = index.read_at(header.page_offset(page), &mut bytes)?;
        // A damaged page names nothing; holes in sequences still tell of most of what it would.
        for run in file::decode_page(&bytes[..read], page).unwrap_or_default() {
            let conversation = run.conversation;
            let sequences = run.first..run.first + u64::from(run.count);
            let lost = sequences.filter(|sequence| !seen.contains(&(conversation, *sequence)));
            missing.extend(lost.map(|sequence| Missing { conversation, from: sequence, to: sequence }));
        }
    }
    Ok(missing)
}

/// Sets a damaged segment aside and puts what is good of it in its place, sealed. `header`: what is known of
/// its header. `tail`: its end may be an incomplete write, which is cut as in any other tail. `time`: how often it
/// has been done to this segment, this time included.
pub(super) fn rewrite(
    files: &dyn Files,
    id: SegmentId,
    header: Option<Header>,
    tail: bool,
    time: u32,
) -> io::Result<()> {
    let name = id.segment_name();
    // Without a header there is no salt to know a batch by. The segment that takes its place is empty, so it
    // needs no secret.
    let empty = Header { id, salt: Salt([0; 16]), bytes: u64::from(DATA_OFFSET), flags: 0 };
    let new = Header { flags: SALVAGED, ..header.unwrap_or(empty) };
    let mut salvage = Salvage { header: new, number: 0, batches: new.encode() };
    if header.is_some() {
        let original = files.open(&name)?;
        salvage.all(&*original, tail)?;
        drop(original);
        copy(files, &name, &id.corrupt_name(time))?;
    } else if files.open(&name).is_ok() {
        copy(files, &name, &id.corrupt_name(time))?;
    }
    files.write_atomic(&name, &salvage.batches)?;
    Rebuild::of(id).run(files)
}

/// A copy, not a rename: at every moment the segment's name leads to all that is left of it.
fn copy(files: &dyn Files, from: &str, to: &str) -> io::Result<()> {
    let from = files.open(from)?;
    let mut to = files.create(to)?;
    let mut buffer = vec![0; 1 << 18];
    let mut at = 0;
    loop {
        let read = from.read_at(at, &mut buffer)?;
        if read == 0 {
            return to.publish();
        }
        to.write_all(&buffer[..read])?;
        at += read as u64;
    }
}

/// The good batches, gathered. At most as large as the segment was.
struct Salvage {
    header: Header,
    /// Of the last batch.
    number: u64,
    batches: Vec<u8>,
}

impl Salvage {
    fn all(&mut self, original: &dyn ReadFile, tail: bool) -> io::Result<()> {
        let bytes = original.bytes()?;
        let mut scanner = Scanner::behind(original, bytes, self.header);
        loop {
            let from = scanner.offset();
            match scanner.next()? {
                Next::Batch(header, records) => self.batch(header.number, header.count, records),
                Next::End => return Ok(()),
                Next::Torn if tail => return Ok(()),
                Next::Torn => {
                    let remains = remains(original, &self.header, from, bytes)?;
                    self.remains(remains);
                    return Ok(());
                }
                Next::Corrupt(to) => {
                    let remains = remains(original, &self.header, from, to)?;
                    self.remains(remains);
                    scanner.resume(to);
                }
            }
        }
    }

    /// Records out of a damaged stretch become one batch, numbered as one of those that are gone.
    fn remains(&mut self, remains: Vec<Found>) {
        let whole = remains.into_iter().filter_map(|found| match found {
            Found::Whole(record) => Some(record),
            Found::Lost(..) => None,
        });
        let all: Vec<_> = whole.collect();
        let mut records = all.as_slice();
        while !records.is_empty() {
            let mut bytes = batch::HEADER_BYTES;
            let fit = records.iter().take_while(|record| {
                bytes += record.len();
                bytes <= BATCH_BYTES_MAX
            });
            let (fit, rest) = records.split_at(fit.count());
            self.batch(self.number + 1, fit.len() as u32, &fit.concat());
            records = rest;
        }
    }

    fn batch(&mut self, number: u64, count: u32, records: &[u8]) {
        let Header { id: segment, salt, .. } = self.header;
        self.number = number.max(self.number + 1);
        let (length, offset) = (records.len() as u32, self.batches.len() as u32);
        let header = BatchHeader { segment, length, count, number: self.number, offset };
        self.batches.extend_from_slice(&header.encode(&salt, crc32c::crc32c_append(salt.seed(), records)));
        self.batches.extend_from_slice(records);
    }
}

/// The entries that [`rewrite`] would keep of a segment.
pub(super) fn seen(
    files: &dyn Files,
    header: &Header,
    tail: bool,
) -> io::Result<HashSet<(Conversation, u64)>> {
    let original = files.open(&header.id.segment_name())?;
    let new = Header { flags: SALVAGED, ..*header };
    let mut salvage = Salvage { header: new, number: 0, batches: new.encode() };
    salvage.all(&*original, tail)?;
    let kept = InMemory(salvage.batches);
    let mut seen = HashSet::new();
    let mut scanner = Scanner::behind(&kept, kept.0.len() as u64, new);
    while let Next::Batch(_, mut records) = scanner.next()? {
        while let Some((record, bytes)) = record::split(records) {
            if record.kind.is_entry() {
                seen.insert((record.conversation, record.sequence));
            }
            records = &records[bytes..];
        }
    }
    Ok(seen)
}
