//! What the bare loop and its like say on a socket: a constant answer to any request, frames, rooms by path.
//!
//! This file is also part of `perf/comparators`: whoever is compared sends the same bytes.

/// Constant, because the generator's key is.
pub const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The rooms that a request head asks to receive: `/subscribe/1,2,3`.
pub fn rooms(head: &[u8]) -> Vec<u32> {
    let head = String::from_utf8_lossy(head);
    let path = head.split(' ').nth(1).unwrap_or("");
    path.strip_prefix("/subscribe/")
        .map(|rooms| rooms.split(',').filter_map(|room| room.parse().ok()).collect())
        .unwrap_or_default()
}

/// Whether a request head is of somebody who publishes.
pub fn publishes(head: &[u8]) -> bool {
    head.starts_with(b"GET /publish ")
}

/// The room that a payload is for; `None`: it is to come back to the sender.
#[inline]
pub fn room(payload: &[u8]) -> Option<u32> {
    match payload {
        [b'm', _, _, _, a, b, c, d, ..] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// The payload of a client's whole frame under the mask key 0, and what follows it.
#[inline]
pub fn take_frame(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = *input.get(1)? & 0x7f;
    let (header, length) = match length {
        126 => (4, usize::from(u16::from_be_bytes(*input.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*input.get(2..)?.first_chunk()?) as usize),
        short => (2, usize::from(short)),
    };
    let start = header + 4;
    Some((input.get(start..start + length)?, &input[start + length..]))
}

/// Appends a server's frame.
#[inline]
pub fn put_frame(payload: &[u8], out: &mut Vec<u8>) {
    let (header, bytes) =
        ringwire_protocol::ws::header(ringwire_protocol::ws::Opcode::Binary, payload.len(), None);
    out.extend_from_slice(&header[..bytes]);
    out.extend_from_slice(payload);
}

/// Appends an acknowledgement of so many bytes, with its header.
#[inline]
pub fn put_ack(bytes: usize, out: &mut Vec<u8>) {
    let mut payload = [0; 125];
    payload[0] = b'a';
    put_frame(&payload[..bytes.saturating_sub(2).clamp(1, 125)], out);
}
