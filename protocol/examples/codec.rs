//! What the codec costs per frame, in nanoseconds: `cargo run --release -p ringwire-protocol --example
//! codec`.
//!
//! Medians of several rounds on one thread; the bytes stay in the cache, so this is the code and not the
//! memory.

#![allow(clippy::disallowed_methods, reason = "this measures time")]

use std::hint::black_box;
use std::time::Instant;

use ringwire_protocol::frame::{self, Frame};
use ringwire_protocol::message::{
    Ack, ClientFrame, ConversationKind, Cursor, Cursors, Durability, Encoder, Hello, Joined, Kind, Member,
    MemberList, Message, Publish, Role, ServerFrame,
};
use ringwire_protocol::ws::{self, Decoder, Opcode};
use ringwire_protocol::{ConversationId, DeviceId, UserId, limits};

const ROUNDS: usize = 15;

/// Prints the median time of one call.
fn measure(name: &str, calls: u32, mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                call();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<44} {:>9.1} ns", rounds[ROUNDS / 2]);
    rounds[ROUNDS / 2]
}

/// Encoding, and splitting with decoding, of one message.
fn both(name: &str, encode: &mut dyn FnMut(&mut Vec<u8>), decode: fn(Frame<'_>)) {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    println!("{name}: {} bytes", bytes.len());
    let mut out = Vec::with_capacity(2 * bytes.len());
    measure("  encode", 200_000, || {
        out.clear();
        encode(&mut out);
        black_box(&out);
    });
    measure("  split, verify, read", 200_000, || {
        let mut input = black_box(&bytes[..]);
        if let Ok(Some(frame)) = frame::split(&mut input, limits::FRAME_BYTES_MAX) {
            decode(frame);
        }
    });
}

fn from_client(frame: Frame<'_>) {
    assert!(black_box(ClientFrame::decode(frame)).is_ok());
}

fn from_server(frame: Frame<'_>) {
    assert!(black_box(ServerFrame::decode(frame)).is_ok());
}

fn messages() {
    let conversation = ConversationId::from_name("room");
    let user = UserId::from_name("alice");
    let mut encoder = Encoder::new();
    let body = [b'x'; 64];
    let publish = Publish {
        conversation,
        client_sequence: 7,
        reference: 0,
        kind: Kind::Text,
        durability: Durability::Synced,
        body: &body,
    };
    both("Publish, 64-byte body", &mut |out| black_box(&publish).encode(&mut encoder, out), from_client);
    let message = Message {
        conversation,
        sequence: 1,
        time_ms: 1,
        sender: user,
        origin: 1,
        client_sequence: 7,
        reference: 0,
        kind: Kind::Text,
        body: &body,
    };
    both("Message, 64-byte body", &mut |out| black_box(&message).encode(&mut encoder, out), from_server);
    let ack = Ack {
        conversation,
        client_sequence: 7,
        sequence: 1,
        server_time_ms: 1,
        durability: Durability::Synced,
        duplicate: false,
    };
    both("Ack", &mut |out| black_box(&ack).encode(&mut encoder, out), from_server);
    let cursors = vec![Cursor { conversation, sequence: 1 }; 100];
    let hello = Hello {
        version_min: 1,
        version_max: 1,
        device: DeviceId::from_name("phone"),
        capabilities: 0,
        token: &"t".repeat(300),
        agent: "bench",
        cursors: Cursors::from(&cursors),
        attempt: 0,
    };
    both("Hello, 100 cursors", &mut |out| black_box(&hello).encode(&mut encoder, out), from_client);
    let members = vec![Member { user, name: "Alice Example", role: Role::Member }; 100];
    let joined = Joined {
        request: 1,
        conversation,
        name: "room",
        role: Role::Member,
        head: 1,
        first: 1,
        client_sequence: 7,
        members_count: 100,
        members: MemberList::from(&members),
        kind: ConversationKind::Group,
        read: 0,
        delivered: 0,
        muted_until_ms: 0,
    };
    both("Joined, 100 members", &mut |out| black_box(&joined).encode(&mut encoder, out), from_server);
}

fn websocket() {
    let key = [1, 2, 3, 4];
    for length in [64, 1024, 16 * 1024, 1024 * 1024] {
        let mut data = vec![0; length];
        let calls = (200_000_000 / (length as u32 + 2000)).min(200_000);
        let ns = measure(&format!("mask {length} bytes"), calls, || ws::mask(black_box(&mut data), key, 0));
        println!("{:<44} {:>9.1} GB/s", "", length as f64 / ns);
    }
    for (text, length) in [(false, 176), (true, 176), (false, 4096)] {
        let mut bytes = Vec::new();
        let opcode = if text { Opcode::Text } else { Opcode::Binary };
        // A key of zeros: the bytes are the same however often they are unmasked.
        ws::write_message(&mut bytes, opcode, &vec![b'x'; length], Some([0; 4]));
        let mut decoder = Decoder::new(ws::Role::Server, limits::FRAME_BYTES_MAX);
        let kind = if text { "text" } else { "binary" };
        measure(&format!("decode a whole {kind} frame of {length}"), 200_000, || {
            let mut input = black_box(&mut bytes[..]);
            while let Ok(Some(event)) = decoder.next(&mut input) {
                black_box(event);
            }
        });
        measure(&format!("the same, cut in two ({kind}, {length})"), 200_000, || {
            let (mut first, mut second) = black_box(&mut bytes[..]).split_at_mut(100);
            while let Ok(Some(event)) = decoder.next(&mut first) {
                black_box(event);
            }
            while let Ok(Some(event)) = decoder.next(&mut second) {
                black_box(event);
            }
        });
    }
    let request = ws::handshake::request("127.0.0.1:7400", ws::PATH, [7; 16]);
    measure("handshake: parse a request, make the answer", 20_000, || {
        let parsed = ws::handshake::parse_request(black_box(&request));
        if let Ok(Some((upgrade, _))) = &parsed {
            black_box(ws::handshake::response(upgrade));
        }
    });
}

fn main() {
    messages();
    websocket();
}
