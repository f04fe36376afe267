//! A client, the link it goes by, and what it has seen that no step has.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringwire_client::{
    Client, ClientEvent, Conversation, DeviceId, Error, GapCause, Kind, Missing, Publisher, Start, State,
    Update,
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::link::Link;

/// What a reader was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    Text(String),
    Gap(u64, u64, &'static str),
}

impl Read {
    /// As a step expects it.
    pub fn expected(value: &Value) -> Self {
        match value.as_str() {
            Some(text) => Read::Text(text.to_owned()),
            None => {
                let cause = ["lost", "expired", "not_kept"].into_iter().find(|known| value[2] == *known);
                Read::Gap(value[0].as_u64().unwrap(), value[1].as_u64().unwrap(), cause.expect("a cause"))
            }
        }
    }
}

enum Seen {
    State(&'static str, Option<&'static str>),
    Read(Read),
    Answer(u64, bool),
}

pub struct Person {
    pub link: Link,
    client: Client,
    publisher: Option<Publisher>,
    seen: mpsc::UnboundedReceiver<Seen>,
    tell: mpsc::UnboundedSender<Seen>,
    states: VecDeque<(&'static str, Option<&'static str>)>,
    read: VecDeque<Read>,
    answers: VecDeque<(u64, bool)>,
    leaving: Option<tokio::sync::oneshot::Sender<tokio::sync::oneshot::Sender<()>>>,
    asked: Arc<AtomicU64>,
}

impl Person {
    pub async fn connect(
        server: SocketAddr,
        device: DeviceId,
        given: Option<String>,
        mint: impl Fn() -> String + Send + Sync + 'static,
        version: Option<u16>,
    ) -> Self {
        let link = Link::open(server, version).await;
        let url = format!("ws://{}/v1/ws", link.address);
        let asked = Arc::new(AtomicU64::new(0));
        let builder = Client::builder(url).device(device);
        let builder = match given {
            Some(token) => builder.token(token),
            None => {
                let asked = Arc::clone(&asked);
                builder.token_provider(move || {
                    asked.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(Ok::<_, String>(mint()))
                })
            }
        };
        let client = builder.connect_lazy().unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        let mut events = client.events();
        let telling = tell.clone();
        tokio::spawn(async move {
            while let Ok(event) = events.recv().await {
                let ClientEvent::State(state) = event else { continue };
                let seen = match &state {
                    State::Connected(_) => Seen::State("connected", None),
                    State::Disconnected { error, .. } => Seen::State("disconnected", name(error)),
                    State::Failed(error) => Seen::State("failed", name(error)),
                    _ => continue,
                };
                let _ = telling.send(seen);
            }
        });
        Person {
            link,
            client,
            publisher: None,
            seen,
            tell,
            states: VecDeque::new(),
            read: VecDeque::new(),
            answers: VecDeque::new(),
            leaving: None,
            asked,
        }
    }

    pub async fn join(&mut self, from: Option<u64>) {
        let start = from.map_or(Start::Latest, Start::After);
        let conversation = self.client.join_from("room", start).await.unwrap();
        self.publisher = Some(conversation.publisher());
        let (leaving, left) = tokio::sync::oneshot::channel();
        self.leaving = Some(leaving);
        tokio::spawn(read(conversation, self.tell.clone(), left));
    }

    pub async fn publish(&mut self, texts: Vec<String>) {
        let publisher = self.publisher.as_ref().expect("it has joined");
        for text in texts {
            publisher.ready(text.len()).await.unwrap();
            let receipt = publisher.publish_queued(text).unwrap();
            let tell = self.tell.clone();
            tokio::spawn(async move {
                if let Ok(published) = receipt.await {
                    let _ = tell.send(Seen::Answer(published.sequence, published.duplicate));
                }
            });
        }
    }

    pub async fn leave(&mut self) {
        let (done, wait) = tokio::sync::oneshot::channel();
        let _ = self.leaving.take().expect("it has joined").send(done);
        wait.await.unwrap();
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Sorts one thing that was seen.
    async fn take_in(&mut self) {
        // This object has a sender itself.
        if let Some(seen) = self.seen.recv().await {
            self.sort(seen);
        }
    }

    fn sort(&mut self, seen: Seen) {
        match seen {
            Seen::State(word, code) => self.states.push_back((word, code)),
            Seen::Read(read) => self.read.push_back(read),
            Seen::Answer(sequence, duplicate) => self.answers.push_back((sequence, duplicate)),
        }
    }

    /// The code of the next of this word, whatever came before it.
    pub async fn take_state(&mut self, word: &str) -> Option<&'static str> {
        loop {
            while let Some((found, code)) = self.states.pop_front() {
                if found == word {
                    return code;
                }
            }
            self.take_in().await;
        }
    }

    pub async fn take_read(&mut self, count: usize) -> Vec<Read> {
        while self.read.len() < count {
            self.take_in().await;
        }
        self.read.drain(..count).collect()
    }

    pub async fn take_answers(&mut self, count: usize) -> Vec<(u64, bool)> {
        while self.answers.len() < count {
            self.take_in().await;
        }
        self.answers.drain(..count).collect()
    }

    pub fn expect_nothing(&mut self) {
        while let Ok(seen) = self.seen.try_recv() {
            self.sort(seen);
        }
        assert_eq!(self.read, [], "nothing is to be read");
    }
}

/// Reads a conversation until it ends or is left.
async fn read(
    mut conversation: Conversation,
    tell: mpsc::UnboundedSender<Seen>,
    mut leave: tokio::sync::oneshot::Receiver<tokio::sync::oneshot::Sender<()>>,
) {
    loop {
        let update = tokio::select! {
            update = conversation.next_update() => update,
            done = &mut leave => {
                if let Ok(done) = done {
                    conversation.leave().await.unwrap();
                    let _ = done.send(());
                }
                return;
            }
        };
        let seen = match update {
            Some(Update::Message(message)) if message.kind == Kind::Text => {
                Seen::Read(Read::Text(message.text().unwrap().to_owned()))
            }
            Some(Update::Gap(gap)) => Seen::Read(Read::Gap(gap.from, gap.to, cause(gap.cause))),
            Some(_) => continue,
            None => Seen::State("ended", conversation.ended().as_ref().and_then(name)),
        };
        let is_last = matches!(seen, Seen::State(..));
        let _ = tell.send(seen);
        if is_last {
            return;
        }
    }
}

fn cause(cause: Missing) -> &'static str {
    match cause {
        Missing::Server(GapCause::Lost) => "lost",
        Missing::Server(GapCause::Expired) => "expired",
        Missing::NotKept => "not_kept",
        other => panic!("no step speaks of {other:?}"),
    }
}

/// The code's name; `None`: the error has none.
fn name(error: &Error) -> Option<&'static str> {
    error.code().map(|code| code.name())
}
