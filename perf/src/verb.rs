//! The subcommands that measure, and how their flags become options.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ringwire_perf::bare;
use ringwire_perf::fault::{Fault, Result};
use ringwire_perf::load::link::Transport;
use ringwire_perf::lossy::part::Part;
use ringwire_perf::measure;
use ringwire_perf::measure::contender::Contender;
use ringwire_perf::people::{presence, storm};
use ringwire_perf::scenario::{self, Kind, Promise, Scenario};
use ringwire_perf::system::processor::Split;
use ringwire_perf::system::server::Setup;
use ringwire_perf::{append, comparators, gates, lossy, peers, report, resident, system};

use crate::progress::Progress;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Memory per idle signed-in connection, on both drivers, by what it is made of.
    Resident {
        #[command(flatten)]
        server: Server,
        /// How many connections (the generator needs as many descriptors).
        #[arg(long, default_value_t = 10_000)]
        connections: u32,
        /// Drivers to try.
        #[arg(long, value_delimiter = ',', default_value = "uring,epoll")]
        driver: Vec<String>,
        /// Numbers of shards to try; 0: the server's default.
        #[arg(long, value_delimiter = ',', default_value = "1,0")]
        shards: Vec<u16>,
        /// Handshakes under way at once.
        #[arg(long, default_value_t = ringwire_perf::load::engine::CONNECTING_MAX)]
        at_once: usize,
        /// What the connections go over.
        #[arg(long, default_value = "ws")]
        transport: Transport,
    },
    /// Presence per second of many users who watch each other: while nobody moves, and while some come and go.
    Presence {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        placed: Placed,
        /// How many users (the generator needs as many descriptors).
        #[arg(long, default_value_t = 10_000)]
        users: usize,
        /// How many others each watches.
        #[arg(long, default_value_t = 20)]
        watched: usize,
        /// How many of a hundred come and go.
        #[arg(long, default_value_t = 10)]
        flapping: usize,
        /// How long each of those stays, and stays away, milliseconds.
        #[arg(long, default_value_t = 5_000)]
        period: u64,
        /// Seconds per phase.
        #[arg(long, default_value_t = 15)]
        seconds: u64,
    },
    /// A storm of clients who come back at once, with an inbox of conversations in which they missed something,
    /// against as many bare handshakes.
    Storm {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        placed: Placed,
        /// How many clients (the generator needs as many descriptors).
        #[arg(long, default_value_t = 10_000)]
        clients: usize,
        /// Conversations of each, each with as many members.
        #[arg(long, default_value_t = 20)]
        conversations: usize,
        /// Messages that each has missed.
        #[arg(long, default_value_t = 50)]
        unread: u64,
    },
    /// Live messages while history is fetched, over QUIC and over TLS on a path that delays and loses packets; takes
    /// root, for network namespaces of its own.
    Lossy {
        #[command(flatten)]
        server: Server,
        /// The server's driver.
        #[arg(long, default_value = "auto")]
        driver: String,
        /// Milliseconds that a packet takes, each way.
        #[arg(long, default_value_t = 25)]
        delay: u64,
        /// Packets lost of a thousand, each way.
        #[arg(long, default_value_t = 20)]
        lost: u64,
        /// Seconds of each turn.
        #[arg(long, default_value_t = 20.0)]
        seconds: f64,
        /// Turns of each kind.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
        rounds: u32,
    },
    /// A client of `lossy`; that starts it.
    #[command(hide = true)]
    LossyPart {
        #[command(subcommand)]
        role: LossyRole,
    },
    /// Run scenarios against the server, the bare loop and peers, in turns.
    Run(Run),
    /// Name all scenarios.
    List,
    /// Build the comparators: other runtimes and stores, which the workspace does not build.
    Comparators,
    /// Install the peers that can be installed, and say which are there.
    Peers,
    /// Join all reports into one page.
    Report,
    /// Count instructions of hot loops, and fail where one is above what is on file.
    Gates {
        /// Put the counts on file instead.
        #[arg(long)]
        write: bool,
    },
    /// Append records for a while and say how that went; `run` starts it.
    #[command(hide = true)]
    Append {
        /// One of `append::ENGINES`.
        engine: String,
        /// As `append::work` has them.
        work: Vec<String>,
    },
    /// The bare loop that the server is compared with; its first line is "listening on ADDRESS".
    Bare {
        /// Where to listen; port 0 is chosen by the kernel.
        #[arg(long, default_value = "127.0.0.1:7491")]
        listen: SocketAddr,
        /// All messages of one read leave as one send per socket.
        #[arg(long)]
        coalesce: bool,
        /// Over QUIC, with this certificate and key, on quinn.
        #[arg(long, num_args = 2, value_names = ["CERTIFICATE", "KEY"])]
        quic: Option<Vec<PathBuf>>,
        /// Bytes of an acknowledgement to the publisher; 0: none.
        #[arg(long, default_value_t = 0)]
        ack_bytes: usize,
    },
}

/// How the server of a measurement runs.
#[derive(Args)]
pub(crate) struct Placed {
    /// auto, uring or epoll.
    #[arg(long, default_value = "auto")]
    driver: String,
    /// Shards; 0: the server's default.
    #[arg(long, default_value_t = 1)]
    shards: u16,
}

fn setup(server: Server, placed: Placed) -> Result<Setup> {
    let binary = system::server::find_binary(server.binary)?;
    let Placed { driver, shards } = placed;
    Ok(Setup { binary, driver, shards, settings: server.set, cpus: Vec::new(), transport: Transport::Ws })
}

/// What is compared, and how.
#[derive(Args)]
pub(crate) struct Run {
    /// Names of scenarios, or files; `list` names all.
    #[arg(required = true)]
    scenarios: Vec<String>,
    #[command(flatten)]
    server: Server,
    /// Drivers of the server to try; `none` leaves our server out.
    #[arg(long, value_delimiter = ',', default_value = "uring,epoll")]
    driver: Vec<String>,
    /// What clients of our server reach it over; with quic, a bare server on quinn is measured as well.
    #[arg(long, value_delimiter = ',', default_value = "ws")]
    transport: Vec<Transport>,
    /// How often each contender has its turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Peers to compare with (nats, ws, mosquitto, nchan); missing ones are skipped.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Compare with other runtimes or stores as well, all of them or those that are named (monoio, tokio-uring,
    /// tokio, compio; sled, fjall, redb); `bench comparators` builds them.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "all", require_equals = true)]
    comparators: Vec<String>,
    /// Leave the bare loop out.
    #[arg(long)]
    no_bare: bool,
    /// Run server and generator with real-time priority: for machines shared with other work.
    #[arg(long)]
    real_time: bool,
    /// Record rounds whose generator was saturated, marked, instead of failing.
    #[arg(long)]
    allow_saturated: bool,
    /// Share of the window from which on the generator counts as saturated, percent.
    #[arg(long, value_name = "PERCENT", default_value_t = measure::BUSY_PERCENT_MAX)]
    busy_max: f64,
    /// Ask for this durability instead of the scenario's.
    #[arg(long)]
    durability: Option<Asked>,
    /// Write no report.
    #[arg(long)]
    dry: bool,
}

/// What a client of `lossy` does.
#[derive(Subcommand)]
pub(crate) enum LossyRole {
    /// Fills the archive.
    Fill(Part),
    /// Publishes live messages.
    Talk(Part),
    /// Times them.
    Listen {
        #[command(flatten)]
        part: Part,
        /// Fetches the archive meanwhile.
        #[arg(long)]
        fetches: bool,
    },
}

/// What is asked for on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Asked {
    /// Nothing durable.
    Memory,
    /// The disk has it.
    Synced,
}

/// The server under test.
#[derive(Args)]
pub(crate) struct Server {
    /// The server's binary; the one beside this program where neither this nor RINGWIRE_BINARY names one.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// A setting of the server, such as `limits.outbox="1 MiB"`; may be repeated.
    #[arg(long)]
    set: Vec<String>,
}

/// Does it.
pub(crate) fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Resident { server, connections, driver, shards, at_once, transport } => {
            let binary = system::server::find_binary(server.binary)?;
            let options = resident::Options {
                binary,
                connections,
                drivers: driver,
                shards,
                settings: server.set,
                at_once,
                transport,
            };
            resident::run(&options).map(drop)
        }
        Verb::Presence { server, placed, users, watched, flapping, period, seconds } => {
            let setup = setup(server, placed)?;
            let (flapping_percent, period_ms) = (flapping.min(100), period.max(1));
            let options = presence::Options { setup, users, watched, flapping_percent, period_ms, seconds };
            presence::run(&options).map(drop)
        }
        Verb::Storm { server, placed, clients, conversations, unread } => {
            let setup = setup(server, placed)?;
            storm::run(&storm::Options { setup, clients, conversations, unread }).map(drop)
        }
        Verb::Lossy { server, driver, delay, lost, seconds, rounds } => {
            let binary = system::server::find_binary(server.binary)?;
            let (delay_ms, lost_per_mille) = (delay, lost);
            lossy::run(&lossy::Options { binary, driver, delay_ms, lost_per_mille, seconds, rounds })
        }
        Verb::LossyPart { role } => match role {
            LossyRole::Fill(part) => lossy::part::fill(&part).map(|()| println!("filled")),
            LossyRole::Talk(part) => lossy::part::talk(&part),
            LossyRole::Listen { part, fetches } => lossy::part::listen(&part, fetches),
        },
        Verb::Run(run) => {
            // All of them first: a mistake in the last file should not cost the runs before it.
            let scenarios: Vec<Scenario> =
                run.scenarios.iter().map(|name| scenario::read(name)).collect::<Result<_>>()?;
            scenarios.into_iter().try_for_each(|scenario| one(scenario, &run))
        }
        Verb::List => {
            for name in scenario::names()? {
                println!("{name:24} {}", scenario::read(&name)?.about);
            }
            Ok(())
        }
        Verb::Comparators => comparators::build().map(|path| println!("{}", path.display())),
        Verb::Peers => peers::install(),
        Verb::Report => report::page().map(|path| println!("{}", path.display())),
        Verb::Gates { write } => {
            // `cargo xtask test` looks for this line.
            if let gates::Verdict::Skipped(why) = gates::run(write)? {
                println!("skipped: {why}");
            }
            Ok(())
        }
        Verb::Append { engine, work } => {
            let work = append::work::Work::read(work.into_iter()).map_err(Fault::Usage)?;
            append::run(&engine, &work)
        }
        Verb::Bare { listen, coalesce, quic, ack_bytes } => {
            let options = bare::Options { listen, coalesces: coalesce, ack_bytes };
            match quic.as_deref() {
                Some([certificate, key]) => bare::quic::serve(&options, certificate, key),
                _ => bare::serve(&options),
            }
        }
    }
}

fn one(mut scenario: Scenario, run: &Run) -> Result<()> {
    scenario.settings.extend_from_slice(&run.server.set);
    let durability = run.durability.map(|asked| match asked {
        Asked::Memory => Promise::Memory,
        Asked::Synced => Promise::Synced,
    });
    if let Some(asked) = durability.filter(|asked| *asked != scenario.durability) {
        scenario.name.push_str(&format!("-as-{asked}"));
    }
    println!("{}: {}", scenario.name, scenario.about);
    let contenders = contenders(&scenario, run)?;
    let is_ours = |contender: &Contender| matches!(contender, Contender::Ringwire { .. });
    let binary = if contenders.iter().any(is_ours) {
        system::server::find_binary(run.server.binary.clone())?
    } else {
        PathBuf::new()
    };
    let options = measure::Options {
        binary,
        contenders,
        rounds: run.rounds,
        is_real_time: run.real_time,
        allow_saturated: run.allow_saturated,
        busy_percent_max: run.busy_max,
        durability,
    };
    if options.contenders.is_empty() {
        return Err(Fault::Usage(format!("nobody is left to run {} with", scenario.name)));
    }
    let total = options.contenders.len() * options.rounds as usize * scenario.steps().len();
    let mut progress = Progress::new(total);
    let rounds = measure::run(&scenario, &options, &mut |round| progress.show(round));
    drop(progress);
    let rounds = rounds?;
    let conditions = conditions(&scenario, &options)?;
    println!("\n{}", report::table(&scenario, &conditions, &rounds));
    if !run.dry {
        println!("{}", report::write(&scenario, &conditions, &rounds)?.display());
    }
    Ok(())
}

/// Who can be measured with this scenario, in the order of their turns; says who cannot.
fn contenders(scenario: &Scenario, run: &Run) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    let drivers: Vec<&String> = run.driver.iter().filter(|driver| *driver != "none").collect();
    if scenario.kind == Kind::Append {
        let ours = (!drivers.is_empty()).then_some("ringwire");
        let bare = (!run.no_bare).then_some("bare");
        let store = |name: &str| Contender::Store(name.to_owned());
        let on_drivers = drivers.iter().map(|driver| driver.as_str());
        contenders.extend(ours.into_iter().chain(on_drivers).chain(bare).map(store));
        contenders.extend(compared(&run.comparators, &comparators::STORES)?.map(store));
        return Ok(contenders);
    }
    for driver in drivers {
        for transport in &run.transport {
            contenders.push(Contender::Ringwire { driver: driver.clone(), transport: *transport });
        }
        if let Some(versus) = &scenario.versus {
            contenders.push(Contender::Versus { driver: driver.clone(), name: versus.name.clone() });
        }
    }
    // Neither resuming nor waiting for a disk is something that a bare loop of sends does.
    let suits_bare = scenario.kind != Kind::Reconnect && scenario.subscribers > 0;
    if !run.no_bare && suits_bare {
        contenders.push(Contender::Bare { coalesces: false });
        if scenario.coalescing {
            contenders.push(Contender::Bare { coalesces: true });
        }
        if run.transport.contains(&Transport::Quic) {
            contenders.push(Contender::BareQuic);
        }
    }
    if suits_bare {
        let runtime = |name: &str| Contender::Runtime(name.to_owned());
        contenders.extend(compared(&run.comparators, &comparators::RUNTIMES)?.map(runtime));
    }
    let suits_peers = match scenario.kind {
        // Not all of them acknowledge.
        Kind::Fanout => scenario.subscribers > 0 && scenario.read_every_ms.is_none(),
        Kind::Idle => true,
        Kind::Echo | Kind::Connect | Kind::Reconnect | Kind::Append => false,
    };
    let rooms = scenario.rooms_per_subscriber.max(scenario.rooms.div_ceil(scenario.publishers));
    for peer in &run.peers {
        match peers::find(peer, rooms) {
            Ok(_) if suits_peers => contenders.push(Contender::Peer(peer.clone())),
            Ok(_) => println!("{peer}: skipped: this scenario asks for more than peers are compared in"),
            Err(why) => println!("{peer}: skipped: {why}"),
        }
    }
    Ok(contenders)
}

/// Those of `known` that are asked for; says so if they are not built.
fn compared<'a>(asked: &[String], known: &'a [&'a str]) -> Result<impl Iterator<Item = &'a str>> {
    let all = asked.iter().any(|name| name == "all");
    let exists = |name: &str| comparators::RUNTIMES.contains(&name) || comparators::STORES.contains(&name);
    if let Some(unknown) = asked.iter().find(|name| *name != "all" && !exists(name)) {
        return Err(Fault::Usage(format!("there is no comparator {unknown}")));
    }
    let mut names: Vec<&str> =
        known.iter().copied().filter(|name| all || asked.iter().any(|other| other == name)).collect();
    if let (false, Err(why)) = (names.is_empty(), comparators::find()) {
        println!("{}: skipped: {why}", names.join(", "));
        names.clear();
    }
    Ok(names.into_iter())
}

fn conditions(scenario: &Scenario, options: &measure::Options) -> Result<String> {
    if scenario.kind == Kind::Append {
        return Ok(format!(
            "{} rounds in turns of {} s each, a process and an empty folder for every turn; {} B per record, {} \
             conversations; load average {} at the end.",
            options.rounds,
            scenario.window_s,
            scenario.body_bytes,
            scenario.rooms,
            system::load_average(),
        ));
    }
    let shards = scenario.shards.max(scenario.versus().map_or(0, |other| other.shards));
    let split = Split::of(shards)?;
    let placed = if split.server.contains(&split.load) {
        "the generator sleeps and shares the last processor with a shard where the server has all of them"
    } else {
        "server and generator on processors of their own"
    };
    let releases: Vec<String> = options
        .contenders
        .iter()
        .filter_map(|contender| match contender {
            Contender::Peer(name) => Some(format!("; {name} is {}", peers::release(name))),
            _ => None,
        })
        .collect();
    Ok(format!(
        "{} rounds in turns, window {} s after {} s; {placed}{}; load average {} at the end{}.",
        options.rounds,
        scenario.window_s,
        scenario.warm_up_s,
        if options.is_real_time { ", both with real-time priority" } else { "" },
        system::load_average(),
        releases.concat(),
    ))
}
