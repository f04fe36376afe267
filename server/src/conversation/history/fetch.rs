//! A page of messages: which, from where, and what is said about holes.

use bytes::Bytes;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Direction, Gap, GapCause, Page, View};

use super::super::{Conversations, Refusal, Which};
use super::reads::{ReadResult, Reading, cannot_read};
use crate::fanout::letter::{Answers, Author, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::store::{self, Query};

/// What a client wants to read.
#[derive(Clone, Copy)]
pub(in super::super) struct Wanted {
    pub request: u32,
    pub conversation: ConversationId,
    pub from: u64,
    pub limit: u16,
    pub direction: Direction,
    pub view: View,
}

/// Sequences `from..=to`, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Range {
    pub from: u64,
    pub to: u64,
}

/// What a fetch asks for of what there is.
#[derive(Clone, Copy)]
pub(in super::super) struct Asked {
    range: Range,
    /// What it asks for of what is not kept any more.
    expired: Option<Hole>,
}

/// Sequences that will not come, and why.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Hole(pub Range, pub GapCause);

/// What a page brings: what is said before it of holes, messages, and what was said about them later.
#[derive(Clone, Copy, Default)]
pub(super) struct Content<'a> {
    pub holes: &'a [Hole],
    pub frames: &'a [u8],
    pub amendments: &'a [u8],
}

/// The sequences that a request asks for, out of those from `first` to `head`; and those before `first` that it asks
/// for, which will not come.
fn range(wanted: &Wanted, (first, head): (u64, u64), limit_max: u16) -> (Option<Range>, Option<Range>) {
    let limit = u64::from(wanted.limit.clamp(1, limit_max));
    let (range, expired) = match wanted.direction {
        Direction::Forward => {
            let asked = wanted.from.max(1);
            // The page goes on behind what is not kept, so that nobody asks for that page by page.
            let from = asked.max(first);
            (
                Range { from, to: head.min(from.saturating_add(limit - 1)) },
                Range { from: asked, to: first - 1 },
            )
        }
        Direction::Backward => {
            let to = wanted.from.min(head);
            let asked = to.saturating_sub(limit - 1).max(1);
            (Range { from: asked.max(first), to }, Range { from: asked, to: to.min(first - 1) })
        }
    };
    let some = |range: Range| (range.from <= range.to).then_some(range);
    (some(range), some(expired))
}

/// A message's frame and its sequence.
pub(super) type Found = (u64, Bytes);

/// What of the found messages makes the page: from the asked end on, without a hole, as many whole frames as
/// fit.
fn fit(found: &[Found], bytes_max: usize, direction: Direction) -> &[Found] {
    let mut bytes = 0;
    let mut last = None;
    let mut fits = |(sequence, frame): &&Found| {
        bytes += frame.len();
        let follows = last.is_none_or(|last: u64| last.abs_diff(*sequence) == 1);
        // One message is always taken, whatever its size: a page without any would never end.
        let taken = follows && (bytes <= bytes_max || last.is_none());
        last = Some(*sequence);
        taken
    };
    match direction {
        Direction::Forward => &found[..found.iter().take_while(&mut fits).count()],
        Direction::Backward => &found[found.len() - found.iter().rev().take_while(&mut fits).count()..],
    }
}

/// The sequences at the asked end of `asked` that were not found: lost, and nothing will bring them back.
fn lost(asked: Range, found: &[Found], direction: Direction) -> Option<Range> {
    let lost = match (direction, found.first(), found.last()) {
        (Direction::Forward, Some((first, _)), _) => Range { from: asked.from, to: first - 1 },
        (Direction::Backward, _, Some((last, _))) => Range { from: last + 1, to: asked.to },
        _ => asked,
    };
    (lost.from <= lost.to).then_some(lost)
}

impl Conversations {
    pub(in super::super) fn on_fetch(&mut self, author: Author, wanted: Wanted, mesh: &mut Mesh) {
        let session = author.session;
        let which = Which::Fetch(wanted.request);
        let conversation = self.by_id.get(&wanted.conversation).ok_or_else(Refusal::not_a_member);
        let readable = conversation
            .and_then(|conversation| conversation.check_reader(author.user).map(|()| conversation));
        let conversation = match readable {
            Ok(conversation) => conversation,
            Err(refusal) => {
                return self.reject(session, wanted.conversation, which, &refusal, mesh);
            }
        };
        let (first, head) = (conversation.state.first(), conversation.visible);
        let (range, expired) = range(&wanted, (first, head), self.limits.page_messages_max);
        let expired = expired.map(|range| Hole(range, GapCause::Expired));
        let Some(range) = range else {
            // The next page goes on behind what is not kept, and no page ends where there is nothing.
            let from = match wanted.direction {
                Direction::Forward => wanted.from.max(first),
                Direction::Backward => wanted.from.min(head + 1),
            };
            let empty = Range { from, to: from.saturating_sub(1) };
            let content = Content { holes: expired.as_slice(), ..Content::default() };
            return self.page(session, &wanted, empty, head, content, mesh);
        };
        // What of it is in memory, from the asked end on: fewer than asked for are as good an answer.
        let start = match wanted.direction {
            Direction::Forward => range.from,
            Direction::Backward => range.from.max(conversation.tail.first().unwrap_or(u64::MAX)),
        };
        let remembered: Option<Vec<Found>> =
            conversation.tail.from(start).map(|frames| (start..=range.to).zip(frames.cloned()).collect());
        let synced = conversation.synced;
        if let Some(found) = remembered.filter(|_| start <= range.to) {
            let asked = Asked { range: Range { from: start, ..range }, expired };
            return self.answer(author, &wanted, asked, &found, mesh);
        }
        // The journal is read as far as it is synced; what is newer and already forgotten, in a moment.
        let readable = Range { to: range.to.min(synced), ..range };
        if readable.from > readable.to || (wanted.direction == Direction::Backward && readable.to < range.to)
        {
            let refusal = Refusal::busy("these messages are being written");
            return self.reject(session, wanted.conversation, which, &refusal, mesh);
        }
        let range = readable;
        let query = Query {
            conversation: *wanted.conversation.as_bytes(),
            from: match wanted.direction {
                Direction::Forward => range.from,
                Direction::Backward => range.to,
            },
            direction: match wanted.direction {
                Direction::Forward => store::Direction::Forward,
                Direction::Backward => store::Direction::Backward,
            },
            limit: u32::try_from(range.to - range.from + 1).unwrap_or(u32::MAX),
            bytes_max: self.limits.page_bytes_max,
        };
        if let Err(error) = self.read(query, Reading::Page(author, wanted, Asked { range, expired })) {
            let refusal = cannot_read(wanted.conversation, &error);
            self.reject(session, wanted.conversation, which, &refusal, mesh);
        }
    }

    /// Whether an answer that had to wait is still for its reader: who was put out meanwhile gets nothing.
    pub(super) fn check_still_reader(
        &mut self,
        author: &Author,
        wanted: &Wanted,
        mesh: &mut Mesh,
    ) -> Option<u64> {
        let conversation = self.by_id.get(&wanted.conversation).ok_or_else(Refusal::not_a_member);
        match conversation.and_then(|known| known.check_reader(author.user).map(|()| known.visible)) {
            Ok(head) => Some(head),
            Err(refusal) => {
                let which = Which::Fetch(wanted.request);
                self.reject(author.session, wanted.conversation, which, &refusal, mesh);
                None
            }
        }
    }

    /// Answers what the journal has read.
    pub(super) fn on_page_read(
        &mut self,
        author: Author,
        wanted: &Wanted,
        asked: Asked,
        result: ReadResult,
        mesh: &mut Mesh,
    ) {
        if self.check_still_reader(&author, wanted, mesh).is_none() {
            return;
        }
        match result {
            Ok(page) => {
                let entries = page.entries.into_iter().map(|entry| (entry.sequence, entry.payload));
                let Range { from, to } = asked.range;
                let found: Vec<Found> =
                    entries.filter(|(sequence, _)| (from..=to).contains(sequence)).collect();
                self.answer(author, wanted, asked, &found, mesh);
            }
            Err(error) => {
                let which = Which::Fetch(wanted.request);
                self.unreadable(author.session, wanted.conversation, which, &error, mesh);
            }
        }
    }

    /// Sends what was found; says first what is lost, so that nobody waits for it.
    fn answer(&mut self, author: Author, wanted: &Wanted, asked: Asked, found: &[Found], mesh: &mut Mesh) {
        let Asked { range: asked, expired: before } = asked;
        let mut holes: Vec<Hole> = before.into_iter().collect();
        let known = self.by_id.get(&wanted.conversation);
        let (head, expired) = known.map_or((0, 0), |known| (known.visible, known.state.expired));
        // What was given up while the journal was read is not shown: what was said about it may be gone.
        let (gone, found) = found.split_at(found.partition_point(|(sequence, _)| *sequence <= expired));
        // Of what is behind, a page that had no room for more knows nothing.
        let asked = match wanted.direction {
            Direction::Forward if found.is_empty() && !gone.is_empty() => {
                Range { to: asked.to.min(expired), ..asked }
            }
            _ => asked,
        };
        if let Some(lost) = lost(asked, found, wanted.direction) {
            // Nor is it lost.
            let (before, behind) = (
                Range { to: lost.to.min(expired), ..lost },
                Range { from: lost.from.max(expired + 1), ..lost },
            );
            let both = [Hole(before, GapCause::Expired), Hole(behind, GapCause::Lost)];
            holes.extend(both.into_iter().filter(|Hole(range, _)| range.from <= range.to));
        }
        let kept = fit(found, self.limits.page_bytes_max, wanted.direction);
        let range = match (kept.first(), kept.last()) {
            (Some((first, _)), Some((last, _))) => Range { from: *first, to: *last },
            // All of it is lost; the page ends where it was asked to, so that the next one goes on behind.
            _ => asked,
        };
        match wanted.view {
            View::Current if !kept.is_empty() => {
                self.begin_gathering(author, *wanted, (kept, holes), head, mesh);
            }
            _ => {
                let mut frames = Vec::with_capacity(kept.iter().map(|(_, frame)| frame.len()).sum());
                kept.iter().for_each(|(_, frame)| frames.extend_from_slice(frame));
                let content = Content { holes: &holes, frames: &frames, ..Content::default() };
                self.page(author.session, wanted, range, head, content, mesh);
            }
        }
    }

    /// Sends a page of a conversation that is at `head`, in one piece with what is said before it.
    pub(super) fn page(
        &mut self,
        session: SessionRef,
        wanted: &Wanted,
        range: Range,
        head: u64,
        content: Content<'_>,
        mesh: &mut Mesh,
    ) {
        let first = self.by_id.get(&wanted.conversation).map_or(1, |conversation| conversation.state.first());
        let page = Page {
            request: wanted.request,
            conversation: wanted.conversation,
            from: range.from,
            to: range.to,
            head,
            complete: match wanted.direction {
                Direction::Forward => range.to >= head,
                Direction::Backward => range.from <= first,
            },
            frames: content.frames,
            amendments: content.amendments,
        };
        for Hole(Range { from, to }, cause) in content.holes.iter().copied() {
            let gap = Gap { conversation: wanted.conversation, from, to, cause };
            gap.encode(&mut self.encoder, &mut self.scratch);
        }
        page.encode(&mut self.encoder, &mut self.scratch);
        self.reply(session, Answers::Fetch, mesh);
    }
}

#[cfg(test)]
mod tests {
    use ringwire_protocol::message::Encoder;

    use super::*;
    use crate::limits::HOLES_BYTES;

    fn wanted(from: u64, limit: u16, direction: Direction) -> Wanted {
        let conversation = ConversationId::ZERO;
        Wanted { request: 1, conversation, from, limit, direction, view: View::Raw }
    }

    #[test]
    fn ranges_stay_inside_what_exists() {
        use Direction::{Backward, Forward};
        let cases = [
            (1, 10, Forward, 100, Some((1, 10))),
            (0, 10, Forward, 100, Some((1, 10))),
            (95, 10, Forward, 100, Some((95, 100))),
            (101, 10, Forward, 100, None),
            (u64::MAX, 10, Forward, 100, None),
            (1, 10, Forward, 0, None),
            (100, 10, Backward, 100, Some((91, 100))),
            (u64::MAX, 10, Backward, 100, Some((91, 100))),
            (5, 10, Backward, 100, Some((1, 5))),
            (0, 10, Backward, 100, None),
            (50, 0, Backward, 100, Some((50, 50))),
            (1, 1000, Forward, 1000, Some((1, 256))),
        ];
        for (from, limit, direction, head, expected) in cases {
            let (actual, expired) = range(&wanted(from, limit, direction), (1, head), 256);
            assert_eq!(actual.map(|range| (range.from, range.to)), expected, "{from} {limit} {direction:?}");
            assert_eq!(expired, None);
        }
    }

    #[test]
    fn what_is_not_kept_is_named_and_the_page_begins_behind_it() {
        use Direction::{Backward, Forward};
        let cases = [
            (1, 10, Forward, Some((41, 50)), Some((1, 40))),
            (38, 10, Forward, Some((41, 50)), Some((38, 40))),
            (41, 10, Forward, Some((41, 50)), None),
            (45, 10, Backward, Some((41, 45)), Some((36, 40))),
            (50, 10, Backward, Some((41, 50)), None),
            (40, 10, Backward, None, Some((31, 40))),
            (5, 10, Backward, None, Some((1, 5))),
        ];
        for (from, limit, direction, expected, gap) in cases {
            let (actual, expired) = range(&wanted(from, limit, direction), (41, 100), 256);
            let plain = |range: Option<Range>| range.map(|range| (range.from, range.to));
            assert_eq!((plain(actual), plain(expired)), (expected, gap), "{from} {limit} {direction:?}");
        }
        // Nothing is kept at all.
        let (actual, expired) = range(&wanted(1, 10, Forward), (101, 100), 256);
        assert_eq!((actual, expired), (None, Some(Range { from: 1, to: 100 })));
    }

    #[test]
    fn what_is_said_of_holes_is_as_long_as_the_limits_have_it() {
        let gap = Gap { conversation: ConversationId::ZERO, from: 1, to: u64::MAX, cause: GapCause::Lost };
        let mut frame = Vec::new();
        gap.encode(&mut Encoder::default(), &mut frame);
        assert!(3 * frame.len() <= HOLES_BYTES, "{} bytes", frame.len());
    }

    fn found(sequences: impl IntoIterator<Item = u64>) -> Vec<Found> {
        sequences.into_iter().map(|sequence| (sequence, Bytes::from(vec![0; 10]))).collect()
    }

    fn ends(found: &[Found]) -> Option<(u64, u64)> {
        Some((found.first()?.0, found.last()?.0))
    }

    #[test]
    fn a_page_holds_whole_frames_from_the_asked_end() {
        let all = found(11..=20);
        assert_eq!(ends(fit(&all, 35, Direction::Forward)), Some((11, 13)));
        assert_eq!(ends(fit(&all, 35, Direction::Backward)), Some((18, 20)));
        assert_eq!(ends(fit(&all, 5, Direction::Backward)), Some((20, 20)));
        assert_eq!(ends(fit(&[], 5, Direction::Forward)), None);
    }

    #[test]
    fn a_page_stops_at_a_hole_and_the_hole_is_named_when_it_is_asked_for() {
        use Direction::{Backward, Forward};
        let all = found((11..=13).chain(17..=20));
        assert_eq!(ends(fit(&all, 1000, Forward)), Some((11, 13)));
        assert_eq!(ends(fit(&all, 1000, Backward)), Some((17, 20)));
        let asked = |from, to| Range { from, to };
        assert_eq!(lost(asked(11, 20), &all, Forward), None);
        assert_eq!(lost(asked(14, 20), &found(17..=20), Forward), Some(asked(14, 16)));
        assert_eq!(lost(asked(11, 16), &found(11..=13), Backward), Some(asked(14, 16)));
        assert_eq!(lost(asked(14, 16), &[], Forward), Some(asked(14, 16)));
    }
}
