//! A shard's QUIC and clients of `quinn-proto`, in memory and in a time of their own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, TransportConfig,
};
use ringwire::clock::Now;
use ringwire::transport::quic::settings::{Keys, Patience};
use ringwire::transport::quic::{Event, Quic, Setup};
use ringwire::transport::tls::offer::{Certificates, Offer};
use ringwire_driver::{ConnectionId, Operations};

use crate::trust;

/// Connections that the server takes, and of those in handshake that have not proven their address.
pub const CONNECTIONS_MAX: u32 = 4;
/// See [`CONNECTIONS_MAX`].
pub const UNVALIDATED_MAX: usize = 2;

/// Of those, how many may keep much for who does not acknowledge it.
const WIDE_MAX: usize = 1;

/// Seconds that somebody has to open a stream.
const HANDSHAKE_S: u32 = 10;

/// Seconds of silence.
const IDLE_S: u32 = 45;

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 7400);

/// What has an address.
pub fn address(nth: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + nth as u32)), 4000)
}

fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

static OFFER: LazyLock<Offer> = LazyLock::new(|| {
    let mut config = trust::server(&["ringwire/1", "h3"]);
    config.max_early_data_size = u32::MAX;
    let config = Arc::new(config);
    // Tried here, so that a target does not run without it.
    QuicServerConfig::try_from(Arc::clone(&config)).expect("it speaks QUIC");
    Offer::new(Certificates { tcp: Arc::clone(&config), quic: config, sha256: [0; 32] })
});

/// How clients of a protocol connect.
pub fn config(protocol: &str) -> ClientConfig {
    let tls = QuicClientConfig::try_from(trust::client(&[protocol])).expect("it speaks QUIC");
    let mut config = ClientConfig::new(Arc::new(tls));
    let mut transport = TransportConfig::default();
    transport.max_concurrent_uni_streams(16u32.into());
    config.transport_config(Arc::new(transport));
    config
}

/// What an address has sent, and was sent.
#[derive(Clone, Copy, Default, Debug)]
pub struct Account {
    pub came_bytes: usize,
    pub sent_bytes: usize,
}

/// The server's end.
pub struct Server {
    pub quic: Quic,
    now: Now,
    operations: Operations,
    /// Connections that have a session, in the order of their beginning.
    pub opened: Vec<ConnectionId>,
    /// By address.
    pub accounts: BTreeMap<SocketAddr, Account>,
}

impl Server {
    /// Nobody is there yet.
    pub fn new() -> Self {
        let setup = Setup {
            offer: OFFER.clone(),
            keys: Keys { secret: [7; 32], seed: [1; 32] },
            patience: Patience { idle_s: IDLE_S, handshake_s: HANDSHAKE_S },
            shard: 0,
            shards: 2,
            first_slot: 1000,
            connections_max: CONNECTIONS_MAX,
            unvalidated_max: UNVALIDATED_MAX,
            wide_max: WIDE_MAX,
            frame_bytes_max: 64 * 1024,
            handshakes: None,
            origins: Vec::new(),
            base: base(),
        };
        Server {
            quic: Quic::new(setup).expect("it speaks QUIC"),
            now: Now { monotonic_ns: 1_000_000_000, unix_ms: 1_700_000_000_000 },
            operations: Operations::default(),
            opened: Vec::new(),
            accounts: BTreeMap::new(),
        }
    }

    /// The time.
    pub fn instant(&self) -> Instant {
        base() + Duration::from_nanos(self.now.monotonic_ns)
    }

    /// The same, as the server is told it.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        self.now.monotonic_ns += ms * 1_000_000;
        self.now.unix_ms += ms;
    }

    /// A datagram has come; one for another shard is thrown away.
    pub fn receive(&mut self, from: SocketAddr, ecn: u8, datagram: &[u8]) {
        self.accounts.entry(from).or_default().came_bytes += datagram.len();
        let path = (from, Some(SERVER.ip()));
        self.quic.on_datagrams(self.now, path, ecn, datagram.len(), datagram, |_, _| false);
        self.look();
    }

    /// What sessions would do: read all, and close where the peer is gone.
    fn look(&mut self) {
        while let Some(event) = self.quic.next_event() {
            match event {
                Event::Opened { id, .. } => self.opened.push(id),
                Event::Readable(id) => while self.quic.read(self.now, id).is_some() {},
                _ => {}
            }
        }
        let counters = self.quic.counters;
        assert!(counters.connections <= u64::from(CONNECTIONS_MAX), "{counters:?}");
        assert!(counters.unproven <= UNVALIDATED_MAX as u64, "{counters:?}");
        assert!(counters.handshakes <= counters.connections, "{counters:?}");
    }

    /// A turn: what leaves, cut into datagrams.
    pub fn turn(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.quic.on_time(self.now);
        self.look();
        self.quic.flush(self.now, &mut self.operations);
        self.look();
        let datagrams = std::mem::take(&mut self.operations.datagrams);
        let mut all = Vec::new();
        for out in &datagrams.list {
            let bytes = &datagrams.bytes[out.start..out.start + out.bytes];
            self.accounts.entry(out.destination).or_default().sent_bytes += bytes.len();
            all.extend(bytes.chunks(out.segment_bytes).map(|datagram| (out.destination, datagram.to_vec())));
        }
        all
    }

    /// Carries datagrams to and fro until both sides are silent.
    pub fn exchange(&mut self, client: &mut Client) {
        for _ in 0..1000 {
            let flight = client.flight(self.instant());
            let mut any = !flight.is_empty();
            flight.iter().for_each(|datagram| self.receive(client.address, 0, datagram));
            for (to, datagram) in self.turn() {
                any = true;
                if to == client.address {
                    client.receive(self.instant(), &datagram);
                }
            }
            self.pass(1);
            if !any && !self.quic.has_due() {
                return;
            }
        }
        panic!("they do not come to rest");
    }

    /// Whatever has happened: when nobody says anything more, nothing is left of anybody.
    pub fn come_to_rest(&mut self) {
        for _ in 0..60 {
            self.pass(u64::from(IDLE_S + HANDSHAKE_S + 20) * 100);
            self.turn();
        }
        let counters = self.quic.counters;
        assert_eq!((counters.connections, counters.handshakes, counters.unproven), (0, 0, 0), "{counters:?}");
        assert_eq!(self.quic.next_ms(self.now), None);
    }
}

impl Default for Server {
    fn default() -> Self {
        Server::new()
    }
}

/// The client's end.
pub struct Client {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    pub connection: Connection,
    pub address: SocketAddr,
}

impl Client {
    /// Dials from an address.
    pub fn new(now: Instant, nth: usize, config: &ClientConfig) -> Self {
        let mut setup = EndpointConfig::default();
        setup.rng_seed(Some([nth as u8; 32]));
        let mut endpoint = Endpoint::new(Arc::new(setup), None, true, None);
        let (handle, connection) =
            endpoint.connect(now, config.clone(), SERVER, trust::NAME).expect("a valid address");
        Client { endpoint, handle, connection, address: address(nth) }
    }

    /// What it has to send now.
    pub fn flight(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
        self.attend();
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        while let Some(transmit) = self.connection.poll_transmit(now, 1, &mut buffer) {
            all.push(buffer[..transmit.size].to_vec());
            buffer.clear();
        }
        all
    }

    /// A datagram has come.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) {
        let mut buffer = Vec::new();
        let event = self.endpoint.handle(now, SERVER, None, None, datagram.into(), &mut buffer);
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
        while self.connection.poll().is_some() {}
    }
}
