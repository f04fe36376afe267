//! `bench resident`: what a signed-in connection costs that says nothing, by what it is made of.
//!
//! [`idle`](crate::idle) gives the one figure that is promised; this says where it comes from. Resident memory of the whole server process, before the first connection and when it is quiet with all of
//! them. Everything is in the figure: tables, sessions, allocator slack, receive buffers that were touched.
//! The marginal figure (from half of the connections to all) leaves out what is paid once.

use std::path::PathBuf;
use std::time::Duration;

use ringwire_protocol::message::Durability;
use serde::Serialize;

use crate::fault::{Fault, Result};
use crate::load::adapter::ringwire::Ringwire as Adapter;
use crate::load::adapter::{Role, Who};
use crate::load::engine::Engine;
use crate::load::link::Transport;
use crate::system::memory::{self, Resident};
use crate::system::server::{Ringwire, Setup};
use crate::system::want_descriptors;

/// Promised bytes per connection.
#[must_use]
pub fn target_bytes(transport: Transport) -> f64 {
    match transport {
        Transport::Ws => 512.0,
        Transport::Wss => 12.0 * 1024.0,
        Transport::Quic => 10.0 * 1024.0,
    }
}

/// Descriptors of the generator beside its connections.
const DESCRIPTORS_BESIDE: u64 = 64;

/// Bytes of one shard's receive buffers, as the server sets its driver up.
fn receive_buffers() -> u64 {
    let config = ringwire_driver::Config::default();
    u64::from(config.receive_buffers.next_power_of_two()) * u64::from(config.receive_buffer_bytes)
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's binary.
    pub binary: PathBuf,
    /// How many connections.
    pub connections: u32,
    /// uring, epoll.
    pub drivers: Vec<String>,
    /// Shards; 0: the server's default.
    pub shards: Vec<u16>,
    /// Further settings of the server.
    pub settings: Vec<String>,
    /// Handshakes under way at once.
    pub at_once: usize,
    /// What the connections go over.
    pub transport: Transport,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// uring or epoll.
    pub driver: String,
    /// Shards; 0: the server's default.
    pub shards: u16,
    /// How many connections.
    pub connections: u32,
    /// Resident before the first connection, bytes.
    pub before: u64,
    /// Resident with all of them, bytes.
    pub after: u64,
    /// (after - before) / connections, bytes.
    pub bytes_per_connection: f64,
    /// The same from half of the connections to all.
    pub marginal: f64,
    /// Of `bytes_per_connection`: the allocator's memory.
    pub heap: f64,
    /// Receive buffers that were touched: paid once, up to a bound.
    pub receive_buffers: f64,
    /// Memory shared with io_uring.
    pub rings: f64,
    /// Pages of the program that were touched meanwhile.
    pub files: f64,
}

/// Measures and prints a table; the figures.
///
/// # Errors
/// See [`Fault`].
pub fn run(options: &Options) -> Result<Vec<Figure>> {
    want_descriptors(u64::from(options.connections) + DESCRIPTORS_BESIDE)?;
    let mut figures = Vec::new();
    println!(
        "{} connections, signed in and quiet; bytes per connection of resident memory",
        options.connections
    );
    println!(
        "driver  shards  before KiB  after KiB  B/conn  of target  marginal |  heap  receive  rings  program"
    );
    for shards in &options.shards {
        for driver in &options.drivers {
            let figure = measure(options, driver, *shards)?;
            println!(
                "{:7} {:>6}  {:>10}  {:>9}  {:>6.0}  {:>8.2}x  {:>8.0} | {:>5.0}  {:>7.0}  {:>5.0}  {:>7.0}",
                figure.driver,
                if figure.shards == 0 { "default".to_owned() } else { figure.shards.to_string() },
                figure.before / 1024,
                figure.after / 1024,
                figure.bytes_per_connection,
                figure.bytes_per_connection / target_bytes(options.transport),
                figure.marginal,
                figure.heap,
                figure.receive_buffers,
                figure.rings,
                figure.files,
            );
            figures.push(figure);
        }
    }
    println!(
        "known sizes: Connection {} B, Session {} B (each boxed), table slot 8 B; driver slot 20 B",
        size_of::<ringwire::transport::connection::Connection>(),
        size_of::<ringwire::session::Session>()
    );
    Ok(figures)
}

fn measure(options: &Options, driver: &str, shards: u16) -> Result<Figure> {
    let setup = Setup {
        binary: options.binary.clone(),
        driver: driver.to_owned(),
        shards,
        settings: options.settings.clone(),
        cpus: Vec::new(),
        transport: options.transport,
    };
    let mut server = Ringwire::start(&setup)?;
    let receive_buffers = if driver == "epoll" { 0 } else { receive_buffers() };
    let before = quiet(&mut server, receive_buffers)?;
    let adapter =
        Adapter { prefix: "idle".to_owned(), durability: Durability::Memory, framing: server.framing() };
    let mut engine = Engine::new(adapter, server.address, server.way.clone())?;
    engine.connecting_max = options.at_once;
    let half = options.connections / 2;
    let mut at_half = before;
    for (from, to) in [(0, half), (half, options.connections)] {
        let people = (from..to).map(|index| Who { index, user: index, role: Role::Idle });
        engine.connect(people, &mut || server.process.check(), &mut |_, _, _, _| Ok(()))?;
        if to == half {
            at_half = quiet(&mut server, receive_buffers)?;
        }
    }
    let after = quiet(&mut server, receive_buffers)?;
    // Whoever was thrown out meanwhile would make the figure look better than it is.
    engine.turn(Some(Duration::from_millis(10)), &mut |_, _, _, _| Ok(()))?;
    if engine.ready() != options.connections as usize {
        return Err(Fault::Server(format!(
            "{} of {} connections are left",
            engine.ready(),
            options.connections
        )));
    }
    let each = |part: fn(&Resident) -> u64| {
        (part(&after) as f64 - part(&before) as f64) / f64::from(options.connections)
    };
    Ok(Figure {
        driver: driver.to_owned(),
        shards,
        connections: options.connections,
        before: before.total,
        after: after.total,
        bytes_per_connection: each(|resident| resident.total),
        marginal: (after.total as f64 - at_half.total as f64) / f64::from(options.connections - half),
        heap: each(|resident| resident.heap),
        receive_buffers: each(|resident| resident.receive_buffers),
        rings: each(|resident| resident.rings),
        files: each(|resident| resident.files),
    })
}

/// Resident memory once it is the same three times in a row.
fn quiet(server: &mut Ringwire, receive_buffers: u64) -> Result<Resident> {
    let mut last = Resident::default();
    let mut same = 0;
    for _ in 0..60 {
        std::thread::sleep(Duration::from_millis(500));
        server.process.check()?;
        let now = memory::resident(server.process.pid(), receive_buffers)?;
        same = if now.total == last.total { same + 1 } else { 0 };
        last = now;
        if same == 3 {
            return Ok(last);
        }
    }
    Err(Fault::Server("its memory does not come to rest within 30 s without anything happening".to_owned()))
}
