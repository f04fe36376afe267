//! Taking bytes, fairly: one receive per connection and turn.

use std::os::fd::AsFd;

use super::connection::INTEREST;
use super::{EpollDriver, token};
use crate::sys::{self, ReceiveError};
use crate::{Completion, ConnectionId};

impl EpollDriver {
    pub(super) fn on_event(&mut self, id: ConnectionId, flags: u32, sink: &mut dyn FnMut(Completion<'_>)) {
        let has = |flag: i32| flags & flag.cast_unsigned() != 0;
        let Some(connection) = self.slots.get_mut(id) else {
            self.counters.stale += 1;
            return;
        };
        if connection.is_closing {
            return;
        }
        if has(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) {
            connection.is_ending |= has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR);
            // Who waits in the list has its turn there.
            if !connection.has_more && !connection.is_disconnected {
                self.receive(id, sink);
            }
        }
        if has(libc::EPOLLOUT) {
            self.on_writable(id, sink);
        }
    }

    fn on_writable(&mut self, id: ConnectionId, sink: &mut dyn FnMut(Completion<'_>)) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        if !connection.is_stalled || connection.is_broken {
            return;
        }
        connection.is_stalled = false;
        // Failing leaves EPOLLOUT watched, which costs a spurious event now and then.
        if let Err(error) = self.poller.change(connection.socket.as_fd(), token(id), INTEREST) {
            tracing::debug!(%error, connection = ?id, "writability stays watched");
        }
        sink(Completion::Writable { connection: id });
    }

    /// One receive. A full buffer, or an end in sight, means that there may be more.
    fn receive(&mut self, id: ConnectionId, sink: &mut dyn FnMut(Completion<'_>)) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        match sys::receive(connection.socket.as_fd(), &mut self.scratch) {
            Ok(taken) => {
                if taken == self.scratch.len() || connection.is_ending {
                    connection.has_more = true;
                    self.more.push(id);
                }
                sink(Completion::Received { connection: id, data: &mut self.scratch[..taken] });
            }
            Err(ReceiveError::Empty) => {}
            Err(ReceiveError::Closed) => {
                connection.is_disconnected = true;
                sink(Completion::Disconnected { connection: id, cause: None });
            }
            Err(ReceiveError::Failed(cause)) => {
                connection.is_disconnected = true;
                connection.is_broken = true;
                sink(Completion::Disconnected { connection: id, cause: Some(cause) });
            }
        }
    }

    /// Goes on with those that were left with more; whether there were any.
    pub(super) fn receive_more(&mut self, sink: &mut dyn FnMut(Completion<'_>)) -> bool {
        let waiting = self.more.len();
        for index in 0..waiting {
            let id = self.more[index];
            let Some(connection) = self.slots.get_mut(id) else { continue };
            connection.has_more = false;
            if !connection.is_disconnected && !connection.is_closing {
                self.receive(id, sink);
            }
        }
        self.more.drain(..waiting);
        waiting > 0
    }
}
