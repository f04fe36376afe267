//! Everything at once, at random, from a seed: peers that talk, stop reading, end, reset and come again,
//! against a driver with hardly any room, and a shard that sends and closes as it likes.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use ringwire_driver::{ConnectionId, Driver, Kind, Operation};

use crate::harness::{Event, World, claims, dial};

claims! { whatever_peers_do_every_stream_stays_whole }

/// xorshift64*: enough for a schedule.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

/// Byte `at` of what the end with this name says.
fn said(name: u64, at: usize) -> u8 {
    (name as usize).wrapping_mul(131).wrapping_add(at ^ (at >> 8)) as u8
}

fn speech(name: u64, from: usize, bytes: usize) -> Vec<u8> {
    (from..from + bytes).map(|at| said(name, at)).collect()
}

struct Peer {
    socket: TcpStream,
    name: u64,
    said: usize,
    heard: usize,
    has_ended: bool,
}

impl Peer {
    fn new(address: SocketAddr) -> Self {
        let socket = dial(address);
        socket.set_nonblocking(true).unwrap();
        let name = u64::from(socket.local_addr().unwrap().port());
        Self { socket, name, said: 0, heard: 0, has_ended: false }
    }

    fn talk(&mut self, bytes: usize) {
        if self.has_ended {
            return;
        }
        match self.socket.write(&speech(self.name, self.said, bytes)) {
            Ok(written) => self.said += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_cut) => self.has_ended = true,
        }
    }

    /// Reads what is there and checks it; whether the stream is over.
    fn listen(&mut self) -> bool {
        let mut scratch = [0; 4_096];
        loop {
            match self.socket.read(&mut scratch) {
                Ok(0) => return true,
                Ok(read) => {
                    assert_eq!(scratch[..read], speech(!self.name, self.heard, read), "what the shard says");
                    self.heard += read;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_cut) => return true,
            }
        }
    }
}

/// What the shard knows of a connection.
struct Ours {
    name: u64,
    heard: usize,
    said: usize,
    /// What a short send left, and whether it may be sent.
    rest: Option<Bytes>,
    may_send: bool,
    has_ended: bool,
    is_closing: bool,
}

#[derive(Default)]
struct Shard {
    connections: HashMap<ConnectionId, Ours>,
    generations: HashMap<u32, u32>,
    closed: usize,
}

impl Shard {
    fn on(&mut self, event: Event, connections_max: u32) {
        match event {
            Event::Accepted(id, address) => {
                assert!(id.slot < connections_max);
                let generation = self.generations.entry(id.slot).or_default();
                assert_eq!(id.generation, *generation, "one occupant after the other");
                *generation += 1;
                let ours = Ours {
                    name: u64::from(address.port()),
                    heard: 0,
                    said: 0,
                    rest: None,
                    may_send: true,
                    has_ended: false,
                    is_closing: false,
                };
                assert!(self.connections.insert(id, ours).is_none());
            }
            Event::Received(id, data) => {
                let ours = self.open(id);
                assert!(!ours.has_ended, "nothing after the end");
                assert_eq!(data, speech(ours.name, ours.heard, data.len()), "what the peer says");
                ours.heard += data.len();
            }
            Event::Stalled(id, payload, sent) => {
                let ours = self.open(id);
                assert!(ours.may_send && sent < payload.len());
                ours.may_send = false;
                ours.rest = Some(payload.slice(sent..));
            }
            Event::Writable(id) => {
                let ours = self.open(id);
                assert!(!ours.may_send && ours.rest.is_some(), "only who was stalled");
                ours.may_send = true;
            }
            Event::Disconnected(id, _) => {
                let ours = self.open(id);
                assert!(!ours.has_ended, "one farewell");
                ours.has_ended = true;
            }
            Event::Closed(id) => {
                let ours = self.connections.remove(&id).expect("closed once");
                assert!(ours.is_closing, "only what was asked to");
                self.closed += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    /// A connection of which something may be heard.
    fn open(&mut self, id: ConnectionId) -> &mut Ours {
        let ours = self.connections.get_mut(&id).expect("a connection that is there");
        assert!(!ours.is_closing, "nothing but Closed after Close");
        ours
    }

    /// A turn's sends and closes.
    fn act(&mut self, dice: &mut Dice, world: &mut World) {
        for (id, ours) in &mut self.connections {
            if ours.is_closing {
                continue;
            }
            if ours.may_send && dice.roll(3) == 0 {
                let data = ours.rest.take().unwrap_or_else(|| {
                    let bytes = [0, 1, 50, 5_000, 300_000][dice.roll(5)];
                    let data = speech(!ours.name, ours.said, bytes);
                    ours.said += bytes;
                    data.into()
                });
                let payload = world.operations.payload(data);
                world.operations.send(*id, payload);
            }
            if dice.roll(if ours.has_ended { 3 } else { 40 }) == 0 {
                ours.is_closing = true;
                world.operations.push(Operation::Close { connection: *id });
            }
        }
        world.submit();
    }
}

fn whatever_peers_do_every_stream_stays_whole(kind: Kind) {
    for seed in 1..=4 {
        play(kind, seed);
    }
}

fn play(kind: Kind, seed: u64) {
    const CONNECTIONS_MAX: u32 = 40;
    const TURNS: usize = 1_500;
    let mut dice = Dice(seed);
    let mut world = World::new(kind, |config| {
        config.connections_max = CONNECTIONS_MAX;
        config.receive_buffers = 4;
        config.receive_buffer_bytes = 64;
        config.receive_turn_bytes = 64;
        config.completions = 1;
        config.send_buffer_bytes = 16_384;
    });
    let mut shard = Shard::default();
    let mut peers: Vec<Peer> = Vec::new();
    for _ in 0..TURNS {
        if peers.len() < CONNECTIONS_MAX as usize + 5 && dice.roll(2) == 0 {
            peers.push(Peer::new(world.address));
        }
        for _ in 0..5.min(peers.len()) {
            let chosen = dice.roll(peers.len());
            let peer = &mut peers[chosen];
            match dice.roll(12) {
                0..4 => peer.talk([1, 10, 100, 3_000][dice.roll(4)]),
                4..9 if peer.listen() => drop(peers.swap_remove(chosen)),
                9 => {
                    let _ = peer.socket.shutdown(Shutdown::Write);
                    peer.has_ended = true;
                }
                // With bytes unread this is a reset, else an end.
                10 => drop(peers.swap_remove(chosen)),
                _ => {}
            }
        }
        world.wait(Duration::ZERO);
        for event in std::mem::take(&mut world.events) {
            shard.on(event, CONNECTIONS_MAX);
        }
        shard.act(&mut dice, &mut world);
    }
    assert!(shard.closed > 50, "seed {seed}: much has happened: {}", shard.closed);

    // And in the end everything goes.
    world.ask(Operation::StopAccepting);
    loop {
        world.wait(Duration::from_millis(5));
        for event in std::mem::take(&mut world.events) {
            shard.on(event, CONNECTIONS_MAX);
        }
        for (id, ours) in &mut shard.connections {
            if !std::mem::replace(&mut ours.is_closing, true) {
                world.operations.push(Operation::Close { connection: *id });
            }
        }
        world.submit();
        if shard.connections.is_empty() && world.driver.counters().connections == 0 {
            break;
        }
    }
    for peer in &mut peers {
        peer.socket.set_nonblocking(false).unwrap();
        assert!(peer.listen(), "seed {seed}: the peer hears that it is over");
    }
    assert_eq!(world.driver.counters().stale, 0, "seed {seed}: nothing came for a former occupant");
}
