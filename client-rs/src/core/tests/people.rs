//! Conversations made and changed, presence, typing, receipts, the inbox, and what is current.

use bytes::Bytes;
use ringwire_protocol::message::{
    Counts, Direction, Done, Inbox, InboxEntry, Provider, Receipt, ReceiptKind, TypingNotice, View,
};

use super::*;
use crate::Error;
use crate::core::{Change, Member, Range, Registration, Settings};

fn rig() -> Rig {
    let mut rig = Rig::joined(config(), Start::Latest, 9, 0);
    rig.delivered = true;
    rig
}

fn bob() -> UserId {
    UserId::from_name("bob")
}

fn member(name: &str) -> Member {
    Member { user: UserId::from_name(name), name: name.to_owned(), role: Role::Member }
}

impl Rig {
    fn done(&mut self, sequence: u64) {
        let request = std::mem::take(&mut self.last_request);
        self.frame(&ServerFrame::Done(Done { request, conversation: room("r"), sequence }));
    }

    fn typing(&mut self, user: UserId, active: bool) {
        self.frame(&ServerFrame::TypingNotice(TypingNotice { conversation: room("r"), user, active }));
    }

    /// Seconds in which other conversations keep the connection busy.
    fn busy(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            self.frame(&ServerFrame::Pong(message::Pong { token: 0, server_time_ms: 0 }));
        }
    }
}

#[test]
fn a_conversation_is_made_and_published_to_at_once() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.forget();
    let (_, id) = rig.core.create(rig.now, "r", vec![member("bob"), member("eve")]).expect("create");
    rig.publish("a");
    assert_eq!(id, room("r"));
    rig.check_sent(&["create r with 2"]);
    rig.joined_frame("r", 3, 1, 0);
    rig.check_sent(&["publish 1 a"]);
    assert_eq!(rig.core.create(rig.now, "r", Vec::new()), Err(Error::AlreadyJoined));
}

#[test]
fn what_no_server_would_take_is_not_sent() {
    let mut rig = rig();
    let crowd = vec![member("bob"); ringwire_protocol::limits::CREATE_MEMBERS_MAX + 1];
    assert!(matches!(rig.core.create(rig.now, "s", crowd), Err(Error::TooMany { .. })));
    assert!(matches!(rig.core.create(rig.now, "s", vec![member("a\nb")]), Err(Error::Invalid(_))));
    assert!(matches!(rig.core.direct(rig.now, bob(), "", Start::Latest), Err(Error::Invalid(_))));
    let add = Change::Add(member(""));
    assert!(matches!(rig.core.change(rig.now, room("r"), add), Err(Error::Invalid(_))));
    let registration = Registration {
        provider: Provider::Fcm,
        token: "t".repeat(ringwire_protocol::limits::PUSH_TOKEN_BYTES_MAX + 1),
        app: String::new(),
        key: Bytes::new(),
        secret: Bytes::new(),
    };
    assert!(matches!(rig.core.register(rig.now, registration), Err(Error::Invalid(_))));
    assert_eq!(rig.core.change(rig.now, room("elsewhere"), Change::Remove(bob())), Err(Error::NotJoined));
    rig.settle();
    rig.check_sent(&[]);
}

#[test]
fn a_creation_that_was_carried_out_before_the_connection_broke_is_a_success() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.core.create(rig.now, "r", Vec::new()).expect("create");
    rig.settle();
    rig.reconnect();
    rig.check_sent(&["hello token []", "create r with 0"]);
    rig.events.clear();
    rig.reject_request(Code::CONVERSATION_EXISTS, 0);
    rig.check_sent(&["open after 0"]);
    rig.joined_frame("r", 1, 1, 0);
    rig.check_events(&["joined @1 head 1", "caught up 1"]);
}

#[test]
fn a_name_that_somebody_else_has_is_refused() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.core.create(rig.now, "r", Vec::new()).expect("create");
    rig.settle();
    rig.forget();
    rig.reject_request(Code::CONVERSATION_EXISTS, 0);
    rig.check_events(&["request failed conversation_exists"]);
    rig.core.join(rig.now, "r", Start::Latest).expect("nothing is left of it");
}

#[test]
fn the_conversation_with_somebody_is_known_by_its_answer() {
    let mut rig = rig();
    let request = rig.core.direct(rig.now, bob(), "bob", Start::Last(2)).expect("direct");
    rig.settle();
    rig.check_sent(&["direct bob"]);
    rig.joined_frame("me and bob", 5, 1, 0);
    let joined = rig.events.iter().any(|event| {
        matches!(event, Event::Joined { request: Some(answered), membership }
            if *answered == request && membership.conversation == room("me and bob") && membership.cursor == 3)
    });
    assert!(joined, "{:?}", rig.events);
    rig.check_sent(&["fetch 4 +2 Forward"]);
    rig.forget();
    // Asked for again, it is the one that is read already.
    rig.core.direct(rig.now, bob(), "bob", Start::Latest).expect("direct");
    rig.settle();
    rig.joined_frame("me and bob", 5, 1, 0);
    rig.check_events(&["request failed AlreadyJoined"]);
}

#[test]
fn a_conversation_of_the_inbox_is_entered_by_its_id() {
    let mut rig = rig();
    rig.core.enter(rig.now, room("s"), Start::After(3)).expect("enter");
    rig.settle();
    rig.check_sent(&["open after 0"]);
    rig.joined_frame("s", 3, 1, 0);
    rig.check_events(&["joined @3 head 3", "caught up 3"]);
    rig.reconnect();
    assert!(rig.sent[0].ends_with("[@9 @3]") || rig.sent[0].ends_with("[@3 @9]"), "{:?}", rig.sent);
}

#[test]
fn entering_what_one_is_not_in_is_refused_and_leaves_nothing_behind() {
    let mut rig = rig();
    rig.core.enter(rig.now, room("s"), Start::Latest).expect("enter");
    rig.settle();
    rig.reject_request(Code::NOT_A_MEMBER, 0);
    rig.check_events(&["request failed not_a_member"]);
    rig.core.enter(rig.now, room("s"), Start::Latest).expect("it may be tried again");
}

#[test]
fn changes_are_asked_for_and_answered_with_their_sequence() {
    let mut rig = rig();
    let cases = [
        (Change::Add(member("bob")), "change Added Member bob"),
        (Change::Role(bob(), Role::Admin), "change RoleChanged Admin "),
        (Change::Remove(bob()), "change Removed Reader "),
    ];
    for (change, sent) in cases {
        let request = rig.core.change(rig.now, room("r"), change).expect("change");
        rig.settle();
        rig.check_sent(&[sent]);
        rig.done(10);
        assert_eq!(rig.events, [Event::Done { request, sequence: 10 }]);
        rig.events.clear();
    }
    rig.core.change(rig.now, room("r"), Change::Remove(bob())).expect("change");
    rig.settle();
    rig.reject_request(Code::FORBIDDEN, 0);
    rig.check_events(&["request failed forbidden"]);
}

#[test]
fn wishes_about_the_device_and_the_user_survive_a_reconnect() {
    let mut rig = rig();
    let registration = Registration {
        provider: Provider::Webhook,
        token: "https://example.org/wake".into(),
        app: String::new(),
        key: Bytes::new(),
        secret: Bytes::new(),
    };
    assert!(!format!("{registration:?}").contains("example.org"), "what wakes a device is not logged");
    rig.core.register(rig.now, registration).expect("register");
    rig.core.mute(rig.now, room("elsewhere"), u64::MAX).expect("no need to be in it");
    rig.core.settings(rig.now, Settings { share_last_seen: true, away: false }).expect("settings");
    rig.core.unregister(rig.now).expect("unregister");
    rig.settle();
    let sent = ["register Webhook", &format!("mute {}", u64::MAX), "settings true false", "unregister"];
    rig.check_sent(&sent);
    rig.reconnect();
    assert_eq!(rig.sent[1..], sent);
    rig.done(0);
    rig.events.retain(|event| matches!(event, Event::Done { .. }));
    rig.check_events(&["done"]);
}

#[test]
fn removed_by_somebody_else_it_is_over() {
    let mut rig = rig();
    rig.core.mute(rig.now, room("r"), 1).expect("mute");
    rig.core.watch_counts(rig.now, room("r"), true).expect("counts");
    rig.settle();
    rig.forget();
    rig.reject_all(0, "r", 0, Code::NOT_A_MEMBER, 0);
    // Muting does not need the membership; counts do.
    rig.check_events(&["request failed not_a_member", "ended not_a_member"]);
}

#[test]
fn counts_come_to_who_asked_and_are_asked_for_again() {
    let mut rig = rig();
    let counts = ServerFrame::Counts(Counts {
        conversation: room("r"),
        online: 4,
        sequence: 9,
        delivered: 3,
        read: 2,
    });
    rig.frame(&counts);
    rig.check_events(&[]);
    rig.core.watch_counts(rig.now, room("r"), true).expect("counts");
    rig.settle();
    rig.check_sent(&["counts true"]);
    rig.done(0);
    rig.frame(&counts);
    rig.check_events(&["done", "counts 4 3/2 of 9"]);
    rig.reconnect();
    rig.forget();
    rig.joined_frame("r", 9, 1, 0);
    rig.check_sent(&["counts true"]);
    rig.done(0);
    rig.core.watch_counts(rig.now, room("r"), false).expect("counts");
    rig.settle();
    rig.check_sent(&["counts false"]);
    rig.done(0);
    rig.reconnect();
    rig.forget();
    rig.joined_frame("r", 9, 1, 0);
    rig.check_sent(&[]);
}

#[test]
fn counts_that_a_server_does_not_offer_are_not_asked_for_again() {
    let mut rig = rig();
    rig.core.watch_counts(rig.now, room("r"), true).expect("counts");
    rig.settle();
    rig.reject_request(Code::NOT_ENABLED, 0);
    rig.reconnect();
    rig.forget();
    rig.joined_frame("r", 9, 1, 0);
    rig.check_sent(&[]);
}

#[test]
fn typing_is_told_once_each_and_ends_by_silence() {
    let mut rig = rig();
    rig.typing(bob(), true);
    rig.check_events(&["typing true"]);
    rig.busy(3);
    rig.typing(bob(), true);
    rig.busy(4);
    rig.check_events(&[]);
    rig.busy(1);
    rig.check_events(&["typing false"]);
    rig.typing(bob(), false);
    rig.check_events(&[]);
    rig.typing(bob(), true);
    rig.typing(bob(), false);
    rig.check_events(&["typing true", "typing false"]);
    rig.busy(10);
    rig.check_events(&[]);
}

#[test]
fn who_has_sent_what_was_typed_types_no_more_and_so_does_everybody_without_a_connection() {
    let mut rig = rig();
    rig.typing(UserId::from_name("other"), true);
    rig.typing(bob(), true);
    rig.events.clear();
    rig.message(10);
    rig.check_events(&["m10", "typing false"]);
    rig.disconnect(Cause::Network("cut".into()));
    rig.check_events(&["typing false"]);
}

#[test]
fn what_was_given_to_the_reader_is_told_at_most_once_a_second() {
    let mut rig = rig();
    rig.message(10);
    rig.check_sent(&["delivered 10"]);
    for sequence in 11..=15 {
        rig.message(sequence);
        rig.pass(ms(100));
    }
    rig.check_sent(&[]);
    rig.pass(ms(500));
    rig.check_sent(&["delivered 15"]);
    rig.busy(5);
    rig.check_sent(&[]);
    // Ahead of a hole: held back, so not given to anybody.
    rig.message(17);
    rig.check_sent(&["fetch 16 +1 Forward"]);
    rig.page(16, 16, 17, &[16]);
    rig.check_sent(&["delivered 17"]);
}

#[test]
fn what_is_read_need_not_be_called_delivered() {
    let mut rig = rig();
    rig.core.read(rig.now, room("r"), 9).expect("joined");
    rig.settle();
    rig.check_sent(&["read 9"]);
    rig.message(10);
    rig.message(11);
    rig.check_sent(&["delivered 10"]);
    rig.core.read(rig.now, room("r"), 11).expect("joined");
    rig.settle();
    rig.check_sent(&["read 11"]);
    rig.busy(3);
    rig.check_sent(&[]);
}

#[test]
fn a_reader_without_credit_has_got_nothing() {
    let mut rig = Rig::joined(Config { credit: 1, ..config() }, Start::Latest, 9, 0);
    rig.delivered = true;
    for sequence in 10..=12 {
        rig.message(sequence);
    }
    rig.check_sent(&["delivered 10"]);
    rig.busy(3);
    rig.check_sent(&[]);
    rig.core.grant(rig.now, room("r"), 5);
    rig.settle();
    rig.check_sent(&["delivered 12"]);
}

#[test]
fn after_a_reconnect_only_what_the_server_does_not_know_is_told() {
    let mut rig = rig();
    rig.message(10);
    rig.reconnect();
    rig.forget();
    let joined = |delivered| Joined {
        request: 0,
        conversation: room("r"),
        name: "r",
        role: Role::Member,
        head: 10,
        first: 1,
        client_sequence: 0,
        members_count: 1,
        members: Default::default(),
        kind: ConversationKind::Group,
        read: 0,
        delivered,
        muted_until_ms: 0,
    };
    rig.busy(2);
    rig.frame(&ServerFrame::Joined(joined(10)));
    rig.check_sent(&[]);
    rig.reconnect();
    rig.forget();
    rig.busy(2);
    rig.frame(&ServerFrame::Joined(joined(4)));
    rig.check_sent(&["delivered 10"]);
}

#[test]
fn a_cursor_that_the_server_does_not_take_ends_nothing() {
    let mut rig = rig();
    rig.core.read(rig.now, room("r"), 99).expect("the server knows its head");
    rig.settle();
    rig.reject_all(0, "r", 0, Code::CURSOR_BEYOND_HEAD, 0);
    rig.check_events(&["notice cursor_beyond_head"]);
    rig.publish("still here");
    rig.check_sent(&["read 99", "publish 1 still here"]);
}

#[test]
fn who_leaves_says_nothing_about_cursors_any_more() {
    let mut rig = rig();
    rig.message(10);
    rig.message(11);
    rig.check_sent(&["delivered 10"]);
    rig.core.leave(rig.now, room("r")).expect("leave");
    rig.busy(3);
    rig.check_sent(&["leave"]);
}

#[test]
fn receipts_of_both_kinds_are_passed_on() {
    let mut rig = rig();
    for kind in [ReceiptKind::Delivered, ReceiptKind::Read] {
        let receipt = Receipt { conversation: room("r"), user: bob(), sequence: 9, time_ms: 1, kind };
        rig.frame(&ServerFrame::Receipt(receipt));
    }
    rig.check_events(&["Delivered 9", "Read 9"]);
}

#[test]
fn the_inbox_is_told_to_who_wants_it() {
    let mut rig = Rig::new(Config { inbox: true, ..config() });
    rig.core.on_connected(rig.now);
    let mut out = Vec::new();
    rig.core.poll_frames(rig.now, &mut out);
    let frame = frame::split(&mut &out[..], FRAME_BYTES_MAX).expect("whole").expect("one");
    let Ok(ClientFrame::Hello(hello)) = ClientFrame::decode(frame) else { panic!("Hello comes first") };
    assert_eq!(hello.capabilities, message::CAPABILITY_INBOX);
    rig.welcome(64);
    rig.forget();
    let entries = [InboxEntry {
        conversation: room("r"),
        head: 9,
        read: 3,
        delivered: 4,
        unread: 5,
        muted_until_ms: 6,
        time_ms: 7,
        role: Role::Admin,
        kind: ConversationKind::Direct,
        name: "r",
    }];
    rig.frame(&ServerFrame::Inbox(Inbox { entries: (&entries).into(), complete: true }));
    let Some(Event::Inbox { entries, complete: true }) = rig.events.pop() else { panic!("{:?}", rig.events) };
    assert_eq!((entries[0].head, entries[0].read, entries[0].delivered, entries[0].unread), (9, 3, 4, 5));
    assert_eq!((entries[0].muted_until_ms, entries[0].time_ms), (6, 7));
    assert_eq!((entries[0].role, entries[0].kind), (Role::Admin, ConversationKind::Direct));
}

fn current() -> Range {
    Range { from: u64::MAX, limit: 10, direction: Direction::Backward, view: View::Current }
}

/// A page of messages 7 to 9 with what was said about one of them.
fn amended(rig: &mut Rig, kind: Kind, sequence: u64, reference: u64) {
    let (mut frames, mut amendments) = (Vec::new(), Vec::new());
    for sequence in 7..=9 {
        wire_message(sequence, "text").encode(&mut rig.encoder, &mut frames);
    }
    let amendment = message::Message { kind, reference, ..wire_message(sequence, "amendment") };
    amendment.encode(&mut rig.encoder, &mut amendments);
    let page = Page {
        request: std::mem::take(&mut rig.last_request),
        conversation: room("r"),
        from: 7,
        to: 9,
        head: 30,
        complete: false,
        frames: &frames,
        amendments: &amendments,
    };
    rig.frame(&ServerFrame::Page(page));
}

#[test]
fn what_is_current_comes_with_what_was_said_later() {
    let mut rig = rig();
    rig.core.history(rig.now, room("r"), current()).expect("history");
    rig.settle();
    amended(&mut rig, Kind::Edit, 20, 8);
    let Some(Event::History { history, .. }) = rig.events.pop() else { panic!("{:?}", rig.events) };
    let mut timeline = crate::Timeline::new();
    timeline.apply_history(&history);
    let texts: Vec<_> = timeline.iter().filter_map(|(_, entry)| entry.text()).collect();
    assert_eq!(texts, ["text", "amendment", "text"]);
}

#[test]
fn amendments_of_something_else_end_the_connection() {
    for (kind, reference) in [(Kind::Edit, 6), (Kind::Edit, 10), (Kind::Text, 8)] {
        let mut rig = rig();
        rig.core.history(rig.now, room("r"), current()).expect("history");
        rig.settle();
        amended(&mut rig, kind, 20, reference);
        assert!(matches!(rig.wants[..], [Want::Disconnect { .. }]), "{kind:?} of {reference}");
    }
}

#[test]
fn long_lists_begin_a_message_of_their_own() {
    let mut rig = Rig::new(config());
    rig.connect();
    rig.forget();
    let crowd: Vec<Member> = (0..128).map(|n| member(&format!("{n:0>255}"))).collect();
    for name in ["a", "b"] {
        rig.core.create(rig.now, name, crowd.clone()).expect("create");
    }
    let mut messages = 0;
    loop {
        let mut out = Vec::new();
        if !rig.core.poll_frames(rig.now, &mut out) {
            break;
        }
        messages += 1;
        assert!(out.len() <= FRAME_BYTES_MAX, "{} bytes in one message", out.len());
    }
    assert_eq!(messages, 2);
}
