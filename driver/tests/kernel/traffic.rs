//! Bytes in, bytes out.

use std::collections::HashMap;
use std::io::{Read, Write};

use bytes::Bytes;
use ringwire_driver::{Completion, Kind};

use crate::harness::{PATIENCE, World, claims, dial};

claims! { everything_sent_by_many_peers_comes_back_in_order }

fn everything_sent_by_many_peers_comes_back_in_order(kind: Kind) {
    const PEERS: usize = 100;
    const MESSAGES: usize = 20;
    const BYTES: usize = 100;
    let mut world = World::new(kind, |_| ());
    let address = world.address;
    let peers = std::thread::spawn(move || {
        let mut peers: Vec<_> = (0..PEERS).map(|_| dial(address)).collect();
        for message in 0..MESSAGES {
            for (index, peer) in peers.iter_mut().enumerate() {
                peer.write_all(&[(index * 7 + message) as u8; BYTES]).unwrap();
            }
        }
        for (index, peer) in peers.iter_mut().enumerate() {
            for message in 0..MESSAGES {
                let mut back = [0; BYTES];
                peer.read_exact(&mut back).unwrap();
                assert_eq!(back, [(index * 7 + message) as u8; BYTES]);
            }
        }
    });
    let mut echoed = 0;
    let mut due: HashMap<_, Vec<u8>> = HashMap::new();
    while echoed < PEERS * MESSAGES * BYTES {
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
    assert_eq!(ringwire_driver::Driver::counters(&world.driver).connections, PEERS as u32);
}
