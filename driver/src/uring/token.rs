//! What a request says about itself when it completes: 64 bits of the kernel's `user_data`.
//!
//! ```text
//!   63      56 55                    32 31                            0
//!   [ opcode ] [ slot               ]   [ detail                      ]
//! ```
//!
//! The detail of a connection's request is the generation of its slot, so a completion that outlived its
//! connection is known; of a send, which never does, it is the index of its payload.

use crate::ConnectionId;

/// What completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Opcode {
    /// A connection was taken; slot: place in the acceptor's pool.
    Accept = 1,
    /// Bytes, or the end.
    Receive,
    /// A send fell short or failed; detail: index of its payload.
    Send,
    /// A stalled connection takes bytes again.
    Writable,
    /// A connection's descriptor is closed.
    Close,
    /// A refused connection's descriptor is closed; only failures are heard of.
    Refuse,
    /// A receive could not be cancelled; success is not heard of.
    CancelReceive,
    /// A poll for writability could not be cancelled.
    CancelWritable,
    /// An accept could not be cancelled.
    CancelAccept,
    /// Our eventfd was written to.
    Doorbell,
    /// Another ring sent us a message.
    Rung,
    /// Our message to another ring failed; slot: its shard.
    RingOther,
    /// The write of a file operation, with its sync; slot: its place in the table.
    Write,
    /// The read of a file operation.
    Read,
    /// Datagrams have arrived.
    Datagrams,
    /// The socket of datagrams takes some again.
    DatagramsOut,
}

/// `user_data`, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) opcode: Opcode,
    /// Less than 2^24.
    pub(super) slot: u32,
    pub(super) detail: u32,
}

impl Token {
    pub(super) const fn new(opcode: Opcode, slot: u32, detail: u32) -> Self {
        debug_assert!(slot < crate::CONNECTIONS_MAX);
        Self { opcode, slot, detail }
    }

    /// A request of a connection.
    pub(super) const fn of(opcode: Opcode, id: ConnectionId) -> Self {
        Self::new(opcode, id.slot, id.generation)
    }

    /// The connection that [`Token::of`] was given.
    pub(super) const fn connection(self) -> ConnectionId {
        ConnectionId { slot: self.slot, generation: self.detail }
    }

    pub(super) const fn pack(self) -> u64 {
        (self.opcode as u64) << 56 | (self.slot as u64) << 32 | self.detail as u64
    }

    /// `None` for what we never ask for.
    pub(super) fn unpack(user_data: u64) -> Option<Self> {
        const ALL: [Opcode; 16] = [
            Opcode::Accept,
            Opcode::Receive,
            Opcode::Send,
            Opcode::Writable,
            Opcode::Close,
            Opcode::Refuse,
            Opcode::CancelReceive,
            Opcode::CancelWritable,
            Opcode::CancelAccept,
            Opcode::Doorbell,
            Opcode::Rung,
            Opcode::RingOther,
            Opcode::Write,
            Opcode::Read,
            Opcode::Datagrams,
            Opcode::DatagramsOut,
        ];
        let opcode = *ALL.get(((user_data >> 56) as usize).wrapping_sub(1))?;
        Some(Self { opcode, slot: (user_data >> 32) as u32 & 0xff_ffff, detail: user_data as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_comes_back_as_it_was() {
        for opcode in 0..=u8::MAX {
            let Some(token) = Token::unpack(u64::from(opcode) << 56) else { continue };
            assert_eq!(token.opcode as u8, opcode);
            for (slot, detail) in [(0, 0), (1, u32::MAX), (crate::CONNECTIONS_MAX - 1, 1), (77, 1 << 31)] {
                let token = Token::new(token.opcode, slot, detail);
                assert_eq!(Token::unpack(token.pack()), Some(token));
            }
        }
        assert_eq!(Token::unpack(0), None);
        assert_eq!(Token::unpack(u64::MAX), None);
        assert!(Token::unpack((Opcode::DatagramsOut as u64) << 56).is_some(), "the last one is in the table");
    }
}
