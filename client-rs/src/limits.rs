//! Every bound of the client, with its reason.
//!
//! The constants are the defaults of [`Limits`], which a [`Config`](crate::core::Config) carries so that the
//! simulation can shrink them: queues of two find the faults that queues of a thousand hide. What happens when a
//! bound is reached is said at each field; nothing is ever dropped without the caller or the reader being told.

use std::time::Duration;

/// Publishes of one conversation that may wait for their acknowledgement. A person never has a thousand; a program
/// that does is faster than its server and must be told.
pub const OUTBOX_ENTRIES_MAX: usize = 1024;
/// Body bytes that may wait in one conversation's outbox.
pub const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// Body bytes that may wait in all outboxes of one client.
pub const OUTBOX_TOTAL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Publishes of one conversation in flight. The server remembers the sequences of a device's last 64 publishes, so
/// that a resent one gets its sequence in the acknowledgement; more in flight could lose it.
pub const FLIGHT_MAX: usize = 64;
/// Live messages of one conversation held back while an older one is fetched. Beyond it they are let go and
/// fetched later: a page brings as many at once.
pub const HELD_MESSAGES_MAX: usize = 256;
/// Body bytes of one conversation held back. The same fate beyond it.
pub const HELD_BYTES_MAX: usize = 1024 * 1024;
/// Requests (join, leave, fetch, members …) that wait for their answer.
pub const REQUESTS_MAX: usize = 256;
/// Conversations that fetch what they missed at the same time. After a reconnect of a client in a thousand
/// conversations this is what keeps it from flooding the server, and live messages from waiting behind pages.
pub const FILLS_MAX: usize = 4;
/// Conversations one client may have joined: as many as one `Hello` can resume.
pub const CONVERSATIONS_MAX: usize = ringwire_protocol::limits::CURSORS_MAX;
/// Messages asked for in one page while closing a hole.
pub const FILL_PAGE_MESSAGES_MAX: u16 = 256;
/// Bytes after which no further frame joins a WebSocket message. One frame may be larger by itself.
pub const BATCH_BYTES_MAX: usize = 16 * 1024;
/// Bytes of publishes sent before `Welcome`: what a path takes at once from somebody it does not know yet. What is beyond
/// waits one round trip.
pub const EARLY_BYTES_MAX: usize = 8 * 1024;
/// The largest frame taken from a server, whatever it said that it takes itself.
pub const FRAME_BYTES_TAKEN: usize = 1024 * 1024;
/// The largest WebSocket message taken: what a server joins for one client that was slow for a moment.
pub const MESSAGE_BYTES_TAKEN: usize = 4 * 1024 * 1024;
/// Bytes read from the socket at a time.
pub const RECEIVE_BYTES: usize = 32 * 1024;
/// Bytes made ready for the socket at a time. More would only wait in memory.
pub const OUTPUT_BYTES_MAX: usize = 128 * 1024;
/// Messages that wait in one `Conversation` for its reader, before it stops asking for more. What comes after is
/// fetched when the reader has caught up, so a slow reader costs this much memory and loses nothing.
pub const READER_MESSAGES_MAX: u32 = 256;
/// Conversations of the user that are remembered as the inbox lists them; further ones are told, and not remembered.
pub const INBOX_MAX: usize = 16 * 1024;
/// Names remembered per conversation, for showing who sent what.
pub const NAMES_MAX: usize = 4096;

/// First upper bound of the wait before a reconnect, and the least wait there is.
pub const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// The longest wait before a reconnect.
pub const BACKOFF_MAX: Duration = Duration::from_secs(20);
/// A connection that lived this long was no accident: the next wait starts from [`BACKOFF_MIN`] again.
pub const STABLE_AFTER: Duration = Duration::from_secs(30);
/// From wanting a connection to a finished transport handshake.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long QUIC may take before TLS over TCP is tried beside it (`ringwire://`): longer than a round trip around the
/// world, shorter than a person's patience.
pub const QUIC_HEAD_START: Duration = Duration::from_millis(300);
/// For how long QUIC goes without its head start after it did not get through.
pub const QUIC_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// How long the next address of a name waits for the one before it.
pub const QUIC_NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// How long a server may take to answer what was said before the handshake, on the strength of an earlier connection.
pub const QUIC_EARLY_TIMEOUT: Duration = Duration::from_millis(1500);
/// Streams that a server may open at a time, each with a page.
pub const QUIC_PAGES_MAX: u32 = 16;
/// Bytes that a server may send ahead on one stream: the largest frame taken.
pub const QUIC_STREAM_BYTES_MAX: u32 = FRAME_BYTES_TAKEN as u32;
/// Bytes that it may send ahead on all of them.
pub const QUIC_BYTES_MAX: u32 = MESSAGE_BYTES_TAKEN as u32;
/// Bytes of datagrams that wait to be taken, and to be sent. The oldest are let go beyond it.
pub const QUIC_DATAGRAM_BYTES_MAX: usize = 64 * 1024;
/// From `Hello` to `Welcome`.
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Times in a row that a peer may send what is not this protocol before the client takes it for something else.
pub const PEER_FAULTS_MAX: u32 = 3;
/// From a request to its answer, reconnects included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A publish in flight without any answer for so long means that the server is stuck although it still sends:
/// the connection is given up and everything is resent on the next one.
pub const PUBLISH_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The heartbeat assumed until `Welcome` tells the real one.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(25);
/// Bounds of a heartbeat that a server may ask for: below, it would be a flood; above, a dead server goes unnoticed.
pub const HEARTBEAT_MIN: Duration = Duration::from_millis(200);
/// See [`HEARTBEAT_MIN`].
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(300);
/// The least time between two tries of the same thing that the server refused, when it names no time itself.
pub const RETRY_MIN: Duration = Duration::from_millis(200);
/// The longest time the client waits because a server said "later".
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// The least time between two tries to get a conversation fed live again that the server has turned down to `Head`s.
pub const REOPEN_AFTER: Duration = Duration::from_secs(10);
/// How long the token provider may take.
pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(60);
/// A `Typing` that says the same again is sent after this much silence only.
pub const TYPING_REPEAT: Duration = Duration::from_secs(3);
/// Somebody types no more if nothing was heard of it for so long: the server repeats it every three.
pub const TYPING_EXPIRY: Duration = Duration::from_secs(5);
/// Members of one conversation that may be shown as typing at a time; further ones are not shown.
pub const TYPISTS_MAX: usize = 64;
/// The server is told what was delivered of a conversation at most this often: a receipt is for people.
pub const DELIVERED_EVERY: Duration = Duration::from_secs(1);
/// The longest wait that a `GoAway` may impose.
pub const GO_AWAY_WAIT_MAX: Duration = Duration::from_secs(600);
/// How long the client waits for its goodbye to be taken by the socket.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a `shutdown` waits for acknowledgements unless told otherwise.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The smallest piece of a file that is sent at a time, and the first: it is in memory, and is acknowledged as a whole.
pub const MEDIA_PIECE_BYTES_MIN: usize = 256 * 1024;
/// The largest piece; a fast connection gets there after five.
pub const MEDIA_PIECE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Tries in a row without any progress after which a transfer is given up; it can be resumed later.
pub const MEDIA_TRIES: u32 = 8;
/// Longest silence of a server in the middle of an answer about media.
pub const MEDIA_SILENCE_MAX: Duration = Duration::from_secs(90);

const _: () = assert!(MEDIA_PIECE_BYTES_MIN <= MEDIA_PIECE_BYTES_MAX);
const _: () = assert!(FLIGHT_MAX <= OUTBOX_ENTRIES_MAX, "what is in flight is in the outbox");
const _: () = assert!(OUTBOX_BYTES_MAX <= OUTBOX_TOTAL_BYTES_MAX, "one conversation fits into all of them");
const _: () = assert!(FILLS_MAX < REQUESTS_MAX, "closing holes must leave room for the caller's requests");
const _: () =
    assert!(FILL_PAGE_MESSAGES_MAX as usize <= HELD_MESSAGES_MAX, "a page replaces what could not be held");
const _: () = assert!(FILL_PAGE_MESSAGES_MAX <= ringwire_protocol::limits::PAGE_MESSAGES_MAX);
const _: () = assert!(FLIGHT_MAX as u64 <= ringwire_protocol::limits::DEDUPLICATION_WINDOW);
const _: () = assert!(FRAME_BYTES_TAKEN <= MESSAGE_BYTES_TAKEN);
const _: () = assert!(EARLY_BYTES_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX <= OUTPUT_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX <= ringwire_protocol::limits::FRAME_BYTES_MAX);
const _: () = assert!(BACKOFF_MIN.as_nanos() < BACKOFF_MAX.as_nanos());
const _: () = assert!(
    TYPING_REPEAT.as_nanos() < TYPING_EXPIRY.as_nanos(),
    "who types is not forgotten between two signs"
);
const _: () = assert!(HEARTBEAT_MIN.as_nanos() < HEARTBEAT_DEFAULT.as_nanos());
const _: () = assert!(HEARTBEAT_DEFAULT.as_nanos() < HEARTBEAT_MAX.as_nanos());

/// The bounds of one core. [`Limits::default`] is what programs use; tests shrink it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Publishes per conversation that wait for an acknowledgement; a further one is refused with
    /// [`Error::OutboxFull`](crate::Error::OutboxFull).
    pub outbox_entries_max: usize,
    /// Body bytes per conversation that wait; refused in the same way beyond it.
    pub outbox_bytes_max: usize,
    /// Body bytes in all outboxes; refused in the same way beyond it.
    pub outbox_total_bytes_max: usize,
    /// Publishes of one conversation in flight; the others wait in the outbox.
    pub flight_max: usize,
    /// Live messages held back per conversation; let go and fetched later beyond it.
    pub held_messages_max: usize,
    /// Body bytes held back per conversation; let go and fetched later beyond it.
    pub held_bytes_max: usize,
    /// Requests that wait for an answer; refused with [`Error::TooMany`](crate::Error::TooMany) beyond it.
    pub requests_max: usize,
    /// Conversations closing a hole at the same time; the others wait for their turn.
    pub fills_max: usize,
    /// Conversations joined; refused with [`Error::TooMany`](crate::Error::TooMany) beyond it.
    pub conversations_max: usize,
    /// Messages per page while closing a hole.
    pub fill_page_messages_max: u16,
    /// Bytes after which no further frame joins a WebSocket message.
    pub batch_bytes_max: usize,
    /// Bytes of publishes sent before `Welcome`; the others wait for it.
    pub early_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            outbox_entries_max: OUTBOX_ENTRIES_MAX,
            outbox_bytes_max: OUTBOX_BYTES_MAX,
            outbox_total_bytes_max: OUTBOX_TOTAL_BYTES_MAX,
            flight_max: FLIGHT_MAX,
            held_messages_max: HELD_MESSAGES_MAX,
            held_bytes_max: HELD_BYTES_MAX,
            requests_max: REQUESTS_MAX,
            fills_max: FILLS_MAX,
            conversations_max: CONVERSATIONS_MAX,
            fill_page_messages_max: FILL_PAGE_MESSAGES_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            early_bytes_max: EARLY_BYTES_MAX,
        }
    }
}
