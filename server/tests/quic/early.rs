//! What comes before the handshake is complete.

use ringwire_protocol::message::{Join, ServerFrame};

use crate::on_both;
use crate::peer::{Peer, config, endpoint};

#[test]
fn the_first_message_is_acknowledged_one_round_trip_after_the_start() {
    on_both(&[], async |server| {
        let config = config("ringwire/1", |_| ());
        let mut before = Peer::connect_with(server.address, config.clone()).await;
        before.hello("alice", "phone").await;
        before.join("lobby").await;
        before.say("lobby", 1, b"first").await;
        before.connection.close(0u32.into(), b"");
        before.endpoint.wait_idle().await;

        let endpoint = endpoint();
        let connecting = endpoint.connect_with(config, server.address, "localhost").unwrap();
        let (connection, accepted) = connecting.into_0rtt().expect("the client remembers the server");
        let mut alice = Peer::on(endpoint, connection).await;
        // All of it leaves in the first flight.
        alice.hello("alice", "phone").await;
        alice.publish("lobby", 2, b"early").await;
        alice.frame(|encoder, out| Join { request: 9, name: "late" }.encode(encoder, out)).await;
        let ack = alice.next_where(|frame| matches!(frame, ServerFrame::Ack(_))).await;
        assert!(matches!(ack.get(), ServerFrame::Ack(ack) if ack.client_sequence == 2 && !ack.duplicate));
        assert!(accepted.await, "the server has read it early");
        // What is not safe to repeat has waited, and is done.
        alice.next_where(|frame| matches!(frame, ServerFrame::Joined(joined) if joined.request == 9)).await;
        assert_eq!(alice.say("lobby", 3, b"then").await.0, 4, "nothing was stored twice or lost");
    });
}
