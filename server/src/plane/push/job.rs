//! Wake-ups and the jobs that they are made of: one job for each registered device.

use std::fmt;
use std::str::FromStr;

use ringwire_protocol::id::{ConversationId, ParseIdError, UserId};
use serde::{Deserialize, Serialize};

use super::target::Target;

/// Keeps the ids of wake-ups apart from everything else that is hashed.
const CONTEXT: &str = "ringwire 2026 wake-up of a user in a conversation";

/// Names a wake-up: the same for the same user, conversation and sequence, on every device and every try. A
/// wake-up may arrive more than once; whoever counts, counts ids.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WakeId([u8; 16]);

impl WakeId {
    /// Of the wake-up for that message.
    pub fn new(user: UserId, conversation: ConversationId, sequence: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(user.as_bytes()).update(conversation.as_bytes()).update(&sequence.to_le_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        WakeId(bytes)
    }

    /// In the form of a UUID, which is what APNs takes for an id.
    pub fn as_uuid(&self) -> String {
        let hex = self.to_string();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Display for WakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for WakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WakeId({self})")
    }
}

impl FromStr for WakeId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        // The digits of any id.
        text.parse().map(|id: ConversationId| WakeId(*id.as_bytes()))
    }
}

/// Numbers jobs in the order they came; never used again while the queue's file lives.
pub type JobId = u64;

/// One wake-up of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The wake-up's.
    #[serde(with = "super::text::id")]
    pub wake: WakeId,
    /// Who is woken.
    #[serde(with = "super::text::id")]
    pub user: UserId,
    /// Where something is new.
    #[serde(with = "super::text::id")]
    pub conversation: ConversationId,
    /// Its place there.
    pub sequence: u64,
    /// The device, as messages carry it.
    pub device: u64,
    /// Where the wake-up goes.
    pub target: Target,
}

/// What a payload says: ids, so that a provider learns nothing but that there is something. The application
/// fetches the rest itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The conversation's id.
    pub conversation: String,
    /// The message's place in it; a text, because FCM carries texts only.
    pub sequence: String,
    /// The wake-up's id.
    pub wake: String,
}

impl Payload {
    /// Of a job.
    pub fn of(job: &Job) -> Self {
        Payload {
            conversation: job.conversation.to_string(),
            sequence: job.sequence.to_string(),
            wake: job.wake.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_wake_ups_and_survives_its_texts() {
        let (user, room) = (UserId::from_name("bob"), ConversationId::from_name("room"));
        let id = WakeId::new(user, room, 7);
        assert_eq!(id, WakeId::new(user, room, 7));
        for other in [
            WakeId::new(user, room, 8),
            WakeId::new(UserId::from_name("eve"), room, 7),
            WakeId::new(user, ConversationId::from_name("other"), 7),
        ] {
            assert_ne!(id, other);
        }
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.as_uuid().replace('-', ""), id.to_string());
        assert!("xyz".parse::<WakeId>().is_err());
    }
}
