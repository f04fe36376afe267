//! A real client in a simulated world: the core of the product with its link, and the host that the world is for it.
//!
//! Owner: the world. A client has *lives*: one that dies loses its memory and comes back as another life with a
//! device of its own; the name of its user stays.

pub mod quic;
mod web;

use std::collections::BTreeMap;
use std::time::Duration;

use ringwire_client::core::{Config, Core, PublishId, RequestId};
use ringwire_client::ws::Link;
use ringwire_protocol::message::{PresenceState, View};
use ringwire_protocol::{DeviceId, UserId};

use quic::Quic;

use crate::check::Room;
use crate::model::Token;
use crate::network::SocketId;
use crate::network::trust::Tickets;
use crate::random::Random;
use crate::world::Settings;

/// What a client has asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// To join.
    Join(Room),
    /// To leave.
    Leave(Room),
    /// Older messages.
    History(Room, View),
    /// Who is there.
    Members,
    /// A change of members, or of its own standing.
    Change,
}

/// How a client stands in a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It has asked to join.
    Joining,
    /// It is in.
    In,
    /// It has asked to leave.
    Leaving,
}

/// Where an auditor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audit {
    /// Reads everything from the first message on.
    Forward,
    /// Reads pages backward, and waits for the one that ends with this sequence.
    Backward(u64),
    /// Has read everything twice.
    Done,
}

/// See the module.
pub struct Client {
    /// The user's name.
    pub name: String,
    /// The user.
    pub user: UserId,
    /// The device, hashed.
    pub origin: u64,
    /// Which life.
    pub life: u32,
    /// The product.
    pub link: Link,
    /// The socket in use, and whether it is connected.
    pub socket: Option<(SocketId, bool)>,
    /// What is in the socket's place where the connection is one of QUIC; the number is only its name then.
    pub quic: Option<Box<Quic>>,
    /// What it knows of the server from earlier connections of this life, if it has dialled by QUIC.
    pub tickets: Option<Tickets>,
    /// The last attempt at QUIC has not come about.
    pub falls_back: bool,
    /// Bytes for the socket that it has not taken.
    pub out: Vec<u8>,
    /// When it wants its timer, and which setting of it counts.
    pub wake_at_us: Option<u64>,
    /// See there.
    pub wake_version: u32,
    /// It does nothing before this time.
    pub frozen_until_us: u64,
    /// The rooms it is in.
    pub rooms: BTreeMap<Room, Standing>,
    /// What it has published and not heard of.
    pub publishes: BTreeMap<PublishId, Token>,
    /// What it has asked and not heard of.
    pub requests: BTreeMap<RequestId, Asked>,
    /// Sequences of what it has published.
    pub written: BTreeMap<Room, Vec<u64>>,
    /// The last mark it has given.
    pub marked: u32,
    /// Whether the server has welcomed it on the present connection.
    pub is_welcome: bool,
    /// How users are, as it was told on this connection.
    pub presence: BTreeMap<UserId, PresenceState>,
    /// Whether it was told to end.
    pub is_ending: bool,
    /// It is there to read everything, in this room.
    pub audit: Option<(Room, Audit)>,
}

impl Client {
    /// A new life. `seed` is for the product; `random` says what kind of client it is.
    pub fn new(name: String, device: &str, life: u32, settings: &Settings, random: &mut Random) -> Self {
        let device = DeviceId::from_name(device);
        let mut config = Config::new(device, format!("dev:{name}"));
        config.limits = settings.client_limits.clone();
        config.credit = settings.credit;
        let ms = Duration::from_millis;
        config.connect_timeout = ms(random.pick(&[500, 10_000]));
        config.greeting_timeout = ms(random.pick(&[1_000, 10_000]));
        config.request_timeout = ms(random.pick(&[700, 3_000, 15_000]));
        config.publish_answer_timeout = ms(random.pick(&[3_000, 30_000]));
        config.backoff_min = ms(random.pick(&[5, 50, 500]));
        config.backoff_max = ms(random.pick(&[600, 5_000]));
        config.stable_after = ms(random.pick(&[100, 30_000]));
        Self::with(name, config, life, random)
    }

    /// One that reads everything of a room, within the limits of production.
    pub fn auditor(name: String, life: u32, room: Room, random: &mut Random) -> Self {
        let config = Config::new(DeviceId::from_name(&format!("auditor-{life}")), format!("dev:{name}"));
        Client { audit: Some((room, Audit::Forward)), ..Self::with(name, config, life, random) }
    }

    fn with(name: String, config: Config, life: u32, random: &mut Random) -> Self {
        Client {
            user: UserId::from_name(&name),
            name,
            origin: config.device.origin(),
            life,
            link: Link::new(Core::new(config, random.word()), random.word()),
            socket: None,
            quic: None,
            tickets: None,
            falls_back: false,
            out: Vec::new(),
            wake_at_us: None,
            wake_version: 0,
            frozen_until_us: 0,
            rooms: BTreeMap::new(),
            publishes: BTreeMap::new(),
            requests: BTreeMap::new(),
            written: BTreeMap::new(),
            marked: 0,
            is_welcome: false,
            presence: BTreeMap::new(),
            is_ending: false,
            audit: None,
        }
    }

    /// The next mark.
    pub fn mark(&mut self) -> Token {
        self.marked += 1;
        Token { life: self.life, number: self.marked }
    }

    /// Whether it is in this room, as far as it knows.
    pub fn is_in(&self, room: Room) -> bool {
        self.rooms.get(&room) == Some(&Standing::In)
    }

    /// What the world waits for on its account, if it is an auditor.
    pub fn waits_for_audit(&self) -> Option<String> {
        let (room, audit) = self.audit.filter(|(_, audit)| *audit != Audit::Done)?;
        Some(format!("the audit of room {room}: {audit:?}"))
    }
}
