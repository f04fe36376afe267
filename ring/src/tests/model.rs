//! Against a `VecDeque` and a counter: the same random calls to both, the same answers from both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::counted::Counted;
use crate::ring;

/// What the ring is, said slowly.
struct Model {
    values: VecDeque<usize>,
    /// How many at the front are visible.
    visible: usize,
    untold: bool,
    capacity: usize,
    quarter: usize,
    /// Taken since room was last given back.
    withheld: usize,
    sent: u64,
    full: u64,
}

impl Model {
    fn new(capacity: usize) -> Self {
        let quarter = (capacity / 4).max(1);
        let values = VecDeque::new();
        Self { values, visible: 0, untold: false, capacity, quarter, withheld: 0, sent: 0, full: 0 }
    }

    fn room(&self) -> usize {
        self.capacity - self.values.len() - self.withheld
    }

    fn publish(&mut self) {
        let hidden = self.values.len() - self.visible;
        self.sent += hidden as u64;
        self.visible += hidden;
        self.untold |= hidden > 0;
    }

    fn send(&mut self, value: usize) -> bool {
        if self.room() == 0 {
            self.publish();
            self.full += 1;
            return false;
        }
        self.values.push_back(value);
        if self.values.len() - self.visible >= self.quarter {
            self.publish();
        }
        true
    }

    fn flush(&mut self) -> bool {
        self.publish();
        std::mem::take(&mut self.untold)
    }
}

/// splitmix64: enough for a schedule, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("below n")
    }
}

fn check(seed: u64) {
    let mut random = Random(seed);
    let capacity = 1 << random.below(7);
    // Some schedules send more than they take, some the other way round.
    let bias = 1 + random.below(5);
    let alive = Arc::new(AtomicUsize::new(0));
    let (mut sender, mut receiver) = ring::<Counted>(capacity);
    let mut model = Model::new(capacity);
    // The receiver's cached batch decides when it gives room back; the model has to know its end.
    let mut batch = 0;
    for step in 0..2_000 {
        match random.below(4 + bias) {
            0 => assert_eq!(sender.flush(), model.flush(), "flush, seed {seed} step {step}"),
            1 | 2 => {
                let got = receiver.recv().map(|value| value.number);
                let expected = (model.visible > 0).then(|| model.values.pop_front()).flatten();
                assert_eq!(got, expected, "recv, seed {seed} step {step}");
                if got.is_some() {
                    if batch == 0 {
                        batch = model.visible;
                    }
                    model.visible -= 1;
                    batch -= 1;
                    model.withheld += 1;
                    if batch == 0 || model.withheld >= model.quarter {
                        model.withheld = 0;
                    }
                }
            }
            3 => assert_eq!(sender.free(), model.room(), "free, seed {seed} step {step}"),
            _ => {
                let taken = sender.try_send(Counted::new(step, &alive)).is_ok();
                assert_eq!(taken, model.send(step), "try_send, seed {seed} step {step}");
            }
        }
        assert_eq!(receiver.is_empty(), model.visible == 0, "is_empty, seed {seed} step {step}");
        assert_eq!(alive.load(Ordering::Relaxed), model.values.len(), "alive, seed {seed} step {step}");
    }
    let statistics = sender.statistics();
    assert_eq!((statistics.sent, statistics.full), (model.sent, model.full), "seed {seed}");
    if random.below(2) == 0 {
        drop(sender);
        drop(receiver);
    } else {
        drop(receiver);
        drop(sender);
    }
    assert_eq!(alive.load(Ordering::Relaxed), 0, "leaked, seed {seed}");
}

#[test]
fn the_ring_is_a_queue_with_a_hidden_batch() {
    for seed in 0..400 {
        check(seed);
    }
}
