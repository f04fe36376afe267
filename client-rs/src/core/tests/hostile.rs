//! A server that says anything: valid frames with any content, in any order. The core may hang up; it must not panic, grow
//! without bound, or settle anything twice.

use std::collections::BTreeSet;

use ringwire_protocol::message::{
    ConversationKind, Direction, Done, Gap, GapCause, GoAway, Head, Inbox, MemberPage, Pong, Presence,
    Receipt, ReceiptKind, TypingNotice,
};

use super::*;
use crate::core::{Change, Random, Range};

const STEPS: usize = 400;

struct Hostile {
    rig: Rig,
    random: Random,
    taken: BTreeSet<PublishId>,
    requests: BTreeSet<crate::core::RequestId>,
    last: [u64; ROOMS.len()],
}

const ROOMS: [&str; 3] = ["r", "s", "never joined"];

impl Hostile {
    fn new(seed: u64) -> Self {
        let mut config = config();
        config.limits.held_messages_max = 4;
        config.limits.outbox_entries_max = 6;
        config.limits.requests_max = 8;
        config.credit = if seed.is_multiple_of(2) { u64::MAX } else { 5 };
        config.refresh = seed.is_multiple_of(3);
        let rig = Rig::seeded(config, seed);
        let (taken, requests) = (BTreeSet::new(), BTreeSet::new());
        Self { rig, random: Random::new(seed), taken, requests, last: [0; ROOMS.len()] }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    /// Mostly small, sometimes absurd.
    fn number(&mut self) -> u64 {
        match self.below(40) {
            0 => u64::MAX,
            1 => u64::MAX / 2,
            2 => self.random.next_u64(),
            _ => self.below(12),
        }
    }

    fn room(&mut self) -> ConversationId {
        room(ROOMS[self.below(3) as usize])
    }

    fn call(&mut self) {
        let (now, conversation) = (self.rig.now, self.room());
        let name = ROOMS[self.below(2) as usize];
        let core = &mut self.rig.core;
        match self.random.next_u64() % 14 {
            0 => {
                if let Ok((request, _)) = core.join(now, name, Start::Last(3)) {
                    self.requests.insert(request);
                }
            }
            1 => self.requests.extend(core.leave(now, conversation)),
            2 => {
                let range =
                    Range { from: 3, limit: 4, direction: Direction::Backward, view: message::View::Raw };
                self.requests.extend(core.history(now, conversation, range));
            }
            3 => self.requests.extend(core.members(now, conversation, None)),
            4 => core.grant(now, conversation, 2),
            5 => core.detach_conversation(now, conversation),
            6 => core.set_token(now, "new"),
            7 => {
                let _ = core.read(now, conversation, 5).and_then(|()| core.typing(now, conversation, true));
            }
            8 => {
                if let Ok((request, _)) = core.create(now, name, Vec::new()) {
                    self.requests.insert(request);
                }
            }
            9 => {
                let direct = core.direct(now, UserId::from_name("u"), "u", Start::Last(2));
                self.requests.extend(direct);
            }
            10 => {
                let change = Change::Remove(UserId::from_name("u"));
                self.requests.extend(core.change(now, conversation, change));
                self.requests.extend(core.watch_counts(now, conversation, true));
            }
            11 => self.requests.extend(core.enter(now, conversation, Start::Latest)),
            _ => self.taken.extend(core.publish(now, conversation, Draft::text("x"))),
        }
        self.rig.settle();
    }

    fn frame(&mut self) {
        let (conversation, request) = (self.room(), self.below(12) as u32);
        let (a, b, c) = (self.number(), self.number(), self.number());
        let codes = ringwire_protocol::code::TABLE;
        let code = codes[self.below(codes.len() as u64) as usize].code;
        let mut frames = Vec::new();
        for _ in 0..self.below(4) {
            let mut message = wire_message(self.number(), "paged");
            message.conversation = if self.below(9) == 0 { self.room() } else { conversation };
            message.encode(&mut self.rig.encoder, &mut frames);
        }
        if self.below(20) == 0 {
            frames.truncate(frames.len() / 2);
        }
        let user = UserId::from_name("u");
        let frame = match self.below(19) {
            0 => return self.rig.welcome(self.random.next_u64() as u16 % 5),
            1 | 2 => ServerFrame::Ack(Ack {
                conversation,
                client_sequence: a,
                sequence: b,
                server_time_ms: c,
                durability: Durability::Memory,
                duplicate: c % 2 == 0,
            }),
            3 => ServerFrame::Done(Done { request, conversation, sequence: a }),
            4 | 5 => ServerFrame::Reject(Reject {
                request: if a % 2 == 0 { request } else { 0 },
                conversation,
                client_sequence: b,
                code,
                retry_after_ms: c as u32,
                reason: "because",
            }),
            6 | 7 => {
                let mut message = wire_message(a, "live");
                message.conversation = conversation;
                ServerFrame::Message(message)
            }
            8..=10 => ServerFrame::Joined(Joined {
                request: if a % 3 == 0 { 0 } else { request },
                conversation,
                name: "r",
                role: Role::Reader,
                head: a,
                first: b,
                client_sequence: c,
                members_count: 0,
                members: Default::default(),
                kind: ConversationKind::Direct,
                read: b,
                delivered: c,
                muted_until_ms: a,
            }),
            11 => ServerFrame::MemberPage(MemberPage {
                request,
                conversation,
                members: Default::default(),
                next: user,
                complete: a % 2 == 0,
            }),
            12 => ServerFrame::Head(Head { conversation, head: a }),
            13 | 14 => ServerFrame::Page(Page {
                request,
                conversation,
                from: a,
                to: b,
                head: c,
                complete: a % 2 == 0,
                frames: &frames,
                amendments: if b % 2 == 0 { &frames } else { &[] },
            }),
            15 => {
                let cause = GapCause::ALL[c as usize % GapCause::ALL.len()];
                ServerFrame::Gap(Gap { conversation, from: a, to: b, cause })
            }
            16 if self.below(10) == 0 => ServerFrame::GoAway(GoAway {
                code,
                not_before_ms: a as u32,
                jitter_ms: b as u32,
                reason: "",
                address: "elsewhere",
            }),
            16 => ServerFrame::Inbox(Inbox { entries: Default::default(), complete: true }),
            17 => match a % 3 {
                0 => ServerFrame::Presence(Presence { entries: Default::default(), number: 0 }),
                1 => ServerFrame::TypingNotice(TypingNotice { conversation, user, active: true }),
                _ => ServerFrame::Receipt(Receipt {
                    conversation,
                    user,
                    sequence: a,
                    time_ms: b,
                    kind: ReceiptKind::Read,
                }),
            },
            _ => ServerFrame::Pong(Pong { token: a, server_time_ms: b }),
        };
        self.rig.frame(&frame);
    }

    fn step(&mut self) {
        match self.below(100) {
            0..=24 => self.call(),
            25..=29 => {
                let time = ms(self.below(30_000));
                self.rig.pass(time);
            }
            30 => self.rig.disconnect(Cause::Network("cut".into())),
            _ => self.frame(),
        }
        for want in std::mem::take(&mut self.rig.wants) {
            match want {
                Want::Connect { .. } => {
                    self.rig.core.on_connected(self.rig.now);
                    self.rig.settle();
                    self.rig.welcome(3);
                }
                Want::Disconnect { .. } => self.rig.disconnect(Cause::Wanted),
            }
        }
        self.rig.sent.clear();
        self.look();
    }

    /// What must hold whatever was said.
    fn look(&mut self) {
        for event in std::mem::take(&mut self.rig.events) {
            match event {
                Event::Published { publish, .. } | Event::PublishFailed { publish, .. } => {
                    assert!(self.taken.remove(&publish), "{publish} was settled twice or never taken");
                }
                Event::Joined { request: Some(request), membership } => {
                    assert!(self.requests.remove(&request), "{request} was answered twice or never made");
                    self.last[Self::index(membership.conversation)] = membership.cursor;
                }
                Event::Left { request, .. }
                | Event::History { request, .. }
                | Event::Members { request, .. }
                | Event::Done { request, .. }
                | Event::RequestFailed { request, .. } => {
                    assert!(self.requests.remove(&request), "{request} was answered twice or never made");
                }
                Event::Joined { membership, .. } => {
                    let last = self.last_of(membership.conversation);
                    assert_eq!(membership.cursor, last, "a confirmation moves no cursor");
                }
                Event::Message(message) => {
                    assert_eq!(message.sequence, self.last_of(message.conversation) + 1, "not dense");
                    self.last[Self::index(message.conversation)] = message.sequence;
                }
                Event::Gap { conversation, gap } if gap.cause != crate::core::Missing::Rewound => {
                    assert_eq!(gap.from, self.last_of(conversation) + 1, "not dense");
                    self.last[Self::index(conversation)] = gap.to;
                }
                Event::Gap { conversation, gap } => self.last[Self::index(conversation)] = gap.from - 1,
                _ => {}
            }
        }
        let waiting: usize = ROOMS.iter().map(|name| self.rig.core.outbox_len(room(name))).sum();
        assert_eq!(waiting, self.taken.len(), "every publish is either settled or waits");
        assert!(self.rig.core.outbox_bytes() == self.taken.len(), "one byte each");
    }

    fn index(conversation: ConversationId) -> usize {
        ROOMS.iter().position(|name| room(name) == conversation).expect("a known room")
    }

    fn last_of(&self, conversation: ConversationId) -> u64 {
        self.last[Self::index(conversation)]
    }
}

#[test]
fn nothing_a_server_says_breaks_the_core() {
    for seed in 0..1_000 {
        let mut hostile = Hostile::new(seed);
        for _ in 0..STEPS {
            hostile.step();
        }
        // However it stands, it can be shut down, and then nothing is owed any more.
        hostile.rig.core.shutdown(hostile.rig.now);
        hostile.rig.pass(ms(1));
        hostile.rig.disconnect(Cause::Wanted);
        hostile.rig.pass(ms(1));
        hostile.look();
        assert!(hostile.taken.is_empty(), "seed {seed}: {:?}", hostile.taken);
    }
}
