//! Receipts: cursors only grow. What was shown of one is in the journal whatever happens, so no crash takes it
//! back; and nobody is shown one that goes back, or that is ahead of the conversation.

use std::collections::BTreeMap;

use ringwire_protocol::UserId;
use ringwire_protocol::message::ReceiptKind;

use super::{Promise, Room, Verdict};
use crate::model::Log;

use Promise::Receipts as BROKEN;

/// How far somebody is: read, delivered.
type Cursors = (u64, u64);

/// See the module.
#[derive(Debug, Default)]
pub struct Receipts {
    /// The highest that anybody was shown, by whose they are.
    shown: BTreeMap<(Room, UserId), Cursors>,
    /// The last that each connection was shown.
    by_socket: BTreeMap<(u32, Room, UserId), Cursors>,
}

impl Receipts {
    /// A connection is told how far a member is.
    ///
    /// # Errors
    /// It was told of more before, or this is nothing.
    pub fn on_receipt(
        &mut self,
        socket: u32,
        room: Room,
        user: UserId,
        kind: ReceiptKind,
        sequence: u64,
    ) -> Verdict {
        let last = self.by_socket.entry((socket, room, user)).or_default();
        let (before, now) = match kind {
            ReceiptKind::Read => (last.0, (sequence, last.1.max(sequence))),
            ReceiptKind::Delivered => (last.1, (last.0, sequence)),
        };
        *last = now;
        self.note(room, user, now);
        BROKEN.holds(sequence > 0 && sequence >= before, || {
            format!("socket {socket} is told that {user} is at {sequence} of room {room}, after {before}")
        })
    }

    /// A connection is told how far its own user is.
    ///
    /// # Errors
    /// It was told of more before.
    pub fn on_standing(&mut self, socket: u32, room: Room, user: UserId, now: Cursors) -> Verdict {
        let last = std::mem::replace(self.by_socket.entry((socket, room, user)).or_default(), now);
        self.note(room, user, now);
        BROKEN.holds(last.0 <= now.0 && last.1 <= now.1 && now.0 <= now.1, || {
            format!("socket {socket} of {user} is told to be at {now:?} of room {room}, after {last:?}")
        })
    }

    fn note(&mut self, room: Room, user: UserId, now: Cursors) {
        let shown = self.shown.entry((room, user)).or_default();
        *shown = (shown.0.max(now.0), shown.1.max(now.1));
    }

    /// The journal is this.
    ///
    /// # Errors
    /// Something that was shown is not in it.
    pub fn on_log(&self, log: &Log) -> Verdict {
        for ((room, user), shown) in &self.shown {
            let kept = log.rooms[*room].cursors.get(user).copied().unwrap_or_default();
            BROKEN.holds(shown.0 <= kept.0 && shown.1 <= kept.1, || {
                format!("{user} was shown to be at {shown:?} of room {room}, and is kept at {kept:?}")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Story;

    const ADA: UserId = UserId::from_bytes([1; 16]);

    fn log(read: u64, delivered: u64) -> Log {
        let story = Story { cursors: BTreeMap::from([(ADA, (read, delivered))]), ..Story::default() };
        Log { rooms: vec![story] }
    }

    #[test]
    fn canary_a_cursor_that_goes_back() {
        let tell = |told: &[(ReceiptKind, u64)]| {
            let mut receipts = Receipts::default();
            told.iter().try_for_each(|(kind, sequence)| receipts.on_receipt(1, 0, ADA, *kind, *sequence))
        };
        use ReceiptKind::{Delivered, Read};
        assert!(tell(&[(Delivered, 3), (Read, 2), (Read, 3), (Delivered, 4)]).is_ok());
        assert!(tell(&[(Read, 3), (Read, 2)]).is_err());
        assert!(tell(&[(Delivered, 3), (Delivered, 2)]).is_err());
        assert!(tell(&[(Read, 3), (Delivered, 2)]).is_err(), "what is read is delivered");
        assert!(tell(&[(Read, 0)]).is_err());
    }

    #[test]
    fn canary_an_own_standing_behind_what_was_told() {
        let mut receipts = Receipts::default();
        receipts.on_receipt(1, 0, ADA, ReceiptKind::Read, 5).unwrap();
        assert!(receipts.on_standing(2, 0, ADA, (0, 0)).is_ok(), "another connection");
        assert!(receipts.on_standing(1, 0, ADA, (5, 6)).is_ok());
        assert!(receipts.on_standing(1, 0, ADA, (4, 6)).is_err());
        assert!(receipts.on_standing(3, 0, ADA, (4, 3)).is_err(), "read and not delivered");
    }

    #[test]
    fn canary_a_cursor_that_a_crash_took_back() {
        let mut receipts = Receipts::default();
        receipts.on_receipt(1, 0, ADA, ReceiptKind::Read, 5).unwrap();
        assert!(receipts.on_log(&log(5, 5)).is_ok());
        assert!(receipts.on_log(&log(4, 5)).is_err());
        assert!(receipts.on_log(&Log { rooms: vec![Story::default()] }).is_err());
    }
}
