//! Exactly once, in order: acknowledgements, refusals, resending, renumbering.

use super::*;
use crate::Error;

fn rig() -> Rig {
    Rig::joined(config(), Start::Latest, 0, 0)
}

#[test]
fn publishes_are_numbered_densely_and_settle_by_their_acknowledgement() {
    let mut rig = rig();
    for text in ["a", "b", "c"] {
        rig.publish(text);
    }
    rig.check_sent(&["publish 1 a", "publish 2 b", "publish 3 c"]);
    rig.ack(1, 10, false);
    rig.ack(2, 12, false);
    rig.ack(3, 13, false);
    rig.check_events(&["publish 1 at 10", "publish 2 at 12", "publish 3 at 13"]);
    assert!(rig.core.is_idle());
}

#[test]
fn numbering_goes_on_where_the_server_stands() {
    let mut rig = Rig::joined(config(), Start::Latest, 0, 41);
    rig.publish("a");
    rig.check_sent(&["publish 42 a"]);
}

#[test]
fn what_is_published_before_the_join_is_answered_waits_for_it() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.core.join(rig.now, "r", Start::Latest).expect("join");
    rig.publish("early");
    rig.check_sent(&["hello token []", "join r"]);
    rig.joined_frame("r", 5, 1, 2);
    rig.check_sent(&["publish 3 early"]);
}

#[test]
fn unacknowledged_publishes_are_resent_in_order_after_a_reconnect() {
    let mut rig = rig();
    for text in ["a", "b", "c"] {
        rig.publish(text);
    }
    rig.ack(1, 10, false);
    rig.forget();
    rig.lose();
    rig.publish("d");
    rig.sent.clear();
    rig.core.on_connected(rig.now);
    rig.settle();
    // The server has b already, c not, and will say so.
    rig.check_sent(&["hello token [@0]", "publish 2 b", "publish 3 c", "publish 4 d"]);
    rig.welcome(64);
    rig.joined_frame("r", 0, 1, 2);
    rig.check_sent(&[]);
    rig.events.clear();
    rig.ack(2, 11, true);
    rig.ack(3, 12, false);
    rig.ack(4, 13, false);
    rig.check_events(&["publish 2 at 11 again", "publish 3 at 12", "publish 4 at 13"]);
    rig.publish("e");
    rig.check_sent(&["publish 5 e"]);
}

#[test]
fn a_frame_of_the_dead_connection_that_arrives_late_makes_no_double() {
    let mut rig = rig();
    rig.publish("a");
    rig.reconnect();
    // The server answered the cursor before it read the old connection's last bytes: then ours is the duplicate.
    rig.joined_frame("r", 0, 1, 0);
    rig.check_sent(&["hello token [@0]", "publish 1 a"]);
    rig.events.clear();
    rig.ack(1, 9, true);
    rig.check_events(&["publish 1 at 9 again"]);
    assert!(rig.core.is_idle());
}

#[test]
fn a_gap_makes_it_go_back_and_resend_in_order() {
    let mut rig = rig();
    for text in ["a", "b", "c"] {
        rig.publish(text);
    }
    rig.forget();
    rig.reject(1, Code::OVERLOADED, 100);
    rig.reject(2, Code::SEQUENCE_GAP, 0);
    rig.check_sent(&[]);
    rig.reject(3, Code::SEQUENCE_GAP, 0);
    rig.check_sent(&[]);
    rig.pass(ms(99));
    rig.check_sent(&[]);
    rig.pass(ms(200));
    // After "busy" one goes alone, and the window opens as they are taken.
    rig.check_sent(&["publish 1 a"]);
    rig.ack(1, 10, false);
    rig.check_sent(&["publish 2 b", "publish 3 c"]);
    rig.ack(2, 11, false);
    rig.ack(3, 12, false);
    rig.check_events(&["notice overloaded", "publish 1 at 10", "publish 2 at 11", "publish 3 at 12"]);
}

#[test]
fn busy_is_retried_less_and_less_often_and_never_given_up() {
    let mut rig = rig();
    rig.publish("a");
    rig.forget();
    let mut waits = Vec::new();
    for _ in 0..12 {
        rig.reject(1, Code::RATE_LIMITED, 0);
        let before = rig.now;
        while rig.sent.is_empty() {
            let due = rig.core.deadline().expect("a retry is planned");
            let wait = due.saturating_sub(rig.now);
            rig.pass(wait);
            // The heartbeat has to be kept alive meanwhile.
            rig.sent.retain(|line| line != "ping");
            rig.frame(&ServerFrame::Pong(message::Pong { token: 1, server_time_ms: 1 }));
        }
        waits.push(rig.now - before);
        rig.check_sent(&["publish 1 a"]);
    }
    assert!(waits[0] >= ms(100) && waits[0] <= ms(300), "{waits:?}");
    assert!(waits[11] > waits[0] * 10, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(60)), "{waits:?}");
    rig.ack(1, 1, false);
    assert!(rig.core.is_idle());
}

#[test]
fn behind_a_final_refusal_the_others_move_up() {
    let mut rig = rig();
    for text in ["a", "bad", "c", "d"] {
        rig.publish(text);
    }
    rig.forget();
    rig.ack(1, 10, false);
    rig.reject(2, Code::BODY_TOO_LARGE, 0);
    rig.check_events(&["publish 1 at 10", "publish 2 failed body_too_large"]);
    rig.reject(3, Code::SEQUENCE_GAP, 0);
    // One is still in flight: its answer must not be taken for that of a renumbered one.
    rig.check_sent(&[]);
    rig.reject(4, Code::SEQUENCE_GAP, 0);
    rig.check_sent(&["publish 2 c", "publish 3 d"]);
    rig.ack(2, 11, false);
    rig.ack(3, 12, false);
    rig.check_events(&["publish 3 at 11", "publish 4 at 12"]);
    rig.publish("e");
    rig.check_sent(&["publish 4 e"]);
}

#[test]
fn a_refusal_that_overtakes_the_acknowledgement_before_it_changes_nothing() {
    let mut rig = rig();
    for text in ["a", "bad", "c"] {
        rig.publish(text);
    }
    rig.forget();
    rig.reject(2, Code::BODY_TOO_LARGE, 0);
    rig.reject(3, Code::SEQUENCE_GAP, 0);
    rig.check_sent(&[]);
    rig.ack(1, 10, false);
    rig.check_sent(&["publish 2 c"]);
    rig.ack(2, 11, false);
    rig.check_events(&["publish 2 failed body_too_large", "publish 1 at 10", "publish 3 at 11"]);
}

#[test]
fn several_final_refusals_give_all_their_numbers_back() {
    let mut rig = rig();
    for text in ["bad", "bad", "c", "bad", "e"] {
        rig.publish(text);
    }
    rig.forget();
    rig.reject(1, Code::BODY_TOO_LARGE, 0);
    rig.reject(2, Code::BODY_TOO_LARGE, 0);
    rig.reject(3, Code::SEQUENCE_GAP, 0);
    rig.reject(4, Code::BODY_TOO_LARGE, 0);
    rig.reject(5, Code::SEQUENCE_GAP, 0);
    rig.check_sent(&["publish 1 c", "publish 2 e"]);
}

#[test]
fn a_server_that_forgot_acknowledged_publishes_does_not_stall_the_rest() {
    let mut rig = rig();
    for text in ["a", "b"] {
        rig.publish(text);
    }
    rig.ack(1, 10, false);
    rig.ack(2, 11, false);
    rig.publish("c");
    rig.reconnect();
    rig.check_sent(&["hello token [@0]", "publish 3 c"]);
    // It lost both: they were acknowledged from memory.
    rig.joined_frame("r", 0, 1, 0);
    rig.reject(3, Code::SEQUENCE_GAP, 0);
    rig.pass(ms(1_000));
    rig.check_sent(&["open after 0"]);
    rig.joined_frame("r", 0, 1, 0);
    rig.check_sent(&["publish 1 c"]);
}

#[test]
fn only_gaps_mean_that_the_server_has_to_be_asked_where_it_stands() {
    let mut rig = rig();
    for text in ["a", "b", "c"] {
        rig.publish(text);
    }
    rig.ack(1, 10, false);
    rig.forget();
    rig.reject(2, Code::SEQUENCE_GAP, 0);
    rig.reject(3, Code::SEQUENCE_GAP, 0);
    rig.check_sent(&[]);
    rig.pass(ms(1_000));
    rig.check_sent(&["open after 0"]);
    rig.joined_frame("r", 0, 1, 0);
    rig.check_sent(&["publish 1 b", "publish 2 c"]);
    rig.ack(1, 10, false);
    rig.ack(2, 11, false);
    assert!(rig.core.is_idle());
}

#[test]
fn a_second_client_with_the_same_device_id_costs_no_message() {
    let mut rig = rig();
    rig.publish("a");
    rig.forget();
    // The number was used by somebody else: ours cannot have been accepted, so it goes again under another one.
    rig.ack(1, 10, true);
    rig.check_events(&[]);
    rig.pass(ms(1_000));
    rig.check_sent(&["open after 0"]);
    rig.joined_frame("r", 0, 1, 1);
    rig.check_sent(&["publish 2 a"]);
    rig.ack(2, 11, false);
    rig.events.retain(|event| !matches!(event, Event::Joined { .. } | Event::CaughtUp { .. }));
    rig.check_events(&["publish 1 at 11"]);
}

#[test]
fn what_cannot_be_known_any_more_is_said_and_not_guessed() {
    let mut rig = rig();
    rig.publish("a");
    rig.reconnect();
    rig.forget();
    // Five accepted, of which we sent one: the first may be ours or not.
    rig.joined_frame("r", 0, 1, 5);
    rig.ack(1, 10, true);
    rig.events.retain(|event| matches!(event, Event::PublishFailed { .. } | Event::Published { .. }));
    rig.check_events(&["publish 1 failed DeviceShared"]);
    rig.publish("b");
    rig.check_sent(&["publish 2 b"]);
    rig.ack(2, 11, true);
    rig.pass(ms(1_000));
    rig.check_sent(&["open after 0"]);
    rig.joined_frame("r", 0, 1, 5);
    rig.check_sent(&["publish 6 b"]);
}

#[test]
fn a_full_outbox_refuses_with_a_typed_error_and_takes_again_after_an_acknowledgement() {
    let mut config = config();
    config.limits.outbox_entries_max = 2;
    config.limits.flight_max = 2;
    let mut rig = Rig::joined(config, Start::Latest, 0, 0);
    rig.publish("a");
    rig.publish("b");
    let refused = rig.core.publish(rig.now, room("r"), Draft::text("c"));
    assert_eq!(refused, Err(Error::OutboxFull { entries: 2, bytes: 2 }));
    assert!(refused.expect_err("refused").is_retryable());
    rig.ack(1, 1, false);
    rig.publish("c");
    rig.check_sent(&["publish 1 a", "publish 2 b", "publish 3 c"]);
}

#[test]
fn the_outboxes_together_are_bounded_in_bytes() {
    let mut config = config();
    config.limits.outbox_bytes_max = 100;
    config.limits.outbox_total_bytes_max = 150;
    let mut rig = Rig::joined(config, Start::Latest, 0, 0);
    rig.core.join(rig.now, "s", Start::Latest).expect("join");
    let publish = |rig: &mut Rig, name: &str, bytes: usize| {
        rig.core.publish(rig.now, room(name), Draft::application(vec![0; bytes])).map(|_| ())
    };
    assert_eq!(publish(&mut rig, "r", 60), Ok(()));
    assert!(matches!(publish(&mut rig, "r", 60), Err(Error::OutboxFull { .. })));
    assert_eq!(publish(&mut rig, "s", 80), Ok(()));
    assert!(matches!(publish(&mut rig, "s", 20), Err(Error::OutboxFull { .. })));
    assert_eq!(rig.core.outbox_bytes(), 140);
    rig.settle();
    rig.ack(1, 1, false);
    assert_eq!(rig.core.outbox_bytes(), 80);
    assert_eq!(publish(&mut rig, "s", 20), Ok(()));
}

#[test]
fn a_body_too_large_for_the_server_is_refused_before_it_is_sent() {
    let mut rig = rig();
    let refused = rig.core.publish(rig.now, room("r"), Draft::application(vec![0; 1025]));
    assert_eq!(refused, Err(Error::BodyTooLarge { bytes: 1025, bytes_max: 1024 }));
    let refused = rig.core.publish(rig.now, room("r"), Draft::edit(0, "x"));
    assert!(matches!(refused, Err(Error::Invalid(_))));
    rig.check_sent(&[]);
}

#[test]
fn the_window_of_the_server_bounds_what_flies_over_all_conversations() {
    let mut rig = Rig::new(config());
    rig.core.on_connected(rig.now);
    rig.settle();
    rig.welcome(3);
    for name in ["r", "s"] {
        rig.core.join(rig.now, name, Start::Latest).expect("join");
        rig.settle();
        rig.joined_frame(name, 0, 1, 0);
    }
    rig.forget();
    for text in ["a", "b"] {
        for name in ["r", "s"] {
            rig.core.publish(rig.now, room(name), Draft::text(text)).expect("room for it");
        }
    }
    rig.settle();
    assert_eq!(rig.sent.len(), 3);
    rig.sent.clear();
    rig.ack(1, 1, false);
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn the_server_remembers_what_is_in_flight() {
    let mut rig = Rig::new(config());
    rig.core.on_connected(rig.now);
    rig.settle();
    rig.welcome(u16::MAX);
    rig.core.join(rig.now, "r", Start::Latest).expect("join");
    rig.settle();
    rig.joined_frame("r", 0, 1, 0);
    rig.forget();
    for _ in 0..200 {
        rig.publish("x");
    }
    assert_eq!(rig.sent.len(), 64);
}

#[test]
fn a_server_that_stays_silent_about_publishes_is_left_and_they_are_resent() {
    let mut rig = rig();
    rig.publish("a");
    rig.forget();
    for _ in 0..7 {
        rig.pass(Duration::from_secs(5));
        rig.frame(&ServerFrame::Pong(message::Pong { token: 1, server_time_ms: 1 }));
    }
    assert!(matches!(rig.wants[..], [Want::Disconnect { .. }]), "{:?}", rig.wants);
    rig.disconnect(Cause::Wanted);
    assert!(matches!(
        rig.state(),
        Some(State::Disconnected { error: Error::TimedOut { what: "publish", .. }, .. })
    ));
}

#[test]
fn leaving_waits_for_what_was_published_before() {
    let mut rig = rig();
    rig.publish("a");
    rig.forget();
    rig.core.leave(rig.now, room("r")).expect("leave");
    rig.settle();
    assert_eq!(rig.core.publish(rig.now, room("r"), Draft::text("late")), Err(Error::NotJoined));
    rig.check_sent(&[]);
    rig.ack(1, 1, false);
    rig.check_sent(&["leave"]);
    let request = rig.last_request;
    rig.frame(&ServerFrame::Done(message::Done { request, conversation: room("r"), sequence: 2 }));
    rig.check_events(&["publish 1 at 1", "left"]);
}

#[test]
fn losing_the_conversation_fails_what_waits_for_it() {
    let mut rig = rig();
    rig.publish("a");
    rig.reconnect();
    rig.forget();
    rig.reject_all(0, "r", 0, Code::NOT_A_MEMBER, 0);
    rig.check_events(&["publish 1 failed not_a_member", "ended not_a_member"]);
    assert_eq!(rig.core.publish(rig.now, room("r"), Draft::text("b")), Err(Error::NotJoined));
    assert_eq!(rig.core.outbox_bytes(), 0);
}

#[test]
fn shutting_down_waits_for_acknowledgements() {
    let mut rig = rig();
    rig.publish("a");
    rig.core.shutdown(rig.now + ms(5_000));
    rig.settle();
    assert_eq!(rig.core.publish(rig.now, room("r"), Draft::text("b")), Err(Error::ShutDown));
    assert!(rig.wants.is_empty());
    rig.ack(1, 1, false);
    assert!(matches!(rig.wants[..], [Want::Disconnect { code: 1000, .. }]));
    rig.disconnect(Cause::Wanted);
    assert!(matches!(rig.state(), Some(State::Closed)));
    rig.check_events(&["publish 1 at 1"]);
}

#[test]
fn shutting_down_says_what_was_not_acknowledged() {
    let mut rig = rig();
    rig.publish("a");
    rig.core.shutdown(rig.now + ms(5_000));
    rig.pass(ms(5_000));
    assert!(matches!(rig.wants[..], [Want::Disconnect { code: 1000, .. }]));
    rig.disconnect(Cause::Wanted);
    rig.check_events(&["publish 1 failed Unacknowledged"]);
    assert_eq!(rig.core.deadline(), None);
}

#[test]
fn what_is_published_in_one_tick_leaves_in_one_message() {
    let mut rig = Rig::joined(config(), Start::Latest, 0, 0);
    rig.core.join(rig.now, "s", Start::Latest).expect("join");
    rig.settle();
    rig.joined_frame("s", 0, 1, 0);
    rig.forget();
    for n in 0..40 {
        let name = if n % 4 == 0 { "s" } else { "r" };
        rig.core.publish(rig.now, room(name), Draft::text(format!("{n}"))).expect("room for it");
    }
    rig.core.typing(rig.now, room("s"), true).expect("joined");
    let mut message = Vec::new();
    assert!(rig.core.poll_frames(rig.now, &mut message));
    assert!(!rig.core.poll_frames(rig.now, &mut Vec::new()), "nothing is left for a second one");
    let mut rest = &message[..];
    let mut publishes = 0;
    while let Some(frame) = frame::split(&mut rest, FRAME_BYTES_MAX).expect("whole frames") {
        publishes += usize::from(frame.kind == frame::FrameType::Publish);
    }
    assert_eq!(publishes, 40);
}
