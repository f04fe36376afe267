//! A core and its present WebSocket: what a host with a byte stream drives.
//!
//! Its duties, beyond those that [`crate::core`] names: for [`Action::Connect`] make a socket and call
//! [`Link::on_open`] or [`Link::on_closed`]; hand in what it receives by [`Link::on_bytes`]; write what
//! [`Link::poll_output`] gives; for [`Action::Close`] write the rest as far as that goes at once, close the socket and
//! call [`Link::on_closed`].

use std::time::Duration;

use ringwire_protocol::ws::handshake::HandshakeFault;

use super::transport::{Signal, WsFault, WsTransport};
use crate::core::{Cause, Core, Random, Want};
use crate::limits::OUTPUT_BYTES_MAX;

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

/// See the module.
#[derive(Debug)]
pub struct Link {
    core: Core,
    transport: Option<WsTransport>,
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
            transport: None,
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
        self.transport = Some(WsTransport::new(host, path, self.random.next_u64()));
        self.cause = None;
    }

    /// Bytes came from the socket. They are changed in place.
    pub fn on_bytes(&mut self, now: Duration, bytes: &mut [u8]) {
        let Some(transport) = &mut self.transport else { return };
        let (core, cause, close) = (&mut self.core, &mut self.cause, &mut self.close);
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

    /// The socket is gone, or could not be made; `cause` is what it says itself.
    pub fn on_closed(&mut self, now: Duration, cause: Cause) {
        self.transport = None;
        self.close = false;
        let cause = self.cause.take().unwrap_or(cause);
        self.core.on_disconnected(now, cause);
    }

    /// Appends what is to be written to the socket, up to a bound; call again after writing it.
    pub fn poll_output(&mut self, now: Duration, out: &mut Vec<u8>) {
        let Some(transport) = &mut self.transport else { return };
        transport.poll_output(out);
        while transport.is_open() && out.len() < OUTPUT_BYTES_MAX {
            self.frames.clear();
            if !self.core.poll_frames(now, &mut self.frames) {
                break;
            }
            transport.write_frames(&self.frames, out);
        }
    }

    /// What the host has to do, if anything.
    pub fn poll_action(&mut self) -> Option<Action> {
        if std::mem::take(&mut self.close) {
            return Some(Action::Close);
        }
        match self.core.poll_want()? {
            Want::Connect { address } => Some(Action::Connect { address }),
            Want::Disconnect { code, reason } => {
                if let Some(transport) = &mut self.transport {
                    transport.close(code, reason);
                }
                self.cause.get_or_insert(Cause::Wanted);
                Some(Action::Close)
            }
        }
    }
}
