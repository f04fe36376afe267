//! The Rust client against the real server: two people chat, and the server dies in between.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::time::Duration;

use ringwire_client::{Client, Direction, Kind};
use support::{DRIVERS, PATIENCE, Server};

async fn sign_in(url: &str, name: &str) -> Client {
    Client::builder(url).token(format!("dev:{name}")).connect().await.expect("the server is up")
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("in time") });
}

#[test]
fn two_people_chat_while_the_server_is_killed_and_nothing_is_lost_or_doubled() {
    const TEXTS: usize = 300;
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        block_on(async {
            let set = ["--driver", driver, "--shards", "2"];
            let server = Server::start(data.path(), &set);
            let (url, address) = (server.url(), server.address.to_string());
            let alice = sign_in(&url, "alice").await;
            let bob = sign_in(&url, "bob").await;
            let from_alice = alice.join("lobby").await.unwrap();
            let mut from_bob = bob.join("lobby").await.unwrap();

            let publisher = from_alice.publisher();
            let writing = tokio::spawn(async move {
                let mut receipts = Vec::new();
                for n in 0..TEXTS {
                    publisher.ready(8).await.expect("room comes when publishes are answered");
                    receipts.push(publisher.publish_queued(format!("{n}")).expect("there is room"));
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let mut sequences = Vec::new();
                for receipt in receipts {
                    sequences.push(receipt.await.expect("acknowledged in the end").sequence);
                }
                sequences
            });

            let mut server = server;
            let mut killed = false;
            let mut texts = Vec::new();
            while texts.len() < TEXTS {
                let message = from_bob.next_message().await.expect("the stream goes on");
                if message.kind == Kind::Text {
                    texts.push((message.sequence, String::from_utf8(message.body.to_vec()).unwrap()));
                }
                if texts.len() == TEXTS / 3 && !killed {
                    killed = true;
                    server.kill();
                    server = Server::start(
                        data.path(),
                        &["--listen", &address, "--driver", driver, "--shards", "3"],
                    );
                }
            }
            let sequences = writing.await.unwrap();
            let expected: Vec<_> = sequences.into_iter().zip((0..TEXTS).map(|n| n.to_string())).collect();
            assert_eq!(texts, expected, "{driver}: each text once, in order, at its acknowledged sequence");

            let page =
                from_bob.publisher().history(u64::MAX, 50, Direction::Backward).await.expect("history");
            assert_eq!(
                page.messages.last().map(|message| message.sequence),
                texts.last().map(|(last, _)| *last)
            );
            assert!(alice.shutdown().await.is_clean(), "{driver}");
            assert!(bob.shutdown().await.is_clean(), "{driver}");
            drop(server);
        });
    }
}
