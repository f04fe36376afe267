//! As much of a browser as WebTransport needs, in the words of the server's own: asks for a session, and knows which
//! streams are not of it.
//!
//! Owner: the connection. Lifetime: as long.

use bytes::Bytes;
use quinn_proto::{Connection, Dir, ReadError, StreamId};
use ringwire::transport::quic::words::{self, Head, PATH};
use ringwire_client::core::Cause;

use crate::network::trust;

/// What the stream of the request has brought.
pub(super) enum Answer {
    /// Nothing yet.
    Nothing,
    /// There is a session; this is its stream.
    Session(StreamId),
    /// There is none, or no longer.
    Over(Cause),
}

/// See the module.
#[derive(Default)]
pub(super) struct Web {
    /// The stream of the request; the session is called as that is.
    request: Option<StreamId>,
    is_open: bool,
    /// What has come on it and was not understood.
    heard: Vec<u8>,
}

impl Web {
    /// Says what HTTP/3 begins with, and asks for a session.
    pub(super) fn begin(&mut self, connection: &mut Connection) {
        for greeting in words::greetings() {
            if let Some(stream) = connection.streams().open(Dir::Uni) {
                // The first bytes of a new connection are taken, here and below.
                let _ = connection.send_stream(stream).write(&greeting);
            }
        }
        self.request = connection.streams().open(Dir::Bi);
        let asked = words::request(trust::NAME, PATH, "https://app.sim");
        if let (Some(request), Some(asked)) = (self.request, asked) {
            let _ = connection.send_stream(request).write(&asked);
        }
    }

    /// Whether this is the stream of the request.
    pub(super) fn is_request(&self, id: StreamId) -> bool {
        self.request == Some(id)
    }

    fn session(&self) -> u64 {
        self.request.map_or(0, u64::from)
    }

    /// Something has come on the stream of the request.
    pub(super) fn on_request(&mut self, connection: &mut Connection) -> Answer {
        let Some(request) = self.request else { return Answer::Nothing };
        let mut stream = connection.recv_stream(request);
        let Ok(mut chunks) = stream.read(true) else { return Answer::Nothing };
        let has_ended = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => self.heard.extend_from_slice(&chunk.bytes),
                Err(ReadError::Blocked) => break false,
                Ok(None) | Err(ReadError::Reset(_)) => break true,
            }
        };
        let _ = chunks.finalize();
        if !self.is_open {
            let Some((status, bytes)) = words::status(&self.heard) else {
                return if has_ended { over("no answer") } else { Answer::Nothing };
            };
            self.heard.drain(..bytes);
            self.is_open = status == 200;
            let stream = connection.streams().open(Dir::Bi).filter(|_| self.is_open);
            let Some(stream) = stream else { return over("no session") };
            let head = words::stream_head(Dir::Bi, self.session());
            let _ = connection.send_stream(stream).write(&head);
            return Answer::Session(stream);
        }
        match words::closed(&self.heard) {
            Some((code, reason)) => Answer::Over(Cause::Closed { code: u16::try_from(code).ok(), reason }),
            None if has_ended => over("the session ended"),
            None => Answer::Nothing,
        }
    }

    /// Ends the session.
    pub(super) fn close(&self, connection: &mut Connection, code: u16, reason: &str) {
        let Some(request) = self.request else { return };
        let mut stream = connection.send_stream(request);
        // As far as it goes: the connection is closed next.
        let _ = stream.write(&words::close(code.into(), reason));
        let _ = stream.finish();
    }

    /// How long the head is of a stream of the server's; 0 of one that is not of the session. `None`: not known yet.
    pub(super) fn head_bytes(begun: &[u8]) -> Option<usize> {
        match words::head(Dir::Uni, begun) {
            Head::Partial => None,
            Head::Session(_, bytes) => Some(bytes),
            Head::Other => Some(0),
        }
    }

    pub(super) fn datagram(&self, frame: &[u8]) -> Bytes {
        words::datagram(self.session(), frame)
    }

    pub(super) fn undo_datagram(&self, datagram: Bytes) -> Option<Bytes> {
        words::undo_datagram(self.session(), datagram)
    }
}

fn over(what: &str) -> Answer {
    Answer::Over(Cause::Network(format!("WebTransport: {what}")))
}
