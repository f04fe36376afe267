//! Somebody who looks on: watches all users, types now and then, and wants the inbox. An honest client that is
//! simpler than the product's, so that what it believes is what it was told.
//!
//! It comes with the same device every time, and sometimes dials again without letting go of the connection it
//! has, as after a change of network: then two sessions of one device meet.

use std::collections::{BTreeMap, BTreeSet};

use ringwire_protocol::code::Code;
use ringwire_protocol::frame::{self, FrameReader};
use ringwire_protocol::limits::FRAME_BYTES_CEILING;
use ringwire_protocol::message::{
    CAPABILITY_INBOX, Counts, Encoder, Hello, Join, Open, Ping, PresenceState, ServerFrame, Typing, VERSION,
    Watch, WatchCounts,
};
use ringwire_protocol::ws::{self, Decoder, Event, Opcode, Role, handshake};
use ringwire_protocol::{ConversationId, DeviceId, UserId};

use crate::check::inbox::Listing;
use crate::check::{Promise, Verdict};
use crate::client::quic::Quic;
use crate::network::SocketId;
use crate::random::Random;

/// The largest WebSocket message that a server sends.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// How far a connection has come.
enum Stage {
    /// The answer to the handshake, as far as it has come.
    Head(Vec<u8>),
    Open(Decoder),
    /// Frames behind each other, over QUIC.
    Stream(FrameReader),
}

/// One onlooker.
pub struct Onlooker {
    /// Who it is.
    pub user: UserId,
    /// Its device, hashed.
    pub origin: u64,
    /// The socket in use, and whether it is connected.
    pub socket: Option<(SocketId, bool)>,
    /// What is in the socket's place where it speaks QUIC.
    pub quic: Option<Box<Quic>>,
    /// The last attempt at QUIC has not come about.
    pub falls_back: bool,
    /// A socket that it has given up for this one, and keeps all the same.
    pub other: Option<SocketId>,
    /// Conversations whose counts it is told on this connection, as the server has confirmed.
    pub counting: BTreeSet<ConversationId>,
    /// What it was told of them.
    pub counts: BTreeMap<ConversationId, Counts>,
    /// What it has asked about counts and has no answer to, by request.
    asked: BTreeMap<u32, (ConversationId, bool)>,
    /// Bytes that the socket has not taken.
    pub out: Vec<u8>,
    /// Whether the server has welcomed it on this connection.
    pub is_welcome: bool,
    /// How the users are, as it was told on this connection.
    pub presence: BTreeMap<UserId, PresenceState>,
    /// The number of the frame that said so.
    told: BTreeMap<UserId, u64>,
    /// The inbox, as it was told on this connection.
    pub inbox: Listing,
    /// When it said something, microseconds.
    pub said_us: u64,
    /// When it heard something, or dialled, microseconds.
    pub heard_us: u64,
    /// Its list of watched users was refused for the moment.
    is_refused: bool,
    /// Not everything is kept.
    expires: bool,
    name: String,
    device: DeviceId,
    stage: Stage,
    requests: u32,
    encoder: Encoder,
}

impl Onlooker {
    /// One that has not dialled yet.
    pub fn new(number: usize, name: String, expires: bool) -> Self {
        let device = DeviceId::from_name(&format!("onlooker-{number}"));
        Onlooker {
            user: UserId::from_name(&name),
            origin: device.origin(),
            socket: None,
            quic: None,
            falls_back: false,
            other: None,
            counting: BTreeSet::new(),
            counts: BTreeMap::new(),
            asked: BTreeMap::new(),
            out: Vec::new(),
            is_welcome: false,
            presence: BTreeMap::new(),
            told: BTreeMap::new(),
            inbox: Listing::new(expires),
            expires,
            said_us: 0,
            heard_us: 0,
            is_refused: false,
            name,
            device,
            stage: Stage::Head(Vec::new()),
            requests: 0,
            encoder: Encoder::new(),
        }
    }

    /// Begins on a new socket, or a connection of QUIC: says who it is, and whom it watches. What it knew is forgotten.
    pub fn begin(&mut self, socket: SocketId, quic: Option<Box<Quic>>, users: &[UserId]) {
        self.socket = Some((socket, false));
        self.quic = quic;
        self.out.clear();
        self.is_welcome = false;
        self.presence.clear();
        self.told.clear();
        self.counting.clear();
        self.counts.clear();
        self.asked.clear();
        self.inbox = Listing::new(self.expires);
        if self.quic.is_some() {
            self.stage = Stage::Stream(FrameReader::new(FRAME_BYTES_CEILING));
        } else {
            self.stage = Stage::Head(Vec::new());
            self.out.extend(handshake::request("sim", ws::PATH, [7; 16]));
        }
        let (device, token) = (self.device, format!("dev:{}", self.name));
        self.say(|encoder, out| {
            let hello = Hello {
                version_min: VERSION,
                version_max: VERSION,
                device,
                capabilities: CAPABILITY_INBOX,
                token: &token,
                agent: "onlooker",
                cursors: Default::default(),
                attempt: 0,
            };
            hello.encode(encoder, out);
        });
        self.watch(users);
    }

    fn watch(&mut self, users: &[UserId]) {
        self.is_refused = false;
        self.requests += 1;
        let request = self.requests;
        self.say(|encoder, out| Watch { request, users: users.into() }.encode(encoder, out));
    }

    /// Says something.
    pub fn step(&mut self, random: &mut Random, ids: &[ConversationId], names: &[String], users: &[UserId]) {
        let room = random.index(ids.len());
        let conversation = ids[room];
        self.requests += 1;
        let request = self.requests;
        match random.below(15) {
            12..=14 => {
                let active = !random.one_in(4);
                self.asked.insert(request, (conversation, active));
                self.say(|encoder, out| WatchCounts { request, conversation, active }.encode(encoder, out));
            }
            0 => self.say(|encoder, out| Join { request, name: &names[room] }.encode(encoder, out)),
            1 | 2 => self.say(|encoder, out| Open { request, conversation, after: 0 }.encode(encoder, out)),
            3..=7 => {
                let active = random.one_in(2);
                self.say(|encoder, out| Typing { conversation, active }.encode(encoder, out));
            }
            8 => self.watch(users),
            _ => self.ping(),
        }
    }

    /// Whether it has to say again whom it watches; then it does.
    pub fn watches_again(&mut self, users: &[UserId]) -> bool {
        let refused = self.is_refused;
        if refused {
            self.watch(users);
        }
        refused
    }

    /// Shows that it is there.
    pub fn ping(&mut self) {
        self.say(|encoder, out| Ping { token: 1 }.encode(encoder, out));
    }

    /// The same for a connection that it does not use any more.
    pub fn ping_bytes(&mut self) -> Vec<u8> {
        let (mut frame, mut bytes) = (Vec::new(), Vec::new());
        Ping { token: 2 }.encode(&mut self.encoder, &mut frame);
        ws::write_message(&mut bytes, Opcode::Binary, &frame, Some([9, 8, 7, 6]));
        bytes
    }

    fn say(&mut self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let mut frame = Vec::new();
        write(&mut self.encoder, &mut frame);
        match self.stage {
            Stage::Stream(_) => self.out.extend_from_slice(&frame),
            _ => ws::write_message(&mut self.out, Opcode::Binary, &frame, Some([9, 8, 7, 6])),
        }
    }

    /// Bytes of a stream of QUIC have come.
    ///
    /// # Errors
    /// They are not what a server says, or break a promise.
    pub fn on_stream(&mut self, mut bytes: &[u8]) -> Verdict {
        let mut frames = Vec::new();
        let Stage::Stream(reader) = &mut self.stage else { return Ok(()) };
        loop {
            match reader.next(&mut bytes) {
                Ok(Some(frame)) => frames.extend_from_slice(frame.bytes),
                Ok(None) => return self.on_frames(&frames),
                Err(fault) => return Promise::Contract.broken(format!("an onlooker gets {fault}")),
            }
        }
    }

    /// Bytes have come. Whether the server wants no more of it.
    ///
    /// # Errors
    /// They are not what a server says, or break a promise.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Verdict<bool> {
        let mut bytes = bytes.to_vec();
        if let Stage::Head(head) = &mut self.stage {
            head.extend_from_slice(&bytes);
            let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else {
                return Ok(false);
            };
            bytes = head.split_off(end + 4);
            if !head.starts_with(b"HTTP/1.1 101 ") {
                return Ok(true);
            }
            self.stage = Stage::Open(Decoder::new(Role::Client, MESSAGE_BYTES_MAX));
        }
        let Stage::Open(decoder) = &mut self.stage else { return Ok(false) };
        let mut decoder = std::mem::replace(decoder, Decoder::new(Role::Client, MESSAGE_BYTES_MAX));
        let mut input = &mut bytes[..];
        let mut is_over = false;
        while !is_over {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Message { data, .. })) => self.on_frames(data)?,
                Ok(Some(Event::Ping(payload))) => {
                    ws::write_message(&mut self.out, Opcode::Pong, payload, Some([1, 2, 3, 4]));
                }
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close { .. })) => is_over = true,
                Err(fault) => return Promise::Contract.broken(format!("an onlooker gets {fault}")),
            }
        }
        self.stage = Stage::Open(decoder);
        Ok(is_over)
    }

    /// Whole frames have come.
    ///
    /// # Errors
    /// They are not what a server says, or break a promise.
    pub fn on_frames(&mut self, mut data: &[u8]) -> Verdict {
        while let Ok(Some(frame)) = frame::split(&mut data, FRAME_BYTES_CEILING) {
            match ServerFrame::decode(frame) {
                Ok(ServerFrame::Welcome(_)) => self.is_welcome = true,
                Ok(ServerFrame::Presence(presence)) => {
                    for entry in presence.entries.iter() {
                        // What was told in a datagram may have overtaken this, or this it (W-72).
                        let told = self.told.entry(entry.user).or_default();
                        if presence.number >= *told {
                            *told = presence.number;
                            self.presence.insert(entry.user, entry.state);
                        }
                    }
                }
                Ok(ServerFrame::Inbox(inbox)) => self.inbox.on_inbox(&inbox)?,
                Ok(ServerFrame::Counts(counts)) => {
                    let id = counts.conversation;
                    Promise::Counts.holds(self.counting.contains(&id), || {
                        format!("an onlooker is told counts of {id} that it does not watch")
                    })?;
                    self.counts.insert(id, counts);
                }
                Ok(ServerFrame::Done(done)) => match self.asked.remove(&done.request) {
                    Some((id, true)) => _ = self.counting.insert(id),
                    Some((id, false)) => {
                        self.counting.remove(&id);
                        self.counts.remove(&id);
                    }
                    None => {}
                },
                Ok(ServerFrame::Reject(reject)) if !reject.conversation.is_zero() => {
                    self.asked.remove(&reject.request);
                    if reject.request == 0 && reject.code == Code::NOT_A_MEMBER {
                        self.counting.remove(&reject.conversation);
                        self.counts.remove(&reject.conversation);
                    }
                }
                Ok(ServerFrame::Reject(reject)) if reject.conversation.is_zero() && reject.request != 0 => {
                    self.is_refused = true;
                }
                Ok(_) => {}
                Err(fault) => return Promise::Contract.broken(format!("an onlooker gets {fault}")),
            }
        }
        Ok(())
    }
}
