//! Bodies that the server itself writes: bare FlatBuffers roots inside `Message.body`.

use super::encoder::Encoder;
use super::value::{Action, ConversationKind, Role};
use super::verify;
use crate::fault::{Fault, InvalidBody};
use crate::generated as wire;
use crate::id::UserId;

/// The body of a message of [`super::Kind::Membership`]: who came, went, or may do what from this sequence
/// on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership<'a> {
    /// What happened.
    pub action: Action,
    /// To whom; who did it is the message's sender.
    pub user: UserId,
    /// The user's name at that time.
    pub name: &'a str,
    /// The role from now on.
    pub role: Role,
    /// The conversation's name, for [`Action::Created`]; else empty.
    pub conversation_name: &'a str,
    /// What the conversation is, for [`Action::Created`].
    pub kind: ConversationKind,
}

impl<'a> Membership<'a> {
    /// Appends the body to `out`, without a frame header.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let conversation_name = Some(encoder.builder.create_string(self.conversation_name));
        let name = Some(encoder.builder.create_string(self.name));
        let fixed = wire::MembershipFixed::new(&self.user.wire(), self.action.wire(), self.role.wire());
        let args =
            wire::MembershipArgs { fixed: Some(&fixed), name, conversation_name, kind: self.kind.wire() };
        let root = wire::Membership::create(&mut encoder.builder, &args);
        encoder.bare(root, out);
    }

    /// Verifies a body, then reads it.
    ///
    /// # Errors
    /// An invalid root, or an action or role that is newer than this library (W-8): show the message as
    /// unknown.
    pub fn decode(body: &'a [u8]) -> Result<Self, Fault> {
        let table = verify::bare_root::<wire::Membership<'_>>(body)
            .map_err(|why| Fault::InvalidMembership { why })?;
        let fixed = table.fixed();
        let unknown = Fault::InvalidMembership { why: InvalidBody::UnknownValue };
        Ok(Self {
            action: Action::from_number(fixed.action().0).ok_or(unknown)?,
            user: UserId::from_bytes(fixed.user().0),
            name: table.name(),
            role: Role::from_number(fixed.role().0).ok_or(unknown)?,
            conversation_name: table.conversation_name(),
            kind: ConversationKind::from_number(table.kind().0).ok_or(unknown)?,
        })
    }
}
