//! What people do: honest ones here, the others in [`Intruder`].

mod intruder;
mod onlooker;

pub use intruder::{Conduct, Intruder};
pub use onlooker::Onlooker;

use ringwire_client::core::{Draft, Range, Start};
use ringwire_protocol::message::{Direction, Durability, Kind, View};

use crate::check::Room;
use crate::client::Client;
use crate::random::Random;
use crate::world::Settings;

/// One act of a client.
#[derive(Clone, PartialEq, Debug)]
pub enum Act {
    /// Join a room, and begin to read there.
    Join(Room, Start),
    /// Leave it.
    Leave(Room),
    /// Forget it without leaving, as one who closes a window.
    Forget(Room),
    /// Publish so many messages at once.
    Publish(Room, Vec<Wish>),
    /// Read older messages.
    History(Room, Range),
    /// Ask who is there.
    Members(Room),
    /// Tell how far one has read, or that one types: the server does not offer it.
    Chatter(Room),
}

/// A message to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Bytes of its body.
    pub bytes: usize,
    /// What it is.
    pub kind: Kind,
    /// What it refers to.
    pub reference: u64,
    /// What is asked for.
    pub durability: Durability,
}

impl Wish {
    /// As the client takes it.
    pub fn draft(self, body: Vec<u8>) -> Draft {
        Draft { kind: self.kind, durability: self.durability, reference: self.reference, body: body.into() }
    }

    /// Whether it is to be synced before anybody sees it.
    pub fn is_synced(self) -> bool {
        self.durability == Durability::Synced
    }

    fn draw(random: &mut Random, cursor: u64, settings: &Settings) -> Self {
        let bytes_max = settings.limits.body_bytes_max as u64;
        // Now and then one that is refused: for its kind, for what it refers to, for its size.
        let kind = match random.below(40) {
            0 => Kind::System,
            1..=3 => Kind::Reaction,
            4 => Kind::Edit,
            5..=7 => Kind::Application,
            _ => Kind::Text,
        };
        let reference = match random.below(30) {
            0 => cursor + 1_000,
            _ if kind.refers() => random.within(1..=cursor.max(1)),
            _ => 0,
        };
        let bytes = if random.one_in(40) { bytes_max + 1 } else { random.within(0..=bytes_max.min(300)) };
        let durability = if random.one_in(settings.memory) { Durability::Memory } else { Durability::Synced };
        Wish { bytes: bytes as usize, kind, reference, durability }
    }
}

/// Draws what a client does next; `cursors` are the last sequences it has read in its rooms.
pub fn draw(
    random: &mut Random,
    client: &Client,
    settings: &Settings,
    cursor: impl Fn(Room) -> u64,
) -> Option<Act> {
    let room = random.index(settings.rooms);
    if !client.is_in(room) {
        let start = match random.below(4) {
            0 => Start::Latest,
            1 => Start::Last(random.below(6) as u32),
            _ => Start::After(0),
        };
        return (!client.rooms.contains_key(&room)).then_some(Act::Join(room, start));
    }
    if random.one_in(settings.leave) {
        return Some(Act::Leave(room));
    }
    Some(match random.below(40) {
        0 => Act::Forget(room),
        1..=4 => {
            let from = match random.below(3) {
                0 => u64::MAX,
                1 => 1,
                _ => random.within(0..=cursor(room) + 3),
            };
            let direction = random.pick(&[Direction::Forward, Direction::Backward]);
            Act::History(
                room,
                Range { from, limit: random.within(1..=40) as u16, direction, view: View::Raw },
            )
        }
        5 => Act::Members(room),
        6 => Act::Chatter(room),
        _ => {
            let count = random.pick(&[1, 1, 1, 2, 3, 8]);
            Act::Publish(room, (0..count).map(|_| Wish::draw(random, cursor(room), settings)).collect())
        }
    })
}
