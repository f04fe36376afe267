//! Frozen bytes: what version 1 looked like on the day it was made, for ever.
//!
//! A difference here is a change of the wire. Stored entries and other people's clients have these bytes, so
//! the code is what has to give way; a new message gets a new file (`RINGWIRE_NEW_GOLDEN=1 cargo test -p
//! ringwire-protocol` writes the ones that are missing, and never touches one that is there).

#![allow(missing_docs, unreachable_pub, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "reads the golden files")]

mod samples;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use ringwire_protocol::Fault;
use ringwire_protocol::frame::{self, Frame, FrameType, HEADER_BYTES};
use ringwire_protocol::limits::FRAME_BYTES_MAX;
use ringwire_protocol::message::{ClientFrame, Encoder, Membership, ServerFrame};

const BYTES_PER_LINE: usize = 16;

/// Samples with fields that came after their messages.
const FIELDS: usize = 7;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../schema/golden/v1", &format!("{name}.hex")].iter().collect()
}

/// The golden bytes of that name; `fresh` is what the encoder makes today.
fn golden(name: &str, fresh: &[u8]) -> Vec<u8> {
    let path = path(name);
    if !fresh.is_empty() && !path.exists() && std::env::var_os("RINGWIRE_NEW_GOLDEN").is_some() {
        let mut text = String::new();
        for line in fresh.chunks(BYTES_PER_LINE) {
            let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{}", digits.join(" ")).expect("a String takes everything");
        }
        fs::write(&path, text).expect("a golden file can be written");
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.split_whitespace().map(|digits| u8::from_str_radix(digits, 16).expect("hexadecimal")).collect()
}

/// Calls `check` with the golden bytes of every frame, also those that have a field which came later.
fn all(mut check: impl FnMut(&[u8])) {
    for &kind in FrameType::ALL {
        check(&golden(&format!("{kind:?}"), &[]));
    }
    samples::client_fields(|field, sample| check(&golden(&format!("{:?}.{field}", sample.kind()), &[])));
    samples::server_fields(|field, sample| check(&golden(&format!("{:?}.{field}", sample.kind()), &[])));
}

fn only(bytes: &[u8]) -> Frame<'_> {
    let mut input = bytes;
    let frame = frame::split(&mut input, FRAME_BYTES_MAX).expect("valid").expect("there");
    assert!(input.is_empty());
    frame
}

/// Decodes in the frame's own direction, reads everything there is to read, and checks that what was read can
/// be written and read again.
fn decode(frame: Frame<'_>) -> Result<(), Fault> {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    if frame.kind.is_to_server() {
        let message = ClientFrame::decode(frame)?;
        message.encode(&mut encoder, &mut out);
        assert_eq!(ClientFrame::decode(only(&out)), Ok(message));
    } else {
        let message = ServerFrame::decode(frame)?;
        message.encode(&mut encoder, &mut out);
        assert_eq!(ServerFrame::decode(only(&out)), Ok(message));
    }
    Ok(())
}

#[test]
fn the_encoder_still_makes_the_bytes_of_version_1_and_the_decoder_reads_them() {
    let mut encoder = Encoder::new();
    let mut count = 0;
    let mut check = |name: &str, out: &[u8]| {
        count += 1;
        let golden = golden(name, out);
        assert_eq!(golden, out, "{name}: the wire has changed");
        golden
    };
    let mut client = |name: &str, sample: ClientFrame<'_>| {
        let mut out = Vec::new();
        sample.encode(&mut encoder, &mut out);
        let golden = check(name, &out);
        assert_eq!(
            format!("{:?}", ClientFrame::decode(only(&golden))),
            format!("{:?}", Ok::<_, Fault>(sample))
        );
    };
    samples::client(|sample| client(&format!("{:?}", sample.kind()), sample));
    samples::client_fields(|field, sample| client(&format!("{:?}.{field}", sample.kind()), sample));
    let mut server = |name: &str, sample: ServerFrame<'_>| {
        let mut out = Vec::new();
        sample.encode(&mut encoder, &mut out);
        let golden = check(name, &out);
        assert_eq!(
            format!("{:?}", ServerFrame::decode(only(&golden))),
            format!("{:?}", Ok::<_, Fault>(sample))
        );
    };
    samples::server(|sample| server(&format!("{:?}", sample.kind()), sample));
    samples::server_fields(|field, sample| server(&format!("{:?}.{field}", sample.kind()), sample));
    assert_eq!(count, FrameType::ALL.len() + FIELDS);
    let memberships =
        [("Membership", samples::membership()), ("Membership.kind", samples::direct_membership())];
    for (name, sample) in memberships {
        let mut out = Vec::new();
        sample.encode(&mut encoder, &mut out);
        let golden = golden(name, &out);
        assert_eq!(golden, out, "{name}: the wire has changed");
        assert_eq!(Membership::decode(&golden), Ok(sample));
    }
}

#[test]
fn every_truncated_frame_is_a_fault() {
    all(|bytes| {
        for end in 1..bytes.len() {
            let result = frame::split(&mut &bytes[..end], FRAME_BYTES_MAX);
            assert!(matches!(result, Err(Fault::CutFrame { .. })), "{result:?} at {end}");
        }
    });
}

#[test]
fn every_truncated_body_is_a_fault_unless_only_padding_is_gone() {
    all(|bytes| {
        let frame = only(bytes);
        for end in 0..frame.body.len() {
            let body = &frame.body[..end];
            match decode(Frame { body, ..frame }) {
                Err(fault) => assert!(matches!(fault, Fault::InvalidBody { .. }), "{fault}"),
                Ok(()) => {
                    assert!(frame.body[end..].len() < 8 && frame.body[end..].iter().all(|byte| *byte == 0))
                }
            }
        }
    });
    let mut body = Vec::new();
    samples::membership().encode(&mut Encoder::new(), &mut body);
    for end in 0..body.len() {
        match Membership::decode(&body[..end]) {
            Err(_) => {}
            Ok(read) => assert!(read == samples::membership() && body[end..].iter().all(|byte| *byte == 0)),
        }
    }
}

#[test]
fn no_changed_byte_makes_the_decoder_panic() {
    let (mut faults, mut values) = (0, 0);
    all(|bytes| {
        let mut changed = bytes.to_vec();
        for at in 0..bytes.len() {
            for change in
                [1, 2, 4, 8, 16, 32, 64, 128, 255, bytes[at]].into_iter().filter(|change| *change != 0)
            {
                changed[at] ^= change;
                if let Ok(Some(frame)) = frame::split(&mut &changed[..], FRAME_BYTES_MAX) {
                    match decode(frame) {
                        Ok(()) => values += 1,
                        Err(_) => faults += 1,
                    }
                }
                changed[at] ^= change;
            }
        }
    });
    // Both happen, so neither arm of the test is dead.
    assert!(faults > 1000 && values > 1000, "{faults} faults, {values} values");
}

#[test]
fn no_two_changed_bytes_in_the_offsets_make_it_panic() {
    // Where the structure is: header, root, vtable, first table. The rest was changed byte by byte.
    all(|bytes| {
        let mut changed = bytes.to_vec();
        let end = bytes.len().min(HEADER_BYTES + 40);
        for first in HEADER_BYTES..end {
            for second in HEADER_BYTES..first {
                for (left, right) in [(0x08, 0x04), (0xFF, 0xFF), (0x80, 0x01)] {
                    changed[first] ^= left;
                    changed[second] ^= right;
                    // A value or a fault; what matters is that it comes back.
                    let _ = decode(only(&changed));
                    changed[first] ^= left;
                    changed[second] ^= right;
                }
            }
        }
    });
}
