//! What a person may do besides talking: lines that begin with a slash, read into what they ask for.

use std::path::PathBuf;
use std::time::Duration;

use ringwire_client::{Draft, Role};

/// Every command, with what it does.
pub(super) const COMMANDS: [(&str, &str); 18] = [
    ("/help", "this list; to send a line that begins with a slash, double it"),
    ("/members", "who is in the room, and who of them is there"),
    ("/history", "older messages; /history 200 for so many"),
    ("/edit", "/edit 12 TEXT changes message 12; without the number, your last one"),
    ("/delete", "/delete 12 takes message 12 back; without the number, your last one"),
    ("/react", "/react 12 👍; without the number, to the last message; /react 12 takes it back"),
    ("/send", "/send FILE sends a file"),
    ("/save", "/save 12 saves the file of message 12 here; /save 12 FILE under that name"),
    ("/invite", "/invite NAME makes NAME a member; /invite NAME admin, or reader, with that role"),
    ("/remove", "/remove NAME ends that membership"),
    ("/role", "/role NAME reader, member, admin or owner"),
    ("/mute", "no wake-ups from this room; /mute 8h for so long, /mute off ends it"),
    ("/direct", "/direct NAME goes to the room of the two of you"),
    ("/inbox", "your rooms and what is unread; /inbox 2 goes to the second"),
    ("/join", "/join ROOM goes to another room"),
    ("/away", "others see that you are not looking; /away off ends it"),
    ("/seen", "others see when you were last here; /seen off ends it"),
    ("/quit", "end the chat, stay a member; so does Ctrl-D"),
];

/// What came from the keyboard, or from a line of a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// To be published.
    Say(String),
    /// About a message: an edit, a delete, a reaction.
    Amend(Amend),
    /// To be asked of the server.
    Ask(Ask),
    /// Send that file.
    Send(PathBuf),
    /// Save the file of that message, under that name or its own.
    Save(u64, Option<PathBuf>),
    /// Somewhere else.
    Go(Place),
    /// Show the commands.
    Help,
    /// Show the members.
    Members,
    /// Show the user's rooms.
    Inbox,
    /// The user has read up to there. For scripts: on a terminal what is shown is read.
    Read(u64),
    /// The user types, or has stopped. For scripts: a terminal sees the keys.
    Typing(bool),
    /// Show so many older messages.
    History(u16),
    /// A command that is used in another way: this one.
    Wrong(&'static str),
    /// A command that is none.
    Unknown(String),
    /// An empty line.
    Nothing,
    /// Enough.
    Quit,
}

/// A change of a message; without a number, of the one that is meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Amend {
    Edit(Option<u64>, String),
    Delete(Option<u64>),
    React(Option<u64>, String),
}

impl Amend {
    /// The number that was given.
    pub(super) fn sequence(&self) -> Option<u64> {
        match *self {
            Self::Edit(sequence, _) | Self::Delete(sequence) | Self::React(sequence, _) => sequence,
        }
    }

    /// What is to be published about the message of this number.
    pub(super) fn draft(self, sequence: u64) -> Draft {
        match self {
            Self::Edit(_, text) => Draft::edit(sequence, text),
            Self::Delete(_) => Draft::delete(sequence),
            Self::React(_, reaction) => Draft::reaction(sequence, reaction),
        }
    }
}

/// What is asked of the server about this room or this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Invite(String, Role),
    Remove(String),
    Role(String, Role),
    Mute(Mute),
    Away(bool),
    Seen(bool),
}

/// How long there are no wake-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mute {
    Off,
    For(Duration),
    Always,
}

/// Where else to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Direct(String),
    Room(String),
    /// That line of the inbox, from 1.
    Inbox(usize),
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
        let (command, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = rest.trim();
        let wrong = |name: &str| Self::Wrong(usage(name));
        match (command, rest) {
            ("help" | "h" | "?", _) => Self::Help,
            ("members" | "who", _) => Self::Members,
            ("history", "") => Self::History(Self::HISTORY),
            ("history", number) => number.parse().map_or_else(|_| wrong("/history"), Self::History),
            ("edit", _) => match numbered(rest) {
                (_, "") => wrong("/edit"),
                (sequence, text) => Self::Amend(Amend::Edit(sequence, text.to_owned())),
            },
            ("delete", _) => match numbered(rest) {
                (sequence, "") => Self::Amend(Amend::Delete(sequence)),
                _ => wrong("/delete"),
            },
            ("react", "") => wrong("/react"),
            ("react", _) => {
                let (sequence, reaction) = numbered(rest);
                Self::Amend(Amend::React(sequence, reaction.to_owned()))
            }
            ("send", "") => wrong("/send"),
            ("send", path) => Self::Send(path.into()),
            ("save", _) => match numbered(rest) {
                (Some(sequence), path) => Self::Save(sequence, (!path.is_empty()).then(|| path.into())),
                (None, _) => wrong("/save"),
            },
            ("invite", "") => wrong("/invite"),
            ("invite", _) => {
                let (name, role) = with_role(rest).unwrap_or((rest, Role::Member));
                Self::Ask(Ask::Invite(name.to_owned(), role))
            }
            ("remove", "") => wrong("/remove"),
            ("remove", name) => Self::Ask(Ask::Remove(name.to_owned())),
            ("role", _) => with_role(rest)
                .map_or_else(|| wrong("/role"), |(name, role)| Self::Ask(Ask::Role(name.to_owned(), role))),
            ("mute", _) => mute(rest).map_or_else(|| wrong("/mute"), |mute| Self::Ask(Ask::Mute(mute))),
            ("direct", "") => wrong("/direct"),
            ("direct", name) => Self::Go(Place::Direct(name.to_owned())),
            ("inbox", "") => Self::Inbox,
            ("inbox", number) => {
                number.parse().map_or_else(|_| wrong("/inbox"), |number| Self::Go(Place::Inbox(number)))
            }
            ("join", "") => wrong("/join"),
            ("join", room) => Self::Go(Place::Room(room.to_owned())),
            ("away", _) => switch(rest).map_or_else(|| wrong("/away"), |away| Self::Ask(Ask::Away(away))),
            ("seen", _) => switch(rest).map_or_else(|| wrong("/seen"), |seen| Self::Ask(Ask::Seen(seen))),
            ("read", number) => number.parse().map_or_else(|_| Self::Unknown(line.to_owned()), Self::Read),
            ("typing", _) => switch(rest).map_or_else(|| Self::Unknown(line.to_owned()), Self::Typing),
            ("quit" | "q" | "exit", _) => Self::Quit,
            _ => Self::Unknown(line.to_owned()),
        }
    }
}

fn usage(command: &str) -> &'static str {
    COMMANDS.iter().find(|(name, _)| *name == command).map_or("", |(_, what)| what)
}

/// A number that stands first, and what follows it.
fn numbered(rest: &str) -> (Option<u64>, &str) {
    let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    match first.strip_prefix('#').unwrap_or(first).parse() {
        Ok(number) if number > 0 => (Some(number), behind.trim_start()),
        _ => (None, rest),
    }
}

/// A name that may have spaces, and the role behind it.
fn with_role(rest: &str) -> Option<(&str, Role)> {
    let (name, role) = rest.rsplit_once(' ')?;
    let role = match role {
        "reader" => Role::Reader,
        "member" => Role::Member,
        "admin" => Role::Admin,
        "owner" => Role::Owner,
        _ => return None,
    };
    Some((name.trim_end(), role))
}

fn switch(rest: &str) -> Option<bool> {
    match rest {
        "" | "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn mute(rest: &str) -> Option<Mute> {
    if let Some(on) = switch(rest) {
        return Some(if on { Mute::Always } else { Mute::Off });
    }
    let unit = rest.chars().next_back()?;
    let seconds: u64 = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let count: u64 = rest[..rest.len() - 1].parse().ok()?;
    Some(Mute::For(Duration::from_secs(seconds.checked_mul(count)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_words_or_commands() {
        let edit = |sequence, text: &str| Input::Amend(Amend::Edit(sequence, text.into()));
        let react = |sequence, text: &str| Input::Amend(Amend::React(sequence, text.into()));
        let invite = |name: &str, role| Input::Ask(Ask::Invite(name.into(), role));
        let hours = |hours: u64| Input::Ask(Ask::Mute(Mute::For(Duration::from_secs(hours * 3_600))));
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
            ("/quit", Input::Quit),
            ("/nonsense", Input::Unknown("/nonsense".into())),
            ("/", Input::Unknown("/".into())),
            ("/edit 12 better words", edit(Some(12), "better words")),
            ("/edit #12 better words", edit(Some(12), "better words")),
            ("/edit better words", edit(None, "better words")),
            ("/delete", Input::Amend(Amend::Delete(None))),
            ("/delete 3", Input::Amend(Amend::Delete(Some(3)))),
            ("/react 👍", react(None, "👍")),
            ("/react 7 👍", react(Some(7), "👍")),
            ("/react 7", react(Some(7), "")),
            ("/send a cat.png", Input::Send("a cat.png".into())),
            ("/save 12", Input::Save(12, None)),
            ("/save 12 my cat.png", Input::Save(12, Some("my cat.png".into()))),
            ("/invite bob", invite("bob", Role::Member)),
            ("/invite Bob B. Baker admin", invite("Bob B. Baker", Role::Admin)),
            ("/remove bob", Input::Ask(Ask::Remove("bob".into()))),
            ("/role bob owner", Input::Ask(Ask::Role("bob".into(), Role::Owner))),
            ("/mute", Input::Ask(Ask::Mute(Mute::Always))),
            ("/mute off", Input::Ask(Ask::Mute(Mute::Off))),
            ("/mute 8h", hours(8)),
            ("/mute 2d", hours(48)),
            ("/direct bob", Input::Go(Place::Direct("bob".into()))),
            ("/inbox", Input::Inbox),
            ("/inbox 2", Input::Go(Place::Inbox(2))),
            ("/join kitchen", Input::Go(Place::Room("kitchen".into()))),
            ("/away", Input::Ask(Ask::Away(true))),
            ("/away off", Input::Ask(Ask::Away(false))),
            ("/seen on", Input::Ask(Ask::Seen(true))),
            ("/read 12", Input::Read(12)),
            ("/read it", Input::Unknown("/read it".into())),
            ("/typing", Input::Typing(true)),
            ("/typing off", Input::Typing(false)),
        ];
        for (line, expected) in cases {
            assert_eq!(Input::read(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_command_that_is_used_in_another_way_says_how() {
        let lines = [
            "/history many",
            "/edit",
            "/edit 12",
            "/delete it",
            "/react",
            "/send",
            "/save",
            "/save it",
            "/invite",
            "/remove",
            "/role bob",
            "/role bob king",
            "/mute soon",
            "/mute 8",
            "/mute -1h",
            "/direct",
            "/inbox first",
            "/join",
            "/away maybe",
        ];
        for line in lines {
            let command = line.split(' ').next().unwrap();
            let Input::Wrong(usage) = Input::read(line) else {
                panic!("{line} means {:?}", Input::read(line))
            };
            assert_eq!(COMMANDS.iter().find(|(name, _)| *name == command).unwrap().1, usage, "{line}");
        }
    }

    #[test]
    fn every_command_of_the_list_is_one() {
        for (command, _) in COMMANDS {
            assert!(!matches!(Input::read(command), Input::Unknown(_)), "{command}");
        }
    }
}
