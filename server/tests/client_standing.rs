//! The Rust client against the real server: what is told of a user as a whole. Its inbox, whether it is looking and when it
//! was last seen, and the counts of a room that is too large for receipts.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::time::{Duration, Instant};

use ringwire_client::{
    Client, ClientEvent, Counts, Member, PresenceState, Role, Settings, Start, Update, UserId,
};
use support::{PATIENCE, Server};

/// Runs the test on a fresh server with one shard and with two.
fn with_shards<F: Future<Output = ()>>(settings: &[&str], test: impl Fn(String) -> F) {
    for shards in ["1", "2"] {
        let data = tempfile::tempdir().unwrap();
        let mut arguments = vec!["--shards", shards];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        let server = Server::start(data.path(), &arguments);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, test(server.url())).await.expect("in time");
        });
    }
}

async fn sign_in(url: &str, name: &str) -> Client {
    Client::builder(url).token(format!("dev:{name}")).connect().await.expect("the server is up")
}

fn member(name: &str) -> Member {
    Member { user: UserId::from_name(name), name: name.to_owned(), role: Role::Member }
}

/// The conversations in the inbox and what is unread in each, once there are so many.
async fn inbox(client: &Client, names: &[&str]) -> Vec<(String, u64)> {
    let since = Instant::now();
    loop {
        let mut list: Vec<_> = client.inbox().into_iter().map(|entry| (entry.name, entry.unread)).collect();
        list.sort();
        if list.iter().map(|(name, _)| name).eq(names) {
            return list;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "{list:?} instead of {names:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn an_inbox_follows_what_its_user_is_let_into_and_put_out_of() {
    with_shards(&[], |url| async move {
        let ada = sign_in(&url, "ada").await;
        let club = ada.create("club", vec![member("bob")]).await.unwrap();
        for _ in 0..3 {
            club.publish("hello").await.unwrap();
        }
        let bob = Client::builder(&url).token("dev:bob").inbox().connect().await.unwrap();
        let mut events = bob.events();
        assert_eq!(inbox(&bob, &["club"]).await, [("club".to_owned(), 3)]);
        let team = ada.create("team", vec![member("bob")]).await.unwrap();
        inbox(&bob, &["club", "team"]).await;
        // He has neither of them open, and learns at once that he is out.
        team.remove(UserId::from_name("bob")).await.unwrap();
        inbox(&bob, &["club"]).await;
        let gone = loop {
            if let ClientEvent::Inbox { entries, .. } = events.recv().await.unwrap()
                && let Some(gone) = entries.into_iter().find(|entry| entry.is_gone())
            {
                break gone.conversation;
            }
        };
        assert_eq!(gone, team.id());
        // Another device leaves for him.
        let tablet = sign_in(&url, "bob").await;
        tablet.join("club").await.unwrap().leave().await.unwrap();
        inbox(&bob, &[]).await;
        team.add(UserId::from_name("bob"), "bob", Role::Member).await.unwrap();
        inbox(&bob, &["team"]).await;
    });
}

#[test]
fn who_is_not_looking_is_away_and_who_allows_it_was_last_seen_then() {
    with_shards(&[], |url| async move {
        let ada = sign_in(&url, "ada").await;
        let mut events = ada.events();
        ada.watch(vec![UserId::from_name("bob")]).await.unwrap();
        let mut until = async |wanted: PresenceState| loop {
            if let ClientEvent::Presence { state, seen_ms, .. } = events.recv().await.unwrap()
                && state == wanted
            {
                return seen_ms;
            }
        };
        let bob = sign_in(&url, "bob").await;
        assert_eq!(until(PresenceState::Online).await, 0);
        bob.set(Settings { share_last_seen: false, away: true }).await.unwrap();
        assert_eq!(until(PresenceState::Away).await, 0);
        bob.set(Settings { share_last_seen: true, away: false }).await.unwrap();
        until(PresenceState::Online).await;
        let _ = bob.shutdown().await;
        assert!(until(PresenceState::Offline).await > 1_700_000_000_000, "he allows to say when");
        // It is kept, and away is not.
        let bob = sign_in(&url, "bob").await;
        until(PresenceState::Online).await;
        let _ = bob.shutdown().await;
        assert!(until(PresenceState::Offline).await > 1_700_000_000_000);
    });
}

#[test]
fn a_room_that_is_too_large_for_receipts_has_counts() {
    with_shards(&["fanout.push_below=2"], |url| async move {
        let (ada, bob) = (sign_in(&url, "ada").await, sign_in(&url, "bob").await);
        let mut from_ada = ada.join("stadium").await.unwrap();
        let mut from_bob = bob.join_from("stadium", Start::After(0)).await.unwrap();
        from_ada.watch_counts(true).await.unwrap();
        let mut until = async |wanted: &dyn Fn(Counts) -> bool| loop {
            if let Update::Counts(counts) = from_ada.next_update().await.unwrap()
                && wanted(counts)
            {
                return counts;
            }
        };
        until(&|counts| counts.online == 2).await;
        let sequence = from_bob.publish("goal").await.unwrap().sequence;
        until(&|counts| counts.sequence == sequence && counts.read == 0).await;
        while from_bob.next_message().await.unwrap().sequence < sequence {}
        from_bob.read(sequence).unwrap();
        // Both clients say by themselves what they have got.
        until(&|counts| (counts.read, counts.delivered) == (1, 2)).await;
        let _ = bob.shutdown().await;
        until(&|counts| counts.online == 1).await;
    });
}
