//! The conversations that this shard owns: one order each, from request to durable message.
//!
//! ```text
//!   Request --check--> entry (sequence given, encoded once) --append--> journal
//!                        |                                                 | synced
//!                        '--> awaiting, in the order of entries ----------'--> Ack, fan-out, answers
//! ```
//!
//! Owner: the shard that `owner_of` names. Lifetime: conversations stay in memory once known.
//!
//! Invariants. O-1: sequences are dense from 1, given here and nowhere else, and never twice. O-2: nothing
//! about an entry (acknowledgement, message, head) leaves before the entry is synced, unless its publisher
//! asked for `memory`, its sequence is durably reserved, and everything before it has left. O-3: letters about a conversation
//! leave in the order of its entries; an `Attached` says the head up to which the messages are history, and
//! every later one follows it.
//!
//! Absent: sockets, sessions (a [`SessionRef`] is only carried), time beyond what entries are stamped with.

mod amend;
mod awaiting;
mod away;
mod counts;
mod cursors;
mod devices;
mod founding;
mod history;
mod inbox;
mod membership;
mod publish;
mod roles;
pub mod state;
mod typing;

use std::collections::{BTreeSet, HashMap, VecDeque};

use foldhash::fast::RandomState;
use ringwire_driver::Operations;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Encoder, Reject, Role};

pub use devices::{Device, Verdict};
pub use founding::{direct_name, is_direct_name};
pub use state::{Amended, MemberState, State, StateFault};

use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Delivery, Request, SessionRef, ShardIndex};
use crate::fanout::mesh::Mesh;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::shard::Levels;
use crate::store::{AppendError, EntryNumber, Log, Step};
use amend::Lookups;
use awaiting::Awaiting;
use counts::Counting;
use cursors::{Cursors, Noting};
use history::{Budget, Reads, Tail, Wanted};

/// A conversation and what the owner knows about it beyond its durable state.
#[derive(Default)]
struct Conversation {
    state: State,
    /// Sequence of the last entry that the rest of the world may know.
    visible: u64,
    /// Sequence of the last synced entry; less than `visible` where publishers asked for `memory`.
    synced: u64,
    /// Sequences up to here are durably reserved, so they may be shown before they are synced.
    reserved: u64,
    /// Reserved as soon as the note is synced.
    reserving: u64,
    /// The journal's order ends before `state.head`: a note that says so has to come before the next entry.
    skips: bool,
    /// Members whose joining is not synced yet, with its sequence. They may publish, which comes behind it, and
    /// are shown nothing: after a crash they might never have been members.
    joining: Vec<(u64, UserId)>,
    /// How many attached sessions each shard has.
    watchers: Vec<(ShardIndex, u32)>,
    /// Members who are away and are to be woken by the next message.
    away: Vec<UserId>,
    /// Of signs of typing, where the conversation is large.
    typing: Pace,
    tail: Tail,
    /// Cursors that were moved, if any were in the last second.
    cursors: Option<Box<Cursors>>,
    /// Notes about members that are not synced, and a few that are.
    noting: Vec<Noting>,
    /// Its counts, while somebody wants to know them.
    counting: Option<Box<Counting>>,
}

impl Conversation {
    /// Refuses to show anything to who is no member, or is not for good yet.
    fn check_reader(&self, user: UserId) -> Result<(), Refusal> {
        if !self.state.members.contains_key(&user) {
            return Err(Refusal::not_a_member());
        }
        if self.is_joining(user) {
            return Err(Refusal::busy("the joining is being written"));
        }
        Ok(())
    }

    /// Whether the user's joining is not synced yet.
    fn is_joining(&self, user: UserId) -> bool {
        self.joining.iter().any(|(_, joining)| *joining == user)
    }
}

/// A refusal on its way to the client.
struct Refusal {
    code: Code,
    retry_after_ms: u32,
    reason: String,
}

impl Refusal {
    fn new(code: Code, reason: impl Into<String>) -> Self {
        Refusal { code, retry_after_ms: 0, reason: reason.into() }
    }

    fn of_append(error: &AppendError) -> Self {
        match error {
            AppendError::Full { .. } => Refusal::busy("the journal is behind"),
            AppendError::TooLarge { .. } => Refusal::new(Code::BODY_TOO_LARGE, error.to_string()),
            AppendError::Failed(_) | AppendError::Stopped => {
                Refusal::new(Code::STORAGE_FAILED, error.to_string())
            }
        }
    }

    /// The same answer whether it does not exist or is not the user's to know of.
    fn not_a_member() -> Self {
        Refusal::new(Code::NOT_A_MEMBER, "the user is not a member of this conversation")
    }

    /// For a moment; the client sends again by itself.
    fn busy(what: &str) -> Self {
        Refusal {
            code: Code::OVERLOADED,
            retry_after_ms: BUSY_RETRY_MS,
            reason: format!("{what}; send again"),
        }
    }
}

/// How long a client is asked to wait when a queue of this process is full: a few turns of the disk.
pub const BUSY_RETRY_MS: u32 = 50;

/// All conversations of one shard, and the journal they are written to.
pub struct Conversations {
    by_id: HashMap<ConversationId, Conversation, RandomState>,
    /// Buckets of messages of which some were edited, deleted or reacted to, by key.
    amended: HashMap<ConversationId, Amended, RandomState>,
    /// What happens when entries are synced, in their order.
    awaiting: VecDeque<(EntryNumber, Awaiting)>,
    reads: Reads,
    lookups: Lookups,
    /// When moved cursors are to be written, milliseconds on the monotonic clock, and whose.
    due: BTreeSet<(u64, ConversationId)>,
    /// When counts are to be told, milliseconds on the monotonic clock, and whose.
    counts_due: BTreeSet<(u64, ConversationId)>,
    /// Conversations whose counts may have changed in this turn.
    recounts: Vec<ConversationId>,
    /// Conversations whose counts somebody wants.
    counting: usize,
    /// When the last entry of the run before was accepted, milliseconds since 1970.
    ended_ms: u64,
    budget: Budget,
    log: Log,
    encoder: Encoder,
    /// The frame being encoded.
    scratch: Vec<u8>,
    /// Letters that must arrive wait for another shard, as many as may; entries would make more.
    is_behind: bool,
    limits: Limits,
    /// What went through, for the operator.
    pub counters: Counters,
    /// Bugs for the simulation to find.
    #[cfg(feature = "planted-bugs")]
    pub bugs: Bugs,
}

/// Bugs for the simulation to find, each in the promise that it is about.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Bugs {
    /// Who is removed goes on receiving.
    pub keeps_removed: bool,
    /// A page of what is current shows what was deleted.
    pub shows_deleted: bool,
    /// Notes about cursors are empty.
    pub forgets_cursors: bool,
}

/// What an owner counts; all since the process started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Messages that became visible.
    pub published: u64,
    /// Of those, how many before they were synced.
    pub published_from_memory: u64,
    /// Publishes that were answered from memory.
    pub duplicates: u64,
    /// Publishes that were refused.
    pub refused: u64,
    /// Messages pushed to all attached sessions.
    pub pushed: u64,
    /// Messages fed to those who have the conversation open, and announced to the others.
    pub announced: u64,
    /// Signs of typing passed on.
    pub typing: u64,
    /// Wishes to wake somebody who is away.
    pub wakes: u64,
    /// Times that a conversation was told that its oldest messages are kept no more.
    pub expired: u64,
    /// Letters to shards with the counts of a conversation.
    pub counts_told: u64,
    /// How long messages took, from their publish to the turn that hands them to everybody.
    pub delays: Delays,
}

/// How often it took so long: the first is for less than a millisecond, each after it for twice as long, the last for
/// all beyond.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    /// How often, by bucket.
    pub buckets: [u64; DELAY_BUCKETS],
    /// All of it, milliseconds.
    pub sum_ms: u64,
}

/// The last but one ends at 16 s, where a client has given up.
pub const DELAY_BUCKETS: usize = 16;

impl Delays {
    fn add(&mut self, ms: u64) {
        let bucket = (u64::BITS - ms.leading_zeros()) as usize;
        self.buckets[bucket.min(DELAY_BUCKETS - 1)] += 1;
        self.sum_ms += ms;
    }
}

impl Conversations {
    /// The conversations in `states` (all owned by this shard) with their buckets of `amended` messages, writing
    /// to `log`.
    pub fn new(
        states: Vec<(ConversationId, State)>,
        amended: Vec<(ConversationId, Amended)>,
        log: Log,
        limits: Limits,
    ) -> Self {
        let ended_ms = states.iter().map(|(_, state)| state.time_ms).max().unwrap_or(0);
        let by_id = states
            .into_iter()
            .map(|(id, mut state)| {
                // What was reserved may have been shown: those sequences are never given again.
                let skips = state.reserved > state.head;
                state.head = state.head.max(state.reserved);
                let (head, reserved) = (state.head, state.reserved);
                let conversation = Conversation {
                    state,
                    visible: head,
                    synced: head,
                    reserved,
                    reserving: reserved,
                    skips,
                    ..Conversation::default()
                };
                (id, conversation)
            })
            .collect();
        Conversations {
            by_id,
            amended: amended.into_iter().collect(),
            awaiting: VecDeque::new(),
            reads: Reads::default(),
            lookups: Lookups::default(),
            due: BTreeSet::new(),
            counts_due: BTreeSet::new(),
            recounts: Vec::new(),
            counting: 0,
            ended_ms,
            budget: Budget::new(limits.tail_bytes),
            log,
            encoder: Encoder::new(),
            scratch: Vec::new(),
            is_behind: false,
            limits,
            counters: Counters::default(),
            #[cfg(feature = "planted-bugs")]
            bugs: Bugs::default(),
        }
    }

    /// Takes one request; answers leave through `mesh`, now or when the disk has answered.
    pub fn on_request(&mut self, now: Now, request: Request, mesh: &mut Mesh) {
        match request {
            Request::Publish { author, conversation, client_sequence, reference, kind, durability, body } => {
                let publish =
                    publish::Publish { conversation, client_sequence, reference, kind, durability, body };
                self.on_publish(now, author, publish, mesh);
            }
            Request::Join { author, request, names } => self.on_join(now, author, request, &names, mesh),
            Request::Attach { author, request, conversation, open } => {
                self.on_attach(author, request, conversation, open, mesh);
            }
            Request::Detach { shard, conversation } => self.on_detach(shard, conversation),
            Request::Leave { author, request, conversation } => {
                self.on_leave(now, author, request, conversation, mesh);
            }
            Request::Fetch { author, request, conversation, from, limit, direction, view } => {
                let wanted = Wanted { request, conversation, from, limit, direction, view };
                self.on_fetch(author, wanted, mesh);
            }
            Request::Create { author, request, founding } => {
                self.on_create(now, author, request, &founding, mesh);
            }
            Request::Change { author, request, change } => {
                self.on_change(now, author, request, &change, mesh);
            }
            Request::Mute { author, request, conversation, until_ms } => {
                self.on_mute(now, author, request, conversation, until_ms, mesh);
            }
            Request::Cursor { author, conversation, kind, sequence } => {
                self.on_cursor(now, author, conversation, kind, sequence, mesh);
            }
            Request::Members { author, request, conversation, after, limit } => {
                self.on_members(author, request, conversation, after, limit, mesh);
            }
            Request::Typing { author, conversation, active } => {
                self.on_typing(now, author, conversation, active, mesh);
            }
            Request::Entries { session, user, conversations, parts, gone } => {
                self.on_entries(session, user, &conversations, (parts, gone), mesh);
            }
            Request::Away { user, conversations, away, begins } => {
                self.on_away(now, user, &conversations, (away, begins), mesh);
            }
            Request::WatchCounts { author, request, conversation, active } => {
                self.on_watch_counts(author, request, conversation, active, mesh);
            }
            Request::Uncount { shard, conversation } => self.on_uncount(shard, conversation),
            Request::Online { home, conversation, online } => self.on_online(home, conversation, online),
            Request::Home(letter) => unreachable!("the joint gives {letter:?} to the users"),
        }
    }

    /// Answers what was read, closes this turn's batch, and hands the disk its work.
    pub fn end_of_turn(&mut self, now: Now, operations: &mut Operations, mesh: &mut Mesh) -> Step {
        self.is_behind = mesh.is_behind();
        self.on_read(now, mesh);
        self.write_cursors(now);
        self.tell_counts(now, mesh);
        self.log.roll_if_older(now.unix_ms, self.limits.segment_age_ms);
        self.log.poll(operations);
        self.log.check_failure(Step::Nothing)
    }

    /// Says what waits for the disk, and what is kept in memory.
    pub fn measure(&self, levels: &mut Levels) {
        levels.awaiting_sync = self.awaiting.len();
        levels.fetches = self.reads.len();
        levels.lookups = self.lookups.len();
        levels.tail_bytes = self.budget.bytes();
        levels.counting = self.counting;
        levels.journal_bytes = self.log.pending_bytes();
    }

    /// When [`Conversations::end_of_turn`] has something to do by itself, in milliseconds from now.
    pub fn next_due_ms(&self, now: Now) -> Option<u64> {
        let due = [self.due.first(), self.counts_due.first()].into_iter().flatten();
        let due = due.map(|(due_ms, _)| due_ms.saturating_sub(now.monotonic_ms()));
        due.chain(self.log.next_roll_ms(now.unix_ms, self.limits.segment_age_ms)).min()
    }

    /// Whether entries are not synced yet.
    pub fn is_writing(&self) -> bool {
        !self.awaiting.is_empty()
    }

    /// Why the journal takes nothing any more, if so.
    pub fn failure(&self) -> Option<&str> {
        self.log.failure()
    }

    /// The journal, for completions of its files.
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Gives back what is reserved and not used, so that a stop in good order leaves no gap.
    pub fn release_reserved(&mut self, now: Now) {
        for (id, conversation) in &mut self.by_id {
            let head = conversation.state.head;
            if conversation.reserving > head && self.log.reserve(*id, head, now.unix_ms).is_ok() {
                conversation.reserving = head;
                conversation.reserved = 0;
            }
        }
    }

    /// The journal.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How many conversations this shard owns.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether this shard owns none yet.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// What a user may do in a conversation; nothing before the joining is synced.
    pub fn role(&self, user: UserId, conversation: ConversationId) -> Option<Role> {
        let conversation = self.by_id.get(&conversation)?;
        conversation.check_reader(user).ok()?;
        conversation.state.members.get(&user).map(|member| member.role)
    }

    /// The durable state of a conversation, for checks.
    pub fn state(&self, conversation: ConversationId) -> Option<&State> {
        self.by_id.get(&conversation).map(|conversation| &conversation.state)
    }

    /// Sends an encoded answer to a session.
    fn reply(&mut self, session: SessionRef, answers: Answers, mesh: &mut Mesh) {
        let frame = Encoded::new(&self.scratch);
        self.scratch.clear();
        mesh.deliver(session.shard, Delivery::Reply { session, frame, answers });
    }

    fn reject(
        &mut self,
        session: SessionRef,
        conversation: ConversationId,
        which: Which,
        refusal: &Refusal,
        mesh: &mut Mesh,
    ) {
        let (request, client_sequence) = match which {
            Which::Request(request) | Which::Fetch(request) | Which::Attach(request) => (request, 0),
            Which::Publish(client_sequence) => {
                self.counters.refused += 1;
                (0, client_sequence)
            }
        };
        let reject = Reject {
            request,
            conversation,
            client_sequence,
            code: refusal.code,
            retry_after_ms: refusal.retry_after_ms,
            reason: &refusal.reason,
        };
        reject.encode(&mut self.encoder, &mut self.scratch);
        let answers = match which {
            Which::Request(_) => Answers::Other,
            Which::Fetch(_) => Answers::Fetch,
            Which::Attach(_) => Answers::Attach,
            Which::Publish(_) => Answers::Publish,
        };
        self.reply(session, answers, mesh);
    }

    /// Refuses what would be written while it cannot be.
    fn check_writable(&self) -> Result<(), Refusal> {
        if let Some(failure) = self.log.failure() {
            return Err(Refusal::new(Code::STORAGE_FAILED, failure));
        }
        if self.is_behind {
            return Err(Refusal::busy("another shard is behind"));
        }
        if self.log.is_full() || self.awaiting.len() >= self.limits.awaiting_sync_max {
            return Err(Refusal::busy("the journal is behind"));
        }
        Ok(())
    }
}

/// What a refusal answers.
#[derive(Clone, Copy)]
enum Which {
    Request(u32),
    Fetch(u32),
    Attach(u32),
    Publish(u64),
}
