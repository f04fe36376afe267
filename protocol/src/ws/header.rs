//! WebSocket frame headers (§5.2), read and written, and the rules for close codes (§7.4).
//!
//! ```text
//! FIN RSV1-3 opcode | MASK length7 | length16 if 126, length64 if 127 | masking key if MASK
//! ```

use super::{Opcode, Role, mask::mask};
use crate::fault::WebSocketFault as Fault;

/// Longest header: two bytes, a 64-bit length, a masking key.
pub const HEADER_BYTES_MAX: usize = 14;

/// Longest payload of a control frame (§5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Longest reason in a close frame.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// A header that obeys the rules that need no memory of earlier frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    pub(super) payload_bytes: u64,
    /// Zeros if the payload is not masked.
    pub(super) key: [u8; 4],
    /// Bytes of the header itself.
    pub(super) bytes: usize,
}

impl Header {
    /// Parses the header at the start of `bytes`; `None`: not whole yet. Faults show as early as the second
    /// byte.
    #[inline]
    pub(super) fn parse(bytes: &[u8], role: Role) -> Result<Option<Self>, Fault> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(Fault::ReservedBits);
        }
        let opcode = match first & 0x0F {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            opcode => return Err(Fault::ReservedOpcode { opcode }),
        };
        let fin = first & FIN != 0;
        let masked = second & MASKED != 0;
        if masked != (role == Role::Server) {
            return Err(Fault::WrongMasking);
        }
        let length = second & !MASKED;
        if opcode.is_control() {
            if !fin {
                return Err(Fault::FragmentedControl);
            }
            if usize::from(length) > CONTROL_BYTES_MAX {
                return Err(Fault::ControlTooLong);
            }
        }
        let (payload_bytes, rest, length_bytes) = match length {
            126 => {
                let Some((&length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(length)), rest, 2)
            }
            127 => {
                let Some((&length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(length), rest, 8)
            }
            length => (u64::from(length), rest, 0),
        };
        let shortest = match payload_bytes {
            0..126 => 0,
            126..=0xFFFF => 2,
            _ => 8,
        };
        if length_bytes != shortest || payload_bytes >> 63 != 0 {
            return Err(Fault::LengthEncoding);
        }
        let mut header = Self { fin, opcode, payload_bytes, key: [0; 4], bytes: 2 + length_bytes };
        if masked {
            let Some(&key) = rest.first_chunk() else { return Ok(None) };
            header.key = key;
            header.bytes += key.len();
        }
        Ok(Some(header))
    }
}

/// The header of an unfragmented frame with `len` bytes of payload: an array, and how many bytes of it count.
#[inline]
pub fn header(opcode: Opcode, len: usize, mask: Option<[u8; 4]>) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut bytes = [0; HEADER_BYTES_MAX];
    bytes[0] = FIN | opcode as u8;
    let mut end = match len {
        0..126 => {
            bytes[1] = len as u8;
            2
        }
        126..=0xFFFF => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    if let Some(key) = mask {
        bytes[1] |= MASKED;
        bytes[end..end + 4].copy_from_slice(&key);
        end += 4;
    }
    (bytes, end)
}

/// Appends a whole frame. A client gives a fresh random key with each (§5.3).
#[inline]
pub fn write_message(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) {
    let (bytes, end) = header(opcode, payload.len(), key);
    out.reserve(end + payload.len());
    out.extend_from_slice(&bytes[..end]);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut out[start..], key, 0);
    }
}

/// Appends a close frame. A reason that is too long is cut between characters.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str, key: Option<[u8; 4]>) {
    let mut payload = [0; CONTROL_BYTES_MAX];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    let end = 2 + reason.len();
    payload[2..end].copy_from_slice(reason.as_bytes());
    write_message(out, Opcode::Close, &payload[..end], key);
}

/// Whether a code may travel in a close frame (§7.4, and what IANA has registered since).
pub(super) const fn may_travel(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
