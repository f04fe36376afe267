//! The journal as the store reads it: every entry of every conversation, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ringwire::store::{ENTRY, RESERVED};
use ringwire_protocol::frame;
use ringwire_protocol::limits::FRAME_BYTES_CEILING;
use ringwire_protocol::message::{Action, Kind, Membership, ServerFrame};
use ringwire_protocol::{ConversationId, UserId};
use ringwire_store::{CHECKPOINT, Files, Fold, FoldError, Record, RecordKind, RecoverOptions, recover};

use super::Token;
use crate::check::{Promise, Room, Verdict};
use crate::disk::{Disk, SharedDisk, SimFiles};

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The whole `Message` frame.
    pub frame: Bytes,
    /// When the server accepted it, milliseconds since 1970.
    pub time_ms: u64,
    /// Who.
    pub sender: UserId,
    /// With which device, hashed; 0: the server itself.
    pub origin: u64,
    /// The device's own number for it; 0: the server wrote it.
    pub client_sequence: u64,
    /// What it is.
    pub kind: Kind,
    /// The wish that it came from.
    pub token: Option<Token>,
    /// Who came or went.
    pub change: Option<(Action, UserId)>,
}

/// One conversation.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Story {
    /// By sequence. Holes are where sequences were reserved, and perhaps shown, and a crash came.
    pub entries: BTreeMap<u64, Entry>,
    /// Sequences up to here are not given again.
    pub reserved: u64,
    /// The order goes on behind this one.
    pub skipped: u64,
}

/// Everything that is stored.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Log {
    /// By room.
    pub rooms: Vec<Story>,
}

impl Story {
    /// Of these entries, from 1.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        Story { entries: (1..).zip(entries).collect(), ..Story::default() }
    }

    fn last(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(sequence, _)| *sequence)
    }

    /// The sequence of the entry that comes next.
    fn next(&self) -> u64 {
        self.last().max(self.skipped) + 1
    }

    /// The order goes on behind `behind`. Only reserved sequences may be left out.
    fn skip(&mut self, behind: u64) -> Result<(), String> {
        if behind > self.last() && behind != self.reserved {
            return Err(format!("an order goes on behind {behind}, where {} was reserved", self.reserved));
        }
        self.skipped = behind;
        Ok(())
    }
}

struct Collector<'a> {
    ids: &'a [ConversationId],
    log: Log,
    fault: Option<String>,
}

impl Log {
    /// Reads the journal on a copy of the disk, which the store brings in order first. Returns what it reports
    /// of that, too.
    ///
    /// # Errors
    /// The store does not open, or an entry is not what the server writes.
    pub fn read(disk: &SharedDisk, ids: &[ConversationId]) -> Verdict<(Self, String)> {
        let copy = Disk::copy(disk);
        let files: Arc<dyn Files> = Arc::new(SimFiles::new(&copy));
        // A checkpoint stands for entries that are in the segments all the same: without it all are read.
        for entry in files.list(CHECKPOINT).unwrap_or_default() {
            if let Err(error) = files.remove(&format!("{CHECKPOINT}/{}", entry.name)) {
                return Promise::Contract.broken(format!("the copy of the disk fails: {error}"));
            }
        }
        let log = Log { rooms: vec![Story::default(); ids.len()] };
        let mut collector = Collector { ids, log, fault: None };
        let recovered = recover(&*files, &mut collector, &RecoverOptions::default());
        if let Some(fault) = collector.fault {
            return Promise::Order.broken(fault);
        }
        match recovered {
            Ok(recovered) => Ok((collector.log, recovered.report.to_string())),
            Err(error) => Promise::Contract.broken(format!("the journal cannot be read: {error}")),
        }
    }

    /// The last sequence of a room that was given or reserved; 0: none was.
    pub fn end(&self, room: Room) -> u64 {
        let story = &self.rooms[room];
        story.last().max(story.skipped).max(story.reserved)
    }

    /// The entry of that sequence.
    pub fn get(&self, room: Room, sequence: u64) -> Option<&Entry> {
        self.rooms.get(room)?.entries.get(&sequence)
    }

    /// Entries with their sequences, ascending.
    pub fn entries(&self, room: Room) -> impl Iterator<Item = (u64, &Entry)> {
        self.rooms[room].entries.iter().map(|(sequence, entry)| (*sequence, entry))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.rooms.iter().map(|story| story.entries.len()).sum()
    }

    /// Whether nothing was ever stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Collector<'_> {
    fn take(&mut self, record: &Record<'_>) -> Result<(), String> {
        let id = ConversationId::from_bytes(record.conversation);
        let room = self.ids.iter().position(|known| *known == id);
        let room = room.ok_or("a record is of a conversation that nobody asked for")?;
        let story = &mut self.log.rooms[room];
        if record.kind == RESERVED {
            story.reserved = record.sequence;
            return Ok(());
        }
        if record.kind == RecordKind::SKIP {
            return story.skip(record.sequence);
        }
        if record.kind != ENTRY {
            return Err(format!("a record is of the unknown kind {:?}", record.kind));
        }
        let mut payload = record.payload;
        let frame = frame::split(&mut payload, FRAME_BYTES_CEILING).map_err(|fault| fault.to_string())?;
        let frame = frame.ok_or("an entry is empty")?;
        let Ok(ServerFrame::Message(message)) = ServerFrame::decode(frame) else {
            return Err("an entry is no message".to_owned());
        };
        let sequence = record.sequence;
        if message.sequence != sequence || message.conversation != id || sequence != story.next() {
            return Err(format!(
                "the journal has sequence {sequence} ({} inside) of room {room} where {} belongs",
                message.sequence,
                story.next()
            ));
        }
        let membership = (message.kind == Kind::Membership).then(|| Membership::decode(message.body));
        let change = match membership {
            Some(Ok(membership)) => Some((membership.action, membership.user)),
            Some(Err(fault)) => return Err(fault.to_string()),
            None => None,
        };
        let entry = Entry {
            frame: Bytes::copy_from_slice(record.payload),
            time_ms: message.time_ms,
            sender: message.sender,
            origin: message.origin,
            client_sequence: message.client_sequence,
            kind: message.kind,
            token: Token::of(message.body),
            change,
        };
        story.entries.insert(sequence, entry);
        Ok(())
    }
}

impl Fold for Collector<'_> {
    fn restore(&mut self, _: &[u8; 16], _: &[u8]) -> Result<(), FoldError> {
        Err(FoldError("there is no checkpoint".to_owned()))
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        self.take(record).map_err(|fault| {
            self.fault.get_or_insert_with(|| fault.clone());
            FoldError(fault)
        })
    }
}
