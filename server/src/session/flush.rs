//! The end of the turn: one send for each connection that has something due.

use ringwire_driver::{ConnectionId, Operation, Operations};

use ringwire_protocol::message::Head;

use super::{Sessions, secure};
use crate::fanout::encoded::Encoded;
use crate::fanout::mesh::Mesh;
use crate::fanout::queues::Queue;
use crate::transport::carrier::Carrier;
use crate::transport::connection::Stage;

impl Sessions {
    /// Turns what is due into sends, and closes what is to be closed, after its last send.
    pub fn flush(&mut self, operations: &mut Operations, mesh: &mut Mesh) {
        self.send_inboxes();
        let due = std::mem::take(&mut self.due);
        let mut slow = Vec::new();
        self.send_due(&due, operations, &mut slow);
        for id in slow {
            self.cut_slow(id, mesh);
        }
        for connection in self.to_close.drain(..) {
            operations.push(Operation::Close { connection });
        }
        self.arena.end_turn();
        self.due = due;
        self.due.clear();
    }

    fn send_due(&mut self, due: &[ConnectionId], operations: &mut Operations, slow: &mut Vec<ConnectionId>) {
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
                Carrier::Secure(_) => {
                    let due = operations.payloads[payload.0 as usize].clone();
                    operations.payload(secure::sealed(connection, &due, arena))
                }
            };
            match &mut connection.stalled {
                Some(stalled) => stalled.push(operations.payloads[payload.0 as usize].clone()),
                None => operations.send(id, payload),
            }
        });
        let outbox_bytes_max = self.terms.limits.outbox_bytes_max;
        for id in due {
            let Some(connection) = self.connections[id.slot as usize].as_deref_mut() else { continue };
            let Some(mut stalled) = connection.stalled.take() else {
                if let Some(records) = secure::last_records(connection, &mut self.arena) {
                    let payload = operations.payload(records);
                    operations.send(*id, payload);
                }
                continue;
            };
            if stalled.writable {
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
