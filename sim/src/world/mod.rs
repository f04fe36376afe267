//! One world: a server process, its clients, the network and the disk between and under them, under one clock.
//!
//! ```text
//!   active: clients act, things go wrong      settling: nothing goes wrong, everything must come to rest
//!        |                                         |
//!        '---------- active_us ------------------->'--at rest--> power cut, boot --> audit: somebody new reads
//!                                                                everything over the wire --> power cut, the log
//! ```
//!
//! Everything is in one queue of events; an event changes the world and adds others. Nothing outside is asked:
//! no clock, no thread, no file. One seed is one story.
//!
//! The parts of the product in it are real: shards (with their rings, sessions, conversations and journals),
//! recovery, QUIC, and client cores with their links.

mod audit;
mod boot;
mod clients;
mod datagrams;
mod dialling;
mod event;
mod faults;
mod files;
mod intruders;
mod listen;
mod look;
mod onlookers;
mod process;
mod queue;
mod quic;
mod retire;
mod settings;
mod sockets;
mod trace;
mod turn;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ringwire::conversation::direct_name;
use ringwire_protocol::{ConversationId, UserId};

pub use event::{Event, Work};
pub use settings::Settings;
pub use trace::Trace;

use crate::check::amendments::Amendments;
use crate::check::amplification::Amplification;
use crate::check::bounds::Bounds;
use crate::check::counts::Counts as CountsCheck;
use crate::check::devices::Devices;
use crate::check::durability::Durability;
use crate::check::exactly_once::ExactlyOnce;
use crate::check::isolation::Isolation;
use crate::check::order::Order;
use crate::check::presence::Presence;
use crate::check::progress::Progress;
use crate::check::receipts::Receipts;
use crate::check::retention::Retention;
use crate::check::typing::Typing;
use crate::check::{Promise, Room, Verdict, Violation, membership};
use crate::client::Client;
use crate::disk::{Disk, SharedDisk};
use crate::model::Log;
use crate::network::{Network, Paths};
use crate::plant::Plant;
use crate::random::Streams;
use crate::workload::{self, Intruder, Onlooker};
use listen::Line;
use process::Process;
use queue::Queue;

/// Events after which a world is given up: a shard or a client that never sleeps would otherwise run for ever.
const EVENTS_MAX: u64 = 3_000_000;

/// What to run besides the seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A bug to put in.
    pub plant: Option<Plant>,
    /// Tell the story on standard output.
    pub trace: bool,
}

/// How a world ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// Equal for equal stories.
    pub hash: u64,
    /// What happened in it.
    pub counts: Counts,
    /// The fullest that everything with a limit was, and the limit at that time.
    pub levels: Vec<(&'static str, usize, usize)>,
}

/// What happened, so that a simulation in which nothing does is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events in all.
    pub events: u64,
    /// Messages in the journal at the end.
    pub stored: u64,
    /// Of those, edits, deletes and reactions.
    pub amendments: u64,
    /// Of those, changes of members.
    pub changes: u64,
    /// Acknowledgements that left the server.
    pub acks: u64,
    /// Those that answered a repetition.
    pub duplicates: u64,
    /// Live messages that left the server.
    pub live: u64,
    /// Pages that left the server.
    pub pages: u64,
    /// Of those, how many of what is current.
    pub current_pages: u64,
    /// Receipts that left the server.
    pub receipts: u64,
    /// Refusals that left the server.
    pub rejects: u64,
    /// Those that said: later.
    pub busy: u64,
    /// Messages that readers read.
    pub read: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Processes that ended in good order.
    pub drains: u64,
    /// Journals that failed.
    pub failures: u64,
    /// Writes that a power cut took or tore.
    pub torn: u64,
    /// Starts that died half way.
    pub half_starts: u64,
    /// Sends that were cut short.
    pub stalls: u64,
    /// Connections that the server cut because they did not keep up.
    pub slow: u64,
    /// Messages that were left out for a slow connection, and spoken of by their head.
    pub demoted: u64,
    /// Heads told to those who have a large conversation, but not open.
    pub heads: u64,
    /// Connections that the server closed for a fault of the peer.
    pub faults: u64,
    /// Messages that were shown before they were synced.
    pub from_memory: u64,
    /// Connections that were broken.
    pub cuts: u64,
    /// Connections that were made.
    pub dials: u64,
    /// Of those, over QUIC.
    pub quic_dials: u64,
    /// Of those, of browsers.
    pub web_dials: u64,
    /// Sessions over WebTransport that came about.
    pub web_opened: u64,
    /// QUIC connections that came about.
    pub quic_opened: u64,
    /// Of those, what was said before the handshake was over and taken.
    pub early: u64,
    /// Of those, what was said so and had to be said again.
    pub early_refused: u64,
    /// Clients that QUIC turned away, because there were as many as there may be.
    pub quic_refused: u64,
    /// QUIC connections that did not become a session in time.
    pub quic_overdue: u64,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Of those, lost by chance.
    pub datagrams_lost: u64,
    /// Of those, too long for their path.
    pub too_wide: u64,
    /// Datagrams that came to another shard's socket.
    pub strays: u64,
    /// Datagrams that strangers sent.
    pub from_strangers: u64,
    /// Datagrams that begin a connection, or look so, of who never goes on.
    pub half_begun: u64,
    /// Times that an onlooker heard something over QUIC.
    pub looked_on: u64,
    /// Frames and garbage that intruders sent beside their streams.
    pub noise: u64,
    /// Streams that intruders opened and may not have.
    pub streams_too_many: u64,
    /// Datagrams that were marked for congestion.
    pub marked: u64,
    /// Datagrams whose marks were wiped out.
    pub bleached: u64,
    /// Clients asked to prove their address.
    pub retried: u64,
    /// QUIC connections of clients that came about where everybody is asked.
    pub proven: u64,
    /// Clients told by a reset that the server has no such connection any more.
    pub resets: u64,
    /// Times that somebody moved to another address.
    pub moves: u64,
    /// Connections that went on after one.
    pub moves_survived: u64,
    /// Publishes that clients wished for.
    pub wishes: u64,
    /// Reads of the disk for history.
    pub disk_reads: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Segments that were given up.
    pub given_up: u64,
    /// Times that somebody was told that messages have expired.
    pub expired: u64,
    /// Counts of conversations that left the server.
    pub counts: u64,
    /// Signs of typing that left the server.
    pub typing: u64,
}

macro_rules! add_up {
    ($into:ident, $from:ident: $($name:ident)*) => { $($into.$name += $from.$name;)* };
}

impl Counts {
    /// Adds those of another world.
    pub fn add(&mut self, other: &Counts) {
        let into = self;
        add_up!(into, other: events stored amendments changes acks duplicates live pages current_pages receipts rejects busy read crashes drains failures torn
            half_starts stalls slow demoted heads faults from_memory cuts dials wishes disk_reads checkpoints given_up expired counts typing
            quic_dials web_dials web_opened quic_opened early early_refused quic_refused quic_overdue datagrams datagrams_lost too_wide strays from_strangers
            half_begun looked_on noise streams_too_many marked bleached retried proven resets moves moves_survived);
    }
}

/// How far a world has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Active,
    Settling,
    Audit,
    Over,
}

/// The checkers of one world.
struct Checks {
    order: Order,
    durability: Durability,
    exactly_once: ExactlyOnce,
    isolation: Isolation,
    amendments: Amendments,
    receipts: Receipts,
    retention: Retention,
    bounds: Bounds,
    amplification: Amplification,
    progress: Progress,
    presence: Presence,
    counts: CountsCheck,
    typing: Typing,
    devices: Devices,
}

/// See the module.
pub struct World {
    settings: Settings,
    plant: Option<Plant>,
    random: Streams,
    now_us: u64,
    /// What the wall's clock says beyond the time that has passed, milliseconds.
    unix_ms: u64,
    queue: Queue,
    trace: Trace,
    stage: Stage,
    network: Network,
    paths: Paths,
    /// The last number of a deadline of somebody's QUIC.
    quic_wakes: u32,
    /// What each socket was sent, by its number.
    lines: Vec<Line>,
    disk: SharedDisk,
    /// Operations of the disk take so many times longer until then.
    slow_disk_until_us: u64,
    /// How many of the next writes and creations fail.
    disk_failures: u32,
    /// The next job, or the next recovery, is cut off after so many steps.
    fuse: Option<u32>,
    process: Option<Process>,
    epoch: u32,
    clients: Vec<Client>,
    intruders: Vec<Intruder>,
    onlookers: Vec<Onlooker>,
    lives: u32,
    names: Vec<String>,
    ids: Vec<ConversationId>,
    /// Whose the last conversations are, which are direct ones.
    pairs: Vec<(String, String)>,
    /// Requests for what is current, by life and number.
    current: BTreeSet<(u32, u32)>,
    checks: Checks,
    counts: Counts,
}

impl World {
    /// The world of this seed, before anything has happened.
    pub fn new(seed: u64, options: Options) -> Self {
        let settings = Settings::draw(seed);
        let mut names: Vec<String> = (0..settings.rooms).map(|room| format!("room-{room}")).collect();
        let pairs = workload::pairs(&settings);
        names.extend(pairs.iter().map(|(one, other)| direct_name(id_of(one), id_of(other))));
        let rooms = names.len();
        let mut world = World {
            plant: options.plant,
            random: Streams::new(seed),
            now_us: 0,
            unix_ms: 1_800_000_000_000,
            queue: Queue::default(),
            trace: Trace::new(options.trace),
            stage: Stage::Active,
            network: Network::default(),
            paths: Paths::default(),
            quic_wakes: 0,
            lines: Vec::new(),
            disk: Disk::shared(),
            slow_disk_until_us: 0,
            disk_failures: 0,
            fuse: None,
            process: None,
            epoch: 0,
            clients: Vec::new(),
            intruders: Vec::new(),
            onlookers: Vec::new(),
            lives: 0,
            ids: names.iter().map(|name| ConversationId::from_name(name)).collect(),
            names,
            pairs,
            current: BTreeSet::new(),
            checks: Checks {
                order: Order::new(rooms, settings.limits.push_below < 100),
                durability: Durability::new(rooms),
                exactly_once: ExactlyOnce::default(),
                isolation: Isolation::default(),
                amendments: Amendments::default(),
                receipts: Receipts::default(),
                retention: Retention::new(settings.retention, settings.rooms, rooms),
                bounds: Bounds::default(),
                amplification: Amplification::default(),
                progress: Progress::default(),
                presence: Presence::default(),
                counts: CountsCheck::default(),
                typing: Typing::default(),
                devices: Devices::default(),
            },
            counts: Counts::default(),
            settings,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        self.plan(0, Event::Boot);
        for client in 0..self.settings.clients {
            let user = client % self.settings.users;
            self.add_client(workload::user(user));
        }
        for _ in 0..self.settings.intruders {
            self.add_intruder();
        }
        for number in 0..self.settings.onlookers {
            self.add_onlooker(number);
        }
        let first = self.random.faults.around(self.settings.faults.every_us);
        self.plan(first, Event::Fault);
        self.plan(self.settings.active_us, Event::Look);
        if self.settings.datagrams.share > 0 {
            self.plan(self.settings.datagrams.move_us, Event::Move);
        }
    }

    /// Adds an event, `in_us` from now.
    fn plan(&mut self, in_us: u64, event: Event) {
        let tie = self.random.schedule.word();
        self.queue.push(self.now_us + in_us, tie, event);
    }

    /// The room of a conversation.
    fn room(&self, id: ConversationId) -> Verdict<Room> {
        match self.ids.iter().position(|known| *known == id) {
            Some(room) => Ok(room),
            None => Promise::Isolation.broken(format!("the server speaks of {id}, which nobody joined")),
        }
    }

    /// Lets everything happen, to the end.
    fn run(&mut self) -> Verdict {
        while self.stage != Stage::Over {
            let Some((at_us, event)) = self.queue.pop() else {
                return Promise::Progress.broken("nothing will ever happen again");
            };
            self.now_us = at_us;
            self.counts.events += 1;
            if self.counts.events > EVENTS_MAX {
                return Promise::Progress.broken(format!("{EVENTS_MAX} events, and no end"));
            }
            self.on_event(event)?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event) -> Verdict {
        match event {
            Event::Turn { epoch, shard, version } => self.on_turn(epoch, shard, version),
            Event::Dial(socket) => self.on_dial(socket),
            Event::Answered(socket, accepted) => self.on_answered(socket, accepted),
            Event::Arrive(socket, side) => self.on_arrive(socket, side),
            Event::Room(socket, side) => self.on_room(socket, side),
            Event::Released { epoch, shard, connection } => self.on_released(epoch, shard, connection),
            Event::Disk { epoch, shard, work } => self.on_disk(epoch, shard, *work),
            Event::Wake { client, version } => self.on_wake(client, version),
            Event::Datagram { path, to, ecn, sent_us, bytes } => {
                self.on_datagram(path, to, ecn, sent_us, bytes)
            }
            Event::QuicWake { whose, version } => self.on_quic_wake(whose, version),
            Event::Move => self.on_move(),
            Event::Act { client } => self.on_act(client),
            Event::Thaw { client } => self.on_thaw(client),
            Event::Intrude { intruder } => self.on_intrude(intruder),
            Event::Onlook { onlooker } => self.on_onlook(onlooker),
            Event::Fault => self.on_fault(),
            Event::Checkpoint { epoch } => self.on_checkpoint(epoch),
            Event::Boot => self.on_boot(),
            Event::Look => self.on_look(),
        }
    }

    /// The journal is this: everybody who can judge it does.
    fn check_log(&mut self, log: &Log) -> Verdict {
        self.checks.durability.on_log(log)?;
        self.checks.order.on_log(log)?;
        self.checks.receipts.on_log(log)?;
        membership::check(log, self.settings.rooms)
    }
}

/// Runs the world of a seed.
pub fn run(seed: u64, options: Options) -> Outcome {
    // What panics is dropped with the world it was in.
    let run = AssertUnwindSafe(|| {
        let mut world = World::new(seed, options);
        let result = world.run();
        let mut violation = result.err();
        if let Some(violation) = &mut violation {
            violation.what = format!("{} (at {:.3} ms)", violation.what, world.now_us as f64 / 1000.0);
        }
        let levels = world.checks.bounds.highest().collect();
        Outcome { violation, hash: world.trace.hash(), counts: world.counts, levels }
    });
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        let violation = Violation { promise: Promise::Contract, what: format!("panic: {text}") };
        Outcome { violation: Some(violation), hash: 0, counts: Counts::default(), levels: Vec::new() }
    })
}

fn id_of(name: &str) -> UserId {
    UserId::from_name(name)
}
