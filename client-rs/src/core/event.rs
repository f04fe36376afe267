//! What the core tells: plain owned values, the same for the adapter and the simulation.

use std::fmt;
use std::time::Duration;

use ringwire_protocol::message::{PresenceState, ReceiptKind};
use ringwire_protocol::ws::handshake::HandshakeFault;
use ringwire_protocol::{ConversationId, UserId};

use super::content::{Counts, Draft, Gap, History, InboxEntry, MemberPage, Membership, Message, Published};
use crate::error::Error;

/// A publish of this core, from the call that made it to the event that settles it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PublishId(pub(crate) u64);

/// A request of this core, from the call that made it to the event that answers it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub(crate) u32);

impl RequestId {
    /// The number that the request has on the wire.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PublishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "publish {}", self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

/// Who the server says this client is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The server's number for this connection.
    pub session: u64,
    /// The user that the token names.
    pub user: UserId,
    /// That user's name.
    pub name: String,
    /// The protocol version both speak.
    pub version: u16,
    /// The largest body that may be published.
    pub body_bytes_max: usize,
    /// The server's clock at that moment, in milliseconds since 1970.
    pub server_time_ms: u64,
}

/// How the connection stands.
#[derive(Clone, PartialEq, Debug)]
pub enum State {
    /// A connection is being made.
    Connecting {
        /// 1 for the first one after a stable connection.
        attempt: u32,
    },
    /// Everything works.
    Connected(Session),
    /// There is no connection; another one is made by itself.
    Disconnected {
        /// Why.
        error: Error,
        /// When, from now.
        retry_in: Duration,
    },
    /// There is no connection, and trying again would not help.
    Failed(Error),
    /// The caller has shut the client down.
    Closed,
}

/// What the host has to do for the core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// Make a connection, now; then call `on_connected`, or `on_disconnected` if that fails.
    Connect {
        /// Where, if the server named another address than the configured one.
        address: Option<String>,
    },
    /// Close the connection, or give up making it; then call `on_disconnected`.
    Disconnect {
        /// The WebSocket close code to send.
        code: u16,
        /// The reason to send with it.
        reason: &'static str,
    },
}

/// How a connection ended or failed to begin, as the host saw it.
#[derive(Clone, PartialEq, Debug)]
pub enum Cause {
    /// No connection could be made, or it broke: a sentence from the operating system.
    Network(String),
    /// The peer answered the handshake with an HTTP error.
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        text: String,
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The peer's answer to the handshake is not one.
    Handshake(HandshakeFault),
    /// The peer closed the connection.
    Closed {
        /// Its code; `None`: it gave none.
        code: Option<u16>,
        /// Its reason.
        reason: String,
    },
    /// The peer's bytes are no WebSocket.
    Faulty(ringwire_protocol::Fault),
    /// The host closed it, because [`Want::Disconnect`] asked for it.
    Wanted,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The connection stands differently.
    State(State),
    /// The conversation is joined: the answer to the request, or (`None`) a confirmation after a reconnect.
    Joined {
        /// Whose answer this is.
        request: Option<RequestId>,
        /// How the conversation stands.
        membership: Membership,
    },
    /// The next message of a conversation, in order.
    Message(Message),
    /// What would have come next will not come.
    Gap {
        /// Where.
        conversation: ConversationId,
        /// What, and why.
        gap: Gap,
    },
    /// All that was published before the last (re)connect or join has been delivered.
    CaughtUp {
        /// Where.
        conversation: ConversationId,
        /// Up to which sequence.
        head: u64,
    },
    /// A publish is accepted.
    Published {
        /// Which.
        publish: PublishId,
        /// Where.
        conversation: ConversationId,
        /// How.
        published: Published,
    },
    /// A publish is refused for good, or its fate cannot be known.
    PublishFailed {
        /// Which.
        publish: PublishId,
        /// Where.
        conversation: ConversationId,
        /// Why.
        error: Error,
        /// What was to be published.
        draft: Draft,
    },
    /// The conversation is left; nothing more comes from it.
    Left {
        /// Whose answer this is.
        request: RequestId,
        /// Which.
        conversation: ConversationId,
    },
    /// The server has ended this client's part in the conversation; nothing more comes from it.
    Ended {
        /// Which.
        conversation: ConversationId,
        /// Why.
        error: Error,
    },
    /// History that was asked for.
    History {
        /// Whose answer this is.
        request: RequestId,
        /// Where.
        conversation: ConversationId,
        /// What.
        history: History,
    },
    /// Members that were asked for.
    Members {
        /// Whose answer this is.
        request: RequestId,
        /// Where.
        conversation: ConversationId,
        /// Who.
        page: MemberPage,
    },
    /// A request without content of its own was carried out.
    Done {
        /// Which.
        request: RequestId,
        /// The sequence of the entry that it made; 0: none.
        sequence: u64,
    },
    /// A request was refused or timed out.
    RequestFailed {
        /// Which.
        request: RequestId,
        /// Why.
        error: Error,
    },
    /// A member types, or has stopped: told once each, whatever the server repeats, and also when nothing more was heard
    /// of it for five seconds.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Whether it began.
        active: bool,
    },
    /// A member has read up to there, or a device of the member has it.
    Receipt {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Up to where.
        sequence: u64,
        /// The server's clock, in milliseconds since 1970.
        time_ms: u64,
        /// Which of the two.
        kind: ReceiptKind,
    },
    /// How many members are there and how far they are, where that is watched.
    Counts {
        /// Where.
        conversation: ConversationId,
        /// How many.
        counts: Counts,
    },
    /// A watched user came, went or changed.
    Presence {
        /// Who.
        user: UserId,
        /// How.
        state: PresenceState,
        /// When the user was last there, in milliseconds since 1970.
        seen_ms: u64,
    },
    /// Conversations of the user, as the server lists them after a connect and as they change, if
    /// [`Config::inbox`](super::Config::inbox) asks for it.
    Inbox {
        /// Some or all of them; one that [is gone](InboxEntry::is_gone) is the user's no more.
        entries: Vec<InboxEntry>,
        /// Whether this was the last part of the list.
        complete: bool,
    },
    /// The token has expired: give a new one by `set_token`.
    TokenWanted,
    /// The server refused something that no call waits for.
    Notice(Error),
}
