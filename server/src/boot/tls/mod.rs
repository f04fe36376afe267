//! TLS of the process: the certificate, what is common to all connections, and the reload.
//!
//! One configuration per use is shared by all shards. What resumption rests on (the ticket keys, the cache of QUIC
//! sessions) outlives a reload: a renewed certificate must not cost every client a full handshake at once.
//!
//! Absent: ACME. A certificate comes from files that something else renews, followed by SIGHUP.

mod files;

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs as crypto};
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
    UnbufferedServerConnection,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};

use super::BootError;
use super::clock::Clock;
use crate::config::tls::{Source, TlsConfig};
use crate::limits::QUIC_SESSIONS_MAX;
use crate::transport::tls::offer::{Certificates, Offer, hex};

/// ALPN of WebSocket connections.
const ALPN_HTTP: &[u8] = b"http/1.1";
/// ALPN of Ringwire's own mapping to QUIC, and of WebTransport.
const ALPN_QUIC: [&[u8]; 2] = [b"ringwire/1", b"h3"];

/// Keeps the certificates of the process; the main thread's.
pub struct Keeper {
    config: TlsConfig,
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
    offer: Offer,
    clock: Clock,
}

impl Keeper {
    /// Reads or makes the certificate that is configured.
    ///
    /// # Errors
    /// Where it cannot be used; says which file is the matter.
    pub fn open(config: &TlsConfig, clock: Clock) -> Result<Self, BootError> {
        let provider = Arc::new(crypto::default_provider());
        let tickets = crypto::Ticketer::new()
            .map_err(|error| BootError::Key(format!("tls: cannot make keys for session tickets: {error}")))?;
        let sessions: Arc<dyn StoresServerSessions> = ServerSessionMemoryCache::new(QUIC_SESSIONS_MAX);
        let certified = files::certified(&config.source, &provider, unix_s(clock))?;
        let configs = Configs { config, provider: &provider, tickets: &tickets, sessions: &sessions };
        let offer = Offer::new(configs.make(certified)?);
        Ok(Keeper { config: config.clone(), tickets, sessions, provider, offer, clock })
    }

    /// What a shard holds.
    pub fn offer(&self) -> Offer {
        self.offer.clone()
    }

    /// SHA-256 of the certificate.
    pub fn sha256(&mut self) -> [u8; 32] {
        self.offer.current().sha256
    }

    /// Whether the certificate is one that nobody but this process vouches for.
    pub fn is_development(&self) -> bool {
        matches!(self.config.source, Source::Development)
    }

    /// Reads the files again; new connections get what is in them now.
    ///
    /// # Errors
    /// Where they cannot be used; then all stays as it was.
    pub fn reload(&mut self) -> Result<(), BootError> {
        let certified = files::certified(&self.config.source, &self.provider, unix_s(self.clock))?;
        let Keeper { config, provider, tickets, sessions, .. } = self;
        let certificates = Configs { config, provider, tickets, sessions }.make(certified)?;
        let (old, new) = (self.offer.current().sha256, certificates.sha256);
        self.offer.replace(certificates);
        if old == new {
            tracing::info!("SIGHUP: the certificate is the same as before");
        } else {
            tracing::info!(sha256 = hex(&new), "SIGHUP: new connections get the new certificate");
        }
        Ok(())
    }
}

fn unix_s(clock: Clock) -> i64 {
    i64::try_from(clock.now().unix_ms / 1000).unwrap_or(i64::MAX)
}

/// What configurations are made of, beside the certificate.
struct Configs<'a> {
    config: &'a TlsConfig,
    provider: &'a Arc<CryptoProvider>,
    tickets: &'a Arc<dyn ProducesTickets>,
    sessions: &'a Arc<dyn StoresServerSessions>,
}

impl Configs<'_> {
    fn make(&self, certified: Arc<CertifiedKey>) -> Result<Certificates, BootError> {
        let leaf = certified.end_entity_cert();
        let leaf = leaf.map_err(|error| BootError::Key(format!("tls: there is no certificate: {error}")))?;
        let hash = digest::digest(&digest::SHA256, leaf);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hash.as_ref());
        let versions = if self.config.allows_1_2 { &[&TLS13, &TLS12][..] } else { &[&TLS13] };
        let mut tcp = self.common(versions, &certified)?;
        tcp.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        tcp.ticketer = Arc::clone(self.tickets);
        tcp.session_storage = Arc::new(NoServerSessionStorage {});
        // A client comes back on one connection, and gets the next ticket there.
        tcp.send_tls13_tickets = 1;
        let tcp = Arc::new(tcp);
        UnbufferedServerConnection::new(Arc::clone(&tcp))
            .map_err(|error| BootError::Key(format!("tls: connections cannot be made: {error}")))?;
        let mut quic = self.common(&[&TLS13], &certified)?;
        quic.alpn_protocols = ALPN_QUIC.map(<[u8]>::to_vec).to_vec();
        quic.session_storage = Arc::clone(self.sessions);
        quic.send_tls13_tickets = 1;
        // RFC 9001 §4.6.1: QUIC bounds early data by its own windows, and TLS says so with this number.
        quic.max_early_data_size = u32::MAX;
        Ok(Certificates { tcp, quic: Arc::new(quic), sha256 })
    }

    fn common(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        certified: &Arc<CertifiedKey>,
    ) -> Result<ServerConfig, BootError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(self.provider))
            .with_protocol_versions(versions)
            .map_err(|error| BootError::Key(format!("tls: {error}")))?;
        let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(certified)));
        Ok(builder.with_no_client_auth().with_cert_resolver(resolver))
    }
}

#[cfg(test)]
mod tests;
