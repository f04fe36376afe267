//! The tokio client against a server played by hand over a real socket.

mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peer::{Listener, PATIENCE, Sent};
use ringwire_client::limits::Limits;
use ringwire_client::{
    Client, Code, Conversation, ConversationId, Error, Party, Start, State, Update, UserId,
};
use tokio::time::timeout;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("in time")
}

/// A client that is in the room "r", and its server.
async fn joined(listener: &Listener, url: &str, head: u64) -> (Client, Conversation, peer::Peer) {
    let connecting = tokio::spawn(Client::builder(url).token("dev:me").connect());
    let (mut peer, _, _) = listener.greet().await;
    let client = soon(connecting).await.expect("no panic").expect("connected");
    let joining = tokio::spawn({
        let client = client.clone();
        async move { client.join("r").await }
    });
    peer.expect_join("r", head).await;
    let room = soon(joining).await.expect("no panic").expect("joined");
    (client, room, peer)
}

#[tokio::test]
async fn publish_returns_the_sequence_and_the_stream_gives_the_messages() {
    let (listener, url) = Listener::bind().await;
    let (client, mut room, mut peer) = joined(&listener, &url, 4).await;
    assert!(matches!(client.state(), State::Connected(session) if session.name == "me"));
    let publishing = tokio::spawn({
        let publisher = room.publisher();
        async move { publisher.publish("hello").await }
    });
    assert_eq!(peer.expect_publish().await, (1, "hello".into()));
    peer.message("r", 5).await;
    peer.ack("r", 1, 5).await;
    assert_eq!(soon(publishing).await.expect("no panic").expect("accepted").sequence, 5);
    let message = soon(room.next_message()).await.expect("a message");
    assert_eq!((message.sequence, message.text()), (5, Some("m5")));
    assert_eq!(room.name_of(message.sender).as_deref(), Some("ada"));
}

#[tokio::test]
async fn a_broken_connection_is_resumed_without_anybody_noticing() {
    let (listener, url) = Listener::bind().await;
    let (_client, mut room, mut peer) = joined(&listener, &url, 0).await;
    peer.message("r", 1).await;
    assert_eq!(soon(room.next_message()).await.expect("a message").sequence, 1);
    let receipts: Vec<_> = ["a", "b"].map(|text| room.publish_queued(text).expect("room")).into();
    assert_eq!(peer.expect_publish().await.1, "a");
    drop(peer);
    let (mut peer, cursors, token) = listener.greet().await;
    assert_eq!(cursors, [(ConversationId::from_name("r"), 1)]);
    assert_eq!(token, "dev:me");
    // Meanwhile two were published; live ones come before the page does.
    peer.joined(0, "r", 3, 0).await;
    peer.message("r", 4).await;
    let (mut publishes, mut is_filled) = (Vec::new(), false);
    while publishes.len() < 2 || !is_filled {
        match peer.next().await {
            Sent::Publish { number, .. } => publishes.push(number),
            Sent::Fetch { request, from: 2, limit: 2 } => {
                peer.page(request, "r", 2, 3, 4).await;
                is_filled = true;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(publishes, [1, 2]);
    peer.ack("r", 1, 5).await;
    peer.ack("r", 2, 6).await;
    for (receipt, sequence) in receipts.into_iter().zip([5, 6]) {
        assert_eq!(soon(receipt).await.expect("accepted").sequence, sequence);
    }
    for sequence in 2..=4 {
        assert_eq!(soon(room.next_message()).await.expect("a message").sequence, sequence);
    }
}

#[tokio::test]
async fn what_is_queued_together_travels_together() {
    let (listener, url) = Listener::bind().await;
    let (_client, room, mut peer) = joined(&listener, &url, 0).await;
    let before = peer.messages;
    let receipts: Vec<_> = (0..50).map(|n| room.publish_queued(format!("{n}")).expect("room")).collect();
    for n in 0..50_u64 {
        assert_eq!(peer.expect_publish().await, (n + 1, format!("{n}")));
    }
    assert_eq!(peer.messages - before, 1, "one message for all of them");
    for n in 0..50 {
        peer.ack("r", n + 1, n + 1).await;
    }
    for receipt in receipts {
        soon(receipt).await.expect("accepted");
    }
}

#[tokio::test]
async fn a_batch_travels_together_whatever_other_threads_do() {
    let (listener, url) = Listener::bind().await;
    let (_client, room, mut peer) = joined(&listener, &url, 0).await;
    for round in 0..20_u64 {
        let before = peer.messages;
        // From another thread, so that the client's task runs beside it.
        let publisher = room.publisher();
        let batch = move || publisher.publish_batch((0..10).map(|n| format!("{n}")));
        let batch = tokio::task::spawn_blocking(batch);
        for n in 0..10 {
            assert_eq!(peer.expect_publish().await, (round * 10 + n + 1, format!("{n}")));
        }
        assert_eq!(peer.messages - before, 1, "one message for all of them");
        for (n, receipt) in (1..).zip(soon(batch).await.expect("no panic")) {
            peer.ack("r", round * 10 + n, round * 10 + n).await;
            soon(receipt.expect("room")).await.expect("accepted");
        }
    }
}

#[tokio::test]
async fn of_a_batch_each_message_has_its_own_answer() {
    let (listener, url) = Listener::bind().await;
    let (_client, room, mut peer) = joined(&listener, &url, 0).await;
    let too_large = "x".repeat(64 * 1024);
    let answers = room.publish_batch(["a", &too_large, "b"]);
    assert_eq!(peer.expect_publish().await, (1, "a".into()));
    assert_eq!(peer.expect_publish().await, (2, "b".into()));
    assert!(matches!(answers[1], Err(Error::BodyTooLarge { .. })));
    assert!(answers[0].is_ok() && answers[2].is_ok());
}

#[tokio::test]
async fn a_conversation_that_nobody_waits_for_any_more_is_detached() {
    let (listener, url) = Listener::bind().await;
    let (client, room, mut peer) = joined(&listener, &url, 0).await;
    let bob = UserId::from_name("bob");
    let asking = client.direct(bob, "bob");
    assert!(timeout(Duration::from_millis(50), asking).await.is_err(), "nobody has answered");
    let Sent::Other(frame) = peer.next().await else { panic!("Direct is sent") };
    assert!(frame.contains("Direct"), "{frame}");
    let request = frame.split("request: ").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok());
    peer.joined(request.expect("its number"), "me and bob", 7, 0).await;
    let _receipt = room.publish_queued("still here").expect("room");
    assert_eq!(peer.expect_publish().await.1, "still here");
    drop(peer);
    let (_peer, cursors, _) = listener.greet().await;
    assert_eq!(cursors, [(ConversationId::from_name("r"), 0)], "nobody reads the other one");
}

#[tokio::test]
async fn a_full_outbox_is_an_error_and_ready_waits_for_room() {
    let (listener, url) = Listener::bind().await;
    let limits = Limits { outbox_entries_max: 2, ..Limits::default() };
    let connecting = tokio::spawn(Client::builder(&url).token("t").limits(limits).connect());
    let (mut peer, _, _) = listener.greet().await;
    let client = soon(connecting).await.expect("no panic").expect("connected");
    let joining = tokio::spawn(async move { client.join("r").await });
    peer.expect_join("r", 0).await;
    let room = soon(joining).await.expect("no panic").expect("joined");
    let first = room.publish_queued("a").expect("room");
    let second = room.publish_queued("b").expect("room");
    let refused = room.publish("c").await.expect_err("full");
    assert!(matches!(refused, Error::OutboxFull { entries: 2, .. }) && refused.is_retryable());
    let waiting = tokio::spawn({
        let publisher = room.publisher();
        async move {
            publisher.ready(1).await?;
            publisher.publish("c").await
        }
    });
    assert_eq!(peer.expect_publish().await.1, "a");
    assert_eq!(peer.expect_publish().await.1, "b");
    assert!(!waiting.is_finished());
    peer.ack("r", 1, 1).await;
    assert_eq!(peer.expect_publish().await, (3, "c".into()));
    peer.ack("r", 2, 2).await;
    peer.ack("r", 3, 3).await;
    soon(async { (first.await, second.await, waiting.await) }).await.2.expect("no panic").expect("accepted");
}

#[tokio::test]
async fn connecting_to_nobody_fails_at_once_and_says_where() {
    let (listener, url) = Listener::bind().await;
    drop(listener);
    let error = soon(Client::builder(&url).token("t").connect()).await.expect_err("nobody there");
    assert_eq!(error.fault(), Party::Network);
    assert!(error.is_retryable());
    assert!(error.to_string().contains("127.0.0.1 port"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_spoken_is_refused_with_a_hint() {
    for url in ["https://localhost", "mqtt://localhost:7400", "localhost"] {
        let error = Client::builder(url).connect_lazy().expect_err("not spoken");
        assert!(matches!(&error, Error::Url(text) if text.contains("ws")), "{error}");
    }
}

#[tokio::test]
async fn another_kind_of_server_is_told_from_ringwire() {
    use tokio::io::AsyncWriteExt;
    for (answer, expected) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n", "404"),
        ("220 mail.example ESMTP\r\n", "HTTP"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let other = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accept");
            stream.write_all(answer.as_bytes()).await.expect("write");
            stream
        });
        let error = soon(Client::builder(url).token("t").connect()).await.expect_err("no Ringwire");
        assert!(error.to_string().contains(expected), "{error}");
        drop(soon(other).await);
    }
}

#[tokio::test]
async fn a_final_close_ends_everything_and_says_why() {
    let (listener, url) = Listener::bind().await;
    let (client, mut room, peer) = joined(&listener, &url, 0).await;
    let receipt = room.publish_queued("a").expect("room");
    peer.close(Code::KICKED.number(), "spam").await;
    assert_eq!(soon(room.next_message()).await, None);
    assert_eq!(room.ended().and_then(|error| error.code()), Some(Code::KICKED));
    let error = soon(receipt).await.expect_err("not accepted");
    assert!(error.to_string().contains("spam"), "{error}");
    assert!(matches!(client.state(), State::Failed(_)));
    assert_eq!(room.publish("b").await.expect_err("ended").code(), Some(Code::KICKED));
    assert_eq!(room.ready(1).await.expect_err("ended").code(), Some(Code::KICKED));
    assert_eq!(client.join("s").await.expect_err("ended").code(), Some(Code::KICKED));
}

#[tokio::test]
async fn a_slow_reader_is_fetched_for_and_loses_nothing() {
    const MESSAGES: u64 = 2_000;
    let (listener, url) = Listener::bind().await;
    let (client, mut room, mut peer) = joined(&listener, &url, 0).await;
    for sequence in 1..=MESSAGES {
        peer.message("r", sequence).await;
    }
    // Nobody has read a message by the time that the client has received them all.
    peer.ping().await;
    assert_eq!(peer.next().await, Sent::Pong);
    let server = tokio::spawn(async move {
        let mut fetched = 0;
        while let Some(sent) = peer.try_next().await {
            if let Sent::Fetch { request, from, limit } = sent {
                let to = (from + u64::from(limit) - 1).min(MESSAGES);
                fetched += to + 1 - from;
                peer.page(request, "r", from, to, MESSAGES).await;
            }
        }
        fetched
    });
    for sequence in 1..=MESSAGES {
        assert_eq!(soon(room.next_message()).await.expect("a message").sequence, sequence);
    }
    drop((room, client));
    let fetched = soon(server).await.expect("no panic");
    // 256 were given to the reader's queue, and as many held back behind it.
    assert_eq!(fetched, MESSAGES - 512);
}

#[tokio::test]
async fn the_token_provider_is_asked_first_and_when_a_token_has_expired() {
    let (listener, url) = Listener::bind().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let provider = {
        let asked = asked.clone();
        move || {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, String>(format!("token {number}")) }
        }
    };
    let connecting = tokio::spawn(Client::builder(&url).token_provider(provider).connect());
    let (peer, _, token) = listener.greet().await;
    assert_eq!(token, "token 0");
    let client = soon(connecting).await.expect("no panic").expect("connected");
    peer.close(Code::TOKEN_EXPIRED.number(), "").await;
    let (_peer, _, token) = listener.greet().await;
    assert_eq!(token, "token 1");
    let mut state = client.watch_state();
    soon(state.wait_for(|state| matches!(state, State::Connected(_)))).await.expect("connected again");
}

#[tokio::test]
async fn a_token_provider_that_fails_fails_the_client() {
    let (_listener, url) = Listener::bind().await;
    let provider = || async { Err::<String, _>("no login") };
    let error = soon(Client::builder(&url).token_provider(provider).connect()).await.expect_err("no token");
    assert_eq!(error, Error::Token("no login".into()));
}

#[tokio::test]
async fn shutdown_waits_for_acknowledgements_and_closes_politely() {
    let (listener, url) = Listener::bind().await;
    let (client, room, mut peer) = joined(&listener, &url, 0).await;
    let receipt = room.publish_queued("a").expect("room");
    let closing = tokio::spawn({
        let client = client.clone();
        async move { client.shutdown().await }
    });
    assert_eq!(peer.expect_publish().await.1, "a");
    peer.ack("r", 1, 1).await;
    assert_eq!(peer.try_next().await, None);
    assert!(soon(closing).await.expect("no panic").is_clean());
    soon(receipt).await.expect("accepted");
    assert_eq!(room.publish("b").await, Err(Error::ShutDown));
    assert_eq!(client.state(), State::Closed);
}

#[tokio::test]
async fn shutdown_says_what_was_not_acknowledged() {
    let (listener, url) = Listener::bind().await;
    let (client, room, peer) = joined(&listener, &url, 0).await;
    let receipt = room.publish_queued("a").expect("room");
    let shutdown = soon(client.shutdown_within(Duration::from_millis(50))).await;
    assert_eq!(shutdown.unacknowledged.len(), 1);
    assert_eq!(&shutdown.unacknowledged[0].1.body[..], b"a");
    assert_eq!(soon(receipt).await, Err(Error::Unacknowledged));
    drop(peer);
}

#[tokio::test]
async fn the_last_handle_takes_the_connection_with_it() {
    let (listener, url) = Listener::bind().await;
    let (client, room, mut peer) = joined(&listener, &url, 0).await;
    let publisher = room.publisher();
    drop(client);
    drop(room);
    let publishing = tokio::spawn(async move { publisher.publish("still there").await });
    assert_eq!(peer.expect_publish().await.1, "still there");
    peer.ack("r", 1, 1).await;
    soon(publishing).await.expect("no panic").expect("accepted");
    while peer.try_next().await.is_some() {}
}

#[tokio::test]
async fn a_conversation_whose_handles_are_gone_is_detached_and_can_be_joined_again() {
    let (listener, url) = Listener::bind().await;
    let (client, room, mut peer) = joined(&listener, &url, 0).await;
    let receipt = room.publish_queued("a").expect("room");
    drop(room);
    assert_eq!(client.join("r").await.expect_err("its publish is under way"), Error::AlreadyJoined);
    assert_eq!(peer.expect_publish().await.1, "a");
    peer.ack("r", 1, 1).await;
    soon(receipt).await.expect("accepted");
    let joining = tokio::spawn(async move { client.join_from("r", Start::After(0)).await });
    match peer.next().await {
        Sent::Join { request, .. } => peer.joined(request, "r", 1, 1).await,
        other => panic!("{other:?}"),
    }
    let mut room = soon(joining).await.expect("no panic").expect("joined");
    match peer.next().await {
        Sent::Fetch { request, from: 1, limit: 1 } => peer.page(request, "r", 1, 1, 1).await,
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(soon(room.next_update()).await, Some(Update::Message(message)) if message.sequence == 1)
    );
    assert_eq!(soon(room.next_update()).await, Some(Update::CaughtUp { head: 1 }));
}

#[tokio::test]
async fn a_server_that_is_silent_about_hello_is_given_up() {
    let (listener, url) = Listener::bind().await;
    let connecting = tokio::spawn(Client::builder(&url).token("t").connect());
    let mut peer = listener.accept().await;
    assert!(matches!(peer.next().await, Sent::Hello { .. }));
    peer.close(3105, "").await;
    let error = soon(connecting).await.expect("no panic").expect_err("not welcomed");
    assert_eq!(error.code(), Some(Code::HANDSHAKE_TIMEOUT));
}
