//! The tokio client over QUIC, against a server played by hand on quinn.

#![allow(clippy::disallowed_methods, reason = "tests have a clock and sockets")]

mod peer;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::{PATIENCE, Sent, joined, message, read, welcome};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig, VarInt};
use ringwire_client::{Client, Code, Conversation, ConversationId, Error, Start, State, UserId};
use ringwire_protocol::frame::{self, FrameReader};
use ringwire_protocol::limits::FRAME_BYTES_MAX;
use ringwire_protocol::message::{
    Ack, ClientFrame, Durability, Encoder, Member, Page, Role, ServerFrame, TypingNotice,
};
use rustls::crypto::aws_lc_rs as crypto;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::time::timeout;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("in time")
}

/// A server's end of QUIC, and what its certificate is pinned by.
struct Server {
    endpoint: Endpoint,
    address: SocketAddr,
    pin: [u8; 32],
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Server {
    fn start() -> Server {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
        let pin = hash.as_ref().try_into().expect("32 bytes");
        let config = config(&certificate, &key);
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = endpoint.local_addr().expect("bound");
        Server { endpoint, address, pin, certificate, key }
    }

    /// Like one that has started anew: it knows no tickets.
    fn forget(&self) {
        self.endpoint.set_server_config(Some(config(&self.certificate, &self.key)));
    }

    fn client(&self, scheme: &str, port: u16) -> ringwire_client::Builder {
        Client::builder(format!("{scheme}://127.0.0.1:{port}")).token("dev:me").pin_certificate(self.pin)
    }

    async fn greet(&self) -> Peer {
        let connecting = soon(self.endpoint.accept()).await.expect("a connection").accept().expect("taken");
        // A server may always look at what comes early.
        let Ok((connection, _)) = connecting.into_0rtt() else { panic!("a server may") };
        let (send, recv) = soon(connection.accept_bi()).await.expect("the client opens a stream");
        let (early, reader) = (recv.is_0rtt(), FrameReader::new(FRAME_BYTES_MAX));
        let mut peer =
            Peer { connection, send, recv, early, reader, frames: Vec::new(), encoder: Encoder::new() };
        let Sent::Hello { .. } = peer.next().await else { panic!("Hello comes first") };
        peer.send(&ServerFrame::Welcome(welcome())).await;
        peer
    }

    /// A client that is in the room "r", and its server.
    async fn joined(&self, head: u64) -> (Client, Conversation, Peer) {
        let connecting = tokio::spawn(self.client("quic", self.address.port()).connect());
        let mut peer = self.greet().await;
        let client = soon(connecting).await.expect("no panic").expect("connected");
        let joining = tokio::spawn({
            let client = client.clone();
            async move { client.join_from("r", Start::After(0)).await }
        });
        let Sent::Join { request, .. } = peer.next().await else { panic!("a join") };
        let members = [Member { user: UserId::from_name("ada"), name: "ada", role: Role::Member }];
        peer.send(&ServerFrame::Joined(joined(request, "r", head, 0, &members))).await;
        let room = soon(joining).await.expect("no panic").expect("joined");
        (client, room, peer)
    }
}

fn config(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(crypto::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("they match");
    config.alpn_protocols = vec![b"ringwire/1".to_vec()];
    config.max_early_data_size = u32::MAX;
    ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).expect("TLS 1.3")))
}

struct Peer {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    /// The stream was opened before the handshake was over.
    early: bool,
    reader: FrameReader,
    frames: Vec<Sent>,
    encoder: Encoder,
}

impl Peer {
    async fn next(&mut self) -> Sent {
        let mut input = [0; 4096];
        while self.frames.is_empty() {
            let count = soon(self.recv.read(&mut input)).await.expect("alive").expect("not the end");
            let mut rest = &input[..count];
            while let Some(frame) = self.reader.next(&mut rest).expect("frames") {
                let frame = ClientFrame::decode(frame).expect("a valid frame");
                if !matches!(frame, ClientFrame::Delivered(_)) {
                    self.frames.push(read(&frame));
                }
            }
        }
        self.frames.remove(0)
    }

    fn bytes(&mut self, frame: &ServerFrame<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.encode(&mut self.encoder, &mut bytes);
        bytes
    }

    async fn send(&mut self, frame: &ServerFrame<'_>) {
        let bytes = self.bytes(frame);
        self.send.write_all(&bytes).await.expect("written");
    }

    async fn message(&mut self, sequence: u64) {
        let body = format!("m{sequence}");
        self.send(&ServerFrame::Message(message("r", sequence, body.as_bytes()))).await;
    }

    /// The client has something new, and the server knows it.
    async fn message_read(&mut self, room: &mut Conversation) {
        let publisher = room.publisher();
        let publishing = tokio::spawn(async move { publisher.publish("x").await });
        loop {
            match self.next().await {
                Sent::Publish { number, .. } => {
                    self.ack(number, number).await;
                    break;
                }
                Sent::Hello { .. } => panic!("a second Hello"),
                _ => {}
            }
        }
        soon(publishing).await.expect("no panic").expect("accepted");
    }

    async fn ack(&mut self, client_sequence: u64, sequence: u64) {
        let ack = Ack {
            conversation: ConversationId::from_name("r"),
            client_sequence,
            sequence,
            server_time_ms: 1,
            durability: Durability::Synced,
            duplicate: false,
        };
        self.send(&ServerFrame::Ack(ack)).await;
    }

    /// On a stream of its own.
    async fn page(&mut self, request: u32, from: u64, to: u64, head: u64) {
        let mut frames = Vec::new();
        for sequence in from..=to {
            message("r", sequence, format!("m{sequence}").as_bytes()).encode(&mut self.encoder, &mut frames);
        }
        let page = Page {
            request,
            conversation: ConversationId::from_name("r"),
            from,
            to,
            head,
            complete: to == head,
            frames: &frames,
            amendments: &[],
        };
        let bytes = self.bytes(&ServerFrame::Page(page));
        let mut stream = self.connection.open_uni().await.expect("allowed");
        // In two pieces: a frame may be cut anywhere.
        let (front, back) = bytes.split_at(11);
        stream.write_all(front).await.expect("written");
        tokio::time::sleep(Duration::from_millis(5)).await;
        stream.write_all(back).await.expect("written");
        stream.finish().expect("open");
    }
}

#[tokio::test]
async fn frames_travel_on_the_stream_pages_on_their_own_and_typing_in_datagrams() {
    let server = Server::start();
    let (client, mut room, mut peer) = server.joined(2).await;
    let Sent::Fetch { request, from: 1, .. } = peer.next().await else { panic!("the hole is fetched") };
    peer.message(3).await;
    peer.page(request, 1, 2, 2).await;
    for sequence in 1..=3 {
        assert_eq!(soon(room.next_message()).await.expect("a message").sequence, sequence);
    }
    let publisher = room.publisher();
    let publishing = tokio::spawn(async move { publisher.publish("hello").await });
    assert!(matches!(peer.next().await, Sent::Publish { number: 1, .. }));
    peer.ack(1, 4).await;
    assert_eq!(soon(publishing).await.expect("no panic").expect("accepted").sequence, 4);
    room.typing(true).expect("a member");
    let datagram = soon(peer.connection.read_datagram()).await.expect("a datagram");
    let frame = frame::split(&mut &datagram[..], FRAME_BYTES_MAX).expect("whole").expect("one");
    assert!(matches!(ClientFrame::decode(frame), Ok(ClientFrame::Typing(_))));
    let notice = TypingNotice {
        conversation: ConversationId::from_name("r"),
        user: UserId::from_name("ada"),
        active: true,
    };
    let mut events = client.events();
    let bytes = peer.bytes(&ServerFrame::TypingNotice(notice));
    peer.connection.send_datagram(bytes.into()).expect("allowed");
    soon(async {
        while !matches!(room.next_update().await, Some(ringwire_client::Update::Typing { active: true, .. }))
        {
        }
    })
    .await;
    drop(events.try_recv());
    let _ = client.shutdown().await;
    let reason = soon(peer.connection.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(close) = reason else { panic!("no code: {reason}") };
    assert_eq!(close.error_code, VarInt::from_u32(Code::NORMAL.number().into()));
}

#[tokio::test]
async fn the_code_of_a_close_decides_whether_the_client_comes_back() {
    let server = Server::start();
    let (client, _room, peer) = server.joined(0).await;
    peer.connection.close(VarInt::from_u32(Code::SHUTTING_DOWN.number().into()), b"bye");
    let _again = server.greet().await;
    let (other, _room, peer) = server.joined(0).await;
    peer.connection.close(VarInt::from_u32(Code::REPLACED.number().into()), b"elsewhere");
    let mut state = other.watch_state();
    let failed =
        soon(state.wait_for(|state| matches!(state, State::Failed(_)))).await.expect("alive").clone();
    let State::Failed(Error::Closed(refusal)) = failed else { panic!("{failed:?}") };
    assert_eq!((refusal.code, &*refusal.reason), (Code::REPLACED, "elsewhere"));
    drop(client);
}

#[tokio::test]
async fn a_client_that_moves_to_another_socket_loses_nothing() {
    let server = Server::start();
    let (client, mut room, mut peer) = server.joined(0).await;
    let before = peer.connection.remote_address();
    for sequence in 1..=40 {
        if sequence % 10 == 5 {
            client.network_changed();
        }
        peer.message(sequence).await;
        if sequence % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    for sequence in 1..=40 {
        assert_eq!(soon(room.next_message()).await.expect("a message").sequence, sequence);
    }
    let publisher = room.publisher();
    let publishing = tokio::spawn(async move { publisher.publish("from elsewhere").await });
    assert!(matches!(peer.next().await, Sent::Publish { number: 1, .. }));
    peer.ack(1, 41).await;
    soon(publishing).await.expect("no panic").expect("accepted");
    assert_ne!(peer.connection.remote_address(), before, "it came from another port");
    assert!(matches!(client.state(), State::Connected(_)), "and never noticed");
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused_with_its_hash() {
    let (server, other) = (Server::start(), Server::start());
    let client = server.client("quic", other.address.port());
    let answering = tokio::spawn(async move {
        let connecting = other.endpoint.accept().await.expect("a connection");
        let _ = connecting.await;
        other.pin
    });
    let error = soon(client.connect()).await.expect_err("not the pinned one").to_string();
    let hash: String =
        soon(answering).await.expect("no panic").iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(error.contains("pinned") || error.contains(&hash), "{error}");
}

#[tokio::test]
async fn the_best_way_is_quic_where_it_gets_through() {
    let server = Server::start();
    let connecting = tokio::spawn(server.client("ringwire", server.address.port()).connect());
    let peer = server.greet().await;
    let client = soon(connecting).await.expect("no panic").expect("connected");
    assert!(matches!(client.state(), State::Connected(_)));
    drop(peer);
}

/// Listens on TCP and UDP of one port; nothing answers on UDP.
async fn deaf() -> (TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("bound")) {
            return (tcp, udp);
        }
    }
}

#[tokio::test]
async fn where_udp_is_swallowed_tcp_is_tried_in_bounded_time() {
    let server = Server::start();
    let (tcp, _swallows) = deaf().await;
    let port = tcp.local_addr().expect("bound").port();
    let began = Instant::now();
    let client = server.client("ringwire", port).connect_lazy().expect("a URL");
    // A ClientHello is enough to see that TCP is tried.
    let (stream, _) = soon(tcp.accept()).await.expect("a connection");
    let first = began.elapsed();
    assert!(first >= Duration::from_millis(250), "QUIC has its head start: {first:?}");
    assert!(first < Duration::from_secs(3), "and not for ever: {first:?}");
    drop(stream);
    drop(client);
}

#[tokio::test]
async fn who_comes_back_greets_before_the_handshake_is_over_and_again_where_that_was_not_heard() {
    let server = Server::start();
    let (_client, mut room, peer) = server.joined(0).await;
    assert!(!peer.early, "there was no ticket");
    let mut left = peer;
    for (is_known, published) in [true, true, false, true].into_iter().zip(1..) {
        if !is_known {
            server.forget();
        }
        // The ticket comes behind the handshake; it is there before the next message is.
        left.message_read(&mut room).await;
        left.connection.close(VarInt::from_u32(Code::SHUTTING_DOWN.number().into()), b"bye");
        left = server.greet().await;
        assert_eq!(left.early, is_known);
        left.send(&ServerFrame::Joined(joined(0, "r", published, published, &[]))).await;
    }
}

#[tokio::test]
async fn an_address_that_swallows_datagrams_does_not_hide_the_next() {
    let server = Server::start();
    let port = server.address.port();
    // The name may have no such address here; then there is one less to get past.
    let _swallows = UdpSocket::bind(("::1", port));
    let client =
        Client::builder(format!("quic://localhost:{port}")).token("dev:me").pin_certificate(server.pin);
    let connecting = tokio::spawn(client.connect());
    let _peer = server.greet().await;
    soon(connecting).await.expect("no panic").expect("connected");
}
