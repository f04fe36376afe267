//! Whether a handshake took up a session from before: quinn-proto does not say it, so the memory of sessions is watched.
//!
//! A greeting is read while its datagram is handled, on the shard's own thread, and takes its session out then: what was
//! taken since the last look belongs to the datagram that was handled last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::ServerConfig;
use rustls::server::StoresServerSessions;

/// Of one shard.
#[derive(Debug, Default)]
pub(super) struct Resumption(Arc<AtomicBool>);

impl Resumption {
    /// The same configuration, watched.
    pub(super) fn watch(&self, config: &ServerConfig) -> Arc<ServerConfig> {
        let mut config = config.clone();
        let taken = Arc::clone(&self.0);
        config.session_storage = Arc::new(Watched { sessions: Arc::clone(&config.session_storage), taken });
        Arc::new(config)
    }

    /// Whether a session was taken up since this was asked last.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// The memory of sessions that all shards share, and this shard's note.
#[derive(Debug)]
struct Watched {
    sessions: Arc<dyn StoresServerSessions>,
    taken: Arc<AtomicBool>,
}

impl StoresServerSessions for Watched {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.sessions.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = self.sessions.take(key);
        if session.is_some() {
            self.taken.store(true, Ordering::Relaxed);
        }
        session
    }

    fn can_cache(&self) -> bool {
        self.sessions.can_cache()
    }
}
