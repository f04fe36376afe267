//! Who is measured, and how each is started for its turn.

use std::process::Command;

use ringwire_protocol::message::{Ack, Encoder, Kind as MessageKind, Message, Pong};
use ringwire_protocol::{ConversationId, DeviceId, UserId};

use super::scene::{self, Turn};
use super::{Options, Round};
use crate::fault::{Fault, Result};
use crate::load::adapter::bare::Bare;
use crate::load::adapter::ringwire::Ringwire as RingwireAdapter;
use crate::load::engine::Engine;
use crate::peers::{Peer, Running, mosquitto, nats, nchan, node_ws};
use crate::scenario::Scenario;
use crate::system::processor::Split;
use crate::system::server::{Process, Ringwire, Setup};

/// Who is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Our server, on a driver.
    Ringwire(String),
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
    /// Somebody else's server.
    Peer(String),
}

impl std::fmt::Display for Contender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Contender::Ringwire(driver) => write!(f, "ringwire {driver}"),
            Contender::Versus { driver, name } => write!(f, "ringwire {driver}, {name}"),
            Contender::Bare { coalesces: false } => f.write_str("bare send"),
            Contender::Bare { coalesces: true } => f.write_str("bare send, coalescing"),
            Contender::Peer(name) => f.write_str(name),
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
            Contender::Ringwire(_) => Split::of(scenario.shards)?,
            Contender::Versus { .. } => Split::of(scenario.versus().unwrap_or(scenario.clone()).shards)?,
            Contender::Bare { .. } | Contender::Peer(_) => Split::of(1)?,
        };
        let turn = Turn { scenario, is_real_time: options.is_real_time, contender: self, split: &split };
        match self {
            Contender::Ringwire(driver) => ours(&turn, options, driver),
            Contender::Versus { driver, .. } => {
                let scenario = scenario
                    .versus()
                    .ok_or_else(|| Fault::Usage(format!("{} has no other half (versus)", scenario.name)))?;
                ours(&Turn { scenario: &scenario, ..turn }, options, driver)
            }
            Contender::Bare { coalesces } => bare(&turn, *coalesces),
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

fn ours(turn: &Turn<'_>, options: &Options, driver: &str) -> Result<Round> {
    let scenario = turn.scenario;
    let setup = Setup {
        binary: options.binary.clone(),
        driver: driver.to_owned(),
        shards: scenario.shards,
        settings: scenario.settings.clone(),
        cpus: turn.split.server.clone(),
    };
    let Ringwire { mut process, address, data } = Ringwire::start(&setup)?;
    let durability = options.durability.unwrap_or(scenario.durability).durability();
    let adapter = RingwireAdapter { prefix: "room".to_owned(), durability };
    let figure = scene::run(turn, Engine::new(adapter, address)?, &mut process, true);
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
    like_bare(turn, "the bare loop", command)
}

/// A program that speaks the bare loop's protocol, and says "listening on ADDRESS" first.
fn like_bare(turn: &Turn<'_>, name: &str, command: Command) -> Result<Round> {
    let body = turn.scenario.body_bytes as usize;
    let mut process = Process::start(name, command, &turn.split.server)?;
    let address = process.wait_for_line(|line| line.strip_prefix("listening on ")?.parse().ok())?;
    let adapter = Bare { around_body: frame_bytes(body) - body, echo_bytes: pong_bytes() };
    scene::run(turn, Engine::new(adapter, address)?, &mut process, true)
}

fn peer<P: Peer>(turn: &Turn<'_>) -> Result<Round> {
    let Running { mut process, address, adapter, is_acknowledged, folder } = P::start(&turn.split.server)?;
    let figure = scene::run(turn, Engine::new(adapter, address)?, &mut process, is_acknowledged);
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
