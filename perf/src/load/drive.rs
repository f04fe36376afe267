//! Pace: publishing in a closed loop (so many under way) or an open one (so many per second), for a time.
//!
//! Closed: `window` messages of a room are under way; the next goes out when *every* subscriber has the
//! oldest. Acknowledged: the same of each publisher, when the oldest is acknowledged; subscribers are read now
//! and then only, which makes the generator cheap. Open: every publish has an intended time, from which
//! latencies are counted, whether or not it could be sent then; so a server that stalls cannot hide behind a
//! generator that waits for it.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::adapter::{Adapter, Item, Role};
use super::engine::{Each, Engine};
use super::room::{Rooms, histogram};
use crate::fault::{Fault, Result};
use crate::system::now_ns;

/// How long deliveries may be missing before the run is given up.
const PATIENCE_NS: u64 = 20_000_000_000;

/// Publishes of one connection that may be without an acknowledgement: what our own server grants.
const UNACKNOWLEDGED_MAX: u32 = 64;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many messages of each active room under way.
    Closed {
        /// How many.
        window: u32,
        /// Publish a whole window when the last one is complete, instead of one for one.
        whole: bool,
    },
    /// So many publishes of each publisher without an acknowledgement.
    Acknowledged {
        /// How many.
        window: u32,
        /// How long what came for subscribers is left in the kernel.
        read_every: Duration,
    },
    /// So many publishes per second in all.
    Open {
        /// How many.
        per_second: f64,
    },
}

/// What to drive.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How fast.
    pub pace: Pace,
    /// Room `r` is published to by connection `publishers[r]`.
    pub publishers: Vec<u32>,
    /// Which room the `n`-th publish of an open loop goes to: `order[n % order.len()]`.
    pub order: Vec<u32>,
    /// Time before the window.
    pub warm_up: Duration,
    /// The window.
    pub window: Duration,
    /// Whether publishes are acknowledged.
    pub is_acknowledged: bool,
}

/// What was seen in the window.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Messages received by subscribers (acknowledgements, where a room has none; echoes).
    pub deliveries: u64,
    /// Publishes that were completed.
    pub publishes: u64,
    /// How long it took.
    pub window_ns: u64,
    /// Latencies.
    pub latencies: Histogram<u64>,
    /// How much of the window the generator had something to do.
    pub busy_share: f64,
    /// Bytes received.
    pub received_bytes: u64,
}

/// The publishing side of a run.
struct Driver<'a> {
    plan: &'a Plan,
    body: Vec<u8>,
    /// Per connection.
    unacknowledged: Vec<u32>,
    /// Per room: its publisher's own count, from 1.
    nth: Vec<u64>,
    /// Publishers with something to send.
    due: Vec<u32>,
    is_due: Vec<bool>,
    /// Per connection: the room it publishes to, where that is one.
    only_room: Vec<Option<u32>>,
    /// Of publishers paced by acknowledgements: their rooms, and which comes next.
    turns: Vec<(u32, Vec<u32>, usize)>,
    /// Open loop: the next publish.
    next: u64,
    started_ns: u64,
}

/// Publishes for warm-up and window; calls `at_edge` at the beginning and the end of the window.
///
/// # Errors
/// A check failed, a connection ended, or deliveries are missing in the end.
pub fn drive<A: Adapter>(
    engine: &mut Engine<A>,
    rooms: &mut Rooms,
    plan: &Plan,
    at_edge: &mut dyn FnMut() -> Result<()>,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Seen> {
    let mut driver = Driver::new(plan, engine.connections().len(), rooms);
    let mut touched: Vec<u32> = (0..rooms.len()).collect();
    let begin = driver.started_ns + plan.warm_up.as_nanos() as u64;
    let end = begin + plan.window.as_nanos() as u64;
    let mut in_window = false;
    let (mut opened_ns, mut waited_ns, mut received_bytes) = (0, 0, 0);
    let mut seen = None;
    let (mut last_count, mut last_change) = (0, now_ns());
    let mut sweep = Sweep::new(plan, engine)?;
    loop {
        let now = now_ns();
        if !in_window && seen.is_none() && now >= begin {
            in_window = true;
            rooms.restart_counting();
            at_edge()?;
            opened_ns = now_ns();
            (waited_ns, received_bytes) = (engine.waited_ns, engine.received_bytes);
        }
        if in_window && now >= end {
            in_window = false;
            let window_ns = now_ns() - opened_ns;
            at_edge()?;
            seen = Some(Seen {
                deliveries: rooms.deliveries,
                publishes: rooms.completed,
                window_ns,
                latencies: std::mem::replace(&mut rooms.latencies, histogram()),
                busy_share: 1.0 - (engine.waited_ns - waited_ns) as f64 / window_ns as f64,
                received_bytes: engine.received_bytes - received_bytes,
            });
        }
        if let Some(seen) = &seen {
            if rooms.missing() == 0 {
                return Ok(seen.clone());
            }
        } else {
            driver.publish(engine, rooms, &mut touched, now);
            driver.flush(engine)?;
        }
        let mut each = |adapter: &A, connection, item: Item<'_>, at| match item {
            Item::Message(message) => rooms.on_message(adapter, connection, message, at),
            Item::Ack => {
                driver.on_ack(rooms, connection, at);
                Ok(())
            }
            Item::Refused(why) => Err(Fault::Server(format!("connection {connection}: {why}"))),
            Item::Echo(_) | Item::Page(..) | Item::Other => Ok(()),
        };
        engine.turn(Some(Duration::from_millis(1)), &mut each)?;
        sweep.run(engine, now, &mut each)?;
        if rooms.deliveries != last_count {
            (last_count, last_change) = (rooms.deliveries, now);
        } else if now.saturating_sub(last_change) > 1_000_000_000 {
            check()?;
            if now - last_change > PATIENCE_NS && rooms.missing() > 0 {
                return Err(Fault::Server(format!(
                    "{} deliveries are missing after 20 s of silence",
                    rooms.missing()
                )));
            }
        }
    }
}

/// Subscribers that are read now and then, instead of when something has come.
struct Sweep {
    of: Vec<u32>,
    every_ns: u64,
    next_ns: u64,
}

impl Sweep {
    /// Everybody who subscribes and reads, where the pace asks for it; else nobody.
    fn new<A: Adapter>(plan: &Plan, engine: &mut Engine<A>) -> Result<Self> {
        let Pace::Acknowledged { read_every, .. } = plan.pace else {
            return Ok(Sweep { of: Vec::new(), every_ns: u64::MAX, next_ns: u64::MAX });
        };
        let of: Vec<u32> = (0..)
            .zip(engine.connections())
            .filter(|(_, connection)| {
                matches!(connection.who.role, Role::Subscriber(_)) && !connection.is_stopped()
            })
            .map(|(index, _)| index)
            .collect();
        for index in &of {
            engine.stop_reading(*index, true)?;
        }
        Ok(Sweep { of, every_ns: read_every.as_nanos() as u64, next_ns: 0 })
    }

    fn run<A: Adapter>(&mut self, engine: &mut Engine<A>, now: u64, each: &mut Each<'_, A>) -> Result<()> {
        if now < self.next_ns {
            return Ok(());
        }
        self.next_ns = now + self.every_ns;
        self.of.iter().try_for_each(|index| engine.receive(*index, each).map(drop))
    }
}

/// Publishes `count` messages to every room, and waits until whoever subscribes has them, and all are
/// acknowledged.
///
/// # Errors
/// As for [`drive`].
pub fn drive_count<A: Adapter>(
    engine: &mut Engine<A>,
    rooms: &mut Rooms,
    plan: &Plan,
    count: u32,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let mut driver = Driver::new(plan, engine.connections().len(), rooms);
    let (mut published, mut last_change) = (0u64, now_ns());
    let total = u64::from(count) * u64::from(rooms.len());
    loop {
        let now = now_ns();
        while published < total {
            let room = (published % u64::from(rooms.len())) as u32;
            if !driver.publish_one(engine, rooms, room, now) {
                break;
            }
            published += 1;
            last_change = now;
        }
        driver.flush(engine)?;
        let all_acknowledged = driver.unacknowledged.iter().all(|waiting| *waiting == 0);
        let missing = (0..rooms.len()).any(|room| rooms.subscribers(room) > 0 && rooms.in_flight(room) > 0);
        if published == total && all_acknowledged && !missing {
            return Ok(());
        }
        engine.turn(Some(Duration::from_millis(1)), &mut |adapter, connection, item, at| match item {
            Item::Message(message) => rooms.on_message(adapter, connection, message, at),
            Item::Ack => {
                driver.on_ack(rooms, connection, at);
                Ok(())
            }
            _ => Ok(()),
        })?;
        if now.saturating_sub(last_change) > PATIENCE_NS {
            check()?;
            return Err(Fault::Server("publishes are not acknowledged after 20 s".to_owned()));
        }
    }
}

/// The room of each connection that publishes to one only.
fn only_rooms(plan: &Plan, connections: usize) -> Vec<Option<u32>> {
    let mut counts = vec![0; connections];
    let mut only = vec![None; connections];
    for (room, publisher) in (0..).zip(&plan.publishers) {
        counts[*publisher as usize] += 1;
        only[*publisher as usize] = Some(room);
    }
    only.into_iter().zip(counts).map(|(room, count)| room.filter(|_| count == 1)).collect()
}

/// Every publisher with its rooms.
fn turns(plan: &Plan) -> Vec<(u32, Vec<u32>, usize)> {
    let mut turns: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (room, publisher) in (0..).zip(&plan.publishers) {
        turns.entry(*publisher).or_default().push(room);
    }
    turns.into_iter().map(|(publisher, rooms)| (publisher, rooms, 0)).collect()
}

impl<'a> Driver<'a> {
    fn new(plan: &'a Plan, connections: usize, rooms: &Rooms) -> Self {
        Driver {
            plan,
            body: Vec::new(),
            unacknowledged: vec![0; connections],
            nth: (0..rooms.len()).map(|room| rooms.published(room)).collect(),
            due: Vec::new(),
            is_due: vec![false; connections],
            only_room: only_rooms(plan, connections),
            turns: turns(plan),
            next: 0,
            started_ns: now_ns(),
        }
    }

    fn on_ack(&mut self, rooms: &mut Rooms, connection: u32, at: u64) {
        let waiting = &mut self.unacknowledged[connection as usize];
        *waiting = waiting.saturating_sub(1);
        if let Some(room) = self.only_room[connection as usize] {
            rooms.on_ack(room, at);
        }
    }

    /// Publishes what is due now. `touched`: rooms to look at, of a closed loop.
    fn publish<A: Adapter>(
        &mut self,
        engine: &mut Engine<A>,
        rooms: &mut Rooms,
        touched: &mut Vec<u32>,
        now: u64,
    ) {
        match self.plan.pace {
            Pace::Closed { window, whole } => {
                rooms.take_touched(touched);
                touched.retain(|room| {
                    if whole && rooms.in_flight(*room) > 0 {
                        return false;
                    }
                    while rooms.in_flight(*room) < window as usize {
                        if !self.publish_one(engine, rooms, *room, now) {
                            return true;
                        }
                    }
                    false
                });
            }
            Pace::Acknowledged { window, .. } => {
                let mut turns = std::mem::take(&mut self.turns);
                for (publisher, of, next) in &mut turns {
                    while self.unacknowledged[*publisher as usize] < window {
                        self.publish_one(engine, rooms, of[*next], now);
                        *next = (*next + 1) % of.len();
                    }
                }
                self.turns = turns;
            }
            Pace::Open { per_second } => loop {
                let intended = self.started_ns + (self.next as f64 / per_second * 1e9) as u64;
                let room = self.plan.order[(self.next % self.plan.order.len() as u64) as usize];
                if intended > now || !self.publish_one(engine, rooms, room, intended) {
                    break;
                }
                self.next += 1;
            },
        }
    }

    /// Publishes one message, unless too many of its publisher are not acknowledged yet.
    fn publish_one<A: Adapter>(
        &mut self,
        engine: &mut Engine<A>,
        rooms: &mut Rooms,
        room: u32,
        intended_ns: u64,
    ) -> bool {
        let publisher = self.plan.publishers[room as usize];
        if self.plan.is_acknowledged || matches!(self.plan.pace, Pace::Acknowledged { .. }) {
            let waiting = &mut self.unacknowledged[publisher as usize];
            if *waiting >= UNACKNOWLEDGED_MAX {
                return false;
            }
            *waiting += 1;
        }
        rooms.publish(room, intended_ns, &mut self.body);
        self.nth[room as usize] += 1;
        let (adapter, out) = engine.outgoing(publisher);
        adapter.publish(publisher, room, self.nth[room as usize], &self.body, out);
        if !std::mem::replace(&mut self.is_due[publisher as usize], true) {
            self.due.push(publisher);
        }
        true
    }

    fn flush<A: Adapter>(&mut self, engine: &mut Engine<A>) -> Result<()> {
        for publisher in self.due.drain(..) {
            self.is_due[publisher as usize] = false;
            engine.flush(publisher)?;
        }
        Ok(())
    }
}

/// Echoes: every connection of `of` has one under way, all the time.
///
/// # Errors
/// A connection ended, or answers are missing.
pub fn echo<A: Adapter>(
    engine: &mut Engine<A>,
    of: std::ops::Range<u32>,
    warm_up: Duration,
    window: Duration,
    at_edge: &mut dyn FnMut() -> Result<()>,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Seen> {
    let mut sent: Vec<u64> = vec![0; engine.connections().len()];
    let mut answered: Vec<u32> = of.clone().collect();
    let mut under_way = 0usize;
    let (mut deliveries, mut latencies) = (0u64, histogram());
    let begin = now_ns() + warm_up.as_nanos() as u64;
    let end = begin + window.as_nanos() as u64;
    let mut opened: Option<(u64, u64, u64)> = None;
    let mut seen: Option<Seen> = None;
    let mut last_change = now_ns();
    loop {
        let now = now_ns();
        if opened.is_none() && now >= begin {
            deliveries = 0;
            latencies.reset();
            at_edge()?;
            opened = Some((now_ns(), engine.waited_ns, engine.received_bytes));
        }
        if let (None, Some((opened_ns, waited_ns, received_bytes))) = (&seen, opened)
            && now >= end
        {
            let window_ns = now_ns() - opened_ns;
            at_edge()?;
            seen = Some(Seen {
                deliveries,
                publishes: deliveries,
                window_ns,
                latencies: std::mem::replace(&mut latencies, histogram()),
                busy_share: 1.0 - (engine.waited_ns - waited_ns) as f64 / window_ns as f64,
                received_bytes: engine.received_bytes - received_bytes,
            });
        }
        if seen.is_none() {
            for connection in answered.drain(..) {
                sent[connection as usize] = now_ns();
                let (adapter, out) = engine.outgoing(connection);
                adapter.echo(u64::from(connection), out);
                engine.flush(connection)?;
                under_way += 1;
            }
        }
        if let Some(seen) = &seen
            && under_way == 0
        {
            return Ok(seen.clone());
        }
        engine.turn(Some(Duration::from_millis(1)), &mut |_, connection, item, at| {
            if let Item::Echo(_) = item {
                latencies.saturating_record(at.saturating_sub(sent[connection as usize]));
                deliveries += 1;
                under_way -= 1;
                answered.push(connection);
                last_change = at;
            }
            Ok(())
        })?;
        if now.saturating_sub(last_change) > 1_000_000_000 {
            check()?;
            if now - last_change > PATIENCE_NS {
                return Err(Fault::Server(format!("{under_way} answers are missing after 20 s of silence")));
            }
        }
    }
}
