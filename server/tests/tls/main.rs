//! TLS of the real binary: our own client, and Python's `ssl` (OpenSSL) as one that shares nothing with it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start processes, and may fail")]

mod client;
mod hostile;
mod operators;
mod program;
#[path = "../support/mod.rs"]
mod support;

use client::{Files, Peer, python};
use support::{DRIVERS, Raw, Server};

use ringwire_protocol::message::ServerFrame;
use rustls::HandshakeKind;

#[test]
fn a_message_travels_over_tls_and_a_large_one_too() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let (server, files) = client::start(data.path(), &["--driver", driver]);
        let peer = Peer::new(&files);
        let (mut alice, mut bob) = (peer.sign_in(&server, "alice"), peer.sign_in(&server, "bob"));
        alice.join("lobby");
        bob.join("lobby");
        for (nth, length) in [1, 30_000, 17, 32_000].into_iter().enumerate() {
            let body = vec![b'x'; length];
            alice.publish("lobby", nth as u64 + 1, &body);
            let got = bob.next_where(|frame| matches!(frame, ServerFrame::Message(m) if m.body == body));
            assert!(matches!(got.get(), ServerFrame::Message(_)), "{driver}");
        }
        // A page of 90 KB: several records, several sends.
        assert!(bob.history("lobby").len() >= 4, "{driver}");
    }
}

#[test]
fn python_speaks_1_3_and_resumes() {
    let data = tempfile::tempdir().unwrap();
    let (server, files) = client::start(data.path(), &[]);
    let script = "
first, version, reused, page = fetch(None)
session = first.session
first.unwrap().close()
second, version2, reused2, page2 = fetch(session)
print(version, reused, page[:15], version2, reused2, page == page2, b'<!doctype html>' in page.lower())
";
    let said = python(&server, &files, script);
    assert_eq!(said, "TLSv1.3 False b'HTTP/1.1 200 OK' TLSv1.3 True True True");
    let peer = Peer::new(&files);
    // Ports are tried by many who want nothing.
    client::ask(server.address, &[0; 600]);
    let count = |result: &str| {
        let labels = ["transport=\"wss\"", &format!("result=\"{result}\"")];
        client::sum(&server, &peer, "ringwire_handshakes_total", &labels)
    };
    assert_eq!((count("full"), count("resumed")), (1, 1));
    let until = std::time::Instant::now() + support::PATIENCE;
    while count("failed") != 1 {
        assert!(std::time::Instant::now() < until, "a handshake that failed is not counted");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let accepted = |way: &str| client::sum(&server, &peer, "ringwire_connections_accepted_total", &[way]);
    assert_eq!((accepted("transport=\"wss\""), accepted("transport=\"ws\"")), (3, 0));
}

#[test]
fn version_1_2_is_spoken_only_where_it_is_allowed() {
    let script = "
context.maximum_version = ssl.TLSVersion.TLSv1_2
try:
    print(fetch(None)[1])
except ssl.SSLError as error:
    print(error.reason)
";
    for (setting, expected) in [("1.3", "TLSV1_ALERT_PROTOCOL_VERSION"), ("1.2", "TLSv1.2")] {
        let data = tempfile::tempdir().unwrap();
        let version = format!("tls.version_min={setting}");
        let (server, files) = client::start(data.path(), &["--set", &version]);
        assert_eq!(python(&server, &files, script), expected);
    }
}

#[test]
fn a_reload_changes_new_connections_and_cuts_none() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let (server, files) = client::start(data.path(), &["--driver", driver]);
        let (before, stranger) = (Peer::new(&files), Peer::new(&files));
        let mut old = before.sign_in(&server, "old");
        old.join("lobby");
        // Half a renewal: the certificate is there, its key not yet.
        let newer = Files::make(&data.path().join("newer"), -1, 30);
        std::fs::copy(&newer.certificate, &files.certificate).unwrap();
        server.signal("HUP");
        client::wait_for(&server, "is not the key of");
        before.sign_in(&server, "still");
        std::fs::copy(&newer.key, &files.key).unwrap();
        server.signal("HUP");
        client::wait_for(&server, "new connections get the new certificate");
        let after = Peer::new(&newer);
        let mut new = after.sign_in(&server, "new");
        new.join("lobby");
        new.publish("lobby", 1, b"hello");
        old.next_where(|frame| matches!(frame, ServerFrame::Message(m) if m.body == b"hello"));
        assert!(stranger.try_connect(&server).is_err(), "the old certificate is not offered any more");
        // A ticket of before still spares the handshake: a renewal costs no storm.
        assert_eq!(before.kind(&server), HandshakeKind::Resumed);
    }
}

#[test]
fn a_certificate_for_development_is_printed_and_can_be_pinned() {
    let data = tempfile::tempdir().unwrap();
    let files = Files::none();
    let server = Server::start(data.path(), &["--tls-dev"]);
    let script = "
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
import hashlib
print(hashlib.sha256(fetch(None)[0].getpeercert(binary_form=True)).hexdigest())
";
    let hash = python(&server, &files, script);
    assert_eq!(server.sha256.as_deref(), Some(&*hash));
}

#[test]
fn what_cannot_work_keeps_the_server_from_starting() {
    let data = tempfile::tempdir().unwrap();
    let good = Files::make(&data.path().join("good"), -1, 30);
    let other = Files::make(&data.path().join("other"), -1, 30);
    let expired = Files::make(&data.path().join("expired"), -30, -1);
    let early = Files::make(&data.path().join("early"), 2, 30);
    let missing = data.path().join("missing.pem");
    // Those that signed it come behind it, and not before.
    let chain = data.path().join("chain.pem");
    let both = [&other, &good].map(|files| std::fs::read_to_string(&files.certificate).unwrap());
    std::fs::write(&chain, both.concat()).unwrap();
    // Soon is not yet: it is said, and it starts.
    let (code, said) = config_check(&Files::make(&data.path().join("soon"), -30, 3));
    assert!(code == Some(0) && said.contains("expires on"), "{said}");
    for (certificate, key, named, words) in [
        (&early.certificate, &early.key, &early.certificate, "is not valid before"),
        (&chain, &good.key, &chain, "comes first there"),
        (&good.certificate, &data.path().to_owned(), &data.path().to_owned(), "cannot read"),
        (&expired.certificate, &expired.key, &expired.certificate, "expired"),
        (&good.certificate, &other.key, &other.key, "is not the key of"),
        (&missing, &good.key, &missing, "cannot read"),
    ] {
        let set = [
            "--set",
            &format!("tls.certificate_file={}", certificate.display()),
            "--set",
            &format!("tls.key_file={}", key.display()),
        ];
        let Err(refusal) = Server::try_start(&data.path().join("data"), &set) else {
            panic!("it starts: {words}")
        };
        assert_eq!(refusal.code, Some(1), "{}", refusal.text);
        assert!(refusal.text.contains(words), "{}", refusal.text);
        assert!(refusal.text.contains(&*named.to_string_lossy()), "{}", refusal.text);
        // Who asks before hears the same.
        let (code, said) = config_check(&Files { certificate: certificate.clone(), key: key.clone() });
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(said, refusal.text);
    }
    let (code, said) = config_check(&good);
    assert!(code == Some(0) && said.is_empty(), "{said}");
}

/// Exit code and standard error of `ringwire config check`.
fn config_check(files: &Files) -> (Option<i32>, String) {
    let settings = files.settings();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringwire"))
        .args(["config", "check", "--set", &settings[0], "--set", &settings[1]])
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_clear_port_stays_clear_without_a_certificate() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    Raw::sign_in(server.address, "alice").join("lobby");
    assert!(server.sha256.is_none());
}

#[test]
fn an_idle_connection_holds_no_buffers() {
    // 4.4 KiB were measured in a release build; one buffer of rustls' own would be 4 KiB more, one record 16.
    const CONNECTIONS: usize = 600;
    const BYTES_MAX: usize = 7 * 1024;
    let data = tempfile::tempdir().unwrap();
    let (server, files) = client::start(data.path(), &["--shards", "1"]);
    let peer = Peer::new(&files);
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    };
    let sign_in = |from: usize, to: usize| -> Vec<_> {
        (from..to).map(|number| peer.sign_in(&server, &format!("user-{number}"))).collect()
    };
    // What is made once is made by the first.
    let _first = sign_in(0, CONNECTIONS / 2);
    let before = resident();
    let _others = sign_in(CONNECTIONS / 2, CONNECTIONS / 2 + CONNECTIONS);
    let each = resident().saturating_sub(before) / CONNECTIONS;
    println!("{each} bytes of resident memory each");
    assert!((1024..=BYTES_MAX).contains(&each), "{each} bytes of resident memory each");
}
