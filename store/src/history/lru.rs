//! A map that forgets what was used longest ago.
//!
//! Entries have a weight; the owner evicts while the sum is above what it allows. All links are indices into
//! one vector: no allocation per use.

use std::collections::HashMap;
use std::hash::Hash;

const END: usize = usize::MAX;

struct Slot<K, V> {
    key: K,
    value: Option<V>,
    weight: usize,
    newer: usize,
    older: usize,
}

/// Values by key, in order of use.
pub(super) struct Lru<K, V> {
    places: HashMap<K, usize, foldhash::fast::RandomState>,
    slots: Vec<Slot<K, V>>,
    free: Vec<usize>,
    newest: usize,
    oldest: usize,
    weight: usize,
}

impl<K: Hash + Eq + Copy, V> Lru<K, V> {
    pub(super) fn new() -> Self {
        let places = HashMap::default();
        Self { places, slots: Vec::new(), free: Vec::new(), newest: END, oldest: END, weight: 0 }
    }

    /// Sum of the weights.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The value, which becomes the newest.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        let place = *self.places.get(key)?;
        self.unlink(place);
        self.link(place);
        self.slots[place].value.as_mut()
    }

    /// Adds or replaces a value, which becomes the newest.
    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        let slot = Slot { key, value: Some(value), weight, newer: END, older: END };
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.places.insert(key, place);
        self.weight += weight;
        self.link(place);
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.places.remove(key)?;
        self.unlink(place);
        self.free.push(place);
        let slot = &mut self.slots[place];
        self.weight -= slot.weight;
        slot.value.take()
    }

    /// Takes out the value used longest ago among those that `may` go.
    pub(super) fn evict(&mut self, may: impl Fn(&V) -> bool) -> Option<(K, V)> {
        let mut place = self.oldest;
        while let Some(slot) = self.slots.get(place) {
            if slot.value.as_ref().is_some_and(&may) {
                let key = slot.key;
                return self.remove(&key).map(|value| (key, value));
            }
            place = slot.newer;
        }
        None
    }

    /// Takes out everything that `matches`.
    pub(super) fn forget(&mut self, matches: impl Fn(&K) -> bool) {
        let keys: Vec<K> = self.places.keys().filter(|key| matches(key)).copied().collect();
        for key in keys {
            self.remove(&key);
        }
    }

    fn unlink(&mut self, place: usize) {
        let (newer, older) = (self.slots[place].newer, self.slots[place].older);
        match newer {
            END => self.newest = older,
            newer => self.slots[newer].older = older,
        }
        match older {
            END => self.oldest = newer,
            older => self.slots[older].newer = newer,
        }
    }

    fn link(&mut self, place: usize) {
        let older = self.newest;
        self.slots[place].newer = END;
        self.slots[place].older = older;
        match older {
            END => self.oldest = place,
            older => self.slots[older].newer = place,
        }
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut lru = Lru::new();
        for key in 0..4 {
            lru.insert(key, key * 10, 5);
        }
        assert_eq!(lru.get(&0), Some(&mut 0));
        assert_eq!(lru.evict(|_| true), Some((1, 10)));
        assert_eq!(lru.evict(|value| *value != 20), Some((3, 30)), "one that may not go is passed over");
        assert_eq!(lru.weight(), 10);
        lru.insert(2, 21, 7);
        assert_eq!(lru.weight(), 12);
        assert_eq!(lru.evict(|_| true), Some((0, 0)));
        assert_eq!(lru.evict(|_| true), Some((2, 21)));
        assert_eq!(lru.evict(|_| true), None);
        assert_eq!(lru.weight(), 0);
        lru.insert(9, 90, 1);
        lru.forget(|key| *key == 9);
        assert_eq!(lru.get(&9), None);
    }
}
