//! Frames: the unit of the wire, the same over QUIC, over WebSocket and in the journal.
//!
//! ```text
//!  0        4      5       6          8
//!  +--------+------+-------+----------+--------------------------+
//!  | length | type | flags | reserved | FlatBuffers root of type |
//!  | u32 LE | u8   | u8    | u16 = 0  | `length` bytes           |
//!  +--------+------+-------+----------+--------------------------+
//! ```
//!
//! On the path between the transport and the messages. Nothing here looks into a body. A frame borrows the
//! bytes it came in; [`FrameReader`] owns some only while a frame of a byte stream is partial.

mod reader;

pub use reader::FrameReader;

use crate::fault::Fault;

/// Bytes of a frame header.
pub const HEADER_BYTES: usize = 8;

/// The receiver skips the frame if it does not know its type (W-5). All other flag bits are zero.
pub const FLAG_OPTIONAL: u8 = 1;

macro_rules! frame_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a frame carries. 0x01 to 0x3F travel to the server, 0x41 to 0x7F to the client (W-5).
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum FrameType {
            $($(#[$doc])* $name = $number,)*
        }

        impl FrameType {
            /// Every type, in the order of the numbers.
            pub const ALL: &[FrameType] = &[$(FrameType::$name,)*];

            /// The type of that number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

frame_types! {
    /// First frame of a connection.
    Hello = 0x01,
    /// One message.
    Publish = 0x02,
    /// Become a member, by name.
    Join = 0x03,
    /// Stop being a member.
    Leave = 0x04,
    /// On screen: feed it live.
    Open = 0x05,
    /// Not on screen any more.
    Close = 0x06,
    /// Stored messages, please.
    Fetch = 0x07,
    /// Members, please.
    Members = 0x08,
    /// The user has read up to here.
    Read = 0x09,
    /// The user is typing.
    Typing = 0x0A,
    /// Presence of these users, please.
    Watch = 0x0B,
    /// Are you there?
    Ping = 0x0C,
    /// A new token.
    Refresh = 0x0D,
    /// A new conversation.
    Create = 0x0E,
    /// The conversation of two.
    Direct = 0x0F,
    /// Add or remove a member, or change a role.
    Change = 0x10,
    /// No wake-ups from it.
    Mute = 0x11,
    /// How to wake this device.
    Register = 0x12,
    /// Do not wake it any more.
    Unregister = 0x13,
    /// The device has everything up to here.
    Delivered = 0x14,
    /// How many, instead of who.
    WatchCounts = 0x15,
    /// What others may see of the user.
    Settings = 0x16,
    /// Answer to Hello.
    Welcome = 0x41,
    /// A publish was accepted.
    Ack = 0x42,
    /// Another request was carried out.
    Done = 0x43,
    /// A request was refused.
    Reject = 0x44,
    /// One message of a conversation.
    Message = 0x45,
    /// Answer to Join and to each cursor of Hello.
    Joined = 0x46,
    /// Answer to Members.
    MemberPage = 0x47,
    /// There is something new.
    Head = 0x48,
    /// Answer to Fetch.
    Page = 0x49,
    /// Watched users came, went or changed.
    Presence = 0x4A,
    /// A member is typing.
    TypingNotice = 0x4B,
    /// A member has read up to here.
    Receipt = 0x4C,
    /// Sequences that will not come.
    Gap = 0x4D,
    /// The server is about to close.
    GoAway = 0x4E,
    /// Answer to Ping.
    Pong = 0x4F,
    /// The user's conversations.
    Inbox = 0x50,
    /// How many members are there, and how far they are.
    Counts = 0x51,
}

impl FrameType {
    /// Whether clients send it and servers receive it.
    pub const fn is_to_server(self) -> bool {
        (self as u8) < 0x40
    }

    /// Whether it is marked as one that a receiver may skip: what came after the first servers and is only
    /// told, so that one that does not know it loses nothing (W-82).
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Delivered)
    }
}

/// One whole frame, borrowed from the bytes it came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// What it carries.
    pub kind: FrameType,
    /// The flags byte; unknown bits were refused.
    pub flags: u8,
    /// The FlatBuffers root.
    pub body: &'a [u8],
    /// Header and body.
    pub bytes: &'a [u8],
}

/// A header that obeys the rules, with what is needed to cut the frame out.
struct Header {
    bytes: usize,
    /// `None`: unknown, and may be skipped.
    kind: Option<FrameType>,
    flags: u8,
}

impl Header {
    /// Checks W-2, W-4 and W-5 before a byte of the body is waited for.
    #[inline]
    fn parse(header: [u8; HEADER_BYTES], bytes_max: usize) -> Result<Self, Fault> {
        let [l0, l1, l2, l3, number, flags, r0, r1] = header;
        let bytes = u64::from(u32::from_le_bytes([l0, l1, l2, l3])) + HEADER_BYTES as u64;
        let reserved = u16::from_le_bytes([r0, r1]);
        if flags & !FLAG_OPTIONAL != 0 || reserved != 0 {
            return Err(Fault::ReservedHeader { flags, reserved });
        }
        if bytes > bytes_max as u64 {
            return Err(Fault::FrameTooLarge { bytes, bytes_max });
        }
        let kind = FrameType::from_number(number);
        if kind.is_none() && flags & FLAG_OPTIONAL == 0 {
            return Err(Fault::UnknownType { kind: number });
        }
        Ok(Self { bytes: bytes as usize, kind, flags })
    }

    #[inline]
    fn frame<'a>(&self, bytes: &'a [u8]) -> Option<Frame<'a>> {
        self.kind.map(|kind| Frame { kind, flags: self.flags, body: &bytes[HEADER_BYTES..], bytes })
    }
}

/// The header of a frame whose body has `body_bytes` bytes.
pub(crate) const fn header(kind: FrameType, body_bytes: u32) -> [u8; HEADER_BYTES] {
    let [l0, l1, l2, l3] = body_bytes.to_le_bytes();
    let flags = if kind.is_optional() { FLAG_OPTIONAL } else { 0 };
    [l0, l1, l2, l3, kind as u8, flags, 0, 0]
}

/// Takes the next whole frame off `input`, which holds whole frames only (a WebSocket message, a `Page`,
/// W-3): `None` at its end, a fault if it ends inside a frame. `bytes_max` bounds header and body together.
/// Unknown frames that may be skipped are skipped.
#[inline]
pub fn split<'a>(input: &mut &'a [u8], bytes_max: usize) -> Result<Option<Frame<'a>>, Fault> {
    while !input.is_empty() {
        let Some((header, _)) = input.split_first_chunk() else {
            return Err(Fault::CutFrame { missing: HEADER_BYTES - input.len() });
        };
        let header = Header::parse(*header, bytes_max)?;
        let Some((bytes, rest)) = input.split_at_checked(header.bytes) else {
            return Err(Fault::CutFrame { missing: header.bytes - input.len() });
        };
        *input = rest;
        if let Some(frame) = header.frame(bytes) {
            return Ok(Some(frame));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
