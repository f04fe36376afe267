//! Every interleaving of two threads, with loom: `cargo xtask loom`.
//!
//! The last tests plant a bug each and must fail, so that a loom run that cannot see anything is noticed.

use std::sync::atomic::Ordering;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, fence};
use loom::thread;

use crate::state::State;
use crate::{Receiver, Sender, ends, ring};

/// Sends 0..count one by one, gives up the rest when the ring is full for too long: loom explores the
/// schedules, so a bounded number of attempts is enough and keeps the search finite.
fn send_all(sender: &mut Sender<usize>, count: usize, flush_each: bool) -> usize {
    for n in 0..count {
        let mut attempts = 0;
        while sender.try_send(n).is_err() {
            attempts += 1;
            if attempts == 3 {
                return n;
            }
            thread::yield_now();
        }
        if flush_each {
            sender.flush();
        }
    }
    sender.flush();
    count
}

/// Takes what there is, in order, until the sender is gone and everything is taken.
fn receive_all(receiver: &mut Receiver<usize>) -> usize {
    let mut next = 0;
    while !receiver.is_closed() {
        match receiver.recv() {
            Some(n) => {
                assert_eq!(n, next);
                next += 1;
            }
            None => thread::yield_now(),
        }
    }
    next
}

fn exchange(capacity: usize, count: usize, flush_each: bool) {
    loom::model(move || {
        let (mut sender, mut receiver) = ring(capacity);
        let writer = thread::spawn(move || send_all(&mut sender, count, flush_each));
        let received = receive_all(&mut receiver);
        assert_eq!(received, writer.join().unwrap());
    });
}

#[test]
fn a_ring_of_one_keeps_order() {
    exchange(1, 3, true);
}

#[test]
fn a_ring_of_two_keeps_order() {
    exchange(2, 4, true);
}

#[test]
fn batches_keep_order() {
    exchange(8, 5, false);
}

/// A value whose drops are counted with loom's own atomics.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn whichever_end_goes_first_every_value_is_dropped_once() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut sender, mut receiver) = ring(2);
        let counter = Arc::clone(&drops);
        let writer = thread::spawn(move || {
            for _ in 0..3 {
                // Refused or taken, each is dropped by somebody.
                drop(sender.try_send(Counted(Arc::clone(&counter))));
                sender.flush();
            }
        });
        drop(receiver.recv());
        drop(receiver);
        writer.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 3);
    });
}

/// The agreement of [`Sender::flush`]: either the sender sees that the receiver sleeps, or the receiver
/// sees the value. `fenced` is what the driver's bell does.
fn sleep_and_ring(fenced: bool) {
    loom::model(move || {
        let (mut sender, receiver) = ring(2);
        let sleeps = Arc::new(AtomicBool::new(false));
        let said = Arc::clone(&sleeps);
        let writer = thread::spawn(move || {
            sender.try_send(1_usize).unwrap();
            assert!(sender.flush());
            if fenced {
                fence(Ordering::SeqCst);
            }
            let rings = said.load(Ordering::Relaxed);
            (sender, rings)
        });
        sleeps.store(true, Ordering::Relaxed);
        if fenced {
            fence(Ordering::SeqCst);
        }
        let blocks = receiver.is_empty();
        let (_sender, rings) = writer.join().unwrap();
        assert!(!blocks || rings, "the receiver sleeps on a value and nobody wakes it");
    });
}

#[test]
fn nobody_sleeps_on_a_value() {
    sleep_and_ring(true);
}

#[test]
#[should_panic(expected = "nobody wakes it")]
fn planted_a_bell_without_its_fence_is_caught() {
    sleep_and_ring(false);
}

/// An exchange with one memory order weakened.
fn weakened(weaken: fn(&mut State<usize>)) {
    loom::model(move || {
        let mut state = State::new(1);
        weaken(&mut state);
        let (mut sender, mut receiver) = ends(state);
        let writer = thread::spawn(move || send_all(&mut sender, 3, true));
        receive_all(&mut receiver);
        writer.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn planted_a_relaxed_publication_is_caught() {
    weakened(|state| state.orders.publish = Ordering::Relaxed);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn planted_a_relaxed_return_of_room_is_caught() {
    weakened(|state| state.orders.free = Ordering::Relaxed);
}
