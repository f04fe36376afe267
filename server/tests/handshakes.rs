//! One address that begins too many connections, against the real binary.

#![allow(clippy::disallowed_methods, reason = "tests use sockets and wait")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ringwire_protocol::message::ServerFrame;
use support::metrics::metric;
use support::{DRIVERS, PATIENCE, Raw, Server};

const LIMITS: [&str; 6] =
    ["--shards", "1", "--set", "limits.handshakes=5", "--set", "limits.handshakes_burst=10"];

/// What comes to who asks for something, in one piece; nothing where it is cut.
fn knock(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("settable");
    // It may be closed already, and a reset is an end, too.
    let _ = stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8(answer[..length].to_vec()).expect("text")
}

#[test]
fn who_connects_too_often_is_told_when_to_come_back() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().expect("a directory");
        let server = Server::start(data.path(), &[&LIMITS[..], &["--driver", driver]].concat());
        let began = Instant::now();
        let mut alice = Raw::sign_in(server.address, "alice");
        alice.join("room");
        let answers: Vec<String> = (0..40).map(|_| knock(server.address)).collect();
        let missing = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 404 ")).count() as u128;
        let limited: Vec<&String> =
            answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 429 ")).collect();
        // Nine are left of the burst, and five come every second.
        let may_pass = 9 + began.elapsed().as_millis() / 200 + 1;
        assert!((9..=may_pass).contains(&missing), "{driver}: {missing} of {may_pass}");
        assert!(!limited.is_empty(), "{driver}");
        for answer in limited {
            assert!(answer.contains("Retry-After: 1\r\n") && answer.contains("try again in 1 s"), "{answer}");
        }
        // A flood gets no answers at all, and who is there notices nothing.
        let flood: Vec<TcpStream> =
            (0..400).filter_map(|_| TcpStream::connect(server.address).ok()).collect();
        alice.publish("room", 1, b"through it");
        alice.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
        let counted = metric(&server, "ringwire_connections_limited_total", &["over=\"tcp\""]);
        assert!(counted >= 300, "{driver}: {counted}");
        assert!(metric(&server, "ringwire_connections", &[]) < 120, "{driver}");
        drop(flood);
        assert_eq!(server.log().matches("turned away").count(), 1, "{driver}:\n{}", server.log());
        let until = Instant::now() + PATIENCE;
        while !knock(server.address).starts_with("HTTP/1.1 404 ") {
            assert!(Instant::now() < until, "{driver}: it is never over");
            std::thread::sleep(Duration::from_millis(300));
        }
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn over_tls_it_is_closed_before_anything_is_said() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().expect("a directory");
        let extra = ["--driver", driver, "--tls-dev", "--set", "plane.tls=false"];
        let server = Server::start(data.path(), &[&LIMITS[..], &extra].concat());
        let answers: Vec<String> = (0..30).map(|_| knock(server.address)).collect();
        let told = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 400 ")).count();
        assert!((10..25).contains(&told), "{driver}: {told}");
        assert!(answers.iter().all(|answer| answer.is_empty() || answer.starts_with("HTTP/1.1 400 ")));
        assert!(metric(&server, "ringwire_connections_limited_total", &["over=\"tcp\""]) >= 5, "{driver}");
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn without_a_limit_everybody_comes_in() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path(), &["--shards", "1", "--set", "limits.handshakes=0"]);
    let all: Vec<TcpStream> = (0..1500).map(|_| TcpStream::connect(server.address).expect("in")).collect();
    let until = Instant::now() + PATIENCE;
    while metric(&server, "ringwire_connections", &[]) != all.len() as u64 {
        assert!(Instant::now() < until, "they are not all in");
        std::thread::sleep(Duration::from_millis(20));
    }
}
