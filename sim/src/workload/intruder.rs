//! People who do not play by the rules. Each is a socket and a script: what it says next does not depend much on
//! what it hears.
//!
//! Nothing that they do may harm anybody else; what they publish by the rules counts like anything else.

use quinn_proto::Dir;
use ringwire_protocol::message::{
    Close, Cursor, Direction, Durability, Encoder, Fetch, Hello, Join, Kind, Leave, Members, Open, Ping,
    Publish, Typing, VERSION, View,
};
use ringwire_protocol::ws::{self, Opcode, handshake};
use ringwire_protocol::{ConversationId, DeviceId, UserId};

use crate::check::Room;
use crate::client::quic::Quic;
use crate::model::Token;
use crate::network::SocketId;
use crate::random::Random;

/// How an intruder misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduct {
    /// Sends bytes that mean nothing.
    Garbage,
    /// Sends the request head, or over QUIC a frame, byte by byte, and never all of it.
    Slow,
    /// Upgrades, and sends frames that are broken in some way.
    Broken,
    /// Signs in as nobody's friend, and asks for what is not its.
    Stranger,
    /// Signs in as a member and does things in the wrong order, with wrong numbers, and twice.
    Trickster,
    /// Signs in as a member and never reads.
    Deaf,
    /// Over QUIC: signs in as a member, and sends datagrams of anything, many at a time.
    Noisy,
    /// Over QUIC: signs in, and opens streams that it may not have.
    Greedy,
    /// Over QUIC: begins connections, from addresses that may not be its own, and never goes on.
    Half,
    /// Over QUIC: sends what only looks like the beginning of a connection, as fast as it can.
    Flood,
}

impl Conduct {
    /// One of those on a socket.
    pub fn draw(random: &mut Random) -> Self {
        random.pick(&[
            Conduct::Garbage,
            Conduct::Slow,
            Conduct::Broken,
            Conduct::Stranger,
            Conduct::Trickster,
            Conduct::Trickster,
            Conduct::Trickster,
            Conduct::Deaf,
        ])
    }

    /// One of those over QUIC.
    pub fn draw_on_quic(random: &mut Random) -> Self {
        if random.one_in(2) {
            return Self::draw(random);
        }
        random.pick(&[Conduct::Noisy, Conduct::Noisy, Conduct::Greedy, Conduct::Half, Conduct::Flood])
    }

    /// Whether it has a connection.
    pub fn connects(self) -> bool {
        !matches!(self, Conduct::Half | Conduct::Flood)
    }
}

/// One intruder.
pub struct Intruder {
    /// How it misbehaves on this connection.
    pub conduct: Conduct,
    /// Who it says it is.
    pub name: String,
    /// The same as an id.
    pub user: UserId,
    /// Its device, hashed.
    pub origin: u64,
    /// Which life; each connection is one.
    pub life: u32,
    /// The socket in use, and whether it is connected.
    pub socket: Option<(SocketId, bool)>,
    /// What is in the socket's place where it speaks QUIC.
    pub quic: Option<Box<Quic>>,
    /// Bytes that the socket has not taken.
    pub out: Vec<u8>,
    /// What is to be sent beside the stream.
    pub beside: Vec<Vec<u8>>,
    /// Streams to be opened, and what is said on each.
    pub streams: Vec<(Dir, Vec<u8>)>,
    is_on_quic: bool,
    /// Steps done on this connection.
    pub steps: u32,
    /// Client sequences used, by room.
    pub sequences: Vec<u64>,
    marked: u32,
    device: DeviceId,
    requests: u32,
    encoder: Encoder,
}

/// What an intruder publishes in one step.
pub type Published = Option<(Room, Token)>;

impl Intruder {
    /// A new life, about to connect.
    pub fn new(life: u32, rooms: usize, conduct: Conduct, is_on_quic: bool) -> Self {
        let name = match conduct {
            Conduct::Trickster | Conduct::Deaf | Conduct::Noisy | Conduct::Greedy => "trickster".to_owned(),
            _ => format!("stranger-{life}"),
        };
        let device = DeviceId::from_name(&format!("intruder-{life}"));
        Intruder {
            conduct,
            user: UserId::from_name(&name),
            name,
            origin: device.origin(),
            life,
            socket: None,
            quic: None,
            out: Vec::new(),
            beside: Vec::new(),
            streams: Vec::new(),
            is_on_quic,
            steps: 0,
            sequences: vec![0; rooms],
            marked: 0,
            device,
            requests: 0,
            encoder: Encoder::new(),
        }
    }

    /// Whether it speaks QUIC.
    pub fn is_on_quic(&self) -> bool {
        self.is_on_quic
    }

    /// Whether it takes what it is sent.
    pub fn reads(&self) -> bool {
        self.conduct != Conduct::Deaf || self.steps < 3
    }

    /// Says the next thing. What it published by it, if it did.
    pub fn step(
        &mut self,
        random: &mut Random,
        ids: &[ConversationId],
        names: &[String],
        body: usize,
    ) -> Published {
        self.steps += 1;
        match (self.conduct, self.steps) {
            (Conduct::Garbage, _) => {
                let bytes = random.within(1..=60);
                self.out.extend((0..bytes).map(|_| random.word() as u8));
                None
            }
            (Conduct::Slow, step) => {
                let head = match self.is_on_quic {
                    true => self.encoded(|encoder, out| Ping { token: 3 }.encode(encoder, out)),
                    false => handshake::request("sim", ws::PATH, [7; 16]),
                };
                self.out.extend(head[..head.len() - 1].get(step as usize - 1).filter(|_| step < 150));
                None
            }
            (Conduct::Half | Conduct::Flood, _) => None,
            (_, 1) => {
                if !self.is_on_quic {
                    self.out.extend(handshake::request("sim", ws::PATH, [7; 16]));
                }
                None
            }
            (Conduct::Broken, _) => {
                self.say_something_broken(random);
                None
            }
            (_, 2) => {
                self.say_hello(random, ids);
                None
            }
            (Conduct::Deaf, step) => {
                if let Some(name) = names.get(step as usize - 3) {
                    self.say(|encoder, out| Join { request: step, name }.encode(encoder, out));
                }
                None
            }
            (Conduct::Noisy, _) => {
                self.make_noise(random, ids);
                None
            }
            (Conduct::Greedy, step) if step.is_multiple_of(4) => {
                let dir = random.pick(&[Dir::Bi, Dir::Uni]);
                let said = vec![7; random.index(40)];
                self.streams.extend((0..random.within(1..=20)).map(|_| (dir, said.clone())));
                None
            }
            _ => self.trick(random, ids, names, body),
        }
    }

    /// Datagrams: of a member who types without end, of frames that do not belong there, of nothing at all.
    fn make_noise(&mut self, random: &mut Random, ids: &[ConversationId]) {
        let what = random.below(4);
        for _ in 0..random.within(1..=60) {
            let conversation = random.pick(ids);
            let datagram = match what {
                0 | 1 => {
                    let active = random.one_in(2);
                    self.encoded(|encoder, out| Typing { conversation, active }.encode(encoder, out))
                }
                2 => self.encoded(|encoder, out| Ping { token: 3 }.encode(encoder, out)),
                _ => (0..random.within(0..=200)).map(|_| random.word() as u8).collect(),
            };
            self.beside.push(datagram);
        }
    }

    fn encoded(&mut self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> Vec<u8> {
        let mut frame = Vec::new();
        write(&mut self.encoder, &mut frame);
        frame
    }

    fn say(&mut self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let frame = self.encoded(write);
        self.send(Opcode::Binary, &frame, Some([9, 8, 7, 6]));
    }

    /// Puts bytes behind what is to be sent: as a message, where there are messages.
    fn send(&mut self, opcode: Opcode, bytes: &[u8], mask: Option<[u8; 4]>) {
        match self.is_on_quic {
            true => self.out.extend_from_slice(bytes),
            false => ws::write_message(&mut self.out, opcode, bytes, mask),
        }
    }

    fn say_hello(&mut self, random: &mut Random, ids: &[ConversationId]) {
        let (device, token) = (self.device, format!("dev:{}", self.name));
        let mut cursors = Vec::new();
        for id in ids {
            if random.one_in(2) {
                cursors.push(Cursor { conversation: *id, sequence: random.below(5) });
            }
        }
        self.say(|encoder, out| {
            let hello = Hello {
                version_min: VERSION,
                version_max: VERSION,
                device,
                capabilities: 0,
                token: &token,
                agent: "intruder",
                cursors: (&cursors).into(),
                attempt: 0,
            };
            hello.encode(encoder, out);
        });
    }

    fn say_something_broken(&mut self, random: &mut Random) {
        let mut frame = self.encoded(|encoder, out| Ping { token: 3 }.encode(encoder, out));
        match random.below(6) {
            // A frame whose body is no root.
            0 => {
                let at = random.index(frame.len());
                frame[at] ^= 1 << random.below(8);
            }
            // A frame that says that it is larger than anything.
            1 => frame[..4].copy_from_slice(&u32::MAX.to_le_bytes()),
            // A frame that is cut.
            2 => frame.truncate(random.index(frame.len())),
            // More than a message may have.
            3 => frame.resize(70_000, 0),
            // Not masked.
            4 => return self.send(Opcode::Binary, &frame, None),
            // Text.
            _ => return self.send(Opcode::Text, b"hello", Some([1, 2, 3, 4])),
        }
        self.send(Opcode::Binary, &frame, Some([1, 2, 3, 4]));
    }

    fn trick(
        &mut self,
        random: &mut Random,
        ids: &[ConversationId],
        names: &[String],
        body: usize,
    ) -> Published {
        let room = random.index(ids.len());
        let conversation = if random.one_in(20) { ConversationId::from_name("nowhere") } else { ids[room] };
        self.requests += 1;
        let request = if random.one_in(10) { 1 } else { self.requests };
        let name = &names[room];
        // A stranger never joins: whatever it gets, it must not.
        let joins = self.conduct == Conduct::Trickster;
        match random.below(10) {
            0 | 1 if joins => self.say(|encoder, out| Join { request, name }.encode(encoder, out)),
            2 => self.say(|encoder, out| Leave { request, conversation }.encode(encoder, out)),
            3 => self.say(|encoder, out| Open { request, conversation, after: 0 }.encode(encoder, out)),
            4 => self.say(|encoder, out| Close { request, conversation }.encode(encoder, out)),
            5 => {
                let from = random.pick(&[0, 1, 3, 1_000_000, u64::MAX]);
                let limit = random.pick(&[0, 1, 5, u16::MAX]);
                let direction = random.pick(&[Direction::Forward, Direction::Backward]);
                self.say(|encoder, out| {
                    Fetch { request, conversation, from, limit, direction, view: View::Raw }
                        .encode(encoder, out);
                });
            }
            6 => {
                let (after, limit) = (UserId::ZERO, random.below(5) as u16);
                self.say(|encoder, out| Members { request, conversation, after, limit }.encode(encoder, out));
            }
            _ => return self.publish(random, room, conversation, body),
        }
        None
    }

    fn publish(
        &mut self,
        random: &mut Random,
        room: Room,
        conversation: ConversationId,
        body: usize,
    ) -> Published {
        self.marked += 1;
        let token = Token { life: self.life, number: self.marked };
        // Mostly the next number; sometimes one that was used, or one too far.
        let next = self.sequences[room] + 1;
        let client_sequence = match random.below(8) {
            0 => random.below(next + 1),
            1 => next + random.within(1..=3),
            _ => next,
        };
        if client_sequence == next {
            self.sequences[room] = next;
        }
        let kind = random.pick(&[Kind::Text, Kind::Text, Kind::Membership]);
        let body = token.body(random.index(body + 8));
        self.say(|encoder, out| {
            let durability = Durability::Synced;
            Publish { conversation, client_sequence, reference: 0, kind, durability, body: &body }
                .encode(encoder, out);
        });
        Some((room, token))
    }
}
