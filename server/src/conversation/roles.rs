//! Who may do what to whom.
//!
//! | | reader | member | admin | owner |
//! |---|---|---|---|---|
//! | read, move its cursors, mute, leave | x | x | x | x |
//! | publish, react, edit its own | | x | x | x |
//! | add and remove who is below it, give roles up to its own to who is below it | | | x | x |
//! | the same to everybody, also to owners | | | | x |
//!
//! There is always an owner while there are members. In a direct conversation nobody changes anything.

use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Action, ConversationKind, Done, Membership, Role};

use super::awaiting::Awaiting;
use super::membership::{Out, direct_fixed, last_owner};
use super::{Conversations, MemberState, Refusal, State, Which};
use crate::clock::Now;
use crate::fanout::letter::{Answers, Author, MemberChange};
use crate::fanout::mesh::Mesh;

/// What a change comes to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It is as wished already: it was asked for twice.
    Nothing,
    /// This one is a member under that name and with that role from now on, or is not one.
    Entry(Box<str>, Role),
}

fn forbidden(reason: &str) -> Refusal {
    Refusal::new(Code::FORBIDDEN, reason)
}

/// Whether the member may change somebody of that role, and give that other one.
fn check_rank(actor: Role, target: Role, given: Role) -> Result<(), Refusal> {
    if actor < Role::Admin {
        return Err(forbidden("only admins and owners change members"));
    }
    if actor < Role::Owner && target >= actor {
        return Err(forbidden("only an owner changes somebody of the same or a higher role"));
    }
    if given > actor {
        return Err(forbidden("nobody gives a higher role than the own one"));
    }
    Ok(())
}

fn judge(state: &State, author: &Author, change: &MemberChange) -> Result<Outcome, Refusal> {
    let actor = state.members.get(&author.user).ok_or_else(Refusal::not_a_member)?.role;
    if state.kind == ConversationKind::Direct {
        return Err(direct_fixed());
    }
    let target = state.members.get(&change.user);
    let of_target = |target: Option<&MemberState>| target.map_or(Role::Reader, |target| target.role);
    let given = match change.action {
        Action::Removed => Role::Reader,
        _ => change.role,
    };
    check_rank(actor, of_target(target), given)?;
    match (change.action, target) {
        (Action::Added, None) => Ok(Outcome::Entry(change.name.clone(), change.role)),
        (Action::Added, Some(_)) | (Action::Removed, None) => Ok(Outcome::Nothing),
        (Action::Removed, Some(target)) => Ok(Outcome::Entry(target.name.clone(), target.role)),
        (_, None) => {
            Err(Refusal::new(Code::NO_SUCH_USER, "who is no member has no role; add the user first"))
        }
        (_, Some(target)) if target.role == change.role => Ok(Outcome::Nothing),
        (_, Some(target)) if target.role == Role::Owner && state.owners() == 1 => {
            debug_assert_eq!(author.user, change.user, "only owners change owners");
            Err(last_owner())
        }
        (_, Some(target)) => Ok(Outcome::Entry(target.name.clone(), change.role)),
    }
}

impl Conversations {
    pub(super) fn on_change(
        &mut self,
        now: Now,
        author: Author,
        request: u32,
        change: &MemberChange,
        mesh: &mut Mesh,
    ) {
        let id = change.conversation;
        match self.change(now, &author, change) {
            Err(refusal) => self.reject(author.session, id, Which::Request(request), &refusal, mesh),
            Ok(Outcome::Nothing) => {
                let done = Done { request, conversation: id, sequence: 0 };
                done.encode(&mut self.encoder, &mut self.scratch);
                self.reply(author.session, Answers::Other, mesh);
            }
            Ok(Outcome::Entry(..)) => {
                let removed = change.action == Action::Removed;
                // Also one who removes itself: to its client that is a change like any other.
                let out = removed.then_some(Out { user: change.user, is_told: false });
                self.await_sync(Awaiting::Changed { author, request, conversation: id, out });
            }
        }
    }

    fn change(&mut self, now: Now, author: &Author, change: &MemberChange) -> Result<Outcome, Refusal> {
        let id = change.conversation;
        if change.action == Action::Removed && change.user == author.user {
            self.leave(now, id, author)?;
            return Ok(Outcome::Entry(Box::default(), Role::Reader));
        }
        let state = &self.by_id.get(&id).ok_or_else(Refusal::not_a_member)?.state;
        let outcome = judge(state, author, change)?;
        if let Outcome::Entry(name, role) = &outcome {
            if change.action == Action::Added {
                self.check_room(state.members.len(), 1)?;
            }
            self.check_writable()?;
            let membership = Membership {
                action: change.action,
                user: change.user,
                name,
                role: *role,
                conversation_name: "",
                kind: ConversationKind::Group,
            };
            self.append_membership(now, id, author.user, &membership)?;
        }
        Ok(outcome)
    }

    pub(super) fn on_mute(
        &mut self,
        now: Now,
        author: Author,
        request: u32,
        conversation: ConversationId,
        until_ms: u64,
        mesh: &mut Mesh,
    ) {
        match self.mute(now, &author, conversation, until_ms) {
            Err(refusal) => {
                self.reject(author.session, conversation, Which::Request(request), &refusal, mesh);
            }
            Ok(()) => self.await_sync(Awaiting::Noted { author, request, conversation }),
        }
    }

    fn mute(&mut self, now: Now, author: &Author, id: ConversationId, until_ms: u64) -> Result<(), Refusal> {
        self.by_id.get(&id).ok_or_else(Refusal::not_a_member)?.check_reader(author.user)?;
        self.check_writable()?;
        self.note_standing(now, id, &[author.user], |standing| standing.muted_until_ms = until_ms)
    }
}

#[cfg(test)]
mod tests {
    use ringwire_driver::ConnectionId;
    use ringwire_protocol::id::UserId;

    use super::*;
    use crate::fanout::letter::SessionRef;

    fn state(kind: ConversationKind) -> State {
        let mut state = State { kind, ..State::default() };
        let roles = [
            ("owner", Role::Owner),
            ("admin", Role::Admin),
            ("other-admin", Role::Admin),
            ("member", Role::Member),
            ("reader", Role::Reader),
        ];
        for (name, role) in roles {
            let member = MemberState { role, name: name.into(), read: 0, delivered: 0, muted_until_ms: 0 };
            state.members.insert(UserId::from_name(name), member);
        }
        state
    }

    fn ask(state: &State, actor: &str, action: Action, target: &str, role: Role) -> Result<bool, Code> {
        let author = Author {
            user: UserId::from_name(actor),
            origin: 1,
            attempt: 0,
            session: SessionRef { number: 1, connection: ConnectionId { slot: 0, generation: 0 }, shard: 0 },
        };
        let change = MemberChange {
            conversation: ConversationId::from_name("lobby"),
            user: UserId::from_name(target),
            action,
            role,
            name: target.into(),
        };
        match judge(state, &author, &change) {
            Ok(outcome) => Ok(outcome != Outcome::Nothing),
            Err(refusal) => Err(refusal.code),
        }
    }

    #[test]
    fn nobody_changes_somebody_of_the_same_or_a_higher_role_but_owners() {
        use Action::{Added, Removed, RoleChanged};
        use Role::{Admin, Member, Owner, Reader};
        let state = state(ConversationKind::Group);
        let cases = [
            ("reader", Added, "new", Reader, Err(Code::FORBIDDEN)),
            ("member", Added, "new", Reader, Err(Code::FORBIDDEN)),
            ("member", Removed, "reader", Reader, Err(Code::FORBIDDEN)),
            ("stranger", Removed, "reader", Reader, Err(Code::NOT_A_MEMBER)),
            ("admin", Added, "new", Admin, Ok(true)),
            ("admin", Added, "new", Owner, Err(Code::FORBIDDEN)),
            ("admin", Added, "member", Member, Ok(false)),
            ("admin", Removed, "member", Reader, Ok(true)),
            ("admin", Removed, "other-admin", Reader, Err(Code::FORBIDDEN)),
            ("admin", Removed, "owner", Reader, Err(Code::FORBIDDEN)),
            ("admin", Removed, "new", Reader, Ok(false)),
            ("admin", RoleChanged, "member", Admin, Ok(true)),
            ("admin", RoleChanged, "member", Owner, Err(Code::FORBIDDEN)),
            ("admin", RoleChanged, "owner", Reader, Err(Code::FORBIDDEN)),
            ("admin", RoleChanged, "new", Member, Err(Code::NO_SUCH_USER)),
            ("owner", RoleChanged, "admin", Owner, Ok(true)),
            ("owner", RoleChanged, "admin", Admin, Ok(false)),
            ("owner", RoleChanged, "owner", Admin, Err(Code::LAST_OWNER)),
            ("owner", Removed, "admin", Reader, Ok(true)),
        ];
        for (actor, action, target, role, expected) in cases {
            assert_eq!(ask(&state, actor, action, target, role), expected, "{actor} {action:?} {target}");
        }
    }

    #[test]
    fn one_owner_of_two_may_step_down_and_a_direct_conversation_is_fixed() {
        let mut group = state(ConversationKind::Group);
        let admin = group.members.get_mut(&UserId::from_name("admin")).expect("a member");
        admin.role = Role::Owner;
        assert_eq!(ask(&group, "owner", Action::RoleChanged, "owner", Role::Member), Ok(true));
        assert_eq!(ask(&group, "owner", Action::Removed, "admin", Role::Reader), Ok(true));
        let direct = state(ConversationKind::Direct);
        for action in [Action::Added, Action::Removed, Action::RoleChanged] {
            let refused = ask(&direct, "owner", action, "member", Role::Reader);
            assert_eq!(refused, Err(Code::DIRECT_FIXED), "{action:?}");
        }
    }
}
