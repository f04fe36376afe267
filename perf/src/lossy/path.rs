//! A path that delays and loses packets: two network namespaces of this run's own, a tunnel device in each, and
//! between them a few threads. Everything that is IP goes through it alike, with the kernel's own TCP at both ends.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::fault::{Fault, Result};

/// One end of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where the client is.
    Near,
    /// Where the server is.
    Far,
}

/// Address of the near end.
pub const NEAR: &str = "10.77.0.1";
/// Address of the far end.
pub const FAR: &str = "10.77.0.2";

/// The devices' name, each in its own namespace.
const DEVICE: &str = "ringwire0";

/// Longest packet, bytes: that of most of the Internet.
const MTU: u16 = 1500;

/// Packets under way in one direction, at most; more are lost, as in any queue.
const UNDER_WAY_MAX: usize = 4096;

/// What the path does to packets.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// How long a packet takes, each way.
    pub delay: Duration,
    /// How many of a thousand are lost, each way.
    pub lost_per_mille: u64,
    /// Which.
    pub seed: u64,
}

/// A path. Its namespaces go with it.
#[derive(Debug)]
pub struct Path {
    names: [String; 2],
}

impl Path {
    /// Lays it.
    ///
    /// # Errors
    /// It takes root, `ip` (Debian: iproute2) and /dev/net/tun.
    pub fn lay(trouble: Trouble) -> Result<Self> {
        let names = [End::Near, End::Far]
            .map(|end| format!("ringwire-{:?}-{}", end, std::process::id()).to_lowercase());
        let path = Path { names };
        let mut devices = Vec::new();
        for (name, address) in path.names.iter().zip([NEAR, FAR]) {
            ip(&["netns", "add", name])?;
            devices.push(Arc::new(device(name)?));
            ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", DEVICE])?;
            ip(&["-n", name, "link", "set", DEVICE, "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let [near, far] = [Arc::clone(&devices[0]), Arc::clone(&devices[1])];
        carry(Arc::clone(&near), Arc::clone(&far), trouble);
        carry(far, near, Trouble { seed: trouble.seed.rotate_left(32) ^ 1, ..trouble });
        Ok(path)
    }

    /// A program that is to run at one end.
    #[must_use]
    pub fn command(&self, end: End, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[usize::from(end == End::Far)]]).arg(program);
        command
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        for name in &self.names {
            // Nobody is left to be told.
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(Fault::system("starting ip (Debian: iproute2)"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Fault::Machine(format!("ip {}: {}; it takes root", arguments.join(" "), said.trim())))
}

/// A tunnel device in a namespace. Made by a thread that goes there; its descriptor works from anywhere.
fn device(namespace: &str) -> Result<SyncDevice> {
    let file = format!("/run/netns/{namespace}");
    let made = thread::spawn(move || {
        let namespace = File::open(file)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        DeviceBuilder::new().name(DEVICE).mtu(MTU).build_sync()
    });
    let made = made.join().unwrap_or_else(|_| Err(io::Error::other("the thread that makes it has ended")));
    made.map_err(Fault::system("making a tunnel device (/dev/net/tun)"))
}

/// Carries packets one way for as long as the process lives.
fn carry(from: Arc<SyncDevice>, to: Arc<SyncDevice>, trouble: Trouble) {
    let (put, take): (SyncSender<(Instant, Vec<u8>)>, Receiver<_>) = mpsc::sync_channel(UNDER_WAY_MAX);
    thread::spawn(move || {
        let mut random = trouble.seed | 1;
        let mut buffer = vec![0; usize::from(MTU) + 64];
        while let Ok(bytes) = from.recv(&mut buffer) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if random % 1000 >= trouble.lost_per_mille {
                // A full queue loses it, too.
                let _ = put.try_send((Instant::now() + trouble.delay, buffer[..bytes].to_vec()));
            }
        }
    });
    thread::spawn(move || {
        for (due, packet) in take {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // What the kernel does not take is lost.
            let _ = to.send(&packet);
        }
    });
}
