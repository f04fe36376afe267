// Every bound of the client, with its reason. Durations are milliseconds. What happens at a bound is said where it is
// reached; nothing is ever dropped without the caller being told.

/** Publishes of one conversation without an acknowledgement. A person never has a thousand. */
export const OUTBOX_ENTRIES_MAX = 1024;
/** Body bytes that may wait in one conversation's outbox. */
export const OUTBOX_BYTES_MAX = 1024 * 1024;
/** Publishes of one conversation in flight: the server remembers the sequences of a device's last 64. */
export const FLIGHT_MAX = 64;
/** Live messages of one conversation held back while an older one is fetched; beyond it they are fetched later. */
export const HELD_MESSAGES_MAX = 256;
/** Body bytes of one conversation held back; the same fate. */
export const HELD_BYTES_MAX = 1024 * 1024;
/** Requests that wait for their answer; a further one is refused. */
export const REQUESTS_MAX = 256;
/** Conversations that fetch what they missed at the same time, so that live messages do not wait behind pages. */
export const FILLS_MAX = 4;
/** Conversations joined: as many as one Hello can resume. */
export const CONVERSATIONS_MAX = 1024;
/** Messages asked for in one page. */
export const PAGE_MESSAGES_MAX = 256;
/** Members asked for in one page. */
export const PAGE_MEMBERS_MAX = 128;
/** Users whose presence is watched. */
export const WATCHED_MAX = 1024;
/** Bytes of a name. */
export const NAME_BYTES_MAX = 256;
/** Bytes after which no further frame joins a WebSocket message. */
export const BATCH_BYTES_MAX = 16 * 1024;
/** Bytes that wait in the socket before the next message is made. More would only wait in memory. */
export const SOCKET_BYTES_MAX = 128 * 1024;
/** When to look again whether the socket has taken them. */
export const SOCKET_PAUSE = 25;
/** The largest frame taken from a server, whatever it said that it takes itself. */
export const FRAME_BYTES_TAKEN = 1024 * 1024;
/** The largest WebSocket message taken. */
export const MESSAGE_BYTES_TAKEN = 4 * 1024 * 1024;
/** What Welcome has not said yet. */
export const BODY_BYTES_DEFAULT = 32 * 1024;
export const WINDOW_DEFAULT = 64;

/** The least wait before a reconnect. */
export const BACKOFF_MIN = 500;
/** The longest. */
export const BACKOFF_MAX = 20_000;
/** A connection that lived this long was no accident: waits start short again. */
export const STABLE_AFTER = 30_000;
/** From wanting a connection to having one. */
export const CONNECT_TIMEOUT = 10_000;
/** From trying WebTransport to taking WebSocket instead, and how long it is not tried again then. */
export const WEB_TRANSPORT_PATIENCE = 1_000;
export const WEB_TRANSPORT_AVOIDED = 600_000;
/** From Hello to Welcome. */
export const GREETING_TIMEOUT = 10_000;
/** From a request to its answer, reconnects included. */
export const REQUEST_TIMEOUT = 15_000;
/** Publishes in flight without any answer for so long: the connection is given up. */
export const PUBLISH_ANSWER_TIMEOUT = 30_000;
/** How long a token may take to come. */
export const TOKEN_TIMEOUT = 60_000;
/** Bounds of what a server may ask for as heartbeat, and what is assumed when it says nothing. */
export const HEARTBEAT_MIN = 200;
export const HEARTBEAT_MAX = 300_000;
export const HEARTBEAT_DEFAULT = 25_000;
/** The least time between two tries of what was refused, and the longest that a server may impose. */
export const RETRY_MIN = 200;
export const RETRY_MAX = 60_000;
/** The longest wait that a GoAway may impose. */
export const GO_AWAY_WAIT_MAX = 600_000;
/** Between two tries to be fed live again by a server that sends heads only. */
export const REOPEN_AFTER = 10_000;
/** Somebody who types says so this often, and types no more when it was not heard for so long. */
export const TYPING_REPEAT = 3_000;
export const TYPING_EXPIRY = 5_000;
/** Members of one conversation shown as typing. */
export const TYPISTS_MAX = 64;
/** The server is told what was delivered at most this often. */
export const DELIVERED_EVERY = 1_000;
/** How often in a row a server may send what is not this protocol before it is taken for something else. */
export const PEER_FAULTS_MAX = 3;
