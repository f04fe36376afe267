//! Where connections are kept: by the endpoint's handle, which is dense and used again.
//!
//! One is 6 KB, of which nearly all is `quinn-proto`'s, and an allocator rounds that up by 13 %. So some thirty
//! share a piece of memory of a size that allocators have; a piece goes when the last of them has gone.

use super::peer::Peer;

/// Bytes of a piece: a size class of the allocator.
const PIECE_BYTES: usize = 192 * 1024;

/// Connections in a piece.
const PER_PIECE: usize = PIECE_BYTES / size_of::<Option<Peer>>();

struct Piece {
    peers: Box<[Option<Peer>]>,
    count: usize,
}

#[derive(Default)]
pub(super) struct Peers(Vec<Option<Piece>>);

impl Peers {
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Peer> {
        let index = index as usize;
        self.0.get_mut(index / PER_PIECE)?.as_mut()?.peers[index % PER_PIECE].as_mut()
    }

    /// In place of whoever was there.
    pub(super) fn insert(&mut self, index: u32, peer: Peer) {
        let (nth, index) = (index as usize / PER_PIECE, index as usize % PER_PIECE);
        if nth >= self.0.len() {
            self.0.resize_with(nth + 1, || None);
        }
        let piece = self.0[nth].get_or_insert_with(|| {
            let peers = std::iter::repeat_with(|| None).take(PER_PIECE).collect();
            Piece { peers, count: 0 }
        });
        piece.count += usize::from(piece.peers[index].replace(peer).is_none());
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Peer> {
        let (nth, index) = (index as usize / PER_PIECE, index as usize % PER_PIECE);
        let place = self.0.get_mut(nth)?;
        let piece = place.as_mut()?;
        let peer = piece.peers[index].take()?;
        piece.count -= 1;
        if piece.count == 0 {
            *place = None;
        }
        Some(peer)
    }
}
