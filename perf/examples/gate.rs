//! What `bench gates` counts the instructions of: one hot loop each, by name.
//!
//! Preparation lies outside [`measured`], which is the only function whose instructions are counted.

use std::hint::black_box;

use bytes::Bytes;
use ringwire::fanout::queues::{Queue, Queues};
use ringwire::fanout::subscribers::Subscribers;
use ringwire_driver::{ConnectionId, Operations};
use ringwire_protocol::frame;
use ringwire_protocol::message::{ClientFrame, Durability, Encoder, Kind, Message, Publish, ServerFrame};
use ringwire_protocol::ws::{self, Decoder, Opcode, Role};
use ringwire_protocol::{ConversationId, DeviceId, UserId};
use ringwire_store::{Config, Index, Journal, JournalOp, Record, RecordKind, Salt, SegmentId};

/// Repetitions of each loop, so that what is around it does not count.
const TIMES: usize = 1_000;

/// Calls the work; the profiler counts between entering and leaving this function.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

fn main() -> std::process::ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "decode-publish" => decode_publish(),
        "encode-message" => encode_message(),
        "verify-message" => verify_message(),
        "mask-64" => mask(64),
        "mask-4096" => mask(4096),
        "websocket-decode" => websocket_decode(),
        "ring-hop" => ring_hop(),
        "fanout-1000" => fanout(1),
        "fanout-1000-w16" => fanout(16),
        "journal-append" => journal_append(),
        other => {
            eprintln!("there is no gate \"{other}\"");
            return std::process::ExitCode::from(2);
        }
    }
    std::process::ExitCode::SUCCESS
}

fn message(body: &[u8]) -> Message<'_> {
    Message {
        conversation: ConversationId::from_name("room"),
        sequence: 7,
        time_ms: 1_700_000_000_000,
        sender: UserId::from_name("ada"),
        origin: DeviceId::from_name("phone").origin(),
        client_sequence: 3,
        reference: 0,
        kind: Kind::Text,
        body,
    }
}

fn frame_of(bytes: &[u8]) -> frame::Frame<'_> {
    let mut input = bytes;
    frame::split(&mut input, 1 << 20).expect("valid").expect("one")
}

fn publish_bytes() -> Vec<u8> {
    let publish = Publish {
        conversation: ConversationId::from_name("room"),
        client_sequence: 1,
        reference: 0,
        kind: Kind::Text,
        durability: Durability::Synced,
        body: &[b'x'; 64],
    };
    let mut bytes = Vec::new();
    publish.encode(&mut Encoder::new(), &mut bytes);
    bytes
}

fn decode_publish() {
    let bytes = publish_bytes();
    measured(&mut || {
        for _ in 0..TIMES {
            black_box(ClientFrame::decode(frame_of(black_box(&bytes))).expect("valid"));
        }
    });
}

fn encode_message() {
    let (mut encoder, mut out) = (Encoder::new(), Vec::with_capacity(512));
    // Its ids are hashes: not what is counted, and done by whatever the processor has.
    let message = message(&[b'x'; 64]);
    measured(&mut || {
        for _ in 0..TIMES {
            out.clear();
            black_box(&message).encode(&mut encoder, &mut out);
            black_box(&out);
        }
    });
}

fn verify_message() {
    let mut bytes = Vec::new();
    message(&[b'x'; 64]).encode(&mut Encoder::new(), &mut bytes);
    measured(&mut || {
        for _ in 0..TIMES {
            black_box(ServerFrame::decode(frame_of(black_box(&bytes))).expect("valid"));
        }
    });
}

fn mask(length: usize) {
    let mut data = vec![7; length];
    measured(&mut || {
        for _ in 0..TIMES {
            ws::mask(black_box(&mut data), black_box([1, 2, 3, 4]), 0);
        }
    });
}

fn websocket_decode() {
    let mut bytes = Vec::new();
    ws::write_message(&mut bytes, Opcode::Binary, &publish_bytes(), Some([1, 2, 3, 4]));
    let mut decoder = Decoder::new(Role::Server, 1 << 20);
    let mut inputs: Vec<Vec<u8>> = vec![bytes; TIMES];
    measured(&mut || {
        for input in &mut inputs {
            let mut rest = input.as_mut_slice();
            black_box(decoder.next(&mut rest).expect("valid"));
        }
    });
}

fn ring_hop() {
    let (mut sender, mut receiver) = ringwire_ring::ring::<[u64; 8]>(1024);
    measured(&mut || {
        for _ in 0..TIMES {
            for value in 0..16 {
                assert!(sender.try_send([value; 8]).is_ok(), "the ring has room");
            }
            sender.flush();
            for _ in 0..16 {
                black_box(receiver.recv());
            }
        }
    });
}

/// One turn in which `messages` go to 1,000 connections: what is between the letters and the driver.
fn fanout(messages: usize) {
    let conversation = ConversationId::from_name("room");
    let mut subscribers = Subscribers::default();
    let mut lists = vec![Vec::new(); 1_000];
    let mut topic = None;
    for (slot, list) in (0u32..).zip(&mut lists) {
        topic = Some(subscribers.add(conversation, slot, true, list));
    }
    let topic = topic.expect("somebody subscribes");
    let mut queues = Queues::default();
    let mut due = vec![Queue::EMPTY; 1_000];
    let mut operations = Operations::default();
    let bytes = Bytes::from(vec![7u8; 152]);
    let mut turn = || {
        for _ in 0..messages {
            let frame = queues.shared(bytes.clone());
            for slot in subscribers.open(topic) {
                let queue = &mut due[slot as usize];
                *queue = queues.push(*queue, frame);
            }
        }
        let mut slot = 0;
        queues.finish(due.iter().copied(), &mut operations, |operations, payload| {
            operations.send(ConnectionId { slot, generation: 0 }, payload);
            slot += 1;
        });
        due.fill(Queue::EMPTY);
        black_box(&operations.sends);
        operations.sends.clear();
        operations.payloads.clear();
    };
    // The first turn grows the lists.
    turn();
    measured(&mut turn);
}

/// A batch of 128 records of 256 B: encoded, checksummed, handed over.
fn journal_append() {
    let salts = Box::new(|| Salt([7; 16]));
    let mut journal = Journal::new(Config::default(), 1, 0, Index::default(), salts);
    let mut write = None;
    let settle = |journal: &mut Journal, write: &mut Option<SegmentId>| {
        while let Some(op) = journal.poll() {
            match op {
                JournalOp::Create { segment, .. } => journal.on_created(segment, Ok(())),
                JournalOp::Write { segment, .. } => *write = Some(segment),
                JournalOp::Seal { .. } => {}
            }
        }
    };
    let mut sequence = 0;
    let payload = [7u8; 256];
    let mut batch = |journal: &mut Journal| {
        for _ in 0..128 {
            sequence += 1;
            let record = Record {
                kind: RecordKind(1),
                conversation: [3; 16],
                sequence,
                time_ms: 1_700_000_000_000,
                payload: &payload,
            };
            black_box(journal.append(&record).expect("it runs"));
        }
    };
    // The header of the segment, and buffers that are used again from the second batch on.
    for _ in 0..8 {
        batch(&mut journal);
        for _ in 0..4 {
            settle(&mut journal, &mut write);
            if let Some(segment) = write.take() {
                journal.on_written(segment, Ok(()));
            }
        }
    }
    measured(&mut || {
        batch(&mut journal);
        settle(&mut journal, &mut write);
    });
}
