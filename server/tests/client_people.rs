//! The Rust client against the real server: conversations and their members, what is current, who is there, who types, who
//! has got and read what. On both drivers, with two shards, so that what has to cross does.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::time::{Duration, Instant};

use ringwire_client::{
    Action, Client, ClientEvent, Code, Conversation, ConversationKind, Direction, Draft, Error, Kind, Member,
    PresenceState, Provider, ReceiptKind, Registration, Role, Start, Timeline, Update, UserId,
};
use support::{DRIVERS, PATIENCE, Server};

async fn sign_in(url: &str, name: &str) -> Client {
    Client::builder(url).token(format!("dev:{name}")).connect().await.expect("the server is up")
}

/// Runs the test on a fresh server of either driver.
fn on_both_drivers<F: Future<Output = ()>>(test: impl Fn(String) -> F) {
    with_settings(&[], test);
}

fn with_settings<F: Future<Output = ()>>(settings: &[&str], test: impl Fn(String) -> F) {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        let mut arguments = vec!["--driver", driver, "--shards", "2"];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        let server = Server::start(data.path(), &arguments);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, test(server.url())).await.expect("in time");
        });
        drop(server);
    }
}

fn user(name: &str) -> UserId {
    UserId::from_name(name)
}

fn member(name: &str, role: Role) -> Member {
    Member { user: user(name), name: name.to_owned(), role }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, code: Code) {
    assert_eq!(result.expect_err("refused").code(), Some(code));
}

/// The next update that is wanted; others are passed over.
async fn next<T>(room: &mut Conversation, wanted: impl Fn(Update) -> Option<T>) -> T {
    loop {
        let update = room.next_update().await.expect("the conversation goes on");
        if let Some(found) = wanted(update) {
            return found;
        }
    }
}

fn text(update: Update) -> Option<(u64, String)> {
    match update {
        Update::Message(message) if message.kind == Kind::Text => {
            Some((message.sequence, message.text()?.to_owned()))
        }
        _ => None,
    }
}

#[test]
fn a_group_is_made_changed_and_left_by_its_roles() {
    on_both_drivers(|url| async move {
        let (ada, bob, eve) =
            (sign_in(&url, "ada").await, sign_in(&url, "bob").await, sign_in(&url, "eve").await);
        let room = ada.create("club", vec![member("bob", Role::Member)]).await.unwrap();
        assert_eq!(room.membership().unwrap().kind, ConversationKind::Group);
        refused(bob.create("club", Vec::new()).await, Code::CONVERSATION_EXISTS);
        let mut from_bob = bob.join_from("club", Start::After(0)).await.unwrap();
        refused(from_bob.add(user("eve"), "eve", Role::Member).await, Code::FORBIDDEN);
        room.set_role(user("bob"), Role::Admin).await.unwrap();
        let added = from_bob.add(user("eve"), "eve", Role::Reader).await.unwrap();

        // Changes are entries in the order of messages.
        let mut actions = Vec::new();
        while actions.len() < 4 {
            let (sequence, action) = next(&mut from_bob, |update| match update {
                Update::Message(message) => Some((message.sequence, message.membership()?.action)),
                _ => None,
            })
            .await;
            actions.push(action);
            assert_eq!(sequence, actions.len() as u64);
        }
        assert_eq!(actions, [Action::Created, Action::Added, Action::RoleChanged, Action::Added]);
        assert_eq!(added, 4);

        let mut from_eve = eve.join("club").await.unwrap();
        refused(from_eve.publish("may I?").await, Code::FORBIDDEN);
        from_bob.remove(user("eve")).await.unwrap();
        while from_eve.next_update().await.is_some() {}
        assert_eq!(from_eve.ended().and_then(|error| error.code()), Some(Code::NOT_A_MEMBER));
        // What is so already needs no entry: asking twice does no harm.
        assert_eq!(room.remove(user("nobody")).await, Ok(0));
        let names: Vec<String> =
            room.members().await.unwrap().into_iter().map(|member| member.name).collect();
        assert!(
            names.len() == 2 && names.contains(&"ada".into()) && names.contains(&"bob".into()),
            "{names:?}"
        );
        refused(room.leave().await, Code::LAST_OWNER);
    });
}

#[test]
fn who_was_removed_reads_nothing_any_more() {
    on_both_drivers(|url| async move {
        let (ada, bob) = (sign_in(&url, "ada").await, sign_in(&url, "bob").await);
        let room = ada.create("club", vec![member("bob", Role::Member)]).await.unwrap();
        let mut from_bob = bob.join("club").await.unwrap();
        let reader = from_bob.publisher();
        room.publish("before").await.unwrap();
        let removed = room.remove(user("bob")).await.unwrap();
        room.publish("after").await.unwrap();
        let mut last = 0;
        while let Some(update) = from_bob.next_update().await {
            if let Update::Message(message) = update {
                last = message.sequence;
            }
        }
        assert!(last <= removed, "{last} is behind the removal at {removed}");
        assert!(reader.history(1, 10, Direction::Forward).await.is_err());
        refused(bob.open_from(room.id(), Start::After(0)).await, Code::NOT_A_MEMBER);
        refused(reader.publish("still here").await.map_err(|_| not_a_member()), Code::NOT_A_MEMBER);
    });
}

fn not_a_member() -> Error {
    let refusal =
        ringwire_client::Refusal { code: Code::NOT_A_MEMBER, reason: String::new(), retry_after: None };
    Error::Rejected(refusal)
}

#[test]
fn two_people_have_one_conversation_and_nobody_else_is_let_in() {
    on_both_drivers(|url| async move {
        let (ada, bob, eve) =
            (sign_in(&url, "ada").await, sign_in(&url, "bob").await, sign_in(&url, "eve").await);
        let from_ada = ada.direct(user("bob"), "bob").await.unwrap();
        from_ada.publish("psst").await.unwrap();
        let mut from_bob = bob.direct_from(user("ada"), "ada", Start::After(0)).await.unwrap();
        assert_eq!(from_bob.id(), from_ada.id());
        assert_eq!(from_bob.membership().unwrap().kind, ConversationKind::Direct);
        assert_eq!(next(&mut from_bob, text).await.1, "psst");
        refused(from_ada.add(user("eve"), "eve", Role::Member).await, Code::DIRECT_FIXED);
        assert!(eve.open_from(from_ada.id(), Start::Latest).await.is_err());
        assert!(eve.join(&from_ada.membership().unwrap().name).await.is_err());
        assert_eq!(ada.direct(user("bob"), "bob").await.err(), Some(Error::AlreadyJoined));
    });
}

/// What a person sees of a timeline.
fn shown(timeline: &Timeline) -> Vec<String> {
    let line = |(sequence, entry): (u64, &ringwire_client::timeline::Entry)| {
        let kind = entry.message().map(|message| message.kind);
        let reactions: Vec<_> =
            entry.reactions().map(|reaction| (reaction.sender, reaction.text())).collect();
        let deleted = entry.deleted().map(|deleted| deleted.sequence);
        format!("{sequence} {kind:?} {:?} {} {deleted:?} {reactions:?}", entry.text(), entry.is_edited())
    };
    timeline.iter().map(line).collect()
}

#[test]
fn the_log_and_the_pages_of_what_is_current_fold_to_the_same() {
    on_both_drivers(|url| async move {
        let (ada, bob) = (sign_in(&url, "ada").await, sign_in(&url, "bob").await);
        let from_ada = ada.create("club", vec![member("bob", Role::Member)]).await.unwrap();
        let mut from_bob = bob.join("club").await.unwrap();
        let say = |draft: Draft| from_ada.publish(draft);
        let mut said = Vec::new();
        for n in 0..30 {
            said.push(say(Draft::text(format!("message {n}"))).await.unwrap().sequence);
        }
        // What bob sees, he may refer to.
        while next(&mut from_bob, text).await.0 < said[29] {}
        say(Draft::edit(said[3], "edited once")).await.unwrap();
        say(Draft::edit(said[3], "edited twice")).await.unwrap();
        say(Draft::delete(said[5])).await.unwrap();
        from_bob.publish(Draft::reaction(said[3], "👍")).await.unwrap();
        from_bob.publish(Draft::reaction(said[3], "🎉")).await.unwrap();
        from_bob.publish(Draft::reaction(said[7], "👍")).await.unwrap();
        from_bob.publish(Draft::reaction(said[7], "")).await.unwrap();
        say(Draft::edit(said[20], "edited")).await.unwrap();

        refused(from_bob.publish(Draft::edit(said[4], "not mine")).await, Code::FORBIDDEN);
        refused(from_bob.publish(Draft::delete(said[4])).await, Code::FORBIDDEN);
        refused(from_bob.publish(Draft::reaction(9_999, "👍")).await, Code::BAD_REFERENCE);
        refused(from_bob.publish(Draft::reaction(said[5], "👍")).await, Code::BAD_REFERENCE);

        let mut raw = Timeline::new();
        let mut from = 1;
        loop {
            let page = from_ada.history(from, 7, Direction::Forward).await.unwrap();
            raw.apply_history(&page);
            from = page.to + 1;
            if page.complete {
                break;
            }
        }
        for limit in [1, 4, 256] {
            let mut current = Timeline::new();
            let mut to = u64::MAX;
            loop {
                let page = from_ada.current(to, limit, Direction::Backward).await.unwrap();
                assert!(page.messages.iter().all(|message| message.sequence != said[5]), "it was deleted");
                current.apply_history(&page);
                if page.complete {
                    break;
                }
                to = page.from - 1;
            }
            assert_eq!(shown(&current), shown(&raw), "pages of {limit}");
        }
        let entry = raw.get(said[3]).unwrap();
        assert_eq!(entry.text(), Some("edited twice"));
        assert_eq!(entry.reactions().filter_map(|reaction| reaction.text()).collect::<Vec<_>>(), ["🎉"]);
        assert!(raw.get(said[5]).unwrap().deleted().is_some());
        assert_eq!(raw.get(said[7]).unwrap().reactions().count(), 0);
    });
}

#[test]
fn what_was_delivered_and_read_is_told_to_the_others_and_kept() {
    on_both_drivers(|url| async move {
        let (ada, bob) = (sign_in(&url, "ada").await, sign_in(&url, "bob").await);
        let mut from_ada = ada.create("club", vec![member("bob", Role::Member)]).await.unwrap();
        let mut from_bob = bob.join("club").await.unwrap();
        let sequence = from_ada.publish("hello").await.unwrap().sequence;
        assert_eq!(next(&mut from_bob, text).await.0, sequence);
        // The client has said by itself that it was delivered.
        let receipt = |update: Update| match update {
            Update::Receipt { user: by, sequence, kind, .. } if by == user("bob") => Some((sequence, kind)),
            _ => None,
        };
        assert_eq!(next(&mut from_ada, receipt).await, (sequence, ReceiptKind::Delivered));
        from_bob.read(sequence).unwrap();
        assert_eq!(next(&mut from_ada, receipt).await, (sequence, ReceiptKind::Read));

        // Another device of bob's learns it on joining.
        let tablet = sign_in(&url, "bob").await;
        let membership = tablet.join("club").await.unwrap().membership().unwrap();
        assert_eq!((membership.read, membership.delivered), (sequence, sequence));

        // Who was not there when it was told asks for the members, and learns it.
        let mut late = sign_in(&url, "ada").await.join("club").await.unwrap();
        late.publisher().members().await.unwrap();
        assert_eq!(next(&mut late, receipt).await, (sequence, ReceiptKind::Read));

        // A cursor beyond the head is refused, and nothing else happens.
        let mut events = bob.events();
        from_bob.read(9_999).unwrap();
        let ClientEvent::Notice(error) = events.recv().await.unwrap() else { panic!("a notice") };
        assert_eq!(error.code(), Some(Code::CURSOR_BEYOND_HEAD));
        from_bob.publish("still here").await.unwrap();
    });
}

#[test]
fn typing_begins_once_and_ends_by_itself() {
    on_both_drivers(|url| async move {
        let (ada, bob) = (sign_in(&url, "ada").await, sign_in(&url, "bob").await);
        let mut from_ada = ada.create("club", vec![member("bob", Role::Member)]).await.unwrap();
        let from_bob = bob.join("club").await.unwrap();
        let typing = |update: Update| match update {
            Update::Typing { user: by, active } if by == user("bob") => Some(active),
            _ => None,
        };
        for _ in 0..20 {
            from_bob.typing(true).unwrap();
        }
        assert!(next(&mut from_ada, typing).await);
        let since = Instant::now();
        assert!(!next(&mut from_ada, typing).await, "told once, and then that it has ended");
        let after = since.elapsed();
        assert!(after > Duration::from_secs(4) && after < Duration::from_secs(9), "{after:?}");
        from_bob.typing(true).unwrap();
        assert!(next(&mut from_ada, typing).await);
        from_bob.publish("what was typed").await.unwrap();
        assert!(!next(&mut from_ada, typing).await);
    });
}

#[test]
fn watchers_learn_who_comes_and_goes() {
    on_both_drivers(|url| async move {
        let ada = sign_in(&url, "ada").await;
        let mut events = ada.events();
        ada.watch(vec![user("bob"), user("eve")]).await.unwrap();
        let mut until = async |name: &str, wanted: PresenceState| loop {
            if let ClientEvent::Presence { user: who, state, .. } = events.recv().await.unwrap()
                && (who, state) == (user(name), wanted)
            {
                return;
            }
        };
        let (phone, laptop) = (sign_in(&url, "bob").await, sign_in(&url, "bob").await);
        until("bob", PresenceState::Online).await;
        let _ = phone.shutdown().await;
        let _eve = sign_in(&url, "eve").await;
        until("eve", PresenceState::Online).await;
        // One of two devices has gone: still there. The other one, too: gone.
        let _ = laptop.shutdown().await;
        until("bob", PresenceState::Offline).await;
    });
}

#[test]
fn a_room_is_muted_and_says_so_on_every_device() {
    on_both_drivers(|url| async move {
        let ada = sign_in(&url, "ada").await;
        let room = ada.create("club", Vec::new()).await.unwrap();
        room.mute(u64::MAX).await.unwrap();
        let tablet = sign_in(&url, "ada").await;
        assert_eq!(tablet.join("club").await.unwrap().membership().unwrap().muted_until_ms, u64::MAX);
        tablet.mute(room.id(), 0).await.unwrap();
        let phone = sign_in(&url, "ada").await;
        assert_eq!(phone.join("club").await.unwrap().membership().unwrap().muted_until_ms, 0);
        refused(sign_in(&url, "eve").await.mute(room.id(), 0).await, Code::NOT_A_MEMBER);
    });
}

#[test]
fn a_device_is_registered_where_the_operator_wakes_devices_and_refused_where_not() {
    let registration = || Registration {
        provider: Provider::Webhook,
        token: "adas-phone".into(),
        app: String::new(),
        key: Default::default(),
        secret: Default::default(),
    };
    on_both_drivers(|url| async move {
        let ada = sign_in(&url, "ada").await;
        refused(ada.register(registration()).await, Code::PUSH_TOKEN_INVALID);
    });
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "0123456789abcdef0123456789abcdef").unwrap();
    let secret = format!("push.webhook_secret_file={}", secret.path().display());
    // Nothing listens there; nobody is to be woken.
    with_settings(&["push.webhook_url=http://127.0.0.1:9/", &secret], |url| async move {
        let ada = sign_in(&url, "ada").await;
        ada.register(registration()).await.unwrap();
        ada.unregister().await.unwrap();
    });
}
