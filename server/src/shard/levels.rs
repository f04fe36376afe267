//! How full a shard's queues are, beside their limits: for metrics, and for the simulation, which looks at them
//! after every turn.

/// What the queues of one shard hold between two turns. Each has its number in [`crate::limits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Requests of this shard's sessions to itself.
    pub own_requests: usize,
    /// Requests that may not be refused and wait for a full ring.
    pub requests_waiting: usize,
    /// Deliveries that wait for a full ring.
    pub deliveries_waiting: usize,
    /// What waits for a sync before the world may know of it.
    pub awaiting_sync: usize,
    /// Bytes that wait for the disk.
    pub journal_bytes: usize,
    /// Reads that wait for the disk.
    pub fetches: usize,
    /// Publishes that wait for a message they refer to, or behind one that does.
    pub lookups: usize,
    /// Bytes of recent messages in memory, with what keeping them costs.
    pub tail_bytes: usize,
    /// Sessions that watch users of this home.
    pub watchers: usize,
    /// Users whom they watch, added up.
    pub watches: usize,
    /// Users whose conversations do not know yet that they are away.
    pub unannounced: usize,
    /// Conversations of whose members this home says how many are here.
    pub counted: usize,
    /// Conversations whose counts this owner tells.
    pub counting: usize,
    /// Memberships of the users of this home.
    pub memberships: usize,
    /// Users whom the sessions of this shard watch, added up.
    pub watched: usize,
    /// Bytes that the fullest stalled connection has not taken.
    pub outbox_bytes_max: usize,
    /// Conversations of the connection that receives the most.
    pub subscriptions_max: usize,
    /// Unanswered publishes of the session that has the most.
    pub publishes_max: usize,
    /// Unanswered fetches of the session that has the most.
    pub fetches_max: usize,
}
