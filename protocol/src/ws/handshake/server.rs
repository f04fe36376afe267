//! The server's half: a request in, a decision out.

use super::{ACCEPT_BYTES, HandshakeFault, Plain, accept, has_token, head_end};
use crate::limits::HANDSHAKE_HEADERS_MAX;
use crate::ws::SUBPROTOCOL;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A valid request for a WebSocket. Whether the path and the origin are the right ones is the caller's to
/// say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The path, without the query.
    pub path: String,
    /// What came after `?`, or empty.
    pub query: String,
    /// The Host header.
    pub host: String,
    /// The Origin header: browsers send it, and pages cannot forge it.
    pub origin: Option<String>,
    /// The User-Agent header, for logs.
    pub agent: Option<String>,
    /// Whether [`SUBPROTOCOL`] was offered; if not, nothing was.
    pub protocol_offered: bool,
    accept: [u8; ACCEPT_BYTES],
}

/// Headers that decide, each as often as it came.
#[derive(Default)]
struct Seen<'a> {
    host: Once<'a>,
    key: Once<'a>,
    version: Once<'a>,
    origin: Once<'a>,
    upgrade: Option<bool>,
    connection_upgrade: bool,
    protocols: bool,
    protocol_offered: bool,
    body: bool,
    agent: Option<&'a str>,
    gzip: bool,
    if_none_match: Option<&'a str>,
}

/// A header that may stand there once.
#[derive(Default, Clone, Copy)]
enum Once<'a> {
    #[default]
    Never,
    Given(&'a str),
    Twice,
}

impl<'a> Once<'a> {
    fn see(&mut self, value: &'a str) {
        *self = if matches!(self, Self::Never) { Self::Given(value) } else { Self::Twice };
    }

    fn given(self) -> Option<&'a str> {
        if let Self::Given(value) = self { Some(value) } else { None }
    }
}

/// Parses a request. `None`: the head is not whole yet, call again with more. The number is how many bytes
/// the head took; what follows it is for the decoder.
///
/// # Errors
/// Everything else: answer with [`HandshakeFault::response`] (or, for [`HandshakeFault::Plain`], as you like)
/// and close.
pub fn parse_request(bytes: &[u8]) -> Result<Option<(Upgrade, usize)>, HandshakeFault> {
    match bytes {
        [] => return Ok(None),
        [0x16, ..] => return Err(HandshakeFault::Tls),
        [b'A'..=b'Z' | b'\r' | b'\n', ..] => {}
        _ => return Err(HandshakeFault::NotHttp),
    }
    let Some(end) = head_end(bytes)? else { return Ok(None) };
    let mut headers = [httparse::EMPTY_HEADER; HANDSHAKE_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let consumed = match request.parse(&bytes[..end]) {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        // Empty lines before the request line, and nothing else.
        Ok(httparse::Status::Partial) if request.method.is_none() => {
            return if end == bytes.len() { Ok(None) } else { Err(HandshakeFault::NotHttp) };
        }
        Err(httparse::Error::TooManyHeaders) => return Err(HandshakeFault::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(HandshakeFault::HttpVersion),
        Ok(httparse::Status::Partial) | Err(_) => return Err(HandshakeFault::NotHttp),
    };
    let seen = look(request.headers)?;
    let method = request.method.unwrap_or_default();
    let (path, query) = target(request.path.unwrap_or_default())?;
    if seen.body {
        return Err(HandshakeFault::Body);
    }
    if seen.upgrade.is_none() && matches!(seen.key, Once::Never) {
        return Err(match method {
            "GET" | "HEAD" => HandshakeFault::Plain(Plain {
                head: method == "HEAD",
                path: path.to_owned(),
                accepts_gzip: seen.gzip,
                if_none_match: seen.if_none_match.map(str::to_owned),
                consumed,
            }),
            _ => HandshakeFault::Method,
        });
    }
    if method != "GET" {
        return Err(HandshakeFault::Method);
    }
    if request.version != Some(1) {
        return Err(HandshakeFault::HttpVersion);
    }
    let host = seen.host.given().ok_or(HandshakeFault::Host)?;
    if seen.upgrade != Some(true) {
        return Err(HandshakeFault::Upgrade);
    }
    if !seen.connection_upgrade {
        return Err(HandshakeFault::Connection);
    }
    if seen.version.given() != Some("13") {
        return Err(HandshakeFault::Version);
    }
    let key = seen.key.given().filter(|key| is_key(key)).ok_or(HandshakeFault::Key)?;
    if matches!(seen.origin, Once::Twice) {
        return Err(HandshakeFault::Header("Origin"));
    }
    if seen.protocols && !seen.protocol_offered {
        return Err(HandshakeFault::Subprotocol);
    }
    let upgrade = Upgrade {
        path: path.to_owned(),
        query: query.to_owned(),
        host: host.to_owned(),
        origin: seen.origin.given().map(str::to_owned),
        agent: seen.agent.map(str::to_owned),
        protocol_offered: seen.protocol_offered,
        accept: accept(key.as_bytes()),
    };
    Ok(Some((upgrade, consumed)))
}

/// The answer that makes it a WebSocket. Extensions are declined by not being mentioned (W-63).
pub fn response(upgrade: &Upgrade) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&upgrade.accept);
    if upgrade.protocol_offered {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(SUBPROTOCOL.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
    out
}

fn look<'a>(headers: &[httparse::Header<'a>]) -> Result<Seen<'a>, HandshakeFault> {
    let mut seen = Seen::default();
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let text = |name| str_value(header.value).ok_or(HandshakeFault::Header(name));
        if is("Host") {
            seen.host.see(text("Host")?);
        } else if is("Upgrade") {
            let websocket = has_token(text("Upgrade")?, "websocket");
            seen.upgrade = Some(seen.upgrade.unwrap_or(false) || websocket);
        } else if is("Connection") {
            seen.connection_upgrade |= has_token(text("Connection")?, "upgrade");
        } else if is("Sec-WebSocket-Key") {
            seen.key.see(text("Sec-WebSocket-Key")?);
        } else if is("Sec-WebSocket-Version") {
            seen.version.see(text("Sec-WebSocket-Version")?);
        } else if is("Sec-WebSocket-Protocol") {
            let value = text("Sec-WebSocket-Protocol")?;
            seen.protocols = true;
            // Subprotocol names are compared exactly (RFC 6455 §4.1).
            seen.protocol_offered |= value.split(',').any(|name| name.trim() == SUBPROTOCOL);
        } else if is("Origin") {
            seen.origin.see(text("Origin")?);
        } else if is("Transfer-Encoding") {
            seen.body = true;
        } else if is("Content-Length") {
            seen.body |= str_value(header.value) != Some("0");
        } else if is("User-Agent") {
            seen.agent = str_value(header.value);
        } else if is("Accept-Encoding") {
            seen.gzip |= str_value(header.value)
                .is_some_and(|value| value.split(',').any(|item| has_gzip(item.trim())));
        } else if is("If-None-Match") {
            seen.if_none_match = str_value(header.value);
        }
    }
    Ok(seen)
}

fn has_gzip(item: &str) -> bool {
    let (name, weight) = item.split_once(';').unwrap_or((item, ""));
    name.trim().eq_ignore_ascii_case("gzip")
        && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
}

/// The header's value, if it is visible ASCII.
fn str_value(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value).ok().filter(|value| value.is_ascii()).map(str::trim)
}

fn is_key(key: &str) -> bool {
    // The strict engine refuses missing padding and trailing bits, and what decodes to more does not fit.
    STANDARD.decode_slice(key, &mut [0; 18]) == Ok(16)
}

/// Path and query of a request target, in origin form or absolute form (RFC 9112 §3.2).
fn target(target: &str) -> Result<(&str, &str), HandshakeFault> {
    let path = match target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    if !path.starts_with('/') {
        return Err(HandshakeFault::Target);
    }
    Ok(path.split_once('?').unwrap_or((path, "")))
}
