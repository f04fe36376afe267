//! One upload: what was announced of it, how far it is, and whose turn it is to write.

use std::cell::Cell;
use std::time::Duration;

use ringwire_protocol::id::{ConversationId, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::plane::objects::hash::ObjectId;

/// How long a request waits for the one before it to let go of an upload.
const TURN_PATIENCE: Duration = Duration::from_secs(5);

/// Names an upload: random, so that only its client knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UploadId(u128);

impl UploadId {
    /// Of random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        UploadId(u128::from_le_bytes(random))
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u128::from_str_radix(text, 16).ok().map(UploadId)).flatten()
    }
}

impl std::fmt::Display for UploadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Ids as text, in the note.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: ToString, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.to_string())
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What was announced of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Whose it is.
    #[serde(with = "text")]
    pub user: UserId,
    /// For whom.
    #[serde(with = "text")]
    pub conversation: ConversationId,
    /// Its file's name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// How long it will be.
    pub length: u64,
    /// Its hash, where the client said it.
    pub hash: Option<ObjectId>,
    /// `Upload-Metadata` as it came, because it is to be given back.
    pub metadata: String,
    /// When it is given up, milliseconds since 1970.
    pub expires_ms: u64,
}

/// An upload.
pub struct Upload {
    /// Its name.
    pub id: UploadId,
    /// What was announced.
    pub about: About,
    pub(super) offset: Cell<u64>,
    pub(super) object: Cell<Option<ObjectId>>,
    pub(super) turn: Mutex<()>,
    /// Requests that wait for the turn.
    waiting: Cell<usize>,
    wanted: Notify,
}

impl Upload {
    pub(super) fn new(id: UploadId, about: About) -> Self {
        Upload {
            id,
            about,
            offset: Cell::new(0),
            object: Cell::new(None),
            turn: Mutex::new(()),
            waiting: Cell::new(0),
            wanted: Notify::new(),
        }
    }

    /// Bytes that are there.
    pub fn offset(&self) -> u64 {
        self.offset.get()
    }

    /// What it became.
    pub fn object(&self) -> Option<ObjectId> {
        self.object.get()
    }

    /// Waits for whoever writes at the moment, who is asked to let go: mostly that is a connection of the same
    /// client that broke without our knowing. `None`: he does not.
    pub async fn take_turn(&self) -> Option<MutexGuard<'_, ()>> {
        if let Ok(turn) = self.turn.try_lock() {
            return Some(turn);
        }
        let _waiting = Waiting::new(&self.waiting);
        self.wanted.notify_waiters();
        tokio::time::timeout(TURN_PATIENCE, self.turn.lock()).await.ok()
    }

    /// Ends when another request wants the turn.
    pub async fn is_wanted(&self) {
        let wanted = self.wanted.notified();
        if self.waiting.get() == 0 {
            wanted.await;
        }
    }
}

/// Counts one who waits, also where his future is dropped.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
