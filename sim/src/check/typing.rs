//! Typing: nobody but members is seen typing or sees it, it reaches others at the server's pace whatever clients do,
//! and it ends by itself.

use std::collections::{BTreeMap, BTreeSet};

use ringwire::limits::{TYPING_BURST, TYPING_INTERVAL_MS, TYPING_LASTS_MS};
use ringwire_protocol::UserId;

use super::{Promise, Room, Verdict};
use crate::model::Log;

use Promise::Typing as BROKEN;

/// How long a client may take to notice that somebody has stopped, besides: its timers, and a notice on its way.
const NOTICING_US: u64 = 3_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Typing {
    /// When each connection of a user was made: each brings a burst, and then one sign per interval.
    dialled_us: BTreeMap<UserId, Vec<u64>>,
    /// How often a connection was told of a user in a room, by who tells whom.
    told: BTreeMap<(u32, Room, UserId), u64>,
    /// Who was told of whom.
    seen: BTreeSet<(Room, UserId, UserId)>,
    /// Since when readers take somebody for typing.
    typing_us: BTreeMap<(u32, Room, UserId), u64>,
    /// Since when nobody types any more.
    quiet_us: Option<u64>,
}

impl Typing {
    /// A connection is made for this user.
    pub fn on_dialled(&mut self, user: UserId, now_us: u64) {
        self.dialled_us.entry(user).or_default().push(now_us);
    }

    /// A connection of `to` is told that `user` types, or has stopped.
    ///
    /// # Errors
    /// It was told more often than the server's pace allows.
    pub fn on_notice(&mut self, now_us: u64, socket: u32, room: Room, to: UserId, user: UserId) -> Verdict {
        self.seen.insert((room, to, user));
        let told = self.told.entry((socket, room, user)).or_default();
        *told += 1;
        // One more each, for the end of the session.
        let dialled = self.dialled_us.get(&user).map_or(&[][..], Vec::as_slice);
        let interval_us = TYPING_INTERVAL_MS * 1000;
        let allowed: u64 = dialled
            .iter()
            .map(|dialled_us| u64::from(TYPING_BURST) + 2 + (now_us - dialled_us) / interval_us)
            .sum();
        BROKEN.holds(*told <= allowed, || {
            format!(
                "socket {socket} was told {told} times that {user} types in room {room}, of {allowed} allowed"
            )
        })
    }

    /// A reader takes somebody for typing, or no more.
    pub fn on_believed(&mut self, life: u32, room: Room, user: UserId, active: bool, now_us: u64) {
        match active {
            true => self.typing_us.entry((life, room, user)).or_insert(now_us),
            false => &mut self.typing_us.remove(&(life, room, user)).unwrap_or_default(),
        };
    }

    /// A reader has left a room, or has ended.
    pub fn on_read_end(&mut self, life: u32, room: Option<Room>) {
        self.typing_us.retain(|(of, at, _), _| *of != life || room.is_some_and(|room| room != *at));
    }

    /// From now on nobody types.
    pub fn on_quiet(&mut self, now_us: u64) {
        self.quiet_us = Some(now_us);
    }

    /// One looks.
    ///
    /// # Errors
    /// Somebody is taken for typing who has been silent for longer than that lasts.
    pub fn on_look(&self, now_us: u64) -> Verdict {
        let Some(quiet_us) = self.quiet_us else { return Ok(()) };
        let lasts_us = TYPING_LASTS_MS * 1000 + NOTICING_US;
        let stuck = self.typing_us.iter().find(|(_, since_us)| now_us > quiet_us.max(**since_us) + lasts_us);
        match stuck {
            None => Ok(()),
            Some(((life, room, user), _)) => BROKEN.broken(format!(
                "client {life} takes {user} for typing in room {room}, {} ms after anybody did",
                (now_us - quiet_us) / 1000
            )),
        }
    }

    /// The journal is this.
    ///
    /// # Errors
    /// Somebody saw, or was seen, who never was a member.
    pub fn on_log(&self, log: &Log) -> Verdict {
        for (room, to, user) in &self.seen {
            for one in [to, user] {
                let is_known =
                    log.entries(*room).any(|(_, entry)| entry.change.is_some_and(|(_, who)| who == *one));
                BROKEN.holds(is_known, || {
                    format!("{to} was told that {user} types in room {room}, where {one} never was a member")
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ringwire_protocol::message::Action;

    use super::super::exactly_once::sample;
    use super::*;
    use crate::model::Story;

    const ADA: UserId = UserId::from_bytes([1; 16]);
    const BOB: UserId = UserId::from_bytes([2; 16]);

    #[test]
    fn canary_more_signs_than_the_pace_allows() {
        let mut typing = Typing::default();
        typing.on_dialled(BOB, 1_000_000);
        let mut tell = |now_us| typing.on_notice(now_us, 1, 0, ADA, BOB).is_ok();
        let at_once = (0..10).filter(|_| tell(1_100_000)).count();
        assert_eq!(at_once, TYPING_BURST as usize + 2);
        // What was told counts, allowed or not; and each interval allows another one.
        assert!(!tell(4_500_000) && tell(20_000_000));
        assert!(typing.on_notice(1_100_000, 1, 0, BOB, ADA).is_err(), "who never dialled");
    }

    #[test]
    fn canary_somebody_who_types_for_ever() {
        let mut typing = Typing::default();
        typing.on_believed(4, 0, BOB, true, 1_000_000);
        assert!(typing.on_look(90_000_000).is_ok(), "people type as they like until they are asked to stop");
        typing.on_quiet(2_000_000);
        assert!(typing.on_look(10_000_000).is_ok() && typing.on_look(10_000_001).is_err());
        typing.on_believed(4, 0, BOB, false, 2_000_000);
        assert!(typing.on_look(90_000_000).is_ok());
    }

    #[test]
    fn canary_a_stranger_who_types_or_sees_it() {
        let mut entries = vec![sample(b"x", 0); 2];
        entries[0].change = Some((Action::Created, ADA));
        let log = Log { rooms: vec![Story::of(entries)] };
        for (to, user) in [(ADA, BOB), (BOB, ADA)] {
            let mut typing = Typing::default();
            typing.on_dialled(user, 0);
            assert!(typing.on_notice(1, 1, 0, to, user).is_ok());
            assert!(typing.on_log(&log).is_err());
        }
        let mut typing = Typing::default();
        typing.on_dialled(ADA, 0);
        assert!(typing.on_notice(1, 1, 0, ADA, ADA).is_ok() && typing.on_log(&log).is_ok());
    }
}
