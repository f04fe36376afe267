//! Bytes in, bytes out.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use ringwire_driver::{Completion, ConnectionId, Driver, Kind, Operation};

use crate::harness::{Event, PATIENCE, World, claims, dial};

claims! {
    everything_sent_by_many_peers_comes_back_in_order,
    one_peer_fills_a_starved_driver_in_order,
    starved_peers_all_get_their_turn,
    a_buffer_comes_back_however_little_was_in_it,
    a_flood_of_stalls_overflows_nothing_away,
    a_stalled_reader_gets_the_rest_without_interleaving,
    a_reader_stalls_again_and_again_and_misses_nothing,
    a_stall_survives_a_second_submit,
    an_empty_send_is_no_event,
    one_payload_serves_many_connections,
    a_half_closed_peer_still_gets_its_answer,
}

/// Byte `index` of a stream that tells where each of its bytes belongs.
fn pattern(stream: usize, index: usize) -> u8 {
    (stream.wrapping_mul(31) ^ (index >> 8).wrapping_mul(7) ^ index) as u8
}

fn patterned(stream: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| pattern(stream, index)).collect()
}

fn everything_sent_by_many_peers_comes_back_in_order(kind: Kind) {
    const PEERS: usize = 200;
    const PARTS: usize = 20;
    const PART: usize = 100;
    let mut world = World::new(kind, |_| ());
    let address = world.address;
    let peers = std::thread::spawn(move || {
        let mut peers: Vec<_> = (0..PEERS).map(|_| dial(address)).collect();
        for part in 0..PARTS {
            for (stream, peer) in peers.iter_mut().enumerate() {
                peer.write_all(&patterned(stream, PARTS * PART)[part * PART..][..PART]).unwrap();
            }
        }
        for (stream, peer) in peers.iter_mut().enumerate() {
            let mut back = [0; PARTS * PART];
            peer.read_exact(&mut back).unwrap();
            assert_eq!(back[..], patterned(stream, PARTS * PART));
        }
    });
    let mut echoed = 0;
    let mut due: HashMap<_, Vec<u8>> = HashMap::new();
    while echoed < PEERS * PARTS * PART {
        world.wait_with(PATIENCE, |_, completion| match completion {
            Completion::Accepted { .. } => {}
            Completion::Received { connection, data } => due.entry(connection).or_default().extend(&*data),
            other => panic!("{other:?}"),
        });
        for (connection, data) in due.drain() {
            echoed += data.len();
            let payload = world.operations.payload(Bytes::from(data));
            world.operations.send(connection, payload);
        }
        world.submit();
    }
    peers.join().unwrap();
    let counters = world.driver.counters();
    assert_eq!((counters.connections, counters.accepted), (PEERS as u32, PEERS as u64));
    assert_eq!((counters.stale, counters.refused), (0, 0));
}

/// What `peers` peers have sent, each `bytes` bytes, arrives whole and in order through two buffers of 16
/// bytes; and when the first of them is through, none is far behind.
fn check_starved(kind: Kind, peers: usize, bytes: usize) {
    let mut world = World::new(kind, |config| {
        config.receive_buffers = 2;
        config.receive_buffer_bytes = 16;
        config.receive_turn_bytes = 16;
    });
    let mut connected: Vec<_> = (0..peers).map(|_| world.connect()).collect();
    let mut streams = HashMap::new();
    for (stream, (peer, connection)) in connected.iter_mut().enumerate() {
        // Little enough to lie in the socket's buffer, so all of it is there before the first turn.
        peer.write_all(&patterned(stream, bytes)).unwrap();
        streams.insert(*connection, (stream, 0));
    }
    let mut is_first = true;
    while streams.values().any(|(_, at)| *at < bytes) {
        world.wait_with(PATIENCE, |_, completion| match completion {
            Completion::Received { connection, data } => {
                assert!(data.len() <= 16);
                let (stream, at) = streams.get_mut(&connection).unwrap();
                for byte in data {
                    assert_eq!(*byte, pattern(*stream, *at), "byte {at} of {stream}");
                    *at += 1;
                }
            }
            other => panic!("{other:?}"),
        });
        world.submit();
        if is_first && streams.values().any(|(_, at)| *at == bytes) {
            is_first = false;
            let least = streams.values().map(|(_, at)| *at).min().unwrap();
            assert!(least >= bytes / 2, "somebody got {bytes} bytes through, somebody {least}");
        }
    }
    if kind == Kind::Uring {
        assert!(world.driver.counters().starved > 0, "two buffers cannot have been enough");
    }
}

fn one_peer_fills_a_starved_driver_in_order(kind: Kind) {
    check_starved(kind, 1, 50_000);
}

fn starved_peers_all_get_their_turn(kind: Kind) {
    check_starved(kind, 20, 5_000);
}

fn a_buffer_comes_back_however_little_was_in_it(kind: Kind) {
    let mut world = World::new(kind, |config| {
        config.receive_buffers = 2;
        config.receive_buffer_bytes = 16;
        config.receive_turn_bytes = 16;
    });
    let (mut peer, connection) = world.connect();
    for round in 0..50 {
        peer.write_all(&[round]).unwrap();
        assert_eq!(world.received(connection, 1), [round]);
        // An end takes no buffer with it either.
        let (brief, ending) = world.connect();
        drop(brief);
        world.disconnected(ending);
        world.ask(Operation::Close { connection: ending });
        world.closed(ending);
    }
}

/// Far more than a socket takes.
const MUCH: usize = 8 << 20;

/// Every connection's send falls short in one turn: far more completions than the queue holds.
fn a_flood_of_stalls_overflows_nothing_away(kind: Kind) {
    const PEERS: usize = 400;
    let mut world = World::new(kind, |config| {
        config.connections_max = 1_000;
        config.completions = 1;
        config.send_buffer_bytes = 4_096;
    });
    let address = world.address;
    let peers = std::thread::spawn(move || (0..PEERS).map(|_| dial(address)).collect::<Vec<_>>());
    let connections: Vec<_> = (0..PEERS).map(|_| world.accepted()).collect();
    let mut peers = peers.join().unwrap();

    let payload = world.operations.payload(patterned(0, MUCH).into());
    for connection in &connections {
        world.operations.send(*connection, payload);
    }
    world.submit();
    world.wait(Duration::ZERO);
    let mut sent: HashMap<_, _> = HashMap::new();
    let mut stalled = PEERS;
    for event in world.events.drain(..) {
        match event {
            Event::Stalled(connection, payload, part) => {
                assert_eq!(payload.len(), MUCH);
                assert!(sent.insert(connection, part).is_none(), "once");
            }
            // What was sent may have left its buffer for the peer's already.
            Event::Writable(connection) => {
                assert!(sent.contains_key(&connection), "first things first");
                stalled -= 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent.len(), PEERS, "the wait after a submit tells of all its short sends");
    if kind == Kind::Uring {
        assert!(world.driver.counters().overflows > 0, "the queue was too small");
    }

    // And every one of them takes bytes again when its peer reads.
    for peer in &mut peers {
        peer.set_nonblocking(true).unwrap();
    }
    let mut scratch = vec![0; 1 << 16];
    while stalled > 0 {
        for peer in &mut peers {
            while peer.read(&mut scratch).is_ok_and(|read| read > 0) {}
        }
        world.wait(Duration::from_millis(10));
        world.submit();
        for event in world.events.drain(..) {
            match event {
                Event::Writable(_) => stalled -= 1,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Sends `data` whole: what falls short is sent again when the connection takes bytes again. How often it
/// fell short.
fn send_whole(world: &mut World, connection: ConnectionId, data: Bytes) -> usize {
    let mut stalls = 0;
    let mut rest = data;
    loop {
        world.send(connection, rest);
        world.wait(Duration::ZERO);
        let stalled = world.events.iter().position(|event| matches!(event, Event::Stalled(..)));
        let Some(index) = stalled else { return stalls };
        let Some(Event::Stalled(who, payload, sent)) = world.events.remove(index) else { unreachable!() };
        assert_eq!(who, connection);
        stalls += 1;
        rest = payload.slice(sent..);
        assert!(!rest.is_empty(), "a send that was taken whole is not reported");
        world.expect("Writable", |event| {
            matches!(event, Event::Writable(who) if *who == connection).then_some(())
        });
    }
}

fn read_on_a_thread(mut peer: TcpStream, bytes: usize) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = vec![0; bytes];
        peer.read_exact(&mut all).unwrap();
        all
    })
}

fn a_stalled_reader_gets_the_rest_without_interleaving(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let (peer, connection) = world.connect();
    world.send(connection, patterned(1, MUCH));
    let (payload, sent) = world.expect("Stalled", |event| match event {
        Event::Stalled(who, payload, sent) if *who == connection => Some((payload.clone(), *sent)),
        _ => None,
    });
    assert!(sent > 0 && sent < MUCH, "{sent}");
    assert_eq!(payload, patterned(1, MUCH), "the payload comes back whole");
    let reader = read_on_a_thread(peer, 2 * MUCH + 5);
    world.expect("Writable", |event| matches!(event, Event::Writable(_)).then_some(()));
    send_whole(&mut world, connection, payload.slice(sent..));
    send_whole(&mut world, connection, patterned(2, MUCH).into());
    send_whole(&mut world, connection, Bytes::from_static(b"after"));
    let all = reader.join().unwrap();
    assert!(all[..MUCH] == patterned(1, MUCH) && all[MUCH..2 * MUCH] == patterned(2, MUCH));
    assert_eq!(&all[2 * MUCH..], b"after");
}

fn a_reader_stalls_again_and_again_and_misses_nothing(kind: Kind) {
    const SOME: usize = 512 << 10;
    let mut world = World::new(kind, |config| config.send_buffer_bytes = 16_384);
    let (peer, connection) = world.connect();
    let reader = read_on_a_thread(peer, SOME);
    let stalls = send_whole(&mut world, connection, patterned(3, SOME).into());
    assert!(stalls > 1, "a small socket buffer takes {SOME} bytes in many parts");
    assert!(reader.join().unwrap() == patterned(3, SOME));
    assert_eq!(world.driver.counters().stalls, stalls as u64);
}

fn a_stall_survives_a_second_submit(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let (_reader, stalled) = world.connect();
    let (mut peer, other) = world.connect();
    world.send(stalled, patterned(1, MUCH));
    for part in 0..3 {
        world.send(other, patterned(part, 100));
    }
    let (payload, sent) = world.expect("Stalled", |event| match event {
        Event::Stalled(who, payload, sent) if *who == stalled => Some((payload.clone(), *sent)),
        _ => None,
    });
    assert!(payload == patterned(1, MUCH) && sent < MUCH, "the payload is the one that stalled");
    for part in 0..3 {
        let mut data = [0; 100];
        peer.read_exact(&mut data).unwrap();
        assert_eq!(data[..], patterned(part, 100));
    }
}

fn an_empty_send_is_no_event(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let (mut peer, connection) = world.connect();
    world.send(connection, Bytes::new());
    world.send(connection, Bytes::from_static(b"x"));
    let mut byte = [0];
    peer.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
    world.settle();
    assert!(world.events.is_empty(), "{:?}", world.events);
}

fn one_payload_serves_many_connections(kind: Kind) {
    const PEERS: usize = 200;
    let mut world = World::new(kind, |_| ());
    let mut peers: Vec<_> = (0..PEERS).map(|_| world.connect()).collect();
    for turn in 0..3 {
        let shared = world.operations.payload(patterned(turn, 64).into());
        for (_, connection) in &peers {
            world.operations.send(*connection, shared);
        }
        // Two submits without a wait between them are fine, too.
        world.submit();
    }
    for (peer, _) in &mut peers {
        for turn in 0..3 {
            let mut data = [0; 64];
            peer.read_exact(&mut data).unwrap();
            assert_eq!(data[..], patterned(turn, 64));
        }
    }
    world.settle();
    assert!(world.events.is_empty(), "a send that was taken whole is not reported: {:?}", world.events);
}

fn a_half_closed_peer_still_gets_its_answer(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let (mut peer, connection) = world.connect();
    peer.write_all(b"question").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(world.received(connection, 8), b"question");
    assert!(world.disconnected(connection).is_none(), "the peer ended in good order");

    let payload = world.operations.payload(Bytes::from_static(b"answer"));
    world.operations.send(connection, payload);
    world.ask(Operation::Close { connection });
    let mut answer = Vec::new();
    world.closed(connection);
    peer.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"answer");
    assert!(world.events.is_empty(), "{:?}", world.events);
}
