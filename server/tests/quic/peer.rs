//! A client over QUIC that sends what it is told, right or wrong.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig};
use ringwire_protocol::frame;
use ringwire_protocol::message::{Encoder, Join, Kind, ServerFrame};
use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::support::{Owned, PATIENCE, words};

/// Takes any certificate: what it proves is the server's own tests' business.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// How clients connect; what is remembered for coming back is in it.
pub fn config(protocol: &str, change: impl FnOnce(&mut TransportConfig)) -> ClientConfig {
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    tls.enable_early_data = true;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_secs(5)));
    change(&mut transport);
    config.transport_config(Arc::new(transport));
    config
}

pub fn endpoint() -> Endpoint {
    Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// One connection with its stream.
pub struct Peer {
    pub endpoint: Endpoint,
    pub connection: Connection,
    pub send: SendStream,
    pub receive: RecvStream,
    arrived: Vec<u8>,
    encoder: Encoder,
}

impl Peer {
    pub async fn connect(address: SocketAddr) -> Peer {
        Peer::connect_with(address, config("ringwire/1", |_| ())).await
    }

    pub async fn connect_with(address: SocketAddr, config: ClientConfig) -> Peer {
        let endpoint = endpoint();
        let connecting = endpoint.connect_with(config, address, "localhost").unwrap();
        let connection = tokio::time::timeout(PATIENCE, connecting).await.unwrap().unwrap();
        Peer::on(endpoint, connection).await
    }

    pub async fn on(endpoint: Endpoint, connection: Connection) -> Peer {
        let (send, receive) = connection.open_bi().await.unwrap();
        Peer { endpoint, connection, send, receive, arrived: Vec::new(), encoder: Encoder::new() }
    }

    pub async fn sign_in(address: SocketAddr, name: &str) -> Peer {
        Peer::sign_in_on(address, name, name).await
    }

    pub async fn sign_in_on(address: SocketAddr, name: &str, device: &str) -> Peer {
        let mut peer = Peer::connect(address).await;
        peer.hello(name, device).await;
        peer.next_where(|frame| matches!(frame, ServerFrame::Welcome(_))).await;
        peer
    }

    pub async fn hello(&mut self, name: &str, device: &str) {
        let token = format!("dev:{name}");
        let hello = words::hello(&token, device, 0);
        self.frame(|encoder, out| hello.encode(encoder, out)).await;
    }

    pub async fn join(&mut self, name: &str) {
        self.frame(|encoder, out| Join { request: 1, name }.encode(encoder, out)).await;
        self.next_where(|frame| matches!(frame, ServerFrame::Joined(_))).await;
    }

    pub async fn publish(&mut self, room: &str, client_sequence: u64, body: &[u8]) {
        let publish = words::publish(room, client_sequence, body);
        self.frame(|encoder, out| publish.encode(encoder, out)).await;
    }

    /// Publishes, and returns the sequence it was given and whether it was stored before.
    pub async fn say(&mut self, room: &str, client_sequence: u64, body: &[u8]) -> (u64, bool) {
        self.publish(room, client_sequence, body).await;
        let ack = self
            .next_where(
                |frame| matches!(frame, ServerFrame::Ack(ack) if ack.client_sequence == client_sequence),
            )
            .await;
        match ack.get() {
            ServerFrame::Ack(ack) => (ack.sequence, ack.duplicate),
            _ => unreachable!("found as such"),
        }
    }

    pub async fn fetch(&mut self, room: &str, request: u32, from: u64) {
        let fetch = words::fetch(room, request, from);
        self.frame(|encoder, out| fetch.encode(encoder, out)).await;
    }

    /// The next answer to a fetch: the whole of its stream.
    pub async fn page(&mut self) -> Vec<Owned> {
        let mut stream = tokio::time::timeout(PATIENCE, self.connection.accept_uni()).await.unwrap().unwrap();
        let bytes = tokio::time::timeout(PATIENCE, stream.read_to_end(1 << 20)).await.unwrap().unwrap();
        frames(&bytes)
    }

    pub async fn frame(&mut self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let bytes = self.encoded(write);
        // The server may have closed already; what it said is still to be read.
        let _ = self.send.write_all(&bytes).await;
    }

    pub fn encoded(&mut self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut self.encoder, &mut bytes);
        bytes
    }

    /// The next frame of the stream; an error where it has ended.
    pub async fn next_or_end(&mut self) -> Result<Owned, Option<ConnectionError>> {
        loop {
            if let Some(length) = self.arrived.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) {
                let length = frame::HEADER_BYTES + length as usize;
                if self.arrived.len() >= length {
                    return Ok(Owned(self.arrived.drain(..length).collect()));
                }
            }
            match tokio::time::timeout(PATIENCE, self.receive.read_chunk(1 << 16, true)).await.unwrap() {
                Ok(Some(chunk)) => self.arrived.extend_from_slice(&chunk.bytes),
                Ok(None) => return Err(None),
                Err(_) => return Err(self.connection.close_reason()),
            }
        }
    }

    pub async fn next_where(&mut self, wanted: impl Fn(&ServerFrame<'_>) -> bool) -> Owned {
        loop {
            match self.next_or_end().await {
                Ok(frame) if wanted(&frame.get()) => return frame,
                Ok(_) => {}
                Err(end) => panic!("the connection ended: {end:?}"),
            }
        }
    }

    /// The body of the next text.
    pub async fn text(&mut self) -> Vec<u8> {
        let frame = self
            .next_where(|frame| matches!(frame, ServerFrame::Message(message) if message.kind == Kind::Text))
            .await;
        match frame.get() {
            ServerFrame::Message(message) => message.body.to_vec(),
            _ => unreachable!("found as such"),
        }
    }

    /// Reads until the end: the last `Reject`, and the code of the close.
    pub async fn until_end(&mut self) -> (Option<u16>, Option<u64>) {
        let mut rejected = None;
        loop {
            match self.next_or_end().await {
                Ok(frame) => {
                    if let ServerFrame::Reject(reject) = frame.get() {
                        rejected = Some(reject.code.number());
                    }
                }
                Err(_) => return (rejected, self.code().await),
            }
        }
    }

    /// The code that the server closes with.
    pub async fn code(&self) -> Option<u64> {
        match tokio::time::timeout(PATIENCE, self.connection.closed()).await.unwrap() {
            ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
            _ => None,
        }
    }

    /// Goes on from another port.
    pub fn move_on(&self) {
        self.endpoint.rebind(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
    }
}

/// Whole frames, owned.
pub fn frames(mut bytes: &[u8]) -> Vec<Owned> {
    let mut all = Vec::new();
    while let Some(frame) = frame::split(&mut bytes, 1 << 24).unwrap() {
        all.push(Owned(frame.bytes.to_vec()));
    }
    all
}
