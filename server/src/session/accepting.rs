//! Connections that come and go: who is let in, and what is kept of each.

use std::net::SocketAddr;

use ringwire_driver::ConnectionId;
use ringwire_protocol::ws::handshake::HandshakeFault;

use super::Sessions;
use super::closing::STOPPING;
use crate::clock::Now;
use crate::fanout::mesh::Mesh;
use crate::limits::{GATE_ANSWERS_BURST, GATE_ANSWERS_INTERVAL_MS};
use crate::transport::carrier::Carrier;
use crate::transport::connection::{Connection, Stage};

impl Sessions {
    /// A connection was accepted.
    pub fn on_accepted(&mut self, now: Now, id: ConnectionId, peer: SocketAddr) {
        let now_us = now.monotonic_ns / 1000;
        if self.draining {
            // It had been accepted before, or waited to be.
            return self.turn_away(now, id, peer, &STOPPING);
        }
        if let Err(retry_after_s) = self.gate.try_pass(now_us, peer.ip(), true) {
            self.counters.limited += 1;
            self.gate.on_turned_away(now_us, peer.ip());
            let fault = HandshakeFault::RateLimited { retry_after_s };
            return self.turn_away(now, id, peer, &fault);
        }
        let bytes_max = self.terms.limits.frame_bytes_max;
        let carrier = match &mut self.offer {
            None => Carrier::websocket(bytes_max),
            Some(offer) => Carrier::secure(offer.current().tcp.clone(), bytes_max),
        };
        self.begin(now, id, peer, carrier, Stage::Handshake(Vec::new()));
    }

    /// Closes before anything was done for it. In the clear it is told so (W-64), while few are; over TLS that would be
    /// what it is not to get.
    fn turn_away(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, fault: &HandshakeFault) {
        let is_answered = self.offer.is_none()
            && self.answers.take(now.monotonic_ms(), GATE_ANSWERS_INTERVAL_MS, GATE_ANSWERS_BURST);
        if !is_answered {
            return self.to_close.push(id);
        }
        let carrier = Carrier::websocket(self.terms.limits.frame_bytes_max);
        self.begin(now, id, peer, carrier, Stage::Closing { hears_close: false });
        let response = fault.response();
        let frame = self.queues.written(|out| out.extend_from_slice(&response));
        self.enqueue(id, frame);
    }

    pub(super) fn begin(
        &mut self,
        now: Now,
        id: ConnectionId,
        peer: SocketAddr,
        carrier: Carrier,
        stage: Stage,
    ) {
        let slot = id.slot as usize;
        if slot >= self.connections.len() {
            self.connections.resize_with(slot + 1, || None);
        }
        assert!(self.connections[slot].is_none(), "only free slots are given out");
        let traffic = &mut self.counters.ways[carrier.way() as usize];
        traffic.accepted += 1;
        traffic.open += 1;
        let connection = Connection::new(id, peer, now.seconds(), carrier, stage);
        self.connections[slot] = Some(Box::new(connection));
    }

    /// The peer is gone, or the connection failed.
    pub fn on_disconnected(&mut self, id: ConnectionId, mesh: &mut Mesh) {
        self.end(id, mesh);
    }

    /// The driver has closed; the slot is free.
    pub fn on_closed(&mut self, id: ConnectionId) {
        let Some(connection) = self.get_mut(id) else { return };
        let way = connection.carrier.way();
        let has_failed = connection.carrier.secure_mut().is_some_and(|secure| !secure.is_shaken());
        self.connections[id.slot as usize] = None;
        self.counters.ways[way as usize].open -= 1;
        self.counters.tls.failed += u64::from(has_failed);
    }
}
