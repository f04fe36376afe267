//! Peers that do not keep to the rules.

use std::net::{Ipv4Addr, UdpSocket};

use bytes::Bytes;
use ringwire_protocol::message::{Ping, ServerFrame};

use crate::on_both;
use crate::peer::{Peer, config, endpoint};

#[test]
fn a_fault_closes_with_its_code() {
    on_both(&[], async |server| {
        let mut stranger = Peer::connect(server.address).await;
        stranger.send.write_all(&[0xff; 64]).await.unwrap();
        assert_eq!(stranger.until_end().await, (Some(3500), Some(3500)));

        let mut impatient = Peer::connect(server.address).await;
        impatient.frame(|encoder, out| Ping { token: 1 }.encode(encoder, out)).await;
        assert_eq!(impatient.until_end().await, (Some(3505), Some(3505)));

        let mut twice = Peer::sign_in(server.address, "alice").await;
        twice.hello("alice", "phone").await;
        assert_eq!(twice.until_end().await, (Some(3505), Some(3505)));

        let mut datagram = Peer::sign_in(server.address, "alice").await;
        let ping = datagram.encoded(|encoder, out| Ping { token: 1 }.encode(encoder, out));
        datagram.connection.send_datagram(Bytes::from(ping)).unwrap();
        assert_eq!(
            datagram.until_end().await,
            (Some(3505), Some(3505)),
            "only what may be lost travels there"
        );
    });
}

#[test]
fn another_protocol_is_refused_in_the_handshake() {
    on_both(&[], async |server| {
        let endpoint = endpoint();
        let other = config("ringwire/9", |_| ());
        let error = endpoint.connect_with(other, server.address, "localhost").unwrap().await.unwrap_err();
        let quinn::ConnectionError::ConnectionClosed(close) = &error else { panic!("{error:?}") };
        assert!(close.to_string().contains("120"), "no_application_protocol: {close}");
    });
}

#[test]
fn who_says_nothing_is_closed_in_time() {
    on_both(&["--set", "sessions.handshake_timeout=1s"], async |server| {
        let endpoint = endpoint();
        let silent = endpoint
            .connect_with(config("ringwire/1", |_| ()), server.address, "localhost")
            .unwrap()
            .await
            .unwrap();
        let quinn::ConnectionError::ApplicationClosed(close) = silent.closed().await else {
            panic!("closed")
        };
        assert_eq!(close.error_code.into_inner(), 3105);
        // And who opens a stream and says nothing on it.
        let mut silent = Peer::connect(server.address).await;
        silent.send.write_all(&[9]).await.unwrap();
        assert_eq!(silent.code().await, Some(3105));
    });
}

#[test]
fn a_peer_that_opens_streams_without_end_is_closed() {
    on_both(&[], async |server| {
        let peer = Peer::sign_in(server.address, "alice").await;
        for _ in 0..1000 {
            let opening =
                tokio::time::timeout(std::time::Duration::from_millis(50), peer.connection.open_bi());
            let Ok(Ok((mut send, _))) = opening.await else { break };
            let _ = send.write_all(b"x").await;
        }
        assert_eq!(peer.code().await, Some(3505));
    });
}

#[test]
fn garbage_and_datagrams_at_line_rate_leave_the_others_alone() {
    on_both(&[], async |server| {
        let mut alice = Peer::sign_in(server.address, "alice").await;
        alice.join("lobby").await;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flood = {
            let (stop, address) = (std::sync::Arc::clone(&stop), server.address);
            std::thread::spawn(move || {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                let mut garbage = [0xc3; 1200];
                garbage[1..6].copy_from_slice(&[0, 0, 0, 1, 8]);
                let mut sent = 0u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    garbage[6..14].copy_from_slice(&sent.to_le_bytes());
                    sent += u64::from(socket.send_to(&garbage, address).is_ok());
                }
                sent
            })
        };
        for n in 1..=100 {
            alice.say("lobby", n, b"through it").await;
        }
        // Another one comes in meanwhile.
        let mut bob = Peer::sign_in(server.address, "bob").await;
        bob.join("lobby").await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(flood.join().unwrap() > 1000, "it was a flood");
        let typist = Peer::sign_in(server.address, "carol").await;
        for _ in 0..20_000 {
            let _ = typist.connection.send_datagram(Bytes::from_static(&[0; 400]));
        }
        alice.say("lobby", 101, b"still").await;
        bob.next_where(|frame| matches!(frame, ServerFrame::Message(_))).await;
    });
}

#[test]
fn an_address_that_begins_too_many_is_refused_and_comes_in_later() {
    let limits = ["limits.handshakes=2", "limits.handshakes_burst=10", "plane.tls=false"];
    on_both(&["--set", limits[0], "--set", limits[1], "--set", limits[2]], async |server| {
        let mut alice = Peer::sign_in(server.address, "alice").await;
        alice.join("lobby").await;
        let come_in = async || {
            let endpoint = endpoint();
            endpoint.connect_with(config("ringwire/1", |_| ()), server.address, "localhost").unwrap().await
        };
        let (mut came, mut refused) = (0, 0);
        for _ in 0..80 {
            match come_in().await {
                Ok(_) => came += 1,
                Err(quinn::ConnectionError::ConnectionClosed(close)) => {
                    assert_eq!(close.error_code, quinn_proto::TransportErrorCode::CONNECTION_REFUSED);
                    refused += 1;
                }
                Err(other) => panic!("refused in another way: {other}"),
            }
        }
        // On each of two shards ten without proof and ten with, and what came in by the time that took.
        assert!((20..60).contains(&came) && refused >= 20, "{came} came in, {refused} did not");
        let counted =
            crate::support::metrics::metric(server, "ringwire_connections_limited_total", &["over=\"udp\""]);
        assert!(counted >= refused, "{counted}");
        alice.say("lobby", 1, b"not my business").await;
        while come_in().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    });
}
