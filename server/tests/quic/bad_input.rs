//! Peers that do not keep to the rules.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Ping, ServerFrame, Typing};

use crate::on_both;
use crate::peer::{Peer, config, endpoint};
use crate::support::Owned;

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
        alice.say("lobby", 101, b"still").await;
        bob.next_where(|frame| matches!(frame, ServerFrame::Message(_))).await;
    });
}

/// Sends a datagram again and again, until the connection ends or they are that many.
async fn flood(peer: &Peer, datagram: &[u8], count: usize) {
    let datagram = Bytes::copy_from_slice(datagram);
    for n in 0..count {
        if peer.connection.send_datagram(datagram.clone()).is_err() {
            return;
        }
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn datagrams_of_a_session_at_line_rate_are_closed_with_their_code_or_slowed_down() {
    on_both(&[], async |server| {
        let mut alice = Peer::sign_in(server.address, "alice").await;
        alice.join("lobby").await;
        let nonsense = Peer::sign_in(server.address, "nonsense").await;
        flood(&nonsense, &[0; 400], 20_000).await;
        assert_eq!(nonsense.code().await, Some(3502), "there are no such frames");

        let mut typist = Peer::sign_in(server.address, "typist").await;
        typist.join("lobby").await;
        let typing = Typing { conversation: ConversationId::from_name("lobby"), active: true };
        let typing = typist.encoded(|encoder, out| typing.encode(encoder, out));
        flood(&typist, &typing, 20_000).await;
        let scolded = |frame: &ServerFrame<'_>| matches!(frame, ServerFrame::Reject(reject) if reject.code.number() == 3100);
        typist.next_where(scolded).await;
        let mut heard = 0;
        while let Ok(notice) =
            tokio::time::timeout(Duration::from_millis(300), alice.connection.read_datagram()).await
        {
            heard +=
                usize::from(matches!(Owned(notice.unwrap().to_vec()).get(), ServerFrame::TypingNotice(_)));
        }
        assert!((1..=20).contains(&heard), "{heard} notices of one who types without end");
        typist.say("lobby", 1, b"and goes on").await;
        assert_eq!(alice.text().await, b"and goes on");
    });
}

#[test]
fn answers_that_are_never_read_are_bounded_and_the_live_stream_goes_on() {
    on_both(&["--set", "limits.outbox=256 KiB"], async |server| {
        let small = config("ringwire/1", |transport| {
            transport.stream_receive_window(4096u32.into()).max_concurrent_uni_streams(64u32.into());
        });
        let mut glutton = Peer::connect_with(server.address, small).await;
        glutton.hello("glutton", "phone").await;
        glutton.join("room").await;
        let body = vec![b'x'; 20_000];
        for n in 1..=10 {
            glutton.say("room", n, &body).await;
        }
        // Streams of answers that it never reads: it is told to take some first, and not cut.
        let mut refused = 0;
        for request in 2..=60 {
            glutton.fetch("room", request, 1).await;
            let answer = glutton.next_where(|frame| matches!(frame, ServerFrame::Reject(_)));
            refused += usize::from(tokio::time::timeout(Duration::from_millis(20), answer).await.is_ok());
        }
        assert!(refused > 30, "{refused} of 59 were refused");
        glutton.say("room", 11, b"live").await;
    });
}

#[test]
fn first_flights_that_never_go_on_cost_little_and_are_answered_by_little() {
    const FLIGHTS: usize = 600;
    let set = ["limits.handshakes=0", "sessions.handshake_timeout=30s", "plane.tls=false"];
    on_both(&["--set", set[0], "--set", set[1], "--set", set[2]], async |server| {
        let mut alice = Peer::sign_in(server.address, "alice").await;
        alice.join("lobby").await;
        let flight = first_flight(server.address);
        let sent_bytes: usize = flight.iter().map(Vec::len).sum();
        let sockets: Vec<UdpSocket> = (0..FLIGHTS)
            .map(|_| {
                // Not where other tests look for ports.
                let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap();
                socket.set_nonblocking(true).unwrap();
                for datagram in first_flight(server.address) {
                    socket.send_to(&datagram, server.address).unwrap();
                }
                socket
            })
            .collect();
        alice.say("lobby", 1, b"through it").await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let metric = |name| crate::support::metrics::metric(server, name, &[]);
        // On each of two shards as many as may be unproven, and all others were asked.
        assert!(metric("ringwire_quic_handshakes") <= 2 * 128, "{}", metric("ringwire_quic_handshakes"));
        assert!(metric("ringwire_quic_retries_total") >= FLIGHTS as u64 - 2 * 128);
        let mut buffer = [0; 2048];
        for socket in &sockets {
            let mut answered_bytes = 0;
            while let Ok(bytes) = socket.recv(&mut buffer) {
                answered_bytes += bytes;
            }
            assert!(answered_bytes <= 3 * sent_bytes, "{answered_bytes} bytes for {sent_bytes}");
        }
        Peer::sign_in(server.address, "bob").await.join("lobby").await;
    });
}

/// What a client says first.
fn first_flight(address: SocketAddr) -> Vec<Vec<u8>> {
    let mut endpoint = quinn_proto::Endpoint::new(Default::default(), None, true, None);
    let now = Instant::now();
    let config = config("ringwire/1", |_| ());
    let (_, mut connection) = endpoint.connect(now, config, address, "localhost").unwrap();
    let (mut flight, mut buffer) = (Vec::new(), Vec::new());
    while let Some(transmit) = connection.poll_transmit(now, 1, &mut buffer) {
        flight.push(buffer[..transmit.size].to_vec());
        buffer.clear();
    }
    flight
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
