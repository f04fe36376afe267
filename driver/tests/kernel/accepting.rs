//! Who gets in.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringwire_driver::{CONNECTIONS_MAX, Config, Driver, Kind, OpenError, Operation, listen, open};

use crate::harness::{Event, World, claims, dial};

claims! {
    a_storm_is_taken_whole_with_the_right_addresses,
    one_more_than_the_maximum_is_refused_and_a_freed_slot_is_used_again,
    refusing_many_leaves_room_for_those_who_may,
    stopping_ends_accepting_and_nothing_else,
    those_who_wait_when_it_stops_are_taken_first,
    peers_of_both_families_are_reported_as_what_they_are,
    a_driver_without_a_listener_waits_for_other_things,
    too_many_connections_for_the_descriptor_limit_are_refused_at_once,
    shards_share_the_descriptors_of_the_process,
}

fn a_storm_is_taken_whole_with_the_right_addresses(kind: Kind) {
    const PEERS: usize = 500;
    let mut world = World::new(kind, |config| config.connections_max = PEERS as u32);
    let address = world.address;
    let peers = std::thread::spawn(move || (0..PEERS).map(|_| dial(address)).collect::<Vec<_>>());
    let mut slots = HashSet::new();
    let mut addresses = HashSet::new();
    for _ in 0..PEERS {
        world.expect("Accepted", |event| match event {
            Event::Accepted(connection, peer) => {
                assert!(slots.insert(connection.slot) && addresses.insert(*peer));
                Some(())
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(slots, (0..PEERS as u32).collect(), "slots are dense");
    let peers = peers.join().unwrap();
    assert_eq!(addresses, peers.iter().map(|peer| peer.local_addr().unwrap()).collect());
}

fn assert_refused(peer: &mut TcpStream) {
    match peer.read(&mut [0]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

fn one_more_than_the_maximum_is_refused_and_a_freed_slot_is_used_again(kind: Kind) {
    let mut world = World::new(kind, |config| config.connections_max = 4);
    let peers: Vec<_> = (0..4).map(|_| world.connect()).collect();
    for _ in 0..3 {
        let mut refused = dial(world.address);
        world.settle();
        assert!(world.events.is_empty(), "{:?}", world.events);
        assert_refused(&mut refused);
    }
    assert_eq!(world.driver.counters().refused, 3);

    let freed = peers[2].1;
    world.ask(Operation::Close { connection: freed });
    world.closed(freed);
    let (mut peer, connection) = world.connect();
    assert_eq!((connection.slot, connection.generation), (freed.slot, freed.generation + 1));
    peer.write_all(b"in").unwrap();
    assert_eq!(world.received(connection, 2), b"in");
    assert_eq!(world.driver.counters().connections, 4);
}

fn refusing_many_leaves_room_for_those_who_may(kind: Kind) {
    let mut world = World::new(kind, |config| config.connections_max = 1);
    let (_peer, mut present) = world.connect();
    let mut refused = 0;
    for _ in 0..3 {
        // More at once than accepts are armed.
        let mut others: Vec<_> = (0..100).map(|_| dial(world.address)).collect();
        refused += others.len() as u64;
        while world.driver.counters().refused < refused {
            world.settle();
        }
        others.iter_mut().for_each(assert_refused);
        world.ask(Operation::Close { connection: present });
        world.closed(present);
        present = world.connect().1;
    }
    assert!(world.events.iter().all(|event| matches!(event, Event::Disconnected(..))), "{:?}", world.events);
}

fn stopping_ends_accepting_and_nothing_else(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let (mut peer, connection) = world.connect();
    world.ask(Operation::StopAccepting);
    // One turn to cancel, one to look once more who waits, one to close.
    (0..3).for_each(|_| world.settle());
    let refused = TcpStream::connect(world.address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    world.ask(Operation::StopAccepting);
    world.settle();
    assert!(world.events.is_empty(), "{:?}", world.events);

    peer.write_all(b"still").unwrap();
    assert_eq!(world.received(connection, 5), b"still");
}

fn those_who_wait_when_it_stops_are_taken_first(kind: Kind) {
    // More than accepts are armed, and than one turn takes.
    const PEERS: usize = 300;
    let mut world = World::new(kind, |config| config.connections_max = 250);
    let peers: Vec<_> = (0..PEERS).map(|_| dial(world.address)).collect();
    world.ask(Operation::StopAccepting);
    let mut taken = Vec::new();
    while taken.len() < 250 {
        taken.push(world.expect("Accepted", |event| match event {
            Event::Accepted(connection, _) => Some(*connection),
            other => panic!("{other:?}"),
        }));
    }
    // There is no room for the others, as at any other time.
    while world.driver.counters().refused < 50 {
        world.settle();
    }
    (0..3).for_each(|_| world.settle());
    let refused = TcpStream::connect(world.address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    for connection in taken {
        world.send(connection, &b"sorry"[..]);
    }
    let told =
        peers.iter().filter(|peer| (&mut &**peer).read(&mut [0; 8]).is_ok_and(|read| read == 5)).count();
    assert_eq!(told, 250);
}

fn peers_of_both_families_are_reported_as_what_they_are(kind: Kind) {
    let Ok(listener) = listen::bind("[::]:0".parse().unwrap(), &listen::Options::default()) else {
        eprintln!("not run: there is no IPv6 here");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let mut world = World::new(kind, |config| config.listener = Some(listener));
    for ip in ["127.0.0.1", "::1"] {
        let peer = dial(SocketAddr::new(ip.parse().unwrap(), port));
        let local = peer.local_addr().unwrap();
        world.expect("Accepted", |event| match event {
            Event::Accepted(_, address) => {
                assert_eq!(*address, local);
                Some(())
            }
            _ => None,
        });
    }
}

fn a_driver_without_a_listener_waits_for_other_things(kind: Kind) {
    let mut world = World::new(kind, |config| config.listener = None);
    let refused = TcpStream::connect(world.address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    world.driver.bell().ring_always();
    assert!(world.is_rung());
    world.ask(Operation::StopAccepting);
    world.settle();
}

fn too_many_connections_for_the_descriptor_limit_are_refused_at_once(kind: Kind) {
    let config = Config { connections_max: CONNECTIONS_MAX, ..Config::default() };
    match open(kind, config) {
        Err(error @ OpenError::Descriptors { .. }) => {
            let text = error.to_string();
            assert!(text.contains("16777216") && text.contains("ulimit -Hn"), "{text}");
        }
        // A machine whose hard limit is as large as that.
        Ok(_) => {}
        Err(error) => panic!("{error}"),
    }
}

fn shards_share_the_descriptors_of_the_process(kind: Kind) {
    // With io_uring connections have no descriptors.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let Ok(hard) = line.split_whitespace().nth(4).unwrap().parse::<usize>() else { return };
    // So many that between two and a hundred are left for each.
    let shards = hard / 80;
    let mut world = World::new(kind, |config| {
        config.shards = shards;
        config.connections_max = 200;
    });
    let peers: Vec<_> = (0..200).map(|_| dial(world.address)).collect();
    let all = |world: &World| {
        let counters = world.driver.counters();
        counters.accepted + counters.refused
    };
    while all(&world) < 200 {
        world.settle();
    }
    match kind {
        Kind::Epoll => assert!((1..100).contains(&world.driver.counters().accepted)),
        _ => assert_eq!(world.driver.counters().accepted, 200),
    }
    drop(peers);
    let config = Config { shards: hard, ..Config::default() };
    assert_eq!(matches!(open(kind, config), Err(OpenError::Descriptors { .. })), kind == Kind::Epoll);
}
