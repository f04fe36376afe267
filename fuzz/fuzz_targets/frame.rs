//! Frames of any content: cutting a stream changes nothing, nothing panics, and what is read can be written and read again.

#![no_main]

use std::sync::LazyLock;

use ringwire_protocol::frame::{self, Frame, FrameReader, FrameType};
use ringwire_protocol::message::{ClientFrame, Encoder, Membership, ServerFrame};

const BYTES_MAX: usize = 4096;

macro_rules! golden {
    ($($name:ident $(.$field:ident)?)*) => {
        /// A valid frame of each type: without them a short run would not get past the offsets.
        const GOLDEN: &[&str] = &[$(include_str!(concat!("../../schema/golden/v1/", stringify!($name), $(".", stringify!($field),)? ".hex")),)*];
    };
}

golden! {
    Hello Publish Join Leave Open Close Fetch Members Read Typing Watch Ping Refresh Welcome Ack Done Reject Message
    Joined MemberPage Head Page Presence TypingNotice Receipt Gap GoAway Pong Inbox Membership
    Create Direct Change Mute Register Unregister Delivered WatchCounts Settings Counts
    Fetch.view Joined.standing Page.amendments Receipt.kind Inbox.standing Membership.kind
}

static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let byte = |digits| u8::from_str_radix(digits, 16).expect("hexadecimal");
    GOLDEN.iter().map(|text| text.split_whitespace().map(byte).collect()).collect()
});

/// A golden frame with three bytes of `data` per change: where, and what.
fn changed(number: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = FRAMES[usize::from(number) % FRAMES.len()].clone();
    for &[high, low, change] in data.as_chunks().0 {
        let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len();
        bytes[at] ^= change;
    }
    bytes
}

fn only(bytes: &[u8]) -> Frame<'_> {
    let mut input = bytes;
    let frame = frame::split(&mut input, usize::MAX).expect("what we write is valid").expect("there is one");
    assert!(input.is_empty());
    frame
}

fn decode(frame: Frame<'_>) {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    if let Ok(message) = ClientFrame::decode(frame) {
        message.encode(&mut encoder, &mut out);
        assert_eq!(ClientFrame::decode(only(&out)), Ok(message));
    } else if let Ok(message) = ServerFrame::decode(frame) {
        message.encode(&mut encoder, &mut out);
        assert_eq!(ServerFrame::decode(only(&out)), Ok(message));
        if let ServerFrame::Page(page) = message {
            let mut frames = page.frames;
            while let Ok(Some(frame)) = frame::split(&mut frames, BYTES_MAX) {
                let _ = ServerFrame::decode(frame);
            }
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&[first, number], data)) = data.split_first_chunk() else { return };
    // Half of the inputs are bytes of any kind, the other half are changes of good ones.
    let golden = changed(number, data);
    let data = if number < 128 { data } else { &golden };
    // As one body, so that the verifier is reached without a valid header.
    for body in [data, data.get(8..).unwrap_or_default()] {
        for &kind in FrameType::ALL {
            decode(Frame { kind, flags: 0, body, bytes: body });
        }
        let _ = Membership::decode(body);
    }
    // As a message of whole frames.
    let mut whole = Vec::new();
    let mut input = data;
    let fault = loop {
        match frame::split(&mut input, BYTES_MAX) {
            Ok(Some(frame)) => {
                decode(frame);
                whole.push((frame.kind, frame.body.to_vec()));
            }
            Ok(None) => break None,
            Err(fault) => break Some(fault),
        }
    };
    // As a stream that is cut: the same frames, and the same fault unless it is that of the end.
    let mut reader = FrameReader::new(BYTES_MAX);
    let mut read = Vec::new();
    let mut stream_fault = None;
    'stream: for mut piece in data.chunks(usize::from(first).max(1)) {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(frame)) => read.push((frame.kind, frame.body.to_vec())),
                Ok(None) => break,
                Err(fault) => {
                    stream_fault = Some(fault);
                    break 'stream;
                }
            }
        }
        assert!(reader.memory_bytes() <= 2 * BYTES_MAX);
    }
    assert_eq!(read, whole);
    match fault {
        Some(ringwire_protocol::Fault::CutFrame { .. }) => {
            assert!(stream_fault.is_none() && reader.finish().is_err())
        }
        fault => assert_eq!(fault, stream_fault),
    }
});
