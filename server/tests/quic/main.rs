//! The real binary over QUIC: the same sessions, and what is different.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod independent;
mod path;
mod peer;
#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod counted;
mod early;
mod presence;
mod sessions;

use std::path::Path;

use support::{DRIVERS, Server};

/// A server that speaks QUIC.
fn start(data: &Path, extra: &[&str]) -> Server {
    Server::start(data, &[&["--set", "tls.dev=true"][..], extra].concat())
}

/// Runs a claim against a server of each driver, with as many shards as a claim about hopping needs.
fn on_both(extra: &[&str], claim: impl AsyncFn(&Server)) {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let server = start(data.path(), &[&["--driver", driver, "--shards", "2"][..], extra].concat());
        block_on(claim(&server));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
