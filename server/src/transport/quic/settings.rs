//! How connections are set up: windows, time-outs and keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{hkdf, hmac};
use quinn_proto::{EndpointConfig, IdleTimeout, ServerConfig, TimeSource, TransportConfig, VarInt};

use super::crypto::{Crypto, VERSION};
use super::ids::Ids;
use crate::limits;

/// What a shard's QUIC is made of, beside the certificate.
#[derive(Clone)]
pub struct Keys {
    /// The same in all shards, and better in the next process, too: what ids are checked with, and what resets and
    /// Retry tokens are derived from.
    pub secret: [u8; 32],
    /// Of this shard: what ids and packet numbers are made of.
    pub seed: [u8; 32],
}

/// How long an established connection may be silent, and how long one may take to become a session.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Seconds of silence after which a session is closed. QUIC itself waits longer, so that the session says why.
    pub idle_s: u32,
    /// Seconds from the first datagram to the first stream.
    pub handshake_s: u32,
}

pub(super) fn endpoint(keys: &Keys, ids: Ids) -> EndpointConfig {
    let reset = blake3::derive_key("ringwire 2026-11 quic stateless reset", &keys.secret);
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset)));
    config
        .supported_versions(vec![VERSION])
        .cid_generator(move || Box::new(ids.clone()))
        .rng_seed(Some(keys.seed));
    config
}

/// The time that Retry tokens are dated with, as the shard was last told.
#[derive(Default)]
pub(super) struct Dates(AtomicU64);

impl Dates {
    pub(super) fn set(&self, unix_ms: u64) {
        self.0.store(unix_ms, Ordering::Relaxed);
    }
}

impl TimeSource for Dates {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

pub(super) fn server(
    keys: &Keys,
    dates: &Arc<Dates>,
    patience: Patience,
    crypto: Arc<rustls::ServerConfig>,
) -> Result<Arc<ServerConfig>, String> {
    let token = blake3::derive_key("ringwire 2026-11 quic address token", &keys.secret);
    let token = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&token);
    let mut config = ServerConfig::new(Arc::new(Crypto::new(crypto)?), Arc::new(token));
    config
        .transport_config(Arc::new(transport(patience)))
        .time_source(Arc::<Dates>::clone(dates))
        // Each is judged as it comes, so none waits.
        .max_incoming(1)
        .migration(true);
    Ok(Arc::new(config))
}

fn transport(patience: Patience) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle_ms = patience.idle_s.saturating_mul(1000).saturating_add(limits::QUIC_IDLE_MARGIN_MS);
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_ms))))
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::QUIC_STREAMS_BIDI))
        .max_concurrent_uni_streams(VarInt::from_u32(limits::QUIC_STREAMS_UNI))
        .stream_receive_window(VarInt::from_u32(limits::QUIC_RECEIVE_BYTES))
        .receive_window(VarInt::from_u32(limits::QUIC_RECEIVE_BYTES))
        .send_window(limits::QUIC_SEND_LITTLE_BYTES)
        .datagram_receive_buffer_size(Some(limits::QUIC_DATAGRAMS_BYTES))
        .datagram_send_buffer_size(limits::QUIC_DATAGRAMS_BYTES);
    transport
}
