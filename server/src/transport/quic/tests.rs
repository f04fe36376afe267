//! A shard's QUIC against clients of `quinn-proto`, in memory and in a time of its own.

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

/// One certificate for all tests: to make one takes longer than a test.
fn certificate() -> &'static (CertificateDer<'static>, Vec<u8>) {
    static CERTIFICATE: OnceLock<(CertificateDer<'static>, Vec<u8>)> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("it is made");
        (made.cert.der().clone(), made.signing_key.serialize_der())
    })
}

fn offer() -> Offer {
    let (certificate, key) = certificate();
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
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate().0.clone()).unwrap();
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
        frame_bytes_max: 64 * 1024,
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
        let at = self.events.iter().position(|event| matches!(event, Event::Opened(..)));
        let Event::Opened(id, _) = self.events.remove(at.expect("a client has opened its stream")) else {
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

#[test]
fn a_stream_carries_bytes_both_ways_and_ends_with_its_code() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"hello");
    assert_eq!((id.slot, id.generation), (SLOT, 0), "behind the driver's slots");
    assert_eq!(world.read_all(id), b"hello");
    assert_eq!(world.quic.write(id, &Bytes::from_static(b"welcome")), 7);
    world.exchange(&mut [&mut client]);
    assert_eq!(client.read(stream), b"welcome");

    assert_eq!(world.quic.write(id, &Bytes::from_static(b"bye")), 3);
    world.quic.close(world.now, id, 3554, "replaced");
    world.exchange(&mut [&mut client]);
    assert_eq!(client.read(stream), b"bye", "what was written before the close arrives before it");
    assert_eq!(client.code(), Some(3554));
    assert!(!world.has(|event| matches!(event, Event::Lost(_))), "who closes knows");
    world.pass(60_000, &mut [&mut client]);
    assert_eq!(world.quic.counters.connections, 0, "nothing is left of it");
    let (_, _, next) = world.session(2, b"x");
    assert_eq!((next.slot, next.generation), (SLOT, 1), "the slot is used again, by another");
}

#[test]
fn a_client_that_closes_is_lost_once_however_it_does_it() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"x");
    world.read_all(id);
    client.connection.send_stream(stream).finish().unwrap();
    world.exchange(&mut [&mut client]);
    world.read_all(id);
    world.collect();
    let (mut other, _, other_id) = world.session(2, b"x");
    other.connection.close(world.instant(), VarInt::from_u32(0), Bytes::new());
    world.exchange(&mut [&mut client, &mut other]);
    for gone in [id, other_id] {
        let lost = world.events.iter().filter(|event| matches!(event, Event::Lost(id) if *id == gone));
        assert_eq!(lost.count(), 1, "{gone:?}");
    }
    assert_eq!(world.quic.write(id, &Bytes::from_static(b"late")), 4, "it swallows what comes late");
}

#[test]
fn a_reader_that_does_not_read_is_bounded_and_told_of_when_it_does() {
    let mut world = World::new();
    let mut config = client_config("ringwire/1");
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(20_000));
    config.transport_config(Arc::new(transport));
    let mut client = world.connect(1, &config);
    world.exchange(&mut [&mut client]);
    let stream = client.open(Dir::Bi);
    client.connection.send_stream(stream).write(b"x").unwrap();
    world.exchange(&mut [&mut client]);
    let id = world.opened();
    let much = Bytes::from(vec![7; 300_000]);
    let taken = world.quic.write(id, &much);
    assert_eq!(taken, 20_000, "no more than the client allows");
    world.exchange(&mut [&mut client]);
    assert!(!world.has(|event| matches!(event, Event::Writable(_))));
    assert_eq!(client.read(stream).len(), 20_000);
    world.exchange(&mut [&mut client]);
    assert!(world.has(|event| matches!(event, Event::Writable(of) if *of == id)));

    let (mut generous, _, id) = world.session(2, b"x");
    let taken = world.quic.write(id, &much);
    assert_eq!(taken as u64, limits::QUIC_SEND_BYTES, "no more than we keep");
    world.exchange(&mut [&mut generous]);
    assert!(world.has(|event| matches!(event, Event::Writable(of) if *of == id)));
}

#[test]
fn answers_to_fetches_have_streams_of_their_own_behind_what_is_live() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"x");
    for nth in 0..12u8 {
        if nth == 3 {
            world.quic.page(id, Bytes::from_static(b"gap"), false);
        }
        world.quic.page(id, Bytes::from(vec![nth; 30_000]), true);
    }
    assert!(world.quic.page_bytes(id) >= 8 * 30_000, "few are under way at a time");
    assert_eq!(world.quic.write(id, &Bytes::from_static(b"live")), 4, "and leave room for live messages");
    world.exchange(&mut [&mut client]);
    let mut pages = Vec::new();
    let mut streams: Vec<StreamId> = Vec::new();
    while pages.len() < 12 {
        while let Some(uni) = client.connection.streams().accept(Dir::Uni) {
            streams.push(uni);
        }
        let before = pages.len();
        for uni in streams.drain(..) {
            pages.push(client.read(uni));
        }
        world.exchange(&mut [&mut client]);
        assert!(pages.len() > before, "they go on");
    }
    for (nth, page) in pages.iter().enumerate() {
        let gap: &[u8] = if nth == 3 { b"gap" } else { b"" };
        assert_eq!((&page[..gap.len()], page.len()), (gap, 30_000 + gap.len()), "page {nth}");
        assert!(page[gap.len()..].iter().all(|byte| usize::from(*byte) == nth));
    }
    assert_eq!(client.read(stream), b"live");
    assert_eq!(world.quic.page_bytes(id), 0);
}

#[test]
fn a_challenge_is_answered_by_who_lives_and_by_nobody_else() {
    let mut world = World::new();
    let (mut client, _, id) = world.session(1, b"x");
    let proven = |world: &World| world.has(|event| matches!(event, Event::Proven(of) if *of == id));
    world.quic.challenge(id);
    world.flush();
    world.pass(100, &mut []);
    assert!(!proven(&world), "nothing has come back");
    world.pass(3000, &mut [&mut client]);
    assert!(proven(&world));
}

#[test]
fn datagrams_carry_what_may_be_lost_where_they_fit() {
    let mut world = World::new();
    let (mut client, _, id) = world.session(1, b"x");
    assert!(world.quic.tell(id, &Bytes::from_static(b"typing")));
    assert!(!world.quic.tell(id, &Bytes::from(vec![0; 5000])), "too long for one");
    client.connection.datagrams().send(Bytes::from_static(b"I type"), true).unwrap();
    world.exchange(&mut [&mut client]);
    assert_eq!(client.connection.datagrams().recv().as_deref(), Some(&b"typing"[..]));
    assert!(
        world.has(
            |event| matches!(event, Event::Datagram(of, bytes) if *of == id && bytes[..] == b"I type"[..])
        )
    );
}

#[test]
fn a_second_stream_is_against_the_rules() {
    for dir in [Dir::Bi, Dir::Uni] {
        let mut world = World::new();
        let (mut client, _, id) = world.session(1, b"x");
        let second = client.open(dir);
        client.connection.send_stream(second).write(b"y").unwrap();
        world.exchange(&mut [&mut client]);
        assert_eq!(client.code(), Some(u64::from(Code::UNEXPECTED_FRAME.number())));
        assert!(world.has(|event| matches!(event, Event::Lost(of) if *of == id)));
        // However many it wants.
        let mut client = world.connect(2, &client_config("ringwire/1"));
        world.exchange(&mut [&mut client]);
        let allowed = std::iter::from_fn(|| client.connection.streams().open(dir)).count();
        assert!(allowed <= 3, "{allowed} streams are allowed");
    }
}

#[test]
fn who_does_not_open_a_stream_in_time_is_closed() {
    let mut world = World::new();
    let mut client = world.connect(1, &client_config("ringwire/1"));
    world.exchange(&mut [&mut client]);
    assert_eq!((world.quic.counters.connections, world.quic.counters.handshakes), (1, 0));
    world.pass(11_000, &mut [&mut client]);
    assert_eq!(client.code(), Some(u64::from(Code::HANDSHAKE_TIMEOUT.number())));
    world.pass(10_000, &mut []);
    assert_eq!((world.quic.counters.connections, world.quic.counters.overdue), (0, 1));
}

#[test]
fn an_idle_connection_costs_no_turn_until_it_times_out() {
    let mut world = World::new();
    let (mut client, _, id) = world.session(1, b"x");
    world.pass(3_000, &mut [&mut client]);
    assert!(!world.quic.has_due());
    let next_ms = world.quic.next_ms(world.now).expect("the idle time-out");
    assert!(next_ms > 20_000, "nothing before {next_ms} ms");
    world.pass(61_000, &mut []);
    assert!(world.has(|event| matches!(event, Event::Lost(of) if *of == id)));
    assert_eq!(world.quic.counters.connections, 0);
}

#[test]
fn a_busy_connection_has_one_deadline() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"x");
    for _ in 0..100 {
        assert_eq!(world.quic.write(id, &Bytes::from_static(b"message")), 7);
        world.exchange(&mut [&mut client]);
        world.pass(100, &mut [&mut client]);
        client.read(stream);
    }
    assert_eq!(world.quic.deadlines.len(), 1);
    client.connection.close(world.instant(), VarInt::from_u32(0), Bytes::new());
    world.exchange(&mut [&mut client]);
    world.pass(10_000, &mut []);
    assert_eq!((world.quic.deadlines.len(), world.quic.next_ms(world.now)), (0, None));
}

#[test]
fn a_wrong_protocol_is_refused_before_a_session_begins() {
    let mut world = World::new();
    let mut client = world.connect(1, &client_config("something/9"));
    world.exchange(&mut [&mut client]);
    assert!(matches!(client.lost, Some(ConnectionError::ConnectionClosed(_))), "{:?}", client.lost);
    assert!(world.events.is_empty());
    world.pass(10_000, &mut []);
    assert_eq!((world.quic.counters.connections, world.quic.counters.handshakes), (0, 0));
}

#[test]
fn a_client_that_moves_loses_nothing() {
    let mut world = World::new();
    let (mut client, stream, id) = world.session(1, b"one,");
    let mut heard = world.read_all(id);
    for nth in 2..6 {
        client.address = address(100 + nth);
        client.connection.send_stream(stream).write(b"more,").unwrap();
        world.exchange(&mut [&mut client]);
        heard.extend(world.read_all(id));
        let said = Bytes::from(format!("to {nth},"));
        assert_eq!(world.quic.write(id, &said), said.len());
        world.exchange(&mut [&mut client]);
    }
    assert_eq!(heard, b"one,more,more,more,more,");
    assert_eq!(client.read(stream), b"to 2,to 3,to 4,to 5,");
    assert!(!world.has(|event| matches!(event, Event::Lost(_))));
}

#[test]
fn a_datagram_on_another_shards_socket_finds_its_connection() {
    let offer = offer();
    let mut world = World::of(Quic::new(setup(offer.clone(), 0)).unwrap());
    let mut other = Quic::new(setup(offer, 1)).unwrap();
    let (mut client, stream, id) = world.session(1, b"one,");
    let mut heard = world.read_all(id);
    client.address = address(9);
    client.connection.send_stream(stream).write(b"two").unwrap();
    let mut letters = Vec::new();
    for datagram in client.flush(world.instant()) {
        let pass_on = |shard, stray| {
            letters.push((shard, stray));
            true
        };
        other.on_datagrams(world.now, (client.address, None), 0, datagram.len(), &datagram, pass_on);
    }
    assert!(!letters.is_empty() && letters.iter().all(|(shard, _)| *shard == 0));
    assert_eq!((other.counters.strays, other.counters.connections), (letters.len() as u64, 0));
    for (_, stray) in letters {
        world.quic.on_stray(world.now, &stray);
    }
    heard.extend(world.read_all(id));
    assert_eq!(heard, b"one,two");
    // A ring that is full loses it, and it is counted.
    client.connection.ping();
    for datagram in client.flush(world.instant()) {
        other.on_datagrams(world.now, (client.address, None), 0, datagram.len(), &datagram, |_, _| false);
    }
    assert!(other.counters.strays_dropped > 0);
}

#[test]
fn spoofed_initials_cost_bounded_memory_and_are_answered_by_at_most_three_times_their_bytes() {
    let mut world = World::new();
    let config = client_config("ringwire/1");
    let sent = 4 * limits::QUIC_UNVALIDATED_MAX;
    for nth in 0..sent {
        // First flights of clients who are not where they say: nobody ever answers.
        for datagram in world.connect(nth as u32, &config).flush(world.instant()) {
            world.receive(address(nth as u32), &datagram);
        }
        world.flush();
    }
    world.pass(5_000, &mut []);
    let counters = world.quic.counters;
    assert_eq!(counters.accepted, limits::QUIC_UNVALIDATED_MAX as u64);
    assert!(counters.retried >= 3 * limits::QUIC_UNVALIDATED_MAX as u64);
    assert!(world.out_bytes <= 3 * world.in_bytes, "{} for {}", world.out_bytes, world.in_bytes);
    // Somebody who is where he says comes in all the same.
    let (_, _, id) = world.session(1_000_000, b"x");
    assert_eq!(world.read_all(id), b"x");
    world.pass(30_000, &mut []);
    assert_eq!(world.quic.counters.handshakes, 0, "and those who never answer are forgotten");
    assert_eq!(world.quic.unvalidated, 0);
}

#[test]
fn garbage_is_answered_by_less_than_it_is_and_leaves_nothing() {
    let mut world = World::new();
    for nth in 0..3_000u64 {
        let mut garbage = blake3::hash(&nth.to_le_bytes()).as_bytes().repeat(40);
        garbage.truncate(1 + (nth as usize * 7) % 1250);
        if nth % 3 == 0 {
            // Looks like an Initial of version 1.
            garbage[0] = 0xc0;
            garbage.iter_mut().skip(1).take(4).zip([0, 0, 0, 1]).for_each(|(byte, version)| *byte = version);
        }
        world.receive(address(nth as u32), &garbage);
        world.flush();
    }
    assert_eq!(world.quic.counters.connections, 0);
    assert!(world.out_bytes < world.in_bytes, "{} for {}", world.out_bytes, world.in_bytes);
    assert!(world.events.is_empty());
}

#[test]
fn beyond_the_connections_there_may_be_a_client_is_refused() {
    let offer = offer();
    let mut world = World::of(Quic::new(Setup { connections_max: 1, ..setup(offer, 0) }).unwrap());
    let (_first, _, _) = world.session(1, b"x");
    let mut second = world.connect(2, &client_config("ringwire/1"));
    world.exchange(&mut [&mut second]);
    assert!(second.lost.is_some());
    assert!(world.quic.counters.refused > 0);
    world.quic.drain();
    let mut third = world.connect(3, &client_config("ringwire/1"));
    world.exchange(&mut [&mut third]);
    assert!(third.lost.is_some(), "and nobody comes in who comes while the server goes");
}

#[test]
fn what_comes_early_is_read_at_once_and_a_flight_sent_again_changes_nothing() {
    let mut world = World::new();
    let config = client_config("ringwire/1");
    let mut first = world.connect(1, &config);
    world.exchange(&mut [&mut first]);
    first.connection.close(world.instant(), VarInt::from_u32(0), Bytes::new());
    world.exchange(&mut [&mut first]);
    world.pass(5_000, &mut []);
    world.events.clear();

    // Comes back, and speaks before the handshake.
    let mut client = world.connect(2, &config);
    assert!(client.connection.has_0rtt());
    let stream = client.open(Dir::Bi);
    client.connection.send_stream(stream).write(b"early").unwrap();
    let flight = client.flush(world.instant());
    for datagram in &flight {
        world.receive(client.address, datagram);
    }
    let id = world.opened();
    assert!(world.quic.is_early(id));
    assert_eq!(world.read_all(id), b"early", "within the first flight");
    assert_eq!(world.quic.write(id, &Bytes::from_static(b"ack")), 3);
    world.quic.hold(id, b"later", b",rest");
    assert_eq!(world.read_all(id), b"", "what is held waits");
    for (_, datagram) in world.flush() {
        let instant = world.instant();
        client.receive(instant, &datagram);
    }
    assert_eq!(client.read(stream), b"ack", "one round trip after the start");
    world.exchange(&mut [&mut client]);
    assert!(client.connection.accepted_0rtt() && !world.quic.is_early(id));
    assert_eq!(world.read_all(id), b"later,rest");

    // Somebody sends the flight again, from elsewhere and from there.
    world.events.clear();
    for nth in [3, 2] {
        for datagram in &flight {
            world.receive(address(nth), datagram);
        }
        world.flush();
    }
    assert!(!world.has(|event| matches!(event, Event::Opened(..))), "{:?}", world.events);
    assert_eq!(world.read_all(id), b"");
    world.pass(20_000, &mut [&mut client]);
    assert_eq!(world.quic.counters.connections, 1, "what the copies began is forgotten");
}
