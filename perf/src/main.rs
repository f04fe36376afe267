//! `ringwire-perf`: one subcommand per thing to measure or to check against.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "what measures has a clock")]

mod progress;
mod verb;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ringwire_driver::{Kind, OpenError};
use ringwire_perf::echo::{Echo, EchoError};
use ringwire_perf::idle::Idle;

#[derive(Parser)]
#[command(name = "ringwire-perf", about = "Measures Ringwire, and stands in for parts of it.")]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// A WebSocket server that sends every message back: the driver and the codec with nothing between.
    /// Its first line is "listening on ADDRESS", or "refused: WHY" where the kernel refuses the driver.
    Echo {
        /// auto, uring or epoll.
        #[arg(long, default_value_t)]
        driver: Kind,
        /// Where to listen; port 0 is chosen by the kernel.
        #[arg(long, default_value = "127.0.0.1:7490")]
        listen: SocketAddr,
    },
    /// Memory of the server per idle, signed-in connection.
    Idle {
        /// How many connections.
        #[arg(long, default_value_t = 10_000)]
        connections: u32,
        /// auto, uring or epoll.
        #[arg(long, default_value_t)]
        driver: Kind,
        /// Shards of the server.
        #[arg(long, default_value_t = 1)]
        shards: usize,
        /// The server's binary; the one beside this program if not given.
        #[arg(long)]
        server: Option<PathBuf>,
        /// Fail if a connection takes more than this, bytes of resident memory.
        #[arg(long)]
        bytes_max: Option<u32>,
    },
    /// Everything else that measures.
    #[command(flatten)]
    Measure(verb::Verb),
}

fn main() -> ExitCode {
    let result = match Command::parse().verb {
        Verb::Echo { driver, listen } => match echo(driver, listen) {
            Err(EchoError::Open(OpenError::Uring(why))) => {
                say(&format!("refused: io_uring: {why}"));
                return ExitCode::from(3);
            }
            result => result.map_err(|error| error.to_string()),
        },
        Verb::Idle { connections, driver, shards, server, bytes_max } => {
            idle(Idle { connections, driver, shards }, server, bytes_max)
        }
        Verb::Measure(verb) => verb::run(verb).map_err(|error| error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn echo(driver: Kind, listen: SocketAddr) -> Result<(), EchoError> {
    let mut echo = Echo::open(driver, listen)?;
    if let Some(why) = echo.fallback() {
        eprintln!("warning: epoll instead of io_uring: {why}");
    }
    say(&format!("listening on {}", echo.address()));
    loop {
        echo.turn(None)?;
    }
}

fn idle(idle: Idle, server: Option<PathBuf>, bytes_max: Option<u32>) -> Result<(), String> {
    let binary = match server {
        Some(binary) => binary,
        None => std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("ringwire"),
    };
    let figures = idle.run(&binary).map_err(|error| error.to_string())?;
    println!("{} connections, {} driver, {} shards", idle.connections, idle.driver, idle.shards);
    println!(
        "  server before the first   {:>10.1} MiB resident",
        figures.before_bytes as f64 / f64::from(1 << 20)
    );
    println!("  per connection            {:>10.1} B resident", figures.resident_bytes);
    println!("  per further connection    {:>10.1} B resident", figures.further_bytes);
    println!(
        "  signed in                 {:>10.0}   per second, one after the other",
        figures.sign_ins_per_s
    );
    match bytes_max {
        Some(limit) if figures.resident_bytes > f64::from(limit) => {
            Err(format!("{:.1} B per connection, of at most {limit}", figures.resident_bytes))
        }
        _ => Ok(()),
    }
}

/// One line, at once: another program may wait for it.
fn say(line: &str) {
    println!("{line}");
    // If nobody listens to us, the sockets are still served.
    drop(std::io::stdout().flush());
}
