//! A certificate for measured servers that speak TLS or QUIC, made for one run and trusted by its generator alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::fault::{Fault, Result};
use crate::load::link::{Transport, Way};
use crate::load::secure::SERVER_NAME;

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM.
    pub certificate_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
    roots: Arc<RootCertStore>,
}

impl Certificate {
    /// Makes one in `folder`.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn make(folder: &Path) -> Result<Self> {
        let wrong = |what: &str| Fault::Machine(format!("making a certificate: {what}"));
        let made = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()])
            .map_err(|error| wrong(&error.to_string()))?;
        let certificate_file = folder.join("certificate.pem");
        let key_file = folder.join("key.pem");
        std::fs::write(&certificate_file, made.cert.pem()).map_err(Fault::system("writing a certificate"))?;
        std::fs::write(&key_file, made.signing_key.serialize_pem())
            .map_err(Fault::system("writing a key"))?;
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from(made.cert);
        roots.add(der).map_err(|error| wrong(&error.to_string()))?;
        Ok(Certificate { certificate_file, key_file, roots: Arc::new(roots) })
    }

    /// How a server that has it is reached; `alpn` is what is spoken over QUIC.
    ///
    /// # Errors
    /// The crypto library does not know TLS 1.3.
    pub fn way(&self, transport: Transport, alpn: &[u8]) -> Result<Way> {
        let wrong = |error: &dyn std::fmt::Display| Fault::Machine(format!("setting up TLS: {error}"));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong(&error))?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        // Every handshake is a whole one.
        config.resumption = rustls::client::Resumption::disabled();
        match transport {
            Transport::Ws => Ok(Way::Tcp),
            Transport::Wss => Ok(Way::Tls(Arc::new(config))),
            Transport::Quic => {
                config.alpn_protocols = vec![alpn.to_vec()];
                let crypto = quinn_proto::crypto::rustls::QuicClientConfig::try_from(config)
                    .map_err(|error| wrong(&error))?;
                let mut config = quinn_proto::ClientConfig::new(Arc::new(crypto));
                let mut transport = quinn_proto::TransportConfig::default();
                // Who says nothing stays, as over TCP; what a subscriber has not read counts against the server.
                transport.max_idle_timeout(None);
                config.transport_config(Arc::new(transport));
                Ok(Way::Quic(config))
            }
        }
    }
}
