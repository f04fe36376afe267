//! What is durable about a conversation besides its messages: head, members with how far they are, and what each
//! device has published.
//!
//! It is nothing but the fold of the conversation's own entries and notes: the live owner, recovery and the
//! checkpoint all build it with [`State::apply`] and [`State::apply_note`], so they cannot disagree.

mod amended;
mod layout;
mod note;

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use ringwire_protocol::id::UserId;
use ringwire_protocol::message::{Action, ConversationKind, Kind, Membership, Message, Role};

use super::devices::Device;

pub use amended::{Amended, BUCKET_MESSAGES, TAG as AMENDED_TAG, bucket_key, bucket_of};
pub use layout::StateFault;
pub use note::{NOTE_MEMBER_BYTES, Standing, put_note, read_note};

/// A member, as others see it, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// What it may do.
    pub role: Role,
    /// The name shown to others, as of its last joining.
    pub name: Box<str>,
    /// Up to where it has read, on any device.
    pub read: u64,
    /// Up to where one of its devices has it; not less than `read`.
    pub delivered: u64,
    /// No wake-ups before that, milliseconds since 1970; 0: not muted, `u64::MAX`: for ever.
    pub muted_until_ms: u64,
}

/// The fold of a conversation's entries and notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The application's own name for it.
    pub name: Box<str>,
    /// What it is.
    pub kind: ConversationKind,
    /// Sequence of the last entry; 0 before the first.
    pub head: u64,
    /// When the last entry was accepted, milliseconds since 1970. No later entry says less, whatever the clock
    /// does.
    pub time_ms: u64,
    /// The last sequence that is not kept any more; 0: everything is.
    pub expired: u64,
    /// Sequences up to here may have been shown before they were synced; not less than what was shown.
    pub reserved: u64,
    /// In the order of their ids, which is the order of the paged list.
    pub members: BTreeMap<UserId, MemberState>,
    /// By user and hashed device.
    pub devices: HashMap<(UserId, u64), Device, RandomState>,
}

impl Default for State {
    fn default() -> Self {
        State {
            name: Box::default(),
            kind: ConversationKind::Group,
            head: 0,
            time_ms: 0,
            expired: 0,
            reserved: 0,
            members: BTreeMap::new(),
            devices: HashMap::default(),
        }
    }
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
                    self.kind = membership.kind;
                }
                let (role, name) = (membership.role, membership.name.into());
                match self.members.get_mut(&membership.user) {
                    Some(member) => (member.role, member.name) = (role, name),
                    None => {
                        let member = MemberState { role, name, read: 0, delivered: 0, muted_until_ms: 0 };
                        self.members.insert(membership.user, member);
                    }
                }
            }
        }
    }

    /// Applies what a note says about one member; nothing, if it has left meanwhile.
    pub fn apply_note(&mut self, user: UserId, standing: Standing) {
        if let Some(member) = self.members.get_mut(&user) {
            // Never back: notes of cursors may overtake each other in time, but what was shown stays true.
            member.read = member.read.max(standing.read);
            member.delivered = member.delivered.max(standing.delivered).max(member.read);
            member.muted_until_ms = standing.muted_until_ms;
        }
    }

    /// The first sequence that is kept, or will be given.
    pub fn first(&self) -> u64 {
        self.expired + 1
    }

    /// Messages that a member who has read up to there can still read.
    pub fn unread(&self, head: u64, read: u64) -> u64 {
        head.saturating_sub(read.max(self.expired))
    }

    /// How many members may do everything.
    pub fn owners(&self) -> usize {
        self.members.values().filter(|member| member.role == Role::Owner).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> State {
        let mut state =
            State { name: "lobby".into(), head: 300, time_ms: 7, reserved: 1024, ..State::default() };
        for (name, role) in [("ada", Role::Owner), ("bob", Role::Member), ("\u{fc}mit", Role::Reader)] {
            let (read, delivered, muted_until_ms) = match role {
                Role::Owner => (300, 300, 0),
                Role::Member => (17, 255, u64::MAX),
                _ => (0, 0, 1_800_000_000_000),
            };
            let member = MemberState { role, name: name.into(), read, delivered, muted_until_ms };
            state.members.insert(UserId::from_name(name), member);
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

    #[test]
    fn what_is_kept_no_more_is_in_a_layout_of_its_own() {
        let (mut bytes, mut expired) = (Vec::new(), sample());
        expired.expired = 290;
        expired.encode(&mut bytes);
        assert_eq!(bytes[0], 3);
        assert_eq!(State::decode(&bytes).expect("just encoded"), expired);
        assert!((0..bytes.len()).all(|length| State::decode(&bytes[..length]).is_err()));
        assert_eq!((expired.first(), expired.unread(300, 17), expired.unread(300, 295)), (291, 10, 5));
        bytes.clear();
        sample().encode(&mut bytes);
        assert_eq!(bytes[0], 2, "where everything is kept, an earlier release still reads it");
    }

    /// A state as the release before people wrote it, kept as it was.
    const VERSION_1: &str = include_str!("version-1.hex");

    #[test]
    fn a_state_of_the_layout_before_is_still_read() {
        let digits: Vec<u8> = VERSION_1.bytes().filter(u8::is_ascii_hexdigit).collect();
        let nibble = |digit: u8| (digit as char).to_digit(16).expect("hexadecimal") as u8;
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect();
        assert_eq!(bytes[0], 1, "the fixture is of layout 1");
        let mut expected = sample();
        for member in expected.members.values_mut() {
            // Layout 1 knew nothing of these.
            (member.read, member.delivered, member.muted_until_ms) = (0, 0, 0);
        }
        assert_eq!(State::decode(&bytes).expect("layout 1"), expected);
        for length in 0..bytes.len() {
            assert!(State::decode(&bytes[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn cursors_never_go_back_and_a_new_role_keeps_them() {
        let mut state = sample();
        let bob = UserId::from_name("bob");
        state.apply_note(bob, Standing { read: 9, delivered: 300, muted_until_ms: 0 });
        assert_eq!((state.members[&bob].read, state.members[&bob].delivered), (17, 300));
        let membership = Membership {
            action: Action::RoleChanged,
            user: bob,
            name: "bob",
            role: Role::Admin,
            conversation_name: "",
            kind: ConversationKind::Group,
        };
        state.apply_membership(&membership);
        assert_eq!((state.members[&bob].read, state.members[&bob].role), (17, Role::Admin));
        state.apply_membership(&Membership { action: Action::Removed, ..membership });
        state.apply_note(bob, Standing { read: 200, delivered: 300, muted_until_ms: 0 });
        assert!(!state.members.contains_key(&bob));
        state.apply_membership(&Membership { action: Action::Added, ..membership });
        assert_eq!(state.members[&bob].read, 0, "what was noted of somebody who is out is forgotten");
    }
}
