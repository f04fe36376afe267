//! The chat of a script: lines in, messages or events out, an exit code that can be relied on.

mod commands;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::time::Duration;

use ringwire_client::{
    Client, ClientEvent, Conversation, Draft, Error, Kind, Message, Publisher, Receipt, Session, Settings,
    State, Update, UserId,
};
use tokio::io::BufReader;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};

use super::exit::Outcome;
use super::json::Event;
use super::lines::{Line, Lines};
use super::render::utc;
use super::{ChatArgs, Ended, text};
use commands::{Asked, answered};

/// Lines that wait for their acknowledgement; beyond it no more are read.
const PENDING_MAX: usize = 512;

pub(super) async fn run(args: &ChatArgs) -> Ended {
    let device = args.device(false)?;
    let mut out = Output { json: args.json, broken: false };
    let entered = enter(args, device.id, &mut out).await;
    let (client, conversation, session, entered_events) = match entered {
        Ok(entered) => entered,
        Err(error) => {
            out.error(&error, None);
            return Ok(if out.broken { Outcome::Broken } else { Outcome::of(&error) });
        }
    };
    let script = Script {
        args,
        out,
        publisher: conversation.publisher(),
        conversation,
        session,
        state: client.watch_state(),
        events: entered_events,
        client: client.clone(),
        asked: None,
        settings: Settings::default(),
        since: Instant::now(),
        pending: VecDeque::new(),
        held: None,
        line: 0,
        received: 0,
        refused: 0,
        input_ended: false,
        caught_up: false,
        ended: None,
        patience: Patience::new(args.timeout),
    };
    let outcome = script.run().await;
    // Everything is acknowledged by now, or will not be.
    let _ = client.shutdown_within(Duration::from_millis(500)).await;
    Ok(outcome)
}

async fn enter(
    args: &ChatArgs,
    device: ringwire_client::DeviceId,
    out: &mut Output,
) -> Result<Entered, Error> {
    let builder = args.client().device(device).connect_timeout(args.timeout);
    let client = if args.inbox { builder.inbox() } else { builder }.connect_lazy()?;
    // Listened for before the connection is there, so that nothing is missed.
    let events = client.events();
    let mut connected = client.watch_state();
    let settled = |state: &State| !matches!(state, State::Connecting { .. });
    let outcome = connected.wait_for(settled).await.map(|state| state.clone()).unwrap_or(State::Closed);
    if let State::Disconnected { error, .. } | State::Failed(error) = outcome {
        return Err(error);
    }
    let state = client.state();
    out.state(&state);
    let State::Connected(session) = state else { return Err(Error::Network("lost at once".to_owned())) };
    let conversation = client.join_from(&args.room, args.start().unwrap_or_default()).await?;
    if let Some(membership) = conversation.membership() {
        out.event(&Event::joined(&session, &membership));
    }
    if args.counts {
        conversation.watch_counts(true).await?;
    }
    if !args.watch.is_empty() {
        let known = |name: &String| conversation.user_of(name).unwrap_or_else(|| UserId::from_name(name));
        client.watch(args.watch.iter().map(known).collect()).await?;
    }
    Ok((client, conversation, session, events))
}

type Entered = (Client, Conversation, Session, broadcast::Receiver<ClientEvent>);

struct Script<'a> {
    args: &'a ChatArgs,
    out: Output,
    conversation: Conversation,
    publisher: Publisher,
    session: Session,
    state: watch::Receiver<State>,
    events: broadcast::Receiver<ClientEvent>,
    client: Client,
    /// The command that is being carried out, with its line.
    asked: Option<Asked>,
    settings: Settings,
    since: Instant,
    /// Lines on their way, with their numbers.
    pending: VecDeque<(u64, Receipt)>,
    /// A line that waits for room in the outbox.
    held: Option<(u64, Draft)>,
    line: u64,
    received: u64,
    refused: u64,
    input_ended: bool,
    caught_up: bool,
    /// Why the conversation has ended before its time.
    ended: Option<Error>,
    patience: Patience,
}

impl Script<'_> {
    async fn run(mut self) -> Outcome {
        let mut lines = Lines::new(BufReader::new(tokio::io::stdin()));
        let mut interrupted = std::pin::pin!(interruption());
        self.patience.connected(true);
        loop {
            if self.out.broken {
                return Outcome::Broken;
            }
            if let Some(error) = self.ended.take() {
                self.out.error(&error, None);
                return if self.all_sent() { Outcome::of(&error) } else { Outcome::Unacknowledged };
            }
            if self.all_sent() && self.has_heard_enough() {
                return if self.refused > 0 { Outcome::LinesRefused } else { Outcome::Clean };
            }
            self.patience.waiting(self.input_ended && (!self.all_sent() || self.is_catching_up()));
            let busy = self.held.is_some() || self.asked.is_some();
            let room = !busy && !self.input_ended && self.pending.len() < PENDING_MAX;
            tokio::select! {
                line = lines.next(), if room => self.on_line(line),
                ready = room_for(&self.publisher, self.held.as_ref()), if self.held.is_some() => match ready {
                    Ok(()) => self.publish_held(),
                    Err(error) => self.ended = Some(error),
                },
                (line, result) = oldest(&mut self.pending), if !self.pending.is_empty() => {
                    self.pending.pop_front();
                    match result {
                        Ok(published) => self.out.event(&Event::ack(line, published)),
                        Err(error) => self.on_refused(line, &error),
                    }
                }
                (line, answer) = answered(&mut self.asked), if self.asked.is_some() => {
                    self.asked = None;
                    self.on_answer(line, answer);
                }
                event = self.events.recv() => self.on_event(event),
                update = self.conversation.next_update() => self.on_update(update),
                changed = self.state.changed() => {
                    if changed.is_ok() {
                        let state = self.state.borrow_and_update().clone();
                        self.patience.connected(matches!(state, State::Connected(_)));
                        self.out.state(&state);
                    }
                }
                () = self.patience.out() => return self.give_up(),
                () = &mut interrupted => {
                    return if self.all_sent() { Outcome::Clean } else { Outcome::Unacknowledged };
                }
            }
        }
    }

    /// Whether the input has ended and every line of it has its answer.
    fn all_sent(&self) -> bool {
        self.input_ended && self.held.is_none() && self.asked.is_none() && self.pending.is_empty()
    }

    fn is_catching_up(&self) -> bool {
        self.args.from.is_some() && !self.caught_up && self.args.count.is_none()
    }

    /// Whether what was to be heard has been heard.
    fn has_heard_enough(&self) -> bool {
        match self.args.count {
            Some(count) => self.received >= count,
            None => !self.args.follow && !self.is_catching_up(),
        }
    }

    fn on_line(&mut self, line: io::Result<Option<Line>>) {
        self.line += 1;
        match line {
            Ok(Some(Line::Whole(bytes))) if bytes.is_empty() => {}
            Ok(Some(Line::Whole(bytes))) => match String::from_utf8(bytes) {
                Ok(text) => self.on_text(text),
                Err(_) => self.on_refused(self.line, &Error::Invalid("a line that is not UTF-8".to_owned())),
            },
            Ok(Some(Line::TooLong(bytes))) => {
                self.on_refused(self.line, &Error::Invalid(format!("a line of {bytes} bytes")));
            }
            Ok(None) => self.input_ended = true,
            Err(error) => {
                self.out.error(&Error::Invalid(format!("standard input: {error}")), None);
                self.out.broken = true;
            }
        }
    }

    fn name_of(&self, user: UserId) -> Option<String> {
        let asked_for = || self.args.watch.iter().find(|name| UserId::from_name(name) == user).cloned();
        self.conversation.name_of(user).or_else(asked_for)
    }

    fn publish_held(&mut self) {
        let Some((line, draft)) = self.held.take() else { return };
        match self.publisher.publish_queued(draft.clone()) {
            Ok(receipt) => self.pending.push_back((line, receipt)),
            Err(Error::OutboxFull { .. }) => self.held = Some((line, draft)),
            Err(error) => self.on_refused(line, &error),
        }
    }

    fn on_refused(&mut self, line: u64, error: &Error) {
        self.refused += 1;
        self.out.error(error, Some(line));
    }

    fn on_update(&mut self, update: Option<Update>) {
        match update {
            Some(Update::Message(message)) => {
                let content = !matches!(message.kind, Kind::Membership | Kind::System);
                let asked_for = self.args.from.is_none_or(|from| message.sequence >= from);
                if asked_for && self.args.count.is_none_or(|count| self.received < count) {
                    self.received += u64::from(content);
                    self.on_message(&message);
                }
                // Enough was heard: what has not been read of the input will not be.
                self.input_ended |= self.args.count.is_some_and(|count| self.received >= count);
            }
            // Asked to begin beyond the end: nothing is missing that was ever there.
            Some(Update::Gap(gap)) if self.args.from.is_some_and(|from| gap.to < from) => {}
            Some(Update::Gap(gap)) => {
                self.out.event(&Event::gap(gap));
                self.out.say(&format!("messages {} to {} are missing: {}", gap.from, gap.to, gap.cause));
            }
            Some(Update::CaughtUp { head }) => {
                self.caught_up = true;
                self.out.event(&Event::CaughtUp { head });
            }
            Some(Update::Typing { user, active }) => {
                let name = self.name_of(user);
                self.out.event(&Event::typing(user, name.as_deref(), active));
            }
            Some(Update::Receipt { user, sequence, time_ms, kind }) => {
                let name = self.name_of(user);
                self.out.event(&Event::receipt(user, name.as_deref(), kind, sequence, time_ms));
            }
            Some(Update::Counts(counts)) => self.out.event(&Event::counts(counts)),
            Some(_) => {}
            None => self.ended = Some(self.conversation.ended().unwrap_or(Error::NotJoined)),
        }
    }

    fn on_message(&mut self, message: &Message) {
        let name = self.conversation.name_of(message.sender);
        let own = message.sender == self.session.user;
        self.out.event(&Event::message(message, name.as_deref(), own));
        let listens = self.args.from.is_some() || self.args.follow || self.args.count.is_some();
        let content = !matches!(message.kind, Kind::Membership | Kind::System);
        if listens && content && !self.out.json {
            let name = name.unwrap_or_else(|| message.sender.to_string());
            let body = message.text().map_or_else(|| "(not text)".to_owned(), text::escaped);
            let time = utc(message.time_ms);
            self.out.line(&format!("{}\t{time}\t{}\t{body}", message.sequence, text::escaped(&name)));
        }
    }

    fn give_up(&mut self) -> Outcome {
        let waiting = self.pending.len() + usize::from(self.held.is_some());
        let error = Error::TimedOut { what: "the lines sent", after: self.args.timeout };
        self.out.error(&error, None);
        self.out.say(&format!("{waiting} lines were not acknowledged"));
        Outcome::Unacknowledged
    }
}

async fn room_for(publisher: &Publisher, held: Option<&(u64, Draft)>) -> Result<(), Error> {
    match held {
        Some((_, draft)) => publisher.ready(draft.body.len()).await,
        None => std::future::pending().await,
    }
}

/// The oldest line's answer; the receipt stays where it is until then.
async fn oldest(pending: &mut VecDeque<(u64, Receipt)>) -> (u64, Result<ringwire_client::Published, Error>) {
    match pending.front_mut() {
        Some((line, receipt)) => {
            let result = std::future::poll_fn(|cx| Pin::new(&mut *receipt).poll(cx)).await;
            (*line, result)
        }
        None => std::future::pending().await,
    }
}

/// Ctrl-C, or a polite request to end.
async fn interruption() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

/// How long a script waits: for answers once it has nothing else to do, and for a connection at any time.
#[derive(Debug)]
struct Patience {
    timeout: Duration,
    waiting_since: Option<Instant>,
    disconnected_since: Option<Instant>,
}

impl Patience {
    fn new(timeout: Duration) -> Self {
        Self { timeout, waiting_since: None, disconnected_since: None }
    }

    fn waiting(&mut self, waiting: bool) {
        self.waiting_since = waiting.then(|| self.waiting_since.unwrap_or_else(Instant::now));
    }

    fn connected(&mut self, connected: bool) {
        self.disconnected_since = (!connected).then(|| self.disconnected_since.unwrap_or_else(Instant::now));
    }

    /// When it is over; never, while there is nothing to be impatient about.
    async fn out(&self) {
        match self.waiting_since.into_iter().chain(self.disconnected_since).min() {
            Some(since) => sleep_until(since + self.timeout).await,
            None => std::future::pending().await,
        }
    }
}

/// Standard output for what was asked for, standard error for what went wrong; with `--json` all on standard output.
#[derive(Debug)]
struct Output {
    json: bool,
    /// Nobody reads any more.
    broken: bool,
}

impl Output {
    fn line(&mut self, line: &str) {
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{line}").and_then(|()| out.flush());
        self.broken |= written.is_err();
    }

    fn event(&mut self, event: &Event<'_>) {
        if self.json {
            match serde_json::to_string(event) {
                Ok(line) => self.line(&line),
                Err(_) => self.broken = true,
            }
        }
    }

    fn say(&mut self, text: &str) {
        if !self.json {
            // Who has closed standard error does not want to know.
            let _ = writeln!(io::stderr(), "ringwire: {}", text::in_line(text));
        }
    }

    fn error(&mut self, error: &Error, line: Option<u64>) {
        self.event(&Event::error(error, line));
        match line {
            Some(line) => self.say(&format!("line {line} was not accepted: {error}")),
            None => self.say(&error.to_string()),
        }
    }

    fn state(&mut self, state: &State) {
        self.event(&Event::state(state));
        if let State::Disconnected { error, retry_in } = state {
            self.say(&format!("{error}; connecting again in {:.1} s", retry_in.as_secs_f64()));
        }
    }
}
