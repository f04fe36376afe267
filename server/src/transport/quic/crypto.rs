//! TLS of QUIC connections: rustls for as long as there is a handshake, and the secrets of the next keys afterwards.
//!
//! A session of rustls holds 6 KB until it is dropped, 2.3 KB of it what it read the greeting into, and QUIC asks it
//! for one thing once the tickets are written: newer keys. So it goes then (docs/decisions/0005), where the session
//! of `quinn-proto` stays for as long as the connection.
//!
//! Owner: the connection in `quinn-proto`. Absent: what `quinn-proto` does as well without a session, which is keys of
//! first packets and the tag of a Retry; clients.

use std::any::Any;
use std::io::Cursor;
use std::sync::Arc;

use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::crypto::{
    self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::quic::{DirectionalKeys, KeyChange, Secrets, ServerConnection, Version};
use rustls::{AlertDescription, HandshakeKind};

/// The one version that is spoken (RFC 9000), and its number.
pub(super) const VERSION: u32 = 1;

/// What new connections begin their handshakes with.
pub(super) struct Crypto {
    tls: Arc<rustls::ServerConfig>,
    stateless: QuicServerConfig,
}

/// What client and server agreed on.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    /// ALPN.
    pub(super) protocol: Vec<u8>,
    /// By a ticket, without a certificate; known when the handshake is complete.
    pub(super) is_resumed: bool,
}

/// One connection's.
struct Session {
    crypto: Arc<Crypto>,
    /// Until there is nothing more to say in it.
    handshake: Option<Box<ServerConnection>>,
    agreed: Option<Box<Agreed>>,
    next: Option<Box<Secrets>>,
}

impl Crypto {
    /// # Errors
    /// Where TLS is set up in a way that cannot speak QUIC.
    pub(super) fn new(tls: Arc<rustls::ServerConfig>) -> Result<Self, String> {
        let stateless = QuicServerConfig::try_from(Arc::clone(&tls)).map_err(|error| error.to_string())?;
        // Whatever can be wrong is wrong with every connection.
        begin(&tls, Vec::new()).map_err(|error| error.to_string())?;
        Ok(Crypto { tls, stateless })
    }
}

fn begin(tls: &Arc<rustls::ServerConfig>, parameters: Vec<u8>) -> Result<ServerConnection, rustls::Error> {
    ServerConnection::new(Arc::clone(tls), Version::V1, parameters)
}

impl crypto::ServerConfig for Crypto {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.stateless.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.stateless.retry_tag(version, id, packet)
    }

    fn start_session(self: Arc<Self>, _: u32, parameters: &TransportParameters) -> Box<dyn crypto::Session> {
        let mut ours = Vec::new();
        parameters.write(&mut ours);
        // `new` has found that this configuration can; without a handshake, the first flight is refused.
        let handshake = begin(&self.tls, ours).ok().map(Box::new);
        Box::new(Session { crypto: self, handshake, agreed: None, next: None })
    }
}

impl Session {
    /// Notes what was agreed on; whether that is news.
    fn note(&mut self) -> bool {
        let Some(handshake) = &self.handshake else { return false };
        let Some(protocol) = handshake.alpn_protocol() else { return false };
        let is_resumed = handshake.handshake_kind() == Some(HandshakeKind::Resumed);
        match &mut self.agreed {
            Some(agreed) => {
                agreed.is_resumed = is_resumed;
                false
            }
            None => {
                self.agreed = Some(Box::new(Agreed { protocol: protocol.to_vec(), is_resumed }));
                true
            }
        }
    }
}

impl crypto::Session for Session {
    fn initial_keys(&self, id: &ConnectionId, _: Side) -> Keys {
        let keys = crypto::ServerConfig::initial_keys(&*self.crypto, VERSION, id);
        keys.unwrap_or_else(|_| unreachable!("the endpoint accepts no other version"))
    }

    /// An [`Agreed`].
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(Agreed::clone(self.agreed.as_ref()?)))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        let DirectionalKeys { header, packet, .. } = self.handshake.as_ref()?.zero_rtt_keys()?;
        Some((Box::new(header), Box::new(packet)))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.handshake.as_ref().is_some_and(|handshake| handshake.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let alert = |alert: AlertDescription, reason: String| TransportError {
            code: TransportErrorCode::crypto(alert.into()),
            frame: None,
            reason,
        };
        let Some(handshake) = &mut self.handshake else {
            // RFC 9001, section 6: keys are not updated by TLS in QUIC, and a client has nothing else to say.
            let reason = "TLS message after the handshake".to_owned();
            return Err(alert(AlertDescription::UnexpectedMessage, reason));
        };
        if let Err(error) = handshake.read_hs(bytes) {
            return Err(alert(
                handshake.alert().unwrap_or(AlertDescription::InternalError),
                error.to_string(),
            ));
        }
        Ok(self.note())
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let handshake = self.handshake.as_ref();
        let Some(theirs) = handshake.and_then(|handshake| handshake.quic_transport_parameters()) else {
            return Ok(None);
        };
        TransportParameters::read(Side::Server, &mut Cursor::new(theirs)).map(Some).map_err(Into::into)
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let handshake = self.handshake.as_mut()?;
        let keys = match handshake.write_hs(out) {
            Some(KeyChange::Handshake { keys }) => keys,
            Some(KeyChange::OneRtt { keys, next }) => {
                self.next = Some(Box::new(next));
                keys
            }
            None => {
                // Everything is written, tickets included.
                if self.next.is_some() && !handshake.is_handshaking() {
                    self.note();
                    self.handshake = None;
                }
                return None;
            }
        };
        let (local, remote) = (keys.local, keys.remote);
        Some(Keys {
            header: KeyPair { local: Box::new(local.header), remote: Box::new(remote.header) },
            packet: KeyPair { local: Box::new(local.packet), remote: Box::new(remote.packet) },
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(keys.local), remote: Box::new(keys.remote) })
    }

    /// Only servers send Retry.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn export_keying_material(
        &self,
        _: &mut [u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}
