//! One event per line, for programs. The fields are documented in the help of the command and do not change their meaning;
//! new ones may be added.

use std::fmt::Write as _;

use ringwire_client as client;
use ringwire_client::{
    ConversationKind, Error, Kind, Party, PresenceState, Published, ReceiptKind, Session, State, UserId,
};
use serde::Serialize;

use super::render::role;

/// A line of the output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    /// The connection stands differently.
    State(Connection<'a>),
    /// The room is entered.
    Joined {
        room: &'a str,
        conversation: String,
        user: String,
        name: &'a str,
        role: &'static str,
        head: u64,
        first: u64,
        members: u32,
    },
    /// The next message.
    Message(Message<'a>),
    /// All that was there before has been printed.
    CaughtUp { head: u64 },
    /// A member types, or has stopped.
    Typing { user: String, name: Option<&'a str>, active: bool },
    /// A member has read up to there, or a device of the member has it.
    Receipt { user: String, name: Option<&'a str>, kind: &'static str, sequence: u64, time_ms: u64 },
    /// How many members are there and how far they are.
    Counts { online: u32, sequence: u64, delivered: u32, read: u32 },
    /// A watched user came, went or changed.
    Presence { user: String, name: Option<&'a str>, state: &'static str, seen_ms: u64 },
    /// The user's rooms.
    Inbox {
        rooms: Vec<Room<'a>>,
        /// Those that the user is in no more.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        gone: Vec<String>,
        complete: bool,
    },
    /// The members, as the command of that line asked.
    Members { line: u64, members: Vec<Member<'a>> },
    /// The command of that line is carried out.
    Done { line: u64, text: &'a str },
    /// A line of the input is accepted.
    Ack { line: u64, sequence: u64, time_ms: u64, durability: String, duplicate: bool },
    /// Messages that the server does not have any more.
    Gap { from: u64, to: u64, cause: String },
    /// Something failed; `line` of the input, if it was one.
    Error {
        line: Option<u64>,
        code: Option<u16>,
        name: Option<&'static str>,
        fault: &'static str,
        retryable: bool,
        text: String,
    },
}

/// How the connection stands.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Connection<'a> {
    Connecting { attempt: u32 },
    Connected { session: u64, user: String, name: &'a str },
    Disconnected { retry_in_ms: u64, text: String },
    Failed { text: String },
    Closed,
}

/// A message; what does not apply is left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Message<'a> {
    sequence: u64,
    time_ms: u64,
    sender: String,
    name: Option<&'a str>,
    kind: &'static str,
    own: bool,
    reference: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The body, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

/// A room of the user.
#[derive(Debug, Serialize)]
pub(super) struct Room<'a> {
    conversation: String,
    name: &'a str,
    kind: &'static str,
    role: &'static str,
    head: u64,
    read: u64,
    delivered: u64,
    unread: u64,
    muted_until_ms: u64,
    time_ms: u64,
}

/// A member of a room.
#[derive(Debug, Serialize)]
pub(super) struct Member<'a> {
    user: String,
    name: &'a str,
    role: &'static str,
}

impl<'a> Event<'a> {
    pub(super) fn typing(user: UserId, name: Option<&'a str>, active: bool) -> Self {
        Self::Typing { user: user.to_string(), name, active }
    }

    pub(super) fn receipt(
        user: UserId,
        name: Option<&'a str>,
        kind: ReceiptKind,
        sequence: u64,
        time_ms: u64,
    ) -> Self {
        let kind = match kind {
            ReceiptKind::Read => "read",
            ReceiptKind::Delivered => "delivered",
        };
        Self::Receipt { user: user.to_string(), name, kind, sequence, time_ms }
    }

    pub(super) fn counts(counts: client::Counts) -> Self {
        let client::Counts { online, sequence, delivered, read } = counts;
        Self::Counts { online, sequence, delivered, read }
    }

    pub(super) fn presence(user: UserId, name: Option<&'a str>, state: PresenceState, seen_ms: u64) -> Self {
        let state = match state {
            PresenceState::Online => "online",
            PresenceState::Away => "away",
            PresenceState::Offline => "offline",
        };
        Self::Presence { user: user.to_string(), name, state, seen_ms }
    }

    pub(super) fn inbox(entries: &'a [client::InboxEntry], complete: bool) -> Self {
        let gone = |entry: &client::InboxEntry| entry.is_gone().then(|| entry.conversation.to_string());
        let room = |entry: &'a client::InboxEntry| Room {
            conversation: entry.conversation.to_string(),
            name: &entry.name,
            kind: match entry.kind {
                ConversationKind::Group => "group",
                ConversationKind::Direct => "direct",
            },
            role: role(entry.role),
            head: entry.head,
            read: entry.read,
            delivered: entry.delivered,
            unread: entry.unread,
            muted_until_ms: entry.muted_until_ms,
            time_ms: entry.time_ms,
        };
        Self::Inbox {
            rooms: entries.iter().filter(|entry| !entry.is_gone()).map(room).collect(),
            gone: entries.iter().filter_map(gone).collect(),
            complete,
        }
    }

    pub(super) fn members(line: u64, members: &'a [client::Member]) -> Self {
        let member = |member: &'a client::Member| Member {
            user: member.user.to_string(),
            name: &member.name,
            role: role(member.role),
        };
        Self::Members { line, members: members.iter().map(member).collect() }
    }

    pub(super) fn joined(session: &'a Session, membership: &'a client::Membership) -> Self {
        Self::Joined {
            room: &membership.name,
            conversation: membership.conversation.to_string(),
            user: session.user.to_string(),
            name: &session.name,
            role: role(membership.role),
            head: membership.head,
            first: membership.first,
            members: membership.members_count,
        }
    }

    pub(super) fn message(message: &'a client::Message, name: Option<&'a str>, own: bool) -> Self {
        let mut event = Message {
            sequence: message.sequence,
            time_ms: message.time_ms,
            sender: message.sender.to_string(),
            name,
            kind: kind(message.kind),
            own,
            reference: message.reference,
            ..Message::default()
        };
        if let Some(membership) = message.membership() {
            event.action = Some(format!("{:?}", membership.action).to_lowercase());
            event.member = Some(membership.user.to_string());
            event.name = Some(membership.name);
            event.role = Some(role(membership.role));
        } else if let Some(text) = message.text() {
            event.text = Some(text);
        } else {
            event.hex = Some(hex(&message.body));
        }
        Self::Message(event)
    }

    pub(super) fn ack(line: u64, published: Published) -> Self {
        let Published { sequence, time_ms, durability, duplicate } = published;
        let durability = format!("{durability:?}").to_lowercase();
        Self::Ack { line, sequence, time_ms, durability, duplicate }
    }

    pub(super) fn gap(gap: client::Gap) -> Self {
        Self::Gap { from: gap.from, to: gap.to, cause: gap.cause.to_string() }
    }

    pub(super) fn state(state: &'a State) -> Self {
        Self::State(match state {
            State::Connecting { attempt } => Connection::Connecting { attempt: *attempt },
            State::Connected(session) => Connection::Connected {
                session: session.session,
                user: session.user.to_string(),
                name: &session.name,
            },
            State::Disconnected { error, retry_in } => Connection::Disconnected {
                retry_in_ms: u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
                text: error.to_string(),
            },
            State::Failed(error) => Connection::Failed { text: error.to_string() },
            State::Closed => Connection::Closed,
        })
    }

    pub(super) fn error(error: &Error, line: Option<u64>) -> Self {
        Self::Error {
            line,
            code: error.code().map(|code| code.number()),
            name: error.code().map(|code| code.name()),
            fault: match error.fault() {
                Party::Caller => "caller",
                Party::Server => "server",
                Party::Network => "network",
                Party::Policy => "policy",
            },
            retryable: error.is_retryable(),
            text: error.to_string(),
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Media => "media",
        Kind::Edit => "edit",
        Kind::Delete => "delete",
        Kind::Reaction => "reaction",
        Kind::Membership => "membership",
        Kind::System => "system",
        Kind::Application => "application",
        Kind::Unknown => "unknown",
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use ringwire_client::{ConversationId, Gap, GapCause, Missing, Refusal, UserId};

    use super::*;

    #[track_caller]
    fn check(event: &Event<'_>, expected: &str) {
        assert_eq!(serde_json::to_string(event).unwrap(), expected);
    }

    #[test]
    fn events_are_written_as_the_help_says() {
        let user = UserId::from_name("ada");
        let mut message = client::Message {
            conversation: ConversationId::from_name("r"),
            sequence: 7,
            time_ms: 8,
            sender: user,
            origin: 1,
            client_sequence: 2,
            reference: 0,
            kind: Kind::Text,
            body: "a\n\"b\"".as_bytes().to_vec().into(),
        };
        let head = format!(r#"{{"event":"message","sequence":7,"time_ms":8,"sender":"{user}","name":"ada","#);
        check(
            &Event::message(&message, Some("ada"), true),
            &format!(r#"{head}"kind":"text","own":true,"reference":0,"text":"a\n\"b\""}}"#),
        );
        message.kind = Kind::Application;
        message.body = vec![0xFF, 0x00].into();
        check(
            &Event::message(&message, Some("ada"), false),
            &format!(r#"{head}"kind":"application","own":false,"reference":0,"hex":"ff00"}}"#),
        );
        let gap = Gap { from: 1, to: 2, cause: Missing::Server(GapCause::Expired) };
        check(
            &Event::gap(gap),
            r#"{"event":"gap","from":1,"to":2,"cause":"older than what the server keeps"}"#,
        );
        check(&Event::CaughtUp { head: 3 }, r#"{"event":"caught_up","head":3}"#);
        check(&Event::state(&State::Closed), r#"{"event":"state","state":"closed"}"#);
        check(
            &Event::state(&State::Connecting { attempt: 2 }),
            r#"{"event":"state","state":"connecting","attempt":2}"#,
        );
    }

    #[test]
    fn news_about_people_are_written_as_the_help_says() {
        let user = UserId::from_name("ada");
        check(
            &Event::typing(user, Some("ada"), true),
            &format!(r#"{{"event":"typing","user":"{user}","name":"ada","active":true}}"#),
        );
        check(
            &Event::receipt(user, None, ReceiptKind::Read, 7, 8),
            &format!(
                r#"{{"event":"receipt","user":"{user}","name":null,"kind":"read","sequence":7,"time_ms":8}}"#
            ),
        );
        check(
            &Event::presence(user, None, PresenceState::Away, 0),
            &format!(r#"{{"event":"presence","user":"{user}","name":null,"state":"away","seen_ms":0}}"#),
        );
        let counts = client::Counts { online: 1, sequence: 2, delivered: 3, read: 4 };
        let expected = r#"{"event":"counts","online":1,"sequence":2,"delivered":3,"read":4}"#;
        check(&Event::counts(counts), expected);
        let conversation = ConversationId::from_name("r");
        let entry = client::InboxEntry {
            conversation,
            name: "r".into(),
            head: 9,
            read: 1,
            delivered: 2,
            unread: 3,
            muted_until_ms: 4,
            time_ms: 5,
            role: client::Role::Admin,
            kind: ConversationKind::Direct,
        };
        let room = format!(
            r#"{{"conversation":"{conversation}","name":"r","kind":"direct","role":"admin","head":9,"read":1,"#
        );
        check(
            &Event::inbox(&[entry], true),
            &format!(
                r#"{{"event":"inbox","rooms":[{room}"delivered":2,"unread":3,"muted_until_ms":4,"time_ms":5}}],"complete":true}}"#
            ),
        );
        let member = client::Member { user, name: "ada".into(), role: client::Role::Owner };
        check(
            &Event::members(3, &[member]),
            &format!(
                r#"{{"event":"members","line":3,"members":[{{"user":"{user}","name":"ada","role":"owner"}}]}}"#
            ),
        );
        let done = r#"{"event":"done","line":4,"text":"bob is a member now"}"#;
        check(&Event::Done { line: 4, text: "bob is a member now" }, done);
    }

    #[test]
    fn errors_say_whose_fault_and_which_line() {
        let refusal =
            Refusal { code: client::Code::BODY_TOO_LARGE, reason: String::new(), retry_after: None };
        let text = serde_json::to_string(&Event::error(&Error::Rejected(refusal), Some(3))).unwrap();
        let begin = r#"{"event":"error","line":3,"code":3609,"name":"body_too_large","fault":"caller","retryable":false,"#;
        assert!(text.starts_with(begin), "{text}");
        let text = serde_json::to_string(&Event::error(&Error::NotJoined, None)).unwrap();
        assert!(text.contains(r#""line":null,"code":null"#), "{text}");
    }
}
