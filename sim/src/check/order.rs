//! Order: sequences are dense from 1, everybody sees the same bytes at the same sequence, and whoever receives a
//! conversation receives it in order and without holes.
//!
//! Looked at twice: on the wire, where each connection's live messages follow its `Joined` without a hole but
//! those that a `Head` speaks of (whatever a client could mend), and at the reader, where nothing may be missing
//! or doubled (whatever broke on the way).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Promise, Room, Verdict};
use crate::model::Log;

use Promise::Order as BROKEN;

/// See the module.
#[derive(Debug, Default)]
pub struct Order {
    /// What was seen at each sequence, by whomever; sequence `n` at `n - 1`.
    contents: Vec<Vec<Option<Bytes>>>,
    /// By socket and room.
    feeds: BTreeMap<(u32, Room), Feed>,
    /// Next sequence, by a reader's life and room.
    readers: BTreeMap<(u32, Room), u64>,
    /// Sequences that readers were told will not come, both included.
    missing: BTreeSet<(Room, u64, u64)>,
    /// Conversations may be so large that only those who have them open are fed.
    any_large: bool,
}

/// What a connection receives of a conversation.
#[derive(Clone, Copy, Debug)]
struct Feed {
    /// Everything before was sent or spoken of.
    next: u64,
    /// The client has it open.
    is_open: bool,
}

impl Order {
    /// For so many rooms; `any_large`: some may have more members than are pushed to.
    pub fn new(rooms: usize, any_large: bool) -> Self {
        Order { contents: vec![Vec::new(); rooms], any_large, ..Order::default() }
    }

    /// Somebody saw these bytes at this sequence. Whether they are the first ones there.
    ///
    /// # Errors
    /// Others were seen there before.
    pub fn on_content(&mut self, room: Room, sequence: u64, frame: &[u8]) -> Verdict<Option<Bytes>> {
        let Some(at) = sequence.checked_sub(1) else {
            return BROKEN.broken(format!("room {room} has a message without a sequence"));
        };
        let (at, contents) = (at as usize, &mut self.contents[room]);
        if contents.len() <= at {
            contents.resize(at + 1, None);
        }
        match &contents[at] {
            Some(known) if known == frame => Ok(None),
            Some(_) => {
                BROKEN.broken(format!("two different messages were seen as {sequence} of room {room}"))
            }
            None => {
                let first = Bytes::copy_from_slice(frame);
                contents[at] = Some(first.clone());
                Ok(Some(first))
            }
        }
    }

    /// The server says that this connection receives everything after `head`; `opens`: as one that has the
    /// conversation open.
    ///
    /// # Errors
    /// It has received more than that.
    pub fn on_attached(&mut self, socket: u32, room: Room, head: u64, opens: bool) -> Verdict {
        let fresh = Feed { next: head + 1, is_open: false };
        let feed = self.feeds.entry((socket, room)).or_insert(fresh);
        let next = feed.next;
        // What was left out for a slow connection is spoken of by this as by a head.
        *feed = Feed { next: head + 1, is_open: feed.is_open || opens };
        BROKEN.holds(next <= head + 1, || {
            format!("socket {socket} is told head {head} of room {room}, and was sent what is before {next}")
        })
    }

    /// The client has closed the conversation: it is still told, but perhaps only heads.
    pub fn on_not_open(&mut self, socket: u32, room: Room) {
        if let Some(feed) = self.feeds.get_mut(&(socket, room)) {
            feed.is_open = false;
        }
    }

    /// The server says that there is everything up to `head`.
    pub fn on_head(&mut self, socket: u32, room: Room, head: u64) {
        if let Some(feed) = self.feeds.get_mut(&(socket, room)) {
            feed.next = feed.next.max(head + 1);
        }
    }

    /// A live message leaves for this connection.
    ///
    /// # Errors
    /// It is not the next one, or the connection does not receive the conversation.
    pub fn on_live(&mut self, socket: u32, room: Room, sequence: u64) -> Verdict {
        let Some(feed) = self.feeds.get_mut(&(socket, room)) else {
            return BROKEN.broken(format!(
                "socket {socket} gets {sequence} of room {room} without being attached to it"
            ));
        };
        let next = std::mem::replace(&mut feed.next, sequence + 1);
        let may_skip = self.any_large && !feed.is_open;
        BROKEN.holds(sequence == next || (sequence > next && may_skip), || {
            format!("socket {socket} gets {sequence} of room {room} instead of {next}")
        })
    }

    /// The connection does not receive this conversation any more.
    pub fn on_detached(&mut self, socket: u32, room: Room) {
        self.feeds.remove(&(socket, room));
    }

    /// The connection is gone.
    pub fn on_closed(&mut self, socket: u32) {
        let keys: Vec<_> = self.feeds.range((socket, 0)..=(socket, Room::MAX)).map(|(key, _)| *key).collect();
        for key in keys {
            self.feeds.remove(&key);
        }
    }

    /// A page says that it holds `from..=to`.
    ///
    /// # Errors
    /// What is in it is something else.
    pub fn on_page(&mut self, room: Room, from: u64, to: u64, sequences: &[u64]) -> Verdict {
        let dense = sequences.is_empty() || sequences.iter().copied().eq(from..=to);
        BROKEN.holds(dense, || format!("a page of room {room} for {from}..={to} holds {sequences:?}"))
    }

    /// A reader is told what comes next for it: what follows `cursor`.
    ///
    /// # Errors
    /// Something else was to come next.
    pub fn on_reading(&mut self, life: u32, room: Room, cursor: u64) -> Verdict {
        let next = *self.readers.entry((life, room)).or_insert(cursor + 1);
        BROKEN.holds(next == cursor + 1, || {
            format!("client {life} resumes room {room} behind {cursor}, where {next} is what comes next")
        })
    }

    /// A reader reads a message.
    ///
    /// # Errors
    /// It is not the next one.
    pub fn on_read(&mut self, life: u32, room: Room, sequence: u64) -> Verdict {
        match self.readers.get_mut(&(life, room)) {
            Some(next) if *next == sequence => {
                *next += 1;
                Ok(())
            }
            expected => BROKEN
                .broken(format!("client {life} reads {sequence} of room {room}, expected was {expected:?}")),
        }
    }

    /// A reader is told that these, both included, will not come. That is allowed where a crash took messages
    /// that had not been synced; whether it did shows in the journal.
    ///
    /// # Errors
    /// They are not what comes next.
    pub fn on_missing(&mut self, life: u32, room: Room, from: u64, to: u64) -> Verdict {
        self.on_absent(room, from, to);
        self.on_passed(life, room, from, to)
    }

    /// A reader is told that these, both included, are not kept any more. Whether that is so is another's to judge.
    ///
    /// # Errors
    /// They are not what comes next.
    pub fn on_passed(&mut self, life: u32, room: Room, from: u64, to: u64) -> Verdict {
        match self.readers.get_mut(&(life, room)) {
            Some(next) if *next == from && to >= from => {
                *next = to + 1;
                Ok(())
            }
            expected => BROKEN.broken(format!(
                "client {life} is told that {from}..={to} of room {room} will not come, expected was {expected:?}"
            )),
        }
    }

    /// The server says that these, both included, are not to be had.
    pub fn on_absent(&mut self, room: Room, from: u64, to: u64) {
        if from <= to {
            self.missing.insert((room, from, to));
        }
    }

    /// A reader has left the conversation.
    pub fn on_read_end(&mut self, life: u32, room: Room) {
        self.readers.remove(&(life, room));
    }

    /// The journal is this.
    ///
    /// # Errors
    /// Somebody saw something else.
    pub fn on_log(&mut self, log: &Log) -> Verdict {
        for (room, contents) in self.contents.iter().enumerate() {
            for (sequence, seen) in (1..).zip(contents) {
                if let (Some(seen), Some(entry)) = (seen, log.get(room, sequence)) {
                    BROKEN.holds(*seen == entry.frame, || {
                        format!("{sequence} of room {room} is stored otherwise than it was seen")
                    })?;
                }
            }
            let mut before_ms = 0;
            for (sequence, entry) in log.entries(room) {
                BROKEN.holds(before_ms <= entry.time_ms, || {
                    format!("{sequence} of room {room} is stamped earlier than the message before it")
                })?;
                before_ms = entry.time_ms;
            }
        }
        for (room, from, to) in &self.missing {
            let there = log.rooms[*room].entries.range(from..=to).next();
            BROKEN.holds(there.is_none(), || {
                format!("somebody was told that {from}..={to} of room {room} will not come, and it is stored")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Story;

    #[test]
    fn canary_two_contents_at_one_sequence() {
        let mut order = Order::new(1, false);
        assert!(order.on_content(0, 2, b"a").is_ok_and(|first| first.is_some()));
        assert!(order.on_content(0, 2, b"a").is_ok_and(|first| first.is_none()));
        assert!(order.on_content(0, 2, b"b").is_err());
        assert!(order.on_content(0, 0, b"a").is_err());
    }

    #[test]
    fn canary_a_connection_with_a_hole_a_double_or_a_swap() {
        let feed = |sequences: &[u64]| {
            let mut order = Order::new(1, false);
            order.on_attached(1, 0, 4, true).unwrap();
            sequences.iter().try_for_each(|sequence| order.on_live(1, 0, *sequence))
        };
        assert!(feed(&[5, 6, 7]).is_ok());
        assert!(feed(&[6]).is_err());
        assert!(feed(&[5, 5]).is_err());
        assert!(feed(&[5, 7, 6]).is_err());
    }

    #[test]
    fn canary_a_message_for_a_connection_that_did_not_ask() {
        let mut order = Order::new(1, false);
        assert!(order.on_live(1, 0, 1).is_err());
        order.on_attached(1, 0, 0, true).unwrap();
        order.on_attached(2, 0, 0, true).unwrap();
        order.on_detached(1, 0);
        assert!(order.on_live(1, 0, 1).is_err());
        order.on_closed(2);
        assert!(order.on_live(2, 0, 1).is_err());
    }

    #[test]
    fn canary_a_second_attachment_behind_what_was_sent() {
        let mut order = Order::new(1, false);
        order.on_attached(1, 0, 4, true).unwrap();
        assert!(order.on_attached(1, 0, 4, true).is_ok());
        assert!(order.on_attached(1, 0, 7, true).is_ok());
        assert!(order.on_attached(1, 0, 6, true).is_err());
    }

    #[test]
    fn heads_speak_of_what_is_left_out() {
        for (any_large, is_open, skips) in [(false, true, false), (true, true, false), (true, false, true)] {
            let mut order = Order::new(1, any_large);
            order.on_attached(1, 0, 4, is_open).unwrap();
            order.on_head(1, 0, 9);
            assert!(order.on_live(1, 0, 10).is_ok());
            assert_eq!(order.on_live(1, 0, 12).is_ok(), skips);
            assert!(order.on_live(1, 0, 12).is_err(), "but never twice");
        }
    }

    #[test]
    fn canary_a_reader_with_a_hole_a_double_or_a_gap() {
        let read = |sequences: &[u64]| {
            let mut order = Order::new(1, false);
            order.on_reading(9, 0, 0).unwrap();
            sequences.iter().try_for_each(|sequence| order.on_read(9, 0, *sequence))
        };
        assert!(read(&[1, 2]).is_ok());
        assert!(read(&[2]).is_err());
        assert!(read(&[1, 1]).is_err());
        let mut order = Order::new(1, false);
        assert!(order.on_read(9, 0, 1).is_err(), "it has not joined");
        order.on_reading(9, 0, 3).unwrap();
        assert!(order.on_reading(9, 0, 2).is_err(), "it resumes elsewhere");
        assert!(order.on_missing(9, 0, 5, 6).is_err(), "4 comes next");
        assert!(order.on_missing(9, 0, 4, 5).is_ok() && order.on_read(9, 0, 6).is_ok());
    }

    #[test]
    fn canary_a_gap_where_there_is_something() {
        let check = |from, to| {
            let mut order = Order::new(1, false);
            order.on_reading(9, 0, from - 1).unwrap();
            order.on_missing(9, 0, from, to).unwrap();
            let entries = vec![super::super::exactly_once::sample(b"x", 0); 3];
            order.on_log(&Log { rooms: vec![Story::of(entries)] })
        };
        assert!(check(4, 5).is_ok());
        assert!(check(3, 5).is_err());
        assert!(check(1, 1).is_err());
    }

    #[test]
    fn canary_a_page_that_is_not_what_it_says() {
        let mut order = Order::new(1, false);
        assert!(order.on_page(0, 3, 5, &[3, 4, 5]).is_ok());
        assert!(order.on_page(0, 3, 5, &[3, 5]).is_err());
        assert!(order.on_page(0, 3, 5, &[3, 4]).is_err());
    }

    #[test]
    fn canary_a_journal_that_differs_from_what_was_seen() {
        let log = |frame: &'static [u8], times: [u64; 2]| {
            let entry = |time_ms| super::super::exactly_once::sample(frame, time_ms);
            Log { rooms: vec![Story::of(times.map(entry))] }
        };
        let mut order = Order::new(1, false);
        order.on_content(0, 1, b"a").unwrap();
        assert!(order.on_log(&log(b"a", [5, 5])).is_ok());
        assert!(order.on_log(&log(b"b", [5, 5])).is_err());
        assert!(order.on_log(&log(b"a", [5, 4])).is_err());
    }
}
