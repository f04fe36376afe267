//! Durability: whatever anybody was told of is there after any crash, at the sequence that was told.
//!
//! Not only acknowledgements: a message that was shown, and a head that was named, were synced before. So
//! everything that left the server counts, whether or not it arrived.
//!
//! A publisher may ask for less (`Memory`). Such a message may be lost until something says that it is synced;
//! but its sequence is never given to another, and a head that was named stays behind the conversation's end.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Promise, Room, Verdict};
use crate::model::Log;

use Promise::Durability as BROKEN;

/// What the world knows of one room.
#[derive(Clone, Debug, Default)]
struct Told {
    /// The highest sequence that anybody was told of, and by what.
    head: u64,
    by: &'static str,
    /// Messages that were shown, and whether they were synced by then.
    shown: Vec<(u64, Bytes, bool)>,
    /// Sequences that were acknowledged as synced.
    synced: BTreeSet<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Durability {
    rooms: Vec<Told>,
}

impl Durability {
    /// For so many rooms.
    pub fn new(rooms: usize) -> Self {
        Durability { rooms: vec![Told::default(); rooms] }
    }

    /// The server said that there is something at this sequence.
    pub fn on_told(&mut self, room: Room, sequence: u64, by: &'static str) {
        let told = &mut self.rooms[room];
        if sequence > told.head {
            (told.head, told.by) = (sequence, by);
        }
    }

    /// The server acknowledged what is at this sequence, as synced or not.
    pub fn on_acknowledged(&mut self, room: Room, sequence: u64, synced: bool) {
        self.on_told(room, sequence, "an acknowledgement");
        if synced && sequence != 0 {
            self.rooms[room].synced.insert(sequence);
        }
    }

    /// The server showed this message, for the first time. `synced`: its publisher had not asked for less.
    pub fn on_shown(&mut self, room: Room, sequence: u64, frame: Bytes, synced: bool) {
        self.on_told(room, sequence, "a message");
        self.rooms[room].shown.push((sequence, frame, synced));
    }

    /// The journal is this, after a crash or an end.
    ///
    /// # Errors
    /// Something is not there, or something else is in its place.
    pub fn on_log(&mut self, log: &Log) -> Verdict {
        for (room, told) in self.rooms.iter().enumerate() {
            let (head, end) = (told.head, log.end(room));
            BROKEN.holds(head <= end, || {
                format!("room {room} ends at {end}, although {} had told of {head}", told.by)
            })?;
            for (sequence, frame, synced) in &told.shown {
                match log.get(room, *sequence) {
                    Some(entry) => BROKEN.holds(entry.frame == *frame, || {
                        format!("{sequence} of room {room} was shown to somebody and is something else now")
                    })?,
                    None => BROKEN.holds(!synced, || {
                        format!("{sequence} of room {room} was shown to somebody and is gone")
                    })?,
                }
            }
            for sequence in &told.synced {
                BROKEN.holds(log.get(room, *sequence).is_some(), || {
                    format!("{sequence} of room {room} was acknowledged as synced and is gone")
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::exactly_once::sample;
    use super::*;
    use crate::model::Story;

    #[test]
    fn canary_a_told_end_that_is_gone() {
        let mut durability = Durability::new(2);
        let log = Log { rooms: vec![Story::of(vec![sample(b"a", 0); 3]), Story::default()] };
        durability.on_told(0, 3, "a head");
        assert!(durability.on_log(&log).is_ok());
        durability.on_told(0, 4, "a head");
        assert!(durability.on_log(&log).is_err());
        let reserved = Log { rooms: vec![Story { reserved: 4, ..log.rooms[0].clone() }, Story::default()] };
        assert!(durability.on_log(&reserved).is_ok(), "it is not given to another");
        let mut durability = Durability::new(2);
        durability.on_told(1, 1, "a head");
        assert!(durability.on_log(&log).is_err());
    }

    #[test]
    fn canary_an_acknowledged_message_that_is_gone() {
        let mut story = Story::of(vec![sample(b"a", 0); 3]);
        story.entries.remove(&2);
        let log = Log { rooms: vec![story] };
        let check = |sequence, synced| {
            let mut durability = Durability::new(1);
            durability.on_acknowledged(0, sequence, synced);
            durability.on_log(&log)
        };
        assert!(check(1, true).is_ok() && check(2, false).is_ok() && check(0, true).is_ok());
        assert!(check(2, true).is_err());
    }

    #[test]
    fn canary_a_shown_message_that_is_gone_or_became_another() {
        let check = |entries: Vec<crate::model::Entry>, synced| {
            let mut durability = Durability::new(1);
            durability.on_shown(0, 2, Bytes::from_static(b"b"), synced);
            durability.on_log(&Log { rooms: vec![Story { reserved: 2, ..Story::of(entries) }] })
        };
        assert!(check(vec![sample(b"a", 0), sample(b"b", 0)], true).is_ok());
        assert!(check(vec![sample(b"a", 0), sample(b"c", 0)], true).is_err());
        assert!(check(vec![sample(b"a", 0), sample(b"c", 0)], false).is_err());
        assert!(check(vec![sample(b"a", 0)], true).is_err());
        assert!(check(vec![sample(b"a", 0)], false).is_ok(), "its publisher had asked for no more");
    }
}
