//! Reads along what one connection is sent, from the first byte that the kernel takes.
//!
//! What is read here may never arrive; but it has left the server, so every promise about it holds already.

use ringwire_protocol::frame::{self, FrameReader};
use ringwire_protocol::limits::FRAME_BYTES_CEILING;
use ringwire_protocol::message::ServerFrame;
use ringwire_protocol::ws::{Decoder, Event, Role};

use crate::check::{Promise, Verdict};

/// The largest WebSocket message that a server sends.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

enum Stage {
    /// The answer to the handshake, as far as it has come.
    Head(Vec<u8>),
    /// Messages.
    Open(Decoder),
    /// Frames behind each other (W-70).
    Stream(FrameReader),
    /// The server refused the handshake, or said goodbye; what follows is not for anybody.
    Over,
}

/// See the module. Owner: the world, one per socket.
pub struct Tap {
    stage: Stage,
    scratch: Vec<u8>,
}

impl Default for Tap {
    fn default() -> Self {
        Tap { stage: Stage::Head(Vec::new()), scratch: Vec::new() }
    }
}

impl Tap {
    /// One of a stream of QUIC, which has no handshake of its own.
    pub fn of_stream() -> Self {
        Tap { stage: Stage::Stream(FrameReader::new(FRAME_BYTES_CEILING)), scratch: Vec::new() }
    }

    /// Whole frames came beside the stream.
    ///
    /// # Errors
    /// They are none, or `sink` objects.
    pub fn on_beside(bytes: &[u8], sink: &mut dyn FnMut(&[u8], &ServerFrame<'_>) -> Verdict) -> Verdict {
        each_frame(bytes, sink)
    }

    /// Bytes left the server; `sink` is given each whole frame in them.
    ///
    /// # Errors
    /// What leaves is not the protocol, or `sink` objects.
    pub fn on_bytes(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(&[u8], &ServerFrame<'_>) -> Verdict,
    ) -> Verdict {
        match &mut self.stage {
            Stage::Over => Ok(()),
            Stage::Stream(reader) => {
                let mut rest = bytes;
                loop {
                    match reader.next(&mut rest) {
                        Ok(None) => return Ok(()),
                        Ok(Some(frame)) => each_frame(frame.bytes, sink)?,
                        Err(fault) => {
                            return Promise::Contract
                                .broken(format!("what the server sends is no frame: {fault}"));
                        }
                    }
                }
            }
            Stage::Open(_) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                scratch.extend_from_slice(bytes);
                let result = self.decode(&mut scratch, sink);
                self.scratch = scratch;
                result
            }
            Stage::Head(head) => {
                head.extend_from_slice(bytes);
                let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else {
                    return Ok(());
                };
                let mut rest = head.split_off(end + 4);
                let accepted = head.starts_with(b"HTTP/1.1 101 ");
                if !accepted {
                    self.stage = Stage::Over;
                    return Ok(());
                }
                self.stage = Stage::Open(Decoder::new(Role::Client, MESSAGE_BYTES_MAX));
                self.decode(&mut rest, sink)
            }
        }
    }

    fn decode(
        &mut self,
        mut bytes: &mut [u8],
        sink: &mut dyn FnMut(&[u8], &ServerFrame<'_>) -> Verdict,
    ) -> Verdict {
        let Stage::Open(decoder) = &mut self.stage else { return Ok(()) };
        loop {
            match decoder.next(&mut bytes) {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Message { text: false, data })) => each_frame(data, sink)?,
                Ok(Some(Event::Ping(_) | Event::Pong(_))) => {}
                Ok(Some(Event::Close { .. })) => {
                    self.stage = Stage::Over;
                    return Ok(());
                }
                Ok(Some(Event::Message { text: true, .. })) => {
                    return Promise::Contract.broken("the server sends text");
                }
                Err(fault) => {
                    return Promise::Contract
                        .broken(format!("what the server sends is no WebSocket: {fault}"));
                }
            }
        }
    }
}

fn each_frame(mut data: &[u8], sink: &mut dyn FnMut(&[u8], &ServerFrame<'_>) -> Verdict) -> Verdict {
    loop {
        let decoded = frame::split(&mut data, FRAME_BYTES_CEILING)
            .and_then(|frame| frame.map(|frame| Ok((frame.bytes, ServerFrame::decode(frame)?))).transpose());
        match decoded {
            Ok(None) => return Ok(()),
            Ok(Some((bytes, frame))) => sink(bytes, &frame)?,
            Err(fault) => {
                return Promise::Contract.broken(format!("what the server sends is no frame: {fault}"));
            }
        }
    }
}
