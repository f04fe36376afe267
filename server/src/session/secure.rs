//! Connections that speak TLS: ciphertext becomes bytes before anything else looks at them, and what is due becomes
//! ciphertext as the last thing of the turn.

use bytes::Bytes;
use ringwire_driver::ConnectionId;
use ringwire_protocol::ws::handshake::HandshakeFault;

use super::Sessions;
use crate::clock::Now;
use crate::fanout::mesh::Mesh;
use crate::transport::carrier::Carrier;
use crate::transport::connection::{Connection, Stage};
use crate::transport::tls::secure::{Arena, Handshake, Outcome, TlsFault};

impl Sessions {
    pub(super) fn on_ciphertext(&mut self, now: Now, id: ConnectionId, data: &mut [u8], mesh: &mut Mesh) {
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        let Some(connection) = self.get_mut(id) else { return };
        let (is_closing, is_over) = match connection.stage {
            Stage::Closing { hears_close } => (true, !hears_close),
            Stage::Closed => (true, true),
            _ => (false, false),
        };
        let Some(secure) = connection.carrier.secure_mut().filter(|_| !is_over) else { return };
        let result = secure.on_received(data, &mut plain);
        let (handshake, has_outgoing) = (secure.take_handshake(), secure.has_outgoing());
        if let Some(handshake) = handshake {
            self.counters.tls.completed(handshake == Handshake::Resumed);
        }
        if has_outgoing {
            self.due.push(id);
        }
        // What came before the end, or before the fault, was meant.
        if !plain.is_empty() {
            self.on_bytes(now, id, &mut plain, mesh);
        }
        self.plain = plain;
        match result {
            Ok(Outcome::Open) => {}
            Ok(Outcome::PeerClosed) => {
                // Listed for the answer to the close_notify, which leaves before the socket is closed.
                self.due.push(id);
                self.end(id, mesh);
            }
            Err(_) if is_closing => self.end(id, mesh),
            Err(fault) => self.on_tls_fault(now, id, &fault, mesh),
        }
    }

    /// The peer broke the rules of TLS. It is told by an alert, or in plain words, and read no more; the socket is
    /// closed when it closes, because closing at once could reset the connection before it has read why.
    fn on_tls_fault(&mut self, now: Now, id: ConnectionId, fault: &TlsFault, mesh: &mut Mesh) {
        self.counters.faults += 1;
        let Some(connection) = self.get_mut(id) else { return };
        tracing::debug!(peer = %connection.peer, %fault, "closing for a fault in TLS");
        if let (TlsFault::Cleartext, Some(secure)) = (fault, connection.carrier.secure_mut()) {
            secure.say_in_the_clear(&HandshakeFault::Cleartext.response());
            self.due.push(id);
        }
        self.linger(now, id, false, mesh);
    }
}

/// What leaves a connection for bytes that are due to it: the bytes themselves in the clear, or sealed.
pub(super) fn sealed(connection: &mut Connection, due: &Bytes, arena: &mut Arena) -> Bytes {
    let is_last = matches!(connection.stage, Stage::Closing { .. } | Stage::Closed);
    match &mut connection.carrier {
        Carrier::WebSocket(_) | Carrier::Quic { .. } => due.clone(),
        Carrier::Secure(secure) => secure.seal(due, is_last, arena),
    }
}

/// What TLS itself has to say to a connection, beside what was sealed this turn.
pub(super) fn last_records(connection: &mut Connection, arena: &mut Arena) -> Option<Bytes> {
    let is_last = matches!(connection.stage, Stage::Closing { .. } | Stage::Closed);
    let secure = connection.carrier.secure_mut().filter(|secure| secure.wants_to_say(is_last))?;
    Some(secure.seal(&[], is_last, arena)).filter(|records| !records.is_empty())
}
