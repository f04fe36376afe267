//! The Rust client and `ringwire chat` over TLS.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringwire_client::{Builder, Client, Start};

use crate::support::{PATIENCE, Server};

pub fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("in time") });
}

pub fn pin(server: &Server) -> [u8; 32] {
    let hash = server.sha256.as_deref().expect("the start says it");
    let bytes = (0..32).map(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap());
    bytes.collect::<Vec<u8>>().try_into().unwrap()
}

pub fn client(server: &Server, url: &str, name: &str) -> Builder {
    Client::builder(url).token(format!("dev:{name}")).pin_certificate(pin(server))
}

#[test]
fn the_client_pins_a_certificate_and_comes_back_to_it() {
    block_on(async {
        let data = tempfile::tempdir().unwrap();
        let files = crate::client::Files::make(data.path(), -1, 30);
        let settings = files.settings();
        let set = ["--set", &settings[0], "--set", &settings[1]];
        let server = Server::start(data.path(), &set);
        let url = server.url();
        let alice = client(&server, &url, "alice").connect().await.unwrap();
        let bob = client(&server, &url, "bob").connect().await.unwrap();
        let (from_alice, mut from_bob) =
            (alice.join("lobby").await.unwrap(), bob.join("lobby").await.unwrap());
        from_alice.publish("before").await.unwrap();
        let address = server.address.to_string();
        server.kill();
        let again = ["--listen", &address, "--set", &settings[0], "--set", &settings[1]];
        let server = Server::start(data.path(), &again);
        from_alice.publish("after").await.unwrap();
        for text in ["before", "after"] {
            while from_bob.next_message().await.unwrap().text() != Some(text) {}
        }
        let error = Client::builder(server.url()).token("dev:carol").pin_certificate([7; 32]).connect().await;
        let error = error.expect_err("not the pinned one").to_string();
        assert!(error.contains(server.sha256.as_deref().unwrap()), "{error}");
        let error = Client::builder(server.url()).token("dev:carol").connect().await;
        let error = error.expect_err("nobody vouches for it").to_string();
        assert!(error.contains("certificate"), "{error}");
    });
}

#[test]
fn the_best_way_is_found_where_no_datagram_gets_through() {
    block_on(async {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &["--tls-dev", "--set", "sessions.heartbeat=1s"]);
        // Behind this port UDP is swallowed; TCP is passed on.
        let gate = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = gate.local_addr().unwrap().port();
        let _swallows = std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap();
        let address = server.address;
        let (cut, _) = tokio::sync::broadcast::channel::<()>(1);
        let cuts = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = gate.accept().await {
                let mut is_cut = cuts.subscribe();
                tokio::spawn(async move {
                    let mut far = tokio::net::TcpStream::connect(address).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_cut.recv() => {}
                    }
                });
            }
        });
        let began = Instant::now();
        let url = format!("ringwire://127.0.0.1:{port}");
        let alice = client(&server, &url, "alice").connect().await.unwrap();
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(250), "QUIC has its head start: {took:?}");
        assert!(took < Duration::from_secs(5), "and not for ever: {took:?}");
        let mut room = alice.join_from("lobby", Start::Latest).await.unwrap();
        cut.send(()).unwrap();
        room.publish("over another connection").await.unwrap();
        while room.next_message().await.unwrap().text() != Some("over another connection") {}
    });
}

#[test]
fn chat_takes_the_hash_that_the_start_prints() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--tls-dev"]);
    let chat = |pin: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringwire"))
            .args(["chat", "--url", &server.url(), "--as", "alice", "--pin", pin, "--timeout", "5"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who is told nonsense may have ended already.
        let _ = child.stdin.take().unwrap().write_all(b"hello\n");
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = chat(server.sha256.as_deref().unwrap());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = chat(&"00".repeat(32));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(server.sha256.as_deref().unwrap()), "{said}");
    assert_eq!(chat("nonsense").0, Some(2));
}

#[test]
fn the_client_over_quic_loses_nothing_when_it_moves_and_when_the_server_dies() {
    for driver in crate::support::DRIVERS {
        block_on(async {
            let data = tempfile::tempdir().unwrap();
            let files = crate::client::Files::make(data.path(), -1, 30);
            let settings = files.settings();
            let set = ["--driver", driver, "--shards", "2", "--set", &settings[0], "--set", &settings[1]];
            let server = Server::start(data.path(), &set);
            let address = server.address.to_string();
            let (quic, best) = (format!("quic://{address}"), format!("ringwire://{address}"));
            let alice = client(&server, &quic, "alice").connect().await.unwrap();
            let bob = client(&server, &best, "bob").connect().await.unwrap();
            let carol = client(&server, &server.url(), "carol").connect().await.unwrap();
            let from_alice = alice.join("lobby").await.unwrap();
            let (mut from_bob, mut from_carol) =
                (bob.join("lobby").await.unwrap(), carol.join("lobby").await.unwrap());
            let mut server = Some(server);
            for n in 0..90_u32 {
                match n {
                    30 => alice.network_changed(),
                    45 => bob.network_changed(),
                    60 => {
                        server.take().unwrap().kill();
                        server =
                            Some(Server::start(data.path(), &[&set[..], &["--listen", &address]].concat()));
                    }
                    _ => {}
                }
                let text = format!("{n} {}", "x".repeat(1000));
                from_alice.publish(text.as_str()).await.unwrap();
                for reader in [&mut from_bob, &mut from_carol] {
                    loop {
                        let message = reader.next_message().await.unwrap();
                        if message.kind == ringwire_client::Kind::Text {
                            assert_eq!(message.text(), Some(&*text), "{driver}");
                            break;
                        }
                    }
                }
            }
            // The whole history, in pages on streams of their own.
            let dora = client(server.as_ref().unwrap(), &quic, "dora").connect().await.unwrap();
            let mut all = dora.join_from("lobby", Start::After(0)).await.unwrap();
            let mut seen = 0;
            while seen < 90 {
                let message = all.next_message().await.unwrap();
                if message.kind == ringwire_client::Kind::Text {
                    assert!(message.text().unwrap().starts_with(&format!("{seen} ")), "{driver}");
                    seen += 1;
                }
            }
        });
    }
}
