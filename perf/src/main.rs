//! `ringwire-perf`: one subcommand per thing to measure or to check against.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ringwire_driver::{Kind, OpenError};
use ringwire_perf::echo::{Echo, EchoError};

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
}

fn main() -> ExitCode {
    match Command::parse().verb {
        Verb::Echo { driver, listen } => match echo(driver, listen) {
            Ok(()) => ExitCode::SUCCESS,
            Err(EchoError::Open(OpenError::Uring(why))) => {
                say(&format!("refused: io_uring: {why}"));
                ExitCode::from(3)
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
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

/// One line, at once: another program may wait for it.
fn say(line: &str) {
    println!("{line}");
    // If nobody listens to us, the sockets are still served.
    drop(std::io::stdout().flush());
}
