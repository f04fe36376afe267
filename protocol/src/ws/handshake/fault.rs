//! What can be wrong with a handshake, and the HTTP answer to each.

use crate::limits::{HANDSHAKE_BYTES_MAX, HANDSHAKE_HEADERS_MAX};
use crate::ws::{PATH, SUBPROTOCOL};

/// An ordinary request: nothing of it asks for a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// Whether it is a HEAD, whose answer has no body; else it is a GET.
    pub head: bool,
    /// The path, without the query.
    pub path: String,
    /// What of `Accept-Encoding` matters to a server of static files.
    pub accepts_gzip: bool,
    /// `If-None-Match`, if it was sent.
    pub if_none_match: Option<String>,
    /// Bytes of the request.
    pub consumed: usize,
}

/// Why a handshake does not lead to a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeFault {
    /// An ordinary GET or HEAD; the server may have an answer of its own (the chat app).
    #[error("an ordinary HTTP request for {}", .0.path)]
    Plain(Plain),
    /// The first bytes are a TLS greeting.
    #[error("the client speaks TLS to a port that does not: use ws:// here, or the TLS port")]
    Tls,
    /// Said by the caller: HTTP in the clear where TLS is spoken.
    #[error("this port speaks TLS: use https:// or wss:// here")]
    Cleartext,
    /// Not HTTP at all, or broken HTTP.
    #[error("this is not an HTTP/1.1 request")]
    NotHttp,
    /// The head is too long.
    #[error("the request head exceeds {HANDSHAKE_BYTES_MAX} bytes or {HANDSHAKE_HEADERS_MAX} lines")]
    HeadTooLarge,
    /// Another method than GET.
    #[error("only GET is answered here")]
    Method,
    /// Another version than HTTP/1.1.
    #[error("a WebSocket needs HTTP/1.1")]
    HttpVersion,
    /// A path that is neither `/…` nor `http://…/…`.
    #[error("the request target is not a path")]
    Target,
    /// None, or several.
    #[error("exactly one Host header is needed")]
    Host,
    /// An upgrade to something else.
    #[error("the Upgrade header does not say websocket")]
    Upgrade,
    /// A proxy forgot it.
    #[error(
        "the Connection header does not say Upgrade; a proxy in between must pass Connection and Upgrade on"
    )]
    Connection,
    /// Not 13 (answered by 426 with the version).
    #[error("only WebSocket version 13 is spoken here")]
    Version,
    /// Not 16 bytes in base64, or not exactly one.
    #[error("Sec-WebSocket-Key must be given once, and be 16 bytes in base64")]
    Key,
    /// Only other subprotocols were offered.
    #[error("none of the subprotocols offered is spoken here; offer {SUBPROTOCOL}")]
    Subprotocol,
    /// A handshake with a body, behind which frames could hide.
    #[error("a handshake has no body")]
    Body,
    /// A header that matters is not text, or stands there twice.
    #[error("the {0} header is malformed")]
    Header(&'static str),
    /// Said by the caller: no such path.
    #[error("there is nothing here; the WebSocket endpoint is {PATH}")]
    NotFound,
    /// Said by the caller: a page of another origin.
    #[error("pages of this origin may not connect; the operator keeps the list of allowed origins")]
    OriginForbidden,
    /// Said by the caller: too many handshakes from there.
    #[error("too many connections; try again in {retry_after_s} s")]
    RateLimited {
        /// When to try again, in seconds.
        retry_after_s: u32,
    },
    /// Said by the caller: no room at the moment.
    #[error("the server is busy; try again in {retry_after_s} s")]
    Overloaded {
        /// When to try again, in seconds.
        retry_after_s: u32,
    },
    /// To a client: the server did not upgrade.
    #[error("the server answered {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// `Retry-After` in seconds, if it was said.
        retry_after_s: Option<u32>,
        /// The beginning of the answer's text, as far as it came with the head; else the status line's
        /// reason.
        reason: String,
    },
    /// To a client: the accept value does not answer the key.
    #[error("Sec-WebSocket-Accept does not match: this is not a WebSocket server, or a cache answered")]
    Accept,
    /// To a client: an extension that was not offered.
    #[error("the server chose an extension that was not offered")]
    Extension,
}

impl HandshakeFault {
    /// The HTTP status of the answer.
    pub const fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Plain(_) | Self::Upgrade | Self::Version => (426, "Upgrade Required"),
            Self::NotFound => (404, "Not Found"),
            Self::OriginForbidden => (403, "Forbidden"),
            Self::Method => (405, "Method Not Allowed"),
            Self::HeadTooLarge => (431, "Request Header Fields Too Large"),
            Self::HttpVersion => (505, "HTTP Version Not Supported"),
            Self::RateLimited { .. } => (429, "Too Many Requests"),
            Self::Overloaded { .. } => (503, "Service Unavailable"),
            Self::Refused { .. } | Self::Accept | Self::Extension => (502, "Bad Gateway"),
            Self::Tls
            | Self::Cleartext
            | Self::NotHttp
            | Self::Target
            | Self::Host
            | Self::Connection
            | Self::Key
            | Self::Subprotocol
            | Self::Body
            | Self::Header(_) => (400, "Bad Request"),
        }
    }

    /// The whole HTTP answer; the connection is closed after it. A plain GET of another path than [`PATH`] is
    /// answered by 404, of that path by 426.
    pub fn response(&self) -> Vec<u8> {
        match self {
            Self::Plain(plain) if plain.path != PATH => answer(&Self::NotFound, plain.head),
            Self::Plain(plain) => answer(self, plain.head),
            _ => answer(self, false),
        }
    }
}

fn answer(fault: &HandshakeFault, head: bool) -> Vec<u8> {
    let (status, phrase) = fault.status();
    let extra = match fault {
        HandshakeFault::Plain(_) | HandshakeFault::Upgrade | HandshakeFault::Version => {
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n".to_owned()
        }
        HandshakeFault::Method => "Allow: GET\r\n".to_owned(),
        HandshakeFault::RateLimited { retry_after_s } | HandshakeFault::Overloaded { retry_after_s } => {
            format!("Retry-After: {retry_after_s}\r\n")
        }
        _ => String::new(),
    };
    let text = match fault {
        HandshakeFault::Plain(_) => {
            format!("This is a WebSocket endpoint: connect with ws:// or wss:// to {PATH}.")
        }
        fault => fault.to_string(),
    };
    let connection = if extra.starts_with("Upgrade") { "Upgrade, close" } else { "close" };
    format!(
        "HTTP/1.1 {status} {phrase}\r\n{extra}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: {connection}\r\n\r\n{}",
        text.len() + 1,
        if head { String::new() } else { text + "\n" },
    )
    .into_bytes()
}
