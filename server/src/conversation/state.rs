//! What is durable about a conversation besides its messages: head, members, and what each device has
//! published.
//!
//! It is nothing but the fold of the conversation's own entries: the live owner, recovery and the
//! checkpoint all build it with [`State::apply`], so they cannot disagree.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use ringwire_protocol::id::UserId;
use ringwire_protocol::message::{Action, Kind, Membership, Message, Role};

use super::devices::Device;

/// A member, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// What it may do.
    pub role: Role,
    /// The name shown to others, as of its last joining.
    pub name: Box<str>,
}

/// The fold of a conversation's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The application's own name for it.
    pub name: Box<str>,
    /// Sequence of the last entry; 0 before the first.
    pub head: u64,
    /// When the last entry was accepted, milliseconds since 1970. No later entry says less, whatever the clock
    /// does.
    pub time_ms: u64,
    /// Sequences up to here may have been shown before they were synced; not less than what was shown.
    pub reserved: u64,
    /// In the order of their ids, which is the order of the paged list.
    pub members: BTreeMap<UserId, MemberState>,
    /// By user and hashed device.
    pub devices: HashMap<(UserId, u64), Device, RandomState>,
}

/// Layout of [`State::encode`].
const VERSION: u8 = 1;

/// Stored bytes that are no state.
#[derive(Debug, thiserror::Error)]
pub enum StateFault {
    /// Written by a later release.
    #[error("the stored state has layout {0}, this release reads {VERSION}; start the later release again")]
    Version(u8),
    /// Cut short or not ours.
    #[error("the stored state of a conversation is damaged at byte {0}")]
    Damaged(usize),
}

impl State {
    /// Applies one entry; they come in the order of their sequences.
    pub fn apply(&mut self, message: &Message<'_>) {
        debug_assert_eq!(message.sequence, self.head + 1, "sequences are dense");
        self.head = message.sequence;
        self.time_ms = self.time_ms.max(message.time_ms);
        if message.client_sequence != 0 {
            self.devices
                .entry((message.sender, message.origin))
                .or_default()
                .accept(message.client_sequence, message.sequence);
        }
        if message.kind == Kind::Membership {
            // The server wrote the body itself; one that cannot be read was refused by recovery's checksum.
            if let Ok(membership) = Membership::decode(message.body) {
                self.apply_membership(&membership);
            }
        }
    }

    fn apply_membership(&mut self, membership: &Membership<'_>) {
        match membership.action {
            Action::Left | Action::Removed => {
                self.members.remove(&membership.user);
            }
            Action::Created | Action::Joined | Action::Added | Action::RoleChanged => {
                if membership.action == Action::Created {
                    self.name = membership.conversation_name.into();
                }
                let member = MemberState { role: membership.role, name: membership.name.into() };
                self.members.insert(membership.user, member);
            }
        }
    }

    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_text(out, &self.name);
        put(out, self.head);
        put(out, self.time_ms);
        put(out, self.reserved);
        put(out, self.members.len() as u64);
        for (user, member) in &self.members {
            out.extend_from_slice(user.as_bytes());
            out.push(member.role as u8);
            put_text(out, &member.name);
        }
        put(out, self.devices.len() as u64);
        // Sorted, so that equal states have equal bytes.
        let mut devices: Vec<_> = self.devices.iter().collect();
        devices.sort_unstable_by_key(|(key, _)| **key);
        for ((user, origin), device) in devices {
            out.extend_from_slice(user.as_bytes());
            out.extend_from_slice(&origin.to_le_bytes());
            put(out, device.last());
            put(out, device.recent().len() as u64);
            for sequence in device.recent() {
                put(out, self.head - sequence);
            }
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Where the bytes are not one whole state of this layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateFault> {
        let mut input = Input { bytes, at: 0 };
        let version = input.byte()?;
        if version != VERSION {
            return Err(StateFault::Version(version));
        }
        let mut state = State {
            name: input.text()?,
            head: input.number()?,
            time_ms: input.number()?,
            reserved: input.number()?,
            ..State::default()
        };
        for _ in 0..input.number()? {
            let user = UserId::from_bytes(input.array()?);
            let role = Role::from_number(input.byte()?).ok_or_else(|| input.damaged())?;
            state.members.insert(user, MemberState { role, name: input.text()? });
        }
        for _ in 0..input.number()? {
            let user = UserId::from_bytes(input.array()?);
            let origin = u64::from_le_bytes(input.array()?);
            let last = input.number()?;
            let mut recent = Vec::new();
            for _ in 0..input.number()? {
                recent.push(state.head.checked_sub(input.number()?).ok_or_else(|| input.damaged())?);
            }
            state.devices.insert((user, origin), Device::restore(last, recent.into_iter()));
        }
        if input.at == bytes.len() { Ok(state) } else { Err(input.damaged()) }
    }
}

/// LEB128: most numbers here are small.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn damaged(&self) -> StateFault {
        StateFault::Damaged(self.at)
    }

    fn byte(&mut self) -> Result<u8, StateFault> {
        let byte = *self.bytes.get(self.at).ok_or(StateFault::Damaged(self.at))?;
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, StateFault> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.damaged())
    }

    fn slice(&mut self, length: usize) -> Result<&[u8], StateFault> {
        let end = self.at.checked_add(length).ok_or(StateFault::Damaged(self.at))?;
        let slice = self.bytes.get(self.at..end).ok_or(StateFault::Damaged(self.at))?;
        self.at = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateFault> {
        let mut array = [0; N];
        array.copy_from_slice(self.slice(N)?);
        Ok(array)
    }

    fn text(&mut self) -> Result<Box<str>, StateFault> {
        let at = self.at;
        let length = usize::try_from(self.number()?).map_err(|_| StateFault::Damaged(at))?;
        let bytes = self.slice(length)?;
        std::str::from_utf8(bytes).map(Into::into).map_err(|_| StateFault::Damaged(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> State {
        let mut state =
            State { name: "lobby".into(), head: 300, time_ms: 7, reserved: 1024, ..State::default() };
        for (name, role) in [("ada", Role::Owner), ("bob", Role::Member), ("\u{fc}mit", Role::Reader)] {
            state.members.insert(UserId::from_name(name), MemberState { role, name: name.into() });
        }
        for origin in 0..3 {
            let key = (UserId::from_name("ada"), origin);
            state.devices.insert(key, Device::restore(200 + origin, 298 - origin..=300 - origin));
        }
        state
    }

    #[test]
    fn the_stored_form_is_the_state() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        assert_eq!(State::decode(&bytes).expect("just encoded"), sample());
    }

    #[test]
    fn a_cut_state_is_refused_at_every_length() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        for length in 0..bytes.len() {
            assert!(State::decode(&bytes[..length]).is_err(), "length {length}");
        }
        bytes.push(0);
        assert!(State::decode(&bytes).is_err());
        bytes[0] = 9;
        assert!(matches!(State::decode(&bytes), Err(StateFault::Version(9))));
    }
}
