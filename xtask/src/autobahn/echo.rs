//! The echo server under test: built, started on a port of its own choosing, stopped with us.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use super::Driver;
use crate::process::run;
use crate::project::Project;

/// Why there is no result.
pub(crate) enum Refusal {
    /// This kernel or container refuses the driver.
    Driver(String),
    /// Anything else.
    Other(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Driver(why) | Refusal::Other(why) => why,
        }
    }
}

/// A running echo server; dropping it stops it.
pub(super) struct Server {
    child: Child,
    /// Where it listens, as `host:port`.
    pub(super) address: String,
}

impl Server {
    /// Builds and starts it. Its first line says where it listens, or why it cannot.
    pub(super) fn start(project: &Project, driver: Driver) -> Result<Self, Refusal> {
        run(project.cargo().args(["build", "-p", "ringwire-perf", "--bin", "ringwire-perf"]))?;
        let binary = project.target.join("debug/ringwire-perf");
        let mut command = project.command(&binary);
        command
            .args(["echo", "--driver", &driver.to_string(), "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("starting {}: {error}", binary.display()))?;
        let output = child.stdout.take().ok_or_else(|| "the server's output was asked for".to_owned())?;
        let mut server = Self { child, address: String::new() };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(|error| format!("the echo server: {error}"))?;
        if let Some(address) = line.trim().strip_prefix("listening on ") {
            address.clone_into(&mut server.address);
            Ok(server)
        } else if let Some(why) = line.trim().strip_prefix("refused: ") {
            Err(Refusal::Driver(why.to_owned()))
        } else {
            Err(server
                .explain(format!("the echo server said \"{}\" and not where it listens", line.trim()))
                .into())
        }
    }

    /// Adds to an error that the server is gone, if it is.
    pub(super) fn explain(&mut self, error: String) -> String {
        match self.child.try_wait() {
            Ok(Some(status)) => format!("{error}; the echo server ended with {status}"),
            Ok(None) | Err(_) => error,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either fails only if it is gone already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
