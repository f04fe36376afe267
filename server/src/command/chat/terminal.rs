//! The chat of a person: messages scroll, the input line stays, what is not acknowledged yet is said so.
//!
//! One's own words leave the input line and come back as a message with ✓, in the place that the server gave them. If that
//! takes longer than a moment they are shown dimly as being on their way.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::time::Duration;

use jiff::tz::TimeZone;
use ringwire_client::{
    Client, Conversation, Direction, Draft, Error, History, Member, Message, Published, Receipt, Start,
    State, Update, UserId,
};
use rustyline::ExternalPrinter;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::exit::Outcome;
use super::input::{COMMANDS, Input, Keyboard};
use super::render::{Renderer, counted};
use super::{ChatArgs, Ended};

/// Messages shown on entry.
const ENTRY_MESSAGES: u32 = 50;
/// How long an acknowledgement may take before the message is shown as being on its way.
const MOMENT: Duration = Duration::from_millis(400);
/// How often the server is told up to where has been read.
const READ_EVERY: Duration = Duration::from_secs(2);
/// How long leaving waits for acknowledgements.
const GOODBYE: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &ChatArgs) -> Ended {
    let style = args.style();
    let device = args.device(true)?;
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let nobody = Renderer::new(style, zone.clone(), UserId::ZERO);
    print(&nobody.note(&format!("connecting to {}", args.url)));
    let (client, conversation, me) = match enter(args, device.id).await {
        Ok(entered) => entered,
        Err(error) => {
            print(&nobody.bad(&error.to_string()));
            return Ok(Outcome::of(&error));
        }
    };
    let mut renderer = Renderer::new(style, zone, me);
    renderer.resize(columns());
    let mut keyboard = Keyboard::new(conversation.publisher(), style, !args.is_dumb())
        .map_err(|error| format!("cannot edit lines here: {error}"))?;
    let printer =
        keyboard.printer().map_err(|error| format!("cannot print above the input line: {error}"))?;
    let (inputs, receiver) = mpsc::unbounded_channel();
    let mut chat = Chat {
        state: client.watch_state(),
        client,
        conversation,
        renderer,
        printer,
        pending: VecDeque::new(),
        oldest: None,
        unread: None,
        lost: false,
        asked: Box::pin(std::future::pending()),
        over: None,
        refused: false,
    };
    chat.greet(args);
    let typing = tokio::task::spawn_blocking(move || keyboard.run(&inputs));
    chat.run(receiver).await;
    // It puts the terminal back in order.
    let _ = typing.await;
    Ok(chat.leave().await)
}

async fn enter(
    args: &ChatArgs,
    device: ringwire_client::DeviceId,
) -> Result<(Client, Conversation, UserId), Error> {
    let client = args.client().device(device).connect().await?;
    let State::Connected(session) = client.state() else {
        return Err(Error::Network("lost at once".to_owned()));
    };
    let start = args.start().unwrap_or(Start::Last(ENTRY_MESSAGES));
    let conversation = client.join_from(&args.room, start).await?;
    Ok((client, conversation, session.user))
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
}

struct Chat {
    client: Client,
    conversation: Conversation,
    state: watch::Receiver<State>,
    renderer: Renderer,
    printer: Box<dyn ExternalPrinter + Send>,
    pending: VecDeque<Pending>,
    /// The oldest message that was shown.
    oldest: Option<u64>,
    /// Shown, and the server has not been told, since then.
    unread: Option<(u64, Instant)>,
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
    fn greet(&mut self, args: &ChatArgs) {
        let room = &args.room;
        let count = self.conversation.membership().map_or(1, |membership| membership.members_count);
        self.show(&self.renderer.note(&format!(
            "in {room} with {}; /help lists the commands",
            counted(count as usize, "member")
        )));
        if self
            .conversation
            .membership()
            .is_some_and(|known| (known.members.len() as u32) < known.members_count)
        {
            // Names of the others are wanted for what is shown; nobody has to wait for them.
            let publisher = self.conversation.publisher();
            tokio::spawn(async move { publisher.members().await.is_ok() });
        }
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
            }
        }
        self.show(&self.renderer.note("press Enter to leave"));
        // Whatever is typed now goes nowhere, so a line that was begun is not lost without a sign.
        let _ = inputs.recv().await;
    }

    fn on_input(&mut self, input: Input) {
        match input {
            Input::Say(text) => self.say(text),
            Input::Help => {
                let lines =
                    COMMANDS.map(|(command, what)| self.renderer.note(&format!("{command:<9} {what}")));
                self.show(&lines.concat());
            }
            Input::Members => {
                let publisher = self.conversation.publisher();
                self.asked = Box::pin(async move { Answer::Members(publisher.members().await) });
            }
            Input::History(count) => self.ask_history(count),
            Input::Unknown(line) => {
                self.show(&self.renderer.note(&format!("{line} is no command; /help lists them")))
            }
            Input::Nothing | Input::Quit => {}
        }
    }

    fn say(&mut self, text: String) {
        match self.conversation.publish_queued(Draft::text(text.as_str())) {
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
        match update {
            Some(Update::Message(message)) => {
                self.oldest.get_or_insert(message.sequence);
                let since = self.unread.map_or_else(Instant::now, |(_, since)| since);
                self.unread = Some((message.sequence, since));
                let lines = self.draw(&message);
                self.show(&lines);
            }
            Some(Update::Gap(gap)) => self.show(&self.renderer.gap(gap)),
            Some(_) => {}
            None => {
                let error = self.conversation.ended().unwrap_or(Error::NotJoined);
                self.show(&self.renderer.bad(&error.to_string()));
                self.over = Some(error);
            }
        }
    }

    fn draw(&mut self, message: &Message) -> String {
        self.renderer.resize(columns());
        let names = &self.conversation;
        let name = |user: UserId| names.name_of(user).unwrap_or_else(|| user.to_string()[..8].to_owned());
        self.renderer.message(message, name)
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

    fn ask_history(&mut self, count: u16) {
        let Some(before) = self.oldest.and_then(|oldest| oldest.checked_sub(1)).filter(|&before| before > 0)
        else {
            return self.show(&self.renderer.note("there is nothing older"));
        };
        let publisher = self.conversation.publisher();
        self.asked =
            Box::pin(
                async move { Answer::History(publisher.history(before, count, Direction::Backward).await) },
            );
    }

    fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Members(Ok(members)) => self.show(&self.renderer.members(&members)),
            Answer::History(Ok(history)) => {
                self.oldest = history.messages.first().map(|message| message.sequence).or(self.oldest);
                let mut lines = self.renderer.note(&counted(history.messages.len(), "older message"));
                self.renderer.forget_day();
                for message in &history.messages {
                    lines.push_str(&self.draw(message));
                }
                lines.push_str(&self.renderer.note("end of older messages"));
                self.renderer.forget_day();
                self.show(&lines);
            }
            Answer::Members(Err(error)) | Answer::History(Err(error)) => {
                self.show(&self.renderer.bad(&error.to_string()));
            }
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
