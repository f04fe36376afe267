//! Reads of the journal that are under way, and who waits for each.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;

use super::super::amend::Publisher;
use super::super::{Conversations, Refusal, Which};
use super::current::Gathering;
use super::fetch::{Asked, Wanted};
use crate::clock::Now;
use crate::fanout::letter::{Author, SessionRef};
use crate::fanout::mesh::Mesh;
use crate::store::{FetchError, Page, Query};

/// What a read is for.
pub(in super::super) enum Reading {
    /// The messages of a page.
    Page(Author, Wanted, Asked),
    /// What was said later about the messages of a page.
    Amendments(Box<Gathering>),
    /// A message that a publish of this device refers to.
    Referred(Publisher, u64),
}

/// All of one shard. As many as the store lets wait; one more is refused with `busy`.
#[derive(Default)]
pub(in super::super) struct Reads {
    next: u64,
    under_way: HashMap<u64, Reading, RandomState>,
    /// Of these, how many hold a page that waits for its amendments.
    pub gatherings: usize,
}

impl Reads {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }
}

impl Conversations {
    /// Begins a read. Its answer comes to [`Conversations::on_read`].
    pub(in super::super) fn read(&mut self, query: Query, reading: Reading) -> Result<(), FetchError> {
        let tag = self.reads.next;
        self.reads.next += 1;
        self.log.fetch(tag, query)?;
        self.reads.under_way.insert(tag, reading);
        Ok(())
    }

    /// Goes on with what the journal has read.
    pub(in super::super) fn on_read(&mut self, now: Now, mesh: &mut Mesh) {
        while let Some((tag, result)) = self.log.take_fetched() {
            match self.reads.under_way.remove(&tag) {
                Some(Reading::Page(author, wanted, asked)) => {
                    self.on_page_read(author, &wanted, asked, result, mesh);
                }
                Some(Reading::Amendments(gathering)) => self.on_amendments_read(gathering, result, mesh),
                Some(Reading::Referred(publisher, reference)) => {
                    self.on_referred_read(now, publisher, reference, result, mesh);
                }
                None => {}
            }
        }
    }

    /// What is stored cannot be read: whoever asked is told, and so is the operator.
    pub(in super::super) fn unreadable(
        &mut self,
        session: SessionRef,
        conversation: ConversationId,
        which: Which,
        error: &FetchError,
        mesh: &mut Mesh,
    ) {
        let refusal = cannot_read(conversation, error);
        self.reject(session, conversation, which, &refusal, mesh);
    }
}

/// How a read that failed is told.
pub(in super::super) fn cannot_read(conversation: ConversationId, error: &FetchError) -> Refusal {
    if matches!(error, FetchError::Busy { .. }) {
        return Refusal::busy(&error.to_string());
    }
    tracing::error!(%conversation, %error, "history cannot be read; run `ringwire store verify`");
    let mut refusal = Refusal::new(Code::HISTORY_UNAVAILABLE, "these messages cannot be read now");
    refusal.retry_after_ms = 1000;
    refusal
}

/// The page of a read.
pub(in super::super) type ReadResult = Result<Page, FetchError>;
