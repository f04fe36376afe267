//! The end of connections, from our side, from the peer's, and of all of them.
//!
//! Over WebSocket both sides say a close. Who has said his own first hears the other's, throws away what comes before it,
//! and gives it two seconds (`liveness`).

use ringwire_driver::{ConnectionId, Operation, Operations};
use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{GoAway, Reject};
use ringwire_protocol::ws;
use ringwire_protocol::ws::handshake::HandshakeFault;

use super::Sessions;
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::mesh::Mesh;
use crate::transport::connection::Stage;

/// What is said over HTTP by a server that is stopping: another one may be there in a moment.
pub(super) const STOPPING: HandshakeFault = HandshakeFault::Overloaded { retry_after_s: 1 };

impl Sessions {
    /// Closes with a code: says why in a `Reject` if the peer speaks our protocol, then the WebSocket close,
    /// then waits for the peer to close too.
    pub(super) fn close(&mut self, now: Now, id: ConnectionId, code: Code, reason: &str, mesh: &mut Mesh) {
        let Some(connection) = self.get_mut(id) else { return };
        if connection.takes_frames() {
            let reject = Reject {
                request: 0,
                conversation: ConversationId::ZERO,
                client_sequence: 0,
                code,
                retry_after_ms: 0,
                reason,
            };
            self.reject(id, &reject);
        }
        if self.is_quic(id) {
            return self.close_quic(id, code, mesh);
        }
        self.close_websocket(now, id, code.number(), code.name(), mesh);
    }

    pub(super) fn close_websocket(
        &mut self,
        now: Now,
        id: ConnectionId,
        code: u16,
        reason: &str,
        mesh: &mut Mesh,
    ) {
        let frame = self.queues.written(|out| ws::write_close(out, code, reason, None));
        self.enqueue(id, frame);
        self.linger(now, id, true, mesh);
    }

    /// The peer has said its close. Behind ours, which says the same, neither has anything to say: the server closes
    /// TCP then (RFC 6455 §7.1.1), so that it is the peer's port that is free at once.
    pub(super) fn on_peer_close(&mut self, now: Now, id: ConnectionId, code: Option<u16>, mesh: &mut Mesh) {
        if self.get_mut(id).is_some_and(|connection| connection.takes_frames()) {
            self.close_websocket(now, id, code.unwrap_or(Code::NORMAL.number()), "", mesh);
        }
        self.leaving.push(id);
    }

    /// Ends those that both sides have closed, once what was due has left. Who has not taken all of it gets the rest
    /// of the time.
    pub(super) fn end_left(&mut self, mesh: &mut Mesh) {
        for id in std::mem::take(&mut self.leaving) {
            if self.get_mut(id).is_some_and(|connection| connection.stalled.is_none()) {
                self.end(id, mesh);
            }
        }
    }

    /// Nothing more is taken; what is queued still goes out. The peer closes, or `liveness` does. `hears_close`: it
    /// speaks WebSocket, so its close is heard.
    pub(super) fn linger(&mut self, now: Now, id: ConnectionId, hears_close: bool, mesh: &mut Mesh) {
        self.detach_all(id, mesh);
        if let Some(connection) = self.get_mut(id) {
            connection.stage = Stage::Closing { hears_close };
            connection.heard_s = now.seconds();
        }
    }

    /// Ends the connection at once: asks the driver to close it.
    pub(super) fn end(&mut self, id: ConnectionId, mesh: &mut Mesh) {
        self.detach_all(id, mesh);
        let Some(connection) = self.get_mut(id) else { return };
        if !matches!(connection.stage, Stage::Closed) {
            connection.stage = Stage::Closed;
            connection.stalled = None;
            self.to_close.push(id);
        }
    }

    /// Tells everybody to go elsewhere, and takes nobody new. Who has no session yet is told at once that there is none
    /// to be had: nothing else would end it before the time is up.
    pub fn drain(&mut self, now: Now, jitter_ms: u32, operations: &mut Operations, mesh: &mut Mesh) {
        self.draining = true;
        if let Some(quic) = &mut self.quic {
            quic.drain();
        }
        operations.push(Operation::StopAccepting);
        let (mut ids, mut early) = (Vec::new(), Vec::new());
        for connection in self.connections.iter().flatten() {
            match connection.stage {
                Stage::Live(_) => ids.push(connection.id),
                Stage::Handshake(_) | Stage::Greeting => early.push(connection.id),
                Stage::Closing { .. } | Stage::Closed => {}
            }
        }
        early.into_iter().for_each(|id| self.send_away(now, id, mesh));
        let go_away = GoAway {
            code: Code::SHUTTING_DOWN,
            not_before_ms: 0,
            jitter_ms,
            reason: "the server is stopping",
            address: "",
        };
        let mut bytes = Vec::new();
        go_away.encode(&mut self.encoder, &mut bytes);
        let frame = Encoded::new(&bytes);
        let frame = self.queues.shared(frame.websocket().clone());
        for id in ids {
            self.enqueue(id, frame);
        }
    }

    /// Ends a connection without a session, because the server is stopping.
    fn send_away(&mut self, now: Now, id: ConnectionId, mesh: &mut Mesh) {
        let Some(connection) = self.get_mut(id) else { return };
        let is_greeted = matches!(connection.stage, Stage::Greeting);
        let is_shaken = connection.carrier.secure_mut().is_none_or(|secure| secure.is_shaken());
        match (is_greeted, is_shaken) {
            (true, _) => self.close(now, id, Code::SHUTTING_DOWN, "the server is stopping", mesh),
            (false, true) => self.refuse(now, id, &STOPPING.response(), mesh),
            // Nothing can be said before the handshake is over.
            (false, false) => self.end(id, mesh),
        }
    }
}
