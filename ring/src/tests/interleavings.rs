//! Every interleaving of two threads, with loom: `cargo xtask loom`.
//!
//! The last tests plant a bug each and must fail, so that a loom run that cannot see anything is noticed.

use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, fence};
use loom::thread;

use crate::state::State;
use crate::{Receiver, Sender, ends, ring};

/// Tries `attempts` times to send the next number; gives how many were taken. No waiting loop: loom tries
/// the schedules, and a loop that waits would make their number explode without showing anything new.
fn send_some(sender: &mut Sender<usize>, attempts: usize, flush_each: bool) -> usize {
    let mut sent = 0;
    for _ in 0..attempts {
        if sender.try_send(sent).is_ok() {
            sent += 1;
        }
        if flush_each {
            sender.flush();
        }
    }
    sent
}

/// Tries `attempts` times to take the next number; gives the one after the last it got.
fn receive_some(receiver: &mut Receiver<usize>, attempts: usize, mut next: usize) -> usize {
    for _ in 0..attempts {
        if let Some(n) = receiver.recv() {
            assert_eq!(n, next, "order");
            next += 1;
        }
    }
    next
}

/// Both ends at work at once, then the rest after the sender is gone.
fn exchange(capacity: usize, sends: usize, receives: usize, flush_each: bool) {
    loom::model(move || {
        let (mut sender, mut receiver) = ring(capacity);
        let writer = thread::spawn(move || send_some(&mut sender, sends, flush_each));
        let next = receive_some(&mut receiver, receives, 0);
        let sent = writer.join().unwrap();
        assert_eq!(
            receive_some(&mut receiver, capacity, next),
            sent,
            "what was taken from the sender arrives"
        );
        assert!(receiver.is_closed());
    });
}

#[test]
fn a_ring_of_one_keeps_order() {
    exchange(1, 4, 4, true);
}

#[test]
fn a_ring_of_two_keeps_order() {
    exchange(2, 5, 4, true);
}

#[test]
fn batches_keep_order() {
    exchange(8, 5, 4, false);
}

#[test]
fn closed_is_not_said_before_the_last_value() {
    loom::model(|| {
        let (mut sender, mut receiver) = ring(2);
        let writer = thread::spawn(move || sender.try_send(1).unwrap());
        assert!(!receiver.is_closed(), "a value is still due");
        let early = receiver.recv();
        assert!(!receiver.is_closed() || early.is_some());
        writer.join().unwrap();
        assert_eq!(early.or_else(|| receiver.recv()), Some(1));
        assert!(receiver.is_closed());
    });
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
            for _ in 0..2 {
                // Refused or taken, each is dropped by somebody.
                drop(sender.try_send(Counted(Arc::clone(&counter))));
                sender.flush();
            }
        });
        drop(receiver.recv());
        drop(receiver);
        writer.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 2);
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
        let (sender, receiver) = ends(state);
        // Not dropped when loom panics: dropping looks at the same slots, and a second panic would abort.
        let mut sender = ManuallyDrop::new(sender);
        let mut receiver = ManuallyDrop::new(receiver);
        let writer = thread::spawn(move || {
            send_some(&mut sender, 3, true);
            drop(ManuallyDrop::into_inner(sender));
        });
        receive_some(&mut receiver, 3, 0);
        writer.join().unwrap();
        drop(ManuallyDrop::into_inner(receiver));
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
