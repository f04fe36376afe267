//! Datagrams on their way in: to the shard that has their connection, to the connection, or to a new one.
//!
//! Who may become one, in this order: an address that is not proven has to prove itself by a Retry while many of
//! that kind are in handshake, or many came from it (`gate`); one that has, and from which too many come, is refused;
//! nobody may while there are as many connections or handshakes as there may be. A Retry
//! and a refusal cost no memory and are shorter than the datagram that asked for them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{DatagramEvent, EcnCodepoint, Incoming};
use ringwire_driver::ConnectionId;

use super::peer::Peer;
use super::{Quic, put, settings};
use crate::clock::Now;
use crate::fanout::letter::ShardIndex;
use crate::limits::QUIC_HANDSHAKES_MAX;

/// A datagram that came to another shard's socket.
#[derive(Debug)]
pub struct Stray {
    peer: SocketAddr,
    local_ip: Option<IpAddr>,
    ecn: u8,
    bytes: Box<[u8]>,
}

/// Where datagrams came from, and where they were sent to.
#[derive(Clone, Copy)]
struct Path {
    peer: SocketAddr,
    local_ip: Option<IpAddr>,
    ecn: u8,
}

impl Quic {
    /// Datagrams came from one peer. Those of another shard's connections go to `pass_on`, which says whether it
    /// has taken them.
    pub fn on_datagrams(
        &mut self,
        now: Now,
        (peer, local_ip): (SocketAddr, Option<IpAddr>),
        ecn: u8,
        stride: usize,
        data: &[u8],
        mut pass_on: impl FnMut(ShardIndex, Box<Stray>) -> bool,
    ) {
        self.dates.set(now.unix_ms);
        let instant = self.instant(now);
        let path = Path { peer, local_ip, ecn };
        let mut all = BytesMut::from(data);
        while !all.is_empty() {
            let datagram = all.split_to(stride.clamp(1, all.len()));
            self.counters.datagrams_in += 1;
            match self.ids.stranger(&datagram, self.setup.shards) {
                None => self.on_datagram(instant, path, datagram),
                Some(shard) => {
                    self.counters.strays += 1;
                    let bytes = Box::from(&datagram[..]);
                    if !pass_on(shard, Box::new(Stray { peer, local_ip, ecn, bytes })) {
                        self.counters.strays_dropped += 1;
                    }
                }
            }
        }
    }

    /// A datagram came that another shard passed on.
    pub fn on_stray(&mut self, now: Now, stray: &Stray) {
        self.dates.set(now.unix_ms);
        let path = Path { peer: stray.peer, local_ip: stray.local_ip, ecn: stray.ecn };
        self.on_datagram(self.instant(now), path, BytesMut::from(&stray.bytes[..]));
    }

    fn on_datagram(&mut self, instant: Instant, path: Path, datagram: BytesMut) {
        self.scratch.clear();
        let bytes = datagram.len();
        let ecn = EcnCodepoint::from_bits(path.ecn);
        let scratch = &mut self.scratch;
        match self.endpoint.handle(instant, path.peer, path.local_ip, ecn, datagram, scratch) {
            None => {}
            Some(DatagramEvent::Response(transmit)) => put(&mut self.out, &transmit, &self.scratch),
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let index = handle.0 as u32;
                let now_ms = self.age_ms(instant);
                let Some(peer) = self.peers.get_mut(index) else { return };
                let was_at = peer.connection.remote_address();
                if !peer.may_come_from(path.peer, now_ms) {
                    self.counters.moves_refused += 1;
                    return;
                }
                peer.came_bytes += bytes as u64;
                peer.connection.handle_event(event);
                peer.on_moved(was_at, now_ms);
                self.touch(index);
                self.attend(instant, index);
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.on_incoming(instant, incoming, bytes),
        }
    }

    /// Somebody wants to connect, by a datagram of that length.
    fn on_incoming(&mut self, instant: Instant, incoming: Incoming, bytes: usize) {
        let is_validated = incoming.remote_address_validated();
        self.scratch.clear();
        let has_room = self.counters.unproven < self.setup.unvalidated_max as u64;
        #[cfg(feature = "planted-bugs")]
        let has_room = has_room || self.asks_nobody;
        let now_us = u64::try_from(self.age(instant).as_micros()).unwrap_or(u64::MAX);
        let address = incoming.remote_address().ip();
        let is_too_fast = self.gate.try_pass(now_us, address, is_validated).is_err();
        if is_too_fast {
            self.counters.limited += 1;
            self.gate.on_turned_away(now_us, address);
        }
        if !is_validated && (is_too_fast || !has_room) {
            self.counters.retried += 1;
            return match self.endpoint.retry(incoming, &mut self.scratch) {
                Ok(transmit) => put(&mut self.out, &transmit, &self.scratch),
                Err(error) => self.endpoint.ignore(error.into_incoming()),
            };
        }
        let connections = self.counters.connections >= u64::from(self.setup.connections_max);
        if self.draining
            || is_too_fast
            || connections
            || self.counters.handshakes >= QUIC_HANDSHAKES_MAX as u64
        {
            self.counters.refused += 1;
            let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
            return put(&mut self.out, &transmit, &self.scratch);
        }
        let peer_address = incoming.remote_address();
        let server = self.newest_server();
        match self.endpoint.accept(incoming, instant, &mut self.scratch, Some(server)) {
            Ok((handle, connection)) => {
                let age_ns = u64::try_from(self.age(instant).as_nanos()).unwrap_or(u64::MAX);
                let patience_ns = u64::from(self.setup.patience.handshake_s) * 1_000_000_000;
                let until_ns = age_ns.saturating_add(patience_ns);
                let (slot, generation) = self.place(handle.0);
                let id = ConnectionId { slot: self.setup.first_slot + slot, generation };
                let mut peer = Peer::new(
                    id,
                    connection,
                    peer_address,
                    is_validated,
                    until_ns,
                    self.setup.frame_bytes_max,
                );
                peer.came_bytes = bytes as u64;
                self.begin(instant, slot, peer, is_validated);
            }
            Err(error) => {
                tracing::debug!(peer = %peer_address, cause = %error.cause, "no QUIC connection");
                if let Some(transmit) = error.response {
                    put(&mut self.out, &transmit, &self.scratch);
                }
            }
        }
    }

    /// The configuration with the newest certificates.
    fn newest_server(&mut self) -> Arc<quinn_proto::ServerConfig> {
        let newest = &self.setup.offer.current().quic;
        if !Arc::ptr_eq(newest, &self.crypto) {
            self.crypto = Arc::clone(newest);
            let crypto = Arc::clone(newest);
            match settings::server(&self.setup.keys, &self.dates, self.setup.patience, crypto) {
                Ok(server) => self.server = server,
                Err(error) => tracing::error!(%error, "QUIC keeps the certificate that it had"),
            }
        }
        Arc::clone(&self.server)
    }

    /// Room for the connection that the endpoint calls so: its index, and which one this is there.
    fn place(&mut self, handle: usize) -> (u32, u32) {
        if handle >= self.generations.len() {
            self.generations.resize(handle + 1, 0);
        }
        (handle as u32, self.generations[handle])
    }

    fn begin(&mut self, instant: Instant, index: u32, peer: Peer, is_validated: bool) {
        self.peers.insert(index, peer);
        self.counters.accepted += 1;
        self.counters.connections += 1;
        self.counters.handshakes += 1;
        self.counters.unproven += u64::from(!is_validated);
        self.touch(index);
        self.attend(instant, index);
    }
}
