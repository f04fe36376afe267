//! Joining, attaching, leaving: who is a member and who receives. Who else changes members is in `roles`.
//!
//! Membership is durable: each change is an entry in the same order as the messages. Receiving is not: an
//! attached session is a count per shard here, and a place in a list there.

use std::collections::BTreeSet;

use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::{
    Action, ConversationKind, Done, Joined, Kind, Member, MemberPage, Membership, Role,
};

use super::amend::Waiting;
use super::awaiting::Awaiting;
use super::publish::Draft;
use super::{Conversation, Conversations, Refusal, Which};
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Answers, Author, Delivery, JoinNames, ShardIndex};
use crate::fanout::mesh::Mesh;
use crate::limits::{JOINED_MEMBERS_MAX, MEMBERS_PAGE_MAX};

/// Who is a member no more, and whether the session that asked knows it by the answer.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub user: UserId,
    pub is_told: bool,
}

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
        if !self.is_member(id, author.user)
            && let Err(refusal) = self.join(now, id, &author, names)
        {
            return self.reject(author.session, id, Which::Attach(request), &refusal, mesh);
        }
        self.on_attach(author, request, id, true, mesh);
    }

    /// Makes the author a member; the first one owns the conversation.
    fn join(
        &mut self,
        now: Now,
        id: ConversationId,
        author: &Author,
        names: &JoinNames,
    ) -> Result<(), Refusal> {
        let known = self.by_id.get(&id).map(|conversation| &conversation.state);
        if known.is_some_and(|state| state.kind == ConversationKind::Direct) {
            return Err(direct_fixed());
        }
        let members = known.map_or(0, |state| state.members.len());
        let exists = known.is_some();
        self.check_room(members, 1)?;
        self.check_writable()?;
        let membership = Membership {
            action: if exists { Action::Joined } else { Action::Created },
            user: author.user,
            name: &names.user,
            role: if members == 0 { Role::Owner } else { Role::Member },
            conversation_name: if exists { "" } else { &names.conversation },
            kind: ConversationKind::Group,
        };
        self.append_membership(now, id, author.user, &membership)
    }

    /// Whether so many can be added to the members that there are.
    pub(super) fn check_room(&self, members: usize, added: usize) -> Result<(), Refusal> {
        let members_max = self.limits.members_max;
        if members + added <= members_max {
            return Ok(());
        }
        let reason = format!("a conversation has at most {members_max} members; this one has {members}");
        Err(Refusal::new(Code::TOO_MANY_MEMBERS, reason))
    }

    pub(super) fn on_attach(
        &mut self,
        author: Author,
        request: u32,
        conversation: ConversationId,
        open: bool,
        mesh: &mut Mesh,
    ) {
        if let Some(queue) = self.lookups.queue(&(conversation, author.user, author.origin)) {
            return queue.push_back(Waiting::Attach { author, request, open });
        }
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

    pub(super) fn is_member(&self, conversation: ConversationId, user: UserId) -> bool {
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
        if self.by_id.get(&id).is_some_and(|conversation| conversation.is_joining(author.user)) {
            // It was put out and let in again while this waited: it is attached as what it is then.
            return self.await_sync(Awaiting::Attach { author, request, conversation: id, open });
        }
        let synced = self.log.synced();
        let Some((conversation, role, standing)) = self.by_id.get_mut(&id).and_then(|conversation| {
            let role = conversation.state.members.get(&author.user)?.role;
            let standing = conversation.standing(author.user, synced)?;
            Some((conversation, role, standing))
        }) else {
            return self.reject(author.session, id, Which::Attach(request), &Refusal::not_a_member(), mesh);
        };
        let device = conversation.state.devices.get_mut(&(author.user, author.origin));
        let client_sequence = device.map_or(0, |device| {
            device.admit(&author);
            device.last()
        });
        conversation.watch(author.session.shard);
        let members: Vec<Member<'_>> =
            conversation.state.members.iter().take(JOINED_MEMBERS_MAX).map(as_shown).collect();
        let joined = Joined {
            request,
            conversation: id,
            name: &conversation.state.name,
            role,
            head: conversation.visible,
            first: conversation.state.first(),
            client_sequence,
            members_count: u32::try_from(conversation.state.members.len()).unwrap_or(u32::MAX),
            members: members.as_slice().into(),
            kind: conversation.state.kind,
            read: standing.read,
            delivered: standing.delivered,
            muted_until_ms: standing.muted_until_ms,
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
        if let Err(refusal) = self.leave(now, id, &author) {
            return self.reject(author.session, id, Which::Request(request), &refusal, mesh);
        }
        let out = Some(Out { user: author.user, is_told: true });
        self.await_sync(Awaiting::Changed { author, request, conversation: id, out });
    }

    pub(super) fn leave(&mut self, now: Now, id: ConversationId, author: &Author) -> Result<(), Refusal> {
        let state = &self.by_id.get(&id).ok_or_else(Refusal::not_a_member)?.state;
        let member = state.members.get(&author.user).ok_or_else(Refusal::not_a_member)?;
        if state.kind == ConversationKind::Direct {
            return Err(direct_fixed());
        }
        if member.role == Role::Owner && state.members.len() > 1 && state.owners() == 1 {
            return Err(last_owner());
        }
        let name = member.name.clone();
        self.check_writable()?;
        let membership = Membership {
            action: Action::Left,
            user: author.user,
            name: &name,
            role: Role::Member,
            conversation_name: "",
            kind: ConversationKind::Group,
        };
        self.append_membership(now, id, author.user, &membership)
    }

    /// A change of members is durable: who is out receives nothing more, and who asked for it is told.
    pub(super) fn changed(
        &mut self,
        author: Author,
        request: u32,
        conversation: ConversationId,
        out: Option<Out>,
        mesh: &mut Mesh,
    ) {
        let Some(state) = self.by_id.get(&conversation) else { return };
        #[cfg(feature = "planted-bugs")]
        let out = out.filter(|_| !self.bugs.keeps_removed);
        if let Some(Out { user, is_told }) = out {
            let counting = state.counting.iter().flat_map(|counting| counting.edges());
            let watchers = state.watchers.iter().map(|(shard, _)| *shard);
            let shards: BTreeSet<ShardIndex> = watchers.chain(counting).collect();
            for shard in shards {
                let asked_by = is_told.then_some(author.session);
                mesh.deliver(shard, Delivery::Expelled { user, conversation, asked_by });
            }
        }
        let done = Done { request, conversation, sequence: state.visible };
        done.encode(&mut self.encoder, &mut self.scratch);
        self.reply(author.session, Answers::Other, mesh);
    }

    /// Appends a change of members. The caller has checked that it may be.
    pub(super) fn append_membership(
        &mut self,
        now: Now,
        id: ConversationId,
        sender: UserId,
        membership: &Membership<'_>,
    ) -> Result<(), Refusal> {
        let was_member = self.is_member(id, membership.user);
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
        if !self.is_member(id, membership.user) {
            self.forget_moved(id, membership.user);
        }
        let joined = !was_member && self.is_member(id, membership.user);
        let sequence = entry.sequence;
        self.await_sync(Awaiting::Entry { entry, session: None });
        if joined {
            if let Some(conversation) = self.by_id.get_mut(&id) {
                conversation.joining.push((sequence, membership.user));
            }
            self.begin_reading(now, id, membership.user, sequence);
        }
        let (user, is_member) = (membership.user, self.is_member(id, membership.user));
        self.await_sync(Awaiting::Member { user, conversation: id, is_member });
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
        let users = members.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
        let users: Vec<UserId> = users.take(limit).map(|(user, _)| *user).collect();
        self.tell_cursors(&author, id, &users, mesh);
        let Some(conversation) = self.by_id.get(&id) else { return };
        let members = &conversation.state.members;
        let after = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let mut rest = members.range(after);
        let page: Vec<Member<'_>> = rest.by_ref().take(limit).map(as_shown).collect();
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

fn as_shown<'a>((user, member): (&UserId, &'a super::MemberState)) -> Member<'a> {
    Member { user: *user, name: &member.name, role: member.role }
}

pub(super) fn direct_fixed() -> Refusal {
    Refusal::new(Code::DIRECT_FIXED, "a direct conversation is of its two users for ever")
}

pub(super) fn last_owner() -> Refusal {
    Refusal::new(Code::LAST_OWNER, "make somebody else owner first: this is the last one")
}
