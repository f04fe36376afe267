//! Isolation: no message reaches a session whose user is not a member; who has left gets nothing that came after.
//!
//! Who was a member when is read from the journal: comings and goings are entries in the same order as the
//! messages. So the verdict comes when the journal is known, over everything that was said until then.

use std::collections::{BTreeMap, BTreeSet};

use ringwire_protocol::UserId;
use ringwire_protocol::message::Action;

use super::{Promise, Room, Verdict};
use crate::model::Log;

use Promise::Isolation as BROKEN;

/// See the module.
#[derive(Debug, Default)]
pub struct Isolation {
    /// Live messages, by who got them.
    live: BTreeSet<(Room, UserId, u64)>,
    /// The last sequence in pages, and the head they named, by who got them.
    pages: BTreeSet<(Room, UserId, u64, u64)>,
    /// Heads that were named to somebody as a member.
    named: BTreeSet<(Room, UserId, u64)>,
    /// Who was told what is of a moment only.
    notices: BTreeSet<(Room, UserId)>,
}

/// A stretch of sequences during which a user was a member: from the one that let it in to the one that let it
/// out, or to the end.
type Stay = (u64, Option<u64>);

fn stays(log: &Log, room: Room) -> BTreeMap<UserId, Vec<Stay>> {
    let mut stays: BTreeMap<UserId, Vec<Stay>> = BTreeMap::new();
    for (sequence, entry) in log.entries(room) {
        let Some((action, user)) = entry.change else { continue };
        let of_user = stays.entry(user).or_default();
        match action {
            Action::Created | Action::Joined | Action::Added => of_user.push((sequence, None)),
            Action::Left | Action::Removed => {
                if let Some((_, end)) = of_user.last_mut() {
                    end.get_or_insert(sequence);
                }
            }
            Action::RoleChanged => {}
        }
    }
    stays
}

impl Isolation {
    /// A live message, or the news that there is one, leaves for a session of this user.
    pub fn on_live(&mut self, room: Room, user: UserId, sequence: u64) {
        self.live.insert((room, user, sequence));
    }

    /// A page that ends with `to` leaves for a session of this user; the conversation was at `head`.
    pub fn on_page(&mut self, room: Room, user: UserId, to: u64, head: u64) {
        self.pages.insert((room, user, to, head));
    }

    /// A session of this user is told that it is a member, and the head.
    pub fn on_named(&mut self, room: Room, user: UserId, head: u64) {
        self.named.insert((room, user, head));
    }

    /// A session of this user is told how far another member is.
    pub fn on_notice(&mut self, room: Room, user: UserId) {
        self.notices.insert((room, user));
    }

    /// The journal is this.
    ///
    /// # Errors
    /// Somebody got what was not for them.
    pub fn on_log(&mut self, log: &Log) -> Verdict {
        let rooms = log.rooms.len();
        let stays: Vec<_> = (0..rooms).map(|room| stays(log, room)).collect();
        let any = |room: Room, user: &UserId, fits: &dyn Fn(&Stay) -> bool| {
            stays[room].get(user).is_some_and(|stays| stays.iter().any(fits))
        };
        for (room, user, sequence) in &self.live {
            // The entry that lets a user out is the last one that it gets.
            let fits = |(from, to): &Stay| from <= sequence && to.is_none_or(|to| *sequence <= to);
            BROKEN.holds(any(*room, user, &fits), || {
                format!("user {user} got {sequence} of room {room}, and was no member then")
            })?;
        }
        for (room, user, to, head) in &self.pages {
            // A member reads all of the history: what matters is that it was one when it asked. It asked when the
            // conversation was between `to` and `head`.
            let fits = |(from, end): &Stay| from <= head && end.is_none_or(|end| *to < end);
            BROKEN.holds(any(*room, user, &fits), || {
                format!(
                    "user {user} got a page up to {to} of room {room} at head {head}, and was no member then"
                )
            })?;
        }
        for (room, user) in &self.notices {
            BROKEN.holds(any(*room, user, &|_| true), || {
                format!("user {user} was told of a member of room {room}, and never was one")
            })?;
        }
        for (room, user, head) in &self.named {
            let fits = |(from, to): &Stay| from <= head && to.is_none_or(|to| *head < to);
            BROKEN.holds(any(*room, user, &fits), || {
                format!(
                    "user {user} was told of a membership of room {room} at head {head} that it did not have"
                )
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::exactly_once::sample;
    use super::*;
    use crate::model::Story;

    /// Ada is in from 1 to the end, Bob from 2 to 4 and again from 6.
    fn log() -> (Log, UserId, UserId) {
        let (ada, bob) = (UserId::from_name("ada"), UserId::from_name("bob"));
        let mut entries = vec![sample(b"x", 0); 7];
        entries[0].change = Some((Action::Created, ada));
        entries[1].change = Some((Action::Joined, bob));
        entries[3].change = Some((Action::Left, bob));
        entries[5].change = Some((Action::Joined, bob));
        (Log { rooms: vec![Story::of(entries)] }, ada, bob)
    }

    fn check(say: impl Fn(&mut Isolation, UserId, UserId)) -> Verdict {
        let (log, ada, bob) = log();
        let mut isolation = Isolation::default();
        say(&mut isolation, ada, bob);
        isolation.on_log(&log)
    }

    #[test]
    fn canary_a_live_message_for_somebody_who_is_out() {
        assert!(check(|i, ada, _| (1..=7).for_each(|sequence| i.on_live(0, ada, sequence))).is_ok());
        for (sequence, allowed) in [(1, false), (2, true), (4, true), (5, false), (6, true), (7, true)] {
            let verdict = check(|isolation, _, bob| isolation.on_live(0, bob, sequence));
            assert_eq!(verdict.is_ok(), allowed, "{sequence}");
        }
        assert!(check(|isolation, _, _| isolation.on_live(0, UserId::from_name("eve"), 3)).is_err());
    }

    #[test]
    fn canary_a_page_for_somebody_who_is_out() {
        for (to, head, allowed) in
            [(1, 1, false), (1, 3, true), (3, 3, true), (3, 5, true), (5, 5, false), (5, 6, true)]
        {
            let verdict = check(|isolation, _, bob| isolation.on_page(0, bob, to, head));
            assert_eq!(verdict.is_ok(), allowed, "{to} at {head}");
        }
    }

    #[test]
    fn canary_a_notice_for_a_stranger() {
        assert!(check(|isolation, _, bob| isolation.on_notice(0, bob)).is_ok());
        assert!(check(|isolation, _, _| isolation.on_notice(0, UserId::from_name("eve"))).is_err());
    }

    #[test]
    fn canary_a_membership_that_does_not_exist() {
        for (head, allowed) in [(1, false), (2, true), (3, true), (4, false), (5, false), (6, true)] {
            let verdict = check(|isolation, _, bob| isolation.on_named(0, bob, head));
            assert_eq!(verdict.is_ok(), allowed, "{head}");
        }
    }
}
