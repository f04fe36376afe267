//! How conversations begin, other than by somebody who joins first: with members, or between two.

use std::collections::BTreeSet;

use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{Action, ConversationKind, Membership, Role};

use super::{Conversations, Refusal, Which};
use crate::clock::Now;
use crate::fanout::letter::{Author, Founding};
use crate::fanout::mesh::Mesh;

/// The name of the conversation of two users, whoever of them begins it.
pub fn direct_name(one: UserId, other: UserId) -> String {
    format!("{DIRECT}{}-{}", one.min(other), one.max(other))
}

const DIRECT: &str = "direct:";

/// Whether the name is one that [`direct_name`] makes. Such a conversation begins in no other way.
pub fn is_direct_name(name: &str) -> bool {
    let users = name.strip_prefix(DIRECT).and_then(|users| users.split_once('-'));
    users.is_some_and(|(one, other)| one.parse::<UserId>().is_ok() && other.parse::<UserId>().is_ok())
}

impl Conversations {
    pub(super) fn on_create(
        &mut self,
        now: Now,
        author: Author,
        request: u32,
        founding: &Founding,
        mesh: &mut Mesh,
    ) {
        let id = ConversationId::from_name(&founding.name);
        match self.found(now, id, &author, founding) {
            Ok(()) => self.on_attach(author, request, id, true, mesh),
            Err(refusal) => self.reject(author.session, id, Which::Attach(request), &refusal, mesh),
        }
    }

    /// Creates the conversation. Where its author has done so before and asks again, because it has not heard the
    /// answer or because not all of it could be written, what is missing is added.
    fn found(
        &mut self,
        now: Now,
        id: ConversationId,
        author: &Author,
        founding: &Founding,
    ) -> Result<(), Refusal> {
        let known = self.by_id.get(&id).map(|conversation| &conversation.state);
        let own_role = known.and_then(|state| state.members.get(&author.user)).map(|member| member.role);
        // The name of a direct conversation is made of its two users; so its author is one of them.
        if founding.kind == ConversationKind::Group && known.is_some() && own_role != Some(Role::Owner) {
            let reason = "there is a conversation of that name; join it, or choose another name";
            return Err(Refusal::new(Code::CONVERSATION_EXISTS, reason));
        }
        let is_member = |user: &UserId| known.is_some_and(|state| state.members.contains_key(user));
        // Of one who is named twice the first counts.
        let mut named = BTreeSet::from([author.user]);
        let missing: Vec<&(UserId, Role, Box<str>)> =
            founding.members.iter().filter(|(user, ..)| named.insert(*user) && !is_member(user)).collect();
        let (exists, enters) = (known.is_some(), own_role.is_none());
        if !enters && missing.is_empty() {
            return Ok(());
        }
        let added = missing.len() + usize::from(enters);
        self.check_room(known.map_or(0, |state| state.members.len()), added)?;
        self.check_writable()?;
        let first = Membership {
            action: if exists { Action::Joined } else { Action::Created },
            user: author.user,
            name: &founding.user,
            // In a direct conversation there is nothing to own.
            role: match founding.kind {
                ConversationKind::Group => Role::Owner,
                ConversationKind::Direct => Role::Member,
            },
            conversation_name: if exists { "" } else { &founding.name },
            kind: founding.kind,
        };
        if enters {
            self.append_membership(now, id, author.user, &first)?;
        }
        for (user, role, name) in missing {
            let membership = Membership {
                action: Action::Added,
                user: *user,
                name,
                role: *role,
                conversation_name: "",
                kind: founding.kind,
            };
            self.append_membership(now, id, author.user, &membership)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_name_whoever_asks() {
        let (ada, bob, eve) = (UserId::from_name("ada"), UserId::from_name("bob"), UserId::from_name("eve"));
        let name = direct_name(ada, bob);
        assert_eq!(name, direct_name(bob, ada));
        assert_ne!(name, direct_name(ada, eve));
        assert!(is_direct_name(&name));
        for other in
            ["direct:", "direct:me", "lobby", &name[1..], &name[..name.len() - 1], &format!("{name}0")]
        {
            assert!(!is_direct_name(other), "{other}");
        }
    }
}
