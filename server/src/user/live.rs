//! The sessions of all users of this shard, as their home knows them: 32 bytes each, in one table.
//!
//! A user's sessions are a list through the table, because nearly everybody has one and nobody has many.

use ringwire_driver::ConnectionId;

use crate::fanout::letter::{SessionRef, ShardIndex};

/// A place in the table, or the end of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place(u32);

impl Place {
    /// The end of a list.
    pub(super) const NONE: Place = Place(u32::MAX);
}

/// One session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    /// Orders the sessions of one device.
    pub(super) number: u64,
    /// The device, hashed.
    pub(super) origin: u64,
    connection: ConnectionId,
    next: Place,
    shard: ShardIndex,
    /// Whether it was heard of lately.
    pub(super) heard: bool,
    /// Whether it is told of its user's conversations.
    pub(super) wants_inbox: bool,
}

const _: () = assert!(size_of::<Live>() == 32, "everybody who is signed in pays for this struct");

impl Live {
    /// A session that has begun.
    pub(super) fn new(session: SessionRef, origin: u64, wants_inbox: bool) -> Self {
        Live {
            number: session.number,
            origin,
            connection: session.connection,
            next: Place::NONE,
            shard: session.shard,
            heard: true,
            wants_inbox,
        }
    }

    /// Where letters for it go.
    pub(super) fn session(&self) -> SessionRef {
        SessionRef { number: self.number, connection: self.connection, shard: self.shard }
    }
}

/// The table.
#[derive(Default)]
pub(super) struct Table {
    places: Vec<Live>,
    free: Vec<Place>,
}

impl Table {
    /// Puts a session at the front of a list.
    pub(super) fn add(&mut self, list: &mut Place, live: Live) {
        let live = Live { next: *list, ..live };
        *list = match self.free.pop() {
            Some(place) => {
                self.places[place.0 as usize] = live;
                place
            }
            None => {
                self.places.push(live);
                Place(self.places.len() as u32 - 1)
            }
        };
    }

    /// Takes all sessions out of a list that are `gone`; each is said to `each`.
    pub(super) fn remove(
        &mut self,
        list: &mut Place,
        gone: impl Fn(&Live) -> bool,
        mut each: impl FnMut(&Live),
    ) {
        let (mut before, mut at) = (Place::NONE, *list);
        while at != Place::NONE {
            let live = self.places[at.0 as usize];
            if gone(&live) {
                match before {
                    Place::NONE => *list = live.next,
                    before => self.places[before.0 as usize].next = live.next,
                }
                self.free.push(at);
                each(&live);
            } else {
                before = at;
            }
            at = live.next;
        }
    }

    /// The sessions of a list, the newest first.
    pub(super) fn of(&self, list: Place) -> impl Iterator<Item = &Live> + '_ {
        let mut at = list;
        std::iter::from_fn(move || {
            let live = self.places.get(at.0 as usize)?;
            at = live.next;
            Some(live)
        })
    }

    /// The session of that number, to change it.
    pub(super) fn find_mut(&mut self, list: Place, number: u64) -> Option<&mut Live> {
        let mut at = list;
        while at != Place::NONE {
            let live = self.places[at.0 as usize];
            if live.number == number {
                return Some(&mut self.places[at.0 as usize]);
            }
            at = live.next;
        }
        None
    }

    /// How many sessions there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(number: u64) -> Live {
        let connection = ConnectionId { slot: number as u32, generation: 0 };
        Live::new(SessionRef { number, connection, shard: 0 }, number % 2, false)
    }

    #[test]
    fn lists_share_the_table_and_keep_apart() {
        let mut table = Table::default();
        let (mut a, mut b) = (Place::NONE, Place::NONE);
        for number in 1..=3 {
            table.add(&mut a, live(number));
            table.add(&mut b, live(number + 10));
        }
        let mut gone = Vec::new();
        table.remove(&mut a, |live| live.origin == 1, |live| gone.push(live.number));
        assert_eq!(gone, [3, 1]);
        let numbers = |list| table.of(list).map(|live| live.number).collect::<Vec<_>>();
        assert_eq!((numbers(a), numbers(b)), (vec![2], vec![13, 12, 11]));
        assert_eq!(table.len(), 4);
        // A freed place is used again, by whichever list.
        table.add(&mut b, live(14));
        assert_eq!(table.of(b).map(|live| live.number).collect::<Vec<_>>(), [14, 13, 12, 11]);
        table.remove(&mut b, |_| true, |_| {});
        assert_eq!((b, table.len()), (Place::NONE, 1));
        assert!(table.find_mut(a, 2).is_some() && table.find_mut(a, 1).is_none());
    }
}
