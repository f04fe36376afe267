//! QUIC connection ids that carry the shard, so that a datagram which the kernel gives to another shard's socket
//! finds the one that has the connection.
//!
//! ```text
//!   [ shard, u16 LE | nonce, 3 bytes | check, 3 bytes ]
//! ```
//!
//! The check is a keyed hash of what is before it: a client chooses the first id by itself, and one that only
//! looks like ours must not travel between shards. The key is that of the process before, too, where it was kept:
//! then an id of a connection that this process does not know is answered by a reset, and not by silence.

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

use crate::fanout::letter::ShardIndex;

/// Bytes of an id.
pub(super) const ID_BYTES: usize = 8;
const NONCE_AT: usize = 2;
const CHECK_AT: usize = 5;

/// Makes the ids of one shard, and reads those of all.
#[derive(Clone)]
pub(super) struct Ids {
    key: [u8; 32],
    seed: [u8; 32],
    shard: ShardIndex,
    made: u64,
}

impl Ids {
    /// `key`: the same in all shards; `seed`: what the nonces are made of.
    pub(super) fn new(key: [u8; 32], seed: [u8; 32], shard: ShardIndex) -> Self {
        Ids { key, seed, shard, made: 0 }
    }

    /// The shard that made the id which a datagram is addressed to; `None`: it is none of ours, or this one's.
    pub(super) fn stranger(&self, datagram: &[u8], shards: ShardIndex) -> Option<ShardIndex> {
        let id = destination(datagram)?;
        let shard = ShardIndex::from_le_bytes([id[0], id[1]]);
        // The hash comes last: nearly every datagram is for this shard.
        (shard != self.shard && shard < shards && self.is_ours(id)).then_some(shard)
    }

    fn is_ours(&self, id: &[u8; ID_BYTES]) -> bool {
        blake3::keyed_hash(&self.key, &id[..CHECK_AT]).as_bytes()[..ID_BYTES - CHECK_AT] == id[CHECK_AT..]
    }
}

/// The destination id of a datagram's first packet (RFC 9000 §17), if it has the length of ours.
fn destination(datagram: &[u8]) -> Option<&[u8; ID_BYTES]> {
    const LONG_HEADER: u8 = 0x80;
    let (first, rest) = datagram.split_first()?;
    if first & LONG_HEADER == 0 {
        return rest.first_chunk();
    }
    let [_, _, _, _, length, rest @ ..] = rest else { return None };
    if usize::from(*length) == ID_BYTES { rest.first_chunk() } else { None }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.made += 1;
        let nonce = blake3::keyed_hash(&self.seed, &self.made.to_le_bytes());
        let mut id = [0; ID_BYTES];
        id[..NONCE_AT].copy_from_slice(&self.shard.to_le_bytes());
        id[NONCE_AT..CHECK_AT].copy_from_slice(&nonce.as_bytes()[..CHECK_AT - NONCE_AT]);
        let check = blake3::keyed_hash(&self.key, &id[..CHECK_AT]);
        id[CHECK_AT..].copy_from_slice(&check.as_bytes()[..ID_BYTES - CHECK_AT]);
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let id: &[u8] = id;
        match id.try_into() {
            Ok(id) if self.is_ours(id) => Ok(()),
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(id: &[u8]) -> Vec<u8> {
        [&[0x40][..], id, &[7; 30]].concat()
    }

    fn long(id: &[u8]) -> Vec<u8> {
        [&[0xc0, 0, 0, 0, 1, id.len() as u8][..], id, &[7; 30]].concat()
    }

    #[test]
    fn a_datagram_of_another_shard_is_known_by_either_header() {
        let mut other = Ids::new([1; 32], [2; 32], 5);
        let here = Ids::new([1; 32], [3; 32], 0);
        for _ in 0..100 {
            let id = other.generate_cid();
            for datagram in [short(&id), long(&id)] {
                assert_eq!(here.stranger(&datagram, 8), Some(5));
                assert_eq!(other.stranger(&datagram, 8), None, "it is its own");
                assert_eq!(here.stranger(&datagram, 5), None, "there is no such shard any more");
            }
            assert!(here.validate(&id).is_ok());
        }
    }

    #[test]
    fn what_a_client_made_up_stays_where_it_came() {
        let here = Ids::new([1; 32], [3; 32], 0);
        let mut forged = 0;
        for nth in 0..20_000u64 {
            let mut id = [0; ID_BYTES];
            id[0] = 5;
            id[2..].copy_from_slice(&blake3::hash(&nth.to_le_bytes()).as_bytes()[..6]);
            forged += u32::from(here.stranger(&short(&id), 8).is_some());
        }
        assert_eq!(forged, 0, "one of 2^24 would pass");
        let mut of_another_key = Ids::new([9; 32], [2; 32], 5);
        let id = of_another_key.generate_cid();
        assert_eq!(here.stranger(&long(&id), 8), None);
        assert!(here.validate(&id).is_err());
    }

    #[test]
    fn cut_datagrams_and_other_lengths_are_nobodys() {
        let here = Ids::new([1; 32], [3; 32], 0);
        let id = Ids::new([1; 32], [2; 32], 5).generate_cid();
        let datagram = long(&id);
        for length in 0..14 {
            assert_eq!(here.stranger(&datagram[..length], 8), None, "{length}");
        }
        assert_eq!(here.stranger(&long(&[5, 0, 1]), 8), None);
        assert_eq!(here.stranger(&short(&id)[..8], 8), None);
    }
}
