//! Other people's servers, measured by the same generator: one file each.
//!
//! They are installed into the ignored folder `.tools` by pinned version, or by the distribution. One that is
//! not there is skipped in so many words, never silently.

pub mod mosquitto;
pub mod nats;
pub mod nchan;
pub mod node_ws;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

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
    /// Which release is measured.
    const RELEASE: &'static str;

    /// Whether it is here; else what would bring it.
    ///
    /// # Errors
    /// It is not.
    fn find() -> std::result::Result<PathBuf, String>;

    /// The command that installs it, if that is ours to run.
    fn install() -> Option<Command>;

    /// Starts it on these processors.
    ///
    /// # Errors
    /// It does not start.
    fn start(cpus: &[usize]) -> Result<Running<Self::Adapter>>;
}

/// Names of all peers.
pub const NAMES: [&str; 4] =
    [nats::Nats::NAME, node_ws::NodeWs::NAME, mosquitto::Mosquitto::NAME, nchan::Nchan::NAME];

/// Whether a peer of this name is here; else why not.
///
/// # Errors
/// It is not, or there is no such peer.
pub fn find(name: &str) -> std::result::Result<PathBuf, String> {
    match name {
        nats::Nats::NAME => nats::Nats::find(),
        node_ws::NodeWs::NAME => node_ws::NodeWs::find(),
        mosquitto::Mosquitto::NAME => mosquitto::Mosquitto::find(),
        nchan::Nchan::NAME => nchan::Nchan::find(),
        other => Err(format!("there is no peer {other}; there are {}", NAMES.join(", "))),
    }
}

/// Installs what can be installed, and says what is here.
///
/// # Errors
/// Where an installer cannot be started.
pub fn install() -> Result<()> {
    fn one<P: Peer>() -> Result<()> {
        if P::find().is_err()
            && let Some(mut command) = P::install()
        {
            println!("{}: installing {} ({command:?})", P::NAME, P::RELEASE);
            let status = command
                .stdin(Stdio::null())
                .status()
                .map_err(Fault::system(format!("installing {}", P::NAME)))?;
            if !status.success() {
                println!("{}: the installer ended with {status}", P::NAME);
            }
        }
        match P::find() {
            Ok(path) => println!("{}: {} at {}", P::NAME, P::RELEASE, path.display()),
            Err(why) => println!("{}: skipped: {why}", P::NAME),
        }
        Ok(())
    }
    one::<nats::Nats>()?;
    one::<node_ws::NodeWs>()?;
    one::<mosquitto::Mosquitto>()?;
    one::<nchan::Nchan>()
}

/// The ignored folder of what was fetched.
fn tools() -> PathBuf {
    workspace().join(".tools/peers")
}

/// The program of a name, in one of the places where distributions put servers.
fn installed(program: &str, package: &str) -> std::result::Result<PathBuf, String> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| PathBuf::from(folder).join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("{program} is not installed (apt-get install {package})"))
}

/// A folder for a peer's files, and a port that is free now.
fn place() -> Result<(tempfile::TempDir, SocketAddr)> {
    let folder = tempfile::Builder::new()
        .prefix("ringwire-peer-")
        .tempdir()
        .map_err(Fault::system("making a folder"))?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(Fault::system("finding a port"))?;
    let address = listener.local_addr().map_err(Fault::system("finding a port"))?;
    Ok((folder, address))
}

fn write(path: &std::path::Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Fault::system(format!("writing {}", path.display())))
}
