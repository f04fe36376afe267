//! The certificate that the server has in all worlds, and clients that believe it.
//!
//! Made once per process, because that takes longer than a handshake. Key, serial number and signature scheme are
//! fixed, so that the certificate and what is signed with it are equally long every time: the random bytes of TLS come
//! from the operating system, and a world must not depend on more of them than their values, which nobody looks at.
//!
//! Sessions that may be resumed are kept where the product keeps them: by each client, and by each process.

use std::sync::{Arc, LazyLock};

use quinn_proto::crypto::rustls::QuicClientConfig;
use ringwire::transport::tls::offer::{Certificates, Offer};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::version::TLS13;

/// The name that the certificate is for.
pub const NAME: &str = "sim";

/// What protocol a client wants (W-70), and what a browser does.
const PROTOCOL: &[u8] = b"ringwire/1";
const PROTOCOL_WEB: &[u8] = b"h3";

/// An Ed25519 key of no secret, as PKCS #8 (RFC 8410): what is before the 32 bytes, which are all the same.
const KEY_HEAD: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const KEY_BYTE: u8 = 7;

/// Both ends' configurations.
struct Trust {
    server: rustls::ServerConfig,
    client: rustls::ClientConfig,
}

static TRUST: LazyLock<Trust> = LazyLock::new(make);

/// Sessions that a process keeps; few, so that some are forgotten.
const SESSIONS_MAX: usize = 16;

/// Sessions that a client keeps.
const TICKETS_MAX: usize = 4;

/// What the shards of a process offer.
pub fn offer() -> Offer {
    let mut server = TRUST.server.clone();
    server.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    let server = Arc::new(server);
    Offer::new(Certificates { tcp: Arc::clone(&server), quic: server, sha256: [0; 32] })
}

/// What one client knows of the server: whom it trusts, and what it was given to resume.
#[derive(Clone)]
pub struct Tickets {
    /// For connections.
    pub config: Arc<QuicClientConfig>,
    /// It is a browser, which speaks HTTP/3 and says nothing early.
    pub is_browser: bool,
}

impl Tickets {
    /// Nothing to resume.
    ///
    /// # Panics
    /// Never: the provider has the cipher of Initial packets.
    pub fn new(is_browser: bool) -> Self {
        let mut client = TRUST.client.clone();
        client.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
        if is_browser {
            client.alpn_protocols = vec![PROTOCOL_WEB.to_vec()];
            client.enable_early_data = false;
        }
        let config =
            QuicClientConfig::try_from(client).expect("the provider has the cipher of Initial packets");
        Tickets { config: Arc::new(config), is_browser }
    }
}

fn make() -> Trust {
    let key = [&KEY_HEAD[..], &[KEY_BYTE; 32]].concat();
    let signer = rcgen::KeyPair::try_from(key.clone()).expect("an Ed25519 key");
    let mut parameters = rcgen::CertificateParams::new([NAME.to_owned()]).expect("a name");
    parameters.serial_number = Some(rcgen::SerialNumber::from(1));
    let certificate = parameters.self_signed(&signer).expect("the key can sign").der().clone();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");

    let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))
        .expect("the key is the certificate's");
    server.alpn_protocols = vec![PROTOCOL.to_vec(), PROTOCOL_WEB.to_vec()];
    server.max_early_data_size = u32::MAX;

    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![PROTOCOL.to_vec()];
    client.enable_early_data = true;
    Trust { server, client }
}
