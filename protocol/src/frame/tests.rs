//! Frames cut, skipped, refused and put together again.

use super::*;

const BYTES_MAX: usize = 100;

/// A frame of any type number, with any flags.
fn raw(number: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(FrameType::Ping, body.len() as u32).to_vec();
    bytes[4] = number;
    bytes[5] = flags;
    bytes.extend_from_slice(body);
    bytes
}

/// What is left of a frame once its bytes are gone.
type Seen = (FrameType, u8, Vec<u8>);

fn seen(frame: Frame<'_>) -> Seen {
    assert_eq!(&frame.bytes[HEADER_BYTES..], frame.body);
    (frame.kind, frame.flags, frame.body.to_vec())
}

fn split_all(mut input: &[u8]) -> Result<Vec<Seen>, Fault> {
    let mut all = Vec::new();
    while let Some(frame) = split(&mut input, BYTES_MAX)? {
        all.push(seen(frame));
    }
    Ok(all)
}

fn read_all<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<Vec<Seen>, Fault> {
    let mut reader = FrameReader::new(BYTES_MAX);
    let mut all = Vec::new();
    for mut input in pieces {
        while let Some(frame) = reader.next(&mut input)? {
            all.push(seen(frame));
        }
        assert!(input.is_empty(), "None means: all consumed");
        assert!(reader.memory_bytes() <= 512, "bounded by what a frame may have");
    }
    reader.finish()?;
    assert_eq!(reader.memory_bytes(), 0, "nothing partial, nothing owned");
    Ok(all)
}

#[test]
fn a_stream_cut_anywhere_gives_the_frames_of_a_whole_message() {
    let stream = [
        raw(0x0C, 0, b"12345678"),
        raw(0x0C, FLAG_OPTIONAL, b""),
        // Unknown and optional: skipped, also where it is cut.
        raw(0x3E, FLAG_OPTIONAL, b"from a newer version"),
        raw(0x45, 0, &[9; 92]),
        raw(0x7F, FLAG_OPTIONAL, b""),
    ]
    .concat();
    let expected = split_all(&stream).expect("valid");
    assert_eq!(expected.len(), 3);
    assert_eq!(read_all([&stream[..]]), Ok(expected.clone()));
    for size in 1..stream.len() {
        assert_eq!(read_all(stream.chunks(size)), Ok(expected.clone()), "pieces of {size}");
    }
    for cut in 0..stream.len() {
        let (first, second) = stream.split_at(cut);
        assert_eq!(read_all([first, second]), Ok(expected.clone()), "cut at {cut}");
    }
}

#[test]
fn broken_headers_are_the_fault_they_are() {
    let mut reserved = raw(0x0C, 0, b"");
    reserved[7] = 1;
    let cases = [
        (reserved, Fault::ReservedHeader { flags: 0, reserved: 0x100 }),
        (raw(0x0C, 2, b""), Fault::ReservedHeader { flags: 2, reserved: 0 }),
        (raw(0x0C, 0, &[0; 93]), Fault::FrameTooLarge { bytes: 101, bytes_max: BYTES_MAX }),
        (raw(0x3F, 0, b""), Fault::UnknownType { kind: 0x3F }),
        (raw(0x00, 0, b""), Fault::UnknownType { kind: 0 }),
        (raw(0xFF, 0, b""), Fault::UnknownType { kind: 0xFF }),
    ];
    for (bytes, fault) in cases {
        assert_eq!(split_all(&bytes), Err(fault));
        assert_eq!(read_all([&bytes[..]]), Err(fault));
        // A header is judged before its body is waited for.
        assert_eq!(read_all(bytes[..HEADER_BYTES].chunks(3)), Err(fault));
    }
    let longest = [0xFF, 0xFF, 0xFF, 0xFF, 0x0C, 0, 0, 0];
    assert_eq!(split_all(&longest), Err(Fault::FrameTooLarge { bytes: (1 << 32) + 7, bytes_max: BYTES_MAX }));
}

#[test]
fn cut_frames_are_faults_where_nothing_more_can_come() {
    let bytes = raw(0x0C, 0, b"1234");
    assert_eq!(split_all(&bytes[..3]), Err(Fault::CutFrame { missing: 5 }));
    assert_eq!(split_all(&bytes[..9]), Err(Fault::CutFrame { missing: 3 }));
    assert_eq!(split_all(&[]), Ok(Vec::new()));
    assert_eq!(read_all([&bytes[..9]]), Err(Fault::CutStream));
}

#[test]
fn directions_follow_the_numbers() {
    for &kind in FrameType::ALL {
        assert_eq!(FrameType::from_number(kind as u8), Some(kind));
        assert_eq!(kind.is_to_server(), (kind as u8) < 0x40);
    }
    assert!(FrameType::ALL.windows(2).all(|pair| pair[0] < pair[1]));
}
