//! The opening handshake (RFC 6455 §4): one HTTP/1.1 request, one response, both bounded.
//!
//! Before the [`super::Decoder`] on the path of a connection. A server answers three kinds of requests
//! differently, so they are told apart: an upgrade ([`Upgrade`], whose path the caller compares), an ordinary
//! GET that may be for the chat app ([`HandshakeFault::Plain`]), and everything that is wrong, each with a
//! text that says what to do.
//!
//! Deliberately absent: HTTP keep-alive, bodies and redirects. One request decides what the connection is.

mod client;
mod fault;
mod server;

pub use client::{parse_response, request};
pub use fault::{HandshakeFault, Plain};
pub use server::{Upgrade, parse_request, response};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::limits::HANDSHAKE_BYTES_MAX;

/// Length of `Sec-WebSocket-Accept`: 20 bytes in base64.
const ACCEPT_BYTES: usize = 28;

/// §1.3: proves that the answer is to this request, by a server that knows the protocol.
fn accept(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; ACCEPT_BYTES];
    let written = STANDARD.encode_slice(hash.digest().bytes(), &mut accept);
    debug_assert_eq!(written, Ok(ACCEPT_BYTES));
    accept
}

/// Where the head ends, if it does. Looked for before parsing, so that a head that comes byte by byte costs a
/// scan for each and not a parse.
fn head_end(bytes: &[u8]) -> Result<Option<usize>, HandshakeFault> {
    let bounded = &bytes[..bytes.len().min(HANDSHAKE_BYTES_MAX)];
    let mut from = 0;
    while let Some(at) = bounded[from..].iter().position(|&byte| byte == b'\n') {
        let next = from + at + 1;
        match bounded.get(next..) {
            Some([b'\n', ..]) => return Ok(Some(next + 1)),
            Some([b'\r', b'\n', ..]) => return Ok(Some(next + 2)),
            _ => from = next,
        }
    }
    if bounded.len() == HANDSHAKE_BYTES_MAX { Err(HandshakeFault::HeadTooLarge) } else { Ok(None) }
}

/// Whether a comma-separated header value has the token, in any case (RFC 9110 §5.6.1).
fn has_token(value: &str, token: &str) -> bool {
    value.split(',').any(|item| item.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests;
