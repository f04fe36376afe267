//! Datagrams beside connections: whole, from and to the right addresses, without starving anybody.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ringwire_driver::{Driver, Kind, Outgoing, listen};

use crate::harness::{Event, PATIENCE, World, claims};

claims! {
    a_datagram_comes_with_its_addresses_and_is_answered,
    segments_are_cut_by_the_kernel,
    marks_of_congestion_travel,
    everything_that_fits_the_socket_arrives_once,
    a_flood_leaves_connections_their_turn,
    waiting_for_datagrams_sleeps,
}

/// A world with a socket for datagrams on the port of its connections.
fn world(kind: Kind) -> World {
    World::new(kind, |config| {
        let listener = config.listener.as_ref().expect("the harness listens");
        let address = listener.local_addr().unwrap();
        config.datagrams = listen::bind_datagrams(address, 1).unwrap().pop();
    })
}

fn peer(world: &World) -> UdpSocket {
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    peer.connect(world.address).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

/// The next datagrams that arrived together: from whom, marks, stride, bytes.
fn datagrams(world: &mut World) -> (SocketAddr, u8, usize, Vec<u8>) {
    world.expect("Datagrams", |event| match event {
        Event::Datagrams { peer, ecn, stride, data } => Some((*peer, *ecn, *stride, std::mem::take(data))),
        _ => None,
    })
}

fn send(world: &mut World, destination: SocketAddr, ecn: u8, segment_bytes: usize, bytes: &[u8]) {
    let datagrams = &mut world.operations.datagrams;
    let start = datagrams.bytes.len();
    datagrams.bytes.extend_from_slice(bytes);
    datagrams.list.push(Outgoing {
        destination,
        source: None,
        ecn,
        segment_bytes,
        start,
        bytes: bytes.len(),
    });
    world.submit();
}

fn a_datagram_comes_with_its_addresses_and_is_answered(kind: Kind) {
    let mut world = world(kind);
    let peer = peer(&world);
    peer.send(b"question").unwrap();
    let (from, _, stride, data) = datagrams(&mut world);
    assert_eq!((from, stride, &data[..]), (peer.local_addr().unwrap(), 8, &b"question"[..]));
    send(&mut world, from, 0, 6, b"answer");
    let mut room = [0; 64];
    assert_eq!(peer.recv(&mut room).unwrap(), 6, "from the address that was asked: the peer is connected");
    assert_eq!(&room[..6], b"answer");
    let counters = world.driver.counters();
    let counted = (counters.datagrams_received, counters.datagrams_sent, counters.datagrams_dropped);
    assert_eq!(counted, (1, 1, 0));
}

fn segments_are_cut_by_the_kernel(kind: Kind) {
    let mut world = world(kind);
    let peer = peer(&world);
    let bytes: Vec<u8> = (0..11_000u32).map(|i| i as u8).collect();
    send(&mut world, peer.local_addr().unwrap(), 0, 1_200, &bytes);
    let (mut room, mut all) = ([0; 2_048], Vec::new());
    for nth in 0..10 {
        let length = peer.recv(&mut room).unwrap();
        assert_eq!(length, if nth < 9 { 1_200 } else { 200 });
        all.extend_from_slice(&room[..length]);
    }
    assert_eq!(all, bytes);
    assert_eq!(world.driver.counters().datagrams_sent, 10);
}

fn marks_of_congestion_travel(kind: Kind) {
    let mut world = world(kind);
    let me = world.address;
    for ecn in [0b10, 0b01, 0b11, 0] {
        send(&mut world, me, ecn, 4, b"mark");
        assert_eq!(datagrams(&mut world), (me, ecn, 4, b"mark".to_vec()));
    }
}

fn everything_that_fits_the_socket_arrives_once(kind: Kind) {
    const COUNT: u32 = 150;
    let mut world = world(kind);
    let peer = peer(&world);
    for nth in 0..COUNT {
        peer.send(&nth.to_le_bytes()).unwrap();
    }
    let mut all: Vec<u32> = Vec::new();
    while all.len() < COUNT as usize {
        let (_, _, stride, data) = datagrams(&mut world);
        let numbers =
            data.chunks(stride).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")));
        all.extend(numbers);
    }
    assert_eq!(all, (0..COUNT).collect::<Vec<_>>());
}

fn a_flood_leaves_connections_their_turn(kind: Kind) {
    let mut world = world(kind);
    let (mut client, connection) = world.connect();
    let peer = peer(&world);
    // Different lengths, so that the kernel does not join them: each is a receive of its own.
    for nth in 0..400usize {
        peer.send(&[7; 64][..1 + nth % 2]).unwrap();
    }
    client.write_all(b"here").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let (mut turns, mut taken) = (0, 0);
    while !world.events.iter().any(|event| matches!(event, Event::Received(from, _) if *from == connection)) {
        world.wait(PATIENCE);
        turns += 1;
        let before = taken;
        taken = world.events.iter().filter(|event| matches!(event, Event::Datagrams { .. })).count();
        assert!(taken - before <= 64, "a turn takes {} datagrams", taken - before);
    }
    assert!(turns <= 2, "the connection waited {turns} turns");
}

fn waiting_for_datagrams_sleeps(kind: Kind) {
    let mut world = world(kind);
    let peer = peer(&world);
    peer.send(b"x").unwrap();
    datagrams(&mut world);
    world.settle();
    let start = Instant::now();
    world.wait(Duration::from_millis(60));
    assert!(start.elapsed() >= Duration::from_millis(50), "nothing came, and the wait ended early");
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        peer.send(b"y").unwrap();
    });
    let start = Instant::now();
    datagrams(&mut world);
    assert!(start.elapsed() < PATIENCE / 2, "an arrival ends the wait");
    late.join().unwrap();
}
