//! Who does not speak TLS, or not well.

use std::io::{Read, Write};
use std::net::TcpStream;

use ringwire_protocol::message::ServerFrame;

use crate::client::{self, Files, Peer, ask, sum};
use crate::support::{DRIVERS, PATIENCE, Raw, Server};

fn start(driver: &str, data: &std::path::Path, extra: &[&str]) -> (Server, Peer) {
    let (server, files) = client::start(data, &[&["--driver", driver][..], extra].concat());
    (server, Peer::new(&files))
}

#[test]
fn http_without_tls_is_told_so_in_plain_words() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let (server, _) = start(driver, data.path(), &[]);
        let answer = String::from_utf8(ask(server.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{driver}: {answer}");
    }
}

#[test]
fn garbage_and_greetings_that_do_not_end_are_cut_and_disturb_nobody() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let (server, peer) = start(driver, data.path(), &["--set", "sessions.handshake_timeout=3s"]);
        let mut bystander = peer.sign_in(&server, "bystander");
        bystander.join("quiet");
        // An alert (21) says why.
        let address = server.address;
        let asked = [&[0u8; 600][..], &[22, 3, 1, 0xff, 0xff, 9], b"ssh-2.0-client\r\n"]
            .map(|garbage| std::thread::spawn(move || (garbage, ask(address, garbage))));
        for asked in asked {
            let (garbage, answer) = asked.join().unwrap();
            assert_eq!(answer.first(), Some(&21), "{driver}: {garbage:?}");
        }
        // Cut short, and dripping: the time-out ends both.
        let connect = || {
            let stream = TcpStream::connect(server.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        };
        let greeting = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
        let (mut silent, mut cut, mut dripping) = (connect(), connect(), connect());
        cut.write_all(&greeting).unwrap();
        for byte in greeting.iter().chain([0; 100].iter()) {
            if dripping.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        for stream in [&mut silent, &mut cut, &mut dripping] {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.is_empty(), "{driver}");
        }
        // Shaken hands, and then nothing: the same time-out.
        let mut idle = peer.try_connect(&server).unwrap();
        let mut rest = Vec::new();
        let _ = idle.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{driver}");
        bystander.publish("quiet", 1, b"still here");
        bystander.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
    }
}

#[test]
fn damage_in_a_session_closes_it_and_only_it() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let (server, peer) = start(driver, data.path(), &[]);
        let mut bystander = peer.sign_in(&server, "bystander");
        let mut broken = peer.sign_in(&server, "broken");
        broken.stream.sock.write_all(&[23, 3, 3, 0, 32]).unwrap();
        broken.stream.sock.write_all(&[7; 32]).unwrap();
        let mut rest = Vec::new();
        broken.stream.sock.read_to_end(&mut rest).unwrap();
        assert!(!rest.is_empty(), "{driver}: an alert, sealed");
        bystander.join("quiet");
    }
}

#[test]
fn a_reader_that_pauses_misses_nothing() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        // One shard: another one that is late would bring all messages in one turn, and that is too much at once.
        let (server, peer) = start(driver, data.path(), &["--shards", "1"]);
        let (mut alice, mut slow) = (peer.sign_in(&server, "alice"), peer.sign_in(&server, "slow"));
        alice.join("lobby");
        slow.join("lobby");
        // More than the kernel takes: ciphertext waits, and then messages are left out and told by their head.
        let body = vec![b'y'; 30_000];
        let count = 60;
        for nth in 1..=count {
            alice.publish("lobby", nth, &body);
            alice.next_where(|frame| matches!(frame, ServerFrame::Ack(ack) if ack.client_sequence == nth));
        }
        assert!(
            sum(&server, &peer, "ringwire_messages_demoted_total", &[]) > 0,
            "{driver}: it was never stalled"
        );
        let mut newest = 0;
        while newest < count {
            match slow.next().get() {
                ServerFrame::Message(message) => newest = newest.max(message.sequence - 2),
                ServerFrame::Head(head) => newest = newest.max(head.head - 2),
                _ => {}
            }
        }
        assert!(slow.history("lobby").len() as u64 >= count, "{driver}");
    }
}

#[test]
fn a_wrong_protocol_is_refused_by_its_alert() {
    let data = tempfile::tempdir().unwrap();
    let (server, _) = start("auto", data.path(), &[]);
    let files = Files { certificate: data.path().join("certificate.pem"), key: data.path().join("key.pem") };
    let script = "
context.set_alpn_protocols(['h2'])
try:
    fetch(None)
except ssl.SSLError as error:
    print(error)
";
    let said = crate::client::python(&server, &files, script);
    assert!(said.contains("no application protocol"), "{said}");
    // And who speaks no TLS at all sees no frames of it.
    let mut raw = Raw::connect_tcp(server.address);
    raw.stream.write_all(b"POST /v1/ws HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    raw.stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("this port speaks TLS"), "{answer}");
}
