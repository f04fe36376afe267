//! Taking connections: a small pool of single accepts into direct descriptors.
//!
//! A multishot accept would need no pool, but has no room for the peer's address, and asking a direct
//! descriptor for it afterwards races with its end. Each place in the pool has room of its own, and is
//! armed again as soon as its connection is handed over.
//!
//! Asked to stop, it takes who waits first. What is armed is cancelled, which may be before the kernel has looked who has
//! come meanwhile; so each place is armed once more and cancelled right behind: the kernel looks for somebody as it is
//! armed. Where there was somebody, there may be another.
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
use crate::listen::LAST_ACCEPTS_MAX;
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
    /// Asked to stop: how many may still be taken.
    last: Option<u32>,
    pub(super) pause: Pause,
}

struct Place {
    room: PeerAddress,
    is_armed: bool,
    /// Armed only to look once more.
    is_last: bool,
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
        let place = || Place { room: PeerAddress::new(), is_armed: false, is_last: false };
        let places = std::iter::repeat_with(place).take(PLACES as usize).collect();
        Ok(Self { listener, places, armed: 0, last: None, pause: Pause::default() })
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
        if self.acceptor.last.is_none() && self.acceptor.pause.take_over() {
            self.arm_accepts();
        }
    }

    pub(super) fn stop_accepting(&mut self) {
        if self.acceptor.last.is_some() {
            return;
        }
        self.acceptor.last = Some(LAST_ACCEPTS_MAX);
        for index in 0..PLACES {
            self.cancel_accept(index);
        }
        self.close_listener();
    }

    /// Closes the listening socket when nothing is armed any more.
    fn close_listener(&mut self) {
        if self.acceptor.last.is_some() && self.acceptor.armed == 0 {
            self.acceptor.listener = None;
        }
    }

    /// Ends an accept, once it was asked to stop; also when that failed before (see `cancel_receive`).
    pub(super) fn cancel_accept(&mut self, index: u32) {
        self.make_room(1);
        if self.acceptor.last.is_some() && self.acceptor.places[index as usize].is_armed {
            let (target, token) = (Opcode::Accept, Opcode::CancelAccept);
            self.ring.cancel(Token::new(target, index, 0), Token::new(token, index, 0));
        }
    }

    pub(super) fn on_accept(&mut self, token: Token, entered: Entered, sink: &mut dyn FnMut(Completion<'_>)) {
        let peer = self.acceptor.take(token.slot);
        let was_taken = match u32::try_from(entered.result) {
            Ok(file) => {
                self.acceptor.pause.on_success();
                self.on_connection(file, peer, sink);
                true
            }
            Err(_negative) => {
                self.on_accept_error(io::Error::from_raw_os_error(-entered.result), sink);
                false
            }
        };
        self.make_room(1);
        let acceptor = &mut *self.acceptor;
        let Some(left) = &mut acceptor.last else {
            return acceptor.arm(&mut self.ring, token.slot);
        };
        let was_last = std::mem::replace(&mut acceptor.places[token.slot as usize].is_last, true);
        if *left > 0 && (was_taken || !was_last) {
            *left -= u32::from(was_taken);
            acceptor.arm(&mut self.ring, token.slot);
            self.cancel_accept(token.slot);
        }
        self.close_listener();
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
        if self.acceptor.last.is_some() {
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
