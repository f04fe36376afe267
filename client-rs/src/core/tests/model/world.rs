//! Clients, server and the wires between them, on a clock of their own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ringwire_protocol::{ConversationId, DeviceId};

use super::super::{config, ms};
use super::server::Server;
use crate::core::{Cause, Core, Draft, Event, PublishId, Random, Start, State};
use crate::error::Error;
use crate::ws::{Action, Link};

/// What a run may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// The server restarts now and then.
    pub(super) restarts: bool,
    /// A device's publishes are refused from a session that is older than one that has published.
    pub(super) fenced: bool,
    /// Which session is older the client says, and not the order that they come in.
    pub(super) counted: bool,
    /// Some publishes are refused for good.
    pub(super) finals: bool,
}

/// One direction of a connection: bytes that arrive at a time.
type Wire = VecDeque<(Duration, Vec<u8>)>;

#[derive(Debug)]
struct Connection {
    session: u64,
    up: Wire,
    down: Wire,
}

#[derive(Debug)]
struct Client {
    link: Link,
    device: DeviceId,
    connection: Option<Connection>,
    connecting: Option<Duration>,
    /// What was published, in order, and how it ended.
    published: BTreeMap<ConversationId, Vec<(PublishId, Vec<u8>)>>,
    settled: BTreeMap<PublishId, Result<u64, Error>>,
    settled_twice: Option<PublishId>,
    seen: BTreeMap<ConversationId, Vec<(u64, Vec<u8>)>>,
    gaps: u32,
    failed: Option<Error>,
}

#[derive(Debug)]
pub(super) struct World {
    plan: Plan,
    now: Duration,
    random: Random,
    server: Server,
    clients: Vec<Client>,
    /// Connections that the client has given up, whose last bytes the server has not read yet.
    ghosts: Vec<(u64, Wire, Duration)>,
    chaos: bool,
    texts: u64,
}

const ROOMS: [&str; 2] = ["r", "s"];
const CHAOS: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(400);

impl World {
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
        let mut random = Random::new(seed);
        let clients = (0..3)
            .map(|index| {
                let mut config = config();
                config.device = DeviceId::from_name(&format!("device {index}"));
                config.limits.flight_max = 1 + (random.next_u64() % 8) as usize;
                config.limits.held_messages_max = (random.next_u64() % 6) as usize;
                config.limits.fill_page_messages_max = 1 + (random.next_u64() % 5) as u16;
                config.limits.fills_max = 1 + (random.next_u64() % 2) as usize;
                config.limits.batch_bytes_max = 64 + (random.next_u64() % 400) as usize;
                config.limits.outbox_entries_max = 8 + (random.next_u64() % 60) as usize;
                config.backoff_min = ms(20);
                config.backoff_max = ms(500);
                config.request_timeout = ms(60_000);
                let device = config.device;
                let mut core = Core::new(config, random.next_u64());
                core.start(ms(0));
                for room in ROOMS {
                    core.join(ms(0), room, Start::After(0)).expect("a fresh core");
                }
                Client {
                    link: Link::new(core, random.next_u64()),
                    device,
                    connection: None,
                    connecting: None,
                    published: BTreeMap::new(),
                    settled: BTreeMap::new(),
                    settled_twice: None,
                    seen: BTreeMap::new(),
                    gaps: 0,
                    failed: None,
                }
            })
            .collect();
        let server = Server::new(random.next_u64(), plan);
        Self { plan, now: ms(0), random, server, clients, ghosts: Vec::new(), chaos: true, texts: 0 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    pub(super) fn run(&mut self) {
        while self.now < CHAOS {
            self.now += ms(1 + self.random.next_u64() % 20);
            self.disturb();
            self.turn();
        }
        self.chaos = false;
        self.server.chaos = false;
        while self.now < PATIENCE && !self.is_quiet() {
            self.now += ms(10);
            self.turn();
        }
    }

    fn is_quiet(&mut self) -> bool {
        let heads: Vec<(ConversationId, u64)> = self
            .server
            .conversations
            .iter()
            .map(|(&id, (_, known))| (id, known.entries.len() as u64))
            .collect();
        self.ghosts.is_empty()
            && self.clients.iter_mut().all(|client| {
                let core = client.link.core();
                core.is_idle() && heads.iter().all(|&(id, head)| core.cursor(id) == Some(head))
            })
    }

    fn disturb(&mut self) {
        let index = self.below(3) as usize;
        match self.below(100) {
            0..=29 => self.publish(index),
            30..=32 => self.cut(index),
            33 => {
                if let Some(connection) = &self.clients[index].connection {
                    self.server.go_away(connection.session);
                }
            }
            34 if self.plan.restarts && self.below(10) == 0 => {
                self.server.restart();
                self.ghosts.clear();
                for index in 0..3 {
                    if self.clients[index].connection.take().is_some() {
                        self.closed(index);
                    }
                }
            }
            _ => {}
        }
    }

    fn publish(&mut self, index: usize) {
        let room = ConversationId::from_name(ROOMS[self.below(2) as usize]);
        for _ in 0..1 + self.below(6) {
            self.texts += 1;
            let word = if self.below(8) == 0 { "bad" } else { "good" };
            let body = format!("{word} {index} {}", self.texts).into_bytes();
            let client = &mut self.clients[index];
            match client.link.core().publish(self.now, room, Draft::from(body.clone())) {
                Ok(publish) => client.published.entry(room).or_default().push((publish, body)),
                Err(Error::OutboxFull { .. }) => {}
                Err(error) => client.failed = Some(error),
            }
        }
    }

    /// The connection breaks: the client knows at once, the server reads what was under way, up to any byte, later.
    fn cut(&mut self, index: usize) {
        let Some(mut connection) = self.clients[index].connection.take() else { return };
        let late = self.now + ms(self.random.next_u64() % 1_500);
        for (at, _) in &mut connection.up {
            *at = (*at).max(late);
        }
        let keep = self.below(connection.up.len() as u64 + 1) as usize;
        connection.up.truncate(keep);
        let cut = self.random.next_u64();
        if let Some((_, last)) = connection.up.back_mut() {
            last.truncate((cut % (last.len() as u64 + 1)) as usize);
        }
        self.ghosts.push((connection.session, connection.up, late + ms(200)));
        self.closed(index);
    }

    fn closed(&mut self, index: usize) {
        self.clients[index].link.on_closed(self.now, Cause::Network("cut".into()));
    }

    fn turn(&mut self) {
        for index in 0..self.clients.len() {
            self.drive(index);
        }
        let mut ghosts = std::mem::take(&mut self.ghosts);
        ghosts.retain_mut(|(session, up, end)| {
            deliver(up, self.now, |bytes| self.server.receive(self.now, *session, &bytes));
            let over = up.is_empty() && *end <= self.now;
            if over {
                self.server.sessions.remove(session);
            }
            !over
        });
        self.ghosts = ghosts;
        self.server.tick(self.now);
    }

    fn drive(&mut self, index: usize) {
        let now = self.now;
        let client = &mut self.clients[index];
        if client.connecting.is_some_and(|at| at <= now) {
            client.connecting = None;
            if self.chaos && self.random.next_u64().is_multiple_of(5) {
                client.link.on_closed(now, Cause::Network("refused".into()));
            } else {
                let session = self.server.open();
                client.connection = Some(Connection { session, up: Wire::new(), down: Wire::new() });
                client.link.on_open("model:1", ringwire_protocol::ws::PATH);
            }
        }
        if let Some(connection) = &mut client.connection {
            let (server, link) = (&mut self.server, &mut client.link);
            deliver(&mut connection.up, now, |bytes| server.receive(now, connection.session, &bytes));
            if let Some(session) = server.sessions.get_mut(&connection.session) {
                let output = std::mem::take(&mut session.output);
                put(&mut connection.down, now, output, &mut self.random);
            }
            deliver(&mut connection.down, now, |mut bytes| link.on_bytes(now, &mut bytes));
        }
        if client.link.core().deadline().is_some_and(|due| due <= now) {
            client.link.core().on_timer(now);
        }
        if let Some(connection) = &mut client.connection {
            let mut out = Vec::new();
            client.link.poll_output(now, &mut out);
            put(&mut connection.up, now, out, &mut self.random);
        }
        while let Some(event) = client.link.core().poll_event() {
            client.take(event);
        }
        self.act(index);
    }

    fn act(&mut self, index: usize) {
        while let Some(action) = self.clients[index].link.poll_action() {
            match action {
                Action::Connect { .. } => {
                    let delay = ms(self.below(60));
                    self.clients[index].connecting = Some(self.now + delay);
                }
                Action::Close => {
                    self.clients[index].connecting = None;
                    match self.clients[index].connection.is_some() {
                        true => self.cut(index),
                        false => self.closed(index),
                    }
                }
            }
        }
    }

    /// What must hold.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let quiet = self.is_quiet();
        for (index, client) in self.clients.iter().enumerate() {
            let problem = |what: String| Err(format!("client {index}: {what}"));
            if let Some(error) = &client.failed {
                return problem(format!("failed: {error}"));
            }
            if let Some(publish) = client.settled_twice {
                return problem(format!("{publish} was settled twice"));
            }
            for (room, published) in &client.published {
                let entries = &self.server.conversations[room].1.entries;
                let mut last = 0;
                for (publish, body) in published {
                    let text = String::from_utf8_lossy(body);
                    let places = entries.iter().filter(|entry| entry.body == *body).count();
                    match client.settled.get(publish) {
                        None => return problem(format!("{publish} ({text}) was never settled")),
                        Some(Err(_)) if self.plan.finals && body.starts_with(b"bad") && places == 0 => {}
                        Some(Err(error)) => return problem(format!("{publish} ({text}): {error}")),
                        Some(Ok(sequence)) => {
                            if places != 1 {
                                return problem(format!("{publish} ({text}) is there {places} times"));
                            }
                            let entry = &entries[*sequence as usize - 1];
                            if entry.body != *body || entry.device != client.device {
                                return problem(format!("{publish} ({text}) is not at {sequence}"));
                            }
                            if *sequence <= last {
                                return problem(format!("{publish} ({text}) overtook at {sequence}"));
                            }
                            last = *sequence;
                        }
                    }
                }
            }
            for room in ROOMS.map(ConversationId::from_name) {
                let entries =
                    self.server.conversations.get(&room).map_or(&[][..], |(_, known)| &known.entries[..]);
                let nothing = Vec::new();
                let seen = client.seen.get(&room).unwrap_or(&nothing);
                for (index, (sequence, body)) in seen.iter().enumerate() {
                    if *sequence != index as u64 + 1 {
                        return problem(format!("saw {sequence} in place {}", index + 1));
                    }
                    if entries.get(index).is_none_or(|entry| entry.body != *body) {
                        return problem(format!("saw something else than the server has at {sequence}"));
                    }
                }
                if seen.len() != entries.len() {
                    return problem(format!("saw {} of {}", seen.len(), entries.len()));
                }
            }
            if client.gaps > 0 {
                return problem(format!("{} gaps where nothing is missing", client.gaps));
            }
        }
        if quiet { Ok(()) } else { Err("it never came to rest".into()) }
    }
}

impl Client {
    fn take(&mut self, event: Event) {
        match event {
            Event::Published { publish, published, .. } => self.settle(publish, Ok(published.sequence)),
            Event::PublishFailed { publish, error, .. } => self.settle(publish, Err(error)),
            Event::Message(message) => {
                self.seen
                    .entry(message.conversation)
                    .or_default()
                    .push((message.sequence, message.body.to_vec()));
            }
            Event::Gap { .. } => self.gaps += 1,
            Event::State(State::Failed(error)) | Event::Ended { error, .. } => self.failed = Some(error),
            // A join that was put off beyond its time is tried again by whoever wanted it.
            Event::RequestFailed { .. } => {}
            _ => {}
        }
    }

    fn settle(&mut self, publish: PublishId, outcome: Result<u64, Error>) {
        if self.settled.insert(publish, outcome).is_some() {
            self.settled_twice = Some(publish);
        }
    }
}

/// Puts bytes on the wire, in pieces that arrive one after the other.
fn put(wire: &mut Wire, now: Duration, mut bytes: Vec<u8>, random: &mut Random) {
    let mut at = wire.back().map_or(now, |(at, _)| *at).max(now);
    while !bytes.is_empty() {
        let piece = if random.next_u64().is_multiple_of(3) { random.next_u64() % 40 + 1 } else { u64::MAX };
        let rest = bytes.split_off(usize::try_from(piece).unwrap_or(usize::MAX).min(bytes.len()));
        at += ms(random.next_u64() % 15);
        wire.push_back((at, std::mem::replace(&mut bytes, rest)));
    }
}

fn deliver(wire: &mut Wire, now: Duration, mut take: impl FnMut(Vec<u8>)) {
    while wire.front().is_some_and(|(at, _)| *at <= now) {
        if let Some((_, bytes)) = wire.pop_front() {
            take(bytes);
        }
    }
}
