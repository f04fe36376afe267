//! What a connection costs and what a message costs, counted by the allocator itself.

#![expect(unsafe_code, reason = "a counting allocator around the system's")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has threads, files and clocks of its own")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use ringwire_driver::{
    AnyDriver, Completion, Config, ConnectionId, Driver, Kind, OpenError, Operation, Operations, listen, open,
};

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts what the calling thread takes and gives back.
struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LIVE_BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size() as isize));
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        let _ = LIVE_BYTES.try_with(|bytes| bytes.set(bytes.get() - layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    driver: AnyDriver,
    operations: Operations,
    address: std::net::SocketAddr,
}

fn world(kind: Kind, connections_max: u32) -> Option<World> {
    let listener = listen::bind((Ipv4Addr::LOCALHOST, 0).into(), &listen::Options::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let config =
        Config { listener: Some(listener), connections_max, spin: Duration::ZERO, ..Config::default() };
    match open(kind, config) {
        Ok(opened) => Some(World { driver: opened.driver, operations: Operations::default(), address }),
        Err(OpenError::Uring(reason)) => {
            eprintln!("not run on io_uring: {reason}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

impl World {
    fn turn(&mut self, mut sink: impl FnMut(&mut Operations, Completion<'_>)) {
        let Self { driver, operations, .. } = self;
        driver.wait(Some(PATIENCE), &mut || true, &mut |completion| sink(operations, completion)).unwrap();
        driver.submit(operations);
    }

    fn accept(&mut self) -> (TcpStream, ConnectionId) {
        let peer = TcpStream::connect(self.address).unwrap();
        peer.set_nodelay(true).unwrap();
        let mut found = None;
        while found.is_none() {
            self.turn(|_, completion| {
                if let Completion::Accepted { connection, .. } = completion {
                    found = Some(connection);
                }
            });
        }
        (peer, found.unwrap())
    }
}

fn an_idle_connection_costs_bytes_not_buffers(kind: Kind) {
    const PEERS: usize = 1_000;
    const BYTES_MAX: isize = 32;
    let Some(mut world) = world(kind, 4_096) else { return };
    let mut peers = Vec::with_capacity(PEERS);
    let before = LIVE_BYTES.get();
    while peers.len() < PEERS {
        peers.push(world.accept());
    }
    // Not only connected: every one has spoken and was answered.
    for (peer, connection) in &mut peers {
        peer.write_all(b"hello").unwrap();
        let mut heard = 0;
        while heard < 5 {
            world.turn(|operations, completion| match completion {
                Completion::Received { data, .. } => {
                    heard += data.len();
                    let payload = operations.payload(Bytes::from_static(b"hi"));
                    operations.send(*connection, payload);
                }
                other => panic!("{other:?}"),
            });
        }
        peer.read_exact(&mut [0; 2]).unwrap();
    }
    let per_connection = (LIVE_BYTES.get() - before) / PEERS as isize;
    println!("{kind}: {per_connection} bytes of user memory per idle connection");
    assert!(per_connection <= BYTES_MAX, "{kind}: {per_connection} bytes");
    let counters = world.driver.counters();
    assert!(counters.table_bytes >= u64::from(counters.connections) * 8, "the table was counted at all");
    assert!(counters.table_bytes <= 2 * PEERS as u64 * BYTES_MAX as u64);
}

fn a_message_costs_no_allocation(kind: Kind) {
    let Some(mut world) = world(kind, 64) else { return };
    let mut peers: Vec<_> = (0..10).map(|_| world.accept()).collect();
    let answer = Bytes::from_static(b"answer");
    let mut round = |world: &mut World| {
        for (peer, _) in &mut peers {
            peer.write_all(b"question").unwrap();
        }
        let mut heard = 0;
        while heard < 80 {
            world.turn(|operations, completion| match completion {
                Completion::Received { connection, data } => {
                    heard += data.len();
                    let payload = operations.payload(answer.clone());
                    operations.send(connection, payload);
                }
                other => panic!("{other:?}"),
            });
        }
        for (peer, _) in &mut peers {
            peer.read_exact(&mut [0; 6]).unwrap();
        }
    };
    // Vectors find their size.
    for _ in 0..10 {
        round(&mut world);
    }
    let before = ALLOCATIONS.get();
    for _ in 0..200 {
        round(&mut world);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "{kind}: 2,000 messages in, 2,000 out");
}

fn connections_that_come_and_go_leave_nothing(kind: Kind) {
    let Some(mut world) = world(kind, 64) else { return };
    let come_and_go = |world: &mut World| {
        for _ in 0..100 {
            let (peer, connection) = world.accept();
            drop(peer);
            let mut closed = false;
            while !closed {
                world.turn(|operations, completion| match completion {
                    Completion::Disconnected { .. } => operations.push(Operation::Close { connection }),
                    Completion::Closed { .. } => closed = true,
                    other => panic!("{other:?}"),
                });
            }
        }
    };
    come_and_go(&mut world);
    let before = LIVE_BYTES.get();
    for _ in 0..5 {
        come_and_go(&mut world);
    }
    assert_eq!(LIVE_BYTES.get() - before, 0, "{kind}");
}

#[test]
fn idle_connections_cost_bytes_not_buffers() {
    an_idle_connection_costs_bytes_not_buffers(Kind::Epoll);
    an_idle_connection_costs_bytes_not_buffers(Kind::Uring);
}

#[test]
fn messages_cost_no_allocation() {
    a_message_costs_no_allocation(Kind::Epoll);
    a_message_costs_no_allocation(Kind::Uring);
}

#[test]
fn what_comes_and_goes_leaves_nothing() {
    connections_that_come_and_go_leave_nothing(Kind::Epoll);
    connections_that_come_and_go_leave_nothing(Kind::Uring);
}

#[test]
fn the_counter_counts() {
    let (bytes, count) = (LIVE_BYTES.get(), ALLOCATIONS.get());
    let held = vec![0u8; 1_000];
    assert_eq!((LIVE_BYTES.get() - bytes, ALLOCATIONS.get() - count), (1_000, 1));
    drop(held);
    assert_eq!(LIVE_BYTES.get(), bytes);
}
