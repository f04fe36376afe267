//! What will happen, in the order of time; what happens at the same time, in an order drawn from the schedule.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::event::Event;

/// An event and its place: time, then tie-break, then the order in which it was added.
struct Entry {
    place: (u64, u64, u64),
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

/// The events to come. Owner: the world.
#[derive(Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    added: u64,
}

impl Queue {
    /// Adds an event at a time; `tie` decides among those of the same time.
    pub fn push(&mut self, at_us: u64, tie: u64, event: Event) {
        self.added += 1;
        self.heap.push(Reverse(Entry { place: (at_us, tie, self.added), event }));
    }

    /// Takes the next event and its time.
    pub fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|Reverse(entry)| (entry.place.0, entry.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_comes_first_then_the_tie_break_then_the_order_of_adding() {
        let mut queue = Queue::default();
        for (at_us, tie, client) in [(5, 1, 0), (3, 9, 1), (3, 2, 2), (3, 2, 3)] {
            queue.push(at_us, tie, Event::Act { client });
        }
        let order: Vec<usize> = std::iter::from_fn(|| match queue.pop()? {
            (_, Event::Act { client }) => Some(client),
            _ => None,
        })
        .collect();
        assert_eq!(order, [2, 3, 1, 0]);
    }
}
