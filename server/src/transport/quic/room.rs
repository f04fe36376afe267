//! What is written to connections, and room for what their clients have not acknowledged.
//!
//! ```text
//!   little ──a write or an answer is due that does not fit──► more ──nothing is due──► ebbing
//!      ▲                                                       ▲   ◄──does not fit──      │
//!      └──────────────────what is not acknowledged fits──────────────────────────────────┘
//! ```
//!
//! Everybody has little; how many may have more at a time is bounded, and so is the memory of all (Q-3). Where there
//! is no more to be had, a connection goes on in the little it has, an answer at a time.

use bytes::Bytes;
use quinn_proto::WriteError;
use ringwire_driver::ConnectionId;

use super::Quic;
use super::peer::{Peer, Stage};
use crate::limits::{QUIC_PAGES_UNDER_WAY, QUIC_SEND_BYTES, QUIC_SEND_LITTLE_BYTES};

/// How much a connection may have without an acknowledgement.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// [`QUIC_SEND_LITTLE_BYTES`].
    #[default]
    Little,
    /// [`QUIC_SEND_BYTES`].
    More,
    /// Little, but what it wrote before may still be more.
    Ebbing,
}

impl Room {
    /// Answers to fetches that may be under way in it.
    pub(super) fn pages(self) -> usize {
        match self {
            Room::More => QUIC_PAGES_UNDER_WAY,
            Room::Little | Room::Ebbing => 1,
        }
    }
}

impl Quic {
    /// Writes to the stream; how many bytes were taken. All of them where the connection is over.
    pub fn write(&mut self, id: ConnectionId, bytes: &Bytes) -> usize {
        let Some((index, peer)) = self.open_peer(id) else { return bytes.len() };
        peer.is_writing = true;
        let mut taken = peer.write(bytes);
        peer.advance_pages();
        if taken < bytes.len()
            && self.widen(index)
            && let Some(peer) = self.peers.get_mut(index)
        {
            taken += peer.write(&bytes.slice(taken..));
            peer.advance_pages();
        }
        self.touch(index);
        taken
    }

    /// Sends an answer to a fetch on a stream of its own, behind what is live.
    pub fn page(&mut self, id: ConnectionId, answer: Bytes) {
        let Some((index, peer)) = self.open_peer(id) else { return };
        peer.is_writing = true;
        peer.pages.get_or_insert_default().push(answer);
        self.widen(index);
        if let Some(peer) = self.peers.get_mut(index) {
            peer.advance_pages();
        }
        self.touch(index);
    }

    /// Gives a connection more room, where there is some; whether it has got it just now.
    pub(super) fn widen(&mut self, index: u32) -> bool {
        let Some(peer) = self.peers.get_mut(index) else { return false };
        match peer.room {
            Room::More => return false,
            Room::Ebbing => {}
            Room::Little if self.counters.wide >= self.setup.wide_max as u64 => return false,
            Room::Little => self.counters.wide += 1,
        }
        peer.room = Room::More;
        peer.connection.set_send_window(QUIC_SEND_BYTES);
        true
    }

    /// Takes it back from who had no use for it in this turn.
    pub(super) fn narrow(&mut self, index: u32) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        if std::mem::take(&mut peer.is_writing) || peer.room != Room::More || !peer.is_at_rest() {
            return;
        }
        peer.connection.set_send_window(QUIC_SEND_LITTLE_BYTES);
        peer.room = Room::Ebbing;
        if peer.fits() {
            self.on_ebbed(index);
        }
    }

    /// What a connection wrote fits the little it may have now, or the connection is gone.
    pub(super) fn on_ebbed(&mut self, index: u32) {
        if let Some(peer) = self.peers.get_mut(index) {
            self.counters.wide -= u64::from(peer.room != Room::Little);
            peer.room = Room::Little;
        }
    }
}

impl Peer {
    /// Whether nothing waits to be written.
    fn is_at_rest(&self) -> bool {
        self.stage == Stage::Open && self.pages.is_none() && !self.is_blocked
    }

    /// Whether its stream takes bytes; if not, it will be told. Nothing but a write tells, and where it fits, an empty
    /// one is sent.
    fn fits(&mut self) -> bool {
        let Some(live) = self.live else { return true };
        !matches!(self.connection.send_stream(live).write(&[]), Err(WriteError::Blocked))
    }
}
