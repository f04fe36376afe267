//! What happens to one contender: connecting, warming up, the window, and what it had used at its edges.

use std::time::Duration;

use super::Round;
use super::contender::Contender;
use crate::fault::{Fault, Result};
use crate::load::adapter::{Adapter, Role};
use crate::load::drive::{self, Seen};
use crate::load::engine::Engine;
use crate::load::room::Rooms;
use crate::reconnect;
use crate::scenario::{Kind, Scenario};
use crate::system::now_ns;
use crate::system::processor::{self, Split};
use crate::system::server::Process;

/// Whose turn it is, at what, and where.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) contender: &'a Contender,
    pub(super) split: &'a Split,
    pub(super) is_real_time: bool,
}

/// Runs a scenario against whatever the engine is connected to.
pub(super) fn run<A: Adapter>(
    turn: &Turn<'_>,
    mut engine: Engine<A>,
    process: &mut Process,
    is_acknowledged: bool,
) -> Result<Round> {
    let Turn { scenario, contender, split, .. } = *turn;
    let before = Edge::now(process.pid(), split)?;
    if turn.is_real_time {
        for pid in processor::family(process.pid()) {
            super::real_time(pid)?;
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
    // Where they share a processor, a generator that does not sleep takes it from the server.
    let shares = split.server.contains(&split.load);
    let seen = scene(scenario, &mut engine, is_acknowledged, shares, &mut at_edge, &mut check);
    if seen.is_err() {
        // A server that died is the reason, whatever the sockets said; its sockets close before it has ended.
        process.borrow_mut().check_for(Duration::from_millis(500))?;
    }
    let seen = seen?;
    process.borrow_mut().check()?;
    let [begin, end] = &edges[..] else {
        return Err(Fault::Machine("the window has no two edges".to_owned()));
    };
    let window_s = seen.window_ns as f64 / 1e9;
    let cpu_ns = (end.cpu_ns - begin.cpu_ns) as f64;
    let reached_percent = scenario
        .per_second
        .filter(|_| scenario.kind == Kind::Fanout)
        .map(|intended| seen.publishes as f64 / (intended * window_s) * 100.0);
    let percentiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
    let latency = |quantile| seen.latencies.value_at_quantile(quantile) as f64 / 1e3;
    if seen.deliveries == 0 {
        return Err(Fault::Server(format!("{contender} delivered nothing in {window_s:.1} s")));
    }
    Ok(Round {
        scenario: scenario.name.clone(),
        contender: contender.to_string(),
        round: 0,
        step: None,
        deliveries: seen.deliveries,
        publishes: seen.publishes,
        reached_percent,
        window_s,
        cpu_us: cpu_ns / 1e3 / seen.deliveries as f64,
        per_second: seen.deliveries as f64 / window_s,
        latency_us: percentiles
            .iter()
            .filter(|_| !seen.latencies.is_empty())
            .map(|(name, quantile)| ((*name).to_owned(), latency(*quantile)))
            .collect(),
        resident_bytes: end.resident_bytes,
        resident_before_bytes: before.resident_bytes,
        connections: engine.ready() as u32,
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
    fn now(pid: u32, split: &Split) -> Result<Self> {
        let (mut cpu_ns, mut resident_bytes) = (0, 0);
        for pid in processor::family(pid) {
            cpu_ns += processor::used_ns(pid)?;
            resident_bytes += crate::system::memory::total(pid)?;
        }
        Ok(Edge {
            cpu_ns,
            processor_ns: split.server.iter().map(|cpu| processor::busy_ns(*cpu)).sum(),
            resident_bytes,
        })
    }
}

fn scene<A: Adapter>(
    scenario: &Scenario,
    engine: &mut Engine<A>,
    is_acknowledged: bool,
    shares: bool,
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
    if scenario.kind == Kind::Idle {
        return idle(engine, warm_up, window, at_edge, check);
    }
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
    engine.sleeps = shares || scenario.read_every_ms.is_some();
    match scenario.kind {
        Kind::Echo => drive::echo(engine, 0..scenario.subscribers, warm_up, window, at_edge, check),
        Kind::Reconnect => reconnect::run(scenario, engine, &mut rooms, &plan, at_edge, check),
        // The others are done above, or have no connections.
        Kind::Fanout | Kind::Connect | Kind::Idle | Kind::Append => {
            drive::drive(engine, &mut rooms, &plan, at_edge, check)
        }
    }
}

/// Everybody stays, and nobody says anything. What is counted are the connections.
fn idle<A: Adapter>(
    engine: &mut Engine<A>,
    warm_up: Duration,
    window: Duration,
    at_edge: &mut dyn FnMut() -> Result<()>,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Seen> {
    let people = engine.ready();
    let mut wait = |engine: &mut Engine<A>, length: Duration| {
        let until = now_ns() + length.as_nanos() as u64;
        while now_ns() < until {
            engine.turn(Some(Duration::from_millis(50)), &mut |_, _, _, _| Ok(()))?;
            check()?;
        }
        Ok::<_, Fault>(())
    };
    wait(engine, warm_up)?;
    at_edge()?;
    let (began, waited, received) = (now_ns(), engine.waited_ns, engine.received_bytes);
    wait(engine, window)?;
    let window_ns = now_ns() - began;
    at_edge()?;
    if engine.ready() != people {
        return Err(Fault::Server(format!("{} of {people} connections are left", engine.ready())));
    }
    Ok(Seen {
        deliveries: people as u64,
        publishes: 0,
        window_ns,
        latencies: crate::load::room::histogram(),
        busy_share: 1.0 - (engine.waited_ns - waited) as f64 / window_ns as f64,
        received_bytes: engine.received_bytes - received,
    })
}
