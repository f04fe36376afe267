//! The enumerations that stand in messages. On the wire each is one byte (W-7).

use crate::generated as wire;

/// A bit of `Hello.capabilities`: send `Inbox` after `Welcome`, and as it changes (W-22).
pub const CAPABILITY_INBOX: u64 = 1;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl $name {
            /// Every value, in the order of the numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The value of that number.
            #[inline]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            #[inline]
            pub(crate) const fn wire(self) -> wire::$name {
                wire::$name(self as u8)
            }
        }
    };
}

wire_enum! {
    /// What a message is.
    Kind {
        /// Text for people.
        Text = 0,
        /// A reference to media that is kept elsewhere.
        Media = 1,
        /// Replaces the content of the message referred to.
        Edit = 2,
        /// Takes back the message referred to.
        Delete = 3,
        /// A reaction to the message referred to.
        Reaction = 4,
        /// A change of members; written by the server, body is [`super::Membership`].
        Membership = 5,
        /// Written by the server or a backend.
        System = 6,
        /// Whatever the application defines.
        Application = 7,
        /// Never on the wire: what a reader makes of a kind that is newer than itself (W-8).
        Unknown = 255,
    }
}

impl Kind {
    /// Whether it may stand in a frame at all.
    pub const fn is_sendable(self) -> bool {
        !matches!(self, Self::Unknown)
    }

    /// Whether `reference` must name a sequence of the same conversation.
    pub const fn refers(self) -> bool {
        matches!(self, Self::Edit | Self::Delete | Self::Reaction)
    }
}

wire_enum! {
    /// How far a message gets before it is acknowledged and fanned out.
    Durability {
        /// On disk, after fdatasync.
        Synced = 0,
        /// In the memory of the owner.
        Memory = 1,
    }
}

wire_enum! {
    /// What a member may do; each role may do what the ones before it may.
    Role {
        /// Read.
        Reader = 0,
        /// Publish.
        Member = 1,
        /// Change members.
        Admin = 2,
        /// Everything.
        Owner = 3,
    }
}

wire_enum! {
    /// Which way a Fetch reads.
    Direction {
        /// From `from` to newer ones.
        Forward = 0,
        /// From `from` to older ones; a Page is in ascending order all the same.
        Backward = 1,
    }
}

wire_enum! {
    /// Which messages a Page has.
    View {
        /// Every entry, as it was written.
        Raw = 0,
        /// Without the content of what was deleted, and with what was said about the rest later.
        Current = 1,
    }
}

wire_enum! {
    /// What a conversation is.
    ConversationKind {
        /// Any number of members, under a name.
        Group = 0,
        /// The one of two users; its members cannot be changed.
        Direct = 1,
    }
}

wire_enum! {
    /// What happened to a membership.
    Action {
        /// The conversation was created, by its first owner.
        Created = 0,
        /// The user joined.
        Joined = 1,
        /// The user left.
        Left = 2,
        /// Somebody added the user.
        Added = 3,
        /// Somebody removed the user.
        Removed = 4,
        /// The user's role is another one.
        RoleChanged = 5,
    }
}

wire_enum! {
    /// Whether a user is there.
    PresenceState {
        /// No device is connected.
        Offline = 0,
        /// At least one device is connected.
        Online = 1,
        /// Connected, but not looking.
        Away = 2,
    }
}

wire_enum! {
    /// What a receipt says.
    ReceiptKind {
        /// The user has read it.
        Read = 0,
        /// A device of the user has it.
        Delivered = 1,
    }
}

wire_enum! {
    /// Who wakes a device.
    Provider {
        /// Apple Push Notification service.
        Apns = 0,
        /// Firebase Cloud Messaging.
        Fcm = 1,
        /// Web Push (RFC 8030), encrypted for the browser.
        WebPush = 2,
        /// A signed request to a server of the application.
        Webhook = 3,
    }
}

wire_enum! {
    /// Why sequences will not come.
    GapCause {
        /// Older than what is kept.
        Expired = 0,
        /// Removed by an operator or by law.
        Erased = 1,
        /// Damaged and not to be had from anywhere.
        Lost = 2,
        /// Kept, but not readable at the moment; ask again.
        Unavailable = 3,
    }
}
