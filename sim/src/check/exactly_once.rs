//! Exactly once: each publish is stored at most once, in the order it was meant in; it is acknowledged with one
//! sequence, however often it was sent; a repetition is answered with that sequence, or with 0 when that is too
//! long ago.
//!
//! What was acknowledged out of memory may be lost in a crash, and its number used again: such an
//! acknowledgement binds only as far as the message is there.

use std::collections::{BTreeMap, BTreeSet};

use ringwire_protocol::limits::DEDUPLICATION_WINDOW;
use ringwire_protocol::{ConversationId, UserId};

use super::{Promise, Room, Verdict};
use crate::model::{Log, Token};

use Promise::ExactlyOnce as BROKEN;

/// A device in a conversation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Author {
    /// Where.
    pub room: Room,
    /// Who.
    pub user: UserId,
    /// With what, hashed.
    pub origin: u64,
}

/// What became of a wish, as the client says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing yet.
    Open,
    /// Accepted and synced, as this sequence; 0: accepted, but the server does not say where any more.
    Published(u64),
    /// Accepted, as this sequence, and perhaps lost since.
    PublishedFromMemory(u64),
    /// The server refused it for good.
    Refused,
    /// It cannot be known.
    Unknown,
}

#[derive(Debug)]
struct Wish {
    author: Author,
    /// Its publisher wants it to be synced before anybody sees it.
    synced: bool,
    outcome: Outcome,
}

/// What an acknowledgement says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acked {
    /// Where; 0: not known any more.
    pub sequence: u64,
    /// It was accepted before.
    pub duplicate: bool,
    /// It is synced.
    pub synced: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct ExactlyOnce {
    wishes: BTreeMap<Token, Wish>,
    /// Wishes that have not ended, by life.
    open: BTreeMap<u32, usize>,
    /// Sequences that acknowledgements have named, by author and client sequence.
    acknowledged: BTreeMap<(Author, u64), u64>,
    /// The same out of memory.
    remembered: BTreeSet<(Author, u64, u64)>,
    /// Acknowledgements without a sequence.
    forgotten: Vec<(Author, u64)>,
}

impl ExactlyOnce {
    /// A client wants to publish.
    pub fn on_wish(&mut self, token: Token, author: Author, synced: bool) {
        self.wishes.insert(token, Wish { author, synced, outcome: Outcome::Open });
        *self.open.entry(token.life).or_default() += 1;
    }

    /// Whether a message is shown only after it is synced: all are but those whose publisher wants otherwise.
    pub fn is_synced(&self, token: Option<Token>) -> bool {
        token.and_then(|token| self.wishes.get(&token)).is_none_or(|wish| wish.synced)
    }

    /// A client says what became of a wish.
    ///
    /// # Errors
    /// It has said so before.
    pub fn on_outcome(&mut self, token: Token, outcome: Outcome) -> Verdict {
        match self.wishes.get_mut(&token) {
            Some(wish) if wish.outcome == Outcome::Open => {
                wish.outcome = outcome;
                *self.open.entry(token.life).or_default() -= 1;
                Ok(())
            }
            Some(wish) => {
                BROKEN.broken(format!("{token:?} ends twice: {:?}, then {outcome:?}", wish.outcome))
            }
            None => BROKEN.broken(format!("{token:?} ends, and nobody had wished for it")),
        }
    }

    /// The server acknowledges.
    ///
    /// # Errors
    /// With another sequence than before, or none for the first time.
    pub fn on_ack(&mut self, author: Author, client_sequence: u64, ack: Acked) -> Verdict {
        let Acked { sequence, duplicate, synced } = ack;
        if !synced {
            self.remembered.insert((author, client_sequence, sequence));
            return Ok(());
        }
        if sequence == 0 {
            self.forgotten.push((author, client_sequence));
            return BROKEN.holds(duplicate, || {
                format!(
                    "{client_sequence} of {author:?} is acknowledged for the first time, without a sequence"
                )
            });
        }
        let known = *self.acknowledged.entry((author, client_sequence)).or_insert(sequence);
        BROKEN.holds(known == sequence, || {
            format!("{client_sequence} of {author:?} is acknowledged as {sequence}, and was as {known}")
        })
    }

    /// Wishes of this life that have not ended.
    pub fn open(&self, life: u32) -> usize {
        self.open.get(&life).copied().unwrap_or(0)
    }

    /// The journal is this.
    ///
    /// # Errors
    /// It holds a publish twice, out of order, or one that nobody made; or it contradicts an acknowledgement.
    pub fn on_log(&mut self, log: &Log, ids: &[ConversationId]) -> Verdict {
        let mut stored: BTreeMap<Token, (Room, u64)> = BTreeMap::new();
        let mut last: BTreeMap<Author, u64> = BTreeMap::new();
        let mut in_order: BTreeMap<(u32, Room), u32> = BTreeMap::new();
        for room in 0..ids.len() {
            for (sequence, entry) in log.entries(room) {
                if entry.client_sequence == 0 {
                    BROKEN.holds(entry.change.is_some(), || {
                        format!(
                            "{sequence} of room {room} has no client sequence and is no change of members"
                        )
                    })?;
                    continue;
                }
                let author = Author { room, user: entry.sender, origin: entry.origin };
                let before = last.insert(author, entry.client_sequence).unwrap_or(0);
                BROKEN.holds(entry.client_sequence == before + 1, || {
                    format!("{author:?} has client sequence {} stored after {before}", entry.client_sequence)
                })?;
                let Some(token) = entry.token else {
                    return BROKEN.broken(format!("{sequence} of room {room} was published by nobody"));
                };
                let wish = self.wishes.get(&token);
                BROKEN.holds(wish.is_some_and(|wish| wish.author == author), || {
                    format!("{sequence} of room {room} is {token:?}, which {author:?} did not publish")
                })?;
                if let Some(other) = stored.insert(token, (room, sequence)) {
                    let what =
                        format!("{token:?} is stored twice: as {other:?} and as {:?}", (room, sequence));
                    return BROKEN.broken(what);
                }
                let before = in_order.insert((token.life, room), token.number).unwrap_or(0);
                BROKEN.holds(before < token.number, || {
                    format!("{token:?} is stored in room {room} behind number {before} of the same life")
                })?;
            }
        }
        self.check_outcomes(&stored)?;
        self.check_acknowledgements(log, &last)
    }

    fn check_outcomes(&self, stored: &BTreeMap<Token, (Room, u64)>) -> Verdict {
        for (token, wish) in &self.wishes {
            let place = stored.get(token);
            match wish.outcome {
                Outcome::Published(0) => {
                    BROKEN.holds(place.is_some(), || format!("{token:?} was accepted, and is not stored"))?
                }
                Outcome::Published(sequence) => {
                    BROKEN.holds(place == Some(&(wish.author.room, sequence)), || {
                        format!("{token:?} was accepted as {sequence}, and is stored as {place:?}")
                    })?;
                }
                Outcome::PublishedFromMemory(sequence) => {
                    let expected = (wish.author.room, sequence);
                    BROKEN.holds(place.is_none_or(|place| *place == expected), || {
                        format!("{token:?} was accepted as {sequence}, and is stored as {place:?}")
                    })?;
                }
                Outcome::Refused => BROKEN.holds(place.is_none(), || {
                    format!("{token:?} was refused for good, and is stored as {place:?}")
                })?,
                Outcome::Open | Outcome::Unknown => {}
            }
        }
        Ok(())
    }

    fn check_acknowledgements(&self, log: &Log, last: &BTreeMap<Author, u64>) -> Verdict {
        for ((author, client_sequence), sequence) in &self.acknowledged {
            let entry = log.get(author.room, *sequence);
            let same = entry.is_some_and(|entry| {
                (entry.sender, entry.origin, entry.client_sequence)
                    == (author.user, author.origin, *client_sequence)
            });
            BROKEN.holds(same, || {
                format!(
                    "{client_sequence} of {author:?} was acknowledged as {sequence}, where another is stored"
                )
            })?;
        }
        for (author, client_sequence, sequence) in &self.remembered {
            let same = log.get(author.room, *sequence).is_none_or(|entry| {
                (entry.sender, entry.origin, entry.client_sequence)
                    == (author.user, author.origin, *client_sequence)
            });
            BROKEN.holds(same, || {
                format!(
                    "{client_sequence} of {author:?} was acknowledged as {sequence}, where another is stored"
                )
            })?;
        }
        for (author, client_sequence) in &self.forgotten {
            // Numbers beyond may have been lost with the memory they were in.
            if self.remembered.iter().any(|(other, ..)| other == author) {
                continue;
            }
            let last = last.get(author).copied().unwrap_or(0);
            BROKEN.holds(client_sequence + DEDUPLICATION_WINDOW <= last, || {
                format!("the sequence of {client_sequence} of {author:?} was forgotten, and only {last} are stored")
            })?;
        }
        Ok(())
    }
}

/// An entry for tests that only look at some of it.
#[cfg(test)]
pub(super) fn sample(frame: &'static [u8], time_ms: u64) -> crate::model::Entry {
    crate::model::Entry {
        frame: bytes::Bytes::from_static(frame),
        time_ms,
        sender: UserId::ZERO,
        origin: 0,
        client_sequence: 0,
        kind: ringwire_protocol::message::Kind::Membership,
        reference: 0,
        token: None,
        change: None,
        role: None,
        is_empty: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Entry, Story};

    const ADA: Author = Author { room: 0, user: UserId::from_bytes([1; 16]), origin: 5 };

    fn token(number: u32) -> Token {
        Token { life: 1, number }
    }

    fn entry(number: u32, client_sequence: u64) -> Entry {
        Entry {
            sender: ADA.user,
            origin: ADA.origin,
            client_sequence,
            token: Some(token(number)),
            ..sample(b"x", 0)
        }
    }

    /// Three wishes, of which the first two are stored as 1 and 2.
    fn judge(entries: Vec<Entry>, say: impl Fn(&mut ExactlyOnce) -> Verdict) -> Verdict {
        let mut checker = ExactlyOnce::default();
        (1..=3).for_each(|number| checker.on_wish(token(number), ADA, true));
        say(&mut checker)?;
        checker.on_log(&Log { rooms: vec![Story::of(entries)] }, &[ConversationId::ZERO])
    }

    fn two() -> Vec<Entry> {
        vec![entry(1, 1), entry(2, 2)]
    }

    #[test]
    fn canary_a_publish_stored_twice_or_out_of_order_or_by_nobody() {
        assert!(judge(two(), |_| Ok(())).is_ok());
        assert!(judge(vec![entry(1, 1), entry(1, 2)], |_| Ok(())).is_err(), "twice");
        assert!(judge(vec![entry(1, 2)], |_| Ok(())).is_err(), "a hole");
        assert!(judge(vec![entry(1, 1), entry(2, 1)], |_| Ok(())).is_err(), "one number twice");
        assert!(judge(vec![entry(2, 1), entry(1, 2)], |_| Ok(())).is_err(), "swapped");
        assert!(judge(vec![entry(9, 1)], |_| Ok(())).is_err(), "invented");
        assert!(judge(vec![Entry { token: None, ..entry(1, 1) }], |_| Ok(())).is_err(), "changed");
        assert!(judge(vec![Entry { origin: 6, ..entry(1, 1) }], |_| Ok(())).is_err(), "another's");
        assert!(judge(vec![sample(b"x", 0)], |_| Ok(())).is_err(), "of no kind");
    }

    #[test]
    fn canary_an_outcome_that_is_not_so() {
        let outcome = |number, outcome| judge(two(), |checker| checker.on_outcome(token(number), outcome));
        assert!(outcome(1, Outcome::Published(1)).is_ok() && outcome(3, Outcome::Refused).is_ok());
        assert!(outcome(1, Outcome::Published(0)).is_ok() && outcome(3, Outcome::Unknown).is_ok());
        assert!(outcome(3, Outcome::PublishedFromMemory(3)).is_ok(), "lost");
        assert!(outcome(1, Outcome::PublishedFromMemory(2)).is_err(), "elsewhere");
        assert!(outcome(1, Outcome::Published(2)).is_err(), "elsewhere");
        assert!(outcome(3, Outcome::Published(3)).is_err(), "not there");
        assert!(outcome(3, Outcome::Published(0)).is_err(), "nowhere");
        assert!(outcome(2, Outcome::Refused).is_err(), "stored all the same");
        assert!(outcome(4, Outcome::Unknown).is_err(), "nobody's");
        let twice = judge(two(), |checker| {
            checker.on_outcome(token(1), Outcome::Published(1))?;
            checker.on_outcome(token(1), Outcome::Published(1))
        });
        assert!(twice.is_err(), "twice");
    }

    #[test]
    fn canary_an_acknowledgement_that_is_not_so() {
        let ack = |acks: &[(u64, u64, bool)]| {
            judge(two(), |checker| {
                acks.iter().try_for_each(|(number, sequence, duplicate)| {
                    let (sequence, duplicate) = (*sequence, *duplicate);
                    checker.on_ack(ADA, *number, Acked { sequence, duplicate, synced: true })
                })
            })
        };
        assert!(ack(&[(1, 1, false), (1, 1, true), (2, 2, false)]).is_ok());
        assert!(ack(&[(1, 1, false), (1, 2, true)]).is_err(), "two sequences");
        assert!(ack(&[(1, 2, false)]).is_err(), "another's");
        assert!(ack(&[(3, 3, false)]).is_err(), "not stored");
        assert!(ack(&[(1, 0, false)]).is_err(), "first, and forgotten");
        assert!(ack(&[(1, 0, true)]).is_err(), "forgotten too soon");
        let from_memory = |number, sequence| {
            judge(two(), |checker| {
                checker.on_ack(ADA, number, Acked { sequence, duplicate: false, synced: false })
            })
        };
        assert!(from_memory(1, 1).is_ok() && from_memory(3, 3).is_ok());
        assert!(from_memory(1, 2).is_err(), "another's");
    }

    #[test]
    fn old_numbers_may_be_forgotten() {
        let count = DEDUPLICATION_WINDOW as u32 + 1;
        let mut checker = ExactlyOnce::default();
        (1..=count).for_each(|number| checker.on_wish(token(number), ADA, true));
        checker.on_ack(ADA, 1, Acked { sequence: 0, duplicate: true, synced: true }).unwrap();
        let rooms = vec![Story::of((1..=count).map(|number| entry(number, u64::from(number))))];
        assert!(checker.on_log(&Log { rooms }, &[ConversationId::ZERO]).is_ok());
        assert_eq!(checker.open(1), count as usize);
    }
}
