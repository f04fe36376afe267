//! What a client asks about conversations and their members: create, change, mute, and how far it is.

use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::fault::check_name;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Action, Change, ConversationKind, Create, Direct, Mute, ReceiptKind, Role};

use super::Sessions;
use crate::conversation::{direct_name, is_direct_name};
use crate::fanout::letter::{Founding, MemberChange, Request};
use crate::fanout::mesh::Mesh;

impl Sessions {
    pub(super) fn on_create(&mut self, id: ConnectionId, create: &Create<'_>, mesh: &mut Mesh) {
        let conversation = ConversationId::from_name(create.name);
        let request = create.request;
        let mut names = std::iter::once(create.name).chain(create.members.iter().map(|member| member.name));
        if let Some(fault) = names.find_map(|name| check_name(name).err()) {
            return self.refuse_request(id, request, conversation, fault.code(), &fault.to_string());
        }
        if is_direct_name(create.name) {
            let reason = "this name is kept for a direct conversation; ask for that";
            return self.refuse_request(id, request, conversation, Code::NAME_INVALID, reason);
        }
        let members =
            create.members.iter().map(|member| (member.user, member.role, member.name.into())).collect();
        self.found(id, request, ConversationKind::Group, create.name, members, mesh);
    }

    pub(super) fn on_direct(&mut self, id: ConnectionId, direct: &Direct<'_>, mesh: &mut Mesh) {
        let Some(author) = self.author_of(id) else { return };
        let (request, user) = (direct.request, direct.user);
        if user == author.user || user.is_zero() {
            let reason = "a direct conversation is with somebody else";
            return self.refuse_request(id, request, ConversationId::ZERO, Code::BAD_VALUE, reason);
        }
        let name = direct_name(author.user, user);
        if let Err(fault) = check_name(direct.name) {
            let conversation = ConversationId::from_name(&name);
            return self.refuse_request(id, request, conversation, fault.code(), &fault.to_string());
        }
        let other = (user, Role::Member, direct.name.into());
        self.found(id, request, ConversationKind::Direct, &name, vec![other], mesh);
    }

    fn found(
        &mut self,
        id: ConnectionId,
        request: u32,
        kind: ConversationKind,
        name: &str,
        members: Vec<(ringwire_protocol::id::UserId, Role, Box<str>)>,
        mesh: &mut Mesh,
    ) {
        let conversation = ConversationId::from_name(name);
        let Some(author) = self.author_of(id) else { return };
        let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) else { return };
        if session.identity.may_join(name) {
            let user = session.identity.name().into();
            let founding = Box::new(Founding { kind, name: name.into(), user, members });
            return self.attach(
                id,
                request,
                conversation,
                Request::Create { author, request, founding },
                mesh,
            );
        }
        if kind == ConversationKind::Direct {
            // The other one may have begun it.
            return self.on_open(id, request, conversation, mesh);
        }
        let reason = "the token does not allow to create a conversation of this name";
        self.refuse_request(id, request, conversation, Code::CREATION_FORBIDDEN, reason);
    }

    pub(super) fn on_change(&mut self, id: ConnectionId, change: &Change<'_>, mesh: &mut Mesh) {
        let Some(author) = self.author_of(id) else { return };
        let (request, conversation) = (change.request, change.conversation);
        if change.action == Action::Added
            && let Err(fault) = check_name(change.name)
        {
            return self.refuse_request(id, request, conversation, fault.code(), &fault.to_string());
        }
        if change.user.is_zero() {
            let reason = "the zero id is nobody's";
            return self.refuse_request(id, request, conversation, Code::NO_SUCH_USER, reason);
        }
        let change = Box::new(MemberChange {
            conversation,
            user: change.user,
            action: change.action,
            role: change.role,
            name: change.name.into(),
        });
        self.ask(id, conversation, request, Request::Change { author, request, change }, mesh);
    }

    pub(super) fn on_mute(&mut self, id: ConnectionId, mute: &Mute, mesh: &mut Mesh) {
        let Some(author) = self.author_of(id) else { return };
        let Mute { request, conversation, until_ms } = *mute;
        self.ask(id, conversation, request, Request::Mute { author, request, conversation, until_ms }, mesh);
    }

    pub(super) fn on_cursor(
        &mut self,
        id: ConnectionId,
        conversation: ConversationId,
        kind: ReceiptKind,
        sequence: u64,
        mesh: &mut Mesh,
    ) {
        let Some(author) = self.author_of(id) else { return };
        self.ask(id, conversation, 0, Request::Cursor { author, conversation, kind, sequence }, mesh);
    }
}
