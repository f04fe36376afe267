//! What somebody does next: talk, read, come and go, and change what is there.

use ringwire_client::core::{Change, Member, Range, Start};
use ringwire_protocol::UserId;
use ringwire_protocol::message::{Direction, Role, View};

use super::{Act, Wish};
use crate::check::Room;
use crate::client::Client;
use crate::random::Random;
use crate::world::Settings;

/// The name of a user.
pub fn user(number: usize) -> String {
    format!("user-{number}")
}

/// Who talks in twos, one conversation each.
pub fn pairs(settings: &Settings) -> Vec<(String, String)> {
    if settings.people == 0 {
        return Vec::new();
    }
    let users = 0..settings.users;
    users.clone().flat_map(|one| (one + 1..settings.users).map(move |two| (user(one), user(two)))).collect()
}

/// Who there is, and what they do how often.
pub struct People<'a> {
    /// Whose the direct conversations are; they come behind the others.
    pub pairs: &'a [(String, String)],
    /// The rest.
    pub settings: &'a Settings,
}

impl People<'_> {
    /// Draws what a client does next; `cursors` are the last sequences it has read in its rooms.
    pub fn draw(&self, random: &mut Random, client: &Client, cursors: &[u64]) -> Option<Act> {
        let settings = self.settings;
        let in_twos = !self.pairs.is_empty() && random.one_in(5);
        let room = if in_twos { random.index(cursors.len()) } else { random.index(settings.rooms) };
        if !client.is_in(room) {
            let known = client.rooms.contains_key(&room);
            return (!known).then(|| self.enter(random, client, room)).flatten();
        }
        if random.one_in(settings.leave) {
            return Some(Act::Leave(room));
        }
        if random.one_in(settings.people) {
            return Some(self.manage(random, room, cursors[room]));
        }
        Some(match random.below(40) {
            0 => Act::Forget(room),
            1..=4 => {
                let view = if random.one_in(settings.people) { View::Current } else { View::Raw };
                Act::History(room, range(random, cursors[room], view))
            }
            5 => Act::Members(room),
            6 => Act::Chatter(room),
            _ => {
                let count = random.pick(&[1, 1, 1, 2, 3, 8]);
                let written = client.written.get(&room).map_or(&[][..], Vec::as_slice);
                let mut wish = || Wish::draw(random, cursors[room], written, settings);
                Act::Publish(room, (0..count).map(|_| wish()).collect())
            }
        })
    }

    fn enter(&self, random: &mut Random, client: &Client, room: Room) -> Option<Act> {
        let start = match random.below(4) {
            0 => Start::Latest,
            1 => Start::Last(random.below(6) as u32),
            _ => Start::After(0),
        };
        if let Some((one, other)) = room.checked_sub(self.settings.rooms).and_then(|at| self.pairs.get(at)) {
            return match (client.name == *one, client.name == *other) {
                (true, _) => Some(Act::Direct(room, other.clone(), start)),
                (_, true) => Some(Act::Direct(room, one.clone(), start)),
                // It is nobody else's: by its name one does not get in.
                _ => random.one_in(4).then_some(Act::Join(room, start)),
            };
        }
        if random.one_in(self.settings.people) && random.one_in(2) {
            let members = (0..random.below(3)).map(|_| self.somebody(random)).collect();
            return Some(Act::Create(room, members));
        }
        Some(Act::Join(room, start))
    }

    fn manage(&self, random: &mut Random, room: Room, cursor: u64) -> Act {
        match random.below(20) {
            0..=3 => Act::Change(room, Change::Add(self.somebody(random))),
            4..=5 => Act::Change(room, Change::Remove(self.somebody(random).user)),
            6..=8 => {
                let Member { user, role, .. } = self.somebody(random);
                Act::Change(room, Change::Role(user, role))
            }
            9 => Act::Mute(room, random.pick(&[0, 1_900_000_000_000, u64::MAX])),
            10..=13 => {
                // Now and then one that cannot be.
                let beyond = if random.one_in(8) { 1_000 } else { 0 };
                Act::Read(room, random.within(0..=cursor) + beyond)
            }
            _ => Act::History(room, range(random, cursor, View::Current)),
        }
    }

    /// One of the users, or somebody who is never there.
    fn somebody(&self, random: &mut Random) -> Member {
        let name = match random.index(self.settings.users + 1) {
            number if number < self.settings.users => user(number),
            _ => "friend".to_owned(),
        };
        let role = random.pick(&[Role::Reader, Role::Member, Role::Admin, Role::Owner]);
        Member { user: UserId::from_name(&name), name, role }
    }
}

fn range(random: &mut Random, cursor: u64, view: View) -> Range {
    let from = match random.below(3) {
        0 => u64::MAX,
        1 => 1,
        _ => random.within(0..=cursor + 3),
    };
    let direction = random.pick(&[Direction::Forward, Direction::Backward]);
    Range { from, limit: random.within(1..=40) as u16, direction, view }
}
