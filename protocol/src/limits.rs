//! Every bound of the wire, with its reason. What a server configures may be lower, never higher than a
//! ceiling here.

/// Largest frame a peer may send by default, header included: one message of everyday size, and a page of
/// small ones.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Largest frame that can be configured: a receiver's memory per connection is bounded by it.
pub const FRAME_BYTES_CEILING: usize = 16 * 1024 * 1024;

/// What is around a body in a Message frame (header, offsets, fixed fields, padding); checked against the
/// encoder.
pub const MESSAGE_OVERHEAD_BYTES_MAX: usize = 128;

/// What is around the messages in a Page frame, amendments or not; checked against the encoder, too.
pub const PAGE_OVERHEAD_BYTES_MAX: usize = 112;

/// Largest message body by default; larger content belongs in object storage, with a reference as the
/// message.
pub const BODY_BYTES_MAX: usize = 32 * 1024;

/// Longest name of a user or conversation, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 256;

/// Longest token: a JWT with a certificate chain's worth of claims.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Longest software name in Hello.
pub const AGENT_BYTES_MAX: usize = 128;

/// Longest text for people in Reject and GoAway.
pub const REASON_BYTES_MAX: usize = 512;

/// Longest address in GoAway.
pub const ADDRESS_BYTES_MAX: usize = 512;

/// Cursors in one Hello; a client with more conversations resumes the rest with Open.
pub const CURSORS_MAX: usize = 1024;

/// Users in one Watch.
pub const WATCHED_MAX: usize = 1024;

/// Messages a Fetch may ask for at once; the server may return fewer, because a Page is one frame.
pub const PAGE_MESSAGES_MAX: u16 = 256;

/// Members that Joined carries and that Members may ask for at once.
pub const PAGE_MEMBERS_MAX: u16 = 128;

/// Conversations in one Inbox frame.
pub const INBOX_ENTRIES_MAX: usize = 128;

/// Members in one Create, besides who creates; more are added one by one.
pub const CREATE_MEMBERS_MAX: usize = 128;

/// Longest token or URL of a push registration: endpoints of browsers have up to 1 KiB, FCM promises no
/// length.
pub const PUSH_TOKEN_BYTES_MAX: usize = 4096;

/// Longest name of the application in a push registration: an APNs topic, a Firebase project.
pub const PUSH_APP_BYTES_MAX: usize = 256;

/// Longest key and longest secret of a push registration: Web Push has 65 and 16 bytes.
pub const PUSH_KEY_BYTES_MAX: usize = 256;

/// Publishes a device may have without an answer, over all its conversations, unless Welcome says otherwise.
pub const PUBLISH_WINDOW: u16 = 64;

/// Accepted client sequences that the server remembers with their sequence, per device and conversation
/// (W-43).
pub const DEDUPLICATION_WINDOW: u64 = 64;

/// Longest head of a WebSocket handshake request or response: browsers send about 1 KiB, cookies included 4.
pub const HANDSHAKE_BYTES_MAX: usize = 8 * 1024;

/// Header lines of a handshake.
pub const HANDSHAKE_HEADERS_MAX: usize = 64;

/// A verified root may look at most this many times larger than its bytes; more means parts laid over each
/// other.
pub(crate) const APPARENT_SIZE_RATIO_MAX: usize = 4;

/// Tables within tables: a root, a list of tables, their strings.
pub(crate) const DEPTH_MAX: usize = 4;

/// Largest FlatBuffers element of a cursor list.
const CURSOR_BYTES: usize = 24;
/// Fixed fields, name and offsets of one member.
const MEMBER_BYTES_MAX: usize = 64 + NAME_BYTES_MAX;

const _: () = assert!(FRAME_BYTES_MAX <= FRAME_BYTES_CEILING);
const _: () = assert!(FRAME_BYTES_CEILING < 1 << 31, "FlatBuffers offsets are 31 bits");
const _: () =
    assert!(BODY_BYTES_MAX + MESSAGE_OVERHEAD_BYTES_MAX <= FRAME_BYTES_MAX, "a message fits its frame");
const _: () = assert!(
    BODY_BYTES_MAX + MESSAGE_OVERHEAD_BYTES_MAX + PAGE_OVERHEAD_BYTES_MAX <= FRAME_BYTES_MAX,
    "so does a page of one"
);
const _: () =
    assert!(TOKEN_BYTES_MAX + AGENT_BYTES_MAX + CURSORS_MAX * CURSOR_BYTES + 256 <= FRAME_BYTES_MAX);
const _: () = assert!(PAGE_MEMBERS_MAX as usize * MEMBER_BYTES_MAX + NAME_BYTES_MAX + 256 <= FRAME_BYTES_MAX);
const _: () = assert!(INBOX_ENTRIES_MAX * (MEMBER_BYTES_MAX + 80) + 256 <= FRAME_BYTES_MAX);
const _: () = assert!(CREATE_MEMBERS_MAX * MEMBER_BYTES_MAX + NAME_BYTES_MAX + 256 <= FRAME_BYTES_MAX);
const _: () =
    assert!(PUSH_TOKEN_BYTES_MAX + PUSH_APP_BYTES_MAX + 2 * PUSH_KEY_BYTES_MAX + 256 <= FRAME_BYTES_MAX);
const _: () = assert!(WATCHED_MAX * 16 + 256 <= FRAME_BYTES_MAX);
const _: () =
    assert!(PUBLISH_WINDOW as u64 <= DEDUPLICATION_WINDOW, "what can be in flight can be answered exactly");
