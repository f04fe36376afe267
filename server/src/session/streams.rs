//! Connections over QUIC: from its events to frames, and from queues to its streams.
//!
//! What differs from a WebSocket connection is here: frames come behind each other without anything around them,
//! a close is a code of the transport, an answer to a fetch has a stream of its own, and the sign of life that a
//! challenge asks for is an acknowledgement. Everything else is the same session.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ringwire_driver::{ConnectionId, Operations};
use ringwire_protocol::code::Code;
use ringwire_protocol::fault::Fault;
use ringwire_protocol::frame::{self, FrameType};
use ringwire_protocol::message::{ClientFrame, Head};

use super::Sessions;
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::Delivery;
use crate::fanout::mesh::Mesh;
use crate::fanout::queues::Queue;
use crate::transport::carrier::Carrier;
use crate::transport::connection::Stage;
use crate::transport::quic::{self, Event, Quic, Stray};
use crate::transport::stalled::Stalled;

impl Sessions {
    /// Takes QUIC connections, too.
    #[must_use]
    pub fn with_quic(mut self, quic: Option<Quic>) -> Self {
        self.quic = quic.map(Box::new);
        self
    }

    /// What QUIC has counted; nothing without it.
    pub fn quic_counters(&self) -> quic::Counters {
        self.quic.as_ref().map(|quic| quic.counters).unwrap_or_default()
    }

    /// Datagrams came from one peer; those that another shard is to have are sent there.
    pub fn on_datagrams(
        &mut self,
        now: Now,
        path: (SocketAddr, Option<IpAddr>),
        ecn: u8,
        stride: usize,
        data: &[u8],
        mesh: &mut Mesh,
    ) {
        if let Some(quic) = &mut self.quic {
            let pass_on = |shard, stray| mesh.try_deliver(shard, Delivery::Datagram(stray));
            quic.on_datagrams(now, path, ecn, stride, data, pass_on);
        }
        self.take_quic_events(now, mesh);
    }

    /// A datagram came that another shard's socket got.
    pub(super) fn on_stray(&mut self, now: Now, stray: &Stray, mesh: &mut Mesh) {
        if let Some(quic) = &mut self.quic {
            quic.on_stray(now, stray);
        }
        self.take_quic_events(now, mesh);
    }

    /// Looks at what is due although nothing came.
    pub fn serve_quic(&mut self, now: Now, mesh: &mut Mesh) {
        if let Some(quic) = &mut self.quic {
            quic.on_time(now);
            self.take_quic_events(now, mesh);
            self.settle_presence(now);
        }
    }

    /// When QUIC has something to do, milliseconds from now.
    pub fn next_quic_ms(&self, now: Now) -> Option<u64> {
        let settles = self.unsettled.next_ms().map(|due_ms| due_ms.saturating_sub(now.monotonic_ms()));
        self.quic.as_ref()?.next_ms(now).into_iter().chain(settles).min()
    }

    fn take_quic_events(&mut self, now: Now, mesh: &mut Mesh) {
        while let Some(event) = self.quic.as_mut().and_then(|quic| quic.next_event()) {
            match event {
                Event::Opened { id, peer, is_web } => self.begin_stream(now, id, peer, is_web),
                Event::Readable(id) => self.on_readable(now, id, mesh),
                Event::Writable(id) => self.on_writable(id),
                Event::Datagram(id, bytes) => self.on_datagram(now, id, &bytes, mesh),
                Event::Proven(id) => self.on_proof(id, mesh),
                Event::Lost(id) => self.on_lost(id, mesh),
            }
        }
    }

    fn begin_stream(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, is_web: bool) {
        self.begin(now, id, peer, Carrier::Quic { is_web }, Stage::Greeting);
    }

    /// Its slot may be given out again at once.
    fn on_lost(&mut self, id: ConnectionId, mesh: &mut Mesh) {
        self.detach_all(id, mesh);
        self.on_closed(id);
    }

    fn on_readable(&mut self, now: Now, id: ConnectionId, mesh: &mut Mesh) {
        loop {
            let Some(connection) = self.get_mut(id).filter(|connection| connection.takes_frames()) else {
                return;
            };
            connection.heard_s = now.seconds();
            let Some(quic) = &mut self.quic else { return };
            let Some(bytes) = quic.read(now, id) else { return };
            self.on_stream_bytes(now, id, &bytes, mesh);
        }
    }

    fn on_stream_bytes(&mut self, now: Now, id: ConnectionId, mut input: &[u8], mesh: &mut Mesh) {
        let Some(quic) = &mut self.quic else { return };
        let is_early = quic.is_early(id);
        // The reader is lent to this loop, because the frames it yields are handled with the whole of `self`.
        let Some(mut reader) = quic.take_reader(id) else { return };
        loop {
            match reader.next(&mut input) {
                Ok(None) => break,
                Ok(Some(frame)) if is_early && !may_be_early(frame.kind) => {
                    // W-73: it waits, with all that is behind it.
                    let frame = frame.bytes.to_vec();
                    if let Some(quic) = &mut self.quic {
                        quic.hold(id, &frame, input);
                    }
                    return;
                }
                Ok(Some(frame)) => self.on_frame(now, id, frame, mesh),
                Err(fault) => return self.on_fault(now, id, &fault, mesh),
            }
            if !self.get_mut(id).is_some_and(|connection| connection.takes_frames()) {
                return;
            }
        }
        if let Some(quic) = &mut self.quic {
            quic.return_reader(id, reader);
        }
    }

    /// A datagram has one whole frame, of the kinds that may be lost (W-72).
    fn on_datagram(&mut self, now: Now, id: ConnectionId, mut bytes: &[u8], mesh: &mut Mesh) {
        let bytes_max = self.terms.limits.frame_bytes_max;
        // Before the session there is nobody to type, and datagrams overtake.
        let Some(connection) = self.get_mut(id).filter(|connection| connection.session().is_some()) else {
            return;
        };
        connection.heard_s = now.seconds();
        let fault = match frame::split(&mut bytes, bytes_max) {
            Ok(None) => return,
            Ok(Some(frame)) if frame.kind == FrameType::Typing && bytes.is_empty() => {
                self.counters.frames_in += 1;
                match ClientFrame::decode(frame) {
                    Ok(frame) => return self.on_client_frame(now, id, frame, mesh),
                    Err(fault) => fault,
                }
            }
            Ok(Some(frame)) => Fault::UnexpectedFrame { kind: frame.kind },
            Err(fault) => fault,
        };
        self.on_fault(now, id, &fault, mesh);
    }

    /// Whether the connection is one of QUIC.
    pub(super) fn is_quic(&mut self, id: ConnectionId) -> bool {
        self.get_mut(id).is_some_and(|connection| connection.carrier.is_quic())
    }

    /// Sends an answer to a fetch, a page behind what it says of holes, on a stream of its own, where the connection has
    /// such; `false`: it does not.
    pub(super) fn answer_apart(&mut self, id: ConnectionId, frame: &Encoded) -> bool {
        let is_answer = has_type(frame, FrameType::Gap) || has_type(frame, FrameType::Page);
        if !is_answer || !self.is_quic(id) {
            return false;
        }
        if let Some(quic) = &mut self.quic {
            quic.page(id, frame.frame());
        }
        true
    }

    /// Whether so many answers to fetches wait for a client that it is to take some before it asks for more.
    pub(super) fn is_full_of_pages(&mut self, id: ConnectionId) -> bool {
        let bytes_max = self.terms.limits.outbox_bytes_max / 2;
        self.quic.as_mut().is_some_and(|quic| quic.page_bytes(id) > bytes_max)
    }

    /// Asks the peer for a sign of life, where the transport has one; `false`: it has not.
    pub(super) fn challenge_quic(&mut self, id: ConnectionId) -> bool {
        if !self.is_quic(id) {
            return false;
        }
        if let Some(quic) = &mut self.quic {
            quic.challenge(id);
        }
        true
    }

    /// Closes at the end of the turn, behind what is due.
    pub(super) fn close_quic(&mut self, id: ConnectionId, code: Code, mesh: &mut Mesh) {
        self.detach_all(id, mesh);
        if let Some(connection) = self.get_mut(id)
            && !matches!(connection.stage, Stage::Closed)
        {
            connection.stage = Stage::Closed;
            self.quic_closing.push((id, code));
        }
    }

    /// Has all QUIC connections closed in the turn that ends: nobody else tells their clients that we are gone.
    pub fn stop(&mut self) {
        let live = self.connections.iter_mut().flatten().filter(|connection| connection.carrier.is_quic());
        for connection in live.filter(|connection| !matches!(connection.stage, Stage::Closed)) {
            connection.stage = Stage::Closed;
            self.quic_closing.push((connection.id, Code::SHUTTING_DOWN));
        }
    }

    /// Writes what is due to QUIC connections. Before the queues of the turn are finished.
    pub(super) fn write_streams(&mut self, now: Now, due: &[ConnectionId]) {
        let Some(quic) = &mut self.quic else { return };
        for id in due {
            let Some(connection) = self.connections[id.slot as usize].as_deref_mut() else { continue };
            if connection.id != *id || !connection.carrier.is_quic() || connection.queue == Queue::EMPTY {
                continue;
            }
            let bytes = self.queues.stream(std::mem::replace(&mut connection.queue, Queue::EMPTY));
            match &mut connection.stalled {
                Some(stalled) => stalled.push(bytes),
                None => connection.stalled = write(quic, now, *id, bytes),
            }
        }
    }

    /// Writes what a connection that takes bytes again did not take before, with the heads of what was left out.
    pub(super) fn resume_stream(&mut self, now: Now, id: ConnectionId, mut stalled: Stalled) {
        for (conversation, head) in stalled.behind().collect::<Vec<_>>() {
            let mut bytes = Vec::new();
            Head { conversation, head }.encode(&mut self.encoder, &mut bytes);
            stalled.push(Bytes::from(bytes));
        }
        let Some(quic) = &mut self.quic else { return };
        let rest = write(quic, now, id, stalled.join());
        if let Some(connection) = self.get_mut(id) {
            connection.stalled = rest;
        }
    }

    /// Closes what is to be closed, then hands over what QUIC has to send.
    pub(super) fn flush_quic(&mut self, now: Now, operations: &mut Operations) {
        for (id, code) in std::mem::take(&mut self.quic_closing) {
            if let Some(quic) = &mut self.quic {
                quic.close(now, id, code.number(), code.name());
            }
            self.on_closed(id);
        }
        if let Some(quic) = &mut self.quic {
            quic.flush(now, operations);
        }
    }
}

fn has_type(frame: &Encoded, kind: FrameType) -> bool {
    /// Where a frame has its type.
    const TYPE_AT: usize = 4;
    frame.frame_bytes().get(TYPE_AT) == Some(&(kind as u8))
}

/// Whether a frame may travel in a datagram, where it may be lost (W-72).
pub(super) fn may_be_lost(frame: &Encoded) -> bool {
    has_type(frame, FrameType::TypingNotice)
}

/// Writes to a stream; what it did not take.
fn write(quic: &mut Quic, now: Now, id: ConnectionId, bytes: Bytes) -> Option<Box<Stalled>> {
    let taken = quic.write(id, &bytes);
    (taken < bytes.len()).then(|| Box::new(Stalled::new(bytes.slice(taken..), now.seconds())))
}

/// What may be in a flight that somebody sends again (W-73).
fn may_be_early(kind: FrameType) -> bool {
    matches!(kind, FrameType::Hello | FrameType::Publish)
}
