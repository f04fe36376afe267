//! The client's half of RFC 6455, as little as a load generator needs: every payload is sent under the mask
//! key 0, which leaves it as it is, and what the server sends is unfragmented binary or text.

/// Takes one HTTP head or WebSocket frame off the stream, whole.
///
/// # Errors
/// A head that is no switch of protocols; a fragment.
pub fn unit<'a>(is_upgraded: bool, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
    let length = if is_upgraded { frame_bytes(input)? } else { head_bytes(input)? };
    let Some(length) = length.filter(|length| *length <= input.len()) else { return Ok(None) };
    let (unit, rest) = input.split_at(length);
    *input = rest;
    Ok(Some(unit))
}

fn head_bytes(input: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    if !input.starts_with(b"HTTP/1.1 101") {
        let line = input.split(|byte| *byte == b'\r').next().unwrap_or(input);
        return Err(format!("the upgrade was answered with \"{}\"", String::from_utf8_lossy(line)));
    }
    Ok(Some(end + 4))
}

/// Bytes of the frame that `input` starts with, header included, as far as its header is there.
#[inline]
fn frame_bytes(input: &[u8]) -> Result<Option<usize>, String> {
    let [first, second, rest @ ..] = input else { return Ok(None) };
    if first & 0x80 == 0 || first & 0x0f == 0 || second & 0x80 != 0 {
        return Err("a fragmented or masked frame came, which this generator does not expect".to_owned());
    }
    Ok(match second & 0x7f {
        126 => rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)) + 4),
        127 => rest.first_chunk().map(|length| u64::from_be_bytes(*length) as usize + 10),
        short => Some(usize::from(short) + 2),
    })
}

/// Opcode and payload of a whole frame.
#[inline]
#[must_use]
pub fn payload(unit: &[u8]) -> (u8, &[u8]) {
    let header = match unit[1] & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    (unit[0] & 0x0f, &unit[header..])
}

/// Opcode of a close frame.
pub const CLOSE: u8 = 8;
/// Opcode of a text frame.
pub const TEXT: u8 = 1;
/// Opcode of a binary frame.
pub const BINARY: u8 = 2;

/// Appends a client's frame with `length` bytes of payload that the caller appends next.
pub fn open_frame(opcode: u8, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match length {
        0..126 => out.push(0x80 | length as u8),
        126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    // The mask key: payloads stay as they are, and a server has the same work as with any other key.
    out.extend_from_slice(&[0; 4]);
}

/// Appends a whole client's frame.
pub fn frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    open_frame(opcode, payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends an upgrade request.
pub fn upgrade(path: &str, subprotocol: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        )
        .as_bytes(),
    );
    if let Some(subprotocol) = subprotocol {
        out.extend_from_slice(format!("Sec-WebSocket-Protocol: {subprotocol}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Code and reason of a close frame's payload, for messages.
#[must_use]
pub fn close_text(payload: &[u8]) -> String {
    match payload.split_first_chunk::<2>() {
        Some((code, reason)) => {
            format!("closed with {} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(reason))
        }
        None => "closed without a reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_cut_at_every_length() {
        for length in [0usize, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            let (header, header_bytes) =
                ringwire_protocol::ws::header(ringwire_protocol::ws::Opcode::Binary, length, None);
            bytes.extend_from_slice(&header[..header_bytes]);
            bytes.resize(header_bytes + length, 7);
            let mut cut = &bytes[..bytes.len() - 1];
            if length > 0 {
                assert_eq!(unit(true, &mut cut), Ok(None), "length {length}");
            }
            bytes.push(0x82);
            let mut input = &bytes[..];
            let whole = unit(true, &mut input).expect("valid").expect("whole");
            assert_eq!(payload(whole), (BINARY, &vec![7u8; length][..]));
            assert_eq!(input, [0x82]);
        }
    }

    #[test]
    fn a_refused_upgrade_says_its_status() {
        let mut input = &b"HTTP/1.1 404 Not Found\r\n\r\n"[..];
        assert!(unit(false, &mut input).expect_err("refused").contains("404"));
    }
}
