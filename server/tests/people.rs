//! Presence and typing over the wire: who is there is told to who watches, and whatever a client does, the others
//! are not flooded.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::time::{Duration, Instant};

use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Ping, PresenceState, ServerFrame, Typing, Watch};
use support::{DRIVERS, End, Raw, Server};

fn with_servers(test: impl Fn(&Server)) {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        test(&Server::start(data.path(), &["--driver", driver, "--shards", "2"]));
    }
}

fn watch(raw: &mut Raw, request: u32, users: &[UserId]) {
    raw.frame(|encoder, out| Watch { request, users: users.into() }.encode(encoder, out));
}

/// Reads until these users were told of in these states, in any frame and any order.
fn expect_presence(raw: &mut Raw, expected: &[(&str, PresenceState)]) {
    let mut missing: Vec<(UserId, PresenceState)> =
        expected.iter().map(|(name, state)| (UserId::from_name(name), *state)).collect();
    while !missing.is_empty() {
        let frame = raw.next_where(|frame| matches!(frame, ServerFrame::Presence(_)));
        let ServerFrame::Presence(presence) = frame.get() else { unreachable!("it was asked for") };
        for entry in presence.entries.iter() {
            missing.retain(|missing| *missing != (entry.user, entry.state));
        }
    }
}

/// Everything that came before the answer to a ping, but pongs.
fn until_pong(raw: &mut Raw) -> Vec<support::Owned> {
    raw.frame(|encoder, out| Ping { token: 4711 }.encode(encoder, out));
    let mut before = Vec::new();
    loop {
        let frame = raw.next();
        if matches!(frame.get(), ServerFrame::Pong(pong) if pong.token == 4711) {
            return before;
        }
        before.push(frame);
    }
}

#[test]
fn a_watcher_is_told_who_is_there_and_who_comes_and_goes() {
    with_servers(|server| {
        let names = ["bob", "carol", "nobody-ever"];
        let users: Vec<UserId> = names.iter().map(|name| UserId::from_name(name)).collect();
        let bob = Raw::sign_in(server.address, "bob");
        let mut ada = Raw::sign_in(server.address, "ada");
        watch(&mut ada, 7, &users);
        let done = ada.next_where(|frame| matches!(frame, ServerFrame::Done(_)));
        assert!(matches!(done.get(), ServerFrame::Done(done) if done.request == 7));
        let (here, gone) = (PresenceState::Online, PresenceState::Offline);
        expect_presence(&mut ada, &[("bob", here), ("carol", gone), ("nobody-ever", gone)]);
        let carol = Raw::sign_in(server.address, "carol");
        expect_presence(&mut ada, &[("carol", here)]);
        // A second device: he is there until the last one goes.
        let bobs_laptop = Raw::sign_in_on(server.address, "bob", "laptop");
        drop(bob);
        drop(carol);
        expect_presence(&mut ada, &[("carol", gone)]);
        drop(bobs_laptop);
        expect_presence(&mut ada, &[("bob", gone)]);
        // Another list takes the place of the first.
        watch(&mut ada, 8, &[UserId::from_name("dora")]);
        expect_presence(&mut ada, &[("dora", gone)]);
        let _bob = Raw::sign_in(server.address, "bob");
        let _dora = Raw::sign_in(server.address, "dora");
        expect_presence(&mut ada, &[("dora", here)]);
        std::thread::sleep(Duration::from_millis(1500));
        assert!(until_pong(&mut ada).is_empty(), "bob is not watched any more");
    });
}

#[test]
fn who_comes_and_goes_all_the_time_is_told_once_a_second() {
    with_servers(|server| {
        let mut ada = Raw::sign_in(server.address, "ada");
        watch(&mut ada, 1, &[UserId::from_name("bob")]);
        expect_presence(&mut ada, &[("bob", PresenceState::Offline)]);
        let until = Instant::now() + Duration::from_secs(3);
        let mut times = 0;
        while Instant::now() < until {
            drop(Raw::sign_in(server.address, "bob"));
            times += 1;
        }
        let frames = until_pong(&mut ada).len();
        assert!(times > 20 && frames <= 4, "{frames} frames about {times} comings and goings");
    });
}

#[test]
fn who_is_silent_for_longer_than_presence_lasts_is_not_there() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--shards", "2"]);
    let mut ada = Raw::sign_in(server.address, "ada");
    let mut bob = Raw::sign_in(server.address, "bob");
    watch(&mut ada, 1, &[UserId::from_name("bob")]);
    expect_presence(&mut ada, &[("bob", PresenceState::Online)]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(28) {
        assert!(until_pong(&mut ada).is_empty(), "he is there for {:?}", began.elapsed());
        std::thread::sleep(Duration::from_secs(4));
    }
    expect_presence(&mut ada, &[("bob", PresenceState::Offline)]);
    assert!(began.elapsed() < Duration::from_secs(36), "{:?}", began.elapsed());
    until_pong(&mut bob);
    expect_presence(&mut ada, &[("bob", PresenceState::Online)]);
}

#[test]
fn more_watched_users_than_allowed_are_refused_and_so_are_lists_without_end() {
    with_servers(|server| {
        let many: Vec<UserId> = (0..10_000).map(|i| UserId::from_name(&format!("u{i}"))).collect();
        // Ten thousand do not fit a frame; what fits and is too many is refused by name.
        let mut raw = Raw::sign_in(server.address, "mallory");
        watch(&mut raw, 1, &many[..2_000]);
        let (rejected, end) = raw.until_end();
        assert_eq!(rejected.map(|(code, _)| code), Some(Code::TOO_MANY_WATCHED));
        assert_eq!(end, End::Close(Code::TOO_MANY_WATCHED.number()));
        // Ten thousand in lists of a thousand, one behind the other: each list replaces the last, and they are
        // refused when they come too fast.
        let mut raw = Raw::sign_in(server.address, "mallory");
        for (list, request) in many.chunks(1_000).cycle().zip(1..=40) {
            watch(&mut raw, request, list);
        }
        let (mut done, mut refused) = (0, 0);
        while done + refused < 40 {
            match raw.next().get() {
                ServerFrame::Done(_) => done += 1,
                ServerFrame::Reject(reject) => {
                    assert_eq!(reject.code, Code::RATE_LIMITED);
                    assert!(reject.retry_after_ms > 0);
                    refused += 1;
                }
                _ => {}
            }
        }
        assert!(done < 15, "{done} lists were taken at once");
        until_pong(&mut raw);
    });
}

/// Two members of a room, and somebody who is in another.
fn typists(server: &Server, room: &str) -> (Raw, Raw, Raw) {
    let mut all = ["ada", "bob", "mallory"].map(|name| Raw::sign_in(server.address, name));
    all[0].join(room);
    all[1].join(room);
    all[2].join("elsewhere");
    until_pong(&mut all[0]);
    let [ada, bob, mallory] = all;
    (ada, bob, mallory)
}

fn types(raw: &mut Raw, room: &str, active: bool) {
    let conversation = ConversationId::from_name(room);
    raw.frame(|encoder, out| Typing { conversation, active }.encode(encoder, out));
}

/// The next notice of typing: whose, and whether it began.
fn next_notice(raw: &mut Raw, room: &str) -> (UserId, bool) {
    let frame = raw.next_where(|frame| matches!(frame, ServerFrame::TypingNotice(_)));
    let ServerFrame::TypingNotice(notice) = frame.get() else { unreachable!("it was asked for") };
    assert_eq!(notice.conversation, ConversationId::from_name(room));
    (notice.user, notice.active)
}

#[test]
fn typing_is_told_to_the_others_and_ends_with_the_session() {
    with_servers(|server| {
        let (mut ada, mut bob, mut mallory) = typists(server, "lobby");
        let bobs_id = UserId::from_name("bob");
        types(&mut bob, "lobby", true);
        assert_eq!(next_notice(&mut ada, "lobby"), (bobs_id, true));
        types(&mut bob, "lobby", false);
        assert_eq!(next_notice(&mut ada, "lobby"), (bobs_id, false));
        types(&mut bob, "lobby", true);
        assert_eq!(next_notice(&mut ada, "lobby"), (bobs_id, true));
        assert!(until_pong(&mut bob).is_empty(), "who types knows it");
        drop(bob);
        assert_eq!(next_notice(&mut ada, "lobby"), (bobs_id, false));
        // Somebody who is no member types where he is not: nobody sees it, and he is told nothing of the room.
        types(&mut mallory, "lobby", true);
        types(&mut mallory, "no such room", true);
        assert!(until_pong(&mut mallory).is_empty());
        std::thread::sleep(Duration::from_millis(300));
        assert!(until_pong(&mut ada).is_empty());
    });
}

#[test]
fn a_flood_of_typing_reaches_nobody_and_is_told_to_stop() {
    with_servers(|server| {
        let (mut ada, mut bob, _mallory) = typists(server, "lobby");
        let began = Instant::now();
        for nth in 0..5_000 {
            types(&mut bob, "lobby", nth % 2 == 0);
        }
        let told = until_pong(&mut bob);
        let rejects = told.iter().filter(
            |frame| matches!(frame.get(), ServerFrame::Reject(reject) if reject.code == Code::RATE_LIMITED),
        );
        let rejects = rejects.count();
        let seconds = began.elapsed().as_secs() as usize;
        assert!((1..=2 + seconds / 5).contains(&rejects), "told {rejects} times in {seconds} s");
        let seen = until_pong(&mut ada).len();
        assert!((1..=5 + seconds).contains(&seen), "{seen} of 5000 signs were passed on in {seconds} s");
    });
}
