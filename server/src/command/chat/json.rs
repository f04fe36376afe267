//! One event per line, for programs. The fields are documented in the help of the command and do not change their meaning;
//! new ones may be added.

use ringwire_client::{Error, Gap, Kind, Membership, Message, Party, Published, Session, State, UserId};
use serde_json::{Value, json};

use super::render::role;

pub(super) fn joined(session: &Session, membership: &Membership) -> Value {
    json!({
        "event": "joined",
        "room": membership.name,
        "conversation": membership.conversation.to_string(),
        "user": session.user.to_string(),
        "name": session.name,
        "role": role(membership.role),
        "head": membership.head,
        "first": membership.first,
        "members": membership.members_count,
    })
}

pub(super) fn message(message: &Message, name: Option<&str>, own: bool) -> Value {
    let mut value = json!({
        "event": "message",
        "sequence": message.sequence,
        "time_ms": message.time_ms,
        "sender": message.sender.to_string(),
        "name": name,
        "kind": kind(message.kind),
        "own": own,
        "reference": message.reference,
    });
    if let Some(membership) = message.membership() {
        value["action"] = format!("{:?}", membership.action).to_lowercase().into();
        value["member"] = membership.user.to_string().into();
        value["name"] = membership.name.into();
        value["role"] = role(membership.role).into();
    } else if let Some(text) = message.text() {
        value["text"] = text.into();
    } else {
        value["hex"] = hex(&message.body).into();
    }
    value
}

pub(super) fn ack(line: u64, published: Published) -> Value {
    json!({
        "event": "ack",
        "line": line,
        "sequence": published.sequence,
        "time_ms": published.time_ms,
        "durability": format!("{:?}", published.durability).to_lowercase(),
        "duplicate": published.duplicate,
    })
}

pub(super) fn gap(gap: Gap) -> Value {
    json!({ "event": "gap", "from": gap.from, "to": gap.to, "cause": gap.cause.to_string() })
}

pub(super) fn state(state: &State) -> Value {
    match state {
        State::Connecting { attempt } => {
            json!({ "event": "state", "state": "connecting", "attempt": attempt })
        }
        State::Connected(session) => json!({
            "event": "state",
            "state": "connected",
            "session": session.session,
            "user": session.user.to_string(),
            "name": session.name,
        }),
        State::Disconnected { error, retry_in } => json!({
            "event": "state",
            "state": "disconnected",
            "retry_in_ms": u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
            "text": error.to_string(),
        }),
        State::Failed(error) => json!({ "event": "state", "state": "failed", "text": error.to_string() }),
        State::Closed => json!({ "event": "state", "state": "closed" }),
    }
}

/// `line` is the line of the input that failed, if it was one.
pub(super) fn error(error: &Error, line: Option<u64>) -> Value {
    json!({
        "event": "error",
        "line": line,
        "code": error.code().map(|code| code.number()),
        "name": error.code().map(|code| code.name()),
        "fault": match error.fault() {
            Party::Caller => "caller",
            Party::Server => "server",
            Party::Network => "network",
            Party::Policy => "policy",
        },
        "retryable": error.is_retryable(),
        "text": error.to_string(),
    })
}

/// Whose message it is, as far as a name is known.
pub(super) fn is_own(message: &Message, user: UserId) -> bool {
    message.sender == user
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
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
