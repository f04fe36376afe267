//! What is durable about a user: how the devices are woken, the last day somebody was there, and what others may
//! see.
//!
//! It is nothing but the fold of the notes under the user's id: the home, recovery and the checkpoint all build it
//! with [`UserState::apply`], so they cannot disagree.

use serde::{Deserialize, Serialize};

use crate::plane::push::target::{Registered, Target};

/// First byte of the stored form: it is a user's, in this layout. A conversation's begins with its own.
pub const TAG: u8 = 0x90;

/// The fold of a user's notes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserState {
    /// One for each device that is to be woken, in the order they came.
    pub registrations: Vec<Registered>,
    /// The last day somebody was there, days since 1970; noted only for users with registrations.
    pub active_day: u32,
    /// Others may know when the user was last seen.
    #[serde(default)]
    pub share_last_seen: bool,
}

/// One change, as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Note {
    /// A device is woken so from now on.
    Registered(Registered),
    /// A device is not woken any more.
    Unregistered {
        /// Which, as messages carry it.
        device: u64,
    },
    /// What others may see.
    Settings {
        /// When the user was last seen.
        share_last_seen: bool,
    },
    /// Somebody was there.
    Active {
        /// Days since 1970.
        day: u32,
    },
}

/// Stored bytes that are nothing of a user.
#[derive(Debug, thiserror::Error)]
#[error("what is stored about a user cannot be read ({0}); start the release that wrote it")]
pub struct UserFault(String);

fn fault(error: impl ToString) -> UserFault {
    UserFault(error.to_string())
}

impl Note {
    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write(self, out);
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Where the bytes are no note that this release knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, UserFault> {
        serde_json::from_slice(bytes).map_err(fault)
    }
}

impl UserState {
    /// Applies one note; they come in the order they were made.
    pub fn apply(&mut self, note: Note) {
        match note {
            Note::Registered(registered) => {
                self.registrations.retain(|other| other.device != registered.device);
                self.registrations.push(registered);
            }
            Note::Unregistered { device } => self.registrations.retain(|other| other.device != device),
            Note::Settings { share_last_seen } => self.share_last_seen = share_last_seen,
            Note::Active { day } => self.active_day = self.active_day.max(day),
        }
    }

    /// How a device is woken, if it is.
    pub fn target(&self, device: u64) -> Option<&Target> {
        let of_device = self.registrations.iter().find(|registered| registered.device == device);
        of_device.map(|registered| &registered.target)
    }

    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        write(self, out);
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Where the bytes are not one whole state of this layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, UserFault> {
        let json = bytes.strip_prefix(&[TAG]).ok_or_else(|| fault("it is another thing's"))?;
        serde_json::from_slice(json).map_err(fault)
    }
}

/// Texts and numbers only: there is nothing in it that JSON cannot hold.
fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    if let Err(error) = serde_json::to_writer(out, value) {
        unreachable!("what is stored about a user is always JSON: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwire_protocol::message::Provider;

    fn registered(device: u64, token: &str) -> Note {
        let (app, key, secret) = ("app".into(), [1, 2].into(), [3].into());
        let target = Target { provider: Provider::WebPush, token: token.into(), app, key, secret };
        Note::Registered(Registered { device, target })
    }

    fn state(notes: &[Note]) -> UserState {
        let mut state = UserState::default();
        for note in notes {
            let mut bytes = Vec::new();
            note.encode(&mut bytes);
            state.apply(Note::decode(&bytes).expect("just encoded"));
        }
        state
    }

    #[test]
    fn a_device_has_one_registration_the_last() {
        let state =
            state(&[registered(1, "a"), registered(2, "b"), registered(1, "c"), Note::Active { day: 3 }]);
        assert_eq!(state.registrations.len(), 2);
        assert_eq!(state.target(1).map(|target| &*target.token), Some("c"));
        assert_eq!(state.active_day, 3);
    }

    #[test]
    fn the_stored_form_is_the_state() {
        let state = state(&[registered(1, "a"), registered(2, "b"), Note::Unregistered { device: 1 }]);
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        assert_eq!(UserState::decode(&bytes).expect("just encoded"), state);
        for length in 0..bytes.len() {
            assert!(UserState::decode(&bytes[..length]).is_err(), "length {length}");
        }
        assert!(Note::decode(b"{\"what\":\"later\"}").is_err());
    }
}
