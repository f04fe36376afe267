//! The stored form of what is folded, byte by byte.
//!
//! The first byte says what it is: 1 to 3 are layouts of a conversation's state, others belong to what else is
//! folded. What an earlier release wrote is read for ever; the present one is written.

use ringwire_protocol::id::UserId;
use ringwire_protocol::message::{ConversationKind, Role};

use super::{MemberState, State};
use crate::conversation::devices::Device;

/// Layout of [`State::encode`] where not everything is kept any more.
const VERSION: u8 = 3;

/// The layout where it is: the same without the last sequence that is not.
const VERSION_2: u8 = 2;

/// The layout before: no kind, and members without cursors.
const VERSION_1: u8 = 1;

/// Stored bytes that are no state.
#[derive(Debug, thiserror::Error)]
pub enum StateFault {
    /// Written by a later release.
    #[error(
        "the stored state has layout {0}, this release reads up to {VERSION}; start the later release again"
    )]
    Version(u8),
    /// Cut short or not ours.
    #[error("the stored state of a conversation is damaged at byte {0}")]
    Damaged(usize),
}

impl State {
    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(if self.expired > 0 { VERSION } else { VERSION_2 });
        out.push(self.kind as u8);
        put_text(out, &self.name);
        put(out, self.head);
        put(out, self.time_ms);
        put(out, self.reserved);
        if self.expired > 0 {
            put(out, self.expired);
        }
        put(out, self.members.len() as u64);
        for (user, member) in &self.members {
            out.extend_from_slice(user.as_bytes());
            out.push(member.role as u8);
            put_text(out, &member.name);
            put(out, member.read);
            put(out, member.delivered);
            // One more, so that "for ever" is short like "not".
            put(out, member.muted_until_ms.wrapping_add(1));
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

    /// Reads the stored form, of this layout or an earlier one.
    ///
    /// # Errors
    /// Where the bytes are not one whole state.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateFault> {
        let mut input = Input::new(bytes);
        let version = input.byte()?;
        if !(VERSION_1..=VERSION).contains(&version) {
            return Err(StateFault::Version(version));
        }
        let kind = match version {
            VERSION_1 => ConversationKind::Group,
            _ => ConversationKind::from_number(input.byte()?).ok_or_else(|| input.damaged())?,
        };
        let mut state = State {
            kind,
            name: input.text()?,
            head: input.number()?,
            time_ms: input.number()?,
            reserved: input.number()?,
            ..State::default()
        };
        if version == VERSION {
            state.expired = input.number()?;
        }
        for _ in 0..input.number()? {
            let user = UserId::from_bytes(input.array()?);
            let role = Role::from_number(input.byte()?).ok_or_else(|| input.damaged())?;
            let name = input.text()?;
            let (read, delivered, muted_until_ms) = match version {
                VERSION_1 => (0, 0, 0),
                _ => (input.number()?, input.number()?, input.number()?.wrapping_sub(1)),
            };
            state.members.insert(user, MemberState { role, name, read, delivered, muted_until_ms });
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
        if input.is_at_end() { Ok(state) } else { Err(input.damaged()) }
    }
}

/// LEB128: most numbers here are small.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Stored bytes, as far as they are read.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Input { bytes, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn damaged(&self) -> StateFault {
        StateFault::Damaged(self.at)
    }

    pub(super) fn byte(&mut self) -> Result<u8, StateFault> {
        let byte = *self.bytes.get(self.at).ok_or(StateFault::Damaged(self.at))?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, StateFault> {
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

    fn slice(&mut self, length: usize) -> Result<&'a [u8], StateFault> {
        let end = self.at.checked_add(length).ok_or(StateFault::Damaged(self.at))?;
        let slice = self.bytes.get(self.at..end).ok_or(StateFault::Damaged(self.at))?;
        self.at = end;
        Ok(slice)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], StateFault> {
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
