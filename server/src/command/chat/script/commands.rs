//! What commands do in a script: one at a time, each answered by an event that names its line.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use ringwire_client::{ClientEvent, Draft, Error, Member};
use tokio::sync::broadcast;

use super::super::command::{Ask, Input};
use super::super::json::Event;
use super::super::render::role;
use super::super::{deed, files, text};
use super::Script;

/// A command that is being carried out.
pub(super) struct Asked {
    line: u64,
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
}

/// What came of it.
type Answer = Result<Answered, Error>;

/// The content of an answer.
pub(super) enum Answered {
    Members(Vec<Member>),
    Done(String),
}

/// What the command of that line has led to; the future stays where it is until then.
pub(super) async fn answered(asked: &mut Option<Asked>) -> (u64, Answer) {
    match asked {
        Some(asked) => (asked.line, asked.answer.as_mut().await),
        None => std::future::pending().await,
    }
}

impl Script<'_> {
    pub(super) fn on_text(&mut self, text: String) {
        let input = if self.args.commands { Input::read(&text) } else { Input::Say(text) };
        let line = self.line;
        let draft = match input {
            Input::Say(text) => Draft::text(text),
            Input::Amend(amend) => match amend.sequence() {
                Some(sequence) => amend.draft(sequence),
                None => {
                    return self
                        .on_wrong("in a script the number of the message is needed, as in /edit 12 TEXT");
                }
            },
            Input::Ask(ask) => return self.ask(ask),
            Input::Send(path) => return self.send(path),
            Input::Save(sequence, path) => return self.save(sequence, path),
            Input::Members => {
                let room = self.publisher.clone();
                let members = async move { room.members().await.map(Answered::Members) };
                return self.asked = Some(Asked { line, answer: Box::pin(members) });
            }
            Input::Inbox if !self.args.inbox => return self.on_wrong("/inbox needs the option --inbox"),
            Input::Inbox => return self.out.event(&Event::inbox(&self.client.inbox(), true)),
            Input::Read(sequence) => return self.told(self.publisher.read(sequence)),
            Input::Typing(active) => return self.told(self.publisher.typing(active)),
            Input::Nothing => return,
            Input::Quit => return self.input_ended = true,
            Input::Wrong(usage) => return self.on_wrong(usage),
            Input::Unknown(_) => return self.on_wrong("no such command; ringwire chat --help lists them"),
            Input::Help | Input::History(_) | Input::Go(_) => {
                return self.on_wrong("that command is for a terminal; see --room and --from");
            }
        };
        self.held = Some((line, draft));
        self.publish_held();
    }

    fn send(&mut self, path: PathBuf) {
        let (media, room) = (self.args.media(), self.publisher.clone());
        let sent = async move { files::send(&media?, &room, &path, drop).await.map(Answered::Done) };
        self.asked = Some(Asked { line: self.line, answer: Box::pin(sent) });
    }

    fn save(&mut self, sequence: u64, path: Option<PathBuf>) {
        let (media, room) = (self.args.media(), self.publisher.clone());
        let saved = async move {
            files::save(&media?, &room, sequence, path.as_deref(), drop).await.map(Answered::Done)
        };
        self.asked = Some(Asked { line: self.line, answer: Box::pin(saved) });
    }

    fn on_wrong(&mut self, why: &str) {
        self.on_refused(self.line, &Error::Invalid(why.to_owned()));
    }

    /// What is told to the server without an answer.
    fn told(&mut self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.on_refused(self.line, &error);
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Away(away) => self.settings.away = away,
            Ask::Seen(seen) => self.settings.share_last_seen = seen,
            _ => {}
        }
        let (client, room, settings) = (self.client.clone(), self.publisher.clone(), self.settings);
        let elapsed_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(0);
        let now_ms = self.session.server_time_ms.saturating_add(elapsed_ms);
        let deed =
            async move { deed::carry_out(&client, &room, ask, settings, now_ms).await.map(Answered::Done) };
        self.asked = Some(Asked { line: self.line, answer: Box::pin(deed) });
    }

    pub(super) fn on_answer(&mut self, line: u64, answer: Answer) {
        match answer {
            Ok(Answered::Members(members)) => {
                self.out.event(&Event::members(line, &members));
                if !self.out.json {
                    for member in &members {
                        let name = text::escaped(&member.name);
                        self.out.line(&format!("{name}\t{}\t{}", role(member.role), member.user));
                    }
                }
            }
            Ok(Answered::Done(text)) => self.out.event(&Event::Done { line, text: &text }),
            Err(error) => self.on_refused(line, &error),
        }
    }

    pub(super) fn on_event(&mut self, event: Result<ClientEvent, broadcast::error::RecvError>) {
        match event {
            Ok(ClientEvent::Presence { user, state, seen_ms }) => {
                let name = self.name_of(user);
                self.out.event(&Event::presence(user, name.as_deref(), state, seen_ms));
            }
            Ok(ClientEvent::Inbox { entries, complete }) => {
                self.out.event(&Event::inbox(&entries, complete));
            }
            // What is refused for the moment is tried again; what was missed will be told as it changes.
            _ => {}
        }
    }
}
