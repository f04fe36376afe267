//! Addresses: proven or not, changed, and those of other shards.

use super::*;
use crate::transport::gate::Rate;

#[test]
fn a_client_that_moves_loses_nothing() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"one,");
    let mut heard = world.read_all(id);
    for nth in 2..6 {
        client.address = address(100 + nth);
        client.connection.send_stream(stream).write(b"more,").unwrap();
        world.exchange(&mut [&mut client]);
        heard.extend(world.read_all(id));
        let said = Bytes::from(format!("to {nth},"));
        assert_eq!(world.quic.write(id, &said), said.len());
        world.exchange(&mut [&mut client]);
    }
    assert_eq!(heard, b"one,more,more,more,more,");
    assert_eq!(client.read(stream), b"to 2,to 3,to 4,to 5,");
    assert!(!world.has(|event| matches!(event, Event::Lost(_))));
}

#[test]
fn a_datagram_on_another_shards_socket_finds_its_connection() {
    let offer = offer();
    let mut world = World::of(Quic::new(setup(offer.clone(), 0)).unwrap());
    let mut other = Quic::new(setup(offer, 1)).unwrap();
    let (mut client, stream, id) = world.session(1, b"one,");
    let mut heard = world.read_all(id);
    client.address = address(9);
    client.connection.send_stream(stream).write(b"two").unwrap();
    let mut letters = Vec::new();
    for datagram in client.flush(world.instant()) {
        let pass_on = |shard, stray| {
            letters.push((shard, stray));
            true
        };
        other.on_datagrams(world.now, (client.address, None), 0, datagram.len(), &datagram, pass_on);
    }
    assert!(!letters.is_empty() && letters.iter().all(|(shard, _)| *shard == 0));
    assert_eq!((other.counters.strays, other.counters.connections), (letters.len() as u64, 0));
    for (_, stray) in letters {
        world.quic.on_stray(world.now, &stray);
    }
    heard.extend(world.read_all(id));
    assert_eq!(heard, b"one,two");
    // A ring that is full loses it, and it is counted.
    client.connection.ping();
    for datagram in client.flush(world.instant()) {
        other.on_datagrams(world.now, (client.address, None), 0, datagram.len(), &datagram, |_, _| false);
    }
    assert!(other.counters.strays_dropped > 0);
}

#[test]
fn spoofed_initials_cost_bounded_memory_and_are_answered_by_at_most_three_times_their_bytes() {
    let mut world = World::new();
    let config = client_config("ringwire/1");
    let sent = 4 * limits::QUIC_UNVALIDATED_MAX;
    for nth in 0..sent {
        // First flights of clients who are not where they say: nobody ever answers.
        for datagram in world.connect(nth as u32, &config).flush(world.instant()) {
            world.receive(address(nth as u32), &datagram);
        }
        world.flush();
    }
    world.pass(5_000, &mut []);
    let counters = world.quic.counters;
    assert_eq!(counters.accepted, limits::QUIC_UNVALIDATED_MAX as u64);
    assert!(counters.retried >= 3 * limits::QUIC_UNVALIDATED_MAX as u64);
    assert!(world.out_bytes <= 3 * world.in_bytes, "{} for {}", world.out_bytes, world.in_bytes);
    // Somebody who is where he says comes in all the same.
    let (_, _, id) = world.session(1_000_000, b"x");
    assert_eq!(world.read_all(id), b"x");
    world.pass(30_000, &mut []);
    assert_eq!(world.quic.counters.handshakes, 0, "and those who never answer are forgotten");
    assert_eq!(world.quic.counters.unproven, 0);
}

#[test]
fn who_begins_too_many_has_to_prove_his_address_and_is_refused_then() {
    let rate = Rate { per_second: 10, burst: 5 };
    let mut world = World::of(Quic::new(Setup { handshakes: Some(rate), ..setup(offer(), 0) }).unwrap());
    let config = client_config("ringwire/1");
    // Whoever gives somebody's address without having it uses up nothing of his.
    for _ in 0..50 {
        for datagram in world.connect(1, &config).flush(world.instant()) {
            world.receive(address(1), &datagram);
        }
        world.flush();
    }
    let after = world.quic.counters;
    assert_eq!((after.accepted, after.refused), (5, 0));
    assert!(after.retried >= 45, "{}", after.retried);
    let come_in = |world: &mut World, nth: u32| {
        let mut client = world.connect(nth, &config);
        world.exchange(&mut [&mut client]);
        !client.connection.is_handshaking() && client.lost.is_none()
    };
    let came = (0..20).filter(|_| come_in(&mut world, 1)).count();
    assert_eq!(came, 5);
    assert!(world.quic.counters.refused >= 15);
    assert!(world.quic.counters.limited >= 60);
    assert!(world.out_bytes <= 3 * world.in_bytes, "{} for {}", world.out_bytes, world.in_bytes);
    assert!(come_in(&mut world, 2), "others have their own");
    world.pass(1_000, &mut []);
    assert!(come_in(&mut world, 1), "and it is over after a while");
}

#[test]
fn garbage_is_answered_by_less_than_it_is_and_leaves_nothing() {
    let mut world = World::new();
    for nth in 0..3_000u64 {
        let mut garbage = blake3::hash(&nth.to_le_bytes()).as_bytes().repeat(40);
        garbage.truncate(1 + (nth as usize * 7) % 1250);
        if nth % 3 == 0 {
            // Looks like an Initial of version 1.
            garbage[0] = 0xc0;
            garbage.iter_mut().skip(1).take(4).zip([0, 0, 0, 1]).for_each(|(byte, version)| *byte = version);
        }
        world.receive(address(nth as u32), &garbage);
        world.flush();
    }
    assert_eq!(world.quic.counters.connections, 0);
    assert!(world.out_bytes < world.in_bytes, "{} for {}", world.out_bytes, world.in_bytes);
    assert!(world.events.is_empty());
}

#[test]
fn a_long_certificate_waits_for_what_pays_for_it() {
    let long = certificate_for(300);
    assert!(long.0.len() > 4000, "{}", long.0.len());
    let mut world = World::of(Quic::new(setup(offer_of(&long), 0)).unwrap());
    let mut client = world.connect(1, &client_config_for("ringwire/1", &long));
    for datagram in client.flush(world.instant()) {
        world.receive(client.address, &datagram);
    }
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.extend(world.flush());
        world.now.monotonic_ns += 50_000_000;
        world.quic.on_time(world.now);
    }
    let sent: usize = answers.iter().map(|(_, datagram)| datagram.len()).sum();
    assert!(sent > world.in_bytes && sent <= 3 * world.in_bytes, "{sent} bytes for {}", world.in_bytes);
    for (_, datagram) in answers {
        let instant = world.instant();
        client.receive(instant, &datagram);
    }
    world.pass(2_000, &mut [&mut client]);
    let stream = client.open(Dir::Bi);
    client.connection.send_stream(stream).write(b"here I am").unwrap();
    world.exchange(&mut [&mut client]);
    let id = world.opened();
    assert_eq!(world.read_all(id), b"here I am");
}

#[test]
fn who_seems_to_move_without_end_is_followed_a_few_times() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"one,");
    let mut heard = world.read_all(id);
    let (home, mut sent_bytes) = (client.address, 0);
    for nth in 0..400 {
        client.connection.ping();
        for datagram in client.flush(world.instant()) {
            world.receive(address(1000 + nth), &datagram);
        }
        let strangers = world.flush().into_iter().filter(|(to, _)| *to != home);
        sent_bytes += strangers.map(|(_, datagram)| datagram.len()).sum::<usize>();
        world.now.monotonic_ns += 1_000_000;
    }
    let moves = 1 + limits::QUIC_MOVES_BURST as usize;
    assert!((1..=moves * 2 * 1500).contains(&sent_bytes), "{sent_bytes} bytes to who never answered");
    assert!(world.quic.counters.moves_refused > 300);
    // Where it has proven to be it is heard all the same, and after a while it may move again.
    client.connection.send_stream(stream).write(b"two,").unwrap();
    world.pass(10_000, &mut [&mut client]);
    heard.extend(world.read_all(id));
    client.address = address(3000);
    client.connection.send_stream(stream).write(b"three").unwrap();
    world.pass(2_000, &mut [&mut client]);
    heard.extend(world.read_all(id));
    assert_eq!(heard, b"one,two,three");
    assert!(!world.has(|event| matches!(event, Event::Lost(_))));
}
