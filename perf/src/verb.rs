//! The subcommands that measure, and how their flags become options.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ringwire_perf::bare;
use ringwire_perf::fault::{Fault, Result};
use ringwire_perf::measure::{self, Contender, Round};
use ringwire_perf::scenario::{self, Kind, Promise};
use ringwire_perf::{gates, peers, report, resident, system};

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
    },
    /// Run scenarios against the server, the bare loop and peers, in turns.
    Run {
        /// Names of scenarios, or files; `list` names all.
        #[arg(required = true)]
        scenarios: Vec<String>,
        #[command(flatten)]
        server: Server,
        /// Drivers of the server to try.
        #[arg(long, value_delimiter = ',', default_value = "uring,epoll")]
        driver: Vec<String>,
        /// How often each contender has its turn.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Peers to compare with (nats, ws, mosquitto, nchan); missing ones are skipped.
        #[arg(long, value_delimiter = ',')]
        peers: Vec<String>,
        /// Leave the bare loop out.
        #[arg(long)]
        no_bare: bool,
        /// Run server and generator with real-time priority: for machines shared with other work.
        #[arg(long)]
        real_time: bool,
        /// Record rounds whose generator was saturated, marked, instead of failing.
        #[arg(long)]
        allow_saturated: bool,
        /// Ask for this durability instead of the scenario's.
        #[arg(long)]
        durability: Option<Asked>,
        /// Write no report.
        #[arg(long)]
        dry: bool,
    },
    /// Name all scenarios.
    List,
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
    /// The bare loop that the server is compared with; its first line is "listening on ADDRESS".
    Bare {
        /// Where to listen; port 0 is chosen by the kernel.
        #[arg(long, default_value = "127.0.0.1:7491")]
        listen: SocketAddr,
        /// All messages of one read leave as one send per socket.
        #[arg(long)]
        coalesce: bool,
        /// Bytes of an acknowledgement to the publisher; 0: none.
        #[arg(long, default_value_t = 0)]
        ack_bytes: usize,
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
        Verb::Resident { server, connections, driver, shards, at_once } => {
            let binary = system::server::find_binary(server.binary)?;
            let options = resident::Options {
                binary,
                connections,
                drivers: driver,
                shards,
                settings: server.set,
                at_once,
            };
            resident::run(&options).map(drop)
        }
        Verb::Run {
            scenarios,
            server,
            driver,
            rounds,
            peers,
            no_bare,
            real_time,
            allow_saturated,
            durability,
            dry,
        } => {
            let options = measure::Options {
                binary: system::server::find_binary(server.binary)?,
                contenders: Vec::new(),
                rounds,
                is_real_time: real_time,
                allow_saturated,
                durability: durability.map(|asked| match asked {
                    Asked::Memory => Promise::Memory,
                    Asked::Synced => Promise::Synced,
                }),
            };
            for name in scenarios {
                one(&name, &server.set, &driver, &peers, !no_bare, dry, options.clone())?;
            }
            Ok(())
        }
        Verb::List => {
            for name in scenario::names()? {
                println!("{name:24} {}", scenario::read(&name)?.about);
            }
            Ok(())
        }
        Verb::Peers => peers::install(),
        Verb::Report => report::page().map(|path| println!("{}", path.display())),
        Verb::Gates { write } => gates::run(write),
        Verb::Bare { listen, coalesce, ack_bytes } => {
            bare::serve(&bare::Options { listen, coalesces: coalesce, ack_bytes })
        }
    }
}

fn one(
    name: &str,
    settings: &[String],
    drivers: &[String],
    peers: &[String],
    with_bare: bool,
    dry: bool,
    mut options: measure::Options,
) -> Result<()> {
    let mut scenario = scenario::read(name)?;
    scenario.settings.extend_from_slice(settings);
    if options.durability == Some(Promise::Synced) && scenario.durability != Promise::Synced {
        scenario.name.push_str("-as-synced");
    }
    options.contenders = drivers.iter().cloned().map(Contender::Ringwire).collect();
    // Neither resuming nor waiting for a disk is something that a bare loop of sends does.
    if with_bare && scenario.kind != Kind::Reconnect && scenario.subscribers > 0 {
        options.contenders.push(Contender::Bare { coalesces: false });
        if scenario.coalescing {
            options.contenders.push(Contender::Bare { coalesces: true });
        }
    }
    for peer in peers {
        match peers::find(peer) {
            Ok(_) if scenario.kind == Kind::Fanout && scenario.subscribers > 0 => {
                options.contenders.push(Contender::Peer(peer.clone()));
            }
            Ok(_) => println!("{peer}: skipped: it is compared in fan-outs only"),
            Err(why) => println!("{peer}: skipped: {why}"),
        }
    }
    if options.rounds == 0 {
        return Err(Fault::Usage("--rounds is at least 1".to_owned()));
    }
    println!("{}: {}", scenario.name, scenario.about);
    let total = options.contenders.len() * options.rounds as usize;
    let mut done = 0;
    let rounds = measure::run(&scenario, &options, &mut |round| {
        done += 1;
        progress(done, total, round);
    })?;
    let conditions = format!(
        "{} rounds in turns, window {} s after {} s; server on one processor, generator on another{}; load average \
         {} at the end.",
        options.rounds,
        scenario.window_s,
        scenario.warm_up_s,
        if options.is_real_time { ", both with real-time priority" } else { "" },
        system::load_average(),
    );
    println!("\n{}", report::table(&scenario, &conditions, &rounds));
    if !dry {
        println!("{}", report::write(&scenario, &conditions, &rounds)?.display());
    }
    Ok(())
}

/// A line per turn; on a terminal it replaces the one before.
fn progress(done: usize, total: usize, round: &Round) {
    let line = format!(
        "[{done}/{total}] {:24} {:.3} µs/delivery, {:.0} k/s, p99 {:.2} ms, generator {:.0} % busy{}",
        round.contender,
        round.cpu_us,
        round.per_second / 1e3,
        round.latency_us.get("p99").copied().unwrap_or(0.0) / 1e3,
        round.busy_percent,
        if round.is_saturated { " SATURATED" } else { "" },
    );
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{line}");
        if done == total {
            eprintln!();
        }
    } else {
        eprintln!("{line}");
    }
}
