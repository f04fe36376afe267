//! Dense: resuming, closing holes, doubles, gaps, slow readers.

use ringwire_protocol::message::{Gap, GapCause, Head};

use super::*;

fn rig(head: u64) -> Rig {
    Rig::joined(config(), Start::Latest, head, 0)
}

#[test]
fn live_messages_go_through_in_order_and_doubles_do_not() {
    let mut rig = rig(4);
    for sequence in [5, 6, 5, 6, 7, 1] {
        rig.message(sequence);
    }
    rig.check_events(&["m5", "m6", "m7"]);
    rig.check_sent(&[]);
}

#[test]
fn a_hole_is_closed_before_what_is_behind_it_is_delivered() {
    let mut rig = rig(4);
    rig.message(5);
    rig.message(8);
    rig.check_events(&["m5"]);
    rig.check_sent(&["fetch 6 +2 Forward"]);
    rig.message(9);
    rig.check_sent(&[]);
    rig.page(6, 7, 9, &[6, 7]);
    rig.check_events(&["m6", "m7", "m8", "m9"]);
    rig.check_sent(&[]);
}

#[test]
fn a_page_may_be_shorter_than_asked_for_and_overlap_what_is_held() {
    let mut rig = rig(0);
    rig.message(5);
    rig.check_sent(&["fetch 1 +4 Forward"]);
    rig.page(1, 2, 5, &[1, 2]);
    rig.check_sent(&["fetch 3 +2 Forward"]);
    rig.page(3, 6, 6, &[3, 4, 5, 6]);
    rig.check_events(&["m1", "m2", "m3", "m4", "m5", "m6"]);
    rig.check_sent(&[]);
}

#[test]
fn resuming_fetches_exactly_what_was_missed_and_holds_live_messages_meanwhile() {
    let mut rig = rig(10);
    rig.message(11);
    rig.reconnect();
    rig.check_sent(&["hello token [@11]"]);
    rig.events.clear();
    rig.joined_frame("r", 14, 1, 0);
    rig.check_sent(&["fetch 12 +3 Forward"]);
    rig.message(15);
    rig.page(12, 14, 15, &[12, 13, 14]);
    rig.message(16);
    rig.check_events(&["joined @11 head 14", "m12", "m13", "m14", "caught up 14", "m15", "m16"]);
}

#[test]
fn resuming_when_nothing_was_missed_asks_for_nothing() {
    let mut rig = rig(10);
    rig.reconnect();
    rig.events.clear();
    rig.joined_frame("r", 10, 1, 0);
    rig.check_events(&["joined @10 head 10", "caught up 10"]);
    rig.check_sent(&["hello token [@10]"]);
}

#[test]
fn joining_can_begin_with_the_last_messages_or_after_a_known_one() {
    let cases = [
        (Start::Latest, 9, 1, "joined @9 head 9", None),
        (Start::Last(3), 9, 1, "joined @6 head 9", Some("fetch 7 +3 Forward")),
        (Start::Last(3), 9, 8, "joined @7 head 9", Some("fetch 8 +2 Forward")),
        (Start::Last(3), 0, 0, "joined @0 head 0", None),
        (Start::Last(50), 9, 1, "joined @0 head 9", Some("fetch 1 +9 Forward")),
        (Start::After(0), 9, 4, "joined @3 head 9", Some("fetch 4 +6 Forward")),
        (Start::After(5), 9, 1, "joined @5 head 9", Some("fetch 6 +4 Forward")),
        (Start::After(9), 9, 1, "joined @9 head 9", None),
    ];
    for (start, head, first, joined, fetch) in cases {
        let mut rig = Rig::new(config());
        rig.connect();
        rig.core.join(rig.now, "r", start).expect("join");
        rig.settle();
        rig.forget();
        rig.joined_frame("r", head, first, 0);
        let told = rig.events.first().and_then(tell);
        assert_eq!(told.as_deref(), Some(joined), "{start:?}");
        assert_eq!(rig.sent.first().map(String::as_str), fetch, "{start:?}");
    }
}

#[test]
fn what_is_not_kept_any_more_is_said_before_the_rest() {
    let mut rig = rig(10);
    rig.reconnect();
    rig.forget();
    rig.joined_frame("r", 20, 15, 0);
    rig.check_sent(&["fetch 15 +6 Forward"]);
    rig.page(15, 20, 20, &[15, 16, 17, 18, 19, 20]);
    rig.check_events(&[
        "joined @10 head 20",
        "gap 11-14 older than what the server keeps",
        "m15",
        "m16",
        "m17",
        "m18",
        "m19",
        "m20",
        "caught up 20",
    ]);
}

#[test]
fn what_a_page_answers_for_without_having_it_is_a_gap() {
    let mut rig = rig(0);
    rig.message(9);
    rig.forget();
    rig.page(1, 8, 9, &[3, 4, 7]);
    rig.check_events(&[
        "gap 1-2 not kept by the server any more",
        "m3",
        "m4",
        "gap 5-6 not kept by the server any more",
        "m7",
        "gap 8-8 not kept by the server any more",
        "m9",
    ]);
}

fn gap(rig: &mut Rig, from: u64, to: u64, cause: GapCause) {
    rig.frame(&ServerFrame::Gap(Gap { conversation: room("r"), from, to, cause }));
}

#[test]
fn a_gap_is_told_in_its_place() {
    let mut rig = rig(4);
    gap(&mut rig, 5, 6, GapCause::Erased);
    rig.message(7);
    rig.message(10);
    gap(&mut rig, 12, 13, GapCause::Lost);
    rig.message(14);
    rig.check_events(&["gap 5-6 removed by an operator", "m7"]);
    rig.check_sent(&["fetch 8 +2 Forward"]);
    gap(&mut rig, 8, 8, GapCause::Lost);
    rig.page(9, 11, 14, &[9, 10, 11]);
    rig.check_events(&[
        "gap 8-8 damaged on the server",
        "m9",
        "m10",
        "m11",
        "gap 12-13 damaged on the server",
        "m14",
    ]);
}

#[test]
fn what_expires_while_it_is_asked_for_is_a_gap_and_the_rest_goes_on_behind_it() {
    let mut rig = rig(4);
    rig.message(12);
    rig.check_sent(&["fetch 5 +7 Forward"]);
    gap(&mut rig, 5, 8, GapCause::Expired);
    rig.page(9, 10, 12, &[9, 10]);
    rig.check_events(&["gap 5-8 older than what the server keeps", "m9", "m10"]);
    // All that was asked for is gone by now: the page answers for that and has nothing.
    rig.check_sent(&["fetch 11 +1 Forward"]);
    gap(&mut rig, 11, 11, GapCause::Expired);
    rig.page(11, 11, 12, &[]);
    rig.check_events(&["gap 11-11 older than what the server keeps", "m12"]);
}

#[test]
fn a_gap_that_is_over_is_no_news() {
    let mut rig = rig(4);
    rig.message(5);
    gap(&mut rig, 3, 5, GapCause::Lost);
    gap(&mut rig, 4, 6, GapCause::Lost);
    rig.check_events(&["m5", "gap 6-6 damaged on the server"]);
}

#[test]
fn what_is_unavailable_is_asked_for_again_and_not_skipped() {
    let mut rig = rig(4);
    gap(&mut rig, 5, 6, GapCause::Unavailable);
    rig.check_events(&[]);
    rig.check_sent(&[]);
    rig.pass(ms(1_000));
    rig.check_sent(&["fetch 5 +2 Forward"]);
    rig.page(5, 6, 6, &[5, 6]);
    rig.check_events(&["m5", "m6"]);
}

#[test]
fn a_page_behind_what_is_unavailable_does_not_skip_it() {
    let mut rig = rig(4);
    rig.message(9);
    rig.check_sent(&["fetch 5 +4 Forward"]);
    gap(&mut rig, 6, 7, GapCause::Unavailable);
    rig.page(8, 8, 9, &[8]);
    rig.check_events(&["gap 5-5 not kept by the server any more"]);
    rig.pass(ms(1_000));
    rig.check_sent(&["fetch 6 +2 Forward"]);
    rig.page(6, 7, 9, &[6, 7]);
    rig.check_events(&["m6", "m7", "m8", "m9"]);
}

#[test]
fn a_refused_fetch_is_tried_again_and_a_final_refusal_ends_the_conversation() {
    let mut rig = rig(4);
    rig.message(6);
    rig.check_sent(&["fetch 5 +1 Forward"]);
    rig.reject_request(Code::HISTORY_UNAVAILABLE, 3_000);
    rig.pass(ms(2_999));
    rig.check_sent(&[]);
    rig.pass(ms(1_500));
    rig.check_sent(&["fetch 5 +1 Forward"]);
    rig.reject_request(Code::NOT_A_MEMBER, 0);
    rig.check_events(&["ended not_a_member"]);
}

#[test]
fn empty_pages_are_not_asked_for_in_a_tight_loop() {
    let mut rig = rig(4);
    rig.message(9);
    let mut fetches = 0;
    for _ in 0..600 {
        if rig.sent.iter().any(|line| line.starts_with("fetch")) {
            fetches += 1;
            rig.sent.clear();
            rig.page(5, 4, 9, &[]);
        }
        rig.pass(ms(100));
        rig.frame(&ServerFrame::Pong(message::Pong { token: 1, server_time_ms: 1 }));
    }
    assert!((3..=12).contains(&fetches), "{fetches} in a minute");
}

#[test]
fn a_head_asks_to_be_fed_live_once_and_fetches() {
    let mut rig = rig(4);
    rig.frame(&ServerFrame::Head(Head { conversation: room("r"), head: 6 }));
    rig.check_sent(&["open after 4", "fetch 5 +2 Forward"]);
    rig.page(5, 6, 6, &[5, 6]);
    rig.check_events(&["m5", "m6"]);
    rig.frame(&ServerFrame::Head(Head { conversation: room("r"), head: 7 }));
    rig.check_sent(&["fetch 7 +1 Forward"]);
    rig.page(7, 7, 7, &[7]);
    // Turned down for being slow; after a while it asks again.
    rig.pass(ms(10_000));
    rig.frame(&ServerFrame::Pong(message::Pong { token: 1, server_time_ms: 1 }));
    rig.forget();
    rig.frame(&ServerFrame::Head(Head { conversation: room("r"), head: 8 }));
    assert!(rig.sent.contains(&"fetch 8 +1 Forward".to_owned()), "{:?}", rig.sent);
}

#[test]
fn a_slow_reader_costs_a_bounded_amount_and_loses_nothing() {
    let mut config = config();
    config.credit = 2;
    config.limits.held_messages_max = 3;
    let mut rig = Rig::joined(config, Start::Latest, 0, 0);
    for sequence in 1..=20 {
        rig.message(sequence);
    }
    rig.check_events(&["m1", "m2"]);
    rig.check_sent(&[]);
    rig.core.grant(rig.now, room("r"), 4);
    rig.settle();
    rig.check_events(&["m3", "m4", "m5"]);
    rig.check_sent(&["fetch 6 +1 Forward"]);
    rig.page(6, 6, 20, &[6]);
    rig.core.grant(rig.now, room("r"), 100);
    rig.settle();
    rig.check_sent(&["fetch 7 +14 Forward"]);
    rig.page(7, 20, 20, &(7..=20).collect::<Vec<_>>());
    rig.message(21);
    let expected: Vec<String> = (6..=21).map(|sequence| format!("m{sequence}")).collect();
    rig.check_events(&expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn what_is_held_is_bounded_in_bytes_and_the_nearest_stays() {
    let mut config = config();
    config.limits.held_bytes_max = 5;
    let mut rig = Rig::joined(config, Start::Latest, 0, 0);
    for sequence in [9, 8, 3, 2, 4] {
        rig.message(sequence);
    }
    rig.check_sent(&["fetch 1 +8 Forward"]);
    rig.page(1, 1, 9, &[1]);
    rig.check_events(&["m1", "m2", "m3"]);
    rig.check_sent(&["fetch 4 +6 Forward"]);
}

#[test]
fn a_server_that_lost_what_it_had_delivered_starts_again_from_there() {
    let mut rig = rig(0);
    for sequence in 1..=5 {
        rig.message(sequence);
    }
    rig.reconnect();
    rig.forget();
    rig.joined_frame("r", 3, 1, 0);
    rig.message(4);
    rig.check_events(&[
        "joined @5 head 3",
        "gap 4-5 lost when the server stopped; their numbers are given again",
        "caught up 3",
        "m4",
    ]);
}

#[test]
fn few_conversations_fetch_at_a_time() {
    let mut config = config();
    config.limits.fills_max = 2;
    let mut rig = Rig::new(config);
    rig.connect();
    for index in 0..5 {
        let name = format!("c{index}");
        rig.core.join(rig.now, &name, Start::Last(1)).expect("join");
        rig.settle();
        rig.joined_frame(&name, 3, 1, 0);
    }
    let fetches = rig.sent.iter().filter(|line| line.starts_with("fetch")).count();
    assert_eq!(fetches, 2);
}

#[test]
fn messages_of_conversations_that_are_not_joined_are_no_concern() {
    let mut rig = rig(0);
    let mut message = wire_message(1, "x");
    message.conversation = room("elsewhere");
    rig.frame(&ServerFrame::Message(message));
    rig.frame(&ServerFrame::Head(Head { conversation: room("elsewhere"), head: 5 }));
    rig.check_events(&[]);
    rig.check_sent(&[]);
    assert!(rig.wants.is_empty());
}

#[test]
fn numbers_that_no_server_can_mean_end_the_connection() {
    type Case = (&'static str, fn(&mut Rig));
    let cases: &[Case] = &[
        ("zero", |rig| rig.frame(&ServerFrame::Message(wire_message(0, "x")))),
        ("huge", |rig| rig.frame(&ServerFrame::Message(wire_message(u64::MAX, "x")))),
        ("head", |rig| rig.frame(&ServerFrame::Head(Head { conversation: room("r"), head: u64::MAX }))),
        ("gap", |rig| gap(rig, 7, 6, GapCause::Lost)),
        ("standing", |rig| {
            rig.last_request = 0;
            rig.joined_frame("r", 0, 0, u64::MAX);
        }),
        ("page", |rig| {
            rig.message(3);
            rig.page(1, 2, 3, &[2, 1]);
        }),
        ("page outside", |rig| {
            rig.message(3);
            rig.page(1, 2, 3, &[1, 2, 3]);
        }),
    ];
    for (name, play) in cases {
        let mut rig = rig(0);
        play(&mut rig);
        assert!(matches!(rig.wants[..], [Want::Disconnect { .. }]), "{name}: {:?}", rig.wants);
    }
}
