//! The rings between shards, as one shard sees them.
//!
//! ```text
//!            requests                 deliveries
//!   shard A ==========> shard B      shard A <========== shard B
//!   full: rejected, the client       full: wait in B's backlog, and B takes
//!   sends again                      no requests until the backlog is short
//! ```
//!
//! Owner: the shard. Lifetime: the process. What goes to the own shard waits in plain queues that the same
//! turn empties. Who may wait on whom: requests on deliveries, deliveries on nothing.

use std::collections::VecDeque;

use ringwire_driver::{Operation, Operations};
use ringwire_ring::{Receiver, Sender, ring};

use super::letter::{Delivery, Request, ShardIndex};
use crate::limits::Limits;
use crate::shard::Levels;

/// Both directions to one other shard.
struct Neighbour {
    requests_out: Sender<Request>,
    requests_in: Receiver<Request>,
    deliveries_out: Sender<Delivery>,
    deliveries_in: Receiver<Delivery>,
    /// What must arrive and found the ring full. Later requests wait behind it.
    requests_waiting: VecDeque<Request>,
    deliveries_waiting: VecDeque<Delivery>,
}

/// One shard's ends of all rings.
pub struct Mesh {
    me: ShardIndex,
    neighbours: Vec<Option<Neighbour>>,
    own_requests: VecDeque<Request>,
    own_deliveries: VecDeque<Delivery>,
    backlog: usize,
    backlog_max: usize,
    request_ring: usize,
    /// Where the next turn starts to look, so that no neighbour is always first.
    next: usize,
    /// A bug for the simulation to find: a delivery whose ring is full is thrown away.
    #[cfg(feature = "planted-bugs")]
    pub drops_when_full: bool,
}

/// Makes the meshes of `shards` shards, connected to each other.
pub fn meshes(shards: ShardIndex, limits: &Limits) -> Vec<Mesh> {
    let mut rows: Vec<Vec<Option<Neighbour>>> = Vec::new();
    for _ in 0..shards {
        let mut row = Vec::new();
        for earlier in &mut rows {
            let (theirs, ours) = neighbours(limits);
            earlier.push(Some(theirs));
            row.push(Some(ours));
        }
        row.push(None);
        rows.push(row);
    }
    rows.into_iter()
        .zip(0..)
        .map(|(neighbours, me)| Mesh {
            me,
            neighbours,
            own_requests: VecDeque::new(),
            own_deliveries: VecDeque::new(),
            backlog: 0,
            backlog_max: limits.delivery_backlog,
            request_ring: limits.request_ring,
            next: 0,
            #[cfg(feature = "planted-bugs")]
            drops_when_full: false,
        })
        .collect()
}

/// The four rings between two shards, as each of them sees them.
fn neighbours(limits: &Limits) -> (Neighbour, Neighbour) {
    let (requests_out, their_requests_in) = ring(limits.request_ring);
    let (their_requests_out, requests_in) = ring(limits.request_ring);
    let (deliveries_out, their_deliveries_in) = ring(limits.delivery_ring);
    let (their_deliveries_out, deliveries_in) = ring(limits.delivery_ring);
    (
        Neighbour::new(requests_out, requests_in, deliveries_out, deliveries_in),
        Neighbour::new(their_requests_out, their_requests_in, their_deliveries_out, their_deliveries_in),
    )
}

impl Neighbour {
    fn new(
        requests_out: Sender<Request>,
        requests_in: Receiver<Request>,
        deliveries_out: Sender<Delivery>,
        deliveries_in: Receiver<Delivery>,
    ) -> Self {
        Neighbour {
            requests_out,
            requests_in,
            deliveries_out,
            deliveries_in,
            requests_waiting: VecDeque::new(),
            deliveries_waiting: VecDeque::new(),
        }
    }
}

impl Mesh {
    /// How many shards there are.
    pub fn shards(&self) -> ShardIndex {
        self.neighbours.len() as ShardIndex
    }

    /// This shard.
    pub fn me(&self) -> ShardIndex {
        self.me
    }

    /// Sends a request to the shard that owns its conversation, or is home to its user.
    ///
    /// # Errors
    /// Gives the request back where the ring is full: the client is told `busy`. One that must arrive is never
    /// given back.
    pub fn request(&mut self, owner: ShardIndex, request: Request) -> Result<(), Request> {
        let Some(neighbour) = &mut self.neighbours[usize::from(owner)] else {
            assert_eq!(owner, self.me, "only the own shard has no ring");
            if self.own_requests.len() >= self.request_ring && !request.must_arrive() {
                return Err(request);
            }
            self.own_requests.push_back(request);
            return Ok(());
        };
        let refused = if neighbour.requests_waiting.is_empty() {
            match neighbour.requests_out.try_send(request) {
                Ok(()) => return Ok(()),
                Err(full) => full.0,
            }
        } else {
            request
        };
        if refused.must_arrive() {
            neighbour.requests_waiting.push_back(refused);
            return Ok(());
        }
        Err(refused)
    }

    /// Whether so much waits for another shard that nothing is to be taken up that makes more of it.
    pub fn is_behind(&self) -> bool {
        let waiting = self.neighbours.iter().flatten().map(|neighbour| neighbour.requests_waiting.len());
        waiting.max().unwrap_or(0) >= self.request_ring
    }

    /// Whether a request to that shard would be refused, or wait with this one.
    pub fn would_wait(&self, shard: ShardIndex) -> bool {
        match &self.neighbours[usize::from(shard)] {
            Some(neighbour) => !neighbour.requests_waiting.is_empty(),
            None => self.own_requests.len() >= self.request_ring,
        }
    }

    /// Sends a request that must arrive.
    pub fn tell(&mut self, shard: ShardIndex, request: Request) {
        assert!(request.must_arrive(), "what may be refused has somebody to be told");
        let refused = self.request(shard, request);
        assert!(refused.is_ok(), "what must arrive is never refused");
    }

    /// Sends a delivery; waits in the backlog where the ring is full.
    pub fn deliver(&mut self, target: ShardIndex, delivery: Delivery) {
        let Some(neighbour) = &mut self.neighbours[usize::from(target)] else {
            assert_eq!(target, self.me, "only the own shard has no ring");
            self.own_deliveries.push_back(delivery);
            return;
        };
        let waiting = if neighbour.deliveries_waiting.is_empty() {
            match neighbour.deliveries_out.try_send(delivery) {
                Ok(()) => return,
                Err(full) => full.0,
            }
        } else {
            delivery
        };
        #[cfg(feature = "planted-bugs")]
        if self.drops_when_full {
            return;
        }
        neighbour.deliveries_waiting.push_back(waiting);
        self.backlog += 1;
    }

    /// Sends a delivery that may be lost; whether it was taken.
    pub fn try_deliver(&mut self, target: ShardIndex, delivery: Delivery) -> bool {
        match &mut self.neighbours[usize::from(target)] {
            Some(neighbour) if neighbour.deliveries_waiting.is_empty() => {
                neighbour.deliveries_out.try_send(delivery).is_ok()
            }
            _ => false,
        }
    }

    /// Whether deliveries wait so long a queue that no further requests may be taken.
    pub fn is_congested(&self) -> bool {
        self.backlog >= self.backlog_max
    }

    /// Whether letters wait for a full ring; then the shard may not sleep for long.
    pub fn has_backlog(&self) -> bool {
        self.backlog > 0
            || self.neighbours.iter().flatten().any(|neighbour| !neighbour.requests_waiting.is_empty())
    }

    /// The next request, own ones first, at most `per_neighbour` from each ring in a turn.
    pub fn take_requests(&mut self, per_neighbour: usize, into: &mut Vec<Request>) {
        if self.is_congested() {
            return;
        }
        into.extend(self.own_requests.drain(..));
        let count = self.neighbours.len();
        for step in 0..count {
            let at = (self.next + step) % count;
            if let Some(neighbour) = &mut self.neighbours[at] {
                for _ in 0..per_neighbour {
                    let Some(request) = neighbour.requests_in.recv() else { break };
                    into.push(request);
                }
            }
        }
        self.next = (self.next + 1) % count;
    }

    /// Deliveries for this shard, at most `per_neighbour` from each ring; all of the own ones.
    pub fn take_deliveries(&mut self, per_neighbour: usize, into: &mut Vec<Delivery>) {
        into.extend(self.own_deliveries.drain(..));
        for neighbour in self.neighbours.iter_mut().flatten() {
            for _ in 0..per_neighbour {
                let Some(delivery) = neighbour.deliveries_in.recv() else { break };
                into.push(delivery);
            }
        }
    }

    /// Says what waits.
    pub fn measure(&self, levels: &mut Levels) {
        let waiting = self.neighbours.iter().flatten().map(|neighbour| neighbour.requests_waiting.len());
        levels.requests_waiting = waiting.sum();
        levels.deliveries_waiting = self.backlog;
        levels.own_requests = self.own_requests.len();
    }

    /// Whether anything waits to be taken.
    pub fn has_letters(&mut self) -> bool {
        let congested = self.is_congested();
        !self.own_deliveries.is_empty()
            || (!congested && !self.own_requests.is_empty())
            || self.neighbours.iter_mut().flatten().any(|neighbour| {
                !neighbour.deliveries_in.is_empty() || (!congested && !neighbour.requests_in.is_empty())
            })
    }

    /// Publishes what was written this turn, and rings those who have something new.
    pub fn flush(&mut self, operations: &mut Operations) {
        for (shard, neighbour) in self.neighbours.iter_mut().enumerate() {
            let Some(neighbour) = neighbour else { continue };
            while let Some(request) = neighbour.requests_waiting.pop_front() {
                if let Err(full) = neighbour.requests_out.try_send(request) {
                    neighbour.requests_waiting.push_front(full.0);
                    break;
                }
            }
            while let Some(delivery) = neighbour.deliveries_waiting.pop_front() {
                if let Err(full) = neighbour.deliveries_out.try_send(delivery) {
                    neighbour.deliveries_waiting.push_front(full.0);
                    break;
                }
                self.backlog -= 1;
            }
            let requests = neighbour.requests_out.flush();
            let deliveries = neighbour.deliveries_out.flush();
            if requests || deliveries {
                operations.push(Operation::Ring { shard });
            }
        }
    }
}
