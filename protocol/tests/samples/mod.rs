//! One sample per message: fields all different and, where that is possible, none of them zero.
//!
//! The golden files were made from these: a sample does not change, a new message or field gets a new one.

use ringwire_protocol::message::*;
use ringwire_protocol::{Code, ConversationId, DeviceId, UserId};

fn conversation() -> ConversationId {
    ConversationId::from_bytes(*b"conversation-id.")
}

fn user(number: u8) -> UserId {
    let mut bytes = *b"user-id-........";
    bytes[15] = number;
    UserId::from_bytes(bytes)
}

/// Calls `check` with every message that clients send, fields all different and none of them zero.
pub fn client(mut check: impl FnMut(ClientFrame<'_>)) {
    let cursors = [
        Cursor { conversation: conversation(), sequence: 7 },
        Cursor { conversation: ConversationId::from_bytes([9; 16]), sequence: u64::MAX },
    ];
    let conversation = conversation();
    check(ClientFrame::Hello(Hello {
        version_min: 1,
        version_max: 3,
        device: DeviceId::from_bytes(*b"device-id-device"),
        capabilities: 0x8000_0000_0000_0005,
        token: "header.claims.signature",
        agent: "golden/1.0",
        cursors: Cursors::from(&cursors),
        attempt: 0,
    }));
    check(ClientFrame::Publish(Publish {
        conversation,
        client_sequence: 42,
        reference: 40,
        kind: Kind::Reaction,
        durability: Durability::Memory,
        body: "👍 and some more".as_bytes(),
    }));
    check(ClientFrame::Join(Join { request: 11, name: "Küche" }));
    check(ClientFrame::Leave(Leave { request: 12, conversation }));
    check(ClientFrame::Open(Open { request: 13, conversation, after: 99 }));
    check(ClientFrame::Close(Close { request: 14, conversation }));
    check(ClientFrame::Fetch(Fetch {
        request: 15,
        conversation,
        from: 1 << 40,
        limit: 50,
        direction: Direction::Backward,
        view: View::Raw,
    }));
    check(ClientFrame::Members(Members { request: 16, conversation, after: user(b'a'), limit: 100 }));
    check(ClientFrame::Read(Read { conversation, sequence: 88 }));
    check(ClientFrame::Typing(Typing { conversation, active: true }));
    let users = [user(b'a'), user(b'b'), user(b'c')];
    check(ClientFrame::Watch(Watch { request: 17, users: Users::from(&users) }));
    check(ClientFrame::Ping(Ping { token: 0x0123_4567_89AB_CDEF }));
    check(ClientFrame::Refresh(Refresh { token: "another.token.here" }));
    let members = members();
    check(ClientFrame::Create(Create { request: 18, name: "Küche", members: MemberList::from(&members) }));
    check(ClientFrame::Direct(Direct { request: 19, user: user(b'b'), name: "Bob 🦀" }));
    check(ClientFrame::Change(Change {
        request: 20,
        conversation,
        user: user(b'b'),
        action: Action::RoleChanged,
        role: Role::Admin,
        name: "Bob 🦀",
    }));
    check(ClientFrame::Mute(Mute { request: 21, conversation, until_ms: 1_780_000_000_127 }));
    check(ClientFrame::Register(Register {
        request: 22,
        provider: Provider::WebPush,
        token: "https://push.example/endpoint",
        app: "org.example.chat",
        key: &[4; 65],
        secret: &[5; 16],
    }));
    check(ClientFrame::Unregister(Unregister { request: 23 }));
    check(ClientFrame::Delivered(Delivered { conversation, sequence: 89 }));
    check(ClientFrame::WatchCounts(WatchCounts { request: 24, conversation, active: true }));
    check(ClientFrame::Settings(Settings { request: 25, share_last_seen: true, away: true }));
}

/// Two members.
fn members() -> [Member<'static>; 2] {
    [
        Member { user: user(b'a'), name: "Alice", role: Role::Owner },
        Member { user: user(b'b'), name: "Bob 🦀", role: Role::Reader },
    ]
}

/// Calls `check` with every message that servers send. Fields that came later have their defaults, as the
/// golden bytes from before them say; [`server_fields`] has the others.
pub fn server(mut check: impl FnMut(ServerFrame<'_>)) {
    let heads = [Head { conversation: conversation(), head: 1000 }];
    let members = members();
    let conversation = conversation();
    check(ServerFrame::Welcome(Welcome {
        version: 1,
        session: 0xFEDC_BA98_7654_3210,
        user: user(b'a'),
        name: "Alice",
        heartbeat_ms: 25_000,
        frame_bytes_max: 65_536,
        body_bytes_max: 32_768,
        publish_window: 64,
        server_time_ms: 1_780_000_000_123,
        heads: Heads::from(&heads),
    }));
    check(ServerFrame::Ack(Ack {
        conversation,
        client_sequence: 42,
        sequence: 1001,
        server_time_ms: 1_780_000_000_124,
        durability: Durability::Memory,
        duplicate: true,
    }));
    check(ServerFrame::Done(Done { request: 12, conversation, sequence: 1002 }));
    check(ServerFrame::Reject(Reject {
        request: 13,
        conversation,
        client_sequence: 43,
        code: Code::RATE_LIMITED,
        retry_after_ms: 1500,
        reason: "too fast",
    }));
    let message = Message {
        conversation,
        sequence: 1001,
        time_ms: 1_780_000_000_124,
        sender: user(b'a'),
        origin: 0x1122_3344_5566_7788,
        client_sequence: 42,
        reference: 40,
        kind: Kind::Reaction,
        body: "👍 and some more".as_bytes(),
    };
    check(ServerFrame::Message(message));
    check(ServerFrame::Joined(Joined {
        request: 11,
        conversation,
        name: "Küche",
        role: Role::Admin,
        head: 1001,
        first: 5,
        client_sequence: 42,
        members_count: 3,
        members: MemberList::from(&members),
        kind: ConversationKind::Group,
        read: 0,
        delivered: 0,
        muted_until_ms: 0,
    }));
    check(ServerFrame::MemberPage(MemberPage {
        request: 16,
        conversation,
        members: MemberList::from(&members),
        next: user(b'b'),
        complete: true,
    }));
    check(ServerFrame::Head(Head { conversation, head: 1003 }));
    let mut frames = Vec::new();
    message.encode(&mut Encoder::new(), &mut frames);
    Message { sequence: 1002, body: b"", ..message }.encode(&mut Encoder::new(), &mut frames);
    check(ServerFrame::Page(Page {
        request: 15,
        conversation,
        from: 1001,
        to: 1002,
        head: 1003,
        complete: true,
        frames: &frames,
        amendments: &[],
    }));
    let entries = [
        PresenceEntry { user: user(b'a'), state: PresenceState::Online, seen_ms: 0 },
        PresenceEntry { user: user(b'b'), state: PresenceState::Away, seen_ms: 1_780_000_000_000 },
    ];
    check(ServerFrame::Presence(Presence { entries: PresenceList::from(&entries), number: 0 }));
    check(ServerFrame::TypingNotice(TypingNotice { conversation, user: user(b'b'), active: true }));
    check(ServerFrame::Receipt(Receipt {
        conversation,
        user: user(b'b'),
        sequence: 1000,
        time_ms: 1_780_000_000_125,
        kind: ReceiptKind::Read,
    }));
    check(ServerFrame::Gap(Gap { conversation, from: 1, to: 4, cause: GapCause::Erased }));
    check(ServerFrame::GoAway(GoAway {
        code: Code::GOING_AWAY,
        not_before_ms: 500,
        jitter_ms: 10_000,
        reason: "upgrade",
        address: "wss://b.example/v1/ws",
    }));
    check(ServerFrame::Pong(Pong { token: 0x0123_4567_89AB_CDEF, server_time_ms: 1_780_000_000_126 }));
    let entries = [InboxEntry {
        conversation,
        head: 1003,
        read: 1000,
        delivered: 0,
        unread: 0,
        muted_until_ms: 0,
        time_ms: 1_780_000_000_124,
        role: Role::Member,
        kind: ConversationKind::Group,
        name: "Küche",
    }];
    check(ServerFrame::Inbox(Inbox { entries: InboxList::from(&entries), complete: true }));
    check(ServerFrame::Counts(Counts { conversation, online: 5, sequence: 1003, delivered: 4, read: 3 }));
}

/// Calls `check` with the name of a field that came after its message, and the message with it.
pub fn client_fields(mut check: impl FnMut(&str, ClientFrame<'_>)) {
    check(
        "view",
        ClientFrame::Fetch(Fetch {
            request: 15,
            conversation: conversation(),
            from: 1 << 40,
            limit: 50,
            direction: Direction::Backward,
            view: View::Current,
        }),
    );
    let cursors = [Cursor { conversation: conversation(), sequence: 7 }];
    check(
        "attempt",
        ClientFrame::Hello(Hello {
            version_min: 1,
            version_max: 1,
            device: DeviceId::from_bytes(*b"device-id-device"),
            capabilities: 1,
            token: "header.claims.signature",
            agent: "golden/1.1",
            cursors: Cursors::from(&cursors),
            attempt: 0x0102_0304_0000_0005,
        }),
    );
}

/// The same for what servers send.
pub fn server_fields(mut check: impl FnMut(&str, ServerFrame<'_>)) {
    let members = members();
    let conversation = conversation();
    check(
        "standing",
        ServerFrame::Joined(Joined {
            request: 11,
            conversation,
            name: "Alice and Bob",
            role: Role::Owner,
            head: 1001,
            first: 5,
            client_sequence: 42,
            members_count: 2,
            members: MemberList::from(&members),
            kind: ConversationKind::Direct,
            read: 999,
            delivered: 1000,
            muted_until_ms: u64::MAX,
        }),
    );
    let (mut frames, mut amendments) = (Vec::new(), Vec::new());
    let message = Message {
        conversation,
        sequence: 1001,
        time_ms: 1_780_000_000_124,
        sender: user(b'a'),
        origin: 0x1122_3344_5566_7788,
        client_sequence: 42,
        reference: 0,
        kind: Kind::Text,
        body: b"first words",
    };
    message.encode(&mut Encoder::new(), &mut frames);
    let edit = Message { sequence: 1003, reference: 1001, kind: Kind::Edit, body: b"better", ..message };
    edit.encode(&mut Encoder::new(), &mut amendments);
    check(
        "amendments",
        ServerFrame::Page(Page {
            request: 15,
            conversation,
            from: 1001,
            to: 1002,
            head: 1003,
            complete: false,
            frames: &frames,
            amendments: &amendments,
        }),
    );
    check(
        "kind",
        ServerFrame::Receipt(Receipt {
            conversation,
            user: user(b'b'),
            sequence: 1000,
            time_ms: 1_780_000_000_125,
            kind: ReceiptKind::Delivered,
        }),
    );
    let seen_ms = 1_780_000_000_126;
    let entries = [PresenceEntry { user: user(b'b'), state: PresenceState::Offline, seen_ms }];
    let presence = Presence { entries: PresenceList::from(&entries), number: 1 << 40 };
    check("number", ServerFrame::Presence(presence));
    let entries = [InboxEntry {
        conversation,
        head: 1003,
        read: 1000,
        delivered: 1002,
        unread: 2,
        muted_until_ms: 1_780_000_000_128,
        time_ms: 1_780_000_000_124,
        role: Role::Owner,
        kind: ConversationKind::Direct,
        name: "Alice and Bob",
    }];
    check("standing", ServerFrame::Inbox(Inbox { entries: InboxList::from(&entries), complete: true }));
}

/// The body of a message of kind Membership.
pub fn membership() -> Membership<'static> {
    Membership {
        action: Action::RoleChanged,
        user: user(b'a'),
        name: "Alice",
        role: Role::Owner,
        conversation_name: "Küche",
        kind: ConversationKind::Group,
    }
}

/// One that has the field which came later.
pub fn direct_membership() -> Membership<'static> {
    Membership {
        action: Action::Created,
        conversation_name: "Alice and Bob",
        kind: ConversationKind::Direct,
        ..membership()
    }
}
