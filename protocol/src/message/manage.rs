//! What clients ask about conversations and their members. Names are left to the session, as in `Join`: what
//! [`crate::fault::check_name`] refuses is rejected, and the connection stays.

use super::encoder::Encoder;
use super::layout;
use super::value::{Action, Role};
use super::verify::{self, known};
use super::{List, MemberList};
use crate::fault::Fault;
use crate::frame::FrameType;
use crate::generated as wire;
use crate::id::{ConversationId, UserId};
use crate::limits;

/// A new conversation of that name; who creates it is its owner. Answered by `Joined`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Create<'a> {
    /// Comes back in the answer.
    pub request: u32,
    /// Its name; one that exists already is rejected with `conversation_exists`.
    pub name: &'a str,
    /// The other members, at most [`limits::CREATE_MEMBERS_MAX`].
    pub members: MemberList<'a>,
}

impl<'a> Create<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let members = Some(encoder.members(self.members));
        let name = Some(encoder.builder.create_string(self.name));
        let fixed = wire::CreateFixed::new(self.request);
        let args = wire::CreateArgs { fixed: Some(&fixed), name, members };
        let root = wire::Create::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::Create, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let kind = FrameType::Create;
        let table = verify::root::<wire::Create<'_>>(kind, body)?;
        let members = table.members();
        if members.len() > limits::CREATE_MEMBERS_MAX {
            return Err(Fault::TooManyMembers { count: members.len() });
        }
        // In the list an unknown role reads as the least one; from a client it is a fault.
        for member in members {
            let role = member.fixed().role().0;
            known(kind, "role", role, Role::from_number(role))?;
        }
        Ok(Self { request: table.fixed().request(), name: table.name(), members: List::wire(members) })
    }
}

/// The conversation of this user with that one, which is made if there is none yet. Answered by `Joined`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct<'a> {
    /// Comes back in the answer.
    pub request: u32,
    /// With whom.
    pub user: UserId,
    /// What this user calls the other one, for the list of members.
    pub name: &'a str,
}

impl<'a> Direct<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let name = Some(encoder.builder.create_string(self.name));
        let fixed = wire::DirectFixed::new(&self.user.wire(), self.request);
        let args = wire::DirectArgs { fixed: Some(&fixed), name };
        let root = wire::Direct::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::Direct, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::root::<wire::Direct<'_>>(FrameType::Direct, body)?;
        let fixed = table.fixed();
        Ok(Self { request: fixed.request(), user: UserId::from_bytes(fixed.user().0), name: table.name() })
    }
}

/// Add a member, remove one, or give one another role. Answered by `Done` with the sequence of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// Comes back in the answer.
    pub request: u32,
    /// Where.
    pub conversation: ConversationId,
    /// Whom.
    pub user: UserId,
    /// What to do: [`Action::Added`], [`Action::Removed`] or [`Action::RoleChanged`].
    pub action: Action,
    /// The role from then on; without meaning for [`Action::Removed`].
    pub role: Role,
    /// The user's name, for [`Action::Added`]; else empty.
    pub name: &'a str,
}

impl<'a> Change<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let name = Some(encoder.builder.create_string(self.name));
        let fixed = wire::ChangeFixed::new(
            &self.conversation.wire(),
            &self.user.wire(),
            self.request,
            self.action.wire(),
            self.role.wire(),
        );
        let args = wire::ChangeArgs { fixed: Some(&fixed), name };
        let root = wire::Change::create(&mut encoder.builder, &args);
        encoder.frame(FrameType::Change, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let kind = FrameType::Change;
        let table = verify::root::<wire::Change<'_>>(kind, body)?;
        let fixed = table.fixed();
        let (action, role) = (fixed.action().0, fixed.role().0);
        let askable =
            |action: &Action| matches!(action, Action::Added | Action::Removed | Action::RoleChanged);
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            user: UserId::from_bytes(fixed.user().0),
            action: known(kind, "action", action, Action::from_number(action).filter(askable))?,
            role: known(kind, "role", role, Role::from_number(role))?,
            name: table.name(),
        })
    }
}

/// No wake-ups from the conversation for this user until then. Answered by `Done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mute {
    /// Comes back in the answer.
    pub request: u32,
    /// Which.
    pub conversation: ConversationId,
    /// Milliseconds since 1970; 0: not muted any more, `u64::MAX`: for ever.
    pub until_ms: u64,
}

impl Mute {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::MuteFixed::new(&self.conversation.wire(), self.until_ms, self.request);
        layout::write(FrameType::Mute, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let fixed = verify::fixed::<wire::Mute<'_>, _>(FrameType::Mute, body, |table| table.fixed().0)?;
        let fixed = wire::MuteFixed(fixed);
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            until_ms: fixed.until_ms(),
        })
    }
}
