//! The life of the connection: when to make one, when to give it up, when to stop trying.
//!
//! ```text
//!            start                 on_connected        Welcome
//!   Idle ---------> Connecting -------------> Greeting -------> Live
//!                    ^      |                    |               |
//!                    |      '--------------------+-- trouble ----'
//!                 timer                          v
//!                    |                        Closing   (Want::Disconnect; waits for on_disconnected)
//!                    |                           |
//!                    '------- Waiting <----------'------> Ended   (a code that says: not again like this)
//! ```
//!
//! `NoToken` stands beside `Waiting`: the token has expired, and the caller has been asked for a new one.

use std::collections::VecDeque;
use std::time::Duration;

use ringwire_protocol::ConversationId;
use ringwire_protocol::code::{Code, Retry};
use ringwire_protocol::message::{GoAway, Welcome};

use super::Core;
use super::conversation::{Conversation, Standing};
use super::event::{Cause, Event, Session, State, Want};
use super::heartbeat::{Beat, Heartbeat};
use super::requests::Ask;
use super::timers::Holder;
use crate::error::{Error, Refusal};
use crate::limits;

/// See the module.
#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    Waiting,
    NoToken,
    Connecting,
    Greeting,
    Live { since: Duration, heartbeat: Heartbeat },
    Closing { error: Error },
    Ended { error: Error },
}

/// What goes out before anything else.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Control {
    Hello,
    Refresh,
    Ping,
}

/// The connection of one core, or its absence.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) phase: Phase,
    pub(super) control: VecDeque<Control>,
    pub(super) token: String,
    /// The caller has been asked for a new token, and has not given one yet.
    pub(super) token_wanted: bool,
    /// It was given by the caller and has not been welcomed yet.
    token_unproven: bool,
    /// What `Welcome` said, or the defaults of the protocol.
    pub(super) frame_bytes_max: usize,
    pub(super) body_bytes_max: usize,
    pub(super) publish_window: usize,
    /// Orders the connections of this device (W-27): this start of the client, and how many it has had.
    pub(super) number: u64,
    /// Bytes of publishes that may still be sent before `Welcome`.
    pub(super) early_bytes: usize,
    /// The server has asked to come back at this time, at this address.
    moving: Option<(Duration, Option<String>)>,
    /// A refusal that came before `Welcome`: the reason of the close that follows.
    pub(super) refusal: Option<Refusal>,
    attempt: u32,
    ever_live: bool,
    peer_faults: u32,
    pub(super) pings: u64,
}

impl Connection {
    /// `start` is drawn, so that no other start of a client has the same.
    pub(super) fn new(token: String, start: u32) -> Self {
        Self {
            phase: Phase::Idle,
            control: VecDeque::new(),
            token,
            token_wanted: false,
            token_unproven: false,
            frame_bytes_max: ringwire_protocol::limits::FRAME_BYTES_MAX,
            body_bytes_max: ringwire_protocol::limits::BODY_BYTES_MAX,
            publish_window: usize::from(ringwire_protocol::limits::PUBLISH_WINDOW),
            number: u64::from(start) << 32,
            early_bytes: 0,
            moving: None,
            refusal: None,
            attempt: 0,
            ever_live: false,
            peer_faults: 0,
            pings: 0,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. })
    }

    /// Whether frames may come and go.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Live { .. } | Phase::Greeting)
    }

    pub(super) fn heard(&mut self, now: Duration) {
        if let Phase::Live { heartbeat, .. } = &mut self.phase {
            heartbeat.heard(now);
        }
    }

    pub(super) fn said(&mut self, now: Duration) {
        if let Phase::Live { heartbeat, .. } = &mut self.phase {
            heartbeat.said(now);
        }
    }
}

impl Core {
    /// Begins to connect. Later calls do nothing.
    pub fn start(&mut self, now: Duration) {
        if !matches!(self.connection.phase, Phase::Idle) {
            return;
        }
        if self.connection.token.is_empty() && self.config.refresh {
            self.await_token(now);
        } else {
            self.connect(now);
        }
    }

    /// A new token: used in-band at once where there is a connection, else for the next one.
    pub fn set_token(&mut self, now: Duration, token: impl Into<String>) {
        self.connection.token = token.into();
        self.connection.token_wanted = false;
        self.connection.token_unproven = true;
        match self.connection.phase {
            Phase::Live { .. } if self.connection.control.contains(&Control::Refresh) => {}
            Phase::Live { .. } => self.connection.control.push_back(Control::Refresh),
            Phase::NoToken => self.connect(now),
            _ => {}
        }
    }

    /// No new token is to be had, for this reason. Ends the client if it cannot go on without one.
    pub fn refuse_token(&mut self, _now: Duration, reason: impl Into<String>) {
        self.connection.token_wanted = false;
        if matches!(self.connection.phase, Phase::NoToken) {
            self.fail(Error::Token(reason.into()));
        }
    }

    /// The host has made a connection; frames may flow.
    pub fn on_connected(&mut self, now: Duration) {
        if !matches!(self.connection.phase, Phase::Connecting) {
            return;
        }
        self.connection.phase = Phase::Greeting;
        self.connection.control.clear();
        self.connection.control.push_back(Control::Hello);
        self.connection.refusal = None;
        self.connection.number += 1;
        self.connection.early_bytes = self.config.limits.early_bytes_max;
        self.timers.set(Holder::Phase, now + self.config.greeting_timeout);
        // What has no answer is said again at once: the server knows what it has.
        let owing = |(&id, known): (&ConversationId, &Conversation)| (!known.outbox.is_empty()).then_some(id);
        for id in self.conversations.iter().filter_map(owing).collect::<Vec<_>>() {
            self.make_ready(id);
        }
    }

    /// The connection is gone, or could not be made.
    pub fn on_disconnected(&mut self, now: Duration, cause: Cause) {
        let error = match std::mem::replace(&mut self.connection.phase, Phase::Waiting) {
            Phase::Closing { error } => error,
            phase @ (Phase::Idle | Phase::Waiting | Phase::NoToken | Phase::Ended { .. }) => {
                self.connection.phase = phase;
                return;
            }
            Phase::Live { since, .. } => {
                if now >= since + self.config.stable_after {
                    self.steady();
                }
                self.error_of(cause)
            }
            Phase::Connecting | Phase::Greeting => self.error_of(cause),
        };
        // What was to be closed is closed.
        self.wants.retain(|want| !matches!(want, Want::Disconnect { .. }));
        self.detach();
        if self.shutdown.is_some() && error == Error::ShutDown {
            self.end(&error, State::Closed);
        } else if self.is_terminal(&error) {
            self.fail(error);
        } else if error.code().is_some_and(|code| code.retry() == Retry::Refresh) {
            if std::mem::take(&mut self.connection.token_unproven) {
                // A new one was as useless as the one before: ask for another, but do not hurry.
                self.want_token();
                return self.wait(now, error);
            }
            self.events.push_back(Event::State(State::Disconnected { error, retry_in: Duration::ZERO }));
            self.await_token(now);
        } else {
            self.wait(now, error);
        }
    }

    fn error_of(&mut self, cause: Cause) -> Error {
        match cause {
            Cause::Network(text) => Error::Network(text),
            Cause::Refused { status, text, retry_after } => Error::Refused { status, text, retry_after },
            Cause::Handshake(fault) => Error::Handshake(fault.to_string()),
            Cause::Faulty(fault) => Error::Peer(fault),
            Cause::Wanted => Error::Network("closed by this client".to_owned()),
            Cause::Closed { code: Some(code), reason } => {
                let known = self.connection.refusal.take().filter(|refusal| refusal.code.number() == code);
                let refusal = known.unwrap_or(Refusal { code: Code(code), reason, retry_after: None });
                Error::Closed(refusal)
            }
            Cause::Closed { code: None, .. } => match self.connection.refusal.take() {
                Some(refusal) => Error::Closed(refusal),
                None => Error::Network("the peer closed the connection without a code".to_owned()),
            },
        }
    }

    /// Whether trying again would not help.
    fn is_terminal(&mut self, error: &Error) -> bool {
        match error {
            Error::Closed(refusal) => match refusal.code.retry() {
                Retry::Refresh => !self.config.refresh,
                _ => !refusal.code.reconnect(),
            },
            // Once it has worked, a wrong answer is rather somebody's restart than the wrong address.
            Error::Refused { .. } | Error::Handshake(_) => {
                !error.is_retryable() && !self.connection.ever_live
            }
            Error::Peer(_) | Error::Contradiction(_) => {
                self.connection.peer_faults += 1;
                !self.connection.ever_live || self.connection.peer_faults >= limits::PEER_FAULTS_MAX
            }
            _ => false,
        }
    }

    /// The connection was no accident.
    fn steady(&mut self) {
        self.backoff.reset();
        self.connection.attempt = 0;
        self.connection.peer_faults = 0;
    }

    /// Everything that hung on the connection is undone; nothing is lost by it.
    fn detach(&mut self) {
        for holder in [Holder::Phase, Holder::Heartbeat] {
            self.timers.cancel(holder);
        }
        self.connection.control.clear();
        self.presence.clear();
        self.in_flight = 0;
        self.fills.clear();
        self.fills_in_flight = 0;
        self.ready.clear();
        for number in self.requests.on_disconnected() {
            self.timers.cancel(Holder::Request(number));
        }
        for (&id, conversation) in &mut self.conversations {
            conversation.on_disconnected();
            for user in conversation.typists.take_all() {
                self.events.push_back(Event::Typing { conversation: id, user, active: false });
            }
            for holder in Holder::of(id) {
                self.timers.cancel(holder);
            }
        }
    }

    fn connect(&mut self, now: Duration) {
        self.timers.cancel(Holder::GoAway);
        let address = self.connection.moving.take().and_then(|(_, address)| address);
        self.connection.phase = Phase::Connecting;
        self.connection.attempt = self.connection.attempt.saturating_add(1);
        self.timers.set(Holder::Phase, now + self.config.connect_timeout);
        self.wants.push_back(Want::Connect { address });
        let attempt = self.connection.attempt;
        self.events.push_back(Event::State(State::Connecting { attempt }));
    }

    fn wait(&mut self, now: Duration, error: Error) {
        let mut retry_in = match &self.connection.moving {
            Some((at, _)) => at.saturating_sub(now),
            None => self.backoff.next(&mut self.random),
        };
        if let Some(after) = error.retry_after() {
            let after = after.min(limits::GO_AWAY_WAIT_MAX);
            retry_in = retry_in.max(self.random.between(after, after + after / 4));
        }
        self.timers.cancel(Holder::GoAway);
        self.connection.phase = Phase::Waiting;
        self.timers.set(Holder::Phase, now + retry_in);
        self.events.push_back(Event::State(State::Disconnected { error, retry_in }));
    }

    fn await_token(&mut self, now: Duration) {
        self.connection.phase = Phase::NoToken;
        self.timers.set(Holder::Phase, now + limits::TOKEN_TIMEOUT);
        self.want_token();
    }

    /// Asks the caller for a new token, once until it gives one.
    pub(super) fn want_token(&mut self) {
        if !std::mem::replace(&mut self.connection.token_wanted, true) {
            self.events.push_back(Event::TokenWanted);
        }
    }

    /// Gives the connection up; what follows is decided when the host says that it is gone.
    pub(super) fn hang_up(&mut self, error: Error, code: Code, reason: &'static str) {
        if !matches!(self.connection.phase, Phase::Connecting | Phase::Greeting | Phase::Live { .. }) {
            return;
        }
        self.timers.cancel(Holder::Phase);
        self.timers.cancel(Holder::Heartbeat);
        self.connection.phase = Phase::Closing { error };
        self.wants.push_back(Want::Disconnect { code: code.number(), reason });
    }

    /// The server's bytes are not what they should be.
    pub(super) fn on_fault(&mut self, error: Error) {
        let code = error.code().unwrap_or(Code::UNEXPECTED_FRAME);
        self.hang_up(error, code, "the server broke the protocol");
    }

    fn fail(&mut self, error: Error) {
        self.end(&error.clone(), State::Failed(error));
    }

    fn end(&mut self, error: &Error, state: State) {
        for holder in [Holder::Phase, Holder::Heartbeat, Holder::GoAway, Holder::Shutdown] {
            self.timers.cancel(holder);
        }
        self.connection.phase = Phase::Ended { error: error.clone() };
        let owed = if *error == Error::ShutDown { Error::Unacknowledged } else { error.clone() };
        for id in self.conversations.keys().copied().collect::<Vec<_>>() {
            self.forget(id, &owed);
        }
        for number in self.requests.all() {
            self.fail_request(number, error.clone());
        }
        self.events.push_back(Event::State(state));
    }

    /// Why no call can succeed any more, if so.
    pub(super) fn ended(&self) -> Option<Error> {
        match &self.connection.phase {
            Phase::Ended { error } => Some(error.clone()),
            _ if self.shutdown.is_some() => Some(Error::ShutDown),
            _ => None,
        }
    }

    pub(super) fn on_phase_timer(&mut self, now: Duration) {
        match self.connection.phase {
            Phase::Waiting => self.connect(now),
            Phase::Connecting => {
                let error = Error::TimedOut { what: "the connection", after: self.config.connect_timeout };
                self.hang_up(error, Code::NORMAL, "no connection in time");
            }
            Phase::Greeting => {
                let error = Error::TimedOut { what: "Hello", after: self.config.greeting_timeout };
                self.hang_up(error, Code::NORMAL, "no Welcome in time");
            }
            Phase::NoToken => self.fail(Error::Token("none was given in time".to_owned())),
            _ => {}
        }
    }

    pub(super) fn on_heartbeat_timer(&mut self, now: Duration) {
        loop {
            let Phase::Live { heartbeat, .. } = &mut self.connection.phase else { return };
            match heartbeat.check(now) {
                Beat::Wait(until) => return self.timers.set(Holder::Heartbeat, until),
                Beat::Ping if self.connection.control.contains(&Control::Ping) => {}
                Beat::Ping => self.connection.control.push_back(Control::Ping),
                Beat::Dead(silence) => {
                    return self.hang_up(Error::Silent(silence), Code::NORMAL, "the server is silent");
                }
            }
        }
    }

    pub(super) fn on_welcome(&mut self, now: Duration, welcome: &Welcome<'_>) {
        if !matches!(self.connection.phase, Phase::Greeting) {
            return self.on_fault(Error::Contradiction("a second Welcome"));
        }
        let heartbeat = Duration::from_millis(u64::from(welcome.heartbeat_ms));
        let heartbeat = if heartbeat.is_zero() { limits::HEARTBEAT_DEFAULT } else { heartbeat };
        let heartbeat = heartbeat.clamp(limits::HEARTBEAT_MIN, limits::HEARTBEAT_MAX);
        self.connection.frame_bytes_max = (welcome.frame_bytes_max as usize).max(1024);
        self.connection.body_bytes_max = welcome.body_bytes_max as usize;
        self.connection.publish_window = usize::from(welcome.publish_window).max(1);
        self.connection.ever_live = true;
        self.connection.token_wanted = false;
        self.connection.token_unproven = false;
        self.connection.phase = Phase::Live { since: now, heartbeat: Heartbeat::new(heartbeat, now) };
        self.timers.cancel(Holder::Phase);
        self.on_heartbeat_timer(now);
        self.events.push_back(Event::State(State::Connected(Session {
            session: welcome.session,
            user: welcome.user,
            name: welcome.name.to_owned(),
            version: welcome.version,
            body_bytes_max: welcome.body_bytes_max as usize,
            server_time_ms: welcome.server_time_ms,
        })));
        for (&id, conversation) in &self.conversations {
            if conversation.standing != Standing::Joining {
                self.timers.set(Holder::Attach(id), now + self.config.request_timeout);
            }
        }
        if !self.watched.is_empty() {
            self.ask(now, Ask::Watch(self.watched.clone()), false);
        }
    }

    pub(super) fn on_go_away(&mut self, now: Duration, go_away: &GoAway<'_>) {
        if !go_away.code.reconnect() {
            let refusal =
                Refusal { code: go_away.code, reason: go_away.reason.to_owned(), retry_after: None };
            return self.hang_up(Error::Closed(refusal), Code::NORMAL, "as the server asked");
        }
        // The server asked for it: no sign of trouble, and it sets the pace.
        self.steady();
        let not_before = Duration::from_millis(u64::from(go_away.not_before_ms));
        let jitter = Duration::from_millis(u64::from(go_away.jitter_ms));
        let wait = self.random.between(not_before, not_before + jitter).min(limits::GO_AWAY_WAIT_MAX);
        let address = (!go_away.address.is_empty()).then(|| go_away.address.to_owned());
        self.connection.moving = Some((now + wait, address));
        self.connection.refusal =
            Some(Refusal { code: go_away.code, reason: go_away.reason.to_owned(), retry_after: None });
        self.timers.set(Holder::GoAway, now + wait);
    }

    /// The time has come that the server named, and it has not closed the connection itself: move.
    pub(super) fn on_go_away_timer(&mut self, _now: Duration) {
        if let Some(refusal) = self.connection.refusal.take() {
            self.hang_up(Error::Closed(refusal), Code::GOING_AWAY_WS, "as the server asked");
        }
    }

    /// Stops taking anything in, waits for what is owed until `deadline` at the latest, then closes the connection.
    /// What was not acknowledged by then ends in `PublishFailed` with [`Error::Unacknowledged`]; the last event is
    /// [`State::Closed`].
    pub fn shutdown(&mut self, deadline: Duration) {
        if self.shutdown.is_some() || matches!(self.connection.phase, Phase::Ended { .. }) {
            return;
        }
        self.shutdown = Some(deadline);
        self.timers.set(Holder::Shutdown, deadline);
        self.check_shutdown();
    }

    /// Goes on with a shutdown as soon as nothing is owed to anybody.
    pub(super) fn check_shutdown(&mut self) {
        if self.shutdown.is_some() && self.is_idle() {
            self.finish_shutdown();
        }
    }

    pub(super) fn finish_shutdown(&mut self) {
        match self.connection.phase {
            Phase::Ended { .. } | Phase::Closing { error: Error::ShutDown } => {}
            Phase::Idle | Phase::Waiting | Phase::NoToken => self.end(&Error::ShutDown, State::Closed),
            Phase::Closing { .. } => self.connection.phase = Phase::Closing { error: Error::ShutDown },
            _ => self.hang_up(Error::ShutDown, Code::NORMAL, "done"),
        }
    }
}
