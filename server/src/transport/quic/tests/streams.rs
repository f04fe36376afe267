//! A session: its stream, pages on streams of their own, datagrams, and its end.

use super::*;

#[test]
fn a_stream_carries_bytes_both_ways_and_ends_with_its_code() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"hello");
    assert_eq!((id.slot, id.generation), (SLOT, 0), "behind the driver's slots");
    assert_eq!(world.read_all(id), b"hello");
    assert_eq!(world.quic.write(id, &Bytes::from_static(b"welcome")), 7);
    world.exchange(&mut [&mut client]);
    assert_eq!(client.read(stream), b"welcome");

    assert_eq!(world.quic.write(id, &Bytes::from_static(b"bye")), 3);
    world.quic.close(world.now, id, 3554, "replaced");
    world.exchange(&mut [&mut client]);
    assert_eq!(client.read(stream), b"bye", "what was written before the close arrives before it");
    assert_eq!(client.code(), Some(3554));
    assert!(!world.has(|event| matches!(event, Event::Lost(_))), "who closes knows");
    world.pass(60_000, &mut [&mut client]);
    assert_eq!(world.quic.counters.connections, 0, "nothing is left of it");
    let (_, _, next) = world.session(2, b"x");
    assert_eq!((next.slot, next.generation), (SLOT, 1), "the slot is used again, by another");
}

#[test]
fn a_client_that_closes_is_lost_once_however_it_does_it() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"x");
    world.read_all(id);
    client.connection.send_stream(stream).finish().unwrap();
    world.exchange(&mut [&mut client]);
    world.read_all(id);
    world.collect();
    let (mut other, _, other_id) = world.session(2, b"x");
    other.connection.close(world.instant(), VarInt::from_u32(0), Bytes::new());
    world.exchange(&mut [&mut client, &mut other]);
    for gone in [id, other_id] {
        let lost = world.events.iter().filter(|event| matches!(event, Event::Lost(id) if *id == gone));
        assert_eq!(lost.count(), 1, "{gone:?}");
    }
    assert_eq!(world.quic.write(id, &Bytes::from_static(b"late")), 4, "it swallows what comes late");
}

#[test]
fn answers_to_fetches_have_streams_of_their_own_behind_what_is_live() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"x");
    for nth in 0..12u8 {
        world.quic.page(id, Bytes::from(vec![nth; 30_000]));
    }
    assert!(world.quic.page_bytes(id) >= 8 * 30_000, "few are under way at a time");
    assert_eq!(world.quic.write(id, &Bytes::from_static(b"live")), 4, "and leave room for live messages");
    world.exchange(&mut [&mut client]);
    let mut pages = Vec::new();
    let mut streams: Vec<StreamId> = Vec::new();
    while pages.len() < 12 {
        while let Some(uni) = client.connection.streams().accept(Dir::Uni) {
            streams.push(uni);
        }
        let before = pages.len();
        for uni in streams.drain(..) {
            pages.push(client.read(uni));
        }
        world.exchange(&mut [&mut client]);
        assert!(pages.len() > before, "they go on");
    }
    for (nth, page) in pages.iter().enumerate() {
        assert!(page.len() == 30_000 && page.iter().all(|byte| usize::from(*byte) == nth), "page {nth}");
    }
    assert_eq!(client.read(stream), b"live");
    assert_eq!(world.quic.page_bytes(id), 0);
}

#[test]
fn a_challenge_is_answered_by_who_lives_and_by_nobody_else() {
    let mut world = World::new();
    let (mut client, _, id) = world.session(1, b"x");
    let proven = |world: &World| world.has(|event| matches!(event, Event::Proven(of) if *of == id));
    world.quic.challenge(id);
    world.flush();
    world.pass(100, &mut []);
    assert!(!proven(&world), "nothing has come back");
    world.pass(3000, &mut [&mut client]);
    assert!(proven(&world));
}

#[test]
fn datagrams_carry_what_may_be_lost_where_they_fit() {
    let mut world = World::new();
    let (mut client, _, id) = world.session(1, b"x");
    assert!(world.quic.tell(id, &Bytes::from_static(b"typing")));
    assert!(!world.quic.tell(id, &Bytes::from(vec![0; 5000])), "too long for one");
    client.connection.datagrams().send(Bytes::from_static(b"I type"), true).unwrap();
    world.exchange(&mut [&mut client]);
    assert_eq!(client.connection.datagrams().recv().as_deref(), Some(&b"typing"[..]));
    assert!(
        world.has(
            |event| matches!(event, Event::Datagram(of, bytes) if *of == id && bytes[..] == b"I type"[..])
        )
    );
}
