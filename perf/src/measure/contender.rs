//! Who is measured, and how each is started for its turn.

use std::process::Command;
use std::time::Duration;

use ringwire_protocol::message::{Ack, Encoder, Kind as MessageKind, Message, Pong};
use ringwire_protocol::{ConversationId, DeviceId, UserId};

use super::scene::{self, Turn};
use super::{Options, Round};
use crate::bare::quic::BARE_PROTOCOL;
use crate::fault::{Fault, Result};
use crate::load::adapter::bare::Bare;
use crate::load::adapter::ringwire::Ringwire as RingwireAdapter;
use crate::load::engine::Engine;
use crate::load::link::{Transport, Way};
use crate::peers::{Peer, Running, mosquitto, nats, nchan, node_ws};
use crate::scenario::{Promise, Scenario};
use crate::system::certificate::Certificate;
use crate::system::processor::Split;
use crate::system::server::{Process, Ringwire, Setup};
use crate::{append, comparators};

/// Who is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Our server.
    Ringwire {
        /// Its driver.
        driver: String,
        /// What its clients reach it over.
        transport: Transport,
    },
    /// The same, in the scenario's other half.
    Versus {
        /// The driver.
        driver: String,
        /// What the other half is called.
        name: String,
    },
    /// The bare loop; joined or one send per message.
    Bare {
        /// All messages of one read leave as one send per socket.
        coalesces: bool,
    },
    /// The bare loop's work over QUIC, on quinn.
    BareQuic,
    /// The bare loop's work on another runtime.
    Runtime(String),
    /// Somebody else's server.
    Peer(String),
    /// A store alone: one of `append::ENGINES`, or another one.
    Store(String),
}

impl std::fmt::Display for Contender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Contender::Ringwire { driver, transport: Transport::Ws } => write!(f, "ringwire {driver}"),
            Contender::Ringwire { driver, transport } => write!(f, "ringwire {driver}, {transport}"),
            Contender::Versus { driver, name } => write!(f, "ringwire {driver}, {name}"),
            Contender::Bare { coalesces: false } => f.write_str("bare send"),
            Contender::Bare { coalesces: true } => f.write_str("bare send, coalescing"),
            Contender::BareQuic => f.write_str("bare quinn"),
            Contender::Runtime(name) => write!(f, "fan-out on {name}"),
            Contender::Peer(name) => f.write_str(name),
            Contender::Store(name) => f.write_str(match name.as_str() {
                "bare" => "bare write and fdatasync",
                "ringwire" => "ringwire journal, one thread",
                "uring" => "ringwire journal on uring",
                "epoll" => "ringwire journal on epoll",
                "sled" => "sled (its flush does not sync)",
                other => other,
            }),
        }
    }
}

impl Contender {
    /// Its turn, on processes of its own.
    ///
    /// # Errors
    /// It does not start, dies, breaks a promise, or the machine does not allow it.
    pub(super) fn turn(&self, scenario: &Scenario, options: &Options) -> Result<Round> {
        let split = match self {
            Contender::Ringwire { .. } => Split::of(scenario.shards)?,
            Contender::Versus { .. } => Split::of(scenario.versus().unwrap_or(scenario.clone()).shards)?,
            _ => Split::of(1)?,
        };
        let turn = Turn { scenario, is_real_time: options.is_real_time, contender: self, split: &split };
        match self {
            Contender::Ringwire { driver, transport } => ours(&turn, options, driver, *transport),
            Contender::Versus { driver, .. } => {
                let scenario = scenario
                    .versus()
                    .ok_or_else(|| Fault::Usage(format!("{} has no other half (versus)", scenario.name)))?;
                ours(&Turn { scenario: &scenario, ..turn }, options, driver, Transport::Ws)
            }
            Contender::Bare { coalesces } => bare(&turn, *coalesces),
            Contender::BareQuic => bare_quic(&turn),
            Contender::Runtime(name) => {
                let mut command = Command::new(comparators::find().map_err(Fault::Usage)?);
                command.args(["fanout", name, "127.0.0.1:0", &(ack_bytes() + 2).to_string()]);
                like_bare(&turn, name, command, Way::Tcp)
            }
            Contender::Store(engine) => store(&turn, engine),
            Contender::Peer(name) => match name.as_str() {
                nats::Nats::NAME => peer::<nats::Nats>(&turn),
                node_ws::NodeWs::NAME => peer::<node_ws::NodeWs>(&turn),
                mosquitto::Mosquitto::NAME => peer::<mosquitto::Mosquitto>(&turn),
                nchan::Nchan::NAME => peer::<nchan::Nchan>(&turn),
                other => Err(Fault::Usage(format!("there is no peer {other}"))),
            },
        }
    }
}

fn ours(turn: &Turn<'_>, options: &Options, driver: &str, transport: Transport) -> Result<Round> {
    let scenario = turn.scenario;
    let setup = Setup {
        binary: options.binary.clone(),
        driver: driver.to_owned(),
        shards: scenario.shards,
        settings: scenario.settings.clone(),
        cpus: turn.split.server.clone(),
        transport,
    };
    let server = Ringwire::start(&setup)?;
    let framing = server.framing();
    let Ringwire { mut process, address, way, data } = server;
    let promise = options.durability.unwrap_or(scenario.durability);
    if promise == Promise::Synced {
        append::want_disk(data.path())?;
    }
    let adapter = RingwireAdapter { prefix: "room".to_owned(), durability: promise.durability(), framing };
    let figure = scene::run(turn, Engine::new(adapter, address, way)?, &mut process, true);
    drop((process, data));
    figure
}

fn bare(turn: &Turn<'_>, coalesces: bool) -> Result<Round> {
    let own = std::env::current_exe().map_err(Fault::system("finding this program"))?;
    let mut command = Command::new(own);
    command.args(["bare", "--listen", "127.0.0.1:0", "--ack-bytes", &(ack_bytes() + 2).to_string()]);
    if coalesces {
        command.arg("--coalesce");
    }
    like_bare(turn, "the bare loop", command, Way::Tcp)
}

fn bare_quic(turn: &Turn<'_>) -> Result<Round> {
    let own = std::env::current_exe().map_err(Fault::system("finding this program"))?;
    let folder = tempfile::tempdir().map_err(Fault::system("making a folder"))?;
    let certificate = Certificate::make(folder.path())?;
    let mut command = Command::new(own);
    command.args([
        "bare",
        "--listen",
        "127.0.0.1:0",
        "--ack-bytes",
        &(ack_bytes() + 2).to_string(),
        "--quic",
    ]);
    command.args([&certificate.certificate_file, &certificate.key_file]);
    like_bare(turn, "the bare loop on quinn", command, certificate.way(Transport::Quic, BARE_PROTOCOL)?)
}

/// A program that speaks the bare loop's protocol, and says "listening on ADDRESS" first.
fn like_bare(turn: &Turn<'_>, name: &str, command: Command, way: Way) -> Result<Round> {
    let body = turn.scenario.body_bytes as usize;
    let mut process = Process::start(name, command, &turn.split.server)?;
    let address = process.wait_for_line(|line| line.strip_prefix("listening on ")?.parse().ok())?;
    let adapter = Bare { around_body: frame_bytes(body) - body, echo_bytes: pong_bytes() };
    scene::run(turn, Engine::new(adapter, address, way)?, &mut process, true)
}

/// A store in a process and an empty folder of its own, on all processors.
fn store(turn: &Turn<'_>, engine: &str) -> Result<Round> {
    let Turn { scenario, contender, .. } = *turn;
    let folder = tempfile::Builder::new()
        .prefix("ringwire-append-")
        .tempdir()
        .map_err(Fault::system("making a folder"))?;
    append::want_disk(folder.path())?;
    let work = append::work::Work {
        folder: folder.path().to_owned(),
        batch: scenario.steps.first().map_or(1, |batch| *batch as usize),
        body_bytes: scenario.body_bytes as usize,
        conversations: scenario.rooms.into(),
        time: Duration::from_secs_f64(scenario.window_s),
    };
    let program = if append::ENGINES.contains(&engine) {
        std::env::current_exe().map_err(Fault::system("finding this program"))?
    } else {
        comparators::find().map_err(Fault::Usage)?
    };
    let mut command = Command::new(program);
    command.args(["append", engine]).args(work.arguments());
    let mut process = Process::start(engine, command, &Split::all())?;
    let (mut resident_before_bytes, mut resident_bytes) = (0, 0);
    // It says one line at its end; its memory can be read until then.
    let line: append::Line = loop {
        if let Ok(bytes) = crate::system::memory::total(process.pid()) {
            resident_bytes = bytes;
            resident_before_bytes = if resident_before_bytes == 0 { bytes } else { resident_before_bytes };
        }
        if let Some(line) = process.line(|line| serde_json::from_str(line).ok())? {
            break line;
        }
    };
    drop((process, folder));
    if line.appends == 0 || line.seconds < scenario.window_s {
        return Err(Fault::Server(format!("{contender} stopped early: {line:?}")));
    }
    Ok(Round {
        scenario: scenario.name.clone(),
        contender: contender.to_string(),
        round: 0,
        step: None,
        deliveries: line.appends,
        publishes: line.appends,
        reached_percent: None,
        window_s: line.seconds,
        cpu_us: line.cpu_us / line.appends as f64,
        per_second: line.appends as f64 / line.seconds,
        latency_us: line.latency_us,
        resident_bytes,
        resident_before_bytes,
        connections: 0,
        busy_percent: 0.0,
        others_percent: 0.0,
        is_saturated: false,
    })
}

fn peer<P: Peer>(turn: &Turn<'_>) -> Result<Round> {
    let Running { mut process, address, adapter, is_acknowledged, folder } = P::start(&turn.split.server)?;
    let figure = scene::run(turn, Engine::new(adapter, address, Way::Tcp)?, &mut process, is_acknowledged);
    drop((process, folder));
    figure
}

/// Bytes of our server's frame around such a body.
fn frame_bytes(body: usize) -> usize {
    let body = vec![0; body];
    let message = Message {
        conversation: ConversationId::from_name("x"),
        sequence: 1,
        time_ms: 1,
        sender: UserId::from_name("x"),
        origin: DeviceId::from_name("x").origin(),
        client_sequence: 1,
        reference: 0,
        kind: MessageKind::Application,
        body: &body,
    };
    let mut out = Vec::new();
    message.encode(&mut Encoder::new(), &mut out);
    out.len()
}

fn ack_bytes() -> usize {
    let ack = Ack {
        conversation: ConversationId::from_name("x"),
        client_sequence: 1,
        sequence: 1,
        server_time_ms: 1,
        durability: ringwire_protocol::message::Durability::Memory,
        duplicate: false,
    };
    let mut out = Vec::new();
    ack.encode(&mut Encoder::new(), &mut out);
    out.len()
}

fn pong_bytes() -> usize {
    let mut out = Vec::new();
    Pong { token: 1, server_time_ms: 1 }.encode(&mut Encoder::new(), &mut out);
    out.len()
}
