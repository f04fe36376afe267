//! Taking connections: a small pool of single accepts into direct descriptors.
//!
//! A multishot accept would need no pool, but has no room for the peer's address, and asking a direct
//! descriptor for it afterwards races with its end. Each place in the pool has room of its own, and is
//! armed again as soon as its connection is handed over.
//!
//! Invariants: the room of an armed place is the kernel's; the table of direct descriptors has as many
//! entries beyond `connections_max` as there are places, so a connection that is refused finds one.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};

use io_uring::opcode;
use io_uring::types::{DestinationSlot, Fd};

use super::UringDriver;
use super::connection::Connection;
use super::ring::{Entered, Ring};
use super::token::{Opcode, Token};
use crate::pause::{Pause, Verdict};
use crate::sys::{self, PeerAddress};
use crate::{Completion, OpenError};

/// Accepts armed at once: what one turn of a connection storm takes.
pub(super) const PLACES: u32 = 32;

/// The listener and the pool. Without a listener nothing is armed.
pub(super) struct Acceptor {
    listener: Option<TcpListener>,
    /// Boxed: the kernel writes here, so it must not move.
    places: Box<[Place]>,
    armed: u32,
    pub(super) pause: Pause,
}

struct Place {
    room: PeerAddress,
    is_armed: bool,
}

impl Acceptor {
    pub(super) fn new(listener: Option<TcpListener>, send_buffer_bytes: u32) -> Result<Self, OpenError> {
        if let Some(listener) = &listener {
            listener.set_nonblocking(true).map_err(OpenError::io("making the listener non-blocking"))?;
            if send_buffer_bytes > 0 {
                sys::set_send_buffer(listener.as_fd(), send_buffer_bytes)
                    .map_err(OpenError::io("setting SO_SNDBUF on the listener"))?;
            }
        }
        let place = || Place { room: PeerAddress::new(), is_armed: false };
        let places = std::iter::repeat_with(place).take(PLACES as usize).collect();
        Ok(Self { listener, places, armed: 0, pause: Pause::default() })
    }

    /// Arms one place, unless it is armed, accepting pauses, or there is no listener any more.
    fn arm(&mut self, ring: &mut Ring, index: u32) {
        let place = &mut self.places[index as usize];
        let Some(listener) = self.listener.as_ref().filter(|_| !place.is_armed && !self.pause.is_on()) else {
            return;
        };
        let (address, length) = place.room.reset();
        let entry = opcode::Accept::new(Fd(listener.as_raw_fd()), address, length)
            .file_index(Some(DestinationSlot::auto_target()))
            .build()
            .user_data(Token::new(Opcode::Accept, index, 0).pack());
        // SAFETY: the room is boxed, is not looked at while `is_armed`, and outlives the request: the pool
        // is freed only after every request has ended, or else leaked (see `UringDriver`).
        unsafe { ring.push(&entry) };
        place.is_armed = true;
        self.armed += 1;
    }

    /// The peer of the connection that place `index` took; the place is free again.
    fn take(&mut self, index: u32) -> SocketAddr {
        let place = &mut self.places[index as usize];
        debug_assert!(place.is_armed);
        place.is_armed = false;
        self.armed -= 1;
        place.room.get()
    }
}

impl UringDriver {
    pub(super) fn arm_accepts(&mut self) {
        for index in 0..PLACES {
            self.make_room(1);
            self.acceptor.arm(&mut self.ring, index);
        }
    }

    /// Takes connections again when a pause has run out.
    pub(super) fn resume_accepting(&mut self) {
        if self.acceptor.pause.take_over() {
            self.arm_accepts();
        }
    }

    pub(super) fn stop_accepting(&mut self) {
        // What is armed completes as cancelled, or with a connection that is still reported; each request
        // holds the listening socket, so it closes with the last of them.
        if self.acceptor.listener.take().is_none() {
            return;
        }
        for index in 0..PLACES {
            self.cancel_accept(index);
        }
    }

    /// Ends an accept, once there is no listener any more; also when that failed before (see
    /// `cancel_receive`).
    pub(super) fn cancel_accept(&mut self, index: u32) {
        self.make_room(1);
        if self.acceptor.listener.is_none() && self.acceptor.places[index as usize].is_armed {
            let (target, token) = (Opcode::Accept, Opcode::CancelAccept);
            self.ring.cancel(Token::new(target, index, 0), Token::new(token, index, 0));
        }
    }

    pub(super) fn on_accept(&mut self, token: Token, entered: Entered, sink: &mut dyn FnMut(Completion<'_>)) {
        let peer = self.acceptor.take(token.slot);
        match u32::try_from(entered.result) {
            Ok(file) => {
                self.acceptor.pause.on_success();
                self.on_connection(file, peer, sink);
            }
            Err(_negative) => self.on_accept_error(io::Error::from_raw_os_error(-entered.result), sink),
        }
        self.make_room(1);
        self.acceptor.arm(&mut self.ring, token.slot);
    }

    fn on_connection(&mut self, file: u32, peer: SocketAddr, sink: &mut dyn FnMut(Completion<'_>)) {
        match self.slots.insert(Connection::new(file)) {
            Ok(id) => {
                self.counters.accepted += 1;
                sink(Completion::Accepted { connection: id, peer });
                self.arm_receive(id);
            }
            Err(refused) => {
                self.counters.refused += 1;
                self.make_room(1);
                self.ring.close_quietly(refused.file, Token::new(Opcode::Refuse, 0, refused.file));
            }
        }
    }

    fn on_accept_error(&mut self, error: io::Error, sink: &mut dyn FnMut(Completion<'_>)) {
        if self.acceptor.listener.is_none() {
            return;
        }
        let verdict = self.acceptor.pause.on_error(&error);
        if verdict != Verdict::GoOn {
            self.counters.accept_pauses += 1;
        }
        if verdict == Verdict::PauseAndReport {
            sink(Completion::AcceptFailed { error });
        }
    }
}
