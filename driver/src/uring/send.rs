//! Sending quietly: an entry that is neither waited for nor heard of unless it falls short.
//!
//! With `MSG_DONTWAIT` the kernel sends inside the entering call, with `MSG_WAITALL` it counts a short
//! send as a failure, and with skip-success only failures complete. So a delivery costs no completion,
//! payloads are borrowed only until the call returns, and two sends can never be in flight at once.

use std::io;

use bytes::Bytes;
use io_uring::opcode;
use io_uring::types::Fixed;

use super::UringDriver;
use super::ring::{CHUNK, Entered, Purpose};
use super::token::{Opcode, Token};
use crate::{Completion, Send};

/// See above; and no signal where the peer is gone.
const QUIETLY: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

impl UringDriver {
    /// Queues all of the turn's sends, and hands them over a chunk at a time. The last chunk stays queued,
    /// for what follows in this turn. `self.payloads` is left alone until the next wait has seen which of
    /// them fell short.
    pub(super) fn send_all(&mut self, sends: &mut Vec<Send>) {
        for send in sends.drain(..) {
            let payload = &self.payloads[send.payload.0 as usize];
            let Some(connection) = self.slots.get_mut(send.connection).filter(|c| !c.is_closing) else {
                self.counters.stale += 1;
                continue;
            };
            assert!(!connection.is_stalled, "{:?} is stalled: no send before Writable", send.connection);
            if connection.is_broken {
                continue;
            }
            // A payload of 4 GiB would fall short, and the rest follow.
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            let token = Token::new(Opcode::Send, send.connection.slot, send.payload.0);
            let entry = opcode::Send::new(Fixed(connection.file), payload.as_ptr(), length).flags(QUIETLY);
            // SAFETY: the payload stays in `self.payloads` until the queue was handed over, and a send
            // with MSG_DONTWAIT completes inside that call. Where handing over fails for good, the driver
            // neither enters again nor lets go of the payloads.
            unsafe { self.ring.push_quiet(entry.build().user_data(token.pack())) };
            if self.ring.queued() >= CHUNK {
                self.enter(Purpose::Submit);
            }
        }
    }

    /// A send fell short or failed. `payload` is the one that the token names.
    pub(super) fn on_send(
        &mut self,
        token: Token,
        entered: Entered,
        payload: Bytes,
        sink: &mut dyn FnMut(Completion<'_>),
    ) {
        // The connection is still the one that was sent to: a slot is freed by a completion, and those of
        // a turn's sends come before those of its closes.
        let Some(id) = self.slots.occupant(token.slot) else {
            self.counters.stale += 1;
            return;
        };
        let Some(connection) = self.slots.get_mut(id) else { return };
        if connection.is_closing || connection.is_broken {
            return;
        }
        let sent = match entered.result {
            sent @ 0.. => sent.cast_unsigned() as usize,
            error if -error == libc::EAGAIN => 0,
            error => {
                connection.is_broken = true;
                if !std::mem::replace(&mut connection.is_disconnected, true) {
                    let cause = Some(io::Error::from_raw_os_error(-error));
                    sink(Completion::Disconnected { connection: id, cause });
                }
                return;
            }
        };
        if sent >= payload.len() {
            return;
        }
        connection.is_stalled = true;
        let file = connection.file;
        self.counters.stalls += 1;
        self.make_room(1);
        self.ring.watch_writable(file, Token::of(Opcode::Writable, id));
        sink(Completion::Stalled { connection: id, payload, sent });
    }

    pub(super) fn on_writable(&mut self, token: Token, sink: &mut dyn FnMut(Completion<'_>)) {
        let id = token.connection();
        let Some(connection) = self.slots.get_mut(id) else {
            self.counters.stale += 1;
            return;
        };
        // Also where the poll failed: the next send tells why.
        connection.is_stalled = false;
        if connection.is_closing {
            self.close_if_unused(id);
        } else if !connection.is_broken {
            sink(Completion::Writable { connection: id });
        }
    }
}
