//! Clients that speak TLS to the server under test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs as crypto;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::support::{PATIENCE, Raw, Server};

/// A certificate for localhost and its key.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Files {
    /// Valid from and until so many days from now.
    pub fn make(dir: &Path, from_days: i64, until_days: i64) -> Files {
        let at = |days: i64| -> SystemTime {
            let span = Duration::from_secs(days.unsigned_abs() * 86_400);
            if days < 0 { SystemTime::now() - span } else { SystemTime::now() + span }
        };
        let key = KeyPair::generate().unwrap();
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names.to_vec()).unwrap();
        params.not_before = at(from_days).into();
        params.not_after = at(until_days).into();
        std::fs::create_dir_all(dir).unwrap();
        let files = Files { certificate: dir.join("certificate.pem"), key: dir.join("key.pem") };
        std::fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// None at all.
    pub fn none() -> Files {
        Files { certificate: PathBuf::new(), key: PathBuf::new() }
    }

    /// As the server is told of them.
    pub fn settings(&self) -> [String; 2] {
        [
            format!("tls.certificate_file={}", self.certificate.display()),
            format!("tls.key_file={}", self.key.display()),
        ]
    }
}

/// A server with a certificate of its own, in its folder.
pub fn start(data: &Path, extra: &[&str]) -> (Server, Files) {
    let files = Files::make(data, -1, 30);
    let settings = files.settings();
    let set = ["--set", &settings[0], "--set", &settings[1]];
    (Server::start(data, &[&set[..], extra].concat()), files)
}

/// Our client, which trusts one certificate.
pub struct Peer(Arc<ClientConfig>);

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Peer {
    pub fn new(files: &Files) -> Peer {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.certificate).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Peer(Arc::new(config))
    }

    /// Connects and shakes hands.
    pub fn try_connect(&self, server: &Server) -> std::io::Result<Tls> {
        self.connect_to(server.address)
    }

    /// The same, with any port of it.
    pub fn connect_to(&self, address: SocketAddr) -> std::io::Result<Tls> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let client = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut tls = StreamOwned::new(client, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(tls)
    }

    /// Connects, upgrades and signs in.
    pub fn sign_in(&self, server: &Server, name: &str) -> Raw<Tls> {
        let mut raw = Raw::over(self.try_connect(server).expect("TLS"));
        raw.upgrade("localhost");
        raw.welcome(name, name);
        raw
    }

    /// How the handshake goes of who has been here before.
    pub fn kind(&self, server: &Server) -> HandshakeKind {
        self.try_connect(server).expect("TLS").conn.handshake_kind().expect("it is over")
    }
}

/// Runs a script with Python's `ssl`; returns what it prints.
pub fn python(server: &Server, files: &Files, script: &str) -> String {
    let prelude = format!(
        "
import socket, ssl
context = ssl.create_default_context()
certificate = {certificate:?}
if certificate:
    context.load_verify_locations(certificate)
def fetch(session):
    tls = context.wrap_socket(socket.create_connection(('127.0.0.1', {port})), server_hostname='localhost',
                              session=session)
    tls.settimeout({patience})
    tls.sendall(b'GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')
    page = b''
    while True:
        # A close_notify ends it; without one this is an SSLEOFError.
        piece = tls.recv(65536)
        if not piece:
            return tls, tls.version(), tls.session_reused, page
        page += piece
",
        certificate = files.certificate.display().to_string(),
        port = server.address.port(),
        patience = PATIENCE.as_secs(),
    );
    let output = Command::new("python3").arg("-c").arg(prelude + script).output().expect("python3 is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Sends bytes in the clear; returns what comes until the end.
pub fn ask(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Asks the operators' port over TLS; returns head and body.
pub fn get(tls: std::io::Result<Tls>, path: &str) -> String {
    let mut tls = tls.expect("TLS");
    tls.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).expect("an answer, and a close_notify behind it");
    answer
}

/// A metric, over all lines that have these labels.
pub fn sum(server: &Server, peer: &Peer, name: &str, labels: &[&str]) -> u64 {
    let metrics = get(peer.connect_to(server.plane.expect("there is a plane")), "/metrics");
    crate::support::metrics::sum(&metrics, name, labels)
}

/// Waits until the server has logged this.
pub fn wait_for(server: &Server, words: &str) {
    let until = Instant::now() + PATIENCE;
    while !server.log().contains(words) {
        assert!(Instant::now() < until, "\"{words}\" is not logged:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}
