//! `ringwire chat`: a room on a terminal, or in a script.
//!
//! On a terminal (standard input and output both) it is for people: history on entry, names, colours, an input line that
//! stays while messages arrive. Off it, or with `--json`, it is for programs: lines of standard input are published in order,
//! and the exit code says whether all of them were acknowledged.

mod command;
mod deed;
mod device;
mod exit;
mod files;
mod input;
mod json;
mod lines;
mod notices;
mod render;
mod script;
mod style;
mod terminal;
mod text;

use std::io::{IsTerminal, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use ringwire_client::media::Media;
use ringwire_client::{Builder, Client, Error, Start};

use device::Device;
use exit::Outcome;
use style::Style;

const AFTER_HELP: &str = "\
On a terminal:
  Type a line and press Enter to send it. /help lists the commands; Ctrl-D leaves.
  The device is kept under $XDG_STATE_HOME/ringwire/devices, one per server and name.

Off a terminal, or with --json:
  Every line of standard input that is not empty is published, in order; then all acknowledgements are
  awaited. Messages are printed if --from, --follow or --count asks for them, as
  SEQUENCE <tab> TIME <tab> NAME <tab> TEXT, with line breaks, tabs and control characters escaped.

With --commands, a line that begins with a slash is a command as on a terminal (/edit 12 TEXT, /react 12 +1,
/delete 12, /send FILE, /save 12 FILE, /invite NAME admin, /remove, /role, /mute, /members, /inbox, /away, /seen; numbers are needed), or
  /read 12     the user has read up to 12
  /typing      the user types; /typing off
Two slashes send a line that begins with one. The next line waits for the answer to a command.

With --json, one event per line; fields may be added in later versions:
  {\"event\":\"state\",\"state\":\"connecting|connected|disconnected|failed|closed\", ...}
      disconnected: retry_in_ms, text; failed: text; connected: session, user, name
  {\"event\":\"joined\",\"room\",\"conversation\",\"user\",\"name\",\"role\",\"head\",\"first\",\"members\"}
  {\"event\":\"message\",\"sequence\",\"time_ms\",\"sender\",\"name\",\"kind\",\"own\",\"reference\", ...}
      with text, or hex if it is not UTF-8; kind membership: action, member, name, role
  {\"event\":\"caught_up\",\"head\"}          all that was there before has been printed
  {\"event\":\"typing\",\"user\",\"name\",\"active\"}
  {\"event\":\"receipt\",\"user\",\"name\",\"kind\":\"read|delivered\",\"sequence\",\"time_ms\"}
  {\"event\":\"counts\",\"online\",\"sequence\",\"delivered\",\"read\"}                     with --counts
  {\"event\":\"presence\",\"user\",\"name\",\"state\":\"online|away|offline\",\"seen_ms\"}   with --watch
  {\"event\":\"inbox\",\"rooms\":[...],\"complete\"}                                    with --inbox
      room: conversation, name, kind, role, head, read, delivered, unread, muted_until_ms, time_ms
  {\"event\":\"members\",\"line\",\"members\":[{\"user\",\"name\",\"role\"}]}
  {\"event\":\"done\",\"line\",\"text\"}          a command is carried out
  {\"event\":\"ack\",\"line\",\"sequence\",\"time_ms\",\"durability\",\"duplicate\"}
  {\"event\":\"gap\",\"from\",\"to\",\"cause\"}   messages that the server does not have any more
  {\"event\":\"error\",\"line\",\"code\",\"name\",\"fault\",\"retryable\",\"text\"}
      line: of standard input, if that is what failed; code and name: of the protocol's table, if any

Exit codes:
  0  everything that was sent is acknowledged
  1  standard input or output failed
  2  wrong use
  3  no connection to the server
  4  the server refused the user or the room, or ended the session
  5  some lines were refused for good; all others are acknowledged
  6  not everything was read or acknowledged in time";

/// Chat in a room, on a terminal or in a script.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub struct ChatArgs {
    /// Where the server is: ws://, wss:// or quic://, or ringwire:// for QUIC where it gets through and wss:// else.
    #[arg(long, value_name = "URL", env = "RINGWIRE_URL", default_value = "ws://127.0.0.1:7400/v1/ws")]
    url: String,
    /// Believe the server whose certificate has this SHA-256 (hexadecimal or base64), and no other: for a server
    /// with --tls-dev, which prints it.
    #[arg(long, value_name = "HASH", value_parser = pin)]
    pin: Option<[u8; 32]>,
    /// Who you are, on a server in development mode.
    #[arg(long = "as", value_name = "NAME", env = "USER", default_value = "guest")]
    name: String,
    /// The room to join.
    #[arg(long, value_name = "NAME", default_value = "lobby")]
    room: String,
    /// The token that says who you are; without one, `dev:NAME`, which a server in development mode takes.
    #[arg(long, value_name = "TOKEN", env = "RINGWIRE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Where files are sent and saved; without it, on port 7401 of the server, or behind the same proxy.
    #[arg(long, value_name = "URL", env = "RINGWIRE_MEDIA_URL")]
    media: Option<String>,
    /// Begin with the message of this number; 1: with the oldest that is kept.
    #[arg(long, value_name = "SEQUENCE")]
    from: Option<u64>,
    /// Print one event per line as JSON; see below.
    #[arg(long)]
    json: bool,
    /// In a script: take lines that begin with a slash as commands; see below.
    #[arg(long)]
    commands: bool,
    /// In a script: tell who comes and goes, of these users; several with commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    watch: Vec<String>,
    /// In a script: tell how many members are there and how far they are.
    #[arg(long)]
    counts: bool,
    /// In a script: list the user's rooms, and tell what is new in them.
    #[arg(long)]
    inbox: bool,
    /// Keep listening after standard input has ended.
    #[arg(long)]
    follow: bool,
    /// Stop after so many messages, one's own included, news about members not.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Longest wait for acknowledgements, and longest time without a connection, in a script.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
    /// The device to be: 32 hexadecimal digits, or any text. Never give two chats at the same time the same one.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Set to anything: no colours, see <https://no-color.org>.
    #[arg(long, env = "NO_COLOR", hide = true, value_name = "ANYTHING")]
    no_color: Option<String>,
    #[arg(long, env = "TERM", hide = true)]
    term: Option<String>,
    #[arg(long, env = "XDG_STATE_HOME", hide = true)]
    xdg_state_home: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true)]
    home: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A certificate's SHA-256, as the start of a server prints it.
pub(super) fn pin(text: &str) -> Result<[u8; 32], String> {
    let text = text.trim();
    let bytes = match text.len() {
        64 => (0..32).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect(),
        _ => BASE64_STANDARD.decode(text).ok(),
    };
    let bytes: Option<[u8; 32]> = bytes.and_then(|bytes: Vec<u8>| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        "the SHA-256 of a certificate is 64 hexadecimal digits, or 44 signs of base64".to_owned()
    })
}

/// Runs the chat until its end.
///
/// # Errors
/// What keeps it from beginning: no runtime, no randomness.
pub fn run(args: ChatArgs) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let outcome = runtime.block_on(async move {
        if stdin().is_terminal() && stdout().is_terminal() && !args.json {
            terminal::run(&args).await
        } else {
            script::run(&args).await
        }
    });
    // A thread may still be reading standard input; nobody needs what it reads.
    runtime.shutdown_background();
    outcome.map(ExitCode::from)
}

impl ChatArgs {
    fn token(&self) -> String {
        self.token.clone().unwrap_or_else(|| format!("dev:{}", self.name))
    }

    /// Where files go, as far as the arguments say it.
    fn media(&self) -> Result<Media, Error> {
        let media = match &self.media {
            Some(url) => Media::new(url, self.token()),
            None => Media::beside(&self.url, self.token()),
        };
        let media = match self.pin {
            Some(sha256) => media.and_then(|media| media.pin_certificate(sha256)),
            None => media,
        };
        media.map_err(Error::from)
    }

    /// The client as the arguments describe it, without a device.
    fn client(&self) -> Builder {
        let token = self.token();
        let builder = Client::builder(&self.url)
            .token(token)
            .agent(concat!("ringwire-chat/", env!("CARGO_PKG_VERSION")));
        match self.pin {
            Some(sha256) => builder.pin_certificate(sha256),
            None => builder,
        }
    }

    /// Where to begin, if it was said.
    fn start(&self) -> Option<Start> {
        self.from.map(|from| Start::After(from.saturating_sub(1)))
    }

    fn style(&self) -> Style {
        let plain = self.no_color.as_ref().is_some_and(|value| !value.is_empty());
        Style::new(!plain && !self.is_dumb())
    }

    /// Whether the terminal understands nothing but text.
    fn is_dumb(&self) -> bool {
        self.term.as_deref().is_none_or(|term| term.is_empty() || term == "dumb")
    }

    fn device(&self, interactive: bool) -> Result<Device, String> {
        let state = device::state_folder(self.xdg_state_home.clone(), self.home.clone());
        match (&self.device, state) {
            (Some(text), _) => Ok(Device::named(text)),
            (None, Some(state)) if interactive => Device::kept(&state, &self.url, &self.name),
            (None, _) => Device::new(),
        }
        .map_err(|error| format!("no device id: {error}"))
    }
}

/// What a chat ends with; an error here is one that kept it from beginning.
type Ended = Result<Outcome, String>;
