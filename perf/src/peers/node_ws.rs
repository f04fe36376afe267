//! The npm package `ws` on Node.js, with the smallest broadcast that can be written on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Peer, Running, install, place, tools};
use crate::fault::{Fault, Result};
use crate::load::adapter::bare::Bare;
use crate::system::server::{Process, workspace};

/// The peer.
#[derive(Debug)]
pub struct NodeWs;

/// Node.js is the machine's own: it is not ours to bring.
fn node() -> std::result::Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("node")).find(|path| path.is_file());
    found.ok_or_else(|| "Node.js is not installed (apt-get install nodejs npm)".to_owned())
}

impl Peer for NodeWs {
    type Adapter = Bare;
    const NAME: &'static str = "ws";

    fn find() -> Result<PathBuf, String> {
        let path = tools().join("ws/node_modules/ws");
        if !path.is_dir() {
            return Err("the package ws is not here (cargo xtask bench peers)".to_owned());
        }
        node().map(|_| path)
    }

    fn install() -> Result<()> {
        node().map_err(Fault::Machine)?;
        install::npm("ws")
    }

    fn version(package: &Path) -> Command {
        let mut command = Command::new("node");
        let script = "console.log('ws ' + require(process.argv[1] + '/package.json').version + ', node ' + process.version)";
        command.args(["-e", script]).arg(package);
        command
    }

    fn start(cpus: &[usize]) -> Result<Running<Bare>> {
        let package = Self::find().map_err(Fault::Usage)?;
        let node = node().map_err(Fault::Usage)?;
        let (folder, address) = place()?;
        let mut command = Command::new(node);
        command.arg(workspace().join("perf/peers/ws.js")).arg(package).arg(address.port().to_string());
        let mut process = Process::start(Self::NAME, command, cpus)?;
        process.wait_for_listener(address)?;
        // As much around a body as the adapter itself needs.
        let adapter = Bare { around_body: 8, echo_bytes: 16 };
        Ok(Running { process, address, adapter, is_acknowledged: false, folder })
    }
}
