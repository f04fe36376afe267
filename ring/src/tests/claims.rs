//! One claim per test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::counted::Counted;
use crate::{Full, Statistics, ring};

#[test]
fn capacity_is_rounded_up_to_a_power_of_two() {
    for (asked, given) in [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1000, 1024)] {
        let (sender, receiver) = ring::<u8>(asked);
        assert_eq!((sender.capacity(), receiver.capacity()), (given, given), "asked for {asked}");
    }
}

#[test]
fn a_value_is_not_visible_before_flush() {
    let (mut sender, mut receiver) = ring(16);
    sender.try_send(1).unwrap();
    assert!(receiver.is_empty());
    assert_eq!(receiver.recv(), None);
    assert!(sender.flush());
    assert!(!receiver.is_empty());
    assert_eq!(receiver.recv(), Some(1));
    assert_eq!(receiver.recv(), None);
}

#[test]
fn a_quarter_becomes_visible_by_itself_and_flush_still_says_so() {
    let (mut sender, mut receiver) = ring(16);
    for n in 0..4 {
        assert!(receiver.is_empty());
        sender.try_send(n).unwrap();
    }
    assert!(!receiver.is_empty());
    assert!(sender.flush(), "somebody has still to ring the bell");
    assert!(!sender.flush(), "once");
    assert_eq!(std::iter::from_fn(|| receiver.recv()).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn flush_of_nothing_is_false() {
    let (mut sender, _receiver) = ring::<u8>(4);
    assert!(!sender.flush());
}

#[test]
fn a_full_ring_gives_the_value_back_and_shows_what_it_holds() {
    let (mut sender, mut receiver) = ring(4);
    for n in 0..4 {
        sender.try_send(n).unwrap();
    }
    assert_eq!(sender.try_send(9), Err(Full(9)));
    assert_eq!(sender.statistics(), Statistics { sent: 4, full: 1 });
    assert_eq!(receiver.recv(), Some(0));
    assert_eq!(sender.try_send(4), Ok(()));
    assert_eq!(std::iter::from_fn(|| receiver.recv()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(receiver.statistics(), Statistics { sent: 5, full: 1 });
}

#[test]
fn free_is_a_promise() {
    let (mut sender, mut receiver) = ring(8);
    for _ in 0..20 {
        let free = sender.free();
        for n in 0..free {
            assert_eq!(sender.try_send(n), Ok(()));
        }
        assert_eq!(sender.free(), 0);
        assert!(sender.try_send(0).is_err());
        while receiver.recv().is_some() {}
        assert_eq!(sender.free(), 8, "a drained ring is wholly free");
    }
}

#[test]
fn a_reader_that_stops_early_never_stalls_a_ring_it_has_emptied() {
    // The receiver gives room back in quarters; one that takes exactly what there is, and never sees a
    // `None`, must have given all of it back.
    for capacity in [1, 2, 4, 8, 64] {
        let (mut sender, mut receiver) = ring(capacity);
        for batch in 1..=capacity {
            for n in 0..batch {
                sender.try_send(n).unwrap();
            }
            sender.flush();
            for n in 0..batch {
                assert_eq!(receiver.recv(), Some(n));
            }
            assert_eq!(sender.free(), capacity, "batch {batch} of {capacity}");
        }
    }
}

#[test]
fn what_was_sent_outlives_the_sender() {
    let (mut sender, mut receiver) = ring(8);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert!(!receiver.is_closed());
    drop(sender);
    assert!(!receiver.is_closed(), "not before everything is taken");
    assert_eq!(receiver.recv(), Some(1));
    assert_eq!(receiver.recv(), Some(2));
    assert!(receiver.is_closed());
    assert_eq!(receiver.recv(), None);
}

#[test]
fn without_a_receiver_nothing_is_taken() {
    let (mut sender, receiver) = ring(8);
    sender.try_send(1).unwrap();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.try_send(2), Err(Full(2)));
    assert_eq!(sender.free(), 0);
    assert_eq!(sender.statistics().full, 0, "closed is not full");
}

#[test]
fn a_receiver_that_goes_drops_what_it_was_due_at_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (mut sender, mut receiver) = ring(16);
    for n in 0..10 {
        assert!(sender.try_send(Counted::new(n, &alive)).is_ok());
    }
    sender.flush();
    drop(receiver.recv());
    assert_eq!(alive.load(Ordering::Relaxed), 9);
    drop(receiver);
    assert_eq!(alive.load(Ordering::Relaxed), 0, "memory does not wait for the sender");
}

#[test]
fn the_open_batch_is_dropped_with_the_last_end() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (mut sender, receiver) = ring(16);
    assert!(sender.try_send(Counted::new(0, &alive)).is_ok());
    drop(receiver);
    assert_eq!(alive.load(Ordering::Relaxed), 1, "it was not the receiver's yet");
    drop(sender);
    assert_eq!(alive.load(Ordering::Relaxed), 0);

    let (mut sender, receiver) = ring(16);
    assert!(sender.try_send(Counted::new(0, &alive)).is_ok());
    drop(sender);
    drop(receiver);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn a_value_that_panics_when_dropped_is_dropped_once() {
    struct Grenade(Counted);
    impl Drop for Grenade {
        fn drop(&mut self) {
            assert!(self.0.number != 1 || std::thread::panicking(), "planted");
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let (mut sender, receiver) = ring(4);
    for n in 0..3 {
        assert!(sender.try_send(Grenade(Counted::new(n, &alive))).is_ok());
    }
    sender.flush();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(receiver))).is_err());
    assert_eq!(alive.load(Ordering::Relaxed), 1, "what stood behind it is still in the ring");
    drop(sender);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn values_without_size_or_with_alignment_are_fine() {
    let (mut sender, mut receiver) = ring(2);
    sender.try_send(()).unwrap();
    sender.flush();
    assert_eq!(receiver.recv(), Some(()));

    #[repr(align(128))]
    #[derive(PartialEq, Debug, Clone, Copy)]
    struct Wide([u8; 3]);
    let (mut sender, mut receiver) = ring(4);
    for n in 0..9 {
        sender.try_send(Wide([n; 3])).unwrap();
        sender.flush();
        assert_eq!(receiver.recv(), Some(Wide([n; 3])));
    }
}

#[test]
fn the_ends_may_change_threads() {
    fn is_send<T: Send>(_: &T) {}
    let (sender, receiver) = ring::<Box<[u8]>>(1);
    is_send(&sender);
    is_send(&receiver);
}

#[test]
fn errors_say_what_to_do() {
    let text = Full(1).to_string();
    assert!(text.contains("full") && text.contains("try again"), "{text}");
    assert_eq!(format!("{:?}", Full([0_u8; 900])), "Full(..)");
}
