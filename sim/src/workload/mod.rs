//! What people do: honest ones here, the others in [`Intruder`].

mod intruder;
mod onlooker;
mod people;

pub use intruder::{Conduct, Intruder};
pub use onlooker::Onlooker;
pub use people::{People, pairs, user};

use ringwire_client::core::{Change, Draft, Member, Range, Start};
use ringwire_protocol::message::{Durability, Kind};

use crate::check::Room;
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
    /// Tell how far one has read, and that one types.
    Chatter(Room),
    /// Create a room, with these members.
    Create(Room, Vec<Member>),
    /// Talk to somebody in twos.
    Direct(Room, String, Start),
    /// Add somebody, remove somebody, give somebody another role.
    Change(Room, Change),
    /// Not to be woken until then.
    Mute(Room, u64),
    /// Say how far one has read.
    Read(Room, u64),
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

    /// `written`: what the client may edit.
    fn draw(random: &mut Random, cursor: u64, written: &[u64], settings: &Settings) -> Self {
        let bytes_max = settings.limits.body_bytes_max as u64;
        // Now and then one that is refused: for its kind, for what it refers to, for its size.
        let kind = match random.below(40) {
            0 => Kind::System,
            1..=3 => Kind::Reaction,
            4 => Kind::Edit,
            5..=7 => Kind::Application,
            8..=20 if settings.people > 0 => {
                random.pick(&[Kind::Reaction, Kind::Reaction, Kind::Edit, Kind::Delete])
            }
            _ => Kind::Text,
        };
        let reference = match random.below(30) {
            0 => cursor + 1_000,
            1..=24 if kind.refers() && !written.is_empty() => written[random.index(written.len())],
            _ if kind.refers() => random.within(1..=cursor.max(1)),
            _ => 0,
        };
        let bytes = if random.one_in(40) { bytes_max + 1 } else { random.within(0..=bytes_max.min(300)) };
        let durability = if random.one_in(settings.memory) { Durability::Memory } else { Durability::Synced };
        Wish { bytes: bytes as usize, kind, reference, durability }
    }
}
