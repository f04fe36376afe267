//! Taking connections, and resting when there is nothing to take them with.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;

use super::connection::{Connection, INTEREST};
use super::{EpollDriver, LISTENER, Pending, token};
use crate::listen::LAST_ACCEPTS_MAX;
use crate::pause::Verdict;
use crate::{Completion, OpenError, sys};

/// Connections taken in one turn; level-triggered, so those left over come again at the next wait.
const BATCH: usize = 128;

impl EpollDriver {
    pub(super) fn listen(&mut self, listener: TcpListener, send_buffer_bytes: u32) -> Result<(), OpenError> {
        listener.set_nonblocking(true).map_err(OpenError::io("making the listener non-blocking"))?;
        if send_buffer_bytes > 0 {
            sys::set_send_buffer(listener.as_fd(), send_buffer_bytes)
                .map_err(OpenError::io("setting SO_SNDBUF on the listener"))?;
        }
        self.poller
            .add(listener.as_fd(), token(LISTENER), libc::EPOLLIN)
            .map_err(OpenError::io("watching the listener"))?;
        self.listener = Some(listener);
        Ok(())
    }

    pub(super) fn stop_listening(&mut self) {
        self.take_who_waits();
        // Closing it also ends the watch: no other descriptor refers to it unless it was handed over, and
        // then removing it is what ends the watch.
        if let Some(listener) = self.listener.take()
            && let Err(error) = self.poller.remove(listener.as_fd())
        {
            tracing::debug!(%error, "the listener was not watched");
        }
    }

    /// Takes those who wait to be accepted, to report them first thing in the next wait.
    fn take_who_waits(&mut self) {
        let mut waiting = Vec::new();
        for _ in 0..(LAST_ACCEPTS_MAX as usize).div_ceil(BATCH) {
            let before = self.counters.accepted + self.counters.refused;
            self.accept(&mut |completion| {
                if let Completion::Accepted { connection, peer } = completion {
                    waiting.push(Pending::Accepted { connection, peer });
                }
            });
            if self.counters.accepted + self.counters.refused == before {
                break;
            }
        }
        self.pending.extend(waiting);
    }

    pub(super) fn accept(&mut self, sink: &mut dyn FnMut(Completion<'_>)) {
        for _ in 0..BATCH {
            let Some(listener) = &self.listener else { return };
            match sys::accept(listener.as_fd()) {
                Ok((socket, peer)) => {
                    self.pause.on_success();
                    let id = match self.slots.insert(Connection::new(socket)) {
                        Ok(id) => id,
                        // Dropping the socket closes it: the peer learns at once that there is no room.
                        Err(_refused) => {
                            self.counters.refused += 1;
                            continue;
                        }
                    };
                    if let Err(error) = self.watch(id) {
                        self.slots.remove(id);
                        return self.on_accept_error(error, sink);
                    }
                    self.counters.accepted += 1;
                    sink(Completion::Accepted { connection: id, peer });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.on_accept_error(error, sink);
                    if self.pause.is_on() {
                        return;
                    }
                }
            }
        }
    }

    fn watch(&mut self, id: crate::ConnectionId) -> io::Result<()> {
        match self.slots.get_mut(id) {
            Some(connection) => self.poller.add(connection.socket.as_fd(), token(id), INTEREST),
            None => Ok(()),
        }
    }

    fn on_accept_error(&mut self, error: io::Error, sink: &mut dyn FnMut(Completion<'_>)) {
        let verdict = self.pause.on_error(&error);
        if verdict == Verdict::GoOn {
            return;
        }
        self.counters.accept_pauses += 1;
        self.watch_listener(0);
        if verdict == Verdict::PauseAndReport {
            sink(Completion::AcceptFailed { error });
        }
    }

    /// Takes connections again when a pause has run out.
    pub(super) fn resume_accepting(&mut self, sink: &mut dyn FnMut(Completion<'_>)) {
        if self.pause.take_over() {
            self.watch_listener(libc::EPOLLIN);
            self.accept(sink);
        }
    }

    fn watch_listener(&self, flags: i32) {
        if let Some(listener) = &self.listener
            && let Err(error) = self.poller.change(listener.as_fd(), token(LISTENER), flags)
        {
            tracing::error!(%error, "cannot change what is watched on the listener");
        }
    }
}
