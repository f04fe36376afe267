//! Who is told the counts of a conversation: how many members are there, and how far they are.
//!
//! ```text
//!   WatchCounts ──► owner: a member? ── Counting ──► here: on the list, Done ── Counts, as they change ──►
//! ```
//!
//! The list is changed by the owner's answers only, so that it and the owner's number of watchers agree: one `Uncount`
//! for each `Counting` that is active.

use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Done, Reject, WatchCounts};

use super::Sessions;
use super::people::Doing;
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Request, SessionRef, owner_of};
use crate::fanout::mesh::Mesh;
use crate::limits::{COUNTS_BURST, COUNTS_PER_SESSION, COUNTS_WATCH_INTERVAL_MS};

impl Sessions {
    pub(super) fn on_watch_counts(
        &mut self,
        now: Now,
        id: ConnectionId,
        watch: WatchCounts,
        mesh: &mut Mesh,
    ) {
        let Some(author) = self.author_of(id) else { return };
        let WatchCounts { request, conversation, active } = watch;
        let pace = &mut self.doings.entry(id.slot).or_default().counts;
        let now_ms = now.monotonic_ms();
        if !pace.take(now_ms, COUNTS_WATCH_INTERVAL_MS, COUNTS_BURST) {
            let retry_after_ms = pace.wait(now_ms, COUNTS_WATCH_INTERVAL_MS, COUNTS_BURST) as u32;
            let (code, reason) = (Code::RATE_LIMITED, "counts are watched and not watched too often");
            let reject = Reject { request, conversation, client_sequence: 0, code, retry_after_ms, reason };
            return self.reject(id, &reject);
        }
        let letter = Request::WatchCounts { author, request, conversation, active };
        self.ask(id, conversation, request, letter, mesh);
    }

    /// The owner has taken a session on, or says that it is told no more.
    pub(super) fn on_counting(
        &mut self,
        session: SessionRef,
        request: u32,
        conversation: ConversationId,
        active: bool,
        mesh: &mut Mesh,
    ) {
        let id = session.connection;
        let lives = self.of_session(session).is_some();
        let counted = self.doings.get(&id.slot).filter(|_| lives).map(|doing| &doing.counted);
        let is_counted = counted.is_some_and(|counted| counted.contains(&conversation));
        let held = counted.map_or(0, Vec::len);
        let is_full = held >= COUNTS_PER_SESSION || self.watched >= self.terms.limits.watches_max;
        if active && (!lives || is_counted || is_full) {
            // The owner counted one too many.
            let request = Request::Uncount { shard: self.me, conversation };
            mesh.tell(owner_of(conversation, mesh.shards()), request);
        }
        if !lives {
            return;
        }
        if active && !is_counted && is_full {
            let reason = format!(
                "this connection is told the counts of {held} conversations, of {COUNTS_PER_SESSION} allowed, or \
                 all together watch as much as they may"
            );
            return self.refuse_request(id, request, conversation, Code::TOO_MANY_WATCHED, &reason);
        }
        match (active, is_counted) {
            (true, false) => {
                self.doings.entry(id.slot).or_default().counted.push(conversation);
                self.counted.entry(conversation).or_default().insert(id);
                self.watched += 1;
            }
            (false, true) => self.uncount(id, conversation, mesh),
            _ => {}
        }
        let done = Done { request, conversation, sequence: 0 };
        self.say(id, |encoder, out| done.encode(encoder, out));
    }

    /// How many members are there and how far they are, once a second at most. A stalled connection gets it later,
    /// like any answer: nothing may come after it that says the same.
    pub(super) fn on_counts(&mut self, conversation: ConversationId, frame: &Encoded) {
        let Some(ids) = self.counted.get(&conversation).cloned() else { return };
        let frame = self.queues.shared(frame.websocket().clone());
        self.counters.counts += ids.len() as u64;
        ids.into_iter().for_each(|id| self.enqueue(id, frame));
    }

    /// A session is told no more of these counts, if it was.
    pub(super) fn uncount(&mut self, id: ConnectionId, conversation: ConversationId, mesh: &mut Mesh) {
        let Some(doing) = self.doings.get_mut(&id.slot) else { return };
        let Some(at) = doing.counted.iter().position(|counted| *counted == conversation) else { return };
        doing.counted.swap_remove(at);
        self.forget_counted(id, conversation, mesh);
    }

    /// A session is over.
    pub(super) fn end_counts(&mut self, id: ConnectionId, doing: &Doing, mesh: &mut Mesh) {
        for conversation in &doing.counted {
            self.forget_counted(id, *conversation, mesh);
        }
    }

    fn forget_counted(&mut self, id: ConnectionId, conversation: ConversationId, mesh: &mut Mesh) {
        self.watched -= 1;
        if let Some(ids) = self.counted.get_mut(&conversation) {
            ids.remove(&id);
            if ids.is_empty() {
                self.counted.remove(&conversation);
            }
        }
        let request = Request::Uncount { shard: self.me, conversation };
        mesh.tell(owner_of(conversation, mesh.shards()), request);
    }
}
