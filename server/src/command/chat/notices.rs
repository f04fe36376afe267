//! News about people, gathered for a moment so that many of them are one line: who came and went, who types, who has read
//! one's own words, what is new in other rooms.
//!
//! Owner: the chat on a terminal. Bounded by the people and rooms that the client remembers; emptied with each flush.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringwire_client::{PresenceState, UserId};
use tokio::time::Instant;

/// How long news are gathered.
const MOMENT: Duration = Duration::from_millis(700);
/// Somebody who pauses for a thought is not announced again as typing so soon.
const TYPING_AGAIN: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Notices {
    since: Option<Instant>,
    presence: BTreeMap<UserId, PresenceState>,
    changed: BTreeMap<UserId, PresenceState>,
    typing: BTreeSet<UserId>,
    typed: BTreeMap<UserId, Instant>,
    /// Up to where others have read.
    read: BTreeMap<UserId, u64>,
    read_by: BTreeSet<UserId>,
    /// The last message that was published here.
    own: u64,
    rooms: BTreeSet<String>,
}

impl Notices {
    /// Another room: its people are other people.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// When the next line is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + MOMENT)
    }

    fn gather(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(super) fn on_presence(&mut self, now: Instant, user: UserId, state: PresenceState) {
        let before = self.presence.insert(user, state);
        // That somebody is not there is no news for who has only come.
        if before != Some(state) && (before.is_some() || state != PresenceState::Offline) {
            self.changed.insert(user, state);
            self.gather(now);
        }
    }

    /// How somebody was last seen.
    pub(super) fn presence(&self, user: UserId) -> Option<PresenceState> {
        self.presence.get(&user).copied()
    }

    pub(super) fn on_typing(&mut self, now: Instant, user: UserId, active: bool) {
        if !active {
            self.typing.remove(&user);
        } else if self.typed.get(&user).is_none_or(|&last| now >= last + TYPING_AGAIN) {
            self.typed.insert(user, now);
            self.typing.insert(user);
            self.gather(now);
        }
    }

    /// This user has published something at this place.
    pub(super) fn on_own(&mut self, sequence: u64) {
        self.own = self.own.max(sequence);
        self.read_by.clear();
    }

    pub(super) fn on_read(&mut self, now: Instant, user: UserId, sequence: u64) {
        let before = self.read.insert(user, sequence).unwrap_or(0);
        if self.own > before && sequence >= self.own {
            self.read_by.insert(user);
            self.gather(now);
        }
    }

    /// Up to where somebody has read, if that was heard.
    pub(super) fn read(&self, user: UserId) -> Option<u64> {
        self.read.get(&user).copied()
    }

    pub(super) fn on_room(&mut self, now: Instant, room: &str) {
        self.rooms.insert(room.to_owned());
        self.gather(now);
    }

    /// What has gathered, one line each.
    pub(super) fn take(&mut self, name: impl Fn(UserId) -> String) -> Vec<String> {
        self.since = None;
        let names = |users: &mut dyn Iterator<Item = UserId>| -> String {
            users.map(&name).collect::<Vec<_>>().join(", ")
        };
        let mut lines = Vec::new();
        let changed = std::mem::take(&mut self.changed);
        let states = [
            (PresenceState::Online, "here"),
            (PresenceState::Away, "away"),
            (PresenceState::Offline, "gone"),
        ];
        for (state, word) in states {
            let who = names(&mut changed.iter().filter(|(_, now)| **now == state).map(|(user, _)| *user));
            if !who.is_empty() {
                lines.push(format!("{word}: {who}"));
            }
        }
        let typing = std::mem::take(&mut self.typing);
        if !typing.is_empty() {
            let verb = if typing.len() == 1 { "types" } else { "type" };
            lines.push(format!("{} {verb} …", names(&mut typing.into_iter())));
        }
        let read_by = std::mem::take(&mut self.read_by);
        if !read_by.is_empty() {
            lines.push(format!("✓✓ {} read by {}", self.own, names(&mut read_by.into_iter())));
        }
        let rooms = std::mem::take(&mut self.rooms);
        if !rooms.is_empty() {
            let rooms = rooms.into_iter().collect::<Vec<_>>().join(", ");
            lines.push(format!("new in {rooms}; /inbox goes there"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::from_name(name)
    }

    fn lines(notices: &mut Notices) -> Vec<String> {
        let names = ["ada", "bob", "eve"];
        let name =
            |id: UserId| names.iter().find(|name| user(name) == id).map_or("?".into(), |name| (*name).into());
        let mut lines = notices.take(name);
        for line in &mut lines {
            // Ids are hashes, so the order of names is nobody's business.
            let mut words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
            words.sort_unstable();
            *line = words.join(" ");
        }
        lines
    }

    #[test]
    fn who_comes_and_goes_is_told_once_and_who_never_was_there_is_not() {
        let (mut notices, now) = (Notices::default(), Instant::now());
        notices.on_presence(now, user("ada"), PresenceState::Online);
        notices.on_presence(now, user("bob"), PresenceState::Online);
        notices.on_presence(now, user("eve"), PresenceState::Offline);
        assert_eq!(notices.due(), Some(now + MOMENT));
        assert_eq!(lines(&mut notices), ["ada bob here:"]);
        notices.on_presence(now, user("ada"), PresenceState::Online);
        assert_eq!((notices.due(), lines(&mut notices).len()), (None, 0));
        notices.on_presence(now, user("ada"), PresenceState::Offline);
        notices.on_presence(now, user("bob"), PresenceState::Away);
        assert_eq!(lines(&mut notices), ["away: bob", "ada gone:"]);
        assert_eq!(notices.presence(user("ada")), Some(PresenceState::Offline));
    }

    #[test]
    fn who_pauses_for_a_thought_is_not_announced_again() {
        let (mut notices, now) = (Notices::default(), Instant::now());
        notices.on_typing(now, user("bob"), true);
        assert_eq!(lines(&mut notices), ["bob types …"]);
        notices.on_typing(now, user("bob"), false);
        notices.on_typing(now + Duration::from_secs(6), user("bob"), true);
        assert_eq!(notices.due(), None);
        notices.on_typing(now + TYPING_AGAIN, user("bob"), true);
        notices.on_typing(now + TYPING_AGAIN, user("bob"), false);
        assert_eq!(lines(&mut notices).len(), 0, "it has ended before it was told");
    }

    #[test]
    fn read_marks_are_for_ones_own_words_and_once_each() {
        let (mut notices, now) = (Notices::default(), Instant::now());
        notices.on_read(now, user("bob"), 3);
        assert_eq!(notices.due(), None);
        notices.on_own(5);
        notices.on_read(now, user("bob"), 4);
        assert_eq!(notices.due(), None);
        notices.on_read(now, user("bob"), 6);
        notices.on_read(now, user("ada"), 5);
        assert_eq!(lines(&mut notices), ["5 ada bob by read ✓✓"]);
        notices.on_read(now, user("bob"), 9);
        assert_eq!((notices.due(), notices.read(user("bob"))), (None, Some(9)));
    }
}
