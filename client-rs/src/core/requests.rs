//! Requests that wait for their answer: what was asked, until when, and whether it was sent on this connection.
//!
//! A request of the caller survives reconnects: it is sent again, under the same number, until it is answered or its
//! time is over. All of them may be carried out twice without harm, or say that they were. What the core asks for itself (fetches that
//! close holes, `Open`, renewing a `Watch`) is forgotten with the connection, because the next one begins by saying where everything stands.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ringwire_protocol::message::{Direction, View};
use ringwire_protocol::{ConversationId, UserId};

use super::content::{Change, Member, Registration, Settings, Start};

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Join(ConversationId),
    /// Join what the user is a member of, by its id.
    Enter(ConversationId),
    /// A new one; its name is the conversation's.
    Create {
        conversation: ConversationId,
        members: Vec<Member>,
    },
    /// The one with this user; its id comes with the answer.
    Direct {
        user: UserId,
        name: String,
        start: Start,
    },
    Leave(ConversationId),
    Change {
        conversation: ConversationId,
        change: Change,
    },
    Mute {
        conversation: ConversationId,
        until_ms: u64,
    },
    Register(Registration),
    Unregister,
    Settings(Settings),
    WatchCounts {
        conversation: ConversationId,
        active: bool,
    },
    History {
        conversation: ConversationId,
        from: u64,
        limit: u16,
        direction: Direction,
        view: View,
    },
    Members {
        conversation: ConversationId,
        after: UserId,
        limit: u16,
    },
    Watch(Vec<UserId>),
    Close(ConversationId),
    /// Where does this conversation stand, and feed it live.
    Open(ConversationId),
    /// Close the hole.
    Fill {
        conversation: ConversationId,
        from: u64,
        limit: u16,
    },
}

impl Ask {
    pub(crate) fn conversation(&self) -> Option<ConversationId> {
        match *self {
            Self::Join(conversation)
            | Self::Enter(conversation)
            | Self::Create { conversation, .. }
            | Self::Change { conversation, .. }
            | Self::WatchCounts { conversation, .. }
            | Self::Leave(conversation)
            | Self::Close(conversation)
            | Self::Open(conversation)
            | Self::History { conversation, .. }
            | Self::Members { conversation, .. }
            | Self::Fill { conversation, .. } => Some(conversation),
            // Muting needs no joined conversation, so it does not end with one.
            Self::Mute { .. }
            | Self::Direct { .. }
            | Self::Register(_)
            | Self::Unregister
            | Self::Settings(_)
            | Self::Watch(_) => None,
        }
    }

    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::Join(_) | Self::Enter(_) => "join",
            Self::Create { .. } => "create",
            Self::Direct { .. } => "direct",
            Self::Change { .. } => "change",
            Self::Mute { .. } => "mute",
            Self::Register(_) => "register",
            Self::Unregister => "unregister",
            Self::Settings(_) => "settings",
            Self::WatchCounts { .. } => "counts",
            Self::Leave(_) => "leave",
            Self::History { .. } | Self::Fill { .. } => "fetch",
            Self::Members { .. } => "members",
            Self::Watch(_) => "watch",
            Self::Close(_) => "close",
            Self::Open(_) => "open",
        }
    }
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) ask: Ask,
    /// When its caller stops waiting.
    pub(crate) deadline: Duration,
    /// Times the server said "later".
    pub(crate) refusals: u32,
    /// Whether a call waits for the answer; else the core asked for itself.
    pub(crate) called: bool,
    /// It was sent on a connection that broke before the answer: it may have been carried out.
    pub(crate) again: bool,
    sent: bool,
}

/// All requests of one core.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pending: BTreeMap<u32, Request>,
    to_send: VecDeque<u32>,
    last: u32,
}

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Takes a request in; the caller has checked the bound. Answers its number, never 0.
    pub(crate) fn push(&mut self, ask: Ask, deadline: Duration, called: bool) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.pending.contains_key(&self.last) {
                break;
            }
        }
        self.pending
            .insert(self.last, Request { ask, deadline, refusals: 0, called, again: false, sent: false });
        self.to_send.push_back(self.last);
        self.last
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Request> {
        self.pending.get_mut(&number)
    }

    /// The answer came, or nobody waits for it any more.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Request> {
        self.pending.remove(&number)
    }

    /// It is to be sent (again).
    pub(crate) fn send_again(&mut self, number: u32) {
        if let Some(request) = self.pending.get_mut(&number) {
            request.sent = false;
            self.to_send.push_back(number);
        }
    }

    /// The next one to send on this connection; it counts as sent.
    pub(crate) fn next_to_send(&mut self) -> Option<(u32, &Ask)> {
        loop {
            let number = self.to_send.pop_front()?;
            if self.pending.get(&number).is_some_and(|request| !request.sent) {
                let request = self.pending.get_mut(&number)?;
                request.sent = true;
                return Some((number, &request.ask));
            }
        }
    }

    /// It did not fit behind what else is sent now; it is the next one.
    pub(crate) fn put_back(&mut self, number: u32) {
        self.postpone(number);
        self.to_send.push_front(number);
    }

    /// It cannot be sent yet; [`Self::send_again`] will be called when it can.
    pub(crate) fn postpone(&mut self, number: u32) {
        if let Some(request) = self.pending.get_mut(&number) {
            request.sent = false;
        }
    }

    /// The connection is gone: the numbers of the core's own requests, which go with it.
    pub(crate) fn on_disconnected(&mut self) -> Vec<u32> {
        let own: Vec<u32> =
            self.pending.iter().filter(|(_, request)| !request.called).map(|(&number, _)| number).collect();
        for number in &own {
            self.pending.remove(number);
        }
        self.to_send.clear();
        for (&number, request) in &mut self.pending {
            request.again |= request.sent;
            request.sent = false;
            self.to_send.push_back(number);
        }
        own
    }

    /// The numbers of all requests about this conversation.
    pub(crate) fn about(&self, conversation: ConversationId) -> Vec<u32> {
        let about = |request: &Request| request.ask.conversation() == Some(conversation);
        self.pending.iter().filter(|(_, request)| about(request)).map(|(&number, _)| number).collect()
    }

    /// The numbers of those that the server has put off.
    pub(crate) fn refused(&self) -> Vec<u32> {
        self.pending.iter().filter(|(_, request)| request.refusals > 0).map(|(&number, _)| number).collect()
    }

    /// Whether a call waits for an answer.
    pub(crate) fn any_called(&self) -> bool {
        self.pending.values().any(|request| request.called)
    }

    /// Every number.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.pending.keys().copied().collect()
    }
}
