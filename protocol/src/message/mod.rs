//! Messages: plain structs with borrowed fields, the same struct for reading and for writing.
//!
//! Decoding verifies a frame's body and reads it into one of these; nothing is copied but the fixed fields,
//! nothing is allocated, and the struct lives as long as the bytes it borrows from. Encoding appends a whole
//! frame to a `Vec`. `docs/wire.md` says when each is sent and what it promises.

mod answer;
mod client;
mod content;
mod encoder;
mod event;
mod layout;
mod list;
mod manage;
mod personal;
mod server;
mod value;
mod verify;

pub use answer::{Ack, Done, Joined, Member, MemberPage, Page, Pong, Reject, Welcome};
pub use client::{
    ClientFrame, Close, Cursor, Fetch, Hello, Join, Leave, Members, Open, Ping, Publish, Read, Refresh,
    Typing, Watch,
};
pub use content::Membership;
pub use encoder::Encoder;
pub use event::{
    Counts, Gap, GoAway, Head, Inbox, InboxEntry, Message, Presence, PresenceEntry, Receipt, TypingNotice,
};
pub use list::{Elements, Iter, List};
pub use manage::{Change, Create, Direct, Mute};
pub use personal::{Delivered, Register, Settings, Unregister, WatchCounts};
pub use server::ServerFrame;
pub use value::{
    Action, CAPABILITY_INBOX, ConversationKind, Direction, Durability, GapCause, Kind, PresenceState,
    Provider, ReceiptKind, Role, View,
};

use flatbuffers::{ForwardsUOffset, Vector};

use crate::generated as wire;
use crate::id::UserId;

/// Cursors in Hello.
pub type Cursors<'a> = List<'a, Cursor, Vector<'a, wire::Cursor>>;
/// Heads in Welcome.
pub type Heads<'a> = List<'a, Head, Vector<'a, wire::HeadEntry>>;
/// Users in Watch.
pub type Users<'a> = List<'a, UserId, Vector<'a, wire::Id>>;
/// Members in Joined, MemberPage and Create.
pub type MemberList<'a> = List<'a, Member<'a>, Vector<'a, ForwardsUOffset<wire::Member<'a>>>>;
/// Entries of Presence.
pub type PresenceList<'a> = List<'a, PresenceEntry, Vector<'a, wire::PresenceEntry>>;
/// Entries of Inbox.
pub type InboxList<'a> = List<'a, InboxEntry<'a>, Vector<'a, ForwardsUOffset<wire::InboxEntry<'a>>>>;

/// The protocol version this library speaks; Hello and Welcome negotiate it (W-21).
pub const VERSION: u16 = 1;

/// Declares the enum of one direction and its `decode`.
macro_rules! direction {
    ($(#[$doc:meta])* $name:ident<$lt:lifetime> { $($variant:ident($($message:tt)*),)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum $name<$lt> {
            $(#[doc = concat!("[`", stringify!($variant), "`](super::", stringify!($variant), ")")] $variant($($message)*),)*
        }

        impl<$lt> $name<$lt> {
            /// Verifies the frame's body, then reads it.
            ///
            /// # Errors
            /// A frame of the other direction, an invalid body, a field outside its range.
            #[inline]
            pub fn decode(frame: crate::frame::Frame<$lt>) -> Result<Self, crate::fault::Fault> {
                match frame.kind {
                    $(crate::frame::FrameType::$variant => Ok(Self::$variant(<$($message)*>::from_body(frame.body)?)),)*
                    kind => Err(crate::fault::Fault::UnexpectedFrame { kind }),
                }
            }

            /// The type of the frame it came in or goes out as.
            pub const fn kind(&self) -> crate::frame::FrameType {
                match self {
                    $(Self::$variant(_) => crate::frame::FrameType::$variant,)*
                }
            }

            /// Appends the whole frame to `out`.
            pub fn encode(&self, encoder: &mut crate::message::Encoder, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant(message) => message.encode(encoder, out),)*
                }
            }
        }
    };
}
pub(crate) use direction;
