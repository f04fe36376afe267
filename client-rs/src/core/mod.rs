//! The client as a state machine: no clock, no sockets, no threads, and chance only from a seed.
//!
//! ```text
//!            calls                                    events
//!  caller ------------>  +-----------------------+  ------------> caller
//!   join publish fetch   | connection  requests  |   Joined Message Published ...
//!                        | conversation:         |
//!  server ------------>  |   feed      outbox    |  ------------> server
//!   on_frames            +-----------------------+   poll_frames
//!                          ^ now, on_timer   | deadline, poll_want
//!                          '----- host ------'
//! ```
//!
//! A *host* drives it: the tokio adapter of this crate, or the simulation with thousands of seeds. Its duties:
//!
//! - `now` is the time since any fixed moment, the same for all calls, and never goes back;
//! - after each call, empty [`Core::poll_want`], [`Core::poll_event`] and (while connected) [`Core::poll_frames`];
//! - call [`Core::on_timer`] when [`Core::deadline`] is reached, but hand in received bytes first;
//! - for each [`Want::Connect`]: [`Core::on_connected`] and later `on_disconnected`, or only `on_disconnected`;
//! - for each [`Want::Disconnect`]: `on_disconnected`.
//!
//! Invariants (the tests and the simulation check them by these names):
//! - *acknowledged once*: every publish that was taken ends in exactly one `Published` or `PublishFailed`;
//! - *in order*: publishes of a conversation are accepted in the order of the calls;
//! - *dense*: messages and gaps of a conversation follow each other without hole or double;
//! - *bounded*: every queue has its number in [`Limits`](crate::limits::Limits).
//!
//! Deliberately absent: WebSocket (see [`crate::ws`]), the names of members, anything stored on disk.

pub(crate) mod backoff;
mod calls;
mod config;
mod connection;
mod content;
mod conversation;
mod cursors;
mod event;
mod feed;
mod fills;
mod frames;
mod heartbeat;
mod outbox;
mod pages;
mod people;
pub(crate) mod random;
mod rejects;
mod requests;
mod timers;
mod transmit;
mod typists;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ringwire_protocol::message::Encoder;
use ringwire_protocol::{ConversationId, UserId};

pub use config::Config;
pub use content::{
    Change, Counts, Draft, Gap, History, InboxEntry, Member, MemberPage, Membership, Message, Missing,
    Published, Range, Registration, Settings, Start,
};
pub use event::{Cause, Event, PublishId, RequestId, Session, State, Want};
pub use random::Random;

use backoff::Backoff;
use connection::Connection;
use conversation::Conversation;
use requests::Requests;
use timers::{Holder, Timers};

use crate::error::Error;

/// See the module.
#[derive(Debug)]
pub struct Core {
    config: Config,
    random: Random,
    timers: Timers,
    backoff: Backoff,
    connection: Connection,
    conversations: BTreeMap<ConversationId, Conversation>,
    requests: Requests,
    /// Conversations that may have something to send, in turn.
    ready: VecDeque<ConversationId>,
    /// Conversations that wait for a place to fetch, in turn.
    fills: VecDeque<ConversationId>,
    fills_in_flight: usize,
    /// Publishes in flight, over all conversations.
    in_flight: usize,
    /// Body bytes in all outboxes.
    outbox_bytes: usize,
    watched: Vec<UserId>,
    /// The number of the newest frame that spoke of each user on this connection (W-72).
    presence: BTreeMap<UserId, u64>,
    last_publish: u64,
    events: VecDeque<Event>,
    wants: VecDeque<Want>,
    encoder: Encoder,
    /// When the caller's patience with a shutdown ends.
    shutdown: Option<Duration>,
}

impl Core {
    /// A client that has done nothing yet; [`Core::start`] makes it connect. Equal seeds and equal calls give equal
    /// outputs.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let start = (random.next_u64() >> 32) as u32;
        Self {
            random,
            timers: Timers::default(),
            backoff: Backoff::new(config.backoff_min, config.backoff_max),
            connection: Connection::new(config.token.clone(), start.max(1)),
            conversations: BTreeMap::new(),
            requests: Requests::default(),
            ready: VecDeque::new(),
            fills: VecDeque::new(),
            fills_in_flight: 0,
            in_flight: 0,
            outbox_bytes: 0,
            watched: Vec::new(),
            presence: BTreeMap::new(),
            last_publish: 0,
            events: VecDeque::new(),
            wants: VecDeque::new(),
            encoder: Encoder::new(),
            shutdown: None,
            config,
        }
    }

    /// What the host has to do, if anything.
    pub fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    /// What happened, if anything.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Core::on_timer`] is to be called, if nothing else happens before.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Looks at everything that was due by `now`.
    pub fn on_timer(&mut self, now: Duration) {
        while let Some(holder) = self.timers.take_due(now) {
            match holder {
                Holder::Phase => self.on_phase_timer(now),
                Holder::Heartbeat => self.on_heartbeat_timer(now),
                Holder::GoAway => self.on_go_away_timer(now),
                Holder::Request(number) => self.on_request_timer(now, number),
                Holder::Outbox(id) => self.on_outbox_timer(now, id),
                Holder::Fill(id) => self.on_fill_timer(now, id),
                Holder::Attach(id) => self.open(now, id),
                Holder::Delivered(id) => self.tell_delivered(now, id),
                Holder::Typists(id) => self.on_typists_timer(now, id),
                Holder::Shutdown => self.finish_shutdown(),
            }
        }
    }

    /// Whether the server has welcomed this client on the present connection.
    pub fn is_live(&self) -> bool {
        self.connection.is_live()
    }

    /// Whether no call waits for an answer of the server any more.
    pub fn is_idle(&self) -> bool {
        !self.requests.any_called()
            && self.conversations.values().all(|conversation| conversation.outbox.is_empty())
    }

    /// Body bytes that wait for an acknowledgement, over all conversations.
    pub fn outbox_bytes(&self) -> usize {
        self.outbox_bytes
    }

    /// Publishes of this conversation that wait for an acknowledgement.
    pub fn outbox_len(&self, conversation: ConversationId) -> usize {
        self.conversations.get(&conversation).map_or(0, |conversation| conversation.outbox.len())
    }

    /// Whether a publish of so many bytes would find room in the outbox of this conversation.
    pub fn has_room(&self, conversation: ConversationId, bytes: usize) -> bool {
        let limits = &self.config.limits;
        self.conversations.get(&conversation).is_some_and(|conversation| {
            let outbox = &conversation.outbox;
            // A body larger than the bound still goes when nothing else waits: the server allows it.
            outbox.len() < limits.outbox_entries_max
                && (outbox.is_empty() || outbox.bytes() + bytes <= limits.outbox_bytes_max)
                && (self.outbox_bytes == 0 || self.outbox_bytes + bytes <= limits.outbox_total_bytes_max)
        })
    }

    /// The last sequence of this conversation that was delivered, or skipped on purpose: what a program may store, and
    /// give to [`Start::After`] when it runs again.
    pub fn cursor(&self, conversation: ConversationId) -> Option<u64> {
        self.conversations.get(&conversation).map(|conversation| conversation.feed.cursor())
    }

    /// Puts the conversation into the ring of those that may have something to send.
    fn make_ready(&mut self, id: ConversationId) {
        if let Some(conversation) = self.conversations.get_mut(&id)
            && !std::mem::replace(&mut conversation.ready, true)
        {
            self.ready.push_back(id);
        }
    }

    /// [`Core::forget`], while the others go on: its place among the fetches goes to whoever waits for one.
    fn let_go(&mut self, now: Duration, id: ConversationId, error: &Error) {
        self.forget(id, error);
        self.pump_fills(now);
    }

    /// Ends the conversation here: its publishes and requests fail with this error, and nothing more comes from it.
    fn forget(&mut self, id: ConversationId, error: &Error) {
        let Some(mut conversation) = self.conversations.remove(&id) else { return };
        self.in_flight -= conversation.outbox.in_flight();
        self.outbox_bytes -= conversation.outbox.bytes();
        for (publish, draft) in conversation.outbox.drain() {
            let error = error.clone();
            self.events.push_back(Event::PublishFailed { publish, conversation: id, error, draft });
        }
        for number in self.requests.about(id) {
            self.fail_request(number, error.clone());
        }
        for holder in Holder::of(id) {
            self.timers.cancel(holder);
        }
        self.check_shutdown();
    }

    /// The request is over, without success.
    fn fail_request(&mut self, number: u32, error: Error) {
        let Some(request) = self.requests.remove(number) else { return };
        self.timers.cancel(Holder::Request(number));
        if matches!(request.ask, requests::Ask::Fill { .. }) {
            self.fills_in_flight -= 1;
        }
        if request.called {
            self.events.push_back(Event::RequestFailed { request: RequestId(number), error });
        }
    }
}

#[cfg(test)]
mod tests;
