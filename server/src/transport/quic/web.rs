//! WebTransport over HTTP/3: as much of it as one session of one browser needs.
//!
//! ```text
//!   browser ── control: SETTINGS ──►   ◄── control: SETTINGS ── server
//!           ── CONNECT /v1/wt ─────►   ◄── 200 ───────────────
//!           ── stream of the session, behind 0x41 and the request's id: frames both ways ──
//!                                      ◄── pages, behind 0x54 and the id ──
//!                                      ◄── CLOSE_WEBTRANSPORT_SESSION, code and reason ──
//! ```
//!
//! The request is judged as a WebSocket upgrade is: path and origin. Everything else that HTTP/3 may bring (QPACK's
//! streams, frames for greasing) is read and thrown away. The dynamic table of QPACK is not offered.
//!
//! Owner: its connection. Lifetime: as long.

use bytes::Bytes;
use quinn_proto::{Connection, Dir, StreamId, VarInt};
use web_transport_proto::{ConnectError, ConnectRequest};

use ringwire_protocol::code::Code;

use super::words::{self, Head, PATH};
use crate::limits::{QUIC_WEB_HEAD_BYTES_MAX, QUIC_WEB_STREAMS_BIDI, QUIC_WEB_STREAMS_UNI};

/// What HTTP/3 closes a connection with whose work is done (RFC 9114 §8.1).
pub(super) const H3_NO_ERROR: u32 = 0x100;

/// A connection that speaks HTTP/3.
#[derive(Default)]
pub(super) struct Web {
    /// Our settings are under way.
    has_begun: bool,
    /// The stream of the request: what it is called is what the session is called.
    session: Option<StreamId>,
    /// The client's stream in the session is known.
    is_open: bool,
    /// Streams that have not said what they are, with what they said.
    unknown: Vec<(StreamId, Vec<u8>)>,
}

/// What a stream's bytes have changed.
pub(super) enum Outcome {
    Nothing,
    /// The session has its stream; these bytes came with its head.
    Opened(StreamId, Vec<u8>),
    /// The browser has ended the session.
    Ended,
    /// It is against the rules.
    Fault(Code, &'static str),
}

/// What the first bytes of a stream say that it is.
enum Kind {
    /// Too short to say.
    Partial,
    /// Its answer decides.
    Request(Box<Result<ConnectRequest, ConnectError>>),
    /// A stream of the session of that number; how long its head is.
    Session(u64, usize),
    /// Of no interest here.
    Other,
}

impl Web {
    /// Sends our settings, as soon as the peer allows a stream for them.
    pub(super) fn begin(&mut self, connection: &mut Connection) {
        if self.has_begun {
            return;
        }
        connection.set_max_concurrent_streams(Dir::Uni, VarInt::from_u32(QUIC_WEB_STREAMS_UNI));
        connection.set_max_concurrent_streams(Dir::Bi, VarInt::from_u32(QUIC_WEB_STREAMS_BIDI));
        let Some(control) = connection.streams().open(Dir::Uni) else { return };
        // The first bytes of a new connection are taken; without them there is no session, and the time is up soon.
        let _ = connection.send_stream(control).write(&words::control());
        self.has_begun = true;
    }

    /// The browser opened streams; which.
    pub(super) fn on_opened(&mut self, connection: &mut Connection, dir: Dir) -> Vec<StreamId> {
        let opened: Vec<StreamId> = std::iter::from_fn(|| connection.streams().accept(dir)).collect();
        self.unknown.extend(opened.iter().map(|id| (*id, Vec::new())));
        opened
    }

    /// A stream that is not the session's has something to read.
    pub(super) fn on_readable(
        &mut self,
        connection: &mut Connection,
        id: StreamId,
        origins: &[String],
    ) -> Outcome {
        let Some(at) = self.unknown.iter().position(|(stream, _)| *stream == id) else {
            let has_ended = take(connection, id, None);
            return if has_ended && self.session == Some(id) { Outcome::Ended } else { Outcome::Nothing };
        };
        let has_ended = take(connection, id, Some(&mut self.unknown[at].1));
        let head = &self.unknown[at].1;
        if head.len() > QUIC_WEB_HEAD_BYTES_MAX {
            return Outcome::Fault(Code::BAD_FRAME, "the head of a stream is too long");
        }
        match kind(id, head) {
            Kind::Partial if has_ended => {
                self.unknown.swap_remove(at);
                Outcome::Nothing
            }
            Kind::Partial => Outcome::Nothing,
            Kind::Request(request) => {
                self.unknown.swap_remove(at);
                self.on_request(connection, id, *request, origins)
            }
            Kind::Session(session, head_bytes) => self.on_session_stream(at, session, head_bytes),
            Kind::Other => {
                self.unknown.swap_remove(at);
                Outcome::Nothing
            }
        }
    }

    fn on_request(
        &mut self,
        connection: &mut Connection,
        id: StreamId,
        request: Result<ConnectRequest, ConnectError>,
        origins: &[String],
    ) -> Outcome {
        let status = match &request {
            _ if self.session.is_some() => http::StatusCode::TOO_MANY_REQUESTS,
            Ok(request) => judge(request, origins),
            // Another method: the pages are served over TCP.
            Err(ConnectError::WrongMethod(_) | ConnectError::WrongProtocol(_)) => http::StatusCode::NOT_FOUND,
            Err(_) => http::StatusCode::BAD_REQUEST,
        };
        let Some(answer) = words::answer(status) else {
            return Outcome::Fault(Code::INTERNAL, "the answer cannot be written");
        };
        // A few bytes, where nothing was written before.
        let _ = connection.send_stream(id).write(&answer);
        if status == http::StatusCode::OK {
            self.session = Some(id);
            return self.retry_session_streams();
        }
        let _ = connection.send_stream(id).finish();
        tracing::debug!(%status, fault = ?request.err(), "no WebTransport session");
        Outcome::Nothing
    }

    /// A stream of the session may come before the request that it belongs to.
    fn retry_session_streams(&mut self) -> Outcome {
        for at in 0..self.unknown.len() {
            let (id, head) = &self.unknown[at];
            if let Kind::Session(session, head_bytes) = kind(*id, head) {
                return self.on_session_stream(at, session, head_bytes);
            }
        }
        Outcome::Nothing
    }

    fn on_session_stream(&mut self, at: usize, session: u64, head_bytes: usize) -> Outcome {
        let Some(known) = self.session else { return Outcome::Nothing };
        let (id, mut bytes) = self.unknown.swap_remove(at);
        if u64::from(known) != session || id.dir() == Dir::Uni || self.is_open {
            return Outcome::Fault(
                Code::UNEXPECTED_FRAME,
                "the session has one stream, and there is another",
            );
        }
        self.is_open = true;
        Outcome::Opened(id, bytes.split_off(head_bytes))
    }

    /// What a stream of ours in the session begins with.
    pub(super) fn stream_head(&self) -> Vec<u8> {
        self.session.map_or_else(Vec::new, |session| words::stream_head(Dir::Uni, session.into()))
    }

    /// A datagram of the session, with what says that it is one.
    pub(super) fn datagram(&self, frame: &Bytes) -> Bytes {
        words::datagram(self.session.map_or(0, u64::from), frame)
    }

    /// What is in a datagram of the session; `None`: it belongs to another.
    pub(super) fn undo_datagram(&self, bytes: Bytes) -> Option<Bytes> {
        words::undo_datagram(self.session?.into(), bytes)
    }

    /// Says the end of the session, if there is one: code and reason.
    pub(super) fn close(&mut self, connection: &mut Connection, code: u16, reason: &str) -> bool {
        let Some(session) = self.session.take() else { return false };
        let bytes = words::close(u32::from(code), reason);
        let mut stream = connection.send_stream(session);
        // Not taken whole where the client has shut its window; then the time ends it.
        let is_said = stream.write(&bytes).is_ok_and(|taken| taken == bytes.len());
        let _ = stream.finish();
        is_said
    }
}

/// Reads all that a stream has, into `head` or nowhere; whether it has ended.
fn take(connection: &mut Connection, id: StreamId, mut head: Option<&mut Vec<u8>>) -> bool {
    let mut stream = connection.recv_stream(id);
    let Ok(mut chunks) = stream.read(true) else { return true };
    let has_ended = loop {
        let room =
            head.as_ref().map_or(usize::MAX, |head| (QUIC_WEB_HEAD_BYTES_MAX + 1).saturating_sub(head.len()));
        if room == 0 {
            break false;
        }
        match chunks.next(room) {
            Ok(Some(chunk)) => {
                if let Some(head) = &mut head {
                    head.extend_from_slice(&chunk.bytes);
                }
            }
            Err(quinn_proto::ReadError::Blocked) => break false,
            Ok(None) | Err(quinn_proto::ReadError::Reset(_)) => break true,
        }
    };
    let _ = chunks.finalize();
    has_ended
}

fn kind(id: StreamId, head: &[u8]) -> Kind {
    match (words::head(id.dir(), head), id.dir()) {
        (Head::Partial, _) => Kind::Partial,
        (Head::Session(session, head_bytes), _) => Kind::Session(session, head_bytes),
        (Head::Other, Dir::Uni) => Kind::Other,
        (Head::Other, Dir::Bi) => match ConnectRequest::decode(&mut &head[..]) {
            Err(ConnectError::UnexpectedEnd) => Kind::Partial,
            request => Kind::Request(Box::new(request)),
        },
    }
}

/// As an upgrade to WebSocket is judged.
fn judge(request: &ConnectRequest, origins: &[String]) -> http::StatusCode {
    if request.url.path() != PATH {
        return http::StatusCode::NOT_FOUND;
    }
    match request.headers.get(http::header::ORIGIN) {
        Some(origin) if !origins.is_empty() && !origins.iter().any(|known| *known == *origin) => {
            http::StatusCode::FORBIDDEN
        }
        _ => http::StatusCode::OK,
    }
}
