//! What comes before the handshake is complete.

use std::net::SocketAddr;
use std::time::Duration;

use ringwire_client::{Client, Direction, State};
use ringwire_protocol::message::{Join, ServerFrame};

use crate::on_both;
use crate::path::Path;
use crate::peer::{Peer, config, endpoint};
use crate::support::PATIENCE;

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

#[test]
fn a_client_that_comes_back_is_answered_in_one_round_trip_and_its_flight_sent_again_changes_nothing() {
    const ONE_WAY: Duration = Duration::from_millis(200);
    on_both(&["--set", "sessions.heartbeat=1s"], async |server| {
        let path = Path::lay(server.address, ONE_WAY).await;
        let sign_in = async |address: SocketAddr, name: &str| {
            let builder = Client::builder(format!("quic://{address}")).token(format!("dev:{name}"));
            soon(builder.pin_certificate(server.pin()).connect()).await.unwrap()
        };
        let alice = sign_in(path.address, "alice").await;
        let room = soon(alice.join("lobby")).await.unwrap();
        let publisher = room.publisher();
        soon(publisher.publish("first")).await.unwrap();

        // The network goes away with one on its way; another is written meanwhile.
        path.lose(100);
        let second = publisher.publish_queued("second").unwrap();
        let mut state = alice.watch_state();
        soon(state.wait_for(|state| matches!(state, State::Disconnected { .. }))).await.unwrap();
        let third = publisher.publish_queued("third").unwrap();
        path.lose(0);
        let published = [soon(second).await.unwrap(), soon(third).await.unwrap()];
        let took = path.last_flight().began.elapsed();
        assert!(
            (ONE_WAY * 2..ONE_WAY * 4).contains(&took),
            "{took:?} for one round trip of {:?}",
            ONE_WAY * 2
        );
        assert_eq!(published[0].sequence + 1, published[1].sequence);
        assert!(!published[0].duplicate, "it had not got through before");
        let fourth = soon(publisher.publish("fourth")).await.unwrap();
        assert_eq!(fourth.sequence, published[1].sequence + 1);

        let flight = path.last_flight();
        path.replay(&flight).await;
        assert!(soon(alice.shutdown()).await.is_clean());
        // For a while the server remembers a connection that has ended; then it begins one like any other.
        soon(async { while path.replay(&flight).await == 0 {} }).await;

        let bob = sign_in(server.address, "bob").await;
        let from_bob = soon(bob.join("lobby")).await.unwrap();
        let all = soon(from_bob.publisher().history(u64::MAX, 50, Direction::Backward)).await.unwrap();
        let texts: Vec<_> = all.messages.iter().filter_map(|message| message.text()).collect();
        assert_eq!(texts, ["first", "second", "third", "fourth"]);
    });
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}
