//! The input line: edited on a thread of its own, so that it stays whole while messages are printed above it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

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

use super::command::{COMMANDS, Input};
use super::style::Style;
use super::text;

const PROMPT: &str = "> ";

/// The room that is typed in; another one when the person goes there.
pub(super) type Here = Arc<Mutex<Publisher>>;

/// Told of every key: tells the room that somebody types, and the person how a command goes on.
struct Keys {
    here: Here,
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
            if let Ok(here) = self.here.lock() {
                let _ = here.typing(!line.is_empty());
            }
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
    pub(super) fn new(here: Here, style: Style, erases: bool) -> rustyline::Result<Self> {
        let mut editor = Editor::new()?;
        editor.set_helper(Some(Keys { here, style }));
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
