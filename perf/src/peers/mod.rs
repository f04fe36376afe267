//! Other people's servers, measured by the same generator: one file each.
//!
//! They are brought into the ignored folder `.tools/peers` by [`install`]. One that is not there is skipped in so
//! many words, never silently.

mod install;
pub mod mosquitto;
pub mod nats;
pub mod nchan;
pub mod node_ws;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::fault::{Fault, Result};
use crate::load::adapter::Adapter;
use crate::system::server::{Process, workspace};

/// A peer that runs.
#[derive(Debug)]
pub struct Running<A> {
    /// Its (first) process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub adapter: A,
    /// Whether it acknowledges publishes.
    pub is_acknowledged: bool,
    /// Its files; removed when dropped.
    pub folder: tempfile::TempDir,
}

/// Somebody else's server.
pub trait Peer {
    /// Its protocol.
    type Adapter: Adapter;
    /// Its name on the command line and in tables.
    const NAME: &'static str;
    /// Rooms that one connection may take part in, at most.
    const ROOMS_MAX: u32 = u32::MAX;

    /// Whether it is here; else what would bring it.
    ///
    /// # Errors
    /// It is not.
    fn find() -> std::result::Result<PathBuf, String>;

    /// Brings it into `.tools/peers`.
    ///
    /// # Errors
    /// It cannot be had.
    fn install() -> Result<()>;

    /// What asks the program at this path for its version.
    fn version(program: &Path) -> Command;

    /// Starts it on these processors.
    ///
    /// # Errors
    /// It does not start.
    fn start(cpus: &[usize]) -> Result<Running<Self::Adapter>>;
}

/// Names of all peers.
pub const NAMES: [&str; 4] =
    [nats::Nats::NAME, node_ws::NodeWs::NAME, mosquitto::Mosquitto::NAME, nchan::Nchan::NAME];

/// Whether a peer of this name is here and can have so many rooms on one connection; else why not.
///
/// # Errors
/// It is not, or cannot, or there is no such peer.
pub fn find(name: &str, rooms: u32) -> std::result::Result<PathBuf, String> {
    match name {
        nats::Nats::NAME => suited::<nats::Nats>(rooms),
        node_ws::NodeWs::NAME => suited::<node_ws::NodeWs>(rooms),
        mosquitto::Mosquitto::NAME => suited::<mosquitto::Mosquitto>(rooms),
        nchan::Nchan::NAME => suited::<nchan::Nchan>(rooms),
        other => Err(format!("there is no peer {other}; there are {}", NAMES.join(", "))),
    }
}

fn suited<P: Peer>(rooms: u32) -> std::result::Result<PathBuf, String> {
    match P::ROOMS_MAX {
        max if rooms > max => {
            Err(format!("it has at most {max} rooms on one connection, and {rooms} are asked for"))
        }
        _ => P::find(),
    }
}

/// Brings those that are not here, as far as they can be had, and says which are.
///
/// # Errors
/// None so far: whoever cannot be had is skipped, and said to be.
pub fn install() -> Result<()> {
    one::<nats::Nats>();
    one::<node_ws::NodeWs>();
    one::<mosquitto::Mosquitto>();
    one::<nchan::Nchan>();
    Ok(())
}

fn one<P: Peer>() {
    if P::find().is_err() {
        println!("{}: fetching into {}", P::NAME, tools().display());
        if let Err(why) = P::install() {
            println!("{}: skipped: {why}", P::NAME);
            return;
        }
    }
    match P::find() {
        Ok(path) => println!("{}: {} at {}", P::NAME, version(&mut P::version(&path)), path.display()),
        Err(why) => println!("{}: skipped: {why}", P::NAME),
    }
}

/// Which release of a peer would be measured.
#[must_use]
pub fn release(name: &str) -> String {
    fn of<P: Peer>() -> String {
        P::find().map_or_else(|why| why, |path| version(&mut P::version(&path)))
    }
    match name {
        nats::Nats::NAME => of::<nats::Nats>(),
        node_ws::NodeWs::NAME => of::<node_ws::NodeWs>(),
        mosquitto::Mosquitto::NAME => of::<mosquitto::Mosquitto>(),
        nchan::Nchan::NAME => of::<nchan::Nchan>(),
        other => other.to_owned(),
    }
}

/// The first line with a number in it that a program says of itself.
fn version(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()));
    line.map_or_else(|| "of an unknown version".to_owned(), |line| line.trim().to_owned())
}

/// The ignored folder of what was fetched.
fn tools() -> PathBuf {
    workspace().join(".tools/peers")
}

/// A folder for a peer's files, and a port that is free now.
fn place() -> Result<(tempfile::TempDir, SocketAddr)> {
    let folder = tempfile::Builder::new()
        .prefix("ringwire-peer-")
        .tempdir()
        .map_err(Fault::system("making a folder"))?;
    Ok((folder, free_address()?))
}

/// An address that nobody listens at. Its port is below those that the kernel gives to connections: one of
/// those may be in use by a connection of the round before, which is as bad for whoever is to listen.
fn free_address() -> Result<SocketAddr> {
    const PORTS: std::ops::Range<u32> = 20_000..32_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(31);
    for _ in PORTS {
        let nth = first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + nth % (PORTS.end - PORTS.start);
        let address = SocketAddr::from(([127, 0, 0, 1], port as u16));
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(Fault::Machine(format!("no port from {} to {} is free", PORTS.start, PORTS.end)))
}

fn write(path: &std::path::Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Fault::system(format!("writing {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_peers_get_ports_of_their_own() {
        let (one, other) = (free_address().expect("free"), free_address().expect("free"));
        assert_ne!(one, other);
        let held = std::net::TcpListener::bind(other).expect("still free");
        assert!(std::net::TcpListener::bind(other).is_err(), "{held:?}");
    }

    #[test]
    fn a_peer_that_is_not_here_is_named_with_what_would_bring_it() {
        assert!(find("rabbit", 1).expect_err("no such peer").contains("nats"));
        let missing = install::of_debian(&["usr/sbin/no-such-server"], "it").expect_err("nobody has it");
        assert!(missing.contains("cargo xtask bench peers"), "{missing}");
    }
}
