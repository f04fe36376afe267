//! What an idle, signed-in connection costs: the growth of the whole server process, divided by the
//! connections.
//!
//! Everything counts that the process has for them: tables, sessions, users, buffers, the allocator's own.
//! What the kernel keeps for a socket (some 5 KB on either side) is the same for every server and is not
//! counted.

use std::io;
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ringwire_driver::Kind;

use crate::client::sign_in;
use crate::server::Server;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How many connections, each of a user and a device of its own.
    pub connections: u32,
    /// Which driver the server uses.
    pub driver: Kind,
    /// How many shards it has.
    pub shards: usize,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Resident memory of the server before the first connection, bytes.
    pub before_bytes: u64,
    /// Growth of resident memory per connection, bytes.
    pub resident_bytes: f64,
    /// The same over the second half of the connections: what one more costs when shared buffers and pools
    /// have been touched already.
    pub further_bytes: f64,
    /// Connections made and signed in per second, one after the other.
    pub sign_ins_per_s: f64,
}

/// Readings in a row that must agree before memory counts as settled.
const STEADY: usize = 3;

impl Idle {
    /// Starts `binary`, connects, waits until its memory no longer changes, and divides.
    ///
    /// # Errors
    /// The server does not start, or a connection fails (its text says which; with many connections the
    /// limit on descriptors, `ulimit -n`, is the first suspect).
    pub fn run(self, binary: &Path) -> io::Result<Figures> {
        let server = Server::start(binary, self.driver, self.shards)
            .map_err(|error| io::Error::other(format!("starting {}: {error}", binary.display())))?;
        // One connection first: what is made once for all is not the second one's.
        let first = sign_in(server.address, "first")?;
        let resident = || settled(|| server.memory_bytes("VmRSS"));
        let before = resident()?;

        let started = Instant::now();
        let half = self.connections / 2;
        let mut sockets = self.sign_in(&server, 0..half)?;
        let mut took = started.elapsed();
        let middle = resident()?;

        let started = Instant::now();
        sockets.append(&mut self.sign_in(&server, half..self.connections)?);
        took += started.elapsed();
        let after = resident()?;
        drop((first, sockets));

        let per = |growth: u64, count: u32| growth as f64 / f64::from(count.max(1));
        Ok(Figures {
            before_bytes: before,
            resident_bytes: per(after.saturating_sub(before), self.connections),
            further_bytes: per(after.saturating_sub(middle), self.connections - half),
            sign_ins_per_s: f64::from(self.connections) / took.as_secs_f64(),
        })
    }

    fn sign_in(self, server: &Server, numbers: Range<u32>) -> io::Result<Vec<TcpStream>> {
        let one = |number| {
            sign_in(server.address, &format!("user-{number}")).map_err(|error| {
                io::Error::other(format!("connection {number} of {}: {error}", self.connections))
            })
        };
        numbers.map(one).collect()
    }
}

/// Reads until several readings agree, or ten seconds have passed.
fn settled(mut read: impl FnMut() -> io::Result<u64>) -> io::Result<u64> {
    let until = Instant::now() + Duration::from_secs(10);
    let mut last = read()?;
    let mut same = 0;
    while same < STEADY && Instant::now() < until {
        thread::sleep(Duration::from_millis(200));
        let now = read()?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}
