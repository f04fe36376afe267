//! The one table of error codes: WebSocket close code, QUIC application error and `Reject.code` alike.
//!
//! The range is the promise that even a client which does not know a number can keep (W-50): 3000 to 3499
//! says "again, later", 3500 to 3999 says "not again like this". `docs/wire.md` carries the same table,
//! checked by a test.

use core::fmt;

/// An error code. A newer server may send numbers this library does not know: they are kept, and judged by
/// their range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

/// Whose fault it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Whose {
    /// The side that is told the code did something wrong.
    Peer,
    /// The side that says the code cannot do its part.
    Server,
    /// Nobody's: a rule or an operator decided.
    Policy,
}

/// What is worth trying.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Retry {
    /// The same will fail again.
    Never,
    /// At once, resuming with cursors.
    Now,
    /// After the time that came with the code, or else after a backoff with jitter.
    Later,
    /// With a new token.
    Refresh,
    /// Resend what is not acknowledged, in order, from the oldest.
    Resend,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The number on the wire.
    pub code: Code,
    /// The name in logs, metrics and documents.
    pub name: &'static str,
    /// Whose fault it is.
    pub whose: Whose,
    /// What is worth trying.
    pub retry: Retry,
    /// What happened and what to do about it.
    pub text: &'static str,
}

macro_rules! codes {
    ($($number:literal $constant:ident $name:literal $whose:ident $retry:ident $text:literal;)*) => {
        impl Code {
            $(#[doc = $text] pub const $constant: Code = Code($number);)*
        }

        /// Every code, in the order of the numbers.
        pub const TABLE: &[Entry] = &[
            $(Entry { code: Code($number), name: $name, whose: Whose::$whose, retry: Retry::$retry, text: $text },)*
        ];
    };
}

codes! {
    // RFC 6455 §7.4.1: what the WebSocket layer itself says.
    1000 NORMAL "normal" Peer Never "The connection was closed because its work is done.";
    1001 GOING_AWAY_WS "going_away_ws" Peer Later "The page or process at the other end is going away.";
    1002 WEBSOCKET_PROTOCOL "websocket_protocol" Peer Never "The WebSocket framing is broken; mend the client or what sits between.";
    1003 WEBSOCKET_UNSUPPORTED "websocket_unsupported" Peer Never "This kind of WebSocket message is not accepted here.";
    1007 WEBSOCKET_INVALID_TEXT "websocket_invalid_text" Peer Never "A text message or a close reason is not UTF-8.";
    1009 WEBSOCKET_TOO_BIG "websocket_too_big" Peer Never "The WebSocket message is larger than the receiver takes; Welcome says how large.";
    1011 WEBSOCKET_INTERNAL "websocket_internal" Server Later "The other end met a condition it did not expect.";

    // The server or the path to it.
    3000 GOING_AWAY "going_away" Server Later "This server is being drained; connect again after the time given, to the address given if there is one.";
    3001 SHUTTING_DOWN "shutting_down" Server Later "This server stops; connect again.";
    3002 OVERLOADED "overloaded" Server Later "The server is busy; try again after the time given.";
    3003 INTERNAL "internal" Server Later "The server met a condition it did not expect; its log says which.";
    3004 STORAGE_FULL "storage_full" Server Later "The disk is full: nothing durable can be accepted until an operator makes room.";
    3005 STORAGE_FAILED "storage_failed" Server Later "Writing or syncing the journal failed: this server accepts nothing durable any more; connect to another.";
    3006 ENGINE_UNAVAILABLE "engine_unavailable" Server Later "The cluster's log cannot be reached or has no quorum.";
    3007 OWNER_MOVED "owner_moved" Server Now "Another node owns this conversation now; try again.";
    3008 HISTORY_UNAVAILABLE "history_unavailable" Server Later "These messages are kept, but cannot be read at the moment.";
    3009 KEYS_UNAVAILABLE "keys_unavailable" Server Later "The keys that tokens are checked with cannot be loaded at the moment.";

    // Pace and time.
    3100 RATE_LIMITED "rate_limited" Peer Later "Too much in too short a time; wait for the time given.";
    3101 TOO_MANY_CONNECTIONS "too_many_connections" Policy Later "This user or address has as many connections as it may have; close one.";
    3102 WINDOW_EXCEEDED "window_exceeded" Peer Resend "More publishes are unanswered than Welcome allows; wait for answers, then resend.";
    3103 SLOW_CONSUMER "slow_consumer" Peer Now "The connection did not keep up with what was sent to it; connect again and resume.";
    3104 IDLE_TIMEOUT "idle_timeout" Peer Now "Nothing came for longer than the heartbeat allows; connect again and resume.";
    3105 HANDSHAKE_TIMEOUT "handshake_timeout" Peer Later "The handshake or Hello did not come in time.";

    // Order.
    3200 SEQUENCE_GAP "sequence_gap" Peer Resend "A client sequence was skipped; resend from the oldest publish without an answer, in order.";

    // Tokens that a newer or older one mends.
    3300 TOKEN_EXPIRED "token_expired" Peer Refresh "The token has expired; get a new one.";
    3301 TOKEN_NOT_YET_VALID "token_not_yet_valid" Peer Later "The token is valid only from a later time; check the clocks.";

    // What the peer sent is not this protocol.
    3500 BAD_FRAME "bad_frame" Peer Never "A frame header breaks the rules, or a frame is cut; mend the client.";
    3501 FRAME_TOO_LARGE "frame_too_large" Peer Never "A frame is larger than Welcome allows.";
    3502 UNKNOWN_TYPE "unknown_type" Peer Never "A frame type is not known here and is not marked as one that may be skipped.";
    3503 INVALID_BODY "invalid_body" Peer Never "The body of a frame is not a valid FlatBuffers root of its type.";
    3504 UNSUPPORTED_VERSION "unsupported_version" Peer Never "No protocol version is spoken by both sides; update the older one.";
    3505 UNEXPECTED_FRAME "unexpected_frame" Peer Never "This frame has no place here: Hello comes first and once, and each type has one direction.";
    3506 BAD_VALUE "bad_value" Peer Never "A field has a value outside its range.";
    3507 TEXT_MESSAGE "text_message" Peer Never "Frames travel in binary WebSocket messages, not in text.";
    3508 TOO_MANY_CURSORS "too_many_cursors" Peer Never "Hello has more cursors than allowed; resume the rest with Open.";
    3509 TOKEN_TOO_LONG "token_too_long" Peer Never "The token is longer than allowed.";

    // Who the peer is.
    3550 TOKEN_INVALID "token_invalid" Peer Never "The token is malformed, not signed by a known key, or meant for somebody else.";
    3551 TOKEN_MISSING "token_missing" Peer Never "Hello has no token, and this server needs one.";
    3552 USER_CHANGED "user_changed" Peer Never "The new token belongs to another user; connect again for that one.";
    3553 ORIGIN_FORBIDDEN "origin_forbidden" Policy Never "Pages of this origin may not connect; the operator keeps the list.";
    3554 REPLACED "replaced" Policy Never "A newer session of the same device took this one's place.";
    3555 KICKED "kicked" Policy Never "An operator or the application closed this session.";
    3556 USER_BLOCKED "user_blocked" Policy Never "This user may not connect.";

    // What was asked for cannot be done; the connection stays.
    3600 NOT_A_MEMBER "not_a_member" Policy Never "The user is not a member of this conversation; join it first.";
    3601 FORBIDDEN "forbidden" Policy Never "The user's role does not allow this.";
    3602 NO_SUCH_CONVERSATION "no_such_conversation" Peer Never "There is no such conversation, or none that this user may know of.";
    3603 NO_SUCH_USER "no_such_user" Peer Never "There is no such user.";
    3604 CREATION_FORBIDDEN "creation_forbidden" Policy Never "Conversations are not created by joining on this server.";
    3605 CONVERSATION_CLOSED "conversation_closed" Policy Never "The conversation takes no more messages.";
    3606 LAST_OWNER "last_owner" Policy Never "The last owner cannot leave; make somebody else owner first.";
    3607 NAME_INVALID "name_invalid" Peer Never "A name is empty or has control characters.";
    3608 NAME_TOO_LONG "name_too_long" Peer Never "A name is longer than allowed.";
    3609 BODY_TOO_LARGE "body_too_large" Peer Never "The body is larger than Welcome allows; store it elsewhere and send a reference.";
    3610 BAD_REFERENCE "bad_reference" Peer Never "An edit, delete or reaction must refer to a sequence that exists and that it may change.";
    3611 KIND_FORBIDDEN "kind_forbidden" Peer Never "Only the server writes messages of this kind.";
    3612 DURABILITY_FORBIDDEN "durability_forbidden" Policy Never "This durability is not offered for this conversation.";
    3613 TOO_MANY_CONVERSATIONS "too_many_conversations" Policy Never "The user or the server has as many conversations as allowed.";
    3614 TOO_MANY_MEMBERS "too_many_members" Policy Never "The conversation has as many members as allowed.";
    3615 TOO_MANY_OPEN "too_many_open" Policy Never "As many conversations are open on this connection as allowed; close one.";
    3616 TOO_MANY_WATCHED "too_many_watched" Policy Never "More users are watched than allowed.";
    3617 NOT_ENABLED "not_enabled" Policy Never "This server does not offer that.";
    3618 CONVERSATION_EXISTS "conversation_exists" Peer Never "There is a conversation of that name; join it, or choose another name.";
    3619 CURSOR_BEYOND_HEAD "cursor_beyond_head" Peer Never "The conversation has no such sequence yet; a cursor names one that was received.";
    3620 PUSH_TOKEN_INVALID "push_token_invalid" Peer Never "The push registration cannot be used: its token, URL, application or keys are not what its provider takes.";
    3621 TOO_MANY_REGISTRATIONS "too_many_registrations" Policy Never "The user has as many devices registered for push as allowed; unregister one.";
    3622 DIRECT_FIXED "direct_fixed" Policy Never "A direct conversation is of its two users; its members cannot be changed.";
}

impl Code {
    /// The line of the table, if this library knows the number.
    pub fn entry(self) -> Option<&'static Entry> {
        TABLE.binary_search_by_key(&self, |entry| entry.code).ok().map(|index| &TABLE[index])
    }

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The name in logs, metrics and documents; `unknown` for a number that is not in the table.
    pub fn name(self) -> &'static str {
        self.entry().map_or("unknown", |entry| entry.name)
    }

    /// What happened and what to do about it.
    pub fn text(self) -> &'static str {
        self.entry()
            .map_or("The other side gave a reason that this version does not know.", |entry| entry.text)
    }

    /// Whose fault it is.
    pub fn whose(self) -> Whose {
        self.entry().map_or(Whose::Policy, |entry| entry.whose)
    }

    /// What is worth trying; for an unknown number, what its range promises.
    pub fn retry(self) -> Retry {
        match self.entry() {
            Some(entry) => entry.retry,
            None if self.reconnect() => Retry::Later,
            None => Retry::Never,
        }
    }

    /// Whether a client whose connection was closed with this code connects again by itself (W-50). Of the
    /// codes that WebSocket itself defines, those say yes that a proxy or a dying network also produces
    /// (1001, 1006, 1011 to 1014).
    pub const fn reconnect(self) -> bool {
        matches!(self.0, 1001 | 1006 | 1011..=1014 | 3000..=3499)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.name())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_names_are_unique() {
        assert!(TABLE.windows(2).all(|pair| pair[0].code < pair[1].code));
        let mut names: Vec<_> = TABLE.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn range_and_retry_never_contradict_each_other() {
        for entry in TABLE.iter().filter(|entry| entry.code.0 >= 3000) {
            assert!(entry.code.0 < 4000, "{entry:?}");
            assert_eq!(entry.retry == Retry::Never, !entry.code.reconnect(), "{entry:?}");
        }
    }

    #[test]
    fn unknown_codes_are_judged_by_their_range() {
        assert_eq!(Code(3499).retry(), Retry::Later);
        assert_eq!(Code(3999).retry(), Retry::Never);
        assert_eq!(Code(3999).name(), "unknown");
    }
}
