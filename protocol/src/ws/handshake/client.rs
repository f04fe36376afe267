//! The client's half: a request out, the proof of the answer in.

use core::fmt::Write as _;

use super::{HandshakeFault, accept, has_token, head_end};
use crate::limits::HANDSHAKE_HEADERS_MAX;
use crate::ws::SUBPROTOCOL;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How much of a refusal's text is kept for people.
const REASON_CHARS_MAX: usize = 256;

/// The request. `key16` is random, and fresh for each (§4.1). What cannot stand in a host is left out, what
/// cannot stand in a path is percent-encoded: neither can smuggle a line in.
pub fn request(host: &str, path: &str, key16: [u8; 16]) -> Vec<u8> {
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && byte != b'#' {
            target.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
    let host: String = host.chars().filter(char::is_ascii_graphic).collect();
    let key = STANDARD.encode(key16);
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
    .into_bytes()
}

/// Checks the answer to the request with that key. `None`: not whole yet; else how many bytes the head took,
/// what follows is for the decoder.
///
/// # Errors
/// The server refused, or what answered is not a WebSocket server that speaks [`SUBPROTOCOL`].
pub fn parse_response(bytes: &[u8], key16: [u8; 16]) -> Result<Option<usize>, HandshakeFault> {
    // "HTTP/" as far as it has come: a server of another kind is told at once and not after a time-out.
    if !bytes.iter().zip(b"HTTP/").all(|(byte, expected)| byte == expected) {
        return Err(HandshakeFault::NotHttp);
    }
    let Some(end) = head_end(bytes)? else { return Ok(None) };
    let mut headers = [httparse::EMPTY_HEADER; HANDSHAKE_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let consumed = match response.parse(&bytes[..end]) {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        Err(httparse::Error::TooManyHeaders) => return Err(HandshakeFault::HeadTooLarge),
        Ok(httparse::Status::Partial) | Err(_) => return Err(HandshakeFault::NotHttp),
    };
    let values = |name: &'static str| {
        let same = move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
        response
            .headers
            .iter()
            .filter(same)
            .map(|header| core::str::from_utf8(header.value).unwrap_or("").trim())
    };
    if response.code != Some(101) {
        let body = String::from_utf8_lossy(&bytes[consumed..]);
        let text = if body.trim().is_empty() { response.reason.unwrap_or("").into() } else { body };
        return Err(HandshakeFault::Refused {
            status: response.code.unwrap_or(0),
            retry_after_s: values("Retry-After").find_map(|value| value.parse().ok()),
            reason: text.trim().chars().filter(|char| !char.is_control()).take(REASON_CHARS_MAX).collect(),
        });
    }
    if !values("Upgrade").any(|value| value.eq_ignore_ascii_case("websocket")) {
        return Err(HandshakeFault::Upgrade);
    }
    if !values("Connection").any(|value| has_token(value, "upgrade")) {
        return Err(HandshakeFault::Connection);
    }
    let expected = accept(STANDARD.encode(key16).as_bytes());
    if !values("Sec-WebSocket-Accept").eq([core::str::from_utf8(&expected).unwrap_or("")]) {
        return Err(HandshakeFault::Accept);
    }
    if values("Sec-WebSocket-Extensions").any(|value| !value.is_empty()) {
        return Err(HandshakeFault::Extension);
    }
    if !values("Sec-WebSocket-Protocol").eq([SUBPROTOCOL]) {
        return Err(HandshakeFault::Subprotocol);
    }
    Ok(Some(consumed))
}
