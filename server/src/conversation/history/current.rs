//! A page of what is current: the messages as they stand, with what was said about them later.
//!
//! The messages were found; now the logs of their buckets (see [`state`](super::super::state)) are read from the
//! beginning to the end, of which what is about messages of the page is kept. The page says how things stood at
//! its head: what came between the asking and the answer is left to the live feed.

use bytes::Bytes;
use ringwire_protocol::message::{Direction, GapCause};

use super::super::state::{bucket_key, bucket_of};
use super::super::{Conversations, Refusal, Which};
use super::changes::{Changes, Standing, cut};
use super::fetch::{Content, Found, Hole, Range, Wanted};
use super::reads::{ReadResult, Reading, cannot_read};
use crate::fanout::letter::Author;
use crate::fanout::mesh::Mesh;
use crate::limits::{
    AMENDMENTS_READ_BYTES, GATHERINGS_MAX, PAGE_OVERHEAD_BYTES, REACTION_BYTES_IN_MEMORY_MAX,
};
use crate::store::{self, Query};

/// A page that waits for its amendments.
pub(in super::super) struct Gathering {
    author: Author,
    wanted: Wanted,
    /// How far the conversation had come.
    head: u64,
    /// The page's messages, ascending, without a hole; at least one.
    found: Vec<Found>,
    /// What is said before it.
    holes: Vec<Hole>,
    /// The bucket that is read, and its next entry.
    bucket: u64,
    next: u64,
    changes: Changes,
}

impl Gathering {
    fn range(&self) -> Range {
        let (first, last) = (&self.found[0], &self.found[self.found.len() - 1]);
        Range { from: first.0, to: last.0 }
    }
}

impl Conversations {
    pub(super) fn begin_gathering(
        &mut self,
        author: Author,
        wanted: Wanted,
        (found, holes): (&[Found], Vec<Hole>),
        head: u64,
        mesh: &mut Mesh,
    ) {
        if self.reads.gatherings >= GATHERINGS_MAX {
            let refusal = Refusal::busy("many pages wait for their amendments");
            let which = Which::Fetch(wanted.request);
            return self.reject(author.session, wanted.conversation, which, &refusal, mesh);
        }
        let bucket = bucket_of(found[0].0);
        let (found, changes) = (found.to_vec(), Changes::default());
        self.gather(
            Box::new(Gathering { author, wanted, head, found, holes, bucket, next: 1, changes }),
            mesh,
        );
    }

    /// Reads on where there is something to read, and answers where there is nothing more.
    fn gather(&mut self, mut gathering: Box<Gathering>, mesh: &mut Mesh) {
        let Gathering { author, wanted, .. } = *gathering;
        let last = bucket_of(gathering.range().to);
        while gathering.bucket <= last {
            let key = bucket_key(wanted.conversation, gathering.bucket);
            let length = self.amended.get(&key).map_or(0, |amended| amended.head);
            if gathering.next <= length {
                let query = Query {
                    conversation: *key.as_bytes(),
                    from: gathering.next,
                    direction: store::Direction::Forward,
                    limit: u32::MAX,
                    bytes_max: AMENDMENTS_READ_BYTES,
                };
                self.reads.gatherings += 1;
                if let Err(error) = self.read(query, Reading::Amendments(gathering)) {
                    self.reads.gatherings -= 1;
                    let refusal = cannot_read(wanted.conversation, &error);
                    let which = Which::Fetch(wanted.request);
                    self.reject(author.session, wanted.conversation, which, &refusal, mesh);
                }
                return;
            }
            gathering.bucket += 1;
            gathering.next = 1;
        }
        self.current_page(&gathering, mesh);
    }

    pub(super) fn on_amendments_read(
        &mut self,
        mut gathering: Box<Gathering>,
        result: ReadResult,
        mesh: &mut Mesh,
    ) {
        self.reads.gatherings -= 1;
        let Gathering { author, wanted, head, .. } = *gathering;
        let page = match result {
            Ok(page) => page,
            Err(error) => {
                let which = Which::Fetch(wanted.request);
                return self.unreadable(author.session, wanted.conversation, which, &error, mesh);
            }
        };
        let range = gathering.range();
        let last = page.entries.last().map(|entry| entry.sequence);
        for entry in page.entries {
            let Ok(message) = store::message(&entry.payload) else { continue };
            #[cfg(feature = "planted-bugs")]
            if self.bugs.shows_deleted && message.kind == ringwire_protocol::message::Kind::Delete {
                continue;
            }
            if message.sequence <= head && (range.from..=range.to).contains(&message.reference) {
                // A copy: the frame is a slice of everything that was read around it.
                let kept = Bytes::copy_from_slice(&entry.payload);
                gathering.changes.take(&message, kept, REACTION_BYTES_IN_MEMORY_MAX);
            }
        }
        // What is appended and not synced is not read, and came later than the page's head.
        match last.filter(|_| page.more) {
            Some(last) => gathering.next = last + 1,
            None => (gathering.bucket, gathering.next) = (gathering.bucket + 1, 1),
        }
        self.gather(gathering, mesh);
    }

    /// Sends the messages as they stand, as many as fit with what was said about them.
    fn current_page(&mut self, gathering: &Gathering, mesh: &mut Mesh) {
        let Gathering { author, wanted, head, found, changes, .. } = gathering;
        let mut holes = gathering.holes.clone();
        if self.check_still_reader(author, wanted, mesh).is_none() {
            return;
        }
        // What was given up meanwhile is not shown: what was said about it may be gone.
        let expired = self.by_id.get(&wanted.conversation).map_or(0, |known| known.state.expired);
        let (gone, found) = found.split_at(found.partition_point(|(sequence, _)| *sequence <= expired));
        if let (Some((from, _)), Some((to, _))) = (gone.first(), gone.last()) {
            let range = Range { from: *from, to: *to };
            holes.push(Hole(range, GapCause::Expired));
            if found.is_empty() {
                let content = Content { holes: &holes, ..Content::default() };
                return self.page(author.session, wanted, range, *head, content, mesh);
            }
        }
        let frame_bytes_max = self.limits.frame_bytes_max - PAGE_OVERHEAD_BYTES;
        let page_bytes_max = self.limits.page_bytes_max.min(frame_bytes_max);
        let mut shown: Vec<(u64, Standing)> = Vec::new();
        let (mut bytes, mut is_cut) = (0, false);
        let mut add = |message: &Found| {
            if is_cut {
                // One that did not fit with what was said about it is alone in its page.
                return false;
            }
            let kind = store::message(&message.1).map(|message| message.kind);
            let Ok(kind) = kind else { return false };
            let mut standing = changes.apply(message, kind);
            if shown.is_empty() {
                let whole_bytes = standing.bytes();
                cut(&mut standing, page_bytes_max, frame_bytes_max);
                is_cut = standing.bytes() < whole_bytes;
            }
            bytes += standing.bytes();
            let fits = shown.is_empty() || bytes <= page_bytes_max;
            if fits {
                shown.push((message.0, standing));
            }
            fits
        };
        match wanted.direction {
            Direction::Forward => _ = found.iter().all(&mut add),
            Direction::Backward => _ = found.iter().rev().all(&mut add),
        }
        shown.sort_unstable_by_key(|(sequence, _)| *sequence);
        let (Some((from, _)), Some((to, _))) = (shown.first(), shown.last()) else { return };
        let range = Range { from: *from, to: *to };
        let frames: Vec<u8> =
            shown.iter().filter_map(|(_, standing)| standing.frame.as_ref()).flatten().copied().collect();
        let mut said: Vec<&Found> = shown.iter().flat_map(|(_, standing)| &standing.amendments).collect();
        said.sort_unstable_by_key(|(sequence, _)| *sequence);
        let amendments: Vec<u8> = said.into_iter().flat_map(|(_, frame)| frame).copied().collect();
        let content = Content { holes: &holes, frames: &frames, amendments: &amendments };
        self.page(author.session, wanted, range, *head, content, mesh);
    }
}
