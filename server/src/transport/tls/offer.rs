//! The certificates that new connections are offered, and how a reload reaches the shards.
//!
//! ```text
//!   shard 0 ──► first ──next──► second ◄── shard 1
//!                                  ▲
//!                               writer (the main thread)
//! ```
//!
//! Every holder of an [`Offer`] walks forward to the newest when it needs one, so a reload costs a shard nothing
//! and takes no lock. What nobody holds any more is freed; connections keep the configuration they began with.
//!
//! Owner: each shard has its own `Offer`; one more belongs to the main thread, which alone replaces.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;

/// One certificate, ready for every transport.
pub struct Certificates {
    /// For WebSocket over TLS, and for the operators' port: ALPN `http/1.1`, resumption by tickets that every shard can read.
    pub tcp: Arc<ServerConfig>,
    /// For QUIC: TLS 1.3, ALPN `ringwire/1` and `h3`. Early data is on; sessions are kept in a cache that all
    /// shards share, because a session that is taken out of it once makes a replayed flight harmless.
    pub quic: Arc<ServerConfig>,
    /// SHA-256 of the certificate itself: what clients pin, and WebTransport's `serverCertificateHashes`.
    pub sha256: [u8; 32],
}

struct Link {
    certificates: Certificates,
    next: OnceLock<Arc<Link>>,
}

/// A place in the chain of certificates.
#[derive(Clone)]
pub struct Offer(Arc<Link>);

impl Offer {
    /// The first certificates.
    pub fn new(certificates: Certificates) -> Self {
        Offer(Arc::new(Link { certificates, next: OnceLock::new() }))
    }

    /// The newest certificates.
    pub fn current(&mut self) -> &Certificates {
        while let Some(next) = self.0.next.get() {
            self.0 = Arc::clone(next);
        }
        &self.0.certificates
    }

    /// Puts newer ones behind the newest.
    ///
    /// # Panics
    /// Where two threads replace at once.
    pub fn replace(&mut self, certificates: Certificates) {
        self.current();
        let link = Arc::new(Link { certificates, next: OnceLock::new() });
        assert!(self.0.next.set(link).is_ok(), "one thread replaces certificates");
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({})", hex(&self.0.certificates.sha256))
    }
}

/// Hexadecimal digits, as hashes are printed.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
