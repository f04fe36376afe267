//! Rooms: what was published, who has it already, and the checks that nothing is missing, doubled, out of
//! order or changed.
//!
//! Every body says which room and which sequence it is of. The first subscriber who receives a message has
//! it taken apart and checked; its bytes are kept, and everybody else's are compared with them. So every
//! byte of every delivery is checked, for the price of a comparison.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

use super::adapter::Adapter;
use crate::fault::{Fault, Result};

/// Starts every body of this generator.
const MAGIC: u32 = 0x5249_5057;

/// Bytes of a body that are taken by what it says of itself.
pub const BODY_BYTES_MIN: usize = 16;

/// Messages per room whose bytes are kept for comparison. Who is further behind has them taken apart.
const KEPT: usize = 128;

/// What fills the rest of a body.
const FILLER: u8 = b'x';

/// Longest latency that is told apart from longer ones, nanoseconds.
const LATENCY_NS_MAX: u64 = 120_000_000_000;

/// Writes the body of a message.
pub fn write_body(room: u32, sequence: u64, bytes: usize, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&room.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.resize(bytes.max(BODY_BYTES_MIN), FILLER);
}

/// Room and sequence of a body, if it is one of ours and whole.
fn read_body(body: &[u8], bytes: usize) -> Option<(u32, u64)> {
    let (magic, rest) = body.split_first_chunk::<4>()?;
    let (room, rest) = rest.split_first_chunk::<4>()?;
    let (sequence, filler) = rest.split_first_chunk::<8>()?;
    let is_ours = u32::from_le_bytes(*magic) == MAGIC
        && body.len() == bytes.max(BODY_BYTES_MIN)
        && filler.iter().all(|byte| *byte == FILLER);
    is_ours.then(|| (u32::from_le_bytes(*room), u64::from_le_bytes(*sequence)))
}

/// A histogram as all are made here: nanoseconds, three digits.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3)
        .unwrap_or_else(|error| unreachable!("valid bounds: {error}"))
}

#[derive(Debug, Default)]
struct Kept {
    sequence: u64,
    bytes: Vec<u8>,
}

/// A message that not everybody has.
#[derive(Clone, Copy, Debug)]
struct Flight {
    intended_ns: u64,
    missing: u32,
}

#[derive(Debug)]
struct Room {
    subscribers: u32,
    /// Of the generator, dense from 1.
    last: u64,
    /// Everybody has everything up to here.
    complete: u64,
    flights: VecDeque<Flight>,
    kept: Vec<Kept>,
    /// The server's own sequence of the last message that was taken apart; 0: none yet.
    server_sequence: u64,
    /// A message was completed since somebody asked.
    is_touched: bool,
}

/// All rooms of a run.
#[derive(Debug)]
pub struct Rooms {
    rooms: Vec<Room>,
    /// Per connection: its rooms, and which sequence of each comes next.
    expected: Vec<Vec<(u32, u64)>>,
    body_bytes: usize,
    touched: Vec<u32>,
    /// Latencies from the intended time of publishing, one per delivery; nanoseconds.
    pub latencies: Histogram<u64>,
    /// Messages received by subscribers.
    pub deliveries: u64,
    /// Publishes that everybody has.
    pub completed: u64,
}

impl Rooms {
    /// Rooms whose connection `index` subscribes to `subscriptions[index]`.
    #[must_use]
    pub fn new(rooms: u32, subscriptions: &[Vec<u32>], body_bytes: usize) -> Self {
        let room = || Room {
            subscribers: 0,
            last: 0,
            complete: 0,
            flights: VecDeque::new(),
            kept: std::iter::repeat_with(Kept::default).take(KEPT).collect(),
            server_sequence: 0,
            is_touched: false,
        };
        let mut rooms: Vec<Room> = std::iter::repeat_with(room).take(rooms as usize).collect();
        for room in subscriptions.iter().flatten() {
            rooms[*room as usize].subscribers += 1;
        }
        Rooms {
            rooms,
            expected: subscriptions.iter().map(|list| list.iter().map(|room| (*room, 1)).collect()).collect(),
            body_bytes,
            touched: Vec::new(),
            latencies: histogram(),
            deliveries: 0,
            completed: 0,
        }
    }

    /// Notes that a connection takes part no longer (it was stopped or cut): nothing is expected of it.
    pub fn leave(&mut self, connection: u32) {
        for (room, _) in std::mem::take(&mut self.expected[connection as usize]) {
            self.rooms[room as usize].subscribers -= 1;
        }
    }

    /// How many rooms.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.rooms.len() as u32
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Messages of a room that not everybody has.
    #[must_use]
    pub fn in_flight(&self, room: u32) -> usize {
        self.rooms[room as usize].flights.len()
    }

    /// Deliveries that are still to come.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.rooms.iter().flat_map(|room| &room.flights).map(|flight| u64::from(flight.missing)).sum()
    }

    /// How many subscribers a room has.
    #[must_use]
    pub fn subscribers(&self, room: u32) -> u32 {
        self.rooms[room as usize].subscribers
    }

    /// How many messages of a room were published.
    #[must_use]
    pub fn published(&self, room: u32) -> u64 {
        self.rooms[room as usize].last
    }

    /// The server's own number of the newest message of a room that was seen.
    #[must_use]
    pub fn server_sequence(&self, room: u32) -> u64 {
        self.rooms[room as usize].server_sequence
    }

    /// The next message of a room: writes its body; its sequence.
    pub fn publish(&mut self, room: u32, intended_ns: u64, body: &mut Vec<u8>) -> u64 {
        let state = &mut self.rooms[room as usize];
        state.last += 1;
        state.flights.push_back(Flight { intended_ns, missing: state.subscribers.max(1) });
        write_body(room, state.last, self.body_bytes, body);
        state.last
    }

    /// Rooms in which a message was completed since the last call.
    pub fn take_touched(&mut self, into: &mut Vec<u32>) {
        for room in self.touched.drain(..) {
            self.rooms[room as usize].is_touched = false;
            into.push(room);
        }
    }

    /// Forgets what was counted, when warming up is over.
    pub fn restart_counting(&mut self) {
        self.latencies.reset();
        (self.deliveries, self.completed) = (0, 0);
    }

    /// A publish to a room without subscribers was acknowledged: that completes it.
    pub fn on_ack(&mut self, room: u32, now_ns: u64) {
        if self.rooms[room as usize].subscribers == 0 {
            let sequence = self.rooms[room as usize].complete + 1;
            self.arrived(room, sequence, now_ns);
        }
    }

    /// A message arrived.
    ///
    /// # Errors
    /// It is not the one that comes next, or not as it was published.
    #[inline]
    pub fn on_message<A: Adapter>(
        &mut self,
        adapter: &A,
        connection: u32,
        message: &[u8],
        now_ns: u64,
    ) -> Result<()> {
        if let [(room, expected)] = &mut self.expected[connection as usize][..] {
            let kept = &self.rooms[*room as usize].kept[*expected as usize % KEPT];
            if kept.sequence == *expected && kept.bytes == message {
                let (room, sequence) = (*room, *expected);
                *expected += 1;
                self.arrived(room, sequence, now_ns);
                return Ok(());
            }
        }
        self.on_first(adapter, connection, message, now_ns)
    }

    /// The slow way: takes the message apart.
    fn on_first<A: Adapter>(
        &mut self,
        adapter: &A,
        connection: u32,
        message: &[u8],
        now_ns: u64,
    ) -> Result<()> {
        let wrong = |what: String| Fault::Server(format!("connection {connection}: {what}"));
        let Some(body) = adapter.body(message).map_err(wrong)? else { return Ok(()) };
        let (room, sequence) = read_body(body, self.body_bytes)
            .ok_or_else(|| wrong(format!("a message of {} bytes is not as it was published", body.len())))?;
        let Some((_, expected)) =
            self.expected[connection as usize].iter_mut().find(|(other, _)| *other == room)
        else {
            return if self.expected[connection as usize].is_empty() {
                Ok(())
            } else {
                Err(wrong(format!("a message of room {room} came, which it does not subscribe to")))
            };
        };
        if sequence != *expected {
            return Err(wrong(format!(
                "message {sequence} of room {room} came, message {expected} comes next"
            )));
        }
        *expected += 1;
        let state = &mut self.rooms[room as usize];
        let kept = &mut state.kept[sequence as usize % KEPT];
        if kept.sequence < sequence {
            // The first of them to arrive: the server's own numbers have to be dense as well.
            if let Some(of_server) = adapter.sequence(message) {
                if state.server_sequence != 0 && of_server != state.server_sequence + 1 {
                    return Err(wrong(format!(
                        "the server numbered message {sequence} of room {room} {of_server}, after {}",
                        state.server_sequence
                    )));
                }
                state.server_sequence = of_server;
            }
            kept.sequence = sequence;
            kept.bytes.clear();
            kept.bytes.extend_from_slice(message);
        }
        self.arrived(room, sequence, now_ns);
        Ok(())
    }

    #[inline]
    fn arrived(&mut self, room: u32, sequence: u64, now_ns: u64) {
        let state = &mut self.rooms[room as usize];
        // Whoever left meanwhile may have completed it: then it counts for nobody.
        let Some(at) = sequence.checked_sub(state.complete + 1) else { return };
        let Some(flight) = state.flights.get_mut(at as usize) else { return };
        flight.missing = flight.missing.saturating_sub(1);
        self.deliveries += 1;
        self.latencies.saturating_record(now_ns.saturating_sub(flight.intended_ns));
        while state.flights.front().is_some_and(|flight| flight.missing == 0) {
            state.flights.pop_front();
            state.complete += 1;
            self.completed += 1;
            if !state.is_touched {
                state.is_touched = true;
                self.touched.push(room);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::adapter::{Item, Step, Who};

    /// A protocol whose messages are their bodies.
    struct Plain;

    impl Adapter for Plain {
        fn begin(&self, _: &Who, _: &mut Vec<u8>) {}
        fn unit<'a>(&self, _: u8, _: &mut &'a [u8]) -> std::result::Result<Option<&'a [u8]>, String> {
            Ok(None)
        }
        fn set_up(
            &self,
            _: &Who,
            _: &mut u8,
            _: &[u8],
            _: &mut Vec<u8>,
        ) -> std::result::Result<Step, String> {
            Ok(Step::Ready)
        }
        fn items<'a>(&self, _: &'a [u8], _: &mut dyn FnMut(Item<'a>)) -> std::result::Result<(), String> {
            Ok(())
        }
        fn body<'a>(&self, message: &'a [u8]) -> std::result::Result<Option<&'a [u8]>, String> {
            Ok(Some(message))
        }
        fn publish(&self, _: u32, _: u32, _: u64, _: &[u8], _: &mut Vec<u8>) {}
        fn echo(&self, _: u64, _: &mut Vec<u8>) {}
    }

    fn published(rooms: &mut Rooms, count: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|_| {
                let mut body = Vec::new();
                rooms.publish(0, 5, &mut body);
                body
            })
            .collect()
    }

    #[test]
    fn a_publish_is_complete_when_everybody_has_it() {
        let mut rooms = Rooms::new(1, &[vec![0], vec![0]], 64);
        let bodies = published(&mut rooms, 2);
        let mut touched = Vec::new();
        for (connection, body, missing) in [(0, 0, 3), (0, 1, 2), (1, 0, 1), (1, 1, 0)] {
            rooms.on_message(&Plain, connection, &bodies[body], 10).expect("in order");
            assert_eq!(rooms.missing(), missing);
        }
        rooms.take_touched(&mut touched);
        assert_eq!((touched, rooms.completed, rooms.deliveries, rooms.in_flight(0)), (vec![0], 2, 4, 0));
    }

    #[test]
    fn a_message_that_is_missing_doubled_or_changed_is_an_error() {
        type Spoil = fn(&mut Vec<Vec<u8>>);
        let cases: [(&str, Spoil); 4] = [
            ("missing", |bodies| drop(bodies.remove(1))),
            ("doubled", |bodies| bodies.insert(1, bodies[0].clone())),
            ("changed", |bodies| bodies[1][20] ^= 1),
            ("cut short", |bodies| bodies[1].truncate(63)),
        ];
        for (name, spoil) in cases {
            // Once as the first to receive, once behind somebody who got all of it.
            for is_first in [true, false] {
                let mut rooms = Rooms::new(1, &[vec![0], vec![0]], 64);
                let mut bodies = published(&mut rooms, 3);
                if !is_first {
                    for body in &bodies {
                        rooms.on_message(&Plain, 1, body, 10).expect("as published");
                    }
                }
                spoil(&mut bodies);
                let outcome = bodies.iter().try_for_each(|body| rooms.on_message(&Plain, 0, body, 10));
                assert!(outcome.is_err(), "{name} went unnoticed");
            }
        }
    }
}
