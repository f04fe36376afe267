//! What operators are told.

use std::net::TcpStream;

use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{ServerFrame, Typing};

use crate::on_both;
use crate::peer::{Peer, config, endpoint};
use crate::support::metrics::metric;

#[test]
fn connections_and_handshakes_are_told_apart_by_how_they_came() {
    on_both(&["--set", "plane.tls=false"], async |server| {
        let handshakes = |way: &str, result: &str| {
            let labels = [&*format!("transport=\"{way}\""), &format!("result=\"{result}\"")];
            metric(server, "ringwire_handshakes_total", &labels)
        };
        let open = |way: &str| metric(server, "ringwire_connections", &[&format!("transport=\"{way}\"")]);
        let known = config("ringwire/1", |_| ());
        let mut alice = Peer::connect_with(server.address, known.clone()).await;
        alice.hello("alice", "phone").await;
        alice.join("lobby").await;
        assert_eq!((open("quic"), open("wss"), open("webtransport")), (1, 0, 0));
        assert_eq!((handshakes("quic", "full"), handshakes("quic", "resumed")), (1, 0));
        alice.connection.close(0u32.into(), b"");
        alice.endpoint.wait_idle().await;

        let endpoint = endpoint();
        let connecting = endpoint.connect_with(known, server.address, "localhost").unwrap();
        let (connection, accepted) = connecting.into_0rtt().expect("the client remembers the server");
        let mut alice = Peer::on(endpoint, connection).await;
        alice.hello("alice", "phone").await;
        alice.join("lobby").await;
        assert!(accepted.await);
        assert_eq!((handshakes("quic", "full"), handshakes("quic", "resumed")), (1, 1));
        assert_eq!(metric(server, "ringwire_quic_early_total", &[]), 1);

        // Who speaks something else has no handshake.
        let stranger = crate::peer::endpoint();
        let connecting =
            stranger.connect_with(config("other/1", |_| ()), server.address, "localhost").unwrap();
        assert!(connecting.await.is_err());
        assert_eq!((handshakes("quic", "failed"), open("quic")), (1, 1));

        // Signs of typing travel in datagrams.
        let mut bob = Peer::sign_in(server.address, "bob").await;
        bob.join("lobby").await;
        let typing = Typing { conversation: ConversationId::from_name("lobby"), active: true };
        bob.frame(|encoder, out| typing.encode(encoder, out)).await;
        alice.connection.read_datagram().await.expect("it is told");
        assert_eq!(metric(server, "ringwire_frames_in_datagrams_total", &["kind=\"typing\""]), 1);
        alice.say("lobby", 1, b"still here").await;
        assert_eq!(metric(server, "ringwire_quic_datagrams_dropped_total", &[]), 0);
        alice.next_where(|frame| matches!(frame, ServerFrame::Message(_))).await;

        // And TCP is TCP.
        let _tcp = TcpStream::connect(server.address).unwrap();
        while open("wss") != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}
