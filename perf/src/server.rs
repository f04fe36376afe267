//! The real server as a process: started for one measurement, looked at from outside, stopped with us.

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use ringwire_driver::Kind;

/// A running `ringwire serve`; dropping it stops it and removes its data.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `binary` with fresh data and development tokens.
    pub(crate) fn start(binary: &Path, driver: Kind, shards: usize) -> io::Result<Self> {
        let data = std::env::temp_dir().join(format!("ringwire-perf-{}", std::process::id()));
        let mut command = Command::new(binary);
        command
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--plane", "127.0.0.1:0", "--data"])
            .arg(&data);
        // All of the load comes from one address.
        command.args(["--set", "limits.handshakes=0"]);
        command.args(["--driver", &driver.to_string(), "--shards", &shards.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("its output was asked for"))?;
        let mut server = Self { child, data, address: ([127, 0, 0, 1], 0).into() };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        while output.read_line(&mut line)? > 0 {
            let url = line.trim().strip_prefix("clients").map(str::trim);
            let address = url.and_then(|url| url.strip_prefix("ws://")?.split('/').next()?.parse().ok());
            if let Some(address) = address {
                server.address = address;
                // It must never write into a pipe that nobody reads.
                thread::spawn(move || io::copy(&mut output, &mut io::sink()));
                return Ok(server);
            }
            line.clear();
        }
        let status = server.child.wait()?;
        Err(io::Error::other(format!("it ended with {status} and did not say where it listens")))
    }

    /// A field of `/proc/PID/status` in bytes, such as `VmRSS`.
    pub(crate) fn memory_bytes(&self, field: &str) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = status.lines().find_map(|line| {
            let value = line.strip_prefix(field)?.strip_prefix(':')?;
            value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        });
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("no {field} in its status")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Each fails only if there is nothing left to do.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.data));
    }
}
