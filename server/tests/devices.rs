//! One session per device: the newer one stays, once it has shown that somebody is at its other end.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use ringwire_protocol::code::Code;
use ringwire_protocol::message::{Ping, ServerFrame};
use support::{DRIVERS, End, Raw, Server};

fn with_servers(test: impl Fn(&Server)) {
    for driver in DRIVERS {
        let data = tempfile::tempdir().unwrap();
        test(&Server::start(data.path(), &["--driver", driver, "--shards", "2"]));
    }
}

/// Asks for a sign of life, which comes behind whatever the server had to say before.
fn assert_lives(raw: &mut Raw) {
    raw.frame(|encoder, out| Ping { token: 77 }.encode(encoder, out));
    raw.next_where(|frame| matches!(frame, ServerFrame::Pong(pong) if pong.token == 77));
}

#[test]
fn the_newer_session_of_a_device_takes_the_place_of_the_older() {
    with_servers(|server| {
        // Several times, so that the connections come to either shard.
        let mut stays = Raw::sign_in_on(server.address, "ada", "phone");
        for _ in 0..6 {
            let mut newer = Raw::sign_in_on(server.address, "ada", "phone");
            // The server's ping comes by way of the home, so behind the first answer or a later one.
            let (rejected, end) = std::thread::scope(|scope| {
                let older = scope.spawn(|| stays.until_end());
                while !older.is_finished() {
                    assert_lives(&mut newer);
                }
                older.join().unwrap()
            });
            assert_eq!(rejected.map(|(code, _)| code), Some(Code::REPLACED));
            assert_eq!(end, End::Close(Code::REPLACED.number()));
            stays = newer;
        }
        assert_lives(&mut stays);
    });
}

#[test]
fn other_devices_and_other_users_are_left_alone() {
    with_servers(|server| {
        let mut phone = Raw::sign_in_on(server.address, "ada", "phone");
        let mut laptop = Raw::sign_in_on(server.address, "ada", "laptop");
        // The same device in the hands of somebody else is another session.
        let mut bob = Raw::sign_in_on(server.address, "bob", "phone");
        for raw in [&mut phone, &mut laptop, &mut bob] {
            assert_lives(raw);
        }
        assert_lives(&mut phone);
    });
}

#[test]
fn a_session_that_does_not_answer_drives_nobody_out() {
    with_servers(|server| {
        let mut older = Raw::sign_in_on(server.address, "ada", "phone");
        let mut newer = Raw::connect(server.address);
        newer.answers_pings = false;
        newer.hello("dev:ada", "phone");
        assert_lives(&mut newer);
        assert_lives(&mut older);
        // It is closed when its time is up; until then the older one is not.
        let (rejected, end) = newer.until_end();
        assert_eq!(rejected.map(|(code, _)| code), Some(Code::IDLE_TIMEOUT));
        assert_eq!(end, End::Close(Code::IDLE_TIMEOUT.number()));
        assert_lives(&mut older);
    });
}
