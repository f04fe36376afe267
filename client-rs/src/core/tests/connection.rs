//! Greeting, heartbeats, reconnecting, moving, giving up, tokens.

use ringwire_protocol::message::{Done, GoAway, Pong};

use super::*;
use crate::Error;
use crate::error::{Party, Refusal};
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

fn closed(code: u16) -> Cause {
    Cause::Closed { code: Some(code), reason: "because".into() }
}

#[test]
fn the_first_connection_greets_and_nothing_is_sent_before_the_welcome() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.wants, [Want::Connect { address: None }]);
    rig.core.join(rig.now, "r", Start::Latest).expect("join");
    rig.settle();
    rig.check_sent(&[]);
    rig.core.on_connected(rig.now);
    rig.settle();
    rig.check_sent(&["hello token []"]);
    rig.welcome(64);
    rig.check_sent(&["join r"]);
    assert!(matches!(rig.state(), Some(State::Connected(session)) if session.name == "me"));
}

#[test]
fn neither_connecting_nor_greeting_waits_for_ever() {
    let mut rig = Rig::new(config());
    rig.forget();
    rig.pass(Duration::from_secs(10));
    assert!(matches!(rig.wants[..], [Want::Disconnect { .. }]));
    rig.disconnect(Cause::Wanted);
    rig.pass_until_connect();
    rig.core.on_connected(rig.now);
    rig.settle();
    rig.forget();
    rig.pass(Duration::from_secs(10));
    assert!(matches!(rig.wants[..], [Want::Disconnect { .. }]));
    rig.disconnect(Cause::Wanted);
    assert!(matches!(
        rig.state(),
        Some(State::Disconnected { error: Error::TimedOut { what: "Hello", .. }, .. })
    ));
}

#[test]
fn an_idle_client_pings_and_a_silent_server_is_left() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.forget();
    for _ in 0..10 {
        rig.pass(Duration::from_secs(15));
        rig.check_sent(&["ping"]);
        rig.frame(&ServerFrame::Pong(Pong { token: 1, server_time_ms: 1 }));
    }
    assert!(rig.wants.is_empty());
    // 20 s is the heartbeat: gone after more than two of them.
    rig.pass(Duration::from_secs(40));
    assert!(rig.wants.is_empty());
    rig.pass(Duration::from_secs(6));
    assert!(matches!(rig.wants[..], [Want::Disconnect { .. }]));
    rig.disconnect(Cause::Wanted);
    assert!(matches!(rig.state(), Some(State::Disconnected { error: Error::Silent(_), .. })));
}

#[test]
fn any_frame_is_a_sign_of_life() {
    let mut rig = Rig::joined(config(), Start::Latest, 0, 0);
    for sequence in 1..100 {
        rig.pass(Duration::from_secs(10));
        rig.message(sequence);
    }
    assert!(rig.wants.is_empty());
}

#[test]
fn waits_grow_with_every_failure_and_start_short_after_a_stable_connection() {
    let mut longest = [Duration::ZERO; 6];
    for seed in 0..300 {
        let mut rig = Rig::seeded(config(), seed);
        for longest in &mut longest {
            rig.forget();
            rig.disconnect(Cause::Network("refused".into()));
            let Some(State::Disconnected { retry_in, .. }) = rig.state() else { panic!("no wait") };
            assert!(*retry_in >= BACKOFF_MIN && *retry_in <= BACKOFF_MAX);
            *longest = (*longest).max(*retry_in);
            let wait = *retry_in;
            rig.pass(wait);
            assert!(matches!(rig.wants[..], [Want::Connect { .. }]));
        }
        rig.connect();
        rig.pass(Duration::from_secs(14));
        rig.message(1);
        rig.pass(Duration::from_secs(16));
        rig.frame(&ServerFrame::Pong(Pong { token: 1, server_time_ms: 1 }));
        rig.disconnect(Cause::Network("cut".into()));
        let Some(State::Disconnected { retry_in, .. }) = rig.state() else { panic!("no wait") };
        assert!(*retry_in <= BACKOFF_MIN * 2, "{retry_in:?}");
    }
    assert!(
        longest.windows(2).all(|pair| pair[0] < pair[1] || pair[1] > BACKOFF_MAX * 9 / 10),
        "{longest:?}"
    );
}

#[test]
fn a_connection_that_does_not_last_does_not_shorten_the_waits() {
    let mut longest = Duration::ZERO;
    for seed in 0..50 {
        let mut rig = Rig::seeded(config(), seed);
        for _ in 0..6 {
            rig.connect();
            rig.disconnect(Cause::Network("cut".into()));
            rig.pass_until_connect();
        }
        rig.connect();
        rig.disconnect(Cause::Network("cut".into()));
        if let Some(State::Disconnected { retry_in, .. }) = rig.state() {
            longest = longest.max(*retry_in);
        }
    }
    assert!(longest > BACKOFF_MAX / 2, "{longest:?}");
}

#[test]
fn the_code_decides_whether_to_come_back() {
    let cases = [
        (None, true),
        (Some(1001), true),
        (Some(1006), true),
        (Some(1011), true),
        (Some(3001), true),
        (Some(3103), true),
        (Some(3499), true),
        (Some(3500), false),
        (Some(3550), false),
        (Some(3554), false),
        (Some(3999), false),
        (Some(1002), false),
        // Without a token provider an expired token is the end.
        (Some(3300), false),
    ];
    for (code, back) in cases {
        let mut rig = Rig::joined(config(), Start::Latest, 0, 0);
        rig.publish("a");
        rig.forget();
        rig.disconnect(Cause::Closed { code, reason: "because".into() });
        match rig.state() {
            Some(State::Disconnected { .. }) => assert!(back, "{code:?}"),
            Some(State::Failed(error)) => {
                assert!(!back, "{code:?}");
                let code = code.expect("a close without a code is no verdict");
                assert_eq!(error.code(), Some(Code(code)));
                let text = error.to_string();
                assert!(text.contains(&code.to_string()) && text.contains("because"), "{text}");
            }
            other => panic!("{code:?}: {other:?}"),
        }
        let failed = rig.events.iter().any(|event| matches!(event, Event::PublishFailed { .. }));
        assert_eq!(failed, !back, "{code:?}: what waits fails exactly when there is no way on");
        assert_eq!(rig.core.deadline().is_some(), back, "{code:?}");
    }
}

#[test]
fn after_the_end_every_call_says_why() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.disconnect(closed(3554));
    let error = rig.core.join(rig.now, "r", Start::Latest).expect_err("ended");
    assert_eq!(error.code(), Some(Code::REPLACED));
    assert_eq!(error.fault(), Party::Policy);
    rig.core.start(rig.now);
    rig.settle();
    assert_eq!(rig.wants.len(), 1);
}

#[test]
fn a_refused_greeting_is_told_with_its_reason() {
    let mut rig = Rig::new(config());
    rig.core.on_connected(rig.now);
    rig.settle();
    let reject = Reject {
        request: 0,
        conversation: ConversationId::ZERO,
        client_sequence: 0,
        code: Code::TOKEN_INVALID,
        retry_after_ms: 0,
        reason: "signed by nobody",
    };
    rig.frame(&ServerFrame::Reject(reject));
    rig.disconnect(Cause::Closed { code: Some(3550), reason: String::new() });
    let Some(State::Failed(error)) = rig.state() else { panic!("{:?}", rig.state()) };
    assert!(error.to_string().contains("signed by nobody"), "{error}");
    assert_eq!(error.fault(), Party::Caller);
}

fn go_away(code: Code, not_before_ms: u32, jitter_ms: u32, address: &str) -> ServerFrame<'_> {
    ServerFrame::GoAway(GoAway { code, not_before_ms, jitter_ms, reason: "drain", address })
}

#[test]
fn a_drained_server_is_left_in_its_time_and_at_its_word() {
    let mut times = Vec::new();
    for seed in 0..200 {
        let mut rig = Rig::seeded(config(), seed);
        rig.connect();
        rig.forget();
        let begin = rig.now;
        rig.frame(&go_away(Code::GOING_AWAY, 2_000, 4_000, "ws://other:1/v1/ws"));
        rig.pass(ms(1_999));
        assert!(rig.wants.is_empty());
        while rig.wants.is_empty() {
            let due = rig.core.deadline().expect("it moves");
            rig.pass(due - rig.now);
        }
        times.push(rig.now - begin);
        assert!(matches!(rig.wants[..], [Want::Disconnect { .. }]));
        rig.disconnect(Cause::Wanted);
        rig.pass(ms(0));
        assert_eq!(rig.wants[1..], [Want::Connect { address: Some("ws://other:1/v1/ws".into()) }]);
        // If that one is not there either, the configured address is tried.
        rig.forget();
        rig.disconnect(Cause::Network("refused".into()));
        rig.pass_until_connect();
        assert_eq!(rig.wants, [Want::Connect { address: None }]);
    }
    let (first, last) = (times.iter().min(), times.iter().max());
    assert!(first >= Some(&ms(2_000)) && last <= Some(&ms(6_000)), "{first:?} {last:?}");
    assert!(first < Some(&ms(2_200)) && last > Some(&ms(5_800)), "not spread: {first:?} {last:?}");
}

#[test]
fn a_server_that_closes_early_is_not_hurried() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.forget();
    rig.frame(&go_away(Code::SHUTTING_DOWN, 5_000, 0, ""));
    rig.disconnect(closed(3001));
    rig.pass(ms(4_999));
    assert!(rig.wants.is_empty());
    rig.pass(ms(1));
    assert_eq!(rig.wants, [Want::Connect { address: None }]);
}

#[test]
fn a_goodbye_for_good_is_the_end() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.forget();
    rig.frame(&go_away(Code::KICKED, 0, 0, ""));
    assert!(matches!(rig.wants[..], [Want::Disconnect { .. }]));
    rig.disconnect(Cause::Wanted);
    assert!(matches!(rig.state(), Some(State::Failed(Error::Closed(Refusal { code: Code::KICKED, .. })))));
}

#[test]
fn an_expired_token_is_asked_for_once_and_used_at_once() {
    let mut config = config();
    config.refresh = true;
    let mut rig = Rig::joined(config, Start::Latest, 0, 0);
    rig.publish("a");
    rig.publish("b");
    rig.forget();
    rig.reject(1, Code::TOKEN_EXPIRED, 0);
    rig.reject(2, Code::SEQUENCE_GAP, 0);
    rig.check_events(&["token wanted"]);
    rig.check_sent(&[]);
    rig.core.set_token(rig.now, "fresh");
    rig.settle();
    rig.check_sent(&["refresh fresh"]);
    rig.frame(&ServerFrame::Done(Done { request: 0, conversation: ConversationId::ZERO, sequence: 0 }));
    rig.check_sent(&["publish 1 a"]);
    rig.ack(1, 1, false);
    rig.check_sent(&["publish 2 b"]);
}

#[test]
fn a_connection_closed_for_its_token_comes_back_with_a_new_one() {
    let mut config = config();
    config.refresh = true;
    let mut rig = Rig::new(config);
    rig.connect();
    rig.forget();
    rig.disconnect(closed(3300));
    rig.check_events(&["token wanted"]);
    rig.pass(Duration::from_secs(30));
    assert!(rig.wants.is_empty());
    rig.core.set_token(rig.now, "fresh");
    rig.settle();
    assert_eq!(rig.wants, [Want::Connect { address: None }]);
    rig.core.on_connected(rig.now);
    rig.settle();
    rig.check_sent(&["hello fresh []"]);
    // The new one is no better: another is wanted, but not in a tight loop.
    rig.forget();
    rig.disconnect(closed(3300));
    rig.core.set_token(rig.now, "fresher");
    rig.settle();
    assert!(rig.wants.is_empty());
    rig.pass_until_connect();
    rig.core.on_connected(rig.now);
    rig.settle();
    rig.check_sent(&["hello fresher []"]);
}

#[test]
fn without_a_new_token_the_client_ends_and_says_so() {
    let mut config = config();
    config.refresh = true;
    config.token = String::new();
    let mut rig = Rig::new(config.clone());
    rig.check_events(&["token wanted"]);
    rig.core.refuse_token(rig.now, "the login page is down");
    rig.settle();
    assert!(matches!(rig.state(), Some(State::Failed(Error::Token(why))) if why.contains("login")));
    let mut rig = Rig::new(config);
    rig.pass(Duration::from_secs(60));
    assert!(matches!(rig.state(), Some(State::Failed(Error::Token(_)))));
}

#[test]
fn something_else_than_a_ringwire_server_is_told_at_once_when_it_is_the_first_answer() {
    use ringwire_protocol::ws::handshake::HandshakeFault;
    let refused = |status| Cause::Refused { status, text: "no".into(), retry_after: None };
    let cases = [
        (Cause::Handshake(HandshakeFault::NotHttp), true),
        (refused(404), true),
        (refused(403), true),
        (refused(429), false),
        (refused(503), false),
        (Cause::Faulty(ringwire_protocol::Fault::TextMessage), true),
        (Cause::Network("refused".into()), false),
    ];
    for (cause, end) in cases {
        let mut rig = Rig::new(config());
        rig.disconnect(cause.clone());
        assert_eq!(matches!(rig.state(), Some(State::Failed(_))), end, "{cause:?}");
        // After it has worked, the same is somebody's restart.
        let mut rig = Rig::new(config());
        rig.connect();
        rig.disconnect(Cause::Network("cut".into()));
        rig.pass_until_connect();
        rig.disconnect(cause.clone());
        assert!(matches!(rig.state(), Some(State::Disconnected { .. })), "{cause:?}");
    }
}

#[test]
fn a_server_that_says_when_is_taken_at_its_word() {
    let mut rig = Rig::new(config());
    rig.forget();
    rig.disconnect(Cause::Refused {
        status: 503,
        text: "busy".into(),
        retry_after: Some(Duration::from_secs(30)),
    });
    rig.pass(ms(29_999));
    assert!(rig.wants.is_empty());
    rig.pass(ms(8_000));
    assert_eq!(rig.wants, [Want::Connect { address: None }]);
}

#[test]
fn bytes_that_are_no_frames_end_the_connection_with_their_code() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.forget();
    rig.core.on_frames(rig.now, &[1, 2, 3]);
    rig.settle();
    assert_eq!(
        rig.wants,
        [Want::Disconnect { code: Code::BAD_FRAME.number(), reason: "the server broke the protocol" }]
    );
    rig.disconnect(Cause::Wanted);
    let Some(State::Disconnected { error, .. }) = rig.state() else { panic!("{:?}", rig.state()) };
    assert_eq!(error.fault(), Party::Server);
}

#[test]
fn equal_seeds_give_equal_histories() {
    let play = |seed| {
        let mut rig = Rig::seeded(config(), seed);
        for _ in 0..5 {
            rig.disconnect(Cause::Network("refused".into()));
            rig.pass_until_connect();
        }
        format!("{:?}", rig.events)
    };
    assert_eq!(play(3), play(3));
    assert_ne!(play(3), play(4));
}
