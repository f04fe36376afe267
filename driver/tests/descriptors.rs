//! When descriptors run out. A process of its own, because the limit is the process's; one test, because
//! every descriptor counts.

#![expect(unsafe_code, reason = "setrlimit")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has threads, files and clocks of its own")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringwire_driver::{Completion, Config, Driver, Kind, OpenError, Operations, listen, open};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sets the soft limit of descriptors; what it was.
fn limit_descriptors(to: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing and reading one rlimit.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = to;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        before
    }
}

/// The lowest descriptor that is free, so a limit of this is a limit of no more.
fn next_descriptor() -> u64 {
    let file = std::fs::File::open("/dev/null").unwrap();
    file.as_raw_fd() as u64
}

/// Accepts one connection while the process has no descriptor to spare; how often accepting was said to
/// have failed, and how often it paused.
fn accept_without_descriptors(kind: Kind) -> Option<(usize, u64)> {
    let listener = listen::bind((Ipv4Addr::LOCALHOST, 0).into(), &listen::Options::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config { listener: Some(listener), connections_max: 64, ..Config::default() };
    let mut driver = match open(kind, config) {
        Ok(opened) => opened.driver,
        Err(OpenError::Uring(reason)) => {
            eprintln!("not run on io_uring: {reason}");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    // Three, so that a storm of failures would show.
    let mut peers: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let before = limit_descriptors(next_descriptor());
    let (mut failed, mut accepted) = (0, Vec::new());
    let mut operations = Operations::default();
    let start = Instant::now();
    while accepted.len() < peers.len() {
        assert!(start.elapsed() < PATIENCE, "accepting was not taken up again");
        driver
            .wait(Some(Duration::from_millis(20)), &mut || true, &mut |completion| match completion {
                Completion::Accepted { connection, .. } => accepted.push(connection),
                Completion::AcceptFailed { error } => {
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                    failed += 1;
                }
                other => panic!("{other:?}"),
            })
            .unwrap();
        driver.submit(&mut operations);
        // Descriptors are there again after accepting has paused some times.
        if driver.counters().accept_pauses >= 3 {
            limit_descriptors(before);
        }
    }
    limit_descriptors(before);
    for connection in &accepted {
        let payload = operations.payload(Bytes::from_static(b"welcome"));
        operations.send(*connection, payload);
    }
    driver.submit(&mut operations);
    for peer in &mut peers {
        let mut heard = [0; 7];
        peer.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"welcome");
        peer.write_all(b"thanks").unwrap();
    }
    Some((failed, driver.counters().accept_pauses))
}

#[test]
fn running_out_of_descriptors_pauses_accepting_and_is_said_once() {
    let (failed, pauses) = accept_without_descriptors(Kind::Epoll).unwrap();
    assert_eq!(failed, 1, "one outage, one report");
    assert!(pauses >= 3, "it was tried again and again: {pauses}");

    // Direct descriptors need no numbers at all.
    if let Some(outcome) = accept_without_descriptors(Kind::Uring) {
        assert_eq!(outcome, (0, 0));
    }
}
