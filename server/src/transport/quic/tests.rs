//! A shard's QUIC against clients of `quinn-proto`, in memory and in a time of its own.

mod addresses;
mod bounds;
mod handshake;
mod streams;
mod web;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, DatagramEvent, Dir, EndpointConfig, StreamId, TransportConfig,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ServerSessionMemoryCache;

use super::*;
use crate::limits;
use crate::transport::tls::offer::Certificates;

const SLOT: u32 = 1000;

/// A certificate and its key.
type Pair = (CertificateDer<'static>, Vec<u8>);

/// One certificate for nearly all tests: to make one takes longer than a test.
fn certificate() -> &'static Pair {
    static CERTIFICATE: OnceLock<Pair> = OnceLock::new();
    CERTIFICATE.get_or_init(|| certificate_for(0))
}

/// One with so many names beside the one that is used.
fn certificate_for(others: usize) -> Pair {
    let others = (0..others).map(|nth| format!("host-{nth}.example"));
    let names: Vec<String> = std::iter::once("localhost".to_owned()).chain(others).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("it is made");
    (made.cert.der().clone(), made.signing_key.serialize_der())
}

fn offer() -> Offer {
    offer_of(certificate())
}

fn offer_of((certificate, key): &Pair) -> Offer {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone()));
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"ringwire/1".to_vec(), b"h3".to_vec()];
    config.max_early_data_size = u32::MAX;
    config.session_storage = ServerSessionMemoryCache::new(64);
    let config = Arc::new(config);
    Offer::new(Certificates { tcp: Arc::clone(&config), quic: config, sha256: [0; 32] })
}

fn client_config(protocol: &str) -> ClientConfig {
    client_config_for(protocol, certificate())
}

fn client_config_for(protocol: &str, (certificate, _): &Pair) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config.enable_early_data = true;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let mut transport = TransportConfig::default();
    transport.max_concurrent_uni_streams(VarInt::from_u32(16));
    config.transport_config(Arc::new(transport));
    config
}

/// A shard's QUIC, and the time.
struct World {
    quic: Quic,
    now: Now,
    operations: Operations,
    events: Vec<Event>,
    /// Bytes that came from addresses, and that went to them.
    in_bytes: usize,
    out_bytes: usize,
}

/// A client at an address.
struct Client {
    endpoint: quinn_proto::Endpoint,
    handle: quinn_proto::ConnectionHandle,
    connection: Connection,
    address: SocketAddr,
    lost: Option<ConnectionError>,
}

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 7400);

fn address(nth: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + nth)), 4000)
}

fn setup(offer: Offer, shard: ShardIndex) -> Setup {
    Setup {
        offer,
        keys: Keys { secret: [7; 32], seed: [shard as u8 + 1; 32] },
        patience: Patience { idle_s: 45, handshake_s: 10 },
        shard,
        shards: 2,
        first_slot: SLOT,
        connections_max: 3000,
        unvalidated_max: limits::QUIC_UNVALIDATED_MAX,
        wide_max: limits::QUIC_WIDE_MAX,
        frame_bytes_max: 64 * 1024,
        handshakes: None,
        origins: vec!["https://app.example".to_owned()],
        base: base(),
    }
}

#[expect(clippy::disallowed_methods, reason = "an instant to begin with; how late it is does not matter")]
fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

impl World {
    fn new() -> Self {
        Self::of(Quic::new(setup(offer(), 0)).unwrap())
    }

    fn of(quic: Quic) -> Self {
        let now = Now { monotonic_ns: 1_000_000_000, unix_ms: 1_700_000_000_000 };
        let operations = Operations::default();
        World { quic, now, operations, events: Vec::new(), in_bytes: 0, out_bytes: 0 }
    }

    fn instant(&self) -> Instant {
        self.quic.instant(self.now)
    }

    fn connect(&self, nth: u32, config: &ClientConfig) -> Client {
        let mut endpoint = quinn_proto::Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        let (handle, connection) =
            endpoint.connect(self.instant(), config.clone(), SERVER, "localhost").unwrap();
        Client { endpoint, handle, connection, address: address(nth), lost: None }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.in_bytes += datagram.len();
        let path = (from, Some(SERVER.ip()));
        self.quic.on_datagrams(self.now, path, 0, datagram.len(), datagram, |_, _| panic!("it is ours"));
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(event) = self.quic.next_event() {
            self.events.push(event);
        }
    }

    /// The end of a turn: what leaves, cut into datagrams.
    fn flush(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.quic.flush(self.now, &mut self.operations);
        self.collect();
        let datagrams = std::mem::take(&mut self.operations.datagrams);
        let mut all = Vec::new();
        for out in &datagrams.list {
            let bytes = &datagrams.bytes[out.start..out.start + out.bytes];
            self.out_bytes += bytes.len();
            all.extend(bytes.chunks(out.segment_bytes).map(|datagram| (out.destination, datagram.to_vec())));
        }
        all
    }

    /// Carries datagrams to and fro until both sides are silent.
    fn exchange(&mut self, clients: &mut [&mut Client]) {
        for _ in 0..10_000 {
            let mut any = false;
            for client in clients.iter_mut() {
                for datagram in client.flush(self.instant()) {
                    any = true;
                    self.receive(client.address, &datagram);
                }
            }
            for (to, datagram) in self.flush() {
                any = true;
                let instant = self.instant();
                if let Some(client) = clients.iter_mut().find(|client| client.address == to) {
                    client.receive(instant, &datagram);
                }
            }
            self.now.monotonic_ns += 1_000_000;
            if !any && !self.quic.has_due() {
                return;
            }
        }
        panic!("they do not come to rest");
    }

    /// Lets time pass, for the server and the clients.
    fn pass(&mut self, ms: u64, clients: &mut [&mut Client]) {
        let end = self.now.monotonic_ns + ms * 1_000_000;
        while self.now.monotonic_ns < end {
            self.now.monotonic_ns = end.min(self.now.monotonic_ns + 100_000_000);
            let instant = self.instant();
            for client in clients.iter_mut() {
                client.connection.handle_timeout(instant);
            }
            self.quic.on_time(self.now);
            self.collect();
            self.exchange(clients);
        }
    }

    fn opened(&mut self) -> ConnectionId {
        let at = self.events.iter().position(|event| matches!(event, Event::Opened { .. }));
        let Event::Opened { id, .. } = self.events.remove(at.expect("a client has opened its stream")) else {
            unreachable!("found as such")
        };
        id
    }

    fn read_all(&mut self, id: ConnectionId) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(bytes) = self.quic.read(self.now, id) {
            all.extend_from_slice(&bytes);
        }
        all
    }

    fn has(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }

    /// A client that has opened its stream and said `said`.
    fn session(&mut self, nth: u32, said: &[u8]) -> (Client, StreamId, ConnectionId) {
        let mut client = self.connect(nth, &client_config("ringwire/1"));
        self.exchange(&mut [&mut client]);
        let stream = client.open(Dir::Bi);
        client.connection.send_stream(stream).write(said).unwrap();
        self.exchange(&mut [&mut client]);
        let id = self.opened();
        (client, stream, id)
    }
}

impl Client {
    fn flush(&mut self, instant: Instant) -> Vec<Vec<u8>> {
        self.attend();
        let mut all = Vec::new();
        let mut buffer = Vec::new();
        while let Some(transmit) = self.connection.poll_transmit(instant, 1, &mut buffer) {
            all.push(buffer[..transmit.size].to_vec());
            buffer.clear();
        }
        all
    }

    fn receive(&mut self, instant: Instant, datagram: &[u8]) {
        let mut buffer = Vec::new();
        let event = self.endpoint.handle(instant, SERVER, None, None, datagram.into(), &mut buffer);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            self.connection.handle_event(event);
        }
        self.attend();
    }

    fn attend(&mut self) {
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
        while let Some(event) = self.connection.poll() {
            if let quinn_proto::Event::ConnectionLost { reason } = event {
                self.lost = Some(reason);
            }
        }
    }

    fn open(&mut self, dir: Dir) -> StreamId {
        self.connection.streams().open(dir).expect("the server allows it")
    }

    fn read(&mut self, stream: StreamId) -> Vec<u8> {
        let mut all = Vec::new();
        let mut stream = self.connection.recv_stream(stream);
        let Ok(mut chunks) = stream.read(true) else { return all };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            all.extend_from_slice(&chunk.bytes);
        }
        let _ = chunks.finalize();
        all
    }

    /// The code of the server's close.
    fn code(&self) -> Option<u64> {
        match &self.lost {
            Some(ConnectionError::ApplicationClosed(close)) => Some(close.error_code.into_inner()),
            _ => None,
        }
    }
}
