//! The messages of one conversation on their way to the reader: in order, without holes, without doubles.
//!
//! ```text
//!   live messages --.                      .--> the reader, while it gives credit
//!   pages ----------+--> next? deliver ----'
//!   gaps -----------'    ahead? hold back, and fetch what is missing before it
//!                        behind? a double: drop
//! ```
//!
//! `next` is the sequence the reader gets next; `head` is the newest known to exist. As long as `next <= head` and
//! the message is not held, it has to be fetched: after a reconnect, when the server only says `Head`, when it has
//! dropped something for a slow connection, when the reader was slow. There is one rule for all of these.
//!
//! Owner: one conversation of the core; lives across connections, which is what makes resuming exact.
//!
//! Invariants:
//! - what goes to the reader is dense: each message or gap begins where the one before ended;
//! - at most `held_messages_max` messages and `held_bytes_max` bytes are held. What does not fit is let go and fetched
//!   later; the farthest goes first;
//! - one fetch at a time.
//!
//! Deliberately absent: frames, request numbers, timers.

use std::collections::{BTreeMap, VecDeque};

use ringwire_protocol::ConversationId;
use ringwire_protocol::message::{self, GapCause};

use super::content::{Gap, Message, Missing};
use super::event::Event;
use crate::limits::Limits;

/// What waits for its turn.
#[derive(Debug)]
enum Held {
    Message(Message),
    /// Missing up to here, included.
    Gap(u64, Missing),
}

impl Held {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.body.len(),
            Self::Gap(..) => 0,
        }
    }
}

/// Whether something is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Nothing is under way.
    Idle,
    /// It waits for a free place among the core's fetches.
    Queued,
    /// The request is under way.
    Flying,
    /// The last one brought nothing; the next one has to wait.
    Resting,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Feed {
    conversation: ConversationId,
    /// 0: not known yet where to begin.
    next: u64,
    head: u64,
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    /// The last message that the reader was given.
    handed: u64,
    /// How many more the reader takes.
    credit: u64,
    fill: Fill,
    /// Fetches in a row that brought nothing.
    fruitless: u32,
    /// Something of this connection was looked at, so a lower head is no news of a rewound server.
    touched: bool,
    /// The server keeps these and cannot read them at the moment: a page behind them does not make them missing.
    unavailable: Option<(u64, u64)>,
    /// Up to where `CaughtUp` is owed.
    catching_up: Option<u64>,
}

impl Feed {
    pub(crate) fn new(conversation: ConversationId, credit: u64) -> Self {
        Self {
            conversation,
            next: 0,
            head: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            handed: 0,
            credit,
            fill: Fill::Idle,
            fruitless: 0,
            touched: false,
            unavailable: None,
            catching_up: None,
        }
    }

    /// The last sequence that was delivered, or skipped on purpose.
    pub(crate) fn cursor(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The last message that the reader was given; 0: none yet.
    pub(crate) fn handed(&self) -> u64 {
        self.handed
    }

    pub(crate) fn is_positioned(&self) -> bool {
        self.next != 0
    }

    pub(crate) fn fill(&self) -> Fill {
        self.fill
    }

    pub(crate) fn set_fill(&mut self, fill: Fill) {
        self.fill = fill;
    }

    /// Fetches in a row that brought nothing.
    pub(crate) fn fruitless(&self) -> u32 {
        self.fruitless
    }

    /// The reader gets what comes after this sequence.
    pub(crate) fn position(&mut self, cursor: u64) {
        self.next = cursor + 1;
    }

    /// The server confirmed the conversation: its newest sequence, and the oldest it keeps.
    pub(crate) fn on_joined(&mut self, head: u64, first: u64, limits: &Limits, events: &mut VecDeque<Event>) {
        if head < self.cursor() && !self.touched {
            // The server has fewer than were delivered. It will give those numbers again, to other messages: what it
            // held of the old ones is void, and the reader has to know.
            let gap = Gap { from: head + 1, to: self.cursor(), cause: Missing::Rewound };
            events.push_back(Event::Gap { conversation: self.conversation, gap });
            self.next = head + 1;
            self.head = head;
            self.handed = self.handed.min(head);
            self.held.clear();
            self.held_bytes = 0;
        }
        self.head = self.head.max(head);
        self.touched = true;
        self.catching_up = Some(self.head);
        if self.next < first && first <= self.head + 1 {
            self.on_gap(self.next, first - 1, Missing::Server(GapCause::Expired), limits, events);
        }
        self.caught_up(events);
    }

    /// The connection is gone; so is what was asked for.
    pub(crate) fn on_disconnected(&mut self) {
        self.fill = Fill::Idle;
        self.fruitless = 0;
        self.touched = false;
        self.unavailable = None;
    }

    /// Something newer exists.
    pub(crate) fn on_head(&mut self, head: u64) {
        self.head = self.head.max(head);
    }

    /// The reader takes so many more.
    pub(crate) fn grant(&mut self, credit: u64, events: &mut VecDeque<Event>) {
        self.credit = self.credit.saturating_add(credit);
        self.drain(events);
    }

    /// A message came, live.
    pub(crate) fn on_message(
        &mut self,
        message: &message::Message<'_>,
        limits: &Limits,
        events: &mut VecDeque<Event>,
    ) {
        self.head = self.head.max(message.sequence);
        if !self.is_positioned() {
            return;
        }
        self.touched = true;
        if message.sequence == self.next && self.credit > 0 {
            self.deliver(Held::Message(Message::from_wire(message)), events);
            self.drain(events);
        } else if message.sequence >= self.next && !self.held.contains_key(&message.sequence) {
            self.hold(message.sequence, message.body.len(), limits, || {
                Held::Message(Message::from_wire(message))
            });
        }
    }

    /// Sequences that will not come.
    pub(crate) fn on_gap(
        &mut self,
        from: u64,
        to: u64,
        cause: Missing,
        limits: &Limits,
        events: &mut VecDeque<Event>,
    ) {
        self.head = self.head.max(to);
        if !self.is_positioned() || to < self.next || to < from {
            return;
        }
        self.touched = true;
        if from <= self.next && self.credit > 0 {
            self.deliver(Held::Gap(to, cause), events);
            self.drain(events);
        } else {
            self.hold(from.max(self.next), 0, limits, || Held::Gap(to, cause));
        }
    }

    /// These are kept and cannot be read at the moment. Whether the reader waits for any of them.
    pub(crate) fn on_unavailable(&mut self, from: u64, to: u64) -> bool {
        self.on_head(to);
        let waits = self.is_positioned() && to >= self.next;
        if waits {
            self.unavailable = Some((from, to));
        }
        waits
    }

    /// A new fetch is sent; what was unavailable may be there now.
    pub(crate) fn on_fetch(&mut self) {
        self.fill = Fill::Flying;
        self.unavailable = None;
    }

    /// A message of a page that was fetched. What a page answers for and does not contain is not kept any more.
    pub(crate) fn on_paged(
        &mut self,
        message: &message::Message<'_>,
        limits: &Limits,
        events: &mut VecDeque<Event>,
    ) {
        self.on_not_kept(message.sequence, events);
        self.on_message(message, limits, events);
    }

    /// A page answered for everything before `end`; what has not come by now will not come.
    pub(crate) fn on_not_kept(&mut self, end: u64, events: &mut VecDeque<Event>) {
        let end = match self.unavailable {
            Some((from, to)) if to >= self.next => end.min(from),
            _ => end,
        };
        while self.is_positioned() && self.next < end && self.credit > 0 {
            let held = self.held.first_key_value().map_or(end, |(&sequence, _)| sequence);
            self.deliver(Held::Gap(end.min(held) - 1, Missing::NotKept), events);
            self.drain(events);
        }
    }

    /// A page has been read to its end: whether it brought the reader anything.
    pub(crate) fn on_page_end(&mut self, next_before: u64) {
        self.fill = Fill::Idle;
        self.fruitless = if self.next > next_before || self.credit == 0 { 0 } else { self.fruitless + 1 };
    }

    /// The sequence that the reader gets next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// What has to be fetched, if anything: the first sequence and how many.
    pub(crate) fn missing(&self) -> Option<(u64, u64)> {
        if !self.is_positioned() || self.credit == 0 || self.next > self.head {
            return None;
        }
        // What is held is delivered as soon as there is credit, so the first one held is ahead of `next`.
        let end = self.held.first_key_value().map_or(self.head + 1, |(&sequence, _)| sequence);
        Some((self.next, (end - self.next).min(self.credit)))
    }

    fn hold(&mut self, sequence: u64, bytes: usize, limits: &Limits, make: impl FnOnce() -> Held) {
        while self.held.len() >= limits.held_messages_max || self.held_bytes + bytes > limits.held_bytes_max {
            // The nearest are worth most: they follow the hole that is being closed.
            let Some(last) = self.held.last_entry().filter(|last| *last.key() > sequence) else { return };
            self.held_bytes -= last.remove().bytes();
        }
        self.held_bytes += bytes;
        self.held.insert(sequence, make());
    }

    fn drain(&mut self, events: &mut VecDeque<Event>) {
        while let Some(first) = self.held.first_entry() {
            let behind = match first.get() {
                Held::Message(_) => *first.key() < self.next,
                Held::Gap(to, _) => *to < self.next,
            };
            if !behind && (*first.key() > self.next || self.credit == 0) {
                break;
            }
            let held = first.remove();
            self.held_bytes -= held.bytes();
            if !behind {
                self.deliver(held, events);
            }
        }
        self.caught_up(events);
    }

    fn deliver(&mut self, held: Held, events: &mut VecDeque<Event>) {
        let conversation = self.conversation;
        match held {
            Held::Message(message) => {
                debug_assert_eq!(message.sequence, self.next);
                self.next = message.sequence + 1;
                self.handed = message.sequence;
                events.push_back(Event::Message(message));
            }
            Held::Gap(to, cause) => {
                debug_assert!(to >= self.next);
                let gap = Gap { from: self.next, to, cause };
                self.next = to + 1;
                events.push_back(Event::Gap { conversation, gap });
            }
        }
        // A reader without a bound has as much credit as there are sequences, and keeps it.
        if self.credit != u64::MAX {
            self.credit -= 1;
        }
        self.caught_up(events);
    }

    fn caught_up(&mut self, events: &mut VecDeque<Event>) {
        if let Some(head) = self.catching_up.filter(|&head| self.next > head) {
            self.catching_up = None;
            events.push_back(Event::CaughtUp { conversation: self.conversation, head });
        }
    }
}
