//! What is given up: entries that are beyond retention, from the beginning of their conversations.
//!
//! The store decides it, between two turns, and writes it down; here it is believed before any file is gone. A page that is
//! being read meanwhile says what has expired of it.

use ringwire_protocol::id::ConversationId;
use ringwire_store::Retired;

use super::super::Conversations;

impl Conversations {
    /// Segments of the journal are given up: what was in them is expired from now on.
    pub fn on_retired(&mut self, retired: &Retired) {
        self.log.retire(&retired.floor);
        for (key, last) in &retired.last {
            // Those of other shards, and of buckets of amendments, are not here.
            if let Some(conversation) = self.by_id.get_mut(&ConversationId::from_bytes(*key)) {
                conversation.state.expired = conversation.state.expired.max(*last);
                self.counters.expired += 1;
            }
        }
    }
}
