//! What a delivery costs: 64 bytes to 1,000 sockets, by each driver and by a bare loop of `send(2)`.
//!
//! `cargo run --release -p ringwire-driver --example fanout [sockets] [turns] [bytes]`
//!
//! One thread sends, bound to the first processor; another reads everything, bound to the second. A turn is
//! one message to every socket, and the next begins when all have arrived. Counted is the sender's
//! processor time, user and system, in the call that sends and, for a driver, in the wait after it; and
//! that of the first processor's ksoftirqd, to which the kernel leaves part of the delivery when it thinks
//! that it is too much at once. The three ways take turns in rounds, and are compared within each.

#![expect(unsafe_code, reason = "getrusage")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on says so by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has threads, files and clocks of its own")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use ringwire_driver::{
    AnyDriver, Completion, Config, ConnectionId, Driver, Kind, Operations, affinity, listen, open,
};

const ROUNDS: usize = 16;

fn main() {
    let argument = |index, default| {
        std::env::args().nth(index).map_or(default, |text: String| text.parse().expect("a number"))
    };
    let (sockets, turns, bytes) = (argument(1, 1_000), argument(2, 300), argument(3, 64));
    affinity::pin_current(0).unwrap();

    let mut ways: Vec<(&str, Box<dyn Way>)> = vec![("bare send(2)", Box::new(Bare::new(sockets)))];
    for (name, kind) in [("epoll", Kind::Epoll), ("io_uring", Kind::Uring)] {
        match open_driver(kind, sockets) {
            Ok(way) => ways.push((name, Box::new(way))),
            Err(error) => println!("{name}: {error}"),
        }
    }
    let mut costs = vec![Vec::new(); ways.len()];
    for round in 0..ROUNDS {
        for (index, (_, way)) in ways.iter_mut().enumerate() {
            let cost = measure(way.as_mut(), sockets, turns, bytes);
            // The first round warms up.
            if round > 0 {
                costs[index].push(cost);
            }
        }
    }
    println!("{bytes} bytes to {sockets} sockets, {turns} turns, medians of {} rounds:", ROUNDS - 1);
    for ((name, _), own) in ways.iter().zip(&costs) {
        // Within a round, because the machine's other work changes from round to round.
        let ratios = own.iter().zip(&costs[0]).map(|(own, bare)| own / bare).collect();
        println!("{name:>14}: {:.3} µs per delivery, {:.3} of bare", median(own.clone()), median(ratios));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A way to send one message to every socket.
trait Way {
    fn send_all(&mut self, message: &Bytes);
    fn reader(&self) -> &Reader;
}

/// Microseconds of this thread's processor time per delivery.
fn measure(way: &mut dyn Way, sockets: usize, turns: usize, bytes: usize) -> f64 {
    let message = Bytes::from(vec![b'x'; bytes]);
    let mut spent = Duration::ZERO;
    for _ in 0..turns {
        let softly = softirq_time();
        let goal = way.reader().arrived() + (sockets * bytes) as u64;
        let start = processor_time();
        way.send_all(&message);
        spent += processor_time() - start;
        while way.reader().arrived() < goal {
            std::thread::sleep(Duration::from_micros(100));
        }
        spent += softirq_time().saturating_sub(softly);
    }
    spent.as_secs_f64() * 1e6 / (turns * sockets) as f64
}

fn processor_time() -> Duration {
    // SAFETY: rusage is plain integers, for which all zeroes is a value, and is valid for writing.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage
    };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

/// Run time of the first processor's ksoftirqd; 0 where it cannot be seen, as in a container.
fn softirq_time() -> Duration {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let is_it = |path: &PathBuf| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "ksoftirqd/0")
        };
        let found = std::fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).find(is_it);
        found.map(|path| path.join("schedstat"))
    };
    let read = |path: &PathBuf| std::fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok();
    Duration::from_nanos(PATH.get_or_init(find).as_ref().and_then(read).unwrap_or(0))
}

/// The other ends, read by a thread of their own.
struct Reader {
    arrived: Arc<AtomicU64>,
}

impl Reader {
    fn new(peers: Vec<TcpStream>) -> Self {
        let arrived = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&arrived);
        std::thread::spawn(move || {
            affinity::pin_current(1).unwrap();
            let mut scratch = vec![0; 1 << 16];
            for peer in &peers {
                peer.set_nonblocking(true).unwrap();
            }
            loop {
                let mut read = 0;
                for mut peer in &peers {
                    read += peer.read(&mut scratch).unwrap_or(0);
                }
                counter.fetch_add(read as u64, Ordering::Release);
                if read == 0 {
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
        });
        Self { arrived }
    }

    fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Acquire)
    }
}

struct Bare {
    sockets: Vec<TcpStream>,
    reader: Reader,
}

impl Bare {
    fn new(count: usize) -> Self {
        let (listener, address) = listener();
        let mut peers = Vec::new();
        let sockets = (0..count)
            .map(|_| {
                peers.push(TcpStream::connect(address).unwrap());
                let socket = listener.accept().unwrap().0;
                socket.set_nonblocking(true).unwrap();
                socket
            })
            .collect();
        Self { sockets, reader: Reader::new(peers) }
    }
}

impl Way for Bare {
    fn send_all(&mut self, message: &Bytes) {
        for mut socket in &self.sockets {
            // The standard library's write is one send(2).
            assert_eq!(socket.write(message).unwrap(), message.len());
        }
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }
}

struct Driven {
    driver: AnyDriver,
    operations: Operations,
    connections: Vec<ConnectionId>,
    reader: Reader,
}

fn open_driver(kind: Kind, count: usize) -> Result<Driven, ringwire_driver::OpenError> {
    let (listener, address) = listener();
    let config = Config { listener: Some(listener), connections_max: count as u32, ..Config::default() };
    let mut driver = open(kind, config)?.driver;
    let (mut peers, mut connections) = (Vec::new(), Vec::new());
    let mut operations = Operations::default();
    while connections.len() < count {
        peers.push(TcpStream::connect(address).unwrap());
        while connections.len() < peers.len() {
            driver
                .wait(None, &mut || true, &mut |completion| {
                    if let Completion::Accepted { connection, .. } = completion {
                        connections.push(connection);
                    }
                })
                .unwrap();
            driver.submit(&mut operations);
        }
    }
    Ok(Driven { driver, operations, connections, reader: Reader::new(peers) })
}

impl Way for Driven {
    fn send_all(&mut self, message: &Bytes) {
        let payload = self.operations.payload(message.clone());
        for connection in &self.connections {
            self.operations.send(*connection, payload);
        }
        self.driver.submit(&mut self.operations);
        self.driver
            .wait(Some(Duration::ZERO), &mut || true, &mut |completion| panic!("{completion:?}"))
            .unwrap();
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }
}

fn listener() -> (std::net::TcpListener, SocketAddr) {
    let listener = listen::bind((Ipv4Addr::LOCALHOST, 0).into(), &listen::Options::default()).unwrap();
    // Only the drivers want it non-blocking, and they see to it themselves.
    listener.set_nonblocking(false).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
