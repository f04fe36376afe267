//! A core and its present connection: what a host with a byte stream drives.
//!
//! Its duties, beyond those that [`crate::core`] names: for [`Action::Connect`] make a socket and call
//! [`Link::on_open`] or [`Link::on_closed`]; hand in what it receives by [`Link::on_bytes`]; write what
//! [`Link::poll_output`] gives; for [`Action::Close`] write the rest as far as that goes at once, close the socket and
//! call [`Link::on_closed`].
//!
//! Over QUIC (W-70) frames follow each other on one stream without WebSocket's framing: the host calls
//! [`Link::on_open_stream`] instead, hands in what comes beside that stream by [`Link::on_frame`], sends what
//! [`Link::poll_datagram`] gives as datagrams, and closes with [`Link::take_goodbye`].

use std::collections::VecDeque;
use std::time::Duration;

use ringwire_protocol::Fault;
use ringwire_protocol::code::Code;
use ringwire_protocol::frame::{self, FrameReader, FrameType};
use ringwire_protocol::ws::handshake::HandshakeFault;

use super::transport::{Signal, WsFault, WsTransport};
use crate::core::{Cause, Core, Random, Want};
use crate::limits::{FRAME_BYTES_TAKEN, OUTPUT_BYTES_MAX};

/// What the host has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Make a socket.
    Connect {
        /// Where, if the server named another address than the configured one.
        address: Option<String>,
    },
    /// Give the socket up, or the attempt to make one.
    Close,
}

/// What frames travel in.
#[derive(Debug)]
enum Carrier {
    WebSocket(WsTransport),
    Stream(FrameReader),
}

/// See the module.
#[derive(Debug)]
pub struct Link {
    core: Core,
    carrier: Option<Carrier>,
    /// Signs of the moment that a stream need not carry.
    datagrams: VecDeque<Vec<u8>>,
    /// What a stream's connection is closed with.
    goodbye: Option<(u16, String)>,
    random: Random,
    /// Why the connection ends, if that is known better than the socket knows it.
    cause: Option<Cause>,
    close: bool,
    frames: Vec<u8>,
}

impl Link {
    /// A link without a socket. The seed gives keys and masks; the core has its own.
    pub fn new(core: Core, seed: u64) -> Self {
        Self {
            core,
            carrier: None,
            datagrams: VecDeque::new(),
            goodbye: None,
            random: Random::new(seed),
            cause: None,
            close: false,
            frames: Vec::new(),
        }
    }

    /// The core, for calls and events. Drive it through the link only.
    pub fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// The socket is connected; the handshake begins.
    pub fn on_open(&mut self, host: &str, path: &str) {
        self.carrier = Some(Carrier::WebSocket(WsTransport::new(host, path, self.random.next_u64())));
        self.cause = None;
    }

    /// The stream is open; frames may flow.
    pub fn on_open_stream(&mut self, now: Duration) {
        self.carrier = Some(Carrier::Stream(FrameReader::new(FRAME_BYTES_TAKEN)));
        self.cause = None;
        self.goodbye = None;
        self.core.on_connected(now);
    }

    /// Bytes came from the socket. They are changed in place.
    pub fn on_bytes(&mut self, now: Duration, bytes: &mut [u8]) {
        let (core, cause, close) = (&mut self.core, &mut self.cause, &mut self.close);
        let transport = match &mut self.carrier {
            None => return,
            Some(Carrier::WebSocket(transport)) => transport,
            Some(Carrier::Stream(reader)) => {
                let mut input = &*bytes;
                let result = loop {
                    match reader.next(&mut input) {
                        Ok(Some(frame)) => core.on_frame(now, frame),
                        Ok(None) => break Ok(()),
                        Err(fault) => break Err(fault),
                    }
                };
                return result.unwrap_or_else(|fault| self.on_fault(fault));
            }
        };
        let result = transport.on_bytes(bytes, &mut |signal| match signal {
            Signal::Opened => core.on_connected(now),
            Signal::Frames(frames) => core.on_frames(now, frames),
            Signal::Closed { code, reason } => {
                *cause = Some(Cause::Closed { code, reason: reason.to_owned() });
                *close = true;
            }
        });
        if let Err(fault) = result {
            self.cause = Some(match fault {
                WsFault::Framing(fault) => Cause::Faulty(fault),
                WsFault::Handshake(HandshakeFault::Refused { status, retry_after_s, reason }) => {
                    Cause::Refused {
                        status,
                        text: reason,
                        retry_after: retry_after_s.map(|seconds| Duration::from_secs(u64::from(seconds))),
                    }
                }
                WsFault::Handshake(fault) => Cause::Handshake(fault),
            });
            self.close = true;
        }
    }

    /// A whole frame came beside the stream. One that has overtaken the server's welcome is let go: it is of a moment
    /// that has passed before it could be understood.
    pub fn on_frame(&mut self, now: Duration, frame: &[u8]) {
        if matches!(self.carrier, Some(Carrier::Stream(_))) && self.core.is_live() {
            self.core.on_frames(now, frame);
        }
    }

    /// What came on or beside the stream is no sequence of frames.
    pub fn on_fault(&mut self, fault: Fault) {
        self.goodbye = Some((fault.code().number(), fault.to_string()));
        self.cause = Some(Cause::Faulty(fault));
        self.close = true;
    }

    /// The socket is gone, or could not be made; `cause` is what it says itself.
    pub fn on_closed(&mut self, now: Duration, cause: Cause) {
        self.carrier = None;
        self.datagrams.clear();
        self.close = false;
        let cause = self.cause.take().unwrap_or(cause);
        self.core.on_disconnected(now, cause);
    }

    /// Appends what is to be written to the socket, up to a bound; call again after writing it.
    pub fn poll_output(&mut self, now: Duration, out: &mut Vec<u8>) {
        match &mut self.carrier {
            None => {}
            Some(Carrier::WebSocket(transport)) => {
                transport.poll_output(out);
                while transport.is_open() && out.len() < OUTPUT_BYTES_MAX {
                    self.frames.clear();
                    if !self.core.poll_frames(now, &mut self.frames) {
                        break;
                    }
                    transport.write_frames(&self.frames, out);
                }
            }
            Some(Carrier::Stream(_)) => {
                while out.len() < OUTPUT_BYTES_MAX {
                    self.frames.clear();
                    if !self.core.poll_frames(now, &mut self.frames) {
                        break;
                    }
                    self.share_out(out);
                }
            }
        }
    }

    /// Who types is said beside the stream: late, it would be wrong.
    fn share_out(&mut self, out: &mut Vec<u8>) {
        let mut frames = &self.frames[..];
        while let Ok(Some(frame)) = frame::split(&mut frames, usize::MAX) {
            if frame.kind == FrameType::Typing {
                self.datagrams.push_back(frame.bytes.to_vec());
            } else {
                out.extend_from_slice(frame.bytes);
            }
        }
    }

    /// What is to be sent as a datagram; where that cannot be, it belongs on the stream.
    pub fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.datagrams.pop_front()
    }

    /// The code and the reason that a stream's connection is closed with.
    pub fn take_goodbye(&mut self) -> (u16, String) {
        self.goodbye.take().unwrap_or((Code::NORMAL.number(), String::new()))
    }

    /// What the host has to do, if anything.
    pub fn poll_action(&mut self) -> Option<Action> {
        if std::mem::take(&mut self.close) {
            return Some(Action::Close);
        }
        match self.core.poll_want()? {
            Want::Connect { address } => Some(Action::Connect { address }),
            Want::Disconnect { code, reason } => {
                match &mut self.carrier {
                    None => {}
                    Some(Carrier::WebSocket(transport)) => transport.close(code, reason),
                    Some(Carrier::Stream(_)) => self.goodbye = Some((code, reason.to_owned())),
                }
                self.cause.get_or_insert(Cause::Wanted);
                Some(Action::Close)
            }
        }
    }
}
