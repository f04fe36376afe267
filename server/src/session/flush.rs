//! The end of the turn: one send for each connection that has something due.

use bytes::Bytes;
use ringwire_driver::{ConnectionId, Operation, Operations};
use ringwire_protocol::message::Head;

use super::{Sessions, secure};
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::mesh::Mesh;
use crate::fanout::queues::Queue;
use crate::transport::carrier::Carrier;
use crate::transport::connection::Stage;
use crate::transport::stalled::Stalled;

impl Sessions {
    /// Turns what is due into sends, and closes what is to be closed, after its last send.
    pub fn flush(&mut self, now: Now, operations: &mut Operations, mesh: &mut Mesh) {
        self.send_inboxes();
        let due = std::mem::take(&mut self.due);
        let mut slow = Vec::new();
        self.write_streams(now, &due);
        self.send_due(now, &due, operations, &mut slow);
        for id in slow {
            self.cut_slow(id, mesh);
        }
        self.end_left(mesh);
        for connection in self.to_close.drain(..) {
            operations.push(Operation::Close { connection });
        }
        self.arena.end_turn();
        self.flush_quic(now, operations);
        self.due = due;
        self.due.clear();
    }

    fn send_due(
        &mut self,
        now: Now,
        due: &[ConnectionId],
        operations: &mut Operations,
        slow: &mut Vec<ConnectionId>,
    ) {
        let (connections, arena) = (&mut self.connections, &mut self.arena);
        // A slot's occupant changes only between turns, so the ids of this turn are of this turn. One that can be
        // written to again and then has something due is listed twice: what is due to it is taken once.
        let mut take_queue = |id: &ConnectionId| {
            let connection = connections[id.slot as usize].as_deref_mut();
            connection.map_or(Queue::EMPTY, |due| std::mem::replace(&mut due.queue, Queue::EMPTY))
        };
        let queues: Vec<Queue> = due.iter().map(&mut take_queue).collect();
        let with_queue = queues.iter().copied().filter(|queue| *queue != Queue::EMPTY);
        let mut ids = due.iter().zip(&queues).filter(|(_, queue)| **queue != Queue::EMPTY).map(|(id, _)| *id);
        self.queues.finish(with_queue, operations, |operations, payload| {
            let Some(id) = ids.next() else { return };
            let Some(connection) = connections[id.slot as usize].as_deref_mut() else { return };
            if matches!(connection.stage, Stage::Closed) {
                return;
            }
            // In the clear all that are due the same share it; sealed, each has its own.
            let payload = match &connection.carrier {
                Carrier::WebSocket(_) => payload,
                Carrier::Quic { .. } => unreachable!("what is due to a stream was written before"),
                Carrier::Secure(_) => {
                    let due = operations.payloads[payload.0 as usize].clone();
                    let sealed = secure::sealed(connection, &due, arena);
                    if sealed.is_empty() {
                        // The last word was said before, and nothing can be sealed behind it.
                        return;
                    }
                    operations.payload(sealed)
                }
            };
            match &mut connection.stalled {
                Some(stalled) => stalled.push(operations.payloads[payload.0 as usize].clone()),
                None => operations.send(id, payload),
            }
        });
        let outbox_bytes_max = self.terms.limits.outbox_bytes_max;
        for id in due {
            let connection = self.connections[id.slot as usize].as_deref_mut();
            let Some(connection) = connection.filter(|connection| connection.id == *id) else { continue };
            let Some(mut stalled) = connection.stalled.take() else {
                if let Some(records) = secure::last_records(connection, &mut self.arena) {
                    let payload = operations.payload(records);
                    operations.send(*id, payload);
                }
                continue;
            };
            if stalled.writable && connection.carrier.is_quic() {
                self.resume_stream(now, *id, *stalled);
                // What came due with it, and the heads, may be more than it takes.
                let rest = self.get_mut(*id).and_then(|connection| connection.stalled.as_ref());
                if rest.is_some_and(|rest| rest.bytes() > outbox_bytes_max) {
                    slow.push(*id);
                }
                if self.inboxes.contains_key(&id.slot) {
                    self.inboxes_due.push(*id);
                }
            } else if stalled.writable {
                for (conversation, head) in stalled.behind().collect::<Vec<_>>() {
                    let mut bytes = Vec::new();
                    Head { conversation, head }.encode(&mut self.encoder, &mut bytes);
                    let message = Encoded::new(&bytes);
                    stalled.push(secure::sealed(connection, message.websocket(), &mut self.arena));
                }
                if let Some(records) = secure::last_records(connection, &mut self.arena) {
                    stalled.push(records);
                }
                let payload = operations.payload(stalled.join());
                operations.send(*id, payload);
                if self.inboxes.contains_key(&id.slot) {
                    self.inboxes_due.push(*id);
                }
            } else {
                if stalled.bytes() > outbox_bytes_max {
                    slow.push(*id);
                }
                connection.stalled = Some(stalled);
            }
        }
    }
}

impl Sessions {
    /// The kernel took only `sent` bytes of the last payload.
    pub fn on_stalled(&mut self, now: Now, id: ConnectionId, payload: &Bytes, sent: usize) {
        let outbox_bytes_max = self.terms.limits.outbox_bytes_max;
        if let Some(connection) = self.get_mut(id) {
            assert!(connection.stalled.is_none(), "one send per connection at a time");
            let is_too_much = payload.len() - sent > outbox_bytes_max;
            let rest = match &connection.carrier {
                Carrier::WebSocket(_) | Carrier::Quic { .. } => payload.slice(sent..),
                // The piece of memory is shared with connections that took theirs.
                Carrier::Secure(_) => Bytes::copy_from_slice(&payload[sent..]),
            };
            connection.stalled = Some(Box::new(Stalled::new(rest, now.seconds())));
            if is_too_much {
                // Looked at when the turn ends, like one that has something due.
                self.due.push(id);
            }
        }
    }

    /// A stalled connection takes bytes again.
    pub fn on_writable(&mut self, id: ConnectionId) {
        let Some(connection) = self.get_mut(id) else { return };
        if let Some(stalled) = &mut connection.stalled {
            stalled.writable = true;
            if connection.queue == Queue::EMPTY {
                self.due.push(id);
            }
        }
    }
}
