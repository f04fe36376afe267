//! The chat of a person: messages scroll, the input line stays, what is not acknowledged yet is said so.
//!
//! One's own words leave the input line and come back as a message with ✓, in the place that the server gave them. If that
//! takes longer than a moment they are shown dimly as being on their way. What was there before is drawn as it stands when
//! all of it has come. What commands do is in `terminal/commands.rs`.

mod commands;
mod transfers;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use ringwire_client::{
    Client, ClientEvent, Conversation, ConversationKind, Counts, Draft, Error, History, Kind, Member,
    Message, Published, Receipt, ReceiptKind, Session, Settings, Start, State, Timeline, Update, UserId,
};
use rustyline::ExternalPrinter;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::command::Input;
use super::exit::Outcome;
use super::input::{Here, Keyboard};
use super::notices::Notices;
use super::render::{Renderer, counted};
use super::{ChatArgs, Ended};
use transfers::Transfers;

/// Messages shown on entry.
const ENTRY_MESSAGES: u32 = 50;
/// How long an acknowledgement may take before the message is shown as being on its way.
const MOMENT: Duration = Duration::from_millis(400);
/// How often the server is told up to where has been read.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Rooms up to this size say who is there; larger ones how many.
const WATCHED_ROOM_MAX: u32 = 100;
/// After a change of members, the watch is renewed so much later: changes come in crowds.
const WATCH_AGAIN: Duration = Duration::from_secs(1);
/// Messages whose present state is known, for what is said about them.
const TIMELINE_MAX: u64 = 2_000;
/// How long leaving waits for acknowledgements.
const GOODBYE: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &ChatArgs) -> Ended {
    let style = args.style();
    let device = args.device(true)?;
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let nobody = Renderer::new(style, zone.clone(), UserId::ZERO);
    print(&nobody.note(&format!("connecting to {}", args.url)));
    let (client, conversation, session) = match enter(args, device.id).await {
        Ok(entered) => entered,
        Err(error) => {
            print(&nobody.bad(&error.to_string()));
            return Ok(Outcome::of(&error));
        }
    };
    let mut renderer = Renderer::new(style, zone, session.user);
    renderer.resize(columns());
    let here: Here = Arc::new(Mutex::new(conversation.publisher()));
    let mut keyboard = Keyboard::new(here.clone(), style, !args.is_dumb())
        .map_err(|error| format!("cannot edit lines here: {error}"))?;
    let printer =
        keyboard.printer().map_err(|error| format!("cannot print above the input line: {error}"))?;
    let (inputs, receiver) = mpsc::unbounded_channel();
    let mut chat = Chat {
        state: client.watch_state(),
        events: client.events(),
        client,
        conversation,
        here,
        session,
        since: Instant::now(),
        renderer,
        printer,
        pending: VecDeque::new(),
        oldest: None,
        unread: None,
        timeline: Timeline::new(),
        entered: false,
        own: None,
        notices: Notices::default(),
        counts: None,
        watch_again: None,
        settings: Settings::default(),
        transfers: Transfers::new(args.media()),
        lost: false,
        asked: Box::pin(std::future::pending()),
        over: None,
        refused: false,
    };
    chat.greet();
    let typing = tokio::task::spawn_blocking(move || keyboard.run(&inputs));
    chat.run(receiver).await;
    // It puts the terminal back in order.
    let _ = typing.await;
    Ok(chat.leave().await)
}

async fn enter(
    args: &ChatArgs,
    device: ringwire_client::DeviceId,
) -> Result<(Client, Conversation, Session), Error> {
    let client = args.client().inbox().device(device).connect().await?;
    let State::Connected(session) = client.state() else {
        return Err(Error::Network("lost at once".to_owned()));
    };
    let start = args.start().unwrap_or(Start::Last(ENTRY_MESSAGES));
    let conversation = client.join_from(&args.room, start).await?;
    Ok((client, conversation, session))
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    // A terminal that is gone is noticed by whoever reads from it.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Words on their way.
struct Pending {
    text: String,
    receipt: Receipt,
    since: Instant,
    shown: bool,
}

/// What a command asked the server for; messages go on meanwhile.
enum Answer {
    Members(Result<Vec<Member>, Error>),
    History(Result<History, Error>),
    /// Another room.
    Entered(Result<Conversation, Error>),
    /// Something is so now.
    Done(Result<String, Error>),
}

struct Chat {
    client: Client,
    conversation: Conversation,
    /// Where the keyboard tells that somebody types.
    here: Here,
    session: Session,
    /// When the session began, for the server's clock.
    since: Instant,
    state: watch::Receiver<State>,
    events: broadcast::Receiver<ClientEvent>,
    renderer: Renderer,
    printer: Box<dyn ExternalPrinter + Send>,
    pending: VecDeque<Pending>,
    /// The oldest message that was shown.
    oldest: Option<u64>,
    /// Shown, and the server has not been told, since then.
    unread: Option<(u64, Instant)>,
    /// What the messages on the screen say now.
    timeline: Timeline,
    /// What was there before has been drawn.
    entered: bool,
    /// This user's last message.
    own: Option<u64>,
    notices: Notices,
    /// How many are there, in a room that is too large to watch.
    counts: Option<Counts>,
    /// The members have changed, so others are to be watched, then.
    watch_again: Option<Instant>,
    settings: Settings,
    /// Files under way.
    transfers: Transfers,
    /// The person knows that there is no connection.
    lost: bool,
    /// The answer to the last command; a newer command takes its place.
    asked: Pin<Box<dyn Future<Output = Answer> + Send>>,
    /// Why it is over.
    over: Option<Error>,
    /// Something was not sent.
    refused: bool,
}

impl Chat {
    fn greet(&mut self) {
        if let Some(membership) = self.conversation.membership() {
            let me = self.session.user;
            // The name of a direct conversation is made of ids; for people it is the one with the other.
            let place = match membership.members.iter().find(|member| member.user != me) {
                Some(other) if membership.kind == ConversationKind::Direct => {
                    format!("alone with {}", other.name)
                }
                _ => {
                    let count = counted(membership.members_count as usize, "member");
                    format!("in {} with {count}", membership.name)
                }
            };
            self.show(&self.renderer.note(&format!("{place}; /help lists the commands")));
        }
        self.watch();
    }

    /// Lets the server tell who is there, or how many.
    fn watch(&mut self) {
        self.watch_again = None;
        let count = self.conversation.membership().map_or(0, |membership| membership.members_count);
        let (client, room, me) = (self.client.clone(), self.conversation.publisher(), self.session.user);
        // A server that does not offer it refuses; then nothing is known of who is there, and everything else goes on.
        tokio::spawn(async move {
            let members = room.members().await?;
            if count > WATCHED_ROOM_MAX {
                room.watch_counts(true).await
            } else {
                let others = members.iter().map(|member| member.user).filter(|&user| user != me);
                client.watch(others.collect()).await
            }
        });
    }

    async fn run(&mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        while self.over.is_none() {
            let moment =
                self.pending.iter().find(|pending| !pending.shown).map(|pending| pending.since + MOMENT);
            let read = self.unread.map(|(_, since)| since + READ_EVERY);
            tokio::select! {
                input = inputs.recv() => match input.unwrap_or(Input::Quit) {
                    Input::Quit => return,
                    input => self.on_input(input),
                },
                answer = &mut self.asked => {
                    self.asked = Box::pin(std::future::pending());
                    self.on_answer(answer);
                }
                update = self.conversation.next_update() => self.on_update(update),
                result = oldest(&mut self.pending), if !self.pending.is_empty() => self.on_settled(result),
                changed = self.state.changed() => {
                    if changed.is_ok() {
                        let state = self.state.borrow_and_update().clone();
                        self.on_state(&state);
                    }
                }
                () = at(moment) => self.show_pending(),
                () = at(read) => self.tell_read(),
                event = self.events.recv() => self.on_event(event),
                news = self.transfers.next() => self.on_transfer(news),
                () = at(self.notices.due()) => self.show_notices(),
                () = at(self.watch_again) => self.watch(),
            }
        }
        self.show(&self.renderer.note("press Enter to leave"));
        // Whatever is typed now goes nowhere, so a line that was begun is not lost without a sign.
        let _ = inputs.recv().await;
    }

    fn say(&mut self, text: String) {
        let draft = Draft::text(text.as_str());
        self.publish(text, draft);
    }

    /// Publishes; `text` is what is shown of it until it comes back.
    fn publish(&mut self, text: String, draft: Draft) {
        match self.conversation.publish_queued(draft) {
            Ok(receipt) => {
                let since = Instant::now();
                self.pending.push_back(Pending { text, receipt, since, shown: false });
            }
            Err(error) => {
                self.refused = true;
                self.show(&self.renderer.refused(&text, &error.to_string()));
            }
        }
    }

    fn on_settled(&mut self, result: Result<Published, Error>) {
        let Some(pending) = self.pending.pop_front() else { return };
        if let Err(error) = result {
            self.refused = true;
            self.show(&self.renderer.refused(&pending.text, &error.to_string()));
        }
    }

    fn show_pending(&mut self) {
        let mut lines = String::new();
        for pending in self.pending.iter_mut().filter(|pending| !pending.shown) {
            if pending.since.elapsed() < MOMENT {
                break;
            }
            pending.shown = true;
            lines.push_str(&self.renderer.pending(&pending.text));
        }
        self.show(&lines);
    }

    fn on_update(&mut self, update: Option<Update>) {
        let now = Instant::now();
        match update {
            Some(Update::Message(message)) => self.on_message(now, &message),
            Some(Update::Gap(gap)) => self.show(&self.renderer.gap(gap)),
            Some(Update::CaughtUp { .. }) if !self.entered => self.show_entry(),
            Some(Update::Typing { user, active }) => self.notices.on_typing(now, user, active),
            Some(Update::Receipt { user, sequence, kind: ReceiptKind::Read, .. }) => {
                self.notices.on_read(now, user, sequence);
            }
            Some(Update::Counts(counts)) => self.counts = Some(counts),
            Some(_) => {}
            None => {
                let error = self.conversation.ended().unwrap_or(Error::NotJoined);
                self.show(&self.renderer.bad(&error.to_string()));
                self.over = Some(error);
            }
        }
    }

    fn on_message(&mut self, now: Instant, message: &Message) {
        let sequence = message.sequence;
        self.oldest.get_or_insert(sequence);
        let since = self.unread.map_or(now, |(_, since)| since);
        self.unread = Some((sequence, since));
        if message.sender == self.session.user && message.kind == Kind::Text {
            self.own = Some(sequence);
            self.notices.on_own(sequence);
        }
        if message.kind == Kind::Membership && self.entered {
            self.watch_again.get_or_insert(now + WATCH_AGAIN);
        }
        // What is said about a message is said with what it was before.
        let before =
            message.amends().and_then(|sequence| self.timeline.get(sequence)?.text().map(str::to_owned));
        self.timeline.apply(message);
        self.timeline.forget_before(sequence.saturating_sub(TIMELINE_MAX));
        if !self.entered {
            return;
        }
        let lines = match message.amends() {
            Some(_) => self.renderer.amendment(message, before.as_deref(), self.namer()),
            None => self.draw(message),
        };
        self.show(&lines);
    }

    /// All that was there before has come: it is drawn as it stands.
    fn show_entry(&mut self) {
        self.entered = true;
        let timeline = std::mem::take(&mut self.timeline);
        let lines = self.draw_all(&timeline);
        self.timeline = timeline;
        self.show(&lines);
    }

    fn draw_all(&mut self, timeline: &Timeline) -> String {
        self.renderer.resize(columns());
        let name = namer(&self.conversation);
        timeline.iter().map(|(sequence, entry)| self.renderer.entry(sequence, entry, &name)).collect()
    }

    fn draw(&mut self, message: &Message) -> String {
        self.renderer.resize(columns());
        self.renderer.message(message, namer(&self.conversation))
    }

    fn namer(&self) -> impl Fn(UserId) -> String + '_ {
        namer(&self.conversation)
    }

    fn on_event(&mut self, event: Result<ClientEvent, broadcast::error::RecvError>) {
        let now = Instant::now();
        match event {
            Ok(ClientEvent::Presence { user, state, .. }) => self.notices.on_presence(now, user, state),
            Ok(ClientEvent::Inbox { entries, .. }) => {
                let here = self.conversation.id();
                for entry in entries.iter().filter(|entry| entry.unread > 0 && entry.conversation != here) {
                    self.notices.on_room(now, &entry.name);
                }
            }
            // News that were lost are told again as they change; what is shown of them is no promise.
            _ => {}
        }
    }

    fn show_notices(&mut self) {
        let lines = self.notices.take(namer(&self.conversation));
        let lines: String = lines.iter().map(|line| self.renderer.note(line)).collect();
        self.show(&lines);
    }

    fn on_state(&mut self, state: &State) {
        match state {
            State::Disconnected { error, retry_in } if !self.lost => {
                self.lost = true;
                let seconds = retry_in.as_secs_f64();
                self.show(&self.renderer.warning(&format!("{error}; connecting again in {seconds:.1} s")));
            }
            State::Connected(_) if self.lost => {
                self.lost = false;
                self.show(&self.renderer.good("connected again"));
            }
            _ => {}
        }
    }

    fn tell_read(&mut self) {
        if let Some((sequence, _)) = self.unread.take() {
            // It can fail only when it is over, which is told elsewhere.
            let _ = self.conversation.read(sequence);
        }
    }

    /// Prints above the input line.
    fn show(&mut self, lines: &str) {
        if !lines.is_empty() && self.printer.print(lines.to_owned()).is_err() {
            print(lines);
        }
    }

    async fn leave(mut self) -> Outcome {
        self.tell_read();
        let waiting = self.pending.len();
        if waiting > 0 && self.over.is_none() {
            print(
                &self
                    .renderer
                    .warning(&format!("waiting for the server to take {}", counted(waiting, "message"))),
            );
        }
        self.give_up_transfers();
        let shutdown = self.client.shutdown_within(GOODBYE).await;
        let mut unsent = !shutdown.is_clean();
        while let Some(pending) = self.pending.pop_front() {
            if let Err(error) = pending.receipt.await {
                unsent = true;
                print(&self.renderer.refused(&pending.text, &error.to_string()));
            }
        }
        match (&self.over, unsent, self.refused) {
            (_, true, _) => Outcome::Unacknowledged,
            (Some(error), ..) => Outcome::of(error),
            (None, false, true) => Outcome::LinesRefused,
            (None, false, false) => Outcome::Clean,
        }
    }
}

/// What users are called here; the beginning of the id for who was never heard of.
fn namer(room: &Conversation) -> impl Fn(UserId) -> String {
    |user| room.name_of(user).unwrap_or_else(|| user.to_string()[..8].to_owned())
}

/// Columns of the terminal, now.
fn columns() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col))
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The answer to the oldest words on their way; the receipt stays where it is until then.
async fn oldest(pending: &mut VecDeque<Pending>) -> Result<Published, Error> {
    match pending.front_mut() {
        Some(pending) => std::future::poll_fn(|cx| Pin::new(&mut pending.receipt).poll(cx)).await,
        None => std::future::pending().await,
    }
}
