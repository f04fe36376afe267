//! The input line: edited on a thread of its own, so that it stays whole while messages are printed above it.

use std::io::{self, Write};

use ringwire_client::Publisher;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ConditionalEventHandler, Context, Editor, Event, EventContext, EventHandler, ExternalPrinter,
    Helper, KeyEvent, Movement, RepeatCount,
};
use tokio::sync::mpsc;

use super::style::Style;
use super::text;

const PROMPT: &str = "> ";

/// What a person may do besides talking, with what it does.
pub(super) const COMMANDS: [(&str, &str); 4] = [
    ("/help", "this list; to send a line that begins with a slash, double it"),
    ("/members", "who is in the room"),
    ("/history", "older messages; /history 200 for so many"),
    ("/quit", "end the chat, stay a member; so does Ctrl-D"),
];

/// What came from the keyboard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// To be published.
    Say(String),
    /// Show the commands.
    Help,
    /// Show the members.
    Members,
    /// Show so many older messages.
    History(u16),
    /// A command that is none.
    Unknown(String),
    /// An empty line.
    Nothing,
    /// Enough.
    Quit,
}

impl Input {
    /// Older messages shown where no number is given.
    const HISTORY: u16 = 50;

    pub(super) fn read(line: &str) -> Self {
        let Some(command) = line.strip_prefix('/') else {
            return if line.trim().is_empty() { Self::Nothing } else { Self::Say(line.to_owned()) };
        };
        if command.starts_with('/') {
            return Self::Say(command.to_owned());
        }
        let (command, argument) = command.split_once(' ').unwrap_or((command, ""));
        match (command, argument.trim()) {
            ("help" | "h" | "?", _) => Self::Help,
            ("members" | "who", _) => Self::Members,
            ("history", "") => Self::History(Self::HISTORY),
            ("history", number) => {
                number.parse().map_or_else(|_| Self::Unknown(line.to_owned()), Self::History)
            }
            ("quit" | "q" | "exit", _) => Self::Quit,
            _ => Self::Unknown(line.to_owned()),
        }
    }
}

/// Told of every key: tells the room that somebody types, and the person how a command goes on.
struct Keys {
    publisher: Publisher,
    style: Style,
}

impl Helper for Keys {}
impl Validator for Keys {}

impl Completer for Keys {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = &line[..pos];
        let fits = |(command, _): &(&str, &str)| begun.starts_with('/') && command.starts_with(begun);
        Ok((
            0,
            COMMANDS
                .iter()
                .filter(|command| fits(command))
                .map(|(command, _)| (*command).to_owned())
                .collect(),
        ))
    }
}

impl Hinter for Keys {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        if !line.starts_with('/') {
            // Without a connection nobody can be told, and nobody has to.
            let _ = self.publisher.typing(!line.is_empty());
            return None;
        }
        let (command, _) =
            COMMANDS.iter().find(|(command, _)| line.len() > 1 && command.starts_with(line))?;
        (pos == line.len()).then(|| command[line.len()..].to_owned())
    }
}

impl Highlighter for Keys {
    fn highlight_hint<'h>(&self, hint: &'h str) -> std::borrow::Cow<'h, str> {
        self.style.dim(hint).into()
    }
}

/// Ctrl-C: what was begun goes; if nothing was, the person does.
struct ClearOrQuit;

impl ConditionalEventHandler for ClearOrQuit {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        Some(if context.line().is_empty() { Cmd::Interrupt } else { Cmd::Kill(Movement::WholeBuffer) })
    }
}

/// The line editor, before it is given its thread.
pub(super) struct Keyboard {
    editor: Editor<Keys, DefaultHistory>,
    /// The terminal can go up and erase.
    erases: bool,
}

impl Keyboard {
    pub(super) fn new(publisher: Publisher, style: Style, erases: bool) -> rustyline::Result<Self> {
        let mut editor = Editor::new()?;
        editor.set_helper(Some(Keys { publisher, style }));
        editor.bind_sequence(KeyEvent::ctrl('c'), EventHandler::Conditional(Box::new(ClearOrQuit)));
        Ok(Self { editor, erases })
    }

    /// What prints above the input line.
    pub(super) fn printer(&mut self) -> rustyline::Result<Box<dyn ExternalPrinter + Send>> {
        Ok(Box::new(self.editor.create_external_printer()?))
    }

    /// Reads lines until the person has had enough, or nobody listens any more.
    pub(super) fn run(mut self, inputs: &mpsc::UnboundedSender<Input>) {
        loop {
            let input = match self.editor.readline(PROMPT) {
                Ok(line) => {
                    self.erase(&line);
                    // A line that is not remembered is typed again.
                    let _ = self.editor.add_history_entry(&line);
                    Input::read(&line)
                }
                // Ctrl-C on an empty line, Ctrl-D, or a terminal that is gone.
                Err(_) => Input::Quit,
            };
            let quit = input == Input::Quit;
            if inputs.send(input).is_err() || quit {
                return;
            }
        }
    }

    /// Takes the line that was typed off the screen: it comes back as a message, in its place.
    fn erase(&mut self, line: &str) {
        let Some((columns, _)) = self.editor.dimensions().filter(|_| self.erases) else { return };
        let rows = text::rows(line, PROMPT.len(), usize::from(columns));
        let mut out = io::stdout().lock();
        // Only beauty is lost if it fails.
        let _ = write!(out, "\u{1b}[{rows}A\u{1b}[J").and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_words_or_commands() {
        let cases = [
            ("hello", Input::Say("hello".into())),
            (" /help", Input::Say(" /help".into())),
            ("//shrug", Input::Say("/shrug".into())),
            ("", Input::Nothing),
            ("   ", Input::Nothing),
            ("/help", Input::Help),
            ("/members", Input::Members),
            ("/history", Input::History(50)),
            ("/history 200", Input::History(200)),
            ("/history many", Input::Unknown("/history many".into())),
            ("/quit", Input::Quit),
            ("/nonsense", Input::Unknown("/nonsense".into())),
            ("/", Input::Unknown("/".into())),
        ];
        for (line, expected) in cases {
            assert_eq!(Input::read(line), expected, "{line:?}");
        }
    }
}
