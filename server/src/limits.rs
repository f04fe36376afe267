//! Every bound of the server, with its reason and its relations to the others.
//!
//! A full queue has a written fate; it stands beside its number. What an operator may change is in
//! [`Limits`], whose defaults are these; what is structural is a constant only.

use ringwire_protocol::limits as wire;

/// Requests under way from one shard to another. Full: the request is rejected as `busy` and the client
/// sends it again, which is harmless because publishing is idempotent.
pub const REQUEST_RING: usize = 4096;

/// Deliveries under way from one shard to another. Full: they wait in the sender's backlog, and the sender
/// takes no further requests until it is empty.
pub const DELIVERY_RING: usize = 8192;

/// Deliveries that may wait for a full ring before the shard stops taking requests. One turn's requests
/// can add to it after the check, hence twice a ring.
pub const DELIVERY_BACKLOG: usize = 2 * REQUEST_RING;

/// Letters taken from one ring in one turn, so that no neighbour starves the sockets.
pub const LETTERS_PER_TURN: usize = 1024;

/// Bytes of a stalled connection that are kept in user memory; beyond it the connection is cut.
pub const OUTBOX_BYTES_MAX: usize = 256 * 1024;

/// Receive buffers that all connections of a shard share, at most: 1 MiB per shard. A quarter is in use at first,
/// and twice as many after each turn that ran out of them, which goes on in the next.
pub const RECEIVE_BUFFERS: u16 = 512;

/// Bytes of one receive buffer: a whole turn's frames of nearly every client.
pub const RECEIVE_BUFFER_BYTES: u32 = 2048;

/// Kernel send buffer of one connection. A stalled reader holds this much and no more; the kernel counts
/// its own overhead in, so about half of it is payload.
pub const SEND_BUFFER_BYTES: u32 = 512 * 1024;

/// Fetches of one session that are not answered yet. More: rejected as `busy`.
pub const FETCHES_PER_SESSION: u8 = 4;

/// Bytes of messages in one page. Four outstanding pages and a turn of live messages fit an outbox.
pub const PAGE_BYTES_MAX: usize = 32 * 1024;

/// Messages in one page, whatever is asked for.
pub const PAGE_MESSAGES_MAX: u16 = 256;

/// What is around the messages and amendments in a page, and before it of holes, bytes.
pub const PAGE_OVERHEAD_BYTES: usize = 512;

/// Bytes of that which is said before a page: of three holes, those that were given up before and after it was asked for,
/// and those that are lost.
pub const HOLES_BYTES: usize = 3 * 88;

/// Bytes of the body of a reaction: a few signs, perhaps encrypted. A page of what is current brings all
/// reactions to its messages. Longer: rejected.
pub const REACTION_BODY_BYTES_MAX: usize = 1024;

/// Edits and reactions to the 256 messages of one bucket. A page of what is current reads all of them. More:
/// rejected; deleting goes on.
pub const AMENDMENTS_PER_BUCKET_MAX: u64 = 16 * 1024;

/// Bytes of amendments in one read of their log.
pub const AMENDMENTS_READ_BYTES: usize = 256 * 1024;

/// Bytes of reactions that a page keeps while it waits for the rest of their log: a few hundred for each of its
/// messages. More: the oldest are let go.
pub const REACTION_BYTES_IN_MEMORY_MAX: usize = 1024 * 1024;

/// Pages that wait for their amendments at a time, per shard; each holds its messages and what counts of their
/// amendments. More: rejected as `busy`.
pub const GATHERINGS_MAX: usize = 64;

/// How often the moved cursors of a conversation are written, milliseconds; until then they are in memory, one
/// for each member at most.
pub const CURSOR_INTERVAL_MS: u64 = 1000;

/// Members in one note: 40 KiB. More are moved: further notes.
pub const NOTE_MEMBERS_MAX: usize = 1024;

/// Names of members sent with `Joined`; the rest is paged.
pub const JOINED_MEMBERS_MAX: usize = 64;

/// Members in one page of a member list.
pub const MEMBERS_PAGE_MAX: usize = 128;

/// Conversations one connection is attached to at a time. More: rejected.
pub const SUBSCRIPTIONS_PER_CONNECTION: usize = 1024;

/// Acknowledged publishes per device and conversation whose sequence is remembered, so that a repeated
/// publish is answered with it. A client has no more than this unacknowledged.
pub const PUBLISH_WINDOW: u16 = 64;

/// Bytes of an HTTP request head that a connection may take for its upgrade.
pub const HANDSHAKE_BYTES_MAX: usize = 8 * 1024;

/// Ciphertext of one TLS record that a connection keeps until it is whole (RFC 8446 §5.2). Longer: the connection is
/// closed. Until the handshake is over, [`HANDSHAKE_BYTES_MAX`] bounds it.
pub const TLS_RECORD_BYTES_MAX: usize = 16 * 1024 + 256 + 5;

/// Sealed payloads of one turn share pieces of memory of this size: one allocation for some hundred connections,
/// and small enough to stay in the cache until the kernel has copied it.
pub const TLS_ARENA_BYTES: usize = 64 * 1024;

/// QUIC sessions that may be resumed, of the whole process, some hundred bytes each. Full: the oldest are forgotten,
/// and who comes back with one makes a whole handshake.
pub const QUIC_SESSIONS_MAX: usize = 16 * 1024;

/// Entries whose acknowledgement waits for the disk, per shard. Full: publishes are rejected as `busy`.
pub const AWAITING_SYNC_MAX: usize = 64 * 1024;

/// Bytes of recent messages a shard keeps in memory for those who come back after a moment.
pub const TAIL_BYTES: usize = 32 * 1024 * 1024;

/// How long a session counts as there after it was last heard of, seconds; longer where heartbeats are rarer
/// than this allows.
pub const PRESENCE_TTL_S: u32 = 30;

/// A watcher is told of what has changed at most once per so many milliseconds, with the latest states.
pub const PRESENCE_INTERVAL_MS: u64 = 1000;

/// Presence of users in one frame; more is more frames.
pub const PRESENCE_ENTRIES_MAX: usize = 256;

/// Users whom one session was told of in datagrams that may have been lost; of more it is told on its stream. As many as
/// fit two datagrams.
pub const PRESENCE_UNSETTLED_MAX: usize = 64;

/// What was told in a datagram is told again on the stream after so long, milliseconds: not in the packet that may have
/// been lost, and sooner than a stream would have noticed it.
pub const PRESENCE_SETTLE_MS: u64 = 150;

/// One session is told again at most once in so long: where there is always something, this is how long a lost datagram
/// may leave a watcher wrong.
pub const PRESENCE_SETTLE_INTERVAL_MS: u64 = 4_000;

/// Watchers that a home tells in one turn. The others are told in the next: telling is no hurry, and a thousand
/// frames to one shard fill an eighth of a ring.
pub const PRESENCE_FRAMES_PER_TURN: usize = 1024;

/// Users watched by all connections of a shard together, 32 bytes each. More: rejected.
pub const WATCHES_MAX: usize = 2 * 1024 * 1024;

/// Lists of watched users that a session may send at once, and how often another, milliseconds. More: rejected
/// as too fast. Each may be a thousand users, who are looked up one by one.
pub const WATCH_BURST: u32 = 8;
/// See [`WATCH_BURST`].
pub const WATCH_INTERVAL_MS: u64 = 1000;

/// A home tells an owner how many members are there, and an owner tells the sessions that want to know, at most once
/// per so many milliseconds each.
pub const COUNTS_INTERVAL_MS: u64 = 1000;

/// Conversations whose counts one session is told, as many as a screen shows and more. More: rejected; so is one
/// that would make more than [`WATCHES_MAX`] of all watches together.
pub const COUNTS_PER_SESSION: usize = 64;

/// Times that a session may begin or end to watch counts at once (all of them, after it comes back), and how often
/// another, milliseconds. More: rejected as too fast. Each may make a home look at everybody who is there.
pub const COUNTS_BURST: u32 = COUNTS_PER_SESSION as u32;
/// See [`COUNTS_BURST`].
pub const COUNTS_WATCH_INTERVAL_MS: u64 = 250;

/// Conversations that an owner is asked about in one letter, for an inbox: more is more letters, so that no
/// turn is long because somebody has many.
pub const ENTRIES_PER_LETTER: usize = 512;

/// Users of whom a home tells in one turn, after a start, that they are away.
pub const ANNOUNCED_PER_TURN: usize = 64;

/// A message that is this old when somebody is found to be away, and that none of his devices has, still wakes
/// him, milliseconds: while a connection is dead and nobody knows it yet, what is sent there is lost.
pub const WAKE_LATE_MS: u64 = 2 * 1000 * PRESENCE_TTL_S as u64;

/// Conversations in which a session may be typing at once. More: the one that began first is forgotten.
pub const TYPING_PER_SESSION: usize = 8;

/// Signs of typing that a session may give in one conversation at once, and how often another, milliseconds. An
/// honest client gives one every 3 s, and one when it stops. More: dropped without a word.
pub const TYPING_BURST: u32 = 4;
/// See [`TYPING_BURST`].
pub const TYPING_INTERVAL_MS: u64 = 1000;

/// Signs of typing that a session may give in all its conversations together, as above.
pub const TYPING_SESSION_BURST: u32 = TYPING_BURST * TYPING_PER_SESSION as u32;
/// See [`TYPING_SESSION_BURST`].
pub const TYPING_SESSION_INTERVAL_MS: u64 = TYPING_INTERVAL_MS / TYPING_PER_SESSION as u64;

/// Signs of typing that may be dropped at once before the session is told that it is too fast, and how often
/// another, milliseconds; and how often it is told.
pub const TYPING_EXCESS_BURST: u32 = 32;
/// See [`TYPING_EXCESS_BURST`].
pub const TYPING_EXCESS_INTERVAL_MS: u64 = 500;
/// See [`TYPING_EXCESS_BURST`].
pub const TYPING_SCOLD_INTERVAL_MS: u64 = 5000;

/// Signs of typing that a conversation passes on that is too large to be pushed, milliseconds between two, and
/// how many at once: ten thousand members may type at once, and nobody can read that. More: dropped.
pub const TYPING_LARGE_INTERVAL_MS: u64 = 250;
/// See [`TYPING_LARGE_INTERVAL_MS`].
pub const TYPING_LARGE_BURST: u32 = 4;

/// How long a sign of typing lasts, milliseconds (W-56).
pub const TYPING_LASTS_MS: u64 = 5000;

/// Addresses whose handshakes are counted at a time, per shard and for TCP and UDP each: 64 KiB. Full: further addresses
/// are not counted, and let in; a flood from thousands of addresses is bounded by the bounds on handshakes below.
pub const GATE_SLOTS: usize = 4096;

/// How often it is logged that addresses were turned away, seconds.
pub const GATE_SAYS_INTERVAL_S: u64 = 10;

/// Connections in the clear that are turned away with an answer (429), at once, and how often another, milliseconds: each
/// is kept until its peer has read it. More: closed without a word.
pub const GATE_ANSWERS_BURST: u32 = 64;
/// See [`GATE_ANSWERS_BURST`].
pub const GATE_ANSWERS_INTERVAL_MS: u64 = 10;

/// QUIC connections in handshake, per shard, with addresses that are not proven. More: an address has to prove itself
/// first (Retry), which costs us nothing that lasts.
pub const QUIC_UNVALIDATED_MAX: usize = 128;

/// QUIC connections in handshake, per shard; each holds some tens of kilobytes. More: refused.
pub const QUIC_HANDSHAKES_MAX: usize = 2048;

/// Bytes sent to an address in handshake that is not proven, for each that came from there (RFC 9000 §8.1). More: they
/// wait for what comes next.
pub const QUIC_UNPROVEN_TIMES: u64 = 3;

/// Times that a connection may go on at another address at once, and how often another, milliseconds. Who is there is
/// found out by a datagram or two of full length, however short what came from there was. More: what comes from yet
/// another address is thrown away.
pub const QUIC_MOVES_BURST: u32 = 16;
/// See [`QUIC_MOVES_BURST`].
pub const QUIC_MOVES_INTERVAL_MS: u64 = 2000;

/// Bidirectional streams that a client may have: its own, and over WebTransport that of the request before it.
/// More: the connection is closed.
pub const QUIC_STREAMS_BIDI: u32 = 2;

/// Streams that a client may have in one direction: those three that HTTP/3 asks for. More: the connection is closed.
pub const QUIC_STREAMS_UNI: u32 = 3;

/// Streams that a browser may have over WebTransport, once it is known to be one: those of HTTP/3, those it opens so
/// that servers do not get used to having few (greasing), and its own.
pub const QUIC_WEB_STREAMS_UNI: u32 = 8;
/// See [`QUIC_WEB_STREAMS_UNI`].
pub const QUIC_WEB_STREAMS_BIDI: u32 = 4;

/// Bytes of the head of one of those streams, a request's fields among them. More: the connection is closed.
pub const QUIC_WEB_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of one stream, and of all streams of a connection, that a client may send before they were read; each turn reads
/// all that is in order, so this is what a hole may keep waiting. More: the client waits.
pub const QUIC_RECEIVE_BYTES: u32 = 64 * 1024;

/// Bytes written to a connection that its client has not acknowledged: what the kernel's send buffer is to TCP. More:
/// the rest waits in the outbox.
pub const QUIC_SEND_BYTES: u64 = 256 * 1024;

/// The same where as many have [`QUIC_SEND_BYTES`] as may, and for who needs no more.
pub const QUIC_SEND_LITTLE_BYTES: u64 = 16 * 1024;

/// Connections that may have [`QUIC_SEND_BYTES`] at a time, per shard: 128 MiB. More: they make do with little.
pub const QUIC_WIDE_MAX: usize = 512;

/// Bytes of datagrams that wait, in each direction. More: the oldest is thrown away.
pub const QUIC_DATAGRAMS_BYTES: usize = 8 * 1024;

/// How much longer than a session QUIC waits for a sign of life, milliseconds: the session is closed first, and says
/// why.
pub const QUIC_IDLE_MARGIN_MS: u32 = 15_000;

/// Answers to fetches of one client that are on their way at a time. More: they wait, and count as what the client
/// has not taken.
pub const QUIC_PAGES_UNDER_WAY: usize = 4;

/// Times that one connection may fill a batch of datagrams in one turn. More: it goes on in the next.
pub const QUIC_TRANSMITS_PER_TURN: usize = 8;

/// Sends of datagrams in one turn, about. More: the others go on in the next, so that receivers have work while the
/// rest is sealed, and acknowledgements are read in between.
pub const QUIC_SENDS_PER_TURN: usize = 64;

const _: () = assert!(QUIC_UNVALIDATED_MAX < QUIC_HANDSHAKES_MAX, "who proves himself is let in");
const _: () =
    assert!(QUIC_PAGES_UNDER_WAY * PAGE_BYTES_MAX <= QUIC_SEND_BYTES as usize / 2, "room for what is live");
const _: () = assert!(PRESENCE_UNSETTLED_MAX <= PRESENCE_ENTRIES_MAX, "they are settled by one frame");
const _: () = assert!(PRESENCE_SETTLE_MS < PRESENCE_SETTLE_INTERVAL_MS);
const _: () = assert!(PRESENCE_ENTRIES_MAX * 32 + 64 <= 10_000, "fits the smallest frame of the simulation");
const _: () = assert!(FETCHES_PER_SESSION as usize * PAGE_BYTES_MAX <= OUTBOX_BYTES_MAX / 2);
const _: () = assert!(PAGE_BYTES_MAX + 1024 <= wire::FRAME_BYTES_MAX);
const _: () =
    assert!(PAGE_OVERHEAD_BYTES >= 2 * wire::PAGE_OVERHEAD_BYTES_MAX + HOLES_BYTES, "two lists in a page");
const _: () = assert!(REACTION_BODY_BYTES_MAX < PAGE_BYTES_MAX, "a page holds a reaction");
const _: () = assert!(DELIVERY_BACKLOG >= REQUEST_RING);
const _: () = assert!(JOINED_MEMBERS_MAX * (wire::NAME_BYTES_MAX + 64) < wire::FRAME_BYTES_MAX);
const _: () = assert!(MEMBERS_PAGE_MAX * (wire::NAME_BYTES_MAX + 64) < wire::FRAME_BYTES_MAX);

/// Conversations with fewer members are pushed to every attached session; larger ones are fed live to those
/// who have them open, and announced by their head to the others.
pub const PUSH_BELOW: usize = 100;

/// How often the closed sessions of a large conversation are told its head, milliseconds.
pub const HEAD_INTERVAL_MS: u64 = 1000;

/// Time without any progress after which a stalled connection is cut, seconds. Until then it costs its
/// bounded outbox and nothing else.
pub const STALL_TIMEOUT_S: u32 = 30;

/// Sequences that a conversation reserves ahead for messages that are shown before they are synced. After a
/// crash the unused ones are a gap, so that no sequence is ever given twice.
pub const RESERVE_AHEAD: u64 = 1024;

/// Questions of the plane to one shard under way. Full: whoever asked is answered 503 and asks again.
pub const ASK_RING: usize = 256;

/// Letters under way from one shard to the plane: wake-ups, and users who are back. Full: they wait in the
/// shard's outlet.
pub const WAKE_RING: usize = 4096;

/// Letters that wait in a shard's outlet while the plane's disk is behind or its queue is full. Full: dropped and
/// counted; the user is not woken in that conversation before he has been back.
pub const WAKE_BACKLOG: usize = 64 * 1024;

/// Journal files that are begun while a message is kept, where it is kept for a time: so it goes at most a quarter of
/// that time late, however little is written.
pub const SEGMENTS_PER_AGE: u32 = 4;

/// Notices to one shard that segments of the journal are given up. Full: nothing more is given up until it has taken
/// them.
pub const RETIRED_RING: usize = 8;

/// A session may say how its device is woken this often, milliseconds, after so many times at once. More: refused
/// with the time to wait; each is a note in the journal.
pub const REGISTER_INTERVAL_MS: u64 = 1000;

/// See [`REGISTER_INTERVAL_MS`].
pub const REGISTER_BURST: u32 = 8;

/// Devices of one user that are woken. More: refused, until one is unregistered or gone.
pub const REGISTRATIONS_PER_USER: usize = 16;

/// Letters that the plane takes at a time, so that one write is not too large.
pub const WAKES_PER_TURN: usize = 1024;

/// Pushes that wait to be delivered, about half a kilobyte each. Full: letters wait in the rings.
pub const PUSH_JOBS_MAX: usize = 200_000;

/// Pushes that were given up and are kept for the operator. Full: the oldest goes.
pub const DEAD_LETTERS_MAX: usize = 10_000;

/// Dead letters in one page of the list.
pub const DEAD_LETTERS_PAGE_MAX: usize = 500;

/// Connections to the operators' port. Full: later ones wait in the kernel until one ends.
pub const PLANE_CONNECTIONS_MAX: usize = 512;

/// TLS handshakes under way on the operators' port, each of them a signature and some kilobytes. Full: later ones wait
/// their turn, for a time.
pub const PLANE_HANDSHAKES_MAX: usize = 64;

/// Bytes of a request to the operators' interface, beside uploads. More: refused with 413.
pub const ADMIN_BODY_BYTES_MAX: usize = 64 * 1024;

/// Uploads under way, and finished ones that are remembered for clients that missed the answer: 4 MiB of
/// memory at most. Full: the oldest finished one is forgotten; where none is finished, 503.
pub const MEDIA_UPLOADS_MAX: usize = 4096;

/// What the smallest upload counts in the spool: a file takes a block, however short it is.
pub const MEDIA_UPLOAD_BYTES_MIN: u64 = 4096;

/// Bytes of `Upload-Metadata`, which are kept and given back.
pub const MEDIA_METADATA_BYTES_MAX: usize = 2048;

/// Uploads and downloads at a time; the rest of the plane's connections is the operators'. Full: 503.
pub const MEDIA_TRANSFERS_MAX: usize = 384;

/// Uploads and downloads of one user at a time. Full: 429.
pub const MEDIA_TRANSFERS_PER_USER: usize = 16;

/// Bytes of a download read ahead of a reader, twice.
pub const MEDIA_CHUNK_BYTES: usize = 128 * 1024;

/// Bytes of one part of a content on its way into the store; S3 takes no smaller ones than 5 MiB.
pub const MEDIA_PART_BYTES: u64 = 8 * 1024 * 1024;

/// Contents on their way into the store at a time, each with a part in memory. Full: later ones wait.
pub const MEDIA_STORING_MAX: usize = 4;

/// Bytes that have to come of an upload within its stall time-out, unless it ends: one byte at a time is
/// standing still.
pub const MEDIA_PROGRESS_BYTES_MIN: u64 = 4096;

/// Objects of one piece of a sweep whose references are remembered; those beyond are asked for one by one.
pub const MEDIA_SWEEP_REMEMBERED: usize = 64 * 1024;

const _: () = assert!(MEDIA_TRANSFERS_MAX + 64 <= PLANE_CONNECTIONS_MAX);
const _: () = assert!(PLANE_HANDSHAKES_MAX < PLANE_CONNECTIONS_MAX);

/// The bounds that an operator may change and that the simulation shrinks.
#[derive(Clone, Debug)]
pub struct Limits {
    /// See [`REQUEST_RING`].
    pub request_ring: usize,
    /// See [`DELIVERY_RING`].
    pub delivery_ring: usize,
    /// See [`DELIVERY_BACKLOG`].
    pub delivery_backlog: usize,
    /// See [`OUTBOX_BYTES_MAX`].
    pub outbox_bytes_max: usize,
    /// See [`PAGE_BYTES_MAX`].
    pub page_bytes_max: usize,
    /// See [`PAGE_MESSAGES_MAX`].
    pub page_messages_max: u16,
    /// See [`AWAITING_SYNC_MAX`].
    pub awaiting_sync_max: usize,
    /// See [`TAIL_BYTES`].
    pub tail_bytes: usize,
    /// See [`SUBSCRIPTIONS_PER_CONNECTION`].
    pub subscriptions_per_connection: usize,
    /// Longest message body, bytes.
    pub body_bytes_max: usize,
    /// Longest frame, bytes.
    pub frame_bytes_max: usize,
    /// Members of one conversation.
    pub members_max: usize,
    /// See [`PUSH_BELOW`].
    pub push_below: usize,
    /// See [`RESERVE_AHEAD`].
    pub reserve_ahead: u64,
    /// See [`STALL_TIMEOUT_S`].
    pub stall_timeout_s: u32,
    /// See [`PRESENCE_TTL_S`].
    pub presence_ttl_s: u32,
    /// See [`WATCHES_MAX`].
    pub watches_max: usize,
    /// See [`QUIC_UNVALIDATED_MAX`].
    pub quic_unvalidated_max: usize,
    /// See [`QUIC_WIDE_MAX`].
    pub quic_wide_max: usize,
    /// How long one journal file takes records, milliseconds; `u64::MAX`: until it is full.
    pub segment_age_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_ring: REQUEST_RING,
            delivery_ring: DELIVERY_RING,
            delivery_backlog: DELIVERY_BACKLOG,
            outbox_bytes_max: OUTBOX_BYTES_MAX,
            page_bytes_max: PAGE_BYTES_MAX,
            page_messages_max: PAGE_MESSAGES_MAX,
            awaiting_sync_max: AWAITING_SYNC_MAX,
            tail_bytes: TAIL_BYTES,
            subscriptions_per_connection: SUBSCRIPTIONS_PER_CONNECTION,
            body_bytes_max: wire::BODY_BYTES_MAX,
            frame_bytes_max: wire::FRAME_BYTES_MAX,
            members_max: 100_000,
            push_below: PUSH_BELOW,
            reserve_ahead: RESERVE_AHEAD,
            stall_timeout_s: STALL_TIMEOUT_S,
            presence_ttl_s: PRESENCE_TTL_S,
            watches_max: WATCHES_MAX,
            quic_unvalidated_max: QUIC_UNVALIDATED_MAX,
            quic_wide_max: QUIC_WIDE_MAX,
            segment_age_ms: u64::MAX,
        }
    }
}
