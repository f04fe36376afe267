//! Who watches whom: for each watcher a list of users, and for each user that is watched its watchers.
//!
//! Both sides know each other by position, as in `fanout/subscribers.rs`, so that ending one watch costs the same
//! whether the user has one watcher or ten thousand. What changes is noted per watcher and told together, so a
//! user that comes and goes all the time costs a watcher one frame per interval.
//!
//! Owner: the home shard of the watched; a watcher is known at every home that has somebody it watches. 24 bytes
//! per watch with the watcher, 8 with the watched.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use foldhash::fast::RandomState;
use ringwire_protocol::id::UserId;
use ringwire_protocol::message::PresenceState;

use crate::fanout::letter::SessionRef;
use crate::limits::PRESENCE_INTERVAL_MS;

/// The watcher's side of one watch.
#[derive(Clone, Copy, Debug)]
struct Watched {
    user: UserId,
    /// Where in the user's list.
    position: u32,
    /// What the watcher was told last.
    told: Option<PresenceState>,
    /// Whether it is in the watcher's list of changes.
    changed: bool,
}

const _: () = assert!(size_of::<Watched>() == 24, "there may be a thousand per connection");

/// The watched user's side.
#[derive(Clone, Copy, Debug)]
struct Eye {
    watcher: u32,
    /// Where in the watcher's list.
    nth: u32,
}

/// One session that watches.
struct Watcher {
    session: SessionRef,
    list: Vec<Watched>,
    /// Places in the list of those whose state may have changed.
    changes: Vec<u32>,
    /// When it was last told, milliseconds on the monotonic clock.
    told_ms: u64,
    /// Whether it is in the queue of those to be told.
    is_due: bool,
}

/// All watches of users whose home this shard is.
#[derive(Default)]
pub(super) struct Watchers {
    by_session: HashMap<u64, u32, RandomState>,
    watchers: Vec<Option<Watcher>>,
    free: Vec<u32>,
    by_user: HashMap<UserId, Vec<Eye>, RandomState>,
    /// When which watcher is to be told. One entry per watcher at most; it outlives the watcher, then it says
    /// nothing, or something a little early to whoever has its place.
    due: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Watchers {
    /// The users whom a session watches from now on, all different; none: it watches no more. Each is told of
    /// in the next [`Watchers::take_due`].
    pub(super) fn watch(&mut self, now_ms: u64, session: SessionRef, users: &[UserId]) {
        let known = self.by_session.get(&session.number).copied();
        if let Some(index) = known {
            self.forget_list(index);
        }
        let index = match (known, users.is_empty()) {
            (None, true) => return,
            (Some(index), true) => {
                self.by_session.remove(&session.number);
                self.watchers[index as usize] = None;
                self.free.push(index);
                return;
            }
            (Some(index), false) => index,
            (None, false) => self.add(session),
        };
        let mut list = Vec::with_capacity(users.len());
        for (user, nth) in users.iter().zip(0..) {
            let eyes = self.by_user.entry(*user).or_default();
            list.push(Watched { user: *user, position: eyes.len() as u32, told: None, changed: true });
            eyes.push(Eye { watcher: index, nth });
        }
        if let Some(watcher) = &mut self.watchers[index as usize] {
            watcher.changes = (0..list.len() as u32).collect();
            watcher.list = list;
        }
        self.make_due(now_ms, index);
    }

    fn add(&mut self, session: SessionRef) -> u32 {
        let watcher = Watcher { session, list: Vec::new(), changes: Vec::new(), told_ms: 0, is_due: false };
        let index = match self.free.pop() {
            Some(index) => {
                self.watchers[index as usize] = Some(watcher);
                index
            }
            None => {
                self.watchers.push(Some(watcher));
                self.watchers.len() as u32 - 1
            }
        };
        self.by_session.insert(session.number, index);
        index
    }

    /// Takes a watcher out of the lists of everybody it watches.
    fn forget_list(&mut self, index: u32) {
        let Some(watcher) = &mut self.watchers[index as usize] else { return };
        watcher.changes.clear();
        for watched in std::mem::take(&mut watcher.list) {
            let Some(eyes) = self.by_user.get_mut(&watched.user) else { continue };
            eyes.swap_remove(watched.position as usize);
            let moved = eyes.get(watched.position as usize).copied();
            if eyes.is_empty() {
                self.by_user.remove(&watched.user);
            }
            if let Some(moved) = moved
                && let Some(other) = &mut self.watchers[moved.watcher as usize]
                // The list being forgotten is out of its watcher already: its places do not matter any more.
                && let Some(its) = other.list.get_mut(moved.nth as usize)
            {
                its.position = watched.position;
            }
        }
    }

    /// A user came, went or changed: everybody who watches is to be told.
    pub(super) fn on_change(&mut self, now_ms: u64, user: UserId) {
        let Some(eyes) = self.by_user.get(&user) else { return };
        for eye in eyes {
            let Some(watcher) = &mut self.watchers[eye.watcher as usize] else { continue };
            let watched = &mut watcher.list[eye.nth as usize];
            if !watched.changed {
                watched.changed = true;
                watcher.changes.push(eye.nth);
                if !watcher.is_due {
                    watcher.is_due = true;
                    let at_ms = now_ms.max(watcher.told_ms + PRESENCE_INTERVAL_MS);
                    self.due.push(Reverse((at_ms, eye.watcher)));
                }
            }
        }
    }

    fn make_due(&mut self, now_ms: u64, index: u32) {
        let Some(watcher) = &mut self.watchers[index as usize] else { return };
        if !watcher.is_due {
            watcher.is_due = true;
            let at_ms = now_ms.max(watcher.told_ms + PRESENCE_INTERVAL_MS);
            self.due.push(Reverse((at_ms, index)));
        }
    }

    /// When somebody is to be told, milliseconds on the monotonic clock.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at_ms, _))| *at_ms)
    }

    /// The next watcher that is to be told, of whom, and whether of some for the first time; `state` says how they are.
    /// `None`: nobody for now.
    pub(super) fn take_due(
        &mut self,
        now_ms: u64,
        state: impl Fn(UserId) -> PresenceState,
        changes: &mut Vec<(UserId, PresenceState)>,
    ) -> Option<(SessionRef, bool)> {
        loop {
            let Reverse((at_ms, index)) = *self.due.peek()?;
            if at_ms > now_ms {
                return None;
            }
            self.due.pop();
            let Some(watcher) = &mut self.watchers[index as usize] else { continue };
            watcher.is_due = false;
            changes.clear();
            let mut is_first = false;
            for nth in watcher.changes.drain(..) {
                let watched = &mut watcher.list[nth as usize];
                watched.changed = false;
                let state = state(watched.user);
                // One that was here again before anybody was told has not changed.
                if watched.told != Some(state) {
                    is_first |= watched.told.is_none();
                    watched.told = Some(state);
                    changes.push((watched.user, state));
                }
            }
            if !changes.is_empty() {
                watcher.told_ms = now_ms;
                return Some((watcher.session, is_first));
            }
        }
    }

    /// How many sessions watch, and how many watches there are.
    pub(super) fn len(&self) -> (usize, usize) {
        let watches = self.watchers.iter().flatten().map(|watcher| watcher.list.len()).sum();
        (self.by_session.len(), watches)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ringwire_driver::ConnectionId;

    use super::*;

    fn session(number: u64) -> SessionRef {
        SessionRef { number, connection: ConnectionId { slot: number as u32, generation: 0 }, shard: 0 }
    }

    fn user(number: u64) -> UserId {
        UserId::from_name(&format!("user-{number}"))
    }

    /// Everybody who is due, in order.
    fn told(
        watchers: &mut Watchers,
        now_ms: u64,
        state: impl Fn(UserId) -> PresenceState + Copy,
    ) -> Vec<(u64, Vec<(UserId, PresenceState)>)> {
        let (mut told, mut changes) = (Vec::new(), Vec::new());
        while let Some((session, _)) = watchers.take_due(now_ms, state, &mut changes) {
            told.push((session.number, changes.clone()));
        }
        told
    }

    #[test]
    fn a_user_that_flaps_is_told_of_once_per_interval_with_its_latest_state() {
        let mut watchers = Watchers::default();
        watchers.watch(5_000, session(1), &[user(1)]);
        let mut changes = Vec::new();
        let first = watchers.take_due(5_000, |_| PresenceState::Offline, &mut changes);
        assert_eq!(first.map(|(session, is_first)| (session.number, is_first)), Some((1, true)));
        assert_eq!(changes, [(user(1), PresenceState::Offline)]);
        for now_ms in 5_001..5_999 {
            watchers.on_change(now_ms, user(1));
            assert_eq!(told(&mut watchers, now_ms, |_| PresenceState::Online), []);
        }
        assert_eq!(watchers.next_ms(), Some(6_000));
        assert_eq!(
            told(&mut watchers, 6_000, |_| PresenceState::Online),
            [(1, vec![(user(1), PresenceState::Online)])]
        );
        // Gone and back within an interval is no news.
        watchers.on_change(7_500, user(1));
        assert_eq!(told(&mut watchers, 7_500, |_| PresenceState::Online), []);
    }

    #[test]
    fn both_sides_agree_after_any_story() {
        for seed in 0..60 {
            let mut word = seed * 2 + 1;
            let mut draw = |below: u64| {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                word % below
            };
            let mut watchers = Watchers::default();
            let mut expected: BTreeMap<u64, Vec<UserId>> = BTreeMap::new();
            for now_ms in 0..400 {
                let number = draw(6);
                let first = draw(9);
                let users: Vec<UserId> = (first..first + draw(5)).map(user).collect();
                watchers.watch(now_ms, session(number), &users);
                expected.insert(number, users);
                let changed = user(draw(12));
                told(&mut watchers, now_ms + 100_000, |_| PresenceState::Offline);
                watchers.on_change(now_ms, changed);
                let mut heard: Vec<u64> = told(&mut watchers, u64::MAX - 1, |_| PresenceState::Online)
                    .into_iter()
                    .map(|(number, changes)| {
                        assert_eq!(changes, [(changed, PresenceState::Online)], "seed {seed}");
                        number
                    })
                    .collect();
                heard.sort_unstable();
                let watch = expected.iter().filter(|(_, users)| users.contains(&changed));
                assert_eq!(heard, watch.map(|(number, _)| *number).collect::<Vec<_>>(), "seed {seed}");
                // Everybody back to where the next round expects it.
                for watcher in watchers.watchers.iter_mut().flatten() {
                    watcher.told_ms = 0;
                }
                watchers.on_change(now_ms, changed);
                told(&mut watchers, u64::MAX - 1, |_| PresenceState::Offline);
                for watcher in watchers.watchers.iter_mut().flatten() {
                    watcher.told_ms = 0;
                }
            }
            assert_eq!(watchers.len().1, expected.values().map(Vec::len).sum::<usize>());
        }
    }
}
