//! What a hostile or broken client may send: each fault gets its code, the connection is closed where the
//! peer is at fault, and everybody else goes on.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::io::{Read, Write};

use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Fetch, Hello, Join, Leave, Ping, ServerFrame, View};
use support::{DRIVERS, End, Raw, Server};

/// Signs in a bystander, lets `fault` happen, and checks that the bystander is served as before.
fn beside_a_bystander(fault: impl Fn(&Server)) {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &["--driver", driver, "--shards", "2"]);
        let mut bystander = Raw::sign_in(server.address, "bystander");
        bystander.join("quiet");
        fault(&server);
        bystander.publish("quiet", 1, b"still here");
        let ack = bystander.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
        assert!(matches!(ack.get(), ServerFrame::Ack(ack) if ack.sequence == 2), "{driver}");
    }
}

/// A case: what is sent after signing in, and the code that must come back.
type Case = (&'static str, fn(&mut Raw), Code);

#[test]
fn every_fault_of_a_peer_has_its_code_and_closes_only_its_connection() {
    let cases: &[Case] = &[
        ("garbage frame", |raw| raw.binary(&[0xff; 40]), Code::BAD_FRAME),
        ("cut frame", |raw| raw.binary(&[20, 0, 0, 0, 2, 0, 0, 0, 1]), Code::BAD_FRAME),
        ("header promising too much", |raw| raw.binary(&[0, 0, 0, 1, 2, 0, 0, 0]), Code::FRAME_TOO_LARGE),
        ("unknown type", |raw| raw.binary(&[4, 0, 0, 0, 0x7e, 0, 0, 0, 0, 0, 0, 0]), Code::UNKNOWN_TYPE),
        (
            "a body of zeros",
            |raw| {
                let mut frame = Vec::new();
                Ping { token: 1 }.encode(&mut ringwire_protocol::message::Encoder::new(), &mut frame);
                frame[8..].fill(0);
                raw.binary(&frame);
            },
            Code::INVALID_BODY,
        ),
        ("a second Hello", |raw| raw.hello("dev:mallory", "mallory"), Code::UNEXPECTED_FRAME),
        (
            "a text message",
            |raw| {
                let mut out = Vec::new();
                ringwire_protocol::ws::write_message(
                    &mut out,
                    ringwire_protocol::ws::Opcode::Text,
                    b"{}",
                    Some([1; 4]),
                );
                raw.bytes(&out);
            },
            Code::TEXT_MESSAGE,
        ),
    ];
    beside_a_bystander(|server| {
        for (name, fault, code) in cases {
            let mut raw = Raw::sign_in(server.address, "mallory");
            fault(&mut raw);
            let (rejected, end) = raw.until_end();
            let (rejected, reason) = rejected.unwrap_or_else(|| panic!("{name}: no Reject before {end:?}"));
            assert_eq!(rejected, *code, "{name}: {reason}");
            assert_eq!(end, End::Close(code.number()), "{name}");
            assert!(!reason.is_empty(), "{name}");
        }
    });
}

#[test]
fn broken_websocket_framing_is_closed_with_the_code_of_the_rfc() {
    beside_a_bystander(|server| {
        // (what, bytes, code): not masked; reserved bit; unknown opcode; a ping of 126 bytes.
        let cases: [(&str, Vec<u8>, u16); 4] = [
            ("not masked", vec![0x82, 0x01, 0x00], 1002),
            ("reserved bit", vec![0xc2, 0x80, 0, 0, 0, 0], 1002),
            ("unknown opcode", vec![0x83, 0x80, 0, 0, 0, 0], 1002),
            ("long ping", vec![0x89, 0xfe, 0, 126, 0, 0, 0, 0], 1002),
        ];
        for (name, bytes, code) in cases {
            let mut raw = Raw::sign_in(server.address, "mallory");
            raw.bytes(&bytes);
            assert_eq!(raw.until_end().1, End::Close(code), "{name}");
        }
    });
}

#[test]
fn a_message_larger_than_allowed_is_refused_before_it_is_read() {
    beside_a_bystander(|server| {
        let mut raw = Raw::sign_in(server.address, "mallory");
        // The header alone promises 1 GiB.
        raw.bytes(&[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(raw.until_end().1, End::Close(1009));
    });
}

#[test]
fn tokens_are_refused_with_the_reason() {
    let secret_dir = tempfile::tempdir().unwrap();
    let secret = secret_dir.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    let setting = format!("auth.hs256_secret_file={}", secret.display());
    let sign = |expires: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringwire"))
            .args(["token", "--user", "u1", "--expires", expires, "--join", "room:*", "--hs256-secret-file"])
            .arg(&secret)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", &setting]);
    let good = sign("1h");
    let mut forged = good.clone();
    forged.replace_range(good.len() - 4.., "AAAA");
    let expired = {
        use jsonwebtoken::{EncodingKey, Header, encode};
        let claims = ringwire::session::auth::Claims {
            sub: "u1".into(),
            exp: 1_700_000_000,
            nbf: None,
            name: None,
            join: vec![],
        };
        encode(&Header::default(), &claims, &EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef"))
            .unwrap()
    };
    let cases = [
        ("", Code::TOKEN_MISSING, "no token"),
        ("dev:alice", Code::TOKEN_INVALID, "development tokens"),
        ("nonsense", Code::TOKEN_INVALID, "cannot be read"),
        (&forged, Code::TOKEN_INVALID, "signature"),
        (&expired, Code::TOKEN_EXPIRED, "expired"),
    ];
    for (token, code, words) in cases {
        let mut raw = Raw::connect(server.address);
        raw.hello(token, "d");
        let (rejected, end) = raw.until_end();
        let (rejected, reason) = rejected.expect("a Reject says why");
        assert_eq!((rejected, end), (code, End::Close(code.number())), "{token}");
        assert!(reason.contains(words), "{reason}");
    }
    let mut raw = Raw::connect(server.address);
    raw.hello(&good, "d");
    assert!(matches!(raw.next().get(), ServerFrame::Welcome(_)));
    raw.join("room:1");
    // A newer token of the same user is taken in place; one of another user is not.
    raw.frame(|encoder, out| ringwire_protocol::message::Refresh { token: &sign("2h") }.encode(encoder, out));
    let done = raw.next_where(|frame| !matches!(frame, ServerFrame::Message(_)));
    assert!(matches!(done.get(), ServerFrame::Done(done) if done.request == 0));
    // What the token does not allow to join is out of reach, and the connection stays.
    raw.frame(|encoder, out| Join { request: 5, name: "private" }.encode(encoder, out));
    let reject = raw.next_where(|frame| matches!(frame, ServerFrame::Reject(_)));
    assert!(matches!(reject.get(), ServerFrame::Reject(r) if r.code == Code::NOT_A_MEMBER && r.request == 5));
}

#[test]
fn what_a_stranger_asks_of_a_conversation_is_refused_and_the_connection_stays() {
    beside_a_bystander(|server| {
        let mut owner = Raw::sign_in(server.address, "owner");
        owner.join("private");
        let mut raw = Raw::sign_in(server.address, "stranger");
        let conversation = ConversationId::from_name("private");
        raw.publish("private", 1, b"let me in");
        let reject = raw.next();
        assert!(matches!(reject.get(), ServerFrame::Reject(r)
            if r.code == Code::NOT_A_MEMBER && r.client_sequence == 1 && r.conversation == conversation));
        let direction = ringwire_protocol::message::Direction::Backward;
        let fetch = Fetch { request: 3, conversation, from: 1, limit: 1, direction, view: View::Raw };
        raw.frame(|encoder, out| fetch.encode(encoder, out));
        let reject = raw.next();
        assert!(
            matches!(reject.get(), ServerFrame::Reject(r) if r.code == Code::NOT_A_MEMBER && r.request == 3)
        );
        raw.frame(|encoder, out| Leave { request: 4, conversation }.encode(encoder, out));
        let reject = raw.next();
        assert!(
            matches!(reject.get(), ServerFrame::Reject(r) if r.code == Code::NOT_A_MEMBER && r.request == 4)
        );
        raw.publish("nowhere", 1, b"?");
        let reject = raw.next();
        assert!(matches!(reject.get(), ServerFrame::Reject(r) if r.code == Code::NO_SUCH_CONVERSATION));
        let long = "x".repeat(1000);
        for (request, name, code) in [(5, "", Code::NAME_INVALID), (6, &*long, Code::NAME_TOO_LONG)] {
            raw.frame(|encoder, out| Join { request, name }.encode(encoder, out));
            let reject = raw.next();
            assert!(matches!(reject.get(), ServerFrame::Reject(r) if r.code == code && r.request == request));
        }
        raw.join("of my own");
    });
}

#[test]
fn a_skipped_client_sequence_is_refused_and_a_repeated_one_is_answered_alike() {
    beside_a_bystander(|server| {
        let mut raw = Raw::sign_in(server.address, "alice");
        raw.join("lobby");
        raw.publish("lobby", 2, b"too early");
        let reject = raw.next_where(|frame| matches!(frame, ServerFrame::Reject(_)));
        assert!(matches!(reject.get(), ServerFrame::Reject(r) if r.code == Code::SEQUENCE_GAP));
        let mut sequences = Vec::new();
        for _ in 0..2 {
            raw.publish("lobby", 1, b"once");
            let ack = raw.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
            let ServerFrame::Ack(ack) = ack.get() else { unreachable!() };
            sequences.push((ack.sequence, ack.duplicate));
        }
        assert_eq!(sequences, [(2, false), (2, true)]);
        let texts = raw.history("lobby").into_iter().filter(|(_, body, _)| body == b"once").count();
        assert_eq!(texts, 1);
    });
}

#[test]
fn a_body_too_large_is_refused_and_the_connection_stays() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", "limits.body=1 KiB"]);
    let mut raw = Raw::sign_in(server.address, "alice");
    raw.join("lobby");
    raw.publish("lobby", 1, &[b'x'; 1025]);
    let reject = raw.next_where(|frame| matches!(frame, ServerFrame::Reject(_)));
    assert!(matches!(reject.get(), ServerFrame::Reject(r) if r.code == Code::BODY_TOO_LARGE));
    raw.publish("lobby", 1, &[b'x'; 1024]);
    raw.next_where(|frame| matches!(frame, ServerFrame::Ack(_)));
}

#[test]
fn an_unspoken_version_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut raw = Raw::connect(server.address);
    let hello = Hello {
        version_min: 7,
        version_max: 9,
        device: ringwire_protocol::id::DeviceId::from_name("d"),
        capabilities: 0,
        token: "dev:alice",
        agent: "",
        cursors: Default::default(),
        attempt: 0,
    };
    raw.frame(|encoder, out| hello.encode(encoder, out));
    assert_eq!(raw.until_end().0.unwrap().0, Code::UNSUPPORTED_VERSION);
}

#[test]
fn slow_handshakes_are_cut() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let set = ["--driver", driver, "--set", "sessions.handshake_timeout=1s"];
        let server = Server::start(data.path(), &set);
        let mut silent = Raw::connect_tcp(server.address);
        let mut dripping = Raw::connect_tcp(server.address);
        dripping.stream.write_all(b"GET /v1/ws HT").unwrap();
        let mut upgraded = Raw::connect(server.address);
        assert_eq!(upgraded.until_end(), {
            let code = Code::HANDSHAKE_TIMEOUT;
            (Some((code, "no Hello came in time".to_owned())), End::Close(code.number()))
        });
        for raw in [&mut silent, &mut dripping] {
            let mut rest = Vec::new();
            raw.stream.read_to_end(&mut rest).ok();
            assert!(rest.is_empty());
        }
    }
}

#[test]
fn silence_is_noticed() {
    let data = tempfile::tempdir().unwrap();
    let set = ["--set", "sessions.heartbeat=500ms", "--set", "sessions.idle_timeout=1s"];
    let server = Server::start(data.path(), &set);
    let mut raw = Raw::sign_in(server.address, "sleeper");
    let code = Code::IDLE_TIMEOUT;
    let (rejected, end) = raw.until_end();
    assert_eq!((rejected.unwrap().0, end), (code, End::Close(code.number())));
}

#[test]
fn http_that_is_no_upgrade_gets_a_helpful_answer() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", "sessions.origins=https://good.example"]);
    let ask_bytes = |request: &[u8]| {
        let mut raw = Raw::connect_tcp(server.address);
        raw.stream.write_all(request).unwrap();
        let mut answer = String::new();
        raw.stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let ask = |request: &str| ask_bytes(request.as_bytes());
    let page = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("default-src 'none'"), "{page}");
    assert!(ask("GET /../secret HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 404"));
    let answer = ask("GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 426") && answer.contains("WebSocket"), "{answer}");
    assert!(ask_bytes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").contains("TLS"));
    let upgrade = |origin: &str| {
        format!(
            "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\r\n"
        )
    };
    assert!(ask(&upgrade("https://evil.example")).starts_with("HTTP/1.1 403"));
    let mut raw = Raw::connect_tcp(server.address);
    raw.stream.write_all(upgrade("https://good.example").as_bytes()).unwrap();
    let mut start = [0; 12];
    raw.stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 101");
}

#[test]
fn a_publish_beyond_the_window_is_refused_and_the_ones_inside_are_not() {
    beside_a_bystander(|server| {
        let mut raw = Raw::sign_in(server.address, "hasty");
        raw.join("lobby");
        // All in one write, so that none is answered before the last is read.
        let mut bytes = Vec::new();
        let mut encoder = ringwire_protocol::message::Encoder::new();
        for client_sequence in 1..=65 {
            let publish = ringwire_protocol::message::Publish {
                conversation: ConversationId::from_name("lobby"),
                client_sequence,
                reference: 0,
                kind: ringwire_protocol::message::Kind::Text,
                durability: ringwire_protocol::message::Durability::Synced,
                body: b"x",
            };
            publish.encode(&mut encoder, &mut bytes);
        }
        raw.binary(&bytes);
        let reject = raw.next_where(|frame| matches!(frame, ServerFrame::Reject(_)));
        assert!(matches!(reject.get(), ServerFrame::Reject(r)
            if r.code == Code::WINDOW_EXCEEDED && r.client_sequence == 65));
        raw.next_where(|frame| matches!(frame, ServerFrame::Ack(ack) if ack.client_sequence == 64));
        raw.publish("lobby", 65, b"now");
        raw.next_where(|frame| matches!(frame, ServerFrame::Ack(ack) if ack.client_sequence == 65));
    });
}
