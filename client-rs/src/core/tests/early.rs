//! What is said before `Welcome`: publishes to conversations whose numbers are known from an earlier connection.

use super::*;

fn rig() -> Rig {
    Rig::joined(config(), Start::Latest, 0, 0)
}

#[test]
fn what_is_said_before_the_welcome_is_bounded_and_the_rest_follows_it() {
    let mut config = config();
    config.limits.early_bytes_max = 600;
    let mut rig = Rig::joined(config, Start::Latest, 0, 0);
    rig.lose();
    for text in ["a", "b", "c", "d", "e", "f"] {
        let body = text.repeat(50);
        rig.core.publish(rig.now, room("r"), Draft::text(body)).expect("room for it");
    }
    rig.sent.clear();
    rig.core.on_connected(rig.now);
    rig.settle();
    let early = rig.sent.len();
    assert!((2..6).contains(&early), "{:?}", rig.sent);
    rig.settle();
    assert_eq!(rig.sent.len(), early, "not by asking more often either");
    rig.welcome(64);
    assert_eq!(rig.sent.len(), 7, "Hello and six");
    let in_order = rig.sent[1..].iter().map(|line| line.split(' ').nth(1).expect("a number"));
    assert_eq!(in_order.collect::<Vec<_>>(), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn a_body_that_is_too_long_to_go_early_waits_and_nothing_overtakes_it() {
    let mut config = config();
    config.limits.early_bytes_max = 600;
    let mut rig = Rig::joined(config, Start::Latest, 0, 0);
    rig.lose();
    for body in ["a".repeat(700), "b".to_owned()] {
        rig.core.publish(rig.now, room("r"), Draft::text(body)).expect("room for it");
    }
    rig.sent.clear();
    rig.core.on_connected(rig.now);
    rig.settle();
    rig.check_sent(&["hello token [@0]"]);
    rig.welcome(64);
    assert_eq!(rig.sent.len(), 2);
    assert!(rig.sent[0].starts_with("publish 1 a") && rig.sent[1] == "publish 2 b");
}

#[test]
fn an_answer_that_comes_before_the_server_says_where_it_stands_counts() {
    let mut rig = rig();
    rig.lose();
    rig.publish("a");
    rig.connect();
    rig.ack(1, 10, false);
    // The conversation was busy when Hello asked; this was said before the acknowledgement, and came late.
    rig.joined_frame("r", 0, 1, 0);
    rig.sent.clear();
    rig.publish("b");
    rig.check_sent(&["publish 2 b"]);
}

#[test]
fn what_was_said_early_to_a_conversation_that_has_ended_fails_once() {
    let mut rig = rig();
    rig.lose();
    rig.publish("a");
    rig.connect();
    rig.forget();
    rig.reject_all(0, "r", 0, Code::NOT_A_MEMBER, 0);
    rig.reject(1, Code::NOT_A_MEMBER, 0);
    rig.check_events(&["publish 1 failed not_a_member", "ended not_a_member"]);
    assert_eq!((rig.core.outbox_bytes(), rig.core.is_idle()), (0, true));
}

#[test]
fn a_final_refusal_of_what_was_said_early_renumbers_when_all_of_it_is_answered() {
    let mut rig = rig();
    rig.lose();
    rig.publish("bad");
    rig.publish("b");
    rig.connect();
    rig.joined_frame("r", 0, 1, 0);
    rig.forget();
    rig.reject(1, Code::BODY_TOO_LARGE, 0);
    rig.check_sent(&[]);
    rig.reject(2, Code::SEQUENCE_GAP, 0);
    rig.check_sent(&["publish 1 b"]);
    rig.ack(1, 10, false);
    rig.check_events(&["publish 1 failed body_too_large", "publish 2 at 10"]);
}

#[test]
fn each_connection_says_which_one_it_is() {
    let mut numbers = Vec::new();
    for seed in [1, 2] {
        let mut rig = Rig::seeded(config(), seed);
        for _ in 0..3 {
            rig.core.on_connected(rig.now);
            rig.settle();
            numbers.push(rig.attempt);
            rig.disconnect(Cause::Network("cut".into()));
            rig.pass_until_connect();
        }
    }
    let starts: Vec<u64> = numbers.iter().map(|number| number >> 32).collect();
    assert!(starts[0] == starts[2] && starts[3] == starts[5] && starts[0] != starts[3], "{starts:?}");
    let counts: Vec<u64> = numbers.iter().map(|number| number & u64::from(u32::MAX)).collect();
    assert_eq!(counts, [1, 2, 3, 1, 2, 3]);
}
