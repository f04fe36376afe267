//! Measuring a scenario: who is compared, in which order, and what is taken down.
//!
//! The contenders take turns (A B C A B C …), each round with fresh processes, so that what changes on the
//! machine meanwhile meets all of them; figures are medians of rounds, and ratios are taken within a round.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ringwire_protocol::message::{Ack, Encoder, Kind as MessageKind, Message, Pong};
use ringwire_protocol::{ConversationId, DeviceId, UserId};
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Result};
use crate::load::adapter::bare::Bare;
use crate::load::adapter::ringwire::Ringwire as RingwireAdapter;
use crate::load::adapter::{Adapter, Role};
use crate::load::drive::{self, Pace, Seen};
use crate::load::engine::Engine;
use crate::load::room::Rooms;
use crate::peers::{Peer, Running, mosquitto, nats, nchan, node_ws};
use crate::reconnect;
use crate::scenario::{Kind, Promise, Scenario};
use crate::system::processor::{self, Split};
use crate::system::server::{Process, Ringwire, Setup};
use crate::system::{now_ns, want_descriptors};

/// Share of the window above which the generator is the bottleneck, percent.
pub const BUSY_PERCENT_MAX: f64 = 90.0;

/// Who is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contender {
    /// Our server, on a driver.
    Ringwire(String),
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
            Contender::Bare { coalesces: false } => f.write_str("bare send"),
            Contender::Bare { coalesces: true } => f.write_str("bare send, coalescing"),
            Contender::Peer(name) => f.write_str(name),
        }
    }
}

/// How a scenario is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's binary.
    pub binary: PathBuf,
    /// Who, in the order of their turns.
    pub contenders: Vec<Contender>,
    /// How often each.
    pub rounds: u32,
    /// Real-time priority for server and generator: for machines that are shared with other work.
    pub is_real_time: bool,
    /// Record a round whose generator was saturated, marked, instead of failing.
    pub allow_saturated: bool,
    /// The promise asked for, instead of the scenario's.
    pub durability: Option<Promise>,
}

/// One turn of one contender.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    /// The scenario.
    pub scenario: String,
    /// Who.
    pub contender: String,
    /// Which round, from 0.
    pub round: u32,
    /// Deliveries in the window (or echoes, acknowledgements, connections).
    pub deliveries: u64,
    /// Publishes completed in the window.
    pub publishes: u64,
    /// Length of the window, seconds.
    pub window_s: f64,
    /// Processor time of the server in the window, µs per delivery.
    pub cpu_us: f64,
    /// Deliveries per second.
    pub per_second: f64,
    /// Latency percentiles, µs.
    pub latency_us: BTreeMap<String, f64>,
    /// Resident memory of the server at the window's end, bytes.
    pub resident_bytes: u64,
    /// Share of the window that the generator was busy, percent.
    pub busy_percent: f64,
    /// Share of the server's processor that others took, percent.
    pub others_percent: f64,
    /// The generator was the bottleneck: the figure is a lower bound.
    pub is_saturated: bool,
}

/// Measures all rounds; `each` is told of every one.
///
/// # Errors
/// See [`Fault`]; a contender that fails ends the measurement, because a comparison with holes is none.
pub fn run(scenario: &Scenario, options: &Options, each: &mut dyn FnMut(&Round)) -> Result<Vec<Round>> {
    want_descriptors(u64::from(scenario.connections()) + 64)?;
    let split = processor::split()?;
    processor::bind(split.load)?;
    if options.is_real_time {
        real_time(std::process::id())?;
    }
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        for contender in &options.contenders {
            let mut figure = turn(scenario, options, contender, split)?;
            figure.round = round;
            if figure.busy_percent > BUSY_PERCENT_MAX {
                if !options.allow_saturated {
                    return Err(Fault::Saturated(figure.busy_percent, BUSY_PERCENT_MAX));
                }
                figure.is_saturated = true;
            }
            each(&figure);
            rounds.push(figure);
        }
    }
    Ok(rounds)
}

/// Gives a process real-time priority, by the tool that everybody has.
fn real_time(pid: u32) -> Result<()> {
    let status = Command::new("chrt")
        .args(["-a", "-f", "-p", "10", &pid.to_string()])
        .status()
        .map_err(Fault::system("starting chrt"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Fault::Machine("real-time priority is refused (it needs CAP_SYS_NICE)".to_owned()))
    }
}

fn turn(scenario: &Scenario, options: &Options, contender: &Contender, split: Split) -> Result<Round> {
    let body = scenario.body_bytes as usize;
    match contender {
        Contender::Ringwire(driver) => {
            let setup = Setup {
                binary: options.binary.clone(),
                driver: driver.clone(),
                shards: scenario.shards,
                settings: scenario.settings.clone(),
                cpu: Some(split.server),
            };
            let server = Ringwire::start(&setup)?;
            let durability = options.durability.unwrap_or(scenario.durability).durability();
            let adapter = RingwireAdapter { prefix: "room".to_owned(), durability };
            let engine = Engine::new(adapter, server.address)?;
            let Ringwire { mut process, data, .. } = server;
            let figure = with(scenario, options, contender, split, engine, &mut process, true);
            drop((process, data));
            figure
        }
        Contender::Bare { coalesces } => {
            let own = std::env::current_exe().map_err(Fault::system("finding this program"))?;
            let mut command = Command::new(own);
            command.args(["bare", "--listen", "127.0.0.1:0", "--ack-bytes", &(ack_bytes() + 2).to_string()]);
            if *coalesces {
                command.arg("--coalesce");
            }
            let mut process = Process::start("the bare loop", command, Some(split.server))?;
            let address = process.wait_for_line(|line| line.strip_prefix("listening on ")?.parse().ok())?;
            let adapter = Bare { around_body: frame_bytes(body) - body, echo_bytes: pong_bytes() };
            let engine = Engine::new(adapter, address)?;
            with(scenario, options, contender, split, engine, &mut process, true)
        }
        Contender::Peer(name) => match name.as_str() {
            nats::Nats::NAME => peer::<nats::Nats>(scenario, options, contender, split),
            node_ws::NodeWs::NAME => peer::<node_ws::NodeWs>(scenario, options, contender, split),
            mosquitto::Mosquitto::NAME => peer::<mosquitto::Mosquitto>(scenario, options, contender, split),
            nchan::Nchan::NAME => peer::<nchan::Nchan>(scenario, options, contender, split),
            other => Err(Fault::Usage(format!("there is no peer {other}"))),
        },
    }
}

fn peer<P: Peer>(
    scenario: &Scenario,
    options: &Options,
    contender: &Contender,
    split: Split,
) -> Result<Round> {
    let Running { mut process, address, adapter, is_acknowledged, folder } = P::start(split.server)?;
    let engine = Engine::new(adapter, address)?;
    let figure = with(scenario, options, contender, split, engine, &mut process, is_acknowledged);
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

/// Runs a scenario against whatever the engine is connected to.
fn with<A: Adapter>(
    scenario: &Scenario,
    options: &Options,
    contender: &Contender,
    split: Split,
    mut engine: Engine<A>,
    process: &mut Process,
    is_acknowledged: bool,
) -> Result<Round> {
    if options.is_real_time {
        for pid in processor::family(process.pid()) {
            real_time(pid)?;
        }
    }
    let pid = process.pid();
    let process = std::cell::RefCell::new(process);
    let mut check = || process.borrow_mut().check();
    let mut edges: Vec<Edge> = Vec::new();
    let mut at_edge = || {
        edges.push(Edge::now(pid, split)?);
        Ok(())
    };
    let seen = scene(scenario, &mut engine, is_acknowledged, &mut at_edge, &mut check);
    // A server that died is the reason, whatever the sockets said.
    check()?;
    let seen = seen?;
    let [begin, end] = &edges[..] else {
        return Err(Fault::Machine("the window has no two edges".to_owned()));
    };
    let window_s = seen.window_ns as f64 / 1e9;
    let cpu_ns = (end.cpu_ns - begin.cpu_ns) as f64;
    let percentiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
    let latency = |quantile| seen.latencies.value_at_quantile(quantile) as f64 / 1e3;
    if seen.deliveries == 0 {
        return Err(Fault::Server(format!("{contender} delivered nothing in {window_s:.1} s")));
    }
    Ok(Round {
        scenario: scenario.name.clone(),
        contender: contender.to_string(),
        round: 0,
        deliveries: seen.deliveries,
        publishes: seen.publishes,
        window_s,
        cpu_us: cpu_ns / 1e3 / seen.deliveries as f64,
        per_second: seen.deliveries as f64 / window_s,
        latency_us: percentiles
            .iter()
            .map(|(name, quantile)| ((*name).to_owned(), latency(*quantile)))
            .collect(),
        resident_bytes: end.resident_bytes,
        busy_percent: seen.busy_share * 100.0,
        others_percent: ((end.processor_ns - begin.processor_ns) as f64 - cpu_ns).max(0.0)
            / (seen.window_ns as f64)
            * 100.0,
        is_saturated: false,
    })
}

/// What the server had used at one edge of the window.
struct Edge {
    cpu_ns: u64,
    processor_ns: u64,
    resident_bytes: u64,
}

impl Edge {
    fn now(pid: u32, split: Split) -> Result<Self> {
        let (mut cpu_ns, mut resident_bytes) = (0, 0);
        for pid in processor::family(pid) {
            cpu_ns += processor::used_ns(pid)?;
            resident_bytes += crate::system::memory::total(pid)?;
        }
        Ok(Edge { cpu_ns, processor_ns: processor::busy_ns(split.server), resident_bytes })
    }
}

fn scene<A: Adapter>(
    scenario: &Scenario,
    engine: &mut Engine<A>,
    is_acknowledged: bool,
    at_edge: &mut dyn FnMut() -> Result<()>,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Seen> {
    let people = scenario.people();
    let (warm_up, window) =
        (Duration::from_secs_f64(scenario.warm_up_s), Duration::from_secs_f64(scenario.window_s));
    if scenario.kind == Kind::Connect {
        at_edge()?;
        let began = now_ns();
        let waited = engine.waited_ns;
        engine.connect(people, check, &mut |_, _, _, _| Ok(()))?;
        let window_ns = now_ns() - began;
        at_edge()?;
        return Ok(Seen {
            deliveries: u64::from(scenario.subscribers),
            publishes: 0,
            window_ns,
            latencies: crate::load::room::histogram(),
            busy_share: 1.0 - (engine.waited_ns - waited) as f64 / window_ns as f64,
            received_bytes: engine.received_bytes,
        });
    }
    engine.connect(people, check, &mut |_, _, _, _| Ok(()))?;
    // What joining has caused is still being delivered and written.
    let until = now_ns() + 200_000_000;
    while now_ns() < until {
        engine.turn(Some(Duration::from_millis(10)), &mut |_, _, _, _| Ok(()))?;
    }
    let subscriptions: Vec<Vec<u32>> = engine
        .connections()
        .iter()
        .map(|connection| match &connection.who.role {
            Role::Subscriber(rooms) => rooms.clone(),
            _ => Vec::new(),
        })
        .collect();
    let mut rooms = Rooms::new(scenario.rooms, &subscriptions, scenario.body_bytes as usize);
    for nth in 0..scenario.stopped_readers {
        let stopped = scenario.connections() - 1 - nth;
        engine.stop_reading(stopped, true)?;
        rooms.leave(stopped);
    }
    let plan = scenario.plan(is_acknowledged);
    // A generator that sleeps would have the server pay for waking it; in an open loop at a low rate it would
    // otherwise burn a processor for nothing, but both sides of a comparison are treated alike.
    engine.sleeps = false;
    let seen = match scenario.kind {
        Kind::Echo => drive::echo(engine, 0..scenario.subscribers, warm_up, window, at_edge, check),
        Kind::Reconnect => reconnect::run(scenario, engine, &mut rooms, &plan, at_edge, check),
        Kind::Fanout | Kind::Connect => drive::drive(engine, &mut rooms, &plan, at_edge, check),
    }?;
    if let Pace::Open { per_second } = plan.pace {
        let share = seen.publishes as f64 / (per_second * seen.window_ns as f64 / 1e9);
        if share < 0.9 {
            eprintln!("note: {:.0} % of the intended rate was reached", share * 100.0);
        }
    }
    Ok(seen)
}
