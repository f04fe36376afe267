//! Parts of index files in memory: directories and pages, within a bound.

use super::lru::Lru;
use crate::index::file::{HEADER_BYTES, IndexHeader, IndexRun, KEY_BYTES};
use crate::record::Conversation;
use crate::segment::SegmentId;

/// A part of an index file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Part {
    /// Header and directory.
    Front(SegmentId),
    /// One page of runs.
    Page(SegmentId, u32),
}

impl Part {
    pub(super) fn segment(self) -> SegmentId {
        match self {
            Self::Front(id) | Self::Page(id, _) => id,
        }
    }
}

/// What is cached of an index file.
pub(super) enum Loaded {
    Front(IndexHeader, Vec<Conversation>),
    Page(Vec<IndexRun>),
}

pub(super) struct Cache {
    parts: Lru<Part, Loaded>,
    bytes_max: usize,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { parts: Lru::new(), bytes_max }
    }

    /// Memory held, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.parts.weight()
    }

    /// Keeps a part, and forgets those used longest ago to make room. What was just loaded stays until the
    /// next one comes, however small the bound, so that whoever waited for it can use it.
    pub(super) fn insert(&mut self, part: Part, loaded: Loaded) {
        let bytes = match &loaded {
            Loaded::Front(_, directory) => HEADER_BYTES + directory.len() * KEY_BYTES,
            Loaded::Page(runs) => runs.len() * size_of::<IndexRun>(),
        };
        while self.parts.weight() + bytes > self.bytes_max && self.parts.evict(|_| true).is_some() {}
        self.parts.insert(part, loaded, bytes);
    }

    /// Forgets all parts of a segment's index.
    pub(super) fn forget(&mut self, id: SegmentId) {
        self.parts.forget(|part| part.segment() == id);
    }

    /// Header of a segment's index, and the last page that may have the conversation. `Err`: the front has
    /// to be loaded.
    pub(super) fn page_of(
        &mut self,
        id: SegmentId,
        wanted: &Conversation,
    ) -> Result<Option<(IndexHeader, u32)>, Part> {
        match self.parts.get(&Part::Front(id)) {
            Some(Loaded::Front(header, directory)) => {
                let page = directory.partition_point(|first| first <= wanted).checked_sub(1);
                Ok(page.map(|page| (*header, page as u32)))
            }
            _ => Err(Part::Front(id)),
        }
    }

    /// The conversation's runs in a page, ascending; there may be none. `Err`: the page has to be loaded.
    pub(super) fn runs(
        &mut self,
        id: SegmentId,
        page: u32,
        wanted: &Conversation,
    ) -> Result<&[IndexRun], Part> {
        match self.parts.get(&Part::Page(id, page)) {
            Some(Loaded::Page(all)) => {
                let from = all.partition_point(|run| run.conversation < *wanted);
                let to = all.partition_point(|run| run.conversation <= *wanted);
                Ok(&all[from..to])
            }
            _ => Err(Part::Page(id, page)),
        }
    }
}
