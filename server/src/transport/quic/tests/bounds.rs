//! What one connection may cost: memory, streams, turns.

use super::*;

#[test]
fn a_reader_that_does_not_read_is_bounded_and_told_of_when_it_does() {
    let mut world = World::new();
    let mut config = client_config("ringwire/1");
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(20_000));
    config.transport_config(Arc::new(transport));
    let mut client = world.connect(1, &config);
    world.exchange(&mut [&mut client]);
    let stream = client.open(Dir::Bi);
    client.connection.send_stream(stream).write(b"x").unwrap();
    world.exchange(&mut [&mut client]);
    let id = world.opened();
    let much = Bytes::from(vec![7; 300_000]);
    let taken = world.quic.write(id, &much);
    assert_eq!(taken, 20_000, "no more than the client allows");
    world.exchange(&mut [&mut client]);
    assert!(!world.has(|event| matches!(event, Event::Writable(_))));
    assert_eq!(client.read(stream).len(), 20_000);
    world.exchange(&mut [&mut client]);
    assert!(world.has(|event| matches!(event, Event::Writable(of) if *of == id)));

    let (mut generous, _, id) = world.session(2, b"x");
    let taken = world.quic.write(id, &much);
    assert_eq!(taken as u64, limits::QUIC_SEND_BYTES, "no more than we keep");
    world.exchange(&mut [&mut generous]);
    assert!(world.has(|event| matches!(event, Event::Writable(of) if *of == id)));
}

#[test]
fn so_many_have_more_room_and_the_others_make_do_with_little() {
    let mut setup = setup(offer(), 0);
    setup.wide_max = 1;
    let mut world = World::of(Quic::new(setup).unwrap());
    let (mut first, first_stream, first_id) = world.session(1, b"x");
    let (mut second, second_stream, second_id) = world.session(2, b"x");
    let much = Bytes::from(vec![7; 200_000]);
    assert_eq!(world.quic.write(first_id, &much), 200_000);
    assert_eq!(world.quic.write(second_id, &much) as u64, limits::QUIC_SEND_LITTLE_BYTES);
    assert_eq!(world.quic.counters.wide, 1);
    let page = Bytes::from(vec![8; 60_000]);
    world.quic.page(second_id, page.clone());
    world.quic.page(second_id, page);

    // It goes on in that: what is live before the answers, although those wait as well.
    let mut rest = much.slice(limits::QUIC_SEND_LITTLE_BYTES as usize..);
    while !rest.is_empty() {
        world.pass(100, &mut [&mut first, &mut second]);
        assert!(second.connection.streams().accept(Dir::Uni).is_none(), "{} bytes before it", rest.len());
        let taken = world.quic.write(second_id, &rest);
        assert!(taken > 0 && world.has(|event| matches!(event, Event::Writable(of) if *of == second_id)));
        world.events.clear();
        rest = rest.slice(taken..);
    }
    world.pass(1_000, &mut [&mut first, &mut second]);
    assert_eq!(first.read(first_stream).len(), 200_000);
    assert_eq!(second.read(second_stream).len(), 200_000);
    let pages = [(); 2].map(|()| {
        let stream = second.connection.streams().accept(Dir::Uni).expect("an answer");
        second.read(stream).len()
    });
    assert_eq!(pages, [60_000, 60_000]);
    assert_eq!(world.quic.counters.wide, 0, "given back when everything is acknowledged");

    assert_eq!(world.quic.write(second_id, &much), 200_000, "and there for the next");
    second.connection.close(world.instant(), VarInt::from_u32(0), Bytes::new());
    world.exchange(&mut [&mut first, &mut second]);
    world.pass(5_000, &mut [&mut first]);
    assert_eq!(world.quic.counters.wide, 0, "who goes leaves none of it behind");
}

#[test]
fn a_second_stream_is_against_the_rules() {
    for dir in [Dir::Bi, Dir::Uni] {
        let mut world = World::new();
        let (mut client, _, id) = world.session(1, b"x");
        let second = client.open(dir);
        client.connection.send_stream(second).write(b"y").unwrap();
        world.exchange(&mut [&mut client]);
        assert_eq!(client.code(), Some(u64::from(Code::UNEXPECTED_FRAME.number())));
        assert!(world.has(|event| matches!(event, Event::Lost(of) if *of == id)));
        // However many it wants.
        let mut client = world.connect(2, &client_config("ringwire/1"));
        world.exchange(&mut [&mut client]);
        let allowed = std::iter::from_fn(|| client.connection.streams().open(dir)).count();
        assert!(allowed <= 3, "{allowed} streams are allowed");
    }
}

#[test]
fn an_idle_connection_costs_no_turn_until_it_times_out() {
    let mut world = World::new();
    let (mut client, _, id) = world.session(1, b"x");
    world.pass(3_000, &mut [&mut client]);
    assert!(!world.quic.has_due());
    let next_ms = world.quic.next_ms(world.now).expect("the idle time-out");
    assert!(next_ms > 20_000, "nothing before {next_ms} ms");
    world.pass(61_000, &mut []);
    assert!(world.has(|event| matches!(event, Event::Lost(of) if *of == id)));
    assert_eq!(world.quic.counters.connections, 0);
}

#[test]
fn a_busy_connection_has_one_deadline() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"x");
    for _ in 0..100 {
        assert_eq!(world.quic.write(id, &Bytes::from_static(b"message")), 7);
        world.exchange(&mut [&mut client]);
        world.pass(100, &mut [&mut client]);
        client.read(stream);
    }
    assert_eq!(world.quic.deadlines.len(), 1);
    client.connection.close(world.instant(), VarInt::from_u32(0), Bytes::new());
    world.exchange(&mut [&mut client]);
    world.pass(10_000, &mut []);
    assert_eq!((world.quic.deadlines.len(), world.quic.next_ms(world.now)), (0, None));
}
