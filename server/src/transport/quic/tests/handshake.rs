//! Before a session: who comes in, when, and what comes early.

use super::*;

#[test]
fn who_does_not_open_a_stream_in_time_is_closed() {
    let mut world = World::new();
    let mut client = world.connect(1, &client_config("ringwire/1"));
    world.exchange(&mut [&mut client]);
    assert_eq!((world.quic.counters.connections, world.quic.counters.handshakes), (1, 0));
    world.pass(11_000, &mut [&mut client]);
    assert_eq!(client.code(), Some(u64::from(Code::HANDSHAKE_TIMEOUT.number())));
    world.pass(10_000, &mut []);
    assert_eq!((world.quic.counters.connections, world.quic.counters.overdue), (0, 1));
}

#[test]
fn a_wrong_protocol_is_refused_before_a_session_begins() {
    let mut world = World::new();
    let mut client = world.connect(1, &client_config("something/9"));
    world.exchange(&mut [&mut client]);
    assert!(matches!(client.lost, Some(ConnectionError::ConnectionClosed(_))), "{:?}", client.lost);
    assert!(world.events.is_empty());
    world.pass(10_000, &mut []);
    assert_eq!((world.quic.counters.connections, world.quic.counters.handshakes), (0, 0));
}

#[test]
fn beyond_the_connections_there_may_be_a_client_is_refused() {
    let offer = offer();
    let mut world = World::of(Quic::new(Setup { connections_max: 1, ..setup(offer, 0) }).unwrap());
    let (_first, _, _) = world.session(1, b"x");
    let mut second = world.connect(2, &client_config("ringwire/1"));
    world.exchange(&mut [&mut second]);
    assert!(second.lost.is_some());
    assert!(world.quic.counters.refused > 0);
    world.quic.drain();
    let mut third = world.connect(3, &client_config("ringwire/1"));
    world.exchange(&mut [&mut third]);
    assert!(third.lost.is_some(), "and nobody comes in who comes while the server goes");
}

#[test]
fn what_comes_early_is_read_at_once_and_a_flight_sent_again_changes_nothing() {
    let mut world = World::new();
    let config = client_config("ringwire/1");
    let mut first = world.connect(1, &config);
    world.exchange(&mut [&mut first]);
    first.connection.close(world.instant(), VarInt::from_u32(0), Bytes::new());
    world.exchange(&mut [&mut first]);
    world.pass(5_000, &mut []);
    world.events.clear();

    // Comes back, and speaks before the handshake.
    let mut client = world.connect(2, &config);
    assert!(client.connection.has_0rtt());
    let stream = client.open(Dir::Bi);
    client.connection.send_stream(stream).write(b"early").unwrap();
    let flight = client.flush(world.instant());
    for datagram in &flight {
        world.receive(client.address, datagram);
    }
    let id = world.opened();
    assert!(world.quic.is_early(id));
    assert_eq!(world.read_all(id), b"early", "within the first flight");
    assert_eq!(world.quic.write(id, &Bytes::from_static(b"ack")), 3);
    world.quic.hold(id, b"later", b",rest");
    assert_eq!(world.read_all(id), b"", "what is held waits");
    for (_, datagram) in world.flush() {
        let instant = world.instant();
        client.receive(instant, &datagram);
    }
    assert_eq!(client.read(stream), b"ack", "one round trip after the start");
    world.exchange(&mut [&mut client]);
    assert!(client.connection.accepted_0rtt() && !world.quic.is_early(id));
    assert_eq!(world.read_all(id), b"later,rest");

    // Somebody sends the flight again, from elsewhere and from there.
    world.events.clear();
    for nth in [3, 2] {
        for datagram in &flight {
            world.receive(address(nth), datagram);
        }
        world.flush();
    }
    assert!(!world.has(|event| matches!(event, Event::Opened { .. })), "{:?}", world.events);
    assert_eq!(world.read_all(id), b"");
    world.pass(20_000, &mut [&mut client]);
    assert_eq!(world.quic.counters.connections, 1, "what the copies began is forgotten");
}

#[test]
fn keys_change_long_after_tls_has_gone() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"a");
    assert_eq!(world.read_all(id), b"a");
    for _ in 0..4 {
        // Keys of before are kept for three time-outs of a probe.
        world.pass(20_000, &mut [&mut client]);
        client.connection.force_key_update();
        client.connection.send_stream(stream).write(b"b").unwrap();
        world.exchange(&mut [&mut client]);
        assert_eq!(world.read_all(id), b"b");
        assert_eq!(world.quic.write(id, &Bytes::from_static(b"c")), 1);
        world.exchange(&mut [&mut client]);
        assert_eq!(client.read(stream), b"c");
    }
    assert_eq!(client.lost, None);
}
