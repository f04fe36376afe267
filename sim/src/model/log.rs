//! The journal as the store reads it: every entry of every conversation, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ringwire::conversation::state::{Standing, bucket_key, bucket_of, read_note};
use ringwire::store::{AMENDMENT, ENTRY, MEMBERS, RESERVED};
use ringwire_protocol::frame;
use ringwire_protocol::limits::FRAME_BYTES_CEILING;
use ringwire_protocol::message::{Action, Kind, Membership, Message, Role, ServerFrame};
use ringwire_protocol::{ConversationId, UserId};
use ringwire_store::{CHECKPOINT, Files, Fold, FoldError, Record, RecordKind, RecoverOptions, recover};

use super::Token;
use crate::check::{Promise, Room, Verdict};
use crate::disk::{Disk, SharedDisk, SimFiles, lock};

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
    /// What it refers to.
    pub reference: u64,
    /// The wish that it came from.
    pub token: Option<Token>,
    /// Who came, went or changed.
    pub change: Option<(Action, UserId)>,
    /// The role that the one has from then on.
    pub role: Option<Role>,
    /// Whether there is something in it.
    pub is_empty: bool,
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
    /// Entries that are in the log of the amendments of their bucket, too; by bucket.
    pub amended: BTreeMap<u64, Vec<u64>>,
    /// Its members.
    pub members: BTreeMap<UserId, Member>,
    /// The highest cursors that were ever noted, of members and of those who were.
    pub cursors: BTreeMap<UserId, (u64, u64)>,
}

/// A member, as entries and notes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// How far it is.
    pub standing: Standing,
}

impl Story {
    /// A member comes, goes or changes.
    fn change(&mut self, action: Action, user: UserId, role: Role) {
        match action {
            Action::Left | Action::Removed => {
                self.members.remove(&user);
            }
            _ => {
                let fresh = Member { role, standing: Standing::default() };
                self.members.entry(user).or_insert(fresh).role = role;
            }
        }
    }

    /// A note says how a member stands.
    fn note(&mut self, user: UserId, noted: Standing) {
        let (read, delivered) = self.cursors.entry(user).or_default();
        *read = noted.read.max(*read);
        *delivered = noted.delivered.max(*delivered).max(*read);
        if let Some(Member { standing, .. }) = self.members.get_mut(&user) {
            standing.read = standing.read.max(noted.read);
            standing.delivered = standing.delivered.max(noted.delivered).max(standing.read);
            standing.muted_until_ms = noted.muted_until_ms;
        }
    }
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
        // What was given up was there, and is part of the story.
        lock(&copy).exhume();
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
            Ok(recovered) => {
                collector.log.check_amended()?;
                Ok((collector.log, recovered.report.to_string()))
            }
            Err(error) => Promise::Contract.broken(format!("the journal cannot be read: {error}")),
        }
    }

    /// Every amendment is in the log of its bucket, in the order of the conversation, and nothing else is.
    fn check_amended(&self) -> Verdict {
        for (room, story) in self.rooms.iter().enumerate() {
            let mut expected: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for (sequence, entry) in story.entries.iter().filter(|(_, entry)| entry.kind.refers()) {
                expected.entry(bucket_of(entry.reference)).or_default().push(*sequence);
            }
            Promise::Contract.holds(expected == story.amended, || {
                format!("the amendments of room {room} are {expected:?}, and listed are {:?}", story.amended)
            })?;
        }
        Ok(())
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

/// The message of an entry.
fn message(mut payload: &[u8]) -> Result<Message<'_>, String> {
    let frame = frame::split(&mut payload, FRAME_BYTES_CEILING).map_err(|fault| fault.to_string())?;
    match ServerFrame::decode(frame.ok_or("an entry is empty")?) {
        Ok(ServerFrame::Message(message)) => Ok(message),
        _ => Err("an entry is no message".to_owned()),
    }
}

impl Collector<'_> {
    fn take(&mut self, record: &Record<'_>) -> Result<(), String> {
        if record.kind == AMENDMENT {
            return self.take_amendment(record);
        }
        let id = ConversationId::from_bytes(record.conversation);
        let room = self.room(id)?;
        let story = &mut self.log.rooms[room];
        match record.kind {
            RESERVED => story.reserved = record.sequence,
            MEMBERS => {
                let note = read_note(record.payload).ok_or("a note is cut")?;
                note.for_each(|(user, standing)| story.note(user, standing));
            }
            RecordKind::SKIP => return story.skip(record.sequence),
            ENTRY => return self.take_entry(record, id, room),
            kind => return Err(format!("a record is of the unknown kind {kind:?}")),
        }
        Ok(())
    }

    fn room(&self, id: ConversationId) -> Result<Room, String> {
        let room = self.ids.iter().position(|known| *known == id);
        room.ok_or_else(|| "a record is of a conversation that nobody asked for".to_owned())
    }

    /// An amendment again, in the log of its bucket: it is in the order of its conversation already.
    fn take_amendment(&mut self, record: &Record<'_>) -> Result<(), String> {
        let message = message(record.payload)?;
        let room = self.room(message.conversation)?;
        let (story, bucket) = (&mut self.log.rooms[room], bucket_of(message.reference));
        let twin = story.entries.get(&message.sequence).filter(|entry| entry.frame == record.payload);
        let key = bucket_key(message.conversation, bucket);
        let listed = story.amended.entry(bucket).or_default();
        if twin.is_none()
            || record.conversation != *key.as_bytes()
            || record.sequence != listed.len() as u64 + 1
        {
            return Err(format!(
                "amendment {} of room {room} is listed as {} of a bucket where it does not belong",
                message.sequence, record.sequence
            ));
        }
        listed.push(message.sequence);
        Ok(())
    }

    fn take_entry(&mut self, record: &Record<'_>, id: ConversationId, room: Room) -> Result<(), String> {
        let message = message(record.payload)?;
        let (story, sequence) = (&mut self.log.rooms[room], record.sequence);
        if message.sequence != sequence || message.conversation != id || sequence != story.next() {
            return Err(format!(
                "the journal has sequence {sequence} ({} inside) of room {room} where {} belongs",
                message.sequence,
                story.next()
            ));
        }
        let membership = (message.kind == Kind::Membership).then(|| Membership::decode(message.body));
        let change = match membership {
            Some(Ok(membership)) => {
                story.change(membership.action, membership.user, membership.role);
                Some((membership.action, membership.user, membership.role))
            }
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
            reference: message.reference,
            token: Token::of(message.body),
            change: change.map(|(action, user, _)| (action, user)),
            role: change.map(|(_, _, role)| role),
            is_empty: message.body.is_empty(),
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
