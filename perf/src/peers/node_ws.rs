//! The npm package `ws` on Node.js, with the smallest broadcast that can be written on it.

use std::path::PathBuf;
use std::process::Command;

use super::{Peer, Running, place, tools};
use crate::fault::{Fault, Result};
use crate::load::adapter::bare::Bare;
use crate::system::server::{Process, workspace};

/// The peer.
#[derive(Debug)]
pub struct NodeWs;

impl Peer for NodeWs {
    type Adapter = Bare;
    const NAME: &'static str = "ws";
    const RELEASE: &'static str = "npm ws 8.23.0";

    fn find() -> Result<PathBuf, String> {
        let path = tools().join("ws/node_modules/ws");
        if !path.is_dir() {
            return Err("npm could not be had (npm install ws@8.23.0)".to_owned());
        }
        super::installed("node", "nodejs").map(|_| path)
    }

    fn install() -> Option<Command> {
        let folder = tools().join("ws");
        std::fs::create_dir_all(&folder).ok()?;
        let mut command = Command::new("npm");
        command.args(["install", "--silent", "--no-save", "ws@8.23.0", "--prefix"]).arg(folder);
        Some(command)
    }

    fn start(cpus: &[usize]) -> Result<Running<Bare>> {
        let package = Self::find().map_err(Fault::Usage)?;
        let node = super::installed("node", "nodejs").map_err(Fault::Usage)?;
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
