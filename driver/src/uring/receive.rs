//! Receiving into shared buffers, and what happens when there are none left.
//!
//! Finding no buffer ends a receive, and putting buffers back does not revive it. So: the buffers of a
//! turn are put back first, then the starved are armed, in the order in which they starved and no more of
//! them than there are buffers. While others wait, a receive is armed for one buffer only: a multishot of
//! somebody with much to say would take them all again.

use std::io;

use io_uring::cqueue;

use super::UringDriver;
use super::ring::Entered;
use super::token::{Opcode, Token};
use crate::{Completion, ConnectionId};

impl UringDriver {
    /// Arms a receive, at once or when it is this connection's turn.
    pub(super) fn arm_receive(&mut self, id: ConnectionId) {
        if self.starved.is_empty() {
            self.arm_now(id, true);
        } else {
            self.queue(id);
        }
    }

    fn arm_now(&mut self, id: ConnectionId, is_multishot: bool) {
        self.make_room(1);
        if let Some(connection) = self.slots.get_mut(id)
            && !connection.is_receiving
            && !connection.is_disconnected
            && !connection.is_closing
        {
            connection.is_receiving = true;
            self.ring.receive(connection.file, is_multishot, Token::of(Opcode::Receive, id));
        }
    }

    fn queue(&mut self, id: ConnectionId) {
        if let Some(connection) = self.slots.get_mut(id)
            && !connection.is_queued
        {
            connection.is_queued = true;
            self.starved.push_back(id);
        }
    }

    /// Gives the kernel its buffers back, and more of them where there were too few; then arms the starved.
    pub(super) fn feed_the_starved(&mut self) {
        if !self.starved.is_empty() {
            self.buffers.widen();
        }
        self.buffers.publish();
        let is_crowd = self.starved.len() > 1;
        for _ in 0..self.buffers.given().min(self.starved.len()) {
            let Some(id) = self.starved.pop_front() else { break };
            if let Some(connection) = self.slots.get_mut(id) {
                connection.is_queued = false;
            }
            self.arm_now(id, !is_crowd);
        }
    }

    pub(super) fn on_receive(
        &mut self,
        token: Token,
        entered: Entered,
        sink: &mut dyn FnMut(Completion<'_>),
    ) {
        let buffer = cqueue::buffer_select(entered.flags);
        self.on_receive_with(token, entered, buffer, sink);
        // Whatever it was for, and even if the connection is gone.
        if let Some(buffer) = buffer {
            self.buffers.give_back(buffer);
        }
    }

    fn on_receive_with(
        &mut self,
        token: Token,
        entered: Entered,
        buffer: Option<u16>,
        sink: &mut dyn FnMut(Completion<'_>),
    ) {
        let id = token.connection();
        let Some(connection) = self.slots.get_mut(id) else {
            self.counters.stale += 1;
            return;
        };
        let has_ended = !entered.has_more();
        if has_ended {
            connection.is_receiving = false;
        }
        if connection.is_closing {
            if has_ended {
                self.close_if_unused(id);
            }
            return;
        }
        if connection.is_disconnected {
            return;
        }
        match (entered.result, buffer) {
            (filled @ 1.., Some(buffer)) => {
                let data = self.buffers.filled(buffer, filled.cast_unsigned() as usize);
                sink(Completion::Received { connection: id, data });
                if has_ended {
                    self.arm_receive(id);
                }
            }
            (1.., None) => unreachable!("bytes come in a buffer"),
            (0, _) => {
                connection.is_disconnected = true;
                sink(Completion::Disconnected { connection: id, cause: None });
            }
            (error, _) if -error == libc::ENOBUFS => {
                self.counters.starved += 1;
                self.queue(id);
            }
            (error, _) if matches!(-error, libc::EINTR | libc::EAGAIN | libc::ECANCELED) => {
                if has_ended {
                    self.arm_receive(id);
                }
            }
            (error, _) => {
                connection.is_disconnected = true;
                connection.is_broken = true;
                let cause = Some(io::Error::from_raw_os_error(-error));
                sink(Completion::Disconnected { connection: id, cause });
            }
        }
    }
}
