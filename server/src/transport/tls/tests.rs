//! One connection against rustls' own client, with the bytes cut anywhere.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::KeyPair;
use ringwire_protocol::ws::{Decoder, Role};
use rustls::crypto::aws_lc_rs as crypto;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, ServerName};

use super::secure::{Arena, Handshake, Outcome, Secure, TlsFault};
use crate::limits::{HANDSHAKE_BYTES_MAX, TLS_RECORD_BYTES_MAX};

/// Both ends, which share memory instead of a network.
struct Pair {
    client: ClientConnection,
    server: Secure,
    arena: Arena,
    /// Bytes of which the server is given so many at a time.
    step: usize,
}

fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(crypto::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    server.ticketer = crypto::Ticketer::new().unwrap();
    (Arc::new(client), Arc::new(server))
}

impl Pair {
    fn new(step: usize) -> Pair {
        let (client, server) = configs();
        Pair::with(&client, &server, step)
    }

    fn with(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, step: usize) -> Pair {
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::clone(client), name).unwrap();
        let server = Secure::new(Arc::clone(server), Decoder::new(Role::Server, 1 << 16));
        Pair { client, server, arena: Arena::default(), step }
    }

    /// What the client has to say reaches the server; returns what the server understands.
    fn client_sends(&mut self) -> Result<(Vec<u8>, Outcome), TlsFault> {
        let (mut sent, mut plain, mut outcome) = (Vec::new(), Vec::new(), Outcome::Open);
        while self.client.wants_write() {
            self.client.write_tls(&mut sent).unwrap();
        }
        for piece in sent.chunks_mut(self.step) {
            if self.server.on_received(piece, &mut plain)? == Outcome::PeerClosed {
                outcome = Outcome::PeerClosed;
            }
            assert!(self.server.partial_bytes() <= TLS_RECORD_BYTES_MAX);
        }
        Ok((plain, outcome))
    }

    /// What the server seals reaches the client; returns what the client understands, and whether it was the last.
    fn server_sends(&mut self, plain: &[u8], is_last: bool) -> (Vec<u8>, bool) {
        let sealed = self.server.seal(plain, is_last, &mut self.arena);
        let mut read = Vec::new();
        let mut sealed = &sealed[..];
        let mut ended = false;
        while !sealed.is_empty() {
            self.client.read_tls(&mut sealed).unwrap();
            let state = self.client.process_new_packets().expect("the client is content");
            let start = read.len();
            read.resize(start + state.plaintext_bytes_to_read(), 0);
            self.client.reader().read_exact(&mut read[start..]).unwrap();
            ended |= state.peer_has_closed();
        }
        (read, ended)
    }

    fn shake(&mut self) -> Handshake {
        let mut shaken = None;
        while shaken.is_none() {
            self.client_sends().unwrap();
            shaken = self.server.take_handshake();
            self.server_sends(b"", false);
        }
        shaken.unwrap()
    }
}

#[test]
fn bytes_may_be_cut_anywhere() {
    for step in [1, 2, 3, 5, 100, 1 << 20] {
        let mut pair = Pair::new(step);
        assert_eq!(pair.shake(), Handshake::Full);
        for length in [1, 100, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 50_000] {
            let text = vec![b'a'; length];
            pair.client.writer().write_all(&text).unwrap();
            assert_eq!(
                pair.client_sends().unwrap(),
                (text.clone(), Outcome::Open),
                "to the server, {length}"
            );
            assert_eq!(pair.server_sends(&text, false), (text, false), "to the client, {length}");
        }
        assert_eq!(pair.server.partial_bytes(), 0, "nothing is kept between records");
    }
}

#[test]
fn who_comes_back_resumes() {
    let (client, server) = configs();
    assert_eq!(Pair::with(&client, &server, 999).shake(), Handshake::Full);
    assert_eq!(Pair::with(&client, &server, 999).shake(), Handshake::Resumed);
}

#[test]
fn a_change_of_keys_is_answered_in_order() {
    let mut pair = Pair::new(7);
    pair.shake();
    for _ in 0..3 {
        pair.client.refresh_traffic_keys().unwrap();
        pair.client.writer().write_all(b"under new keys").unwrap();
        assert_eq!(pair.client_sends().unwrap().0, b"under new keys");
        assert_eq!(pair.server_sends(b"and back", false).0, b"and back");
    }
}

#[test]
fn the_end_is_said_and_heard() {
    let mut pair = Pair::new(1000);
    pair.shake();
    pair.client.writer().write_all(b"bye").unwrap();
    pair.client.send_close_notify();
    assert_eq!(pair.client_sends().unwrap(), (b"bye".to_vec(), Outcome::PeerClosed));
    assert!(pair.server.wants_to_say(true) && !pair.server.wants_to_say(false));
    assert_eq!(pair.server_sends(b"bye", true), (b"bye".to_vec(), true));
    assert!(!pair.server.wants_to_say(true), "it is said once");
    assert!(pair.server_sends(b"more", true).0.is_empty(), "nothing comes behind the last word");
}

#[test]
fn what_is_no_tls_is_a_fault_of_the_peer() {
    let (_, config) = configs();
    let server = || Secure::new(Arc::clone(&config), Decoder::new(Role::Server, 1 << 16));
    let mut plain = Vec::new();
    let mut http = server();
    let fault = http.on_received(&mut b"GET / HTTP/1.1\r\n".to_vec(), &mut plain).unwrap_err();
    assert_eq!(fault, TlsFault::Cleartext);
    assert!(!http.has_outgoing(), "an alert would be noise to it");
    for garbage in [&[0u8; 64][..], &[22, 3, 1, 0xff, 0xff, 1], &[0x80; 40], b"ssh-2.0-client\r\n"] {
        let mut server = server();
        let fault = server.on_received(&mut garbage.to_vec(), &mut plain).unwrap_err();
        assert!(matches!(fault, TlsFault::Tls(_)), "{garbage:?}: {fault}");
        assert!(server.has_outgoing(), "{garbage:?}: the peer is told by an alert");
    }
    assert!(plain.is_empty());
}

#[test]
fn a_greeting_without_end_is_not_kept() {
    let (_, config) = configs();
    let mut server = Secure::new(config, Decoder::new(Role::Server, 1 << 16));
    let mut plain = Vec::new();
    // A ClientHello that claims 60,000 bytes, in records of 4 KiB.
    let mut record = vec![22, 3, 1, 0x10, 0, 1, 0, 0xea, 0x60];
    record.resize(5 + 0x1000, 0);
    let mut result = Ok(Outcome::Open);
    for _ in 0..8 {
        result = server.on_received(&mut record, &mut plain);
        if result.is_err() {
            break;
        }
        assert!(server.partial_bytes() <= HANDSHAKE_BYTES_MAX);
        record[5..9].fill(0);
    }
    assert_eq!(result, Err(TlsFault::TooLong));
}

#[test]
fn damage_is_noticed() {
    let mut pair = Pair::new(1 << 20);
    pair.shake();
    pair.client.writer().write_all(b"hello").unwrap();
    let mut sent = Vec::new();
    pair.client.write_tls(&mut sent).unwrap();
    *sent.last_mut().unwrap() ^= 1;
    let mut plain = Vec::new();
    assert!(pair.server.on_received(&mut sent, &mut plain).is_err());
    assert!(plain.is_empty() && pair.server.has_outgoing());
    // What was due all the same is not sealed behind the alert.
    let alert = pair.server.seal(b"due", false, &mut pair.arena);
    assert!(!alert.is_empty() && alert.len() < 64, "{}", alert.len());
    assert!(pair.server.seal(b"due", true, &mut pair.arena).is_empty());
}
