//! Comparators: what other runtimes make of the bare loop's work, and other stores of the journal's.
//!
//! ```text
//! ringwire-comparators fanout RUNTIME ADDRESS ACK_BYTES              first line: "listening on ADDRESS"
//! ringwire-comparators append ENGINE FOLDER BATCH BODY CONVERSATIONS MILLISECONDS     prints one line of JSON
//! ```
//!
//! `ringwire-perf` starts these in turns with our own server and store, with the same generator, the same
//! checks and the same work. Each runs as its makers advise for throughput and durability; nothing is left out
//! that would make it faster without giving up what is compared.

#![forbid(unsafe_code)]

mod append;
mod fanout;
/// The bare loop's own bytes.
#[path = "../../src/bare/wire.rs"]
mod wire;
/// The work that everybody appends.
#[path = "../../src/append/work.rs"]
#[expect(dead_code, reason = "one half of it is for whoever starts this")]
mod work;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (what, who) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    match what.as_str() {
        "fanout" => {
            let address = arguments.next().unwrap_or_default();
            let address = address.parse().map_err(|error| format!("the address \"{address}\": {error}"))?;
            let ack_bytes = arguments.next().unwrap_or_default();
            let ack_bytes =
                ack_bytes.parse().map_err(|error| format!("ack bytes \"{ack_bytes}\": {error}"))?;
            fanout::serve(&who, address, ack_bytes)
        }
        "append" => append::run(&who, &work::Work::read(arguments)?).map(|line| println!("{line}")),
        other => Err(format!("there is no \"{other}\"; there are fanout and append")),
    }
}
