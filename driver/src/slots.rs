//! The connection table: slots with generations, dense from 0, reused last-freed-first.
//!
//! It grows by chunks that never move: doubling would copy the whole table and leave half of it unused,
//! and an idle connection is to cost bytes, not tens of them. Belongs to one driver.
//!
//! Invariants: a slot's generation advances when its occupant leaves; an id whose generation is not the
//! slot's finds nothing.

use crate::ConnectionId;

/// Slots per chunk: small against any table worth having, large against an allocation's overhead.
const CHUNK: usize = 512;

/// End of the list of free slots.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Slots<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    /// Slots that were ever used; those behind are untouched.
    used: u32,
    free: u32,
    live: u32,
    max: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Free { next: u32 },
    Live(T),
}

impl<T> Slots<T> {
    pub(crate) fn new(max: u32) -> Self {
        Self { chunks: Vec::new(), used: 0, free: NONE, live: 0, max }
    }

    /// Gives `value` a slot; gives it back where `max` are taken.
    pub(crate) fn insert(&mut self, value: T) -> Result<ConnectionId, T> {
        let slot = if self.free != NONE {
            self.free
        } else if self.used < self.max {
            self.grow();
            self.used
        } else {
            return Err(value);
        };
        let entry = &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK];
        match entry.state {
            State::Free { next } if slot == self.free => self.free = next,
            State::Free { .. } => self.used += 1,
            State::Live(_) => unreachable!("a free slot has no occupant"),
        }
        entry.state = State::Live(value);
        self.live += 1;
        Ok(ConnectionId { slot, generation: entry.generation })
    }

    fn grow(&mut self) {
        if self.used as usize == self.chunks.len() * CHUNK {
            let fresh = || Slot { generation: 0, state: State::Free { next: NONE } };
            self.chunks.push(std::iter::repeat_with(fresh).take(CHUNK).collect());
        }
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        let entry = self.chunks.get_mut(id.slot as usize / CHUNK)?.get_mut(id.slot as usize % CHUNK)?;
        match &mut entry.state {
            State::Live(value) if entry.generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// Who has the slot now.
    pub(crate) fn occupant(&self, slot: u32) -> Option<ConnectionId> {
        let entry = self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?;
        match entry.state {
            State::Live(_) => Some(ConnectionId { slot, generation: entry.generation }),
            State::Free { .. } => None,
        }
    }

    /// Empties the slot; its generation advances.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<T> {
        self.get_mut(id)?;
        let entry = &mut self.chunks[id.slot as usize / CHUNK][id.slot as usize % CHUNK];
        let State::Live(value) = std::mem::replace(&mut entry.state, State::Free { next: self.free }) else {
            unreachable!("get_mut found an occupant");
        };
        entry.generation = entry.generation.wrapping_add(1);
        self.free = id.slot;
        self.live -= 1;
        Some(value)
    }

    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.chunks.len() * CHUNK * size_of::<Slot<T>>()
            + self.chunks.capacity() * size_of::<Box<[Slot<T>]>>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_dense_and_reused_with_a_new_generation() {
        let mut slots = Slots::new(2_000);
        let ids: Vec<_> = (0..1_500u32).map(|i| slots.insert(i).unwrap()).collect();
        assert!(ids.iter().enumerate().all(|(i, id)| id.slot as usize == i && id.generation == 0));
        for id in &ids[10..20] {
            assert_eq!(slots.remove(*id), Some(id.slot));
            assert_eq!(slots.remove(*id), None, "an occupant leaves once");
        }
        assert_eq!(slots.live(), 1_490);
        let next = slots.insert(7).unwrap();
        assert_eq!((next.slot, next.generation), (19, 1), "the last freed is given out first");
        assert!(slots.get_mut(ids[19]).is_none(), "the former occupant is not found");
        assert_eq!(slots.get_mut(next), Some(&mut 7));
        assert_eq!(slots.occupant(19), Some(next));
        assert_eq!(slots.occupant(18), None);
        assert_eq!(slots.occupant(5_000), None);
        for _ in 0..9 {
            assert!(slots.insert(0).unwrap().slot < 20);
        }
        assert_eq!(slots.insert(0).unwrap().slot, 1_500);
    }

    #[test]
    fn a_full_table_gives_the_value_back() {
        let mut slots = Slots::new(2);
        let first = slots.insert("a").unwrap();
        slots.insert("b").unwrap();
        assert_eq!(slots.insert("c"), Err("c"));
        slots.remove(first);
        assert_eq!(slots.insert("c").map(|id| id.slot), Ok(0));
    }

    #[test]
    fn ids_from_nowhere_find_nothing() {
        let mut slots = Slots::new(10);
        slots.insert(1u8).unwrap();
        for id in [(0, 1), (1, 0), (511, 0), (512, 0), (u32::MAX, 0)] {
            assert!(slots.get_mut(ConnectionId { slot: id.0, generation: id.1 }).is_none());
        }
    }
}
