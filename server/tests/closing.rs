//! How connections end, one by one and all together, against the real binary.

#![allow(clippy::disallowed_methods, reason = "tests use sockets and wait")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringwire_protocol::code::Code;
use ringwire_protocol::message::ServerFrame;
use ringwire_protocol::ws::{self, Opcode};
use support::{DRIVERS, End, PATIENCE, Raw, Server};

/// Nobody who has heard both closes waits this long; who has heard one is given two seconds.
const AT_ONCE: Duration = Duration::from_millis(1500);

fn say_close(raw: &mut Raw) {
    let mut close = Vec::new();
    ws::write_close(&mut close, Code::NORMAL.number(), "", Some([1, 2, 3, 4]));
    raw.bytes(&close);
}

/// Waits for the end of TCP, and says how long that took.
fn until_tcp_ends(raw: &mut Raw) -> Duration {
    let began = Instant::now();
    let mut rest = [0; 4096];
    while raw.stream.read(&mut rest).is_ok_and(|read| read > 0) {}
    began.elapsed()
}

#[test]
fn tcp_ends_as_soon_as_both_sides_have_said_close() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().expect("a directory");
        let server = Server::start(data.path(), &["--driver", driver]);
        // The client first.
        let mut alice = Raw::sign_in(server.address, "alice");
        alice.join("room");
        say_close(&mut alice);
        assert_eq!(alice.next_or_end().err(), Some(End::Close(1000)), "{driver}");
        let took = until_tcp_ends(&mut alice);
        assert!(took < AT_ONCE, "{driver}: {took:?}");
        // The server first; what the client had on its way is thrown away, also where it comes in pieces.
        let mut bob = Raw::sign_in(server.address, "bob");
        bob.join("room");
        let mut text = Vec::new();
        ws::write_message(&mut text, Opcode::Text, b"hello", Some([1, 2, 3, 4]));
        ws::write_message(&mut text, Opcode::Binary, &[7; 500], Some([1, 2, 3, 4]));
        let (now, later) = text.split_at(text.len() - 100);
        bob.bytes(now);
        let (rejected, end) = bob.until_end();
        assert_eq!(rejected.map(|(code, _)| code), Some(Code::TEXT_MESSAGE), "{driver}");
        assert_eq!(end, End::Close(Code::TEXT_MESSAGE.number()), "{driver}");
        bob.bytes(later);
        say_close(&mut bob);
        let took = until_tcp_ends(&mut bob);
        assert!(took < AT_ONCE, "{driver}: {took:?}");
        // Who does not answer is waited for, and not for ever.
        let mut carol = Raw::sign_in(server.address, "carol");
        carol.bytes(&text);
        carol.until_end();
        let took = until_tcp_ends(&mut carol);
        assert!(took > Duration::from_millis(900) && took < Duration::from_secs(10), "{driver}: {took:?}");
    }
}

/// How many clients there are: `RINGWIRE_CROWD`, else few enough for every test run.
fn crowd_size() -> u32 {
    std::env::var("RINGWIRE_CROWD").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[test]
fn a_drain_is_over_when_the_clients_have_gone() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().expect("a directory");
        let extra = ["--driver", driver, "--shards", "2", "--set", "serve.drain=20s"];
        let mut server = Server::start(data.path(), &extra);
        let mut crowd: Vec<Raw> =
            (0..crowd_size()).map(|nth| Raw::sign_in(server.address, &format!("client {nth}"))).collect();
        let began = Instant::now();
        server.signal("TERM");
        for raw in &mut crowd {
            raw.next_where(|frame| matches!(frame, ServerFrame::GoAway(_)));
            say_close(raw);
        }
        for raw in &mut crowd {
            assert_eq!(raw.next_or_end().err(), Some(End::Close(1000)), "{driver}");
            until_tcp_ends(raw);
        }
        let gone = began.elapsed();
        assert_eq!(server.wait(), Some(0));
        println!("{driver}: {} clients gone after {gone:?}, ended after {:?}", crowd.len(), began.elapsed());
        assert!(began.elapsed() < AT_ONCE + gone, "{driver}: {:?}", began.elapsed());
        assert!(gone < AT_ONCE + Duration::from_millis(20 * u64::from(crowd_size())), "{driver}: {gone:?}");
    }
}

#[test]
fn who_has_no_session_when_a_drain_begins_is_told_so_at_once() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().expect("a directory");
        let extra = ["--driver", driver, "--shards", "1", "--set", "serve.drain=30s"];
        let mut server = Server::start(data.path(), &extra);
        let (mut silent, mut greeted) = (Raw::connect_tcp(server.address), Raw::connect(server.address));
        let mut hanging = Raw::connect_tcp(server.address);
        hanging.bytes(b"GET /v1/ws HT");
        // They come while the server has no turn, and so has the signal.
        std::thread::sleep(Duration::from_millis(100));
        server.signal("STOP");
        let mut waiting: Vec<TcpStream> =
            (0..300).map(|_| TcpStream::connect(server.address).expect("it listens")).collect();
        server.signal("TERM");
        let began = Instant::now();
        server.signal("CONT");
        for raw in [&mut silent, &mut hanging] {
            let mut answer = [0; 1024];
            let length = raw.stream.read(&mut answer).expect("an answer");
            let answer = String::from_utf8_lossy(&answer[..length]);
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 1\r\n"), "{answer}");
        }
        let (rejected, end) = greeted.until_end();
        assert_eq!(rejected.map(|(code, _)| code), Some(Code::SHUTTING_DOWN), "{driver}");
        assert_eq!(end, End::Close(Code::SHUTTING_DOWN.number()), "{driver}");
        let mut told = 0;
        for stream in &mut waiting {
            stream.set_read_timeout(Some(PATIENCE)).expect("settable");
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
            let mut answer = [0; 1024];
            let length = stream.read(&mut answer).unwrap_or(0);
            assert!(length == 0 || answer.starts_with(b"HTTP/1.1 503 "), "{driver}: {answer:?}");
            told += usize::from(length > 0);
        }
        assert!(told >= 60, "{driver}: {told} of those who waited are told, as many as are told at once");
        assert!(began.elapsed() < AT_ONCE, "{driver}: {:?}", began.elapsed());
        let refused = TcpStream::connect(server.address).expect_err("nobody listens any more");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{driver}");
        drop((silent, hanging, greeted, waiting));
        assert_eq!(server.wait(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(10), "{driver}: {:?}", began.elapsed());
    }
}
