//! What every client may expect.

use bytes::Bytes;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Kind, ServerFrame, Typing};

use crate::peer::{Peer, config};
use crate::support::Owned;
use crate::{block_on, on_both, start};

#[test]
fn hello_publish_message() {
    on_both(&[], async |server| {
        let mut alice = Peer::sign_in(server.address, "alice").await;
        let mut bob = Peer::sign_in(server.address, "bob").await;
        alice.join("lobby").await;
        bob.join("lobby").await;
        for n in 1..=50u64 {
            let body = format!("number {n}");
            assert!(!alice.say("lobby", n, body.as_bytes()).await.1);
            assert_eq!(bob.text().await, body.as_bytes());
        }
        assert_eq!(alice.say("lobby", 50, b"again").await, (52, true), "publishing is idempotent");
    });
}

#[test]
fn history_comes_on_streams_of_its_own() {
    on_both(&[], async |server| {
        let mut alice = Peer::sign_in(server.address, "alice").await;
        alice.join("room").await;
        let body = vec![b'x'; 20_000];
        for n in 1..=10 {
            alice.say("room", n, &body).await;
        }
        let (mut from, mut seen, mut request) = (1, 0, 1);
        while seen < 11 {
            request += 1;
            alice.fetch("room", request, from).await;
            let page = alice.page().await;
            let [page] = &page[..] else { panic!("one page, not {}", page.len()) };
            let ServerFrame::Page(page) = page.get() else { panic!("a page, not {:?}", page.get()) };
            assert_eq!(page.request, request);
            seen += crate::peer::frames(page.frames).len();
            from = page.to + 1;
        }
        assert_eq!(alice.say("room", 11, b"live").await.0, 12);
        alice.fetch("nowhere", 99, 1).await;
        let refusal =
            |frame: &ServerFrame<'_>| matches!(frame, ServerFrame::Reject(reject) if reject.request == 99);
        alice.next_where(refusal).await;
    });
}

#[test]
fn a_client_without_room_for_streams_gets_history_as_it_makes_room() {
    on_both(&[], async |server| {
        let none = config("ringwire/1", |transport| {
            transport.max_concurrent_uni_streams(0u32.into());
        });
        let mut alice = Peer::connect_with(server.address, none).await;
        alice.hello("alice", "phone").await;
        alice.join("room").await;
        alice.fetch("room", 7, 1).await;
        // The live stream is not held up.
        assert_eq!(alice.say("room", 1, b"live").await.0, 2);
        alice.connection.set_max_concurrent_uni_streams(1u32.into());
        let page = alice.page().await;
        assert!(matches!(page[0].get(), ServerFrame::Page(page) if page.request == 7));
    });
}

#[test]
fn typing_travels_in_datagrams_and_on_the_stream() {
    on_both(&[], async |server| {
        let mut alice = Peer::sign_in(server.address, "alice").await;
        let mut bob = Peer::sign_in(server.address, "bob").await;
        alice.join("lobby").await;
        bob.join("lobby").await;
        let typing = Typing { conversation: ConversationId::from_name("lobby"), active: true };
        let bytes = alice.encoded(|encoder, out| typing.encode(encoder, out));
        alice.connection.send_datagram(Bytes::from(bytes)).unwrap();
        let notice = bob.connection.read_datagram().await.unwrap();
        let notice = Owned(notice.to_vec());
        assert!(matches!(notice.get(), ServerFrame::TypingNotice(_)), "{:?}", notice.get());

        let without = config("ringwire/1", |transport| {
            transport.datagram_receive_buffer_size(None);
        });
        let mut carol = Peer::connect_with(server.address, without).await;
        carol.hello("carol", "phone").await;
        carol.join("lobby").await;
        let bytes = alice.encoded(|encoder, out| typing.encode(encoder, out));
        alice.connection.send_datagram(Bytes::from(bytes)).unwrap();
        carol.next_where(|frame| matches!(frame, ServerFrame::TypingNotice(_))).await;
    });
}

#[test]
fn a_client_that_moves_loses_nothing() {
    on_both(&[], async |server| {
        let mut alice = Peer::sign_in(server.address, "alice").await;
        let mut bob = Peer::sign_in(server.address, "bob").await;
        alice.join("lobby").await;
        bob.join("lobby").await;
        for n in 1..=60u64 {
            // Ten ports: with two shards, the kernel gives about half of them to the other one's socket.
            if n % 6 == 0 {
                alice.move_on();
                bob.move_on();
            }
            let body = n.to_le_bytes();
            let sequence = alice.say("lobby", n, &body).await;
            assert!(!sequence.1);
            assert_eq!(bob.text().await, body);
        }
    });
}

#[test]
fn the_newer_session_of_a_device_takes_the_older_ones_place() {
    on_both(&[], async |server| {
        let mut older = Peer::sign_in_on(server.address, "alice", "phone").await;
        older.join("lobby").await;
        let mut newer = Peer::sign_in_on(server.address, "alice", "phone").await;
        assert_eq!(older.until_end().await, (Some(3554), Some(3554)));
        newer.join("lobby").await;
        assert_eq!(newer.say("lobby", 1, b"here").await.0, 2);
    });
}

#[test]
fn a_slow_reader_is_told_heads_and_loses_nothing() {
    on_both(&["--set", "limits.outbox=64 KiB"], async |server| {
        let small = config("ringwire/1", |transport| {
            transport.stream_receive_window(16_384u32.into());
        });
        let mut slow = Peer::connect_with(server.address, small).await;
        slow.hello("slow", "slow").await;
        slow.join("busy").await;
        let mut writer = Peer::sign_in(server.address, "writer").await;
        writer.join("busy").await;
        let body = vec![b'x'; 16 * 1024];
        const COUNT: u64 = 200;
        for n in 1..=COUNT {
            writer.say("busy", n, &body).await;
        }
        let (mut last, mut known, mut kept) = (2, 0, 0);
        while known < COUNT + 2 {
            let frame = slow.next_or_end().await.expect("it is not cut");
            match frame.get() {
                ServerFrame::Message(message) if message.kind == Kind::Text => {
                    assert!(message.sequence > last);
                    last = message.sequence;
                    known = known.max(last);
                    kept += 1;
                }
                ServerFrame::Head(head) => {
                    assert!(head.head > last, "a head is ahead of what was kept");
                    known = known.max(head.head);
                }
                _ => {}
            }
        }
        assert!(kept < COUNT, "{kept} messages were kept for a reader that did not read");
        writer.publish("busy", COUNT + 1, b"welcome back").await;
        assert_eq!(slow.text().await, b"welcome back", "and it is live again");
    });
}

#[test]
fn a_reader_that_never_reads_is_cut_with_its_code() {
    on_both(&["--set", "limits.outbox=64 KiB", "--set", "limits.stall_timeout=1s"], async |server| {
        let small = config("ringwire/1", |transport| {
            transport.stream_receive_window(16_384u32.into());
        });
        let mut stalled = Peer::connect_with(server.address, small).await;
        stalled.hello("stalled", "stalled").await;
        stalled.join("busy").await;
        let mut writer = Peer::sign_in(server.address, "writer").await;
        writer.join("busy").await;
        let body = vec![b'x'; 16 * 1024];
        for n in 1..=40 {
            writer.say("busy", n, &body).await;
        }
        assert_eq!(stalled.code().await, Some(3103));
        writer.say("busy", 41, b"others go on").await;
    });
}

#[test]
fn a_server_that_ends_says_so() {
    on_both(&["--set", "serve.drain=1s"], async |server| {
        let mut alice = Peer::sign_in(server.address, "alice").await;
        let pid = server.pid().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        alice.next_where(|frame| matches!(frame, ServerFrame::GoAway(_))).await;
        assert_eq!(alice.until_end().await.1, Some(3001));
    });
}

#[test]
fn a_client_learns_at_once_that_its_server_is_another_process() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path(), &[]);
    let address = server.address;
    block_on(async {
        let mut alice = Peer::sign_in(address, "alice").await;
        server.kill();
        let server = start(data.path(), &["--listen", &address.to_string()]);
        // Whatever it says next is answered by a reset, long before its own patience ends.
        let begun = std::time::Instant::now();
        while alice.connection.close_reason().is_none() {
            alice.publish("lobby", 1, b"are you there").await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            assert!(begun.elapsed().as_secs() < 10, "no reset came");
        }
        assert_eq!(alice.connection.close_reason(), Some(quinn::ConnectionError::Reset));
        Peer::sign_in(server.address, "alice").await;
    });
}
