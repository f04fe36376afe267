//! Random inputs against simple models; a failure names its seed.

#![allow(missing_docs, unreachable_pub, reason = "a test")]

use ringwire_protocol::frame::{self, FrameReader, FrameType};
use ringwire_protocol::limits::FRAME_BYTES_MAX;
use ringwire_protocol::message::*;
use ringwire_protocol::ws::{self, Decoder, Event, Opcode, handshake};
use ringwire_protocol::{ConversationId, DeviceId, Fault, UserId};

const SEEDS: u64 = 300;

/// SplitMix64: small, and good enough to choose test cases.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    /// Mostly small numbers, sometimes the largest, sometimes anything.
    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => self.word(),
            1 => u64::MAX - self.word() % 2,
            _ => self.word() % 100,
        }
    }

    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.word().to_le_bytes());
        id[8..].copy_from_slice(&self.word().to_le_bytes());
        id
    }

    fn bytes(&mut self, bound: usize) -> Vec<u8> {
        (0..self.below(bound)).map(|_| self.word() as u8).collect()
    }

    fn text(&mut self, bound: usize) -> String {
        const LETTERS: [char; 8] = ['a', 'Z', ' ', '\0', 'é', '€', '🦀', '\u{10FFFF}'];
        (0..self.below(bound)).map(|_| LETTERS[self.below(LETTERS.len())]).collect()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Encodes one random client frame, checks that it decodes to itself, and returns its bytes.
fn client_frame(random: &mut Random, out: &mut Vec<u8>) {
    let conversation = ConversationId::from_bytes(random.id());
    let request = random.number() as u32;
    let (body, text, other) = (random.bytes(300), random.text(60), random.text(30));
    let cursors: Vec<_> = (0..random.below(20))
        .map(|_| Cursor { conversation: ConversationId::from_bytes(random.id()), sequence: random.number() })
        .collect();
    let users: Vec<_> = (0..random.below(20)).map(|_| UserId::from_bytes(random.id())).collect();
    let version = random.below(10) as u16;
    let members: Vec<_> = (0..random.below(10))
        .map(|_| Member { user: UserId::from_bytes(random.id()), name: &other, role: random.pick(Role::ALL) })
        .collect();
    let user = UserId::from_bytes(random.id());
    let flag = random.below(2) == 0;
    let frame = match random.below(15) {
        0 => ClientFrame::Hello(Hello {
            version_min: version,
            version_max: version + random.below(3) as u16,
            device: DeviceId::from_bytes(random.id()),
            capabilities: random.number(),
            token: &text,
            agent: &other,
            cursors: Cursors::from(&cursors),
            attempt: random.number(),
        }),
        1 => ClientFrame::Publish(Publish {
            conversation,
            client_sequence: random.number(),
            reference: random.number(),
            kind: random.pick(&Kind::ALL[..8]),
            durability: random.pick(Durability::ALL),
            body: &body,
        }),
        2 => ClientFrame::Join(Join { request, name: &text }),
        3 => ClientFrame::Fetch(Fetch {
            request,
            conversation,
            from: random.number(),
            limit: random.number() as u16,
            direction: random.pick(Direction::ALL),
            view: random.pick(View::ALL),
        }),
        4 => ClientFrame::Watch(Watch { request, users: Users::from(&users) }),
        5 => ClientFrame::Create(Create { request, name: &text, members: MemberList::from(&members) }),
        6 => ClientFrame::Direct(Direct { request, user, name: &text }),
        7 => ClientFrame::Change(Change {
            request,
            conversation,
            user,
            action: random.pick(&[Action::Added, Action::Removed, Action::RoleChanged]),
            role: random.pick(Role::ALL),
            name: &text,
        }),
        8 => ClientFrame::Mute(Mute { request, conversation, until_ms: random.number() }),
        9 => ClientFrame::Register(Register {
            request,
            provider: random.pick(Provider::ALL),
            token: &text,
            app: &other,
            key: &body[..body.len() / 2],
            secret: &body[body.len() / 2..],
        }),
        10 => ClientFrame::Unregister(Unregister { request }),
        11 => ClientFrame::Delivered(Delivered { conversation, sequence: random.number() }),
        12 => ClientFrame::WatchCounts(WatchCounts { request, conversation, active: flag }),
        13 => ClientFrame::Settings(Settings { request, share_last_seen: flag, away: !flag }),
        _ => ClientFrame::Refresh(Refresh { token: &text }),
    };
    let start = out.len();
    frame.encode(&mut Encoder::new(), out);
    let decoded = frame::split(&mut &out[start..], FRAME_BYTES_MAX)
        .map(|frame| ClientFrame::decode(frame.expect("one")));
    assert_eq!(decoded, Ok(Ok(frame)));
}

/// The same for the server's lists of tables.
fn server_frame(random: &mut Random, encoder: &mut Encoder, out: &mut Vec<u8>) {
    let conversation = ConversationId::from_bytes(random.id());
    let names: Vec<_> = (0..random.below(30)).map(|_| random.text(20)).collect();
    let members: Vec<_> = names
        .iter()
        .map(|name| Member { user: UserId::from_bytes(random.id()), name, role: random.pick(Role::ALL) })
        .collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| InboxEntry {
            conversation: ConversationId::from_bytes(random.id()),
            head: random.number(),
            read: random.number(),
            delivered: random.number(),
            unread: random.number(),
            muted_until_ms: random.number(),
            time_ms: random.number(),
            role: random.pick(Role::ALL),
            kind: random.pick(ConversationKind::ALL),
            name,
        })
        .collect();
    let text = random.text(40);
    let frames = random.bytes(300);
    let amendments = if random.below(2) == 0 { Vec::new() } else { random.bytes(100) };
    let frame = match random.below(6) {
        0 => ServerFrame::Joined(Joined {
            request: random.number() as u32,
            conversation,
            name: &text,
            role: random.pick(Role::ALL),
            head: random.number(),
            first: random.number(),
            client_sequence: random.number(),
            members_count: random.number() as u32,
            members: MemberList::from(&members),
            kind: random.pick(ConversationKind::ALL),
            read: random.number(),
            delivered: random.number(),
            muted_until_ms: random.number(),
        }),
        1 => ServerFrame::MemberPage(MemberPage {
            request: random.number() as u32,
            conversation,
            members: MemberList::from(&members),
            next: UserId::from_bytes(random.id()),
            complete: random.below(2) == 0,
        }),
        2 => ServerFrame::Page(Page {
            request: random.number() as u32,
            conversation,
            from: random.number(),
            to: random.number(),
            head: random.number(),
            complete: random.below(2) == 0,
            frames: &frames,
            amendments: &amendments,
        }),
        3 => ServerFrame::Receipt(Receipt {
            conversation,
            user: UserId::from_bytes(random.id()),
            sequence: random.number(),
            time_ms: random.number(),
            kind: random.pick(ReceiptKind::ALL),
        }),
        4 => ServerFrame::Counts(Counts {
            conversation,
            online: random.number() as u32,
            sequence: random.number(),
            delivered: random.number() as u32,
            read: random.number() as u32,
        }),
        _ => ServerFrame::Inbox(Inbox { entries: InboxList::from(&entries), complete: random.below(2) == 0 }),
    };
    let start = out.len();
    frame.encode(encoder, out);
    let decoded = frame::split(&mut &out[start..], FRAME_BYTES_MAX)
        .map(|frame| ServerFrame::decode(frame.expect("one")));
    assert_eq!(decoded, Ok(Ok(frame)));
}

#[test]
fn random_messages_round_trip_and_survive_any_cutting_of_the_stream() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let mut encoder = Encoder::new();
        let mut stream = Vec::new();
        for _ in 0..random.below(20) {
            client_frame(&mut random, &mut stream);
            server_frame(&mut random, &mut encoder, &mut stream);
        }
        let mut expected: Vec<(FrameType, Vec<u8>)> = Vec::new();
        let mut input = &stream[..];
        while let Some(frame) = frame::split(&mut input, FRAME_BYTES_MAX).expect("valid") {
            expected.push((frame.kind, frame.body.to_vec()));
        }
        let mut reader = FrameReader::new(FRAME_BYTES_MAX);
        let mut read = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (mut piece, behind) = rest.split_at(1 + random.below(rest.len().min(2000)));
            rest = behind;
            while let Some(frame) = reader.next(&mut piece).expect("valid") {
                read.push((frame.kind, frame.body.to_vec()));
            }
        }
        assert_eq!(read, expected, "seed {seed}");
        assert_eq!(reader.finish(), Ok(()), "seed {seed}");
    }
}

/// A random WebSocket session, as bytes and as what it means.
fn session(random: &mut Random) -> (Vec<u8>, Vec<String>) {
    let mut bytes = Vec::new();
    let mut meaning = Vec::new();
    for _ in 0..random.below(12) {
        let text = random.below(2) == 0;
        let payload = if text { random.text(200).into_bytes() } else { random.bytes(2000) };
        let fragments = 1 + random.below(4);
        let mut rest = &payload[..];
        for fragment in 0..fragments {
            let last = fragment + 1 == fragments;
            let (piece, behind) = rest.split_at(if last { rest.len() } else { random.below(rest.len() + 1) });
            rest = behind;
            let opcode = match (fragment, text) {
                (0, true) => Opcode::Text,
                (0, false) => Opcode::Binary,
                _ => Opcode::Continuation,
            };
            let start = bytes.len();
            ws::write_message(
                &mut bytes,
                opcode,
                piece,
                Some(random.word().to_le_bytes()[..4].try_into().expect("4")),
            );
            if !last {
                bytes[start] &= 0x7F;
                if random.below(3) == 0 {
                    let payload = random.bytes(126);
                    ws::write_message(&mut bytes, Opcode::Ping, &payload, Some([random.word() as u8; 4]));
                    meaning.push(format!("ping {payload:?}"));
                }
            }
        }
        meaning.push(format!("message {text} {payload:?}"));
    }
    (bytes, meaning)
}

fn meaning_of(event: Event<'_>) -> String {
    match event {
        Event::Message { text, data } => format!("message {text} {data:?}"),
        Event::Ping(data) => format!("ping {data:?}"),
        Event::Pong(data) => format!("pong {data:?}"),
        Event::Close { code, reason } => format!("close {code:?} {reason}"),
    }
}

/// What the decoder makes of bytes that come in random pieces.
fn decode(random: &mut Random, mut rest: Vec<u8>, bytes_max: usize) -> (Vec<String>, Option<Fault>, Decoder) {
    let mut decoder = Decoder::new(ws::Role::Server, bytes_max);
    let mut meaning = Vec::new();
    while !rest.is_empty() {
        let mut behind = rest.split_off(1 + random.below(rest.len().min(1500)));
        std::mem::swap(&mut rest, &mut behind);
        let mut input = &mut behind[..];
        loop {
            match decoder.next(&mut input) {
                Ok(Some(event)) => meaning.push(meaning_of(event)),
                Ok(None) => break,
                Err(fault) => return (meaning, Some(fault), decoder),
            }
        }
        assert!(input.is_empty());
    }
    (meaning, None, decoder)
}

#[test]
fn random_sessions_mean_the_same_however_they_are_cut() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let (bytes, expected) = session(&mut random);
        let (meaning, fault, decoder) = decode(&mut random, bytes, 1 << 20);
        assert_eq!((meaning, fault), (expected, None), "seed {seed}");
        assert!(!decoder.is_partial() && decoder.memory_bytes() == 0, "seed {seed}");
    }
}

#[test]
fn a_fault_is_found_wherever_the_bytes_are_cut() {
    let mut faults = 0;
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let (mut bytes, _) = session(&mut random);
        if bytes.is_empty() {
            continue;
        }
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        let whole = {
            let mut decoder = Decoder::new(ws::Role::Server, 4096);
            let mut copy = bytes.clone();
            let mut input = &mut copy[..];
            let mut meaning = Vec::new();
            loop {
                match decoder.next(&mut input) {
                    Ok(Some(event)) => meaning.push(meaning_of(event)),
                    Ok(None) => break (meaning, None),
                    Err(fault) => break (meaning, Some(fault)),
                }
            }
        };
        faults += usize::from(whole.1.is_some());
        let (meaning, fault, decoder) = decode(&mut random, bytes, 4096);
        assert_eq!((meaning, fault), whole, "seed {seed}");
        assert!(decoder.memory_bytes() <= 2 * 4096 + 512, "seed {seed}: {}", decoder.memory_bytes());
    }
    assert!(faults > 50, "{faults} of the changes are faults");
}

#[test]
fn random_changes_of_a_handshake_end_in_an_answer() {
    let request = handshake::request("host:1", ws::PATH, [5; 16]);
    let upgrade = handshake::parse_request(&request).expect("valid").expect("whole").0;
    let response = handshake::response(&upgrade);
    let mut refused = 0;
    for seed in 0..20 * SEEDS {
        let mut random = Random(seed);
        let mut request = request.clone();
        let mut response = response.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(request.len());
            request[at] = random.word() as u8;
            let at = random.below(response.len());
            response[at] = random.word() as u8;
        }
        if let Err(fault) = handshake::parse_request(&request) {
            refused += 1;
            let answer = fault.response();
            assert!(answer.starts_with(b"HTTP/1.1 "), "seed {seed}");
        }
        if let Ok(Some(consumed)) = handshake::parse_response(&response, [5; 16]) {
            assert!(consumed <= response.len(), "seed {seed}");
        }
    }
    assert!(refused > 1000, "{refused}");
}
