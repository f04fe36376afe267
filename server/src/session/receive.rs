//! From bytes to frames: the upgrade, the WebSocket messages, the frames in them.

use ringwire_driver::ConnectionId;
use ringwire_protocol::fault::Fault;
use ringwire_protocol::frame::{self, Frame, FrameType};
use ringwire_protocol::message::ClientFrame;
use ringwire_protocol::ws::handshake::{self, HandshakeFault, Upgrade};
use ringwire_protocol::ws::{self, Decoder, Event, Opcode, Role};

use super::Sessions;
use crate::clock::Now;
use crate::fanout::mesh::Mesh;
use crate::limits::HANDSHAKE_BYTES_MAX;
use crate::transport::carrier::Carrier;
use crate::transport::connection::Stage;

impl Sessions {
    /// Bytes arrived.
    pub fn on_received(&mut self, now: Now, id: ConnectionId, data: &mut [u8], mesh: &mut Mesh) {
        let Some(connection) = self.get_mut(id) else { return };
        match &mut connection.carrier {
            Carrier::WebSocket(_) => self.on_bytes(now, id, data, mesh),
            Carrier::Secure(_) => self.on_ciphertext(now, id, data, mesh),
            Carrier::Quic { .. } => unreachable!("the driver has no connection for a stream"),
        }
    }

    /// Bytes as the peer meant them.
    pub(super) fn on_bytes(&mut self, now: Now, id: ConnectionId, data: &mut [u8], mesh: &mut Mesh) {
        let Some(connection) = self.get_mut(id) else { return };
        match &mut connection.stage {
            Stage::Closing { hears_close: true } => self.on_websocket_bytes(now, id, data, mesh),
            Stage::Closing { .. } | Stage::Closed => {}
            Stage::Handshake(head) => {
                if head.is_empty() {
                    // The usual case: the whole head in one piece, nothing kept.
                    self.on_head(now, id, data, mesh);
                } else {
                    let mut whole = std::mem::take(head);
                    whole.extend_from_slice(data);
                    self.on_head(now, id, &mut whole, mesh);
                }
            }
            Stage::Greeting | Stage::Live(_) => {
                connection.heard_s = now.seconds();
                self.on_websocket_bytes(now, id, data, mesh);
            }
        }
    }

    fn on_head(&mut self, now: Now, id: ConnectionId, head: &mut [u8], mesh: &mut Mesh) {
        match handshake::parse_request(head) {
            Ok(None) if head.len() > HANDSHAKE_BYTES_MAX => {
                self.refuse(now, id, &HandshakeFault::HeadTooLarge.response(), mesh);
            }
            Ok(None) => {
                if let Some(connection) = self.get_mut(id) {
                    connection.stage = Stage::Handshake(head.to_vec());
                }
            }
            Ok(Some((upgrade, consumed))) => {
                if let Err(fault) = self.check_upgrade(&upgrade) {
                    return self.refuse(now, id, &fault.response(), mesh);
                }
                let response = handshake::response(&upgrade);
                let frame = self.queues.written(|out| out.extend_from_slice(&response));
                self.enqueue(id, frame);
                if let Some(connection) = self.get_mut(id) {
                    connection.stage = Stage::Greeting;
                }
                if consumed < head.len() {
                    self.on_websocket_bytes(now, id, &mut head[consumed..], mesh);
                }
            }
            Err(HandshakeFault::Plain(request)) => {
                let page = self.terms.app.as_ref().and_then(|site| site.answer(&request));
                let fault = HandshakeFault::Plain(request);
                self.refuse(now, id, &page.unwrap_or_else(|| fault.response()), mesh);
            }
            Err(fault) => self.refuse(now, id, &fault.response(), mesh),
        }
    }

    fn check_upgrade(&self, upgrade: &Upgrade) -> Result<(), HandshakeFault> {
        if upgrade.path != ws::PATH {
            return Err(HandshakeFault::NotFound);
        }
        let origins = &self.terms.origins;
        match &upgrade.origin {
            Some(origin) if !origins.is_empty() && !origins.contains(origin) => {
                Err(HandshakeFault::OriginForbidden)
            }
            _ => Ok(()),
        }
    }

    /// Answers an HTTP request that is no upgrade of ours.
    pub(super) fn refuse(&mut self, now: Now, id: ConnectionId, response: &[u8], mesh: &mut Mesh) {
        let frame = self.queues.written(|out| out.extend_from_slice(response));
        self.enqueue(id, frame);
        self.linger(now, id, false, mesh);
    }

    fn on_websocket_bytes(&mut self, now: Now, id: ConnectionId, data: &mut [u8], mesh: &mut Mesh) {
        let bytes_max = self.terms.limits.frame_bytes_max;
        let Some(connection) = self.get_mut(id) else { return };
        // The decoder is lent to this loop, because the frames it yields are handled with the whole of
        // `self`; an idle decoder in its place owns nothing.
        let idle = Decoder::new(Role::Server, bytes_max);
        let mut decoder = std::mem::replace(connection.carrier.decoder_mut(), idle);
        let mut input = data;
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(event)) => self.on_event(now, id, event, mesh),
                Err(fault) if self.takes_frames(id) => {
                    self.on_fault(now, id, &fault, mesh);
                    break;
                }
                Err(_) => return,
            }
        }
        if let Some(connection) = self.get_mut(id) {
            *connection.carrier.decoder_mut() = decoder;
        }
    }

    fn takes_frames(&mut self, id: ConnectionId) -> bool {
        self.get_mut(id).is_some_and(|connection| connection.takes_frames())
    }

    fn on_event(&mut self, now: Now, id: ConnectionId, event: Event<'_>, mesh: &mut Mesh) {
        match event {
            Event::Close { code, .. } => self.on_peer_close(now, id, code, mesh),
            // Behind our close only the peer's is waited for.
            _ if !self.takes_frames(id) => {}
            Event::Message { text: true, .. } => self.on_fault(now, id, &Fault::TextMessage, mesh),
            Event::Message { text: false, data } => self.on_message(now, id, data, mesh),
            Event::Ping(payload) => {
                let frame = self.queues.written(|out| ws::write_message(out, Opcode::Pong, payload, None));
                self.enqueue(id, frame);
            }
            Event::Pong(payload) => self.on_pong(id, payload, mesh),
        }
    }

    /// A binary message: one or more whole frames.
    fn on_message(&mut self, now: Now, id: ConnectionId, mut message: &[u8], mesh: &mut Mesh) {
        let bytes_max = self.terms.limits.frame_bytes_max;
        loop {
            match frame::split(&mut message, bytes_max) {
                Ok(None) => return,
                Ok(Some(frame)) => self.on_frame(now, id, frame, mesh),
                Err(fault) => return self.on_fault(now, id, &fault, mesh),
            }
            if !self.get_mut(id).is_some_and(|connection| connection.takes_frames()) {
                return;
            }
        }
    }

    pub(super) fn on_frame(&mut self, now: Now, id: ConnectionId, frame: Frame<'_>, mesh: &mut Mesh) {
        self.counters.frames_in += 1;
        let kind = frame.kind;
        let signed_in = self.get_mut(id).is_some_and(|connection| connection.session().is_some());
        // Hello comes first, and once.
        if signed_in == (kind == FrameType::Hello) {
            return self.on_fault(now, id, &Fault::UnexpectedFrame { kind }, mesh);
        }
        match ClientFrame::decode(frame) {
            Ok(frame) => self.on_client_frame(now, id, frame, mesh),
            Err(fault) => self.on_fault(now, id, &fault, mesh),
        }
    }

    /// The peer broke the rules: says which, and closes.
    pub(super) fn on_fault(&mut self, now: Now, id: ConnectionId, fault: &Fault, mesh: &mut Mesh) {
        self.counters.faults += 1;
        if let Some(connection) = self.get_mut(id) {
            tracing::debug!(peer = %connection.peer, %fault, "closing for a fault of the peer");
        }
        self.close(now, id, fault.code(), &fault.to_string(), mesh);
    }
}
