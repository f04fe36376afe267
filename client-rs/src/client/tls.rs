//! Whom a client believes, and how it speaks TLS, over TCP and within QUIC.

use std::sync::Arc;

use aws_lc_rs::digest;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as crypto, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::error::Error;

/// ALPN of frames over QUIC.
const ALPN_QUIC: &[u8] = b"ringwire/1";
/// ALPN of the WebSocket upgrade.
const ALPN_HTTP: &[u8] = b"http/1.1";

/// Both configurations of one client. They keep the tickets of its sessions, so that it resumes.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) tcp: Arc<ClientConfig>,
    pub(super) quic: Arc<QuicClientConfig>,
}

impl Tls {
    /// Believes whom the operating system believes, or only the holder of one certificate.
    pub(super) fn new(pin: Option<[u8; 32]>) -> Result<Self, Error> {
        let broken = |error: &dyn std::fmt::Display| Error::Invalid(format!("TLS cannot be set up: {error}"));
        let mut tcp = config(pin).map_err(|error| broken(&error))?;
        let mut quic = tcp.clone();
        tcp.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        quic.alpn_protocols = vec![ALPN_QUIC.to_vec()];
        // Tickets of the one are of no use to the other.
        quic.resumption = Resumption::default();
        // What goes early is Hello, which may be played back: whoever does gets a session of his own that he cannot read.
        quic.enable_early_data = true;
        let quic = QuicClientConfig::try_from(quic).map_err(|error| broken(&error))?;
        Ok(Tls { tcp: Arc::new(tcp), quic: Arc::new(quic) })
    }
}

/// TLS towards the holder of one certificate, whoever signed it, for requests beside the messages.
///
/// # Errors
/// Where TLS cannot be set up.
pub fn pinned_tls(sha256: [u8; 32]) -> Result<ClientConfig, Error> {
    config(Some(sha256)).map_err(|error| Error::Invalid(format!("TLS cannot be set up: {error}")))
}

fn config(pin: Option<[u8; 32]>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(crypto::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match pin {
        None => builder.with_platform_verifier()?,
        Some(sha256) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned { sha256, provider }))
        }
    };
    Ok(builder.with_no_client_auth())
}

/// Believes one certificate. Its names and dates do not matter; that the server holds its key does.
#[derive(Debug)]
struct Pinned {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let hash = digest::digest(&digest::SHA256, end_entity);
        if hash.as_ref() == self.sha256 {
            return Ok(ServerCertVerified::assertion());
        }
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Err(rustls::Error::General(format!(
            "the server's certificate is not the pinned one; its SHA-256 is {hash}"
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
