//! Ends: ours, the peer's, and who comes after.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use ringwire_driver::{ConnectionId, Driver, Kind, Operation};

use crate::harness::{Event, PATIENCE, World, claims};

claims! {
    a_closed_connection_is_closed_for_its_peer_and_reported_once,
    closing_a_stalled_connection_closes_it,
    closing_a_starved_connection_closes_it,
    a_peer_that_resets_is_reported_once_with_a_cause,
    nothing_is_received_after_the_end_was_reported,
    what_a_peer_said_before_it_left_is_heard,
    the_next_occupant_hears_nothing_of_the_former,
    what_is_asked_for_a_former_occupant_is_dropped_and_counted,
    a_turn_may_send_and_close,
    dropping_the_driver_closes_what_it_had,
}

fn assert_ended(peer: &mut std::net::TcpStream) {
    let mut rest = Vec::new();
    match peer.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

fn a_closed_connection_is_closed_for_its_peer_and_reported_once(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let (mut peer, connection) = world.connect();
    let (mut other, others) = world.connect();
    world.ask(Operation::Close { connection });
    world.closed(connection);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the peer sees the end");

    world.ask(Operation::Close { connection });
    world.settle();
    assert!(world.events.is_empty(), "{:?}", world.events);
    assert_eq!(world.driver.counters().connections, 1);

    other.write_all(b"still here").unwrap();
    assert_eq!(world.received(others, 10), b"still here");
}

/// Sends until nothing more is taken, and the connection does not become writable either.
fn stall(world: &mut World, connection: ConnectionId) {
    loop {
        world.send(connection, vec![7; 8 << 20]);
        world.expect("Stalled", |event| matches!(event, Event::Stalled(..)).then_some(()));
        world.settle();
        // What was sent may have left its buffer for the peer's.
        let Some(index) = world.events.iter().position(|event| matches!(event, Event::Writable(_))) else {
            return;
        };
        world.events.remove(index);
    }
}

fn closing_a_stalled_connection_closes_it(kind: Kind) {
    let mut world = World::new(kind, |config| config.send_buffer_bytes = 16_384);
    let (mut peer, connection) = world.connect();
    stall(&mut world, connection);
    world.ask(Operation::Close { connection });
    // In a few turns, whatever the peer does: not when it happens to take bytes again.
    for _ in 0..10 {
        world.wait(Duration::ZERO);
        world.submit();
    }
    assert!(matches!(world.events.pop_front(), Some(Event::Closed(closed)) if closed == connection));
    assert_ended(&mut peer);
    world.settle();
    assert!(world.events.is_empty(), "no Writable after Closed: {:?}", world.events);
}

fn closing_a_starved_connection_closes_it(kind: Kind) {
    let mut world = World::new(kind, |config| {
        config.receive_buffers = 1;
        config.receive_buffer_bytes = 16;
        config.receive_turn_bytes = 16;
    });
    let mut peers: Vec<_> = (0..20).map(|_| world.connect()).collect();
    for (peer, _) in &mut peers {
        peer.write_all(&[1; 1_000]).unwrap();
    }
    world.wait(PATIENCE);
    for (_, connection) in &peers {
        world.operations.push(Operation::Close { connection: *connection });
    }
    world.submit();
    world.events.clear();
    for (_, connection) in &peers {
        world.closed(*connection);
    }
    world.settle();
    assert!(world.events.is_empty(), "{:?}", world.events);
    for (peer, _) in &mut peers {
        assert_ended(peer);
    }
    let (mut peer, connection) = world.connect();
    peer.write_all(b"the buffers are back").unwrap();
    assert_eq!(world.received(connection, 20), b"the buffers are back");
}

fn a_peer_that_resets_is_reported_once_with_a_cause(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let (peer, connection) = world.connect();
    world.send(connection, Bytes::from_static(b"unread"));
    // A socket that is closed with unread bytes resets its connection.
    assert_eq!(peer.peek(&mut [0]).unwrap(), 1);
    drop(peer);
    let cause = world.disconnected(connection).expect("a reset is not good order");
    assert_eq!(cause.kind(), ErrorKind::ConnectionReset, "{cause}");

    for _ in 0..3 {
        world.send(connection, Bytes::from_static(b"into the void"));
        world.settle();
    }
    assert!(world.events.is_empty(), "said once: {:?}", world.events);
    world.ask(Operation::Close { connection });
    world.closed(connection);
}

fn nothing_is_received_after_the_end_was_reported(kind: Kind) {
    let mut world =
        World::new(kind, |config| (config.receive_buffer_bytes, config.receive_turn_bytes) = (16, 16));
    let mut peers: Vec<_> = (0..50).map(|_| world.connect()).collect();
    for (index, (peer, _)) in peers.iter_mut().enumerate() {
        peer.write_all(&[9; 100]).unwrap();
        if index % 2 == 0 {
            peer.shutdown(Shutdown::Write).unwrap();
        }
    }
    drop(peers);
    let mut ended: HashMap<ConnectionId, usize> = HashMap::new();
    while ended.len() < 50 {
        world.wait(PATIENCE);
        world.submit();
        for event in world.events.drain(..) {
            match event {
                Event::Received(from, _) => assert!(!ended.contains_key(&from), "{from:?} had ended"),
                Event::Disconnected(from, _) => *ended.entry(from).or_default() += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(ended.values().all(|times| *times == 1), "{ended:?}");
}

fn what_a_peer_said_before_it_left_is_heard(kind: Kind) {
    let mut world =
        World::new(kind, |config| (config.receive_buffer_bytes, config.receive_turn_bytes) = (64, 64));
    let (mut peer, connection) = world.connect();
    let said: Vec<_> = (0..10_000).map(|i| i as u8).collect();
    peer.write_all(&said).unwrap();
    drop(peer);
    assert_eq!(world.received(connection, said.len()), said);
    assert!(world.disconnected(connection).is_none());
}

fn the_next_occupant_hears_nothing_of_the_former(kind: Kind) {
    const ROUNDS: u32 = 300;
    let mut world = World::new(kind, |config| config.connections_max = 4);
    let mut slots = HashMap::new();
    for round in 0..ROUNDS {
        let (mut peer, connection) = world.connect();
        let generation = slots.entry(connection.slot).or_insert(0);
        assert_eq!(
            connection.generation, *generation,
            "generations count the occupants of {}",
            connection.slot
        );
        *generation += 1;
        let said = round.to_le_bytes();
        peer.write_all(&said).unwrap();
        match round % 3 {
            // Closed with bytes on their way, with bytes handed over, and with the peer gone.
            0 => {}
            1 => assert_eq!(world.received(connection, 4), said),
            _ => {
                assert_eq!(world.received(connection, 4), said);
                drop(peer);
                world.disconnected(connection);
            }
        }
        world.ask(Operation::Close { connection });
        world.closed(connection);
        for event in world.events.drain(..) {
            match event {
                Event::Received(from, data) => {
                    assert_eq!(from, connection);
                    assert_eq!(data, said, "round {round} hears another's bytes");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(slots.values().sum::<u32>(), ROUNDS);
    assert!(slots.len() <= 2, "freed slots are used again: {slots:?}");
}

fn what_is_asked_for_a_former_occupant_is_dropped_and_counted(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let (_peer, former) = world.connect();
    world.ask(Operation::Close { connection: former });
    world.closed(former);
    let (mut peer, present) = world.connect();
    assert_eq!(present.slot, former.slot);

    world.send(former, Bytes::from_static(b"not for you"));
    world.ask(Operation::Close { connection: former });
    world.send(present, Bytes::from_static(b"for you"));
    world.settle();
    assert!(world.events.is_empty(), "{:?}", world.events);
    assert_eq!(world.driver.counters().stale, 2);
    let mut data = [0; 7];
    peer.read_exact(&mut data).unwrap();
    assert_eq!(&data, b"for you");
}

fn a_turn_may_send_and_close(kind: Kind) {
    let mut world = World::new(kind, |config| config.send_buffer_bytes = 16_384);
    let (mut peer, small) = world.connect();
    let (mut reader, large) = world.connect();
    let farewell = world.operations.payload(Bytes::from_static(b"farewell"));
    let much = world.operations.payload(vec![1; 8 << 20].into());
    world.operations.send(small, farewell);
    world.operations.send(large, much);
    world.operations.push(Operation::Close { connection: small });
    world.operations.push(Operation::Close { connection: large });
    world.submit();
    world.closed(small);
    world.closed(large);
    world.settle();
    assert!(world.events.is_empty(), "a send that falls short is nobody's business now: {:?}", world.events);
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"farewell");
    assert_ended(&mut reader);
}

fn dropping_the_driver_closes_what_it_had(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let (mut idle, _) = world.connect();
    let (mut stalled, connection) = world.connect();
    stall(&mut world, connection);
    let address = world.address;
    drop(world);
    assert_ended(&mut idle);
    assert_ended(&mut stalled);
    let refused = std::net::TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}
