//! Files under way on a terminal: each on a task of its own, so that the chat goes on and the next command does not end it.

use std::path::PathBuf;

use ringwire_client::Error;
use ringwire_client::media::Media;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::files;
use super::super::render::counted;
use super::Chat;

/// What there is to tell.
pub(super) enum News {
    /// It goes on.
    Progress(String),
    /// It is over.
    Over(Result<String, Error>),
}

/// All of them.
pub(super) struct Transfers {
    media: Result<Media, Error>,
    tasks: JoinSet<Result<String, Error>>,
    /// Held here too, so that the other end waits instead of ending.
    say: mpsc::UnboundedSender<String>,
    said: mpsc::UnboundedReceiver<String>,
}

impl Transfers {
    pub(super) fn new(media: Result<Media, Error>) -> Self {
        let (say, said) = mpsc::unbounded_channel();
        Self { media, tasks: JoinSet::new(), say, said }
    }

    /// The next thing to tell; never, while nothing is under way.
    pub(super) async fn next(&mut self) -> News {
        let is_idle = self.tasks.is_empty();
        tokio::select! {
            biased;
            Some(line) = self.said.recv() => News::Progress(line),
            Some(over) = self.tasks.join_next(), if !is_idle => {
                News::Over(over.unwrap_or_else(|error| Err(Error::Invalid(error.to_string()))))
            }
            else => std::future::pending().await,
        }
    }
}

impl Chat {
    pub(super) fn send(&mut self, path: PathBuf) {
        let (media, room, say) =
            (self.transfers.media.clone(), self.conversation.publisher(), self.transfers.say.clone());
        self.show(&self.renderer.note(&format!("sending {}", path.display())));
        // Where nobody listens any more, nobody minds.
        let say = move |line| drop(say.send(line));
        self.transfers.tasks.spawn(async move { files::send(&media?, &room, &path, say).await });
    }

    pub(super) fn save(&mut self, sequence: u64, path: Option<PathBuf>) {
        let (media, room, say) =
            (self.transfers.media.clone(), self.conversation.publisher(), self.transfers.say.clone());
        let say = move |line| drop(say.send(line));
        self.transfers
            .tasks
            .spawn(async move { files::save(&media?, &room, sequence, path.as_deref(), say).await });
    }

    pub(super) fn on_transfer(&mut self, news: News) {
        let lines = match news {
            News::Progress(line) => self.renderer.note(&line),
            News::Over(Ok(line)) => self.renderer.good(&line),
            News::Over(Err(error)) => {
                self.refused = true;
                self.renderer.bad(&error.to_string())
            }
        };
        self.show(&lines);
    }

    /// Who leaves does not wait for files.
    pub(super) fn give_up_transfers(&mut self) {
        let count = self.transfers.tasks.len();
        if count > 0 {
            self.refused = true;
            let left = counted(count, "file");
            super::print(
                &self
                    .renderer
                    .warning(&format!("{left} under way, given up; what came of a saved one waits")),
            );
            self.transfers.tasks.abort_all();
        }
    }
}
