//! From a data directory to the shards' conversations and journals.

use std::sync::Arc;

use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_store::{
    Config as JournalConfig, Files, Index, Journal, RecoverOptions, RecoveryError, Salt, recover,
};

use super::{Folded, Log, Tables};
use crate::conversation::{Amended, State};
use crate::fanout::letter::{ShardIndex, home_of, owner_of};
use crate::user::Belongs;
use crate::user::state::UserState;

/// What one shard starts with.
pub struct Recovered {
    /// The conversations it owns.
    pub states: Vec<(ConversationId, State)>,
    /// Their buckets with amendments, by key.
    pub amended: Vec<(ConversationId, Amended)>,
    /// What is durable about the users whose home it is.
    pub users: Vec<(UserId, UserState)>,
    /// What the users are members of whose home it is.
    pub belongs: Belongs,
    /// Its journal, in a fresh generation.
    pub log: Log,
}

/// Makes salts of one shard. Secret: whoever chooses message bodies must not be able to guess them.
pub type Salts = Box<dyn FnMut() -> Salt + Send>;

/// Brings the directory in order and shares it out to `shards` shards, however many wrote it.
///
/// # Errors
/// Where the directory is corrupt, of another release, or cannot be read. Nothing was changed then.
pub fn run(
    files: &Arc<dyn Files>,
    shards: ShardIndex,
    journal: JournalConfig,
    options: RecoverOptions,
    mut salts: impl FnMut(ShardIndex) -> Salts,
) -> Result<(Vec<Recovered>, String), RecoveryError> {
    let mut tables = Tables::default();
    let recovered = recover(&**files, &mut tables, &options)?;
    let report = recovered.report.to_string();
    let generation = recovered.generation;
    let owner = |id: &[u8; 16]| usize::from(owner_of(ConversationId::from_bytes(*id), shards));
    let indexes: Vec<Index> = recovered.indexes(usize::from(shards), owner);
    let mut all: Vec<Recovered> = (0..shards)
        .zip(indexes)
        .map(|(shard, index)| {
            let journal = Journal::new(journal, generation, shard, index, salts(shard));
            let log = Log::new(journal, Arc::clone(files));
            let (states, amended, users) = (Vec::new(), Vec::new(), Vec::new());
            Recovered { states, amended, users, belongs: Belongs::default(), log }
        })
        .collect();
    for (key, folded) in &tables.by_key {
        let Folded::Conversation(state) = folded else { continue };
        for user in state.members.keys() {
            all[usize::from(home_of(*user, shards))].belongs.add(*user, *key);
        }
    }
    for (key, folded) in tables.by_key {
        // A bucket's key has the owner of its conversation.
        let shard = &mut all[usize::from(owner_of(key, shards))];
        match folded {
            Folded::Conversation(state) => shard.states.push((key, *state)),
            Folded::Amended(amended) => shard.amended.push((key, amended)),
            // `home_of` a user is `owner_of` the same bytes.
            Folded::User(user) => shard.users.push((UserId::from_bytes(*key.as_bytes()), user)),
        }
    }
    Ok((all, report))
}
