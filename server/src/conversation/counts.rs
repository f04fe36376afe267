//! How many members are there and how far they are, for those who want to know: what large conversations have in place
//! of receipts and of watching everybody.
//!
//! ```text
//!   first WatchCounts ── Count ──► all homes ── Online ──► here: add up, count cursors at the head
//!                                                               '── Counts ──► each shard that has a watcher
//!   last one gone ────── Count (no more) ──► all homes
//! ```
//!
//! Told when something has changed, at most once a second, one letter per shard: who watches is known there. So what
//! a conversation costs does not grow with those who watch it. Cursors are counted by looking at all members, once a
//! second at most, as far as they are durable: what was shown of one is never taken back.
//!
//! Lifetime: as long as somebody watches, and up to a second more.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::Counts;

use super::{Conversation, Conversations, Refusal, Which};
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Author, Delivery, Request, ShardIndex};
use crate::fanout::mesh::Mesh;
use crate::limits::COUNTS_INTERVAL_MS;
use crate::store::EntryNumber;
use crate::user::letter::HomeLetter;

/// The counts of one conversation.
#[derive(Debug)]
pub(super) struct Counting {
    /// How many sessions of each shard watch.
    edges: Vec<(ShardIndex, u32)>,
    /// How many members are at each home, once it has said so.
    online: Vec<Option<u32>>,
    told: Option<Counts>,
    /// When that was, milliseconds on the monotonic clock.
    told_ms: u64,
    /// Something may have changed, and it is in a list of those to look at.
    is_listed: bool,
}

impl Counting {
    fn new(shards: ShardIndex) -> Self {
        let online = vec![None; usize::from(shards)];
        Counting { edges: Vec::new(), online, told: None, told_ms: 0, is_listed: false }
    }

    fn watch(&mut self, shard: ShardIndex) {
        match self.edges.iter_mut().find(|(other, _)| *other == shard) {
            Some((_, count)) => *count += 1,
            None => self.edges.push((shard, 1)),
        }
    }

    fn unwatch(&mut self, shard: ShardIndex) {
        if let Some(at) = self.edges.iter().position(|(other, _)| *other == shard) {
            self.edges[at].1 -= 1;
            if self.edges[at].1 == 0 {
                self.edges.swap_remove(at);
            }
        }
    }

    /// The shards that have sessions which watch.
    pub(super) fn edges(&self) -> impl Iterator<Item = ShardIndex> + '_ {
        self.edges.iter().map(|(shard, _)| *shard)
    }
}

impl Conversation {
    /// How many members have got, and have read, everything up to the head.
    pub(super) fn caught_up(&self, synced: EntryNumber) -> (u32, u32) {
        let head = self.visible;
        let (mut delivered, mut read) = (0, 0);
        for member in self.state.members.values() {
            delivered += u32::from(member.delivered >= head);
            read += u32::from(member.read >= head);
        }
        // What is noted and not synced does not count yet; of several notes about one member the first says how
        // he stood before.
        let mut seen: HashSet<UserId, RandomState> = HashSet::default();
        for noting in self.noting.iter().filter(|noting| noting.entry > synced) {
            let member = self.state.members.get(&noting.user).filter(|_| seen.insert(noting.user));
            if let Some(member) = member {
                delivered -= u32::from(member.delivered >= head && noting.before.delivered < head);
                read -= u32::from(member.read >= head && noting.before.read < head);
            }
        }
        (delivered, read)
    }

    /// How it stands, once all homes have said how many are there.
    fn count(&self, id: ConversationId, synced: EntryNumber) -> Option<Counts> {
        let homes = self.counting.as_ref()?.online.iter();
        let online = homes.copied().sum::<Option<u32>>()?;
        let (delivered, read) = self.caught_up(synced);
        Some(Counts { conversation: id, online, sequence: self.visible, delivered, read })
    }
}

impl Conversations {
    pub(super) fn on_watch_counts(
        &mut self,
        author: Author,
        request: u32,
        id: ConversationId,
        active: bool,
        mesh: &mut Mesh,
    ) {
        let session = author.session;
        let answer = Delivery::Counting { session, request, conversation: id, active };
        if !active {
            // It comes behind the answer to the request that began it.
            return mesh.deliver(session.shard, answer);
        }
        let readable = self.by_id.get_mut(&id).ok_or_else(Refusal::not_a_member);
        let readable = readable.and_then(|known| known.check_reader(author.user).map(|()| known));
        let conversation = match readable {
            Ok(_) if self.is_behind => {
                let refusal = Refusal::busy("another shard is behind");
                return self.reject(session, id, Which::Request(request), &refusal, mesh);
            }
            Ok(conversation) => conversation,
            Err(refusal) => return self.reject(session, id, Which::Request(request), &refusal, mesh),
        };
        let counting = conversation.counting.get_or_insert_with(|| {
            for home in 0..mesh.shards() {
                let letter = HomeLetter::Count { conversation: id, active: true };
                mesh.tell(home, Request::Home(letter));
            }
            self.counting += 1;
            Box::new(Counting::new(mesh.shards()))
        });
        counting.watch(session.shard);
        let told = counting.told;
        mesh.deliver(session.shard, answer);
        if let Some(counts) = told {
            counts.encode(&mut self.encoder, &mut self.scratch);
            self.reply(session, Answers::Other, mesh);
        }
    }

    pub(super) fn on_uncount(&mut self, shard: ShardIndex, id: ConversationId) {
        if let Some(counting) = self.by_id.get_mut(&id).and_then(|known| known.counting.as_mut()) {
            counting.unwatch(shard);
            // Looked at when the second is over; somebody else may watch by then.
            self.recount(id);
        }
    }

    /// A home says how many members are there.
    pub(super) fn on_online(&mut self, home: ShardIndex, id: ConversationId, online: u32) {
        if let Some(counting) = self.by_id.get_mut(&id).and_then(|known| known.counting.as_mut()) {
            counting.online[usize::from(home)] = Some(online);
            self.recount(id);
        }
    }

    /// The counts of a conversation may have changed, if anybody wants to know.
    pub(super) fn recount(&mut self, id: ConversationId) {
        let counting = self.by_id.get_mut(&id).and_then(|known| known.counting.as_mut());
        if let Some(counting) = counting.filter(|counting| !counting.is_listed) {
            counting.is_listed = true;
            self.recounts.push(id);
        }
    }

    /// Tells what has changed, where it is time.
    pub(super) fn tell_counts(&mut self, now: Now, mesh: &mut Mesh) {
        let now_ms = now.monotonic_ms();
        for id in std::mem::take(&mut self.recounts) {
            let Some(counting) = self.by_id.get(&id).and_then(|known| known.counting.as_ref()) else {
                continue;
            };
            let at_ms = match counting.told_ms {
                0 => now_ms,
                told_ms => now_ms.max(told_ms + COUNTS_INTERVAL_MS),
            };
            self.counts_due.insert((at_ms, id));
        }
        // Whoever waits gets the latest later.
        while !mesh.is_congested()
            && let Some((due_ms, id)) =
                self.counts_due.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms)
        {
            self.counts_due.remove(&(due_ms, id));
            self.tell_counts_of(now_ms, id, mesh);
        }
    }

    fn tell_counts_of(&mut self, now_ms: u64, id: ConversationId, mesh: &mut Mesh) {
        let synced = self.log.synced();
        let Some(conversation) = self.by_id.get_mut(&id) else { return };
        let counts = conversation.count(id, synced);
        let Some(counting) = conversation.counting.as_mut() else { return };
        counting.is_listed = false;
        counting.told_ms = now_ms;
        if counting.edges.is_empty() {
            conversation.counting = None;
            self.counting -= 1;
            for home in 0..mesh.shards() {
                let letter = HomeLetter::Count { conversation: id, active: false };
                mesh.tell(home, Request::Home(letter));
            }
            return;
        }
        let Some(counts) = counts.filter(|counts| counting.told != Some(*counts)) else { return };
        counting.told = Some(counts);
        counts.encode(&mut self.encoder, &mut self.scratch);
        let frame = Encoded::new(&self.scratch);
        self.scratch.clear();
        for shard in counting.edges() {
            self.counters.counts_told += 1;
            mesh.deliver(shard, Delivery::Counts { conversation: id, frame: frame.clone() });
        }
    }
}
