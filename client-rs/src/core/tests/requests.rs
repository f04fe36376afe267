//! Requests: answers, refusals, time-outs, reconnects; reading and typing.

use ringwire_protocol::message::{Direction, Done, Pong};

use super::*;
use crate::Error;
use crate::core::Range;

fn rig() -> Rig {
    Rig::joined(config(), Start::Latest, 9, 0)
}

fn range() -> Range {
    Range { from: u64::MAX, limit: 1000, direction: Direction::Backward, view: message::View::Raw }
}

#[test]
fn history_is_asked_for_and_answered() {
    let mut rig = rig();
    rig.core.history(rig.now, room("r"), range()).expect("history");
    rig.settle();
    rig.check_sent(&[&format!("fetch {} +256 Backward", u64::MAX)]);
    rig.page(7, 9, 9, &[7, 8, 9]);
    rig.check_events(&["history of 3"]);
}

#[test]
fn a_request_survives_a_reconnect() {
    let mut rig = rig();
    rig.core.members(rig.now, room("r"), None).expect("members");
    rig.settle();
    rig.check_sent(&["members"]);
    rig.disconnect(Cause::Network("cut".into()));
    rig.pass(ms(2_000));
    rig.connect();
    rig.check_sent(&["hello token [@9]", "members"]);
}

#[test]
fn a_request_without_an_answer_fails_in_time() {
    let mut rig = rig();
    rig.core.history(rig.now, room("r"), range()).expect("history");
    rig.pass(Duration::from_secs(15));
    rig.events.retain(|event| matches!(event, Event::RequestFailed { .. }));
    rig.check_events(&["request failed TimedOut { what: \"fetch\", after: 15s }"]);
    // An answer that comes after all is nobody's.
    rig.page(9, 9, 9, &[9]);
    rig.check_events(&[]);
    assert!(rig.wants.is_empty());
}

#[test]
fn a_busy_server_is_asked_again_within_the_time() {
    let mut rig = rig();
    rig.core.history(rig.now, room("r"), range()).expect("history");
    rig.settle();
    rig.forget();
    rig.reject_request(Code::OVERLOADED, 500);
    rig.check_events(&[]);
    rig.pass(ms(2_000));
    assert_eq!(rig.sent.len(), 1);
    rig.reject_request(Code::OVERLOADED, 30_000);
    rig.check_events(&["request failed overloaded"]);
}

#[test]
fn a_refused_join_leaves_nothing_behind() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.core.join(rig.now, "r", Start::Latest).expect("join");
    rig.publish("a");
    rig.forget();
    rig.reject_request(Code::CREATION_FORBIDDEN, 0);
    rig.check_events(&["request failed creation_forbidden", "publish 1 failed creation_forbidden"]);
    assert_eq!(rig.core.publish(rig.now, room("r"), Draft::text("b")), Err(Error::NotJoined));
    rig.core.join(rig.now, "r", Start::Latest).expect("it may be tried again");
}

#[test]
fn joining_twice_is_refused_and_so_are_names_that_the_server_would_refuse() {
    let mut rig = rig();
    assert_eq!(rig.core.join(rig.now, "r", Start::Latest), Err(Error::AlreadyJoined));
    for name in ["", "a\u{7}", &"x".repeat(257)] {
        assert!(matches!(rig.core.join(rig.now, name, Start::Latest), Err(Error::Invalid(_))), "{name:?}");
    }
}

#[test]
fn requests_and_conversations_are_bounded() {
    let mut config = config();
    config.limits.requests_max = 2;
    config.limits.conversations_max = 2;
    let mut rig = Rig::new(config);
    assert!(rig.core.join(rig.now, "a", Start::Latest).is_ok());
    assert!(rig.core.join(rig.now, "b", Start::Latest).is_ok());
    assert_eq!(
        rig.core.join(rig.now, "c", Start::Latest),
        Err(Error::TooMany { what: "conversations", max: 2 })
    );
    assert_eq!(rig.core.watch(rig.now, Vec::new()), Err(Error::TooMany { what: "requests", max: 2 }));
}

#[test]
fn leaving_what_is_left_already_has_worked() {
    let mut rig = rig();
    rig.core.leave(rig.now, room("r")).expect("leave");
    rig.settle();
    rig.reconnect();
    rig.forget();
    rig.reject_all(0, "r", 0, Code::NOT_A_MEMBER, 0);
    rig.check_events(&["left"]);
    assert!(rig.core.is_idle());
}

#[test]
fn a_leave_that_fails_keeps_the_conversation() {
    let mut rig = rig();
    rig.core.leave(rig.now, room("r")).expect("leave");
    rig.settle();
    rig.forget();
    rig.reject_request(Code::LAST_OWNER, 0);
    rig.check_events(&["request failed last_owner"]);
    rig.publish("a");
    rig.check_sent(&["publish 1 a"]);
}

#[test]
fn an_open_answered_after_its_time_still_says_what_is_missing() {
    let mut rig = rig();
    rig.frame(&ServerFrame::Head(message::Head { conversation: room("r"), head: 9 }));
    rig.check_sent(&["open after 9"]);
    let request = rig.last_request;
    // Other conversations keep the connection busy; only this answer is late.
    for _ in 0..3 {
        rig.pass(Duration::from_secs(5));
        rig.frame(&ServerFrame::Pong(Pong { token: 1, server_time_ms: 1 }));
    }
    rig.forget();
    rig.last_request = request;
    // From here on the server feeds what comes after 11, and nothing else will say that 10 and 11 exist.
    rig.joined_frame("r", 11, 1, 0);
    rig.check_sent(&["fetch 10 +2 Forward"]);
}

#[test]
fn a_leave_carried_out_after_its_time_ends_the_conversation() {
    let mut rig = rig();
    rig.core.leave(rig.now, room("r")).expect("leave");
    rig.settle();
    let request = rig.last_request;
    for _ in 0..3 {
        rig.pass(Duration::from_secs(5));
        rig.frame(&ServerFrame::Pong(Pong { token: 1, server_time_ms: 1 }));
    }
    rig.check_events(&["request failed TimedOut { what: \"leave\", after: 15s }"]);
    rig.frame(&ServerFrame::Done(Done { request, conversation: room("r"), sequence: 10 }));
    rig.check_events(&["ended "]);
    assert_eq!(rig.core.publish(rig.now, room("r"), Draft::text("b")), Err(Error::NotJoined));
}

#[test]
fn the_watch_list_is_renewed_with_the_connection() {
    let mut rig = rig();
    rig.core.watch(rig.now, vec![UserId::from_name("a"), UserId::from_name("b")]).expect("watch");
    rig.settle();
    let request = rig.last_request;
    rig.frame(&ServerFrame::Done(Done { request, conversation: ConversationId::ZERO, sequence: 0 }));
    rig.check_events(&["done"]);
    rig.reconnect();
    rig.check_sent(&["hello token [@9]", "watch 2"]);
}

#[test]
fn the_highest_read_cursor_counts_and_is_told_again_after_a_reconnect() {
    let mut rig = rig();
    for sequence in [5, 4, 8] {
        rig.core.read(rig.now, room("r"), sequence).expect("joined");
    }
    rig.settle();
    rig.check_sent(&["read 8"]);
    rig.core.read(rig.now, room("r"), 7).expect("joined");
    rig.settle();
    rig.check_sent(&[]);
    rig.reconnect();
    rig.sent.clear();
    rig.joined_frame("r", 9, 1, 0);
    rig.check_sent(&["read 8"]);
}

#[test]
fn typing_is_told_at_the_beginning_after_three_seconds_and_at_the_end() {
    let mut rig = rig();
    let press = |rig: &mut Rig, active| {
        rig.core.typing(rig.now, room("r"), active).expect("joined");
        rig.settle();
    };
    press(&mut rig, false);
    rig.check_sent(&[]);
    press(&mut rig, true);
    rig.check_sent(&["typing true"]);
    rig.pass(ms(2_000));
    press(&mut rig, true);
    rig.check_sent(&[]);
    rig.pass(ms(1_000));
    press(&mut rig, true);
    rig.check_sent(&["typing true"]);
    press(&mut rig, false);
    press(&mut rig, false);
    rig.check_sent(&["typing false"]);
    rig.disconnect(Cause::Network("cut".into()));
    press(&mut rig, true);
    rig.pass(ms(1_500));
    rig.connect();
    rig.joined_frame("r", 9, 1, 0);
    assert!(!rig.sent.iter().any(|line| line.starts_with("typing")), "nobody types any more: {:?}", rig.sent);
}

#[test]
fn detaching_stops_the_messages_and_keeps_the_membership() {
    let mut rig = rig();
    rig.core.detach_conversation(rig.now, room("r"));
    rig.settle();
    rig.message(10);
    rig.check_events(&[]);
    rig.check_sent(&[]);
    rig.reconnect();
    rig.check_sent(&["hello token []"]);
}

#[test]
fn an_open_conversation_is_closed_when_it_is_detached() {
    let mut rig = rig();
    rig.frame(&ServerFrame::Head(message::Head { conversation: room("r"), head: 9 }));
    rig.check_sent(&["open after 9"]);
    rig.joined_frame("r", 9, 1, 0);
    rig.core.detach_conversation(rig.now, room("r"));
    rig.settle();
    rig.check_sent(&["close"]);
    rig.frame(&ServerFrame::Pong(Pong { token: 0, server_time_ms: 0 }));
}

#[test]
fn an_unanswered_cursor_is_asked_about() {
    let mut rig = rig();
    rig.reconnect();
    rig.sent.clear();
    rig.pass(Duration::from_secs(15));
    assert!(rig.sent.contains(&"open after 9".to_owned()), "{:?}", rig.sent);
    rig.events.clear();
    rig.joined_frame("r", 9, 1, 0);
    rig.check_events(&["joined @9 head 9", "caught up 9"]);
}

#[test]
fn an_answer_of_the_wrong_kind_ends_the_connection() {
    let mut rig = rig();
    rig.core.members(rig.now, room("r"), None).expect("members");
    rig.settle();
    rig.page(9, 9, 9, &[9]);
    assert!(matches!(rig.wants[..], [Want::Disconnect { .. }]));
}
