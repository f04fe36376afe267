//! The journal's segments: made ahead, filled, rolled, sealed.

use std::io;

use bytes::Bytes;

use super::{Journal, JournalOp, State};
use crate::format::header::{DATA_OFFSET, Header};
use crate::index::file::IndexHeader;
use crate::index::seal::Seal;
use crate::limits;
use crate::segment::{Salt, SegmentId};

/// How far a segment's file is.
pub(super) enum Phase {
    /// To be created, when those before it are: so no power cut leaves a later one without an earlier one.
    Wanted,
    Creating,
    /// There, without a header.
    Created,
    WritingHeader,
    /// Takes batches.
    Ready,
    /// Could not be created. The journal fails when it needs the segment, not before: until then there is
    /// room elsewhere.
    Broken(String),
}

/// A segment from its creation to its sealing.
pub(super) struct Segment {
    pub(super) id: SegmentId,
    pub(super) salt: Salt,
    pub(super) phase: Phase,
    /// End of the closed batches.
    pub(super) placed: u32,
    /// End of the synced batches.
    pub(super) synced: u32,
    /// Takes no more batches.
    pub(super) closed: bool,
    /// Numbers of the first and the last batch.
    pub(super) batches: Option<(u64, u64)>,
    pub(super) records: u64,
}

impl Segment {
    /// Wants a file that could not be created once more.
    fn try_again(&mut self) {
        if matches!(self.phase, Phase::Broken(_)) {
            self.phase = Phase::Wanted;
        }
    }
}

/// A rolled segment without an index file.
pub(super) struct Sealing {
    header: IndexHeader,
    /// Whether a job is under way.
    pub(super) asked: bool,
}

impl Journal {
    /// A segment that is to be.
    pub(super) fn want(&mut self, id: SegmentId) -> Segment {
        Segment {
            id,
            salt: (self.salts)(),
            phase: Phase::Wanted,
            placed: DATA_OFFSET,
            synced: DATA_OFFSET,
            closed: false,
            batches: None,
            records: 0,
        }
    }

    /// Asks for the next segment's file, or for its header to be written.
    pub(super) fn prepare(&mut self) -> Option<JournalOp> {
        let bytes = u64::from(self.config.segment_bytes);
        let mut segments = self.segments.iter_mut().chain(&mut self.ahead);
        let next = segments.find(|segment| !matches!(segment.phase, Phase::Ready))?;
        match next.phase {
            Phase::Wanted => {
                next.phase = Phase::Creating;
                Some(JournalOp::Create { segment: next.id, bytes })
            }
            Phase::Created => {
                next.phase = Phase::WritingHeader;
                let header = Header { id: next.id, salt: next.salt, bytes, flags: 0 };
                Some(JournalOp::Write { segment: next.id, offset: 0, data: Bytes::from(header.encode()) })
            }
            Phase::Creating | Phase::WritingHeader | Phase::Ready | Phase::Broken(_) => None,
        }
    }

    /// From now on batches are placed in `segment`.
    pub(super) fn take_batches(&mut self, segment: Segment) {
        self.index.begin(segment.id, segment.salt.seed(), self.spare_runs.take());
        self.segments.push_back(segment);
    }

    /// Wants the next segment when a quarter of the one that takes batches is used: early enough that it is
    /// ready in time, late enough that an idle server does not hold twice the disk space. One that could not be
    /// created (the disk is full, say) is tried again with every further eighth, and when it is needed.
    pub(super) fn make_ahead(&mut self, offset: u32) {
        let size = self.config.segment_bytes;
        match &mut self.ahead {
            None if offset > size / 4 => {
                let next = self.segments.back().expect("one segment takes batches").id.next();
                self.ahead = Some(self.want(next));
                self.retry_at = offset + size / 8;
            }
            Some(ahead) if offset >= self.retry_at => {
                ahead.try_again();
                self.retry_at = offset + size / 8;
            }
            None | Some(_) => {}
        }
    }

    /// What is appended next goes into another segment, so that this one can be given up by itself one day. Nothing
    /// happens where it holds nothing.
    pub fn roll_over(&mut self) {
        if !matches!(self.state, State::Running) {
            return;
        }
        self.close_open();
        if self.segments.back().is_some_and(|taking| taking.batches.is_some()) {
            self.roll();
        }
    }

    /// The segment that takes batches is full: on to the next.
    pub(super) fn roll(&mut self) {
        debug_assert!(self.open.is_none(), "a batch never straddles segments");
        let full = self.segments.back_mut().expect("one segment takes batches");
        full.closed = true;
        let next = full.id.next();
        let mut next = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.want(next),
        };
        next.try_again();
        self.take_batches(next);
        self.seal_written();
    }

    /// Asks to seal closed segments whose batches are all synced, and again for those where it failed.
    pub(super) fn seal_written(&mut self) {
        let mut found = false;
        while let Some(done) =
            self.segments.pop_front_if(|first| first.closed && first.synced == first.placed)
        {
            if done.batches.is_none() {
                // Stopped before anything was appended; recovery removes the empty file.
                self.index.sealed(done.id);
                continue;
            }
            let bytes = u64::from(done.synced);
            let header = IndexHeader::new(done.id, done.salt, bytes, done.batches, done.records);
            self.sealing.push(Sealing { header, asked: false });
            found = true;
        }
        if found {
            self.ask_for_seals();
        }
    }

    fn ask_for_seals(&mut self) {
        let segments = self.index.segments();
        for sealing in self.sealing.iter_mut().filter(|sealing| !sealing.asked) {
            sealing.asked = true;
            let runs = self.index.runs(sealing.header.id);
            let seal = Seal { header: sealing.header, runs, segments: segments.into() };
            self.ops.push_back(JournalOp::Seal(seal));
        }
    }

    /// What became of a seal.
    pub(super) fn sealed(&mut self, id: SegmentId, result: io::Result<()>) {
        let place = self.sealing.iter().position(|sealing| sealing.header.id == id);
        let place = place.expect("a seal is reported once");
        match result {
            Ok(()) => {
                self.sealing.swap_remove(place);
                self.spare_runs = self.index.sealed(id).or(self.spare_runs.take());
            }
            Err(why) => {
                tracing::warn!(segment = %id, %why, "cannot seal a segment; will try again after the next roll");
                self.sealing[place].asked = false;
                if self.sealing.len() > limits::SEALING_MAX {
                    self.fail(format!("cannot seal {}, nor the segments after it: {why}", id.segment_name()));
                }
            }
        }
    }

    /// A segment that is not sealed yet. `None` once the journal stopped and let go of empty ones.
    pub(super) fn segment(&mut self, id: SegmentId) -> Option<&mut Segment> {
        let mut segments = self.segments.iter_mut().chain(&mut self.ahead);
        let found = segments.find(|segment| segment.id == id);
        assert!(found.is_some() || matches!(self.state, State::Stopping), "{id} is not of this journal");
        found
    }
}
