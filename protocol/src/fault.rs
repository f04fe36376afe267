//! Every fault of a peer, enumerated: what a decoder may say about bytes that came from outside.
//!
//! A fault ends the connection with [`Fault::code`] unless its text says otherwise; our own faults are panics
//! and never appear here. Faults of the HTTP handshake, which are answered by HTTP, are in `ws::handshake`.

use crate::code::Code;
use crate::frame::FrameType;
use crate::limits;

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A WebSocket message ends inside a frame (W-3).
    #[error("a frame is cut: {missing} bytes are missing at the end of the message; send whole frames")]
    CutFrame {
        /// Bytes that the header promised and that did not come, or that a header needs.
        missing: usize,
    },
    /// A stream ended inside a frame (W-3).
    #[error("the stream ended inside a frame")]
    CutStream,
    /// Header bits that must be zero are not (W-2).
    #[error(
        "a frame header has reserved bits set (flags {flags:#04x}, reserved {reserved:#06x}); send zeros"
    )]
    ReservedHeader {
        /// The flags byte.
        flags: u8,
        /// The reserved half-word.
        reserved: u16,
    },
    /// A frame is larger than this receiver takes (W-4).
    #[error("a frame of {bytes} bytes exceeds the limit of {bytes_max}; split it or send a reference")]
    FrameTooLarge {
        /// Header and body.
        bytes: u64,
        /// What Welcome said.
        bytes_max: usize,
    },
    /// A frame type that is not known and may not be skipped (W-5).
    #[error("frame type {kind:#04x} is unknown")]
    UnknownType {
        /// The type byte.
        kind: u8,
    },
    /// A frame of the other direction, or one that has no place in this state (W-20).
    #[error("a {kind:?} frame has no place here")]
    UnexpectedFrame {
        /// What came.
        kind: FrameType,
    },
    /// The body is not a valid FlatBuffers root of its type (W-6).
    #[error("the body of a {kind:?} frame is invalid: {why}")]
    InvalidBody {
        /// What came.
        kind: FrameType,
        /// What the verifier said.
        why: InvalidBody,
    },
    /// A Membership body is not a valid FlatBuffers root.
    #[error("the body of a membership message is invalid: {why}")]
    InvalidMembership {
        /// What the verifier said.
        why: InvalidBody,
    },
    /// A field is outside its range (W-7).
    #[error("{field} of a {kind:?} frame has the value {value}, which is outside its range")]
    BadValue {
        /// The frame.
        kind: FrameType,
        /// The field.
        field: &'static str,
        /// What it said.
        value: u64,
    },
    /// `version_min` to `version_max` of Hello is empty, or does not contain a version spoken here (W-21).
    #[error("protocol versions {min} to {max} are not spoken here; update the client or the server")]
    UnsupportedVersion {
        /// Lowest the peer speaks.
        min: u16,
        /// Highest the peer speaks.
        max: u16,
    },
    /// The token is too long.
    #[error("a token of {bytes} bytes exceeds {}", limits::TOKEN_BYTES_MAX)]
    TokenTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Another text is too long.
    #[error("{field} of a {kind:?} frame has {bytes} bytes, more than {bytes_max}")]
    TextTooLong {
        /// The frame.
        kind: FrameType,
        /// The field.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Too many cursors in Hello.
    #[error("{count} cursors exceed {}; resume the rest with Open", limits::CURSORS_MAX)]
    TooManyCursors {
        /// How many came.
        count: usize,
    },
    /// Too many users in Watch.
    #[error("{count} watched users exceed {}", limits::WATCHED_MAX)]
    TooManyWatched {
        /// How many came.
        count: usize,
    },
    /// Too many members in Create.
    #[error("{count} members exceed {}; add the others one by one", limits::CREATE_MEMBERS_MAX)]
    TooManyMembers {
        /// How many came.
        count: usize,
    },
    /// A name is empty or has control characters. The request is rejected, the connection stays.
    #[error("a name is empty or has control characters")]
    NameInvalid,
    /// A name is too long. The request is rejected, the connection stays.
    #[error("a name of {bytes} bytes exceeds {}", limits::NAME_BYTES_MAX)]
    NameTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A text message came where frames travel in binary ones (W-61).
    #[error("a text message came; frames travel in binary messages")]
    TextMessage,
    /// The WebSocket framing is broken (RFC 6455).
    #[error("the WebSocket framing is broken: {0}")]
    WebSocket(WebSocketFault),
}

/// Why the verifier refused a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidBody {
    /// An offset or a length points outside.
    #[error("an offset or a length points outside the body")]
    OutOfBounds,
    /// A field that must be there is not.
    #[error("a required field is missing")]
    MissingField,
    /// A value is not aligned as its type demands.
    #[error("a value is not aligned")]
    Unaligned,
    /// A string is not UTF-8 or not terminated.
    #[error("a string is not UTF-8, or not terminated by a zero")]
    BadString,
    /// An enumeration has a number that is not known.
    #[error("an enumeration has an unknown value")]
    UnknownValue,
    /// Nesting or overlap beyond what any encoder makes.
    #[error("it is nested too deeply, or its parts overlap too much")]
    TooComplex,
}

/// How a WebSocket peer broke RFC 6455; sections are of that document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WebSocketFault {
    /// §5.2: reserved bits without an extension.
    #[error("reserved bits are set, but no extension was negotiated")]
    ReservedBits,
    /// §5.2: opcodes 3–7 and 11–15.
    #[error("opcode {opcode:#x} is reserved")]
    ReservedOpcode {
        /// The opcode.
        opcode: u8,
    },
    /// §5.1: a client masks, a server does not.
    #[error("a frame is masked the wrong way: clients mask, servers do not")]
    WrongMasking,
    /// §5.2: the shortest length encoding is mandatory, and the top bit of the long one is zero.
    #[error("a length is not encoded in the shortest way")]
    LengthEncoding,
    /// §5.5: control frames are not fragmented.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// §5.5: control frames carry at most 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// §5.4: a continuation without a beginning.
    #[error("a continuation frame came, but no message has begun")]
    UnexpectedContinuation,
    /// §5.4: a beginning inside a message.
    #[error("a new message began inside another one")]
    ExpectedContinuation,
    /// §8.1: text and close reasons are UTF-8.
    #[error("text is not UTF-8")]
    InvalidUtf8,
    /// §5.5.1: a close body is empty, or begins with two bytes.
    #[error("a close frame has one byte of body")]
    CloseLength,
    /// §7.4: codes that may not travel.
    #[error("close code {code} must not be sent")]
    CloseCode {
        /// The code.
        code: u16,
    },
    /// The message is larger than the receiver takes (close code 1009).
    #[error("a message exceeds {bytes_max} bytes")]
    MessageTooBig {
        /// The limit.
        bytes_max: usize,
    },
}

impl Fault {
    /// The code that the connection is closed with, or the request rejected.
    pub const fn code(&self) -> Code {
        match self {
            Self::CutFrame { .. } | Self::CutStream | Self::ReservedHeader { .. } => Code::BAD_FRAME,
            Self::FrameTooLarge { .. } => Code::FRAME_TOO_LARGE,
            Self::UnknownType { .. } => Code::UNKNOWN_TYPE,
            Self::UnexpectedFrame { .. } => Code::UNEXPECTED_FRAME,
            Self::InvalidBody { .. } | Self::InvalidMembership { .. } => Code::INVALID_BODY,
            Self::BadValue { .. } | Self::TextTooLong { .. } => Code::BAD_VALUE,
            Self::UnsupportedVersion { .. } => Code::UNSUPPORTED_VERSION,
            Self::TokenTooLong { .. } => Code::TOKEN_TOO_LONG,
            Self::TooManyCursors { .. } => Code::TOO_MANY_CURSORS,
            Self::TooManyWatched { .. } => Code::TOO_MANY_WATCHED,
            Self::TooManyMembers { .. } => Code::TOO_MANY_MEMBERS,
            Self::NameInvalid => Code::NAME_INVALID,
            Self::NameTooLong { .. } => Code::NAME_TOO_LONG,
            Self::TextMessage => Code::TEXT_MESSAGE,
            Self::WebSocket(fault) => fault.code(),
        }
    }
}

impl WebSocketFault {
    /// The close code of RFC 6455 §7.4.1.
    pub const fn code(&self) -> Code {
        match self {
            Self::InvalidUtf8 => Code::WEBSOCKET_INVALID_TEXT,
            Self::MessageTooBig { .. } => Code::WEBSOCKET_TOO_BIG,
            _ => Code::WEBSOCKET_PROTOCOL,
        }
    }
}

impl From<WebSocketFault> for Fault {
    fn from(fault: WebSocketFault) -> Self {
        Self::WebSocket(fault)
    }
}

/// Checks a user's or a conversation's name (W-11): not empty, at most [`limits::NAME_BYTES_MAX`] bytes, no
/// control characters. Used by servers on Join and by clients before they send it.
pub fn check_name(name: &str) -> Result<(), Fault> {
    if name.len() > limits::NAME_BYTES_MAX {
        return Err(Fault::NameTooLong { bytes: name.len() });
    }
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Fault::NameInvalid);
    }
    Ok(())
}
