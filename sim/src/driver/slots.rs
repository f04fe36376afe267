//! The connection table of the simulated driver, as the real ones have it: dense slots, generations.

use ringwire_driver::ConnectionId;

use crate::network::SocketId;

/// Who has a slot.
#[derive(Clone, Copy, Debug)]
pub struct Occupant {
    /// Its connection.
    pub socket: SocketId,
    /// A send was cut short and `Writable` was not reported yet.
    pub is_stalled: bool,
    /// `Disconnected` was reported, or waits to be.
    pub is_disconnected: bool,
    /// The shard has closed it: only `Closed` is reported.
    pub is_closing: bool,
    /// It is in the list of those with something to read.
    pub is_readable: bool,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    occupant: Option<Occupant>,
}

/// The table.
#[derive(Debug)]
pub struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    max: u32,
}

impl Slots {
    /// A table of at most `max` connections.
    pub fn new(max: u32) -> Self {
        Slots { slots: Vec::new(), free: Vec::new(), max }
    }

    /// Gives a connection a slot; `None` where all are taken.
    pub fn insert(&mut self, socket: SocketId) -> Option<ConnectionId> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if (self.slots.len() as u32) < self.max => {
                self.slots.push(Slot::default());
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        let entry = &mut self.slots[slot as usize];
        entry.occupant = Some(Occupant {
            socket,
            is_stalled: false,
            is_disconnected: false,
            is_closing: false,
            is_readable: false,
        });
        Some(ConnectionId { slot, generation: entry.generation })
    }

    /// The occupant, unless the slot is another's by now.
    pub fn get(&mut self, id: ConnectionId) -> Option<&mut Occupant> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.occupant.as_mut().filter(|_| slot.generation == id.generation)
    }

    /// Empties the slot; it may be given out again.
    pub fn remove(&mut self, id: ConnectionId) {
        if self.get(id).is_some() {
            let slot = &mut self.slots[id.slot as usize];
            slot.occupant = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(id.slot);
        }
    }

    /// From now on there may be so many connections.
    pub fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// How many slots are taken.
    pub fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The connections of all occupants.
    pub fn sockets(&self) -> impl Iterator<Item = SocketId> + '_ {
        self.slots.iter().filter_map(|slot| Some(slot.occupant.as_ref()?.socket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_given_out_again_has_a_new_generation() {
        let mut slots = Slots::new(2);
        let first = slots.insert(SocketId(1)).unwrap();
        let second = slots.insert(SocketId(2)).unwrap();
        assert_eq!(slots.insert(SocketId(3)), None);
        slots.remove(first);
        slots.remove(first);
        let third = slots.insert(SocketId(3)).unwrap();
        assert_eq!((third.slot, third.generation), (first.slot, first.generation + 1));
        assert!(slots.get(first).is_none() && slots.get(second).is_some());
        assert_eq!(slots.live(), 2);
        assert_eq!(slots.sockets().collect::<Vec<_>>(), [SocketId(3), SocketId(2)]);
    }
}
