//! Joining, attaching, leaving: who is a member and who receives.
//!
//! Membership is durable: each change is an entry in the same order as the messages. Receiving is not: an
//! attached session is a count per shard here, and a place in a list there.

use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{
    Action, ConversationKind, Done, Joined, Kind, Member, MemberPage, Membership, Role,
};

use super::awaiting::Awaiting;
use super::publish::Draft;
use super::{Conversation, Conversations, Refusal, Which};
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Author, Delivery, JoinNames, ShardIndex};
use crate::fanout::mesh::Mesh;
use crate::limits::{JOINED_MEMBERS_MAX, MEMBERS_PAGE_MAX};

impl Conversation {
    fn watch(&mut self, shard: ShardIndex) {
        match self.watchers.iter_mut().find(|(other, _)| *other == shard) {
            Some((_, count)) => *count += 1,
            None => self.watchers.push((shard, 1)),
        }
    }

    fn unwatch(&mut self, shard: ShardIndex) {
        if let Some(at) = self.watchers.iter().position(|(other, _)| *other == shard) {
            self.watchers[at].1 -= 1;
            if self.watchers[at].1 == 0 {
                self.watchers.swap_remove(at);
            }
        }
    }
}

impl Conversations {
    pub(super) fn on_join(
        &mut self,
        now: Now,
        author: Author,
        request: u32,
        names: &JoinNames,
        mesh: &mut Mesh,
    ) {
        let id = ConversationId::from_name(&names.conversation);
        let members = self.by_id.get(&id).map(|conversation| &conversation.state.members);
        let is_member = members.is_some_and(|members| members.contains_key(&author.user));
        if !is_member {
            let full = members.is_some_and(|members| members.len() >= self.limits.members_max);
            let checked = if full {
                Err(Refusal::new(
                    Code::TOO_MANY_MEMBERS,
                    format!("the conversation has {} members, as many as allowed", self.limits.members_max),
                ))
            } else {
                self.check_writable()
            };
            if let Err(refusal) = checked {
                return self.reject(author.session, id, Which::Attach(request), &refusal, mesh);
            }
            let first = members.is_none_or(|members| members.is_empty());
            let membership = Membership {
                action: if members.is_none() { Action::Created } else { Action::Joined },
                user: author.user,
                name: &names.user,
                role: if first { Role::Owner } else { Role::Member },
                conversation_name: if members.is_none() { &names.conversation } else { "" },
                kind: ConversationKind::Group,
            };
            if let Err(refusal) = self.append_membership(now, id, author.user, &membership) {
                return self.reject(author.session, id, Which::Attach(request), &refusal, mesh);
            }
            if let Some(conversation) = self.by_id.get_mut(&id) {
                conversation.joining.push((conversation.state.head, author.user));
            }
        }
        self.on_attach(author, request, id, true, mesh);
    }

    pub(super) fn on_attach(
        &mut self,
        author: Author,
        request: u32,
        conversation: ConversationId,
        open: bool,
        mesh: &mut Mesh,
    ) {
        // Behind whatever is being written, so that what a join says of itself is durable.
        if self.log.is_synced() {
            self.attach(author, request, conversation, open, mesh);
        } else if let Err(refusal) = self.check_writable() {
            self.reject(author.session, conversation, Which::Attach(request), &refusal, mesh);
        } else if !self.is_member(conversation, author.user) {
            // Decided now: who joins while this waits must not be attached before the joining.
            self.await_sync(Awaiting::Stranger { author, request, conversation });
        } else {
            self.await_sync(Awaiting::Attach { author, request, conversation, open });
        }
    }

    fn is_member(&self, conversation: ConversationId, user: UserId) -> bool {
        self.by_id.get(&conversation).is_some_and(|known| known.state.members.contains_key(&user))
    }

    /// Attaches a session and says where the conversation stands; everything is synced up to here.
    pub(super) fn attach(
        &mut self,
        author: Author,
        request: u32,
        id: ConversationId,
        open: bool,
        mesh: &mut Mesh,
    ) {
        let Some((conversation, role)) = self.by_id.get_mut(&id).and_then(|conversation| {
            let role = conversation.state.members.get(&author.user)?.role;
            Some((conversation, role))
        }) else {
            return self.reject(author.session, id, Which::Attach(request), &Refusal::not_a_member(), mesh);
        };
        let device = conversation.state.devices.get_mut(&(author.user, author.origin));
        let client_sequence = device.map_or(0, |device| {
            device.admit(author.session.number);
            device.last()
        });
        conversation.watch(author.session.shard);
        let members: Vec<Member<'_>> =
            conversation.state.members.iter().take(JOINED_MEMBERS_MAX).map(member).collect();
        let joined = Joined {
            request,
            conversation: id,
            name: &conversation.state.name,
            role,
            head: conversation.visible,
            first: 1,
            client_sequence,
            members_count: u32::try_from(conversation.state.members.len()).unwrap_or(u32::MAX),
            members: members.as_slice().into(),
            kind: ConversationKind::Group,
            read: 0,
            delivered: 0,
            muted_until_ms: 0,
        };
        joined.encode(&mut self.encoder, &mut self.scratch);
        let frame = Encoded::new(&self.scratch);
        self.scratch.clear();
        let session = author.session;
        mesh.deliver(session.shard, Delivery::Attached { session, conversation: id, open, frame });
    }

    pub(super) fn on_detach(&mut self, shard: ShardIndex, conversation: ConversationId) {
        if let Some(conversation) = self.by_id.get_mut(&conversation) {
            conversation.unwatch(shard);
        }
    }

    pub(super) fn on_leave(
        &mut self,
        now: Now,
        author: Author,
        request: u32,
        id: ConversationId,
        mesh: &mut Mesh,
    ) {
        let checked = match self.by_id.get(&id).and_then(|c| c.state.members.get(&author.user)) {
            None => Err(Refusal::not_a_member()),
            Some(member) => self.check_writable().map(|()| member.name.clone()),
        };
        match checked {
            Err(refusal) => self.reject(author.session, id, Which::Request(request), &refusal, mesh),
            Ok(name) => {
                let membership = Membership {
                    action: Action::Left,
                    user: author.user,
                    name: &name,
                    role: Role::Member,
                    conversation_name: "",
                    kind: ConversationKind::Group,
                };
                if let Err(refusal) = self.append_membership(now, id, author.user, &membership) {
                    return self.reject(author.session, id, Which::Request(request), &refusal, mesh);
                }
                let user = author.user;
                self.await_sync(Awaiting::Left { author, request, conversation: id, user });
            }
        }
    }

    /// A member has left: its sessions receive nothing more.
    pub(super) fn expel(
        &mut self,
        author: Author,
        request: u32,
        conversation: ConversationId,
        user: UserId,
        mesh: &mut Mesh,
    ) {
        let Some(state) = self.by_id.get(&conversation) else { return };
        for (shard, _) in &state.watchers {
            let asked_by = author.session;
            mesh.deliver(*shard, Delivery::Expelled { user, conversation, asked_by });
        }
        let done = Done { request, conversation, sequence: state.visible };
        done.encode(&mut self.encoder, &mut self.scratch);
        self.reply(author.session, Answers::Other, mesh);
    }

    fn append_membership(
        &mut self,
        now: Now,
        id: ConversationId,
        sender: UserId,
        membership: &Membership<'_>,
    ) -> Result<(), Refusal> {
        let mut body = Vec::new();
        membership.encode(&mut self.encoder, &mut body);
        let draft = Draft {
            sender,
            origin: 0,
            client_sequence: 0,
            reference: 0,
            kind: Kind::Membership,
            body: &body,
        };
        let entry = self.append(now, id, &draft)?;
        self.await_sync(Awaiting::Entry { entry, session: None });
        Ok(())
    }

    pub(super) fn on_members(
        &mut self,
        author: Author,
        request: u32,
        id: ConversationId,
        after: UserId,
        limit: u16,
        mesh: &mut Mesh,
    ) {
        let conversation = self.by_id.get(&id).ok_or_else(Refusal::not_a_member);
        let readable = conversation
            .and_then(|conversation| conversation.check_reader(author.user).map(|()| conversation));
        let members = match readable {
            Ok(conversation) => &conversation.state.members,
            Err(refusal) => {
                return self.reject(author.session, id, Which::Request(request), &refusal, mesh);
            }
        };
        let limit = usize::from(limit).clamp(1, MEMBERS_PAGE_MAX);
        let after = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let mut rest = members.range(after);
        let page: Vec<Member<'_>> = rest.by_ref().take(limit).map(member).collect();
        let next = page.last().map_or(UserId::ZERO, |member| member.user);
        let page = MemberPage {
            request,
            conversation: id,
            members: page.as_slice().into(),
            next,
            complete: rest.next().is_none(),
        };
        page.encode(&mut self.encoder, &mut self.scratch);
        self.reply(author.session, Answers::Other, mesh);
    }
}

fn member<'a>((user, member): (&UserId, &'a super::MemberState)) -> Member<'a> {
    Member { user: *user, name: &member.name, role: member.role }
}
