//! What WebTransport says over HTTP/3, in bytes: what we say (`web`), and what a browser says, for whoever plays one:
//! tests, the simulation and fuzzing.
//!
//! ```text
//!   one direction    0x54, session ─► the stream      both    0x41, session ─► the stream
//!   request          HEADERS ─► DATA: capsules        datagram    session / 4 ─► what is in it
//! ```
//!
//! Deliberately absent: streams, connections, and who may say what.

use bytes::{Buf, Bytes};
use quinn_proto::Dir;
use web_transport_proto as http3;
use web_transport_proto::{
    Capsule, ConnectError, ConnectRequest, ConnectResponse, Frame, Settings, StreamUni,
};

/// Where a session is asked for.
pub const PATH: &str = "/v1/wt";

/// Sessions of one connection.
const SESSIONS: u32 = 1;

/// What the first bytes of a stream say that it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Head {
    /// Too short to say.
    Partial,
    /// A stream of the session of that number; how long its head is.
    Session(u64, usize),
    /// One of HTTP/3 itself.
    Other,
}

/// What a stream is that begins so.
pub fn head(dir: Dir, bytes: &[u8]) -> Head {
    let mut rest = bytes;
    let Ok(first) = http3::VarInt::decode(&mut rest) else { return Head::Partial };
    if first != kind(dir) {
        return Head::Other;
    }
    match http3::VarInt::decode(&mut rest) {
        Ok(session) => Head::Session(session.into_inner(), bytes.len() - rest.len()),
        Err(_) => Head::Partial,
    }
}

/// What a stream of the session begins with.
pub fn stream_head(dir: Dir, session: u64) -> Vec<u8> {
    let mut head = Vec::new();
    kind(dir).encode(&mut head);
    varint(session, &mut head);
    head
}

fn kind(dir: Dir) -> http3::VarInt {
    match dir {
        Dir::Uni => StreamUni::WEBTRANSPORT.0,
        Dir::Bi => Frame::WEBTRANSPORT.0,
    }
}

/// What the control stream of either side begins with.
pub fn control() -> Vec<u8> {
    let (mut settings, mut bytes) = (Settings::default(), Vec::new());
    settings.enable_webtransport(SESSIONS);
    settings.encode(&mut bytes);
    bytes
}

/// What the three streams in one direction begin with that a browser opens first: control, and the two of QPACK.
pub fn greetings() -> [Vec<u8>; 3] {
    [control(), vec![2], vec![3]]
}

/// A browser asks for a session; `None`: there is no such URL or origin.
pub fn request(authority: &str, path: &str, origin: &str) -> Option<Vec<u8>> {
    let url = reqwest::Url::parse(&format!("https://{authority}{path}")).ok()?;
    let request = ConnectRequest::new(url).with_header(http::header::ORIGIN, origin.parse().ok()?);
    let mut bytes = Vec::new();
    request.encode(&mut bytes).ok()?;
    Some(bytes)
}

/// The answer to that.
pub fn answer(status: http::StatusCode) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ConnectResponse::new(status).encode(&mut bytes).ok()?;
    Some(bytes)
}

/// The status of an answer, and how long that is; `None`: it has not come whole, or is no answer.
pub fn status(bytes: &[u8]) -> Option<(u16, usize)> {
    let mut rest = bytes;
    let status = match ConnectResponse::decode(&mut rest) {
        Ok(response) => response.status,
        Err(ConnectError::WrongStatus(Some(status))) => status,
        Err(_) => return None,
    };
    Some((status.as_u16(), bytes.len() - rest.len()))
}

/// A datagram of the session, with what says that it is one (RFC 9297 §2.1).
pub fn datagram(session: u64, frame: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(8 + frame.len());
    varint(session / 4, &mut bytes);
    bytes.extend_from_slice(frame);
    Bytes::from(bytes)
}

/// What is in a datagram, if it is one of the session.
pub fn undo_datagram(session: u64, mut bytes: Bytes) -> Option<Bytes> {
    let quarter = http3::VarInt::decode(&mut bytes).ok()?;
    (quarter.into_inner() == session / 4).then_some(bytes)
}

/// The end of a session, on the stream of its request.
pub fn close(code: u32, reason: &str) -> Vec<u8> {
    let (mut capsule, mut bytes) = (Vec::new(), Vec::new());
    Capsule::CloseWebTransportSession { code, reason: reason.to_owned() }.encode(&mut capsule);
    Frame::DATA.encode(&mut bytes);
    varint(capsule.len() as u64, &mut bytes);
    bytes.extend_from_slice(&capsule);
    bytes
}

/// What [`close`] says, if that is what has come.
pub fn closed(mut bytes: &[u8]) -> Option<(u32, String)> {
    let (frame, mut data) = Frame::read(&mut bytes).ok()?;
    let mut data = data.copy_to_bytes(data.remaining());
    match Capsule::decode(&mut data) {
        Ok(Capsule::CloseWebTransportSession { code, reason }) if frame == Frame::DATA => {
            Some((code, reason))
        }
        _ => None,
    }
}

fn varint(value: u64, out: &mut Vec<u8>) {
    // Ids of streams are below 2^62, as QUIC's own integers.
    if let Ok(value) = http3::VarInt::from_u64(value) {
        value.encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_drafts() {
        assert_eq!(stream_head(Dir::Bi, 4), [0x40, 0x41, 4]);
        assert_eq!(stream_head(Dir::Uni, 4), [0x40, 0x54, 4]);
        assert_eq!(datagram(8, b"x"), &[2, b'x'][..]);
        let closed_bytes = [0, 9, 0x68, 0x43, 6, 0, 0, 13, 226, b'n', b'o'];
        assert_eq!(close(3554, "no"), closed_bytes);
        assert_eq!(closed(&closed_bytes), Some((3554, "no".to_owned())));
    }

    #[test]
    fn what_has_not_come_whole_is_not_understood() {
        for dir in [Dir::Bi, Dir::Uni] {
            let begun = [&stream_head(dir, 1 << 20)[..], b"frame"].concat();
            let head_bytes = begun.len() - 5;
            for length in 0..begun.len() {
                let expected =
                    if length < head_bytes { Head::Partial } else { Head::Session(1 << 20, head_bytes) };
                assert_eq!(head(dir, &begun[..length]), expected);
            }
        }
        let answer = answer(http::StatusCode::FORBIDDEN).unwrap();
        assert_eq!(status(&answer), Some((403, answer.len())));
        let close = close(1, "reason");
        for length in 0..answer.len().max(close.len()) {
            assert_eq!(answer.get(..length).and_then(status), None);
            assert_eq!(close.get(..length).filter(|part| part.len() < close.len()).and_then(closed), None);
        }
    }
}
