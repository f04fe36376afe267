//! Two threads, small rings, many rounds: what the model cannot see because it has one thread.

#![allow(clippy::disallowed_methods, reason = "a test has threads, files and clocks of its own")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::counted::Counted;
use crate::{Full, ring};

/// Sends `count` values in batches of `batch` through a ring of `capacity` and checks that they come out
/// whole, in order and once.
fn check(capacity: usize, batch: usize, count: usize) {
    let alive = Arc::new(AtomicUsize::new(0));
    let (mut sender, mut receiver) = ring(capacity);
    let counter = Arc::clone(&alive);
    let writer = thread::spawn(move || {
        for number in 0..count {
            // Boxed, so that a value taken before it was whole is a wild pointer and not just a wrong number.
            let mut value = Box::new(Counted::new(number, &counter));
            while let Err(Full(back)) = sender.try_send(value) {
                value = back;
                thread::yield_now();
            }
            if number % batch == batch - 1 {
                sender.flush();
            }
        }
    });
    let mut next = 0;
    while !receiver.is_closed() {
        match receiver.recv() {
            Some(value) => {
                assert_eq!(value.number, next, "ring of {capacity}, batches of {batch}");
                next += 1;
            }
            None => thread::yield_now(),
        }
    }
    writer.join().expect("the writer does not panic");
    assert_eq!(next, count);
    assert_eq!(receiver.statistics().sent, count as u64);
    drop(receiver);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn two_threads_keep_order_and_lose_nothing() {
    for (capacity, batch, count) in [(1, 1, 5_000), (2, 3, 20_000), (8, 5, 100_000), (1024, 128, 300_000)] {
        check(capacity, batch, count);
    }
}

#[test]
fn a_receiver_that_goes_in_the_middle_leaks_nothing() {
    for taken in 0..200 {
        let alive = Arc::new(AtomicUsize::new(0));
        let (mut sender, mut receiver) = ring(4);
        let counter = Arc::clone(&alive);
        let writer = thread::spawn(move || {
            for number in 0.. {
                if sender.is_closed() {
                    break;
                }
                if sender.try_send(Counted::new(number, &counter)).is_err() {
                    thread::yield_now();
                }
                sender.flush();
            }
        });
        let mut got = 0;
        while got < taken {
            if receiver.recv().is_some() {
                got += 1;
            } else {
                thread::yield_now();
            }
        }
        drop(receiver);
        writer.join().expect("the writer sees that it is alone");
        assert_eq!(alive.load(Ordering::Relaxed), 0, "after {taken} values");
    }
}
