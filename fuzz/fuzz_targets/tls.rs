//! A whole conversation of TLS: bytes of any content, and those of a real client, spoiled and cut anywhere. No more is
//! kept than a record is long, nothing is understood that was not said, and after a fault there is nothing but the
//! last word.

#![no_main]

use std::io::Write;
use std::sync::{Arc, LazyLock};

use ringwire::limits::TLS_RECORD_BYTES_MAX;
use ringwire::transport::tls::secure::{Arena, Outcome, Secure, TlsFault};
use ringwire_fuzz::input::Input;
use ringwire_fuzz::trust;
use ringwire_protocol::ws::{Decoder, Role};
use rustls::{ClientConfig, ClientConnection, ServerConfig};

/// Steps of one script.
const STEPS_MAX: usize = 128;

/// Changes of keys that nobody is blamed for.
const REFRESHES_HONEST: usize = 16;

/// What the server may say by itself beyond what came: its part of a handshake, tickets, and alerts.
const OWN_BYTES_MAX: usize = 16 * 1024;

static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let mut config = trust::server(&["http/1.1"]);
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().expect("there is randomness");
    Arc::new(config)
});
static CLIENT: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| Arc::new(trust::client(&["http/1.1"])));

struct World {
    client: ClientConnection,
    server: Secure,
    arena: Arena,
    /// What the client has said and the server has not got.
    flight: Vec<u8>,
    plain: Vec<u8>,
    /// What the client has said in its own words.
    said: Vec<u8>,
    came_bytes: usize,
    sent_bytes: usize,
    sealed_bytes: usize,
    /// How often the client has asked for new keys.
    refreshed: usize,
    /// All that came was the client's, as it left.
    is_honest: bool,
}

impl World {
    /// The flight arrives, so many bytes at a time. Whether things may go on.
    fn arrive(&mut self, piece: usize) -> bool {
        let mut flight = std::mem::take(&mut self.flight);
        for piece in flight.chunks_mut(piece.max(1)) {
            let is_first = self.came_bytes == 0;
            self.came_bytes += piece.len();
            let first = piece[0];
            match self.server.on_received(piece, &mut self.plain) {
                Ok(Outcome::Open) => {}
                Ok(Outcome::PeerClosed) => return false,
                Err(fault) => {
                    assert!(!self.is_honest, "{fault}");
                    assert_eq!(
                        fault == TlsFault::Cleartext,
                        is_first && first.is_ascii_uppercase(),
                        "{fault}"
                    );
                    self.end_by_fault();
                    return false;
                }
            }
            assert!(self.server.partial_bytes() <= TLS_RECORD_BYTES_MAX);
            assert!(self.plain.len() <= self.came_bytes);
        }
        if self.is_honest {
            self.server.take_handshake();
            assert!(self.said.starts_with(&self.plain), "it is what was said");
        }
        true
    }

    /// Nothing is sealed any more, and what is left to say is short.
    fn end_by_fault(&mut self) {
        self.server.seal(b"", false, &mut self.arena);
        assert!(self.server.seal(b"too late", true, &mut self.arena).is_empty());
        assert!(!self.server.wants_to_say(true));
    }

    /// A turn ends: what the server has to say reaches the client, or nobody.
    fn answer(&mut self, plain: &[u8], arrives: bool) {
        let sealed = self.server.seal(plain, false, &mut self.arena);
        self.sealed_bytes += plain.len();
        self.sent_bytes += sealed.len();
        let records = 64 * (1 + plain.len() / 1024);
        self.sealed_bytes += records;
        let most = OWN_BYTES_MAX + 4 * self.came_bytes + self.sealed_bytes;
        assert!(self.sent_bytes <= most, "{} bytes were sent", self.sent_bytes);
        if !arrives {
            // What comes next does not follow for the client, and it says so.
            self.is_honest &= sealed.is_empty();
            return;
        }
        let mut rest = &sealed[..];
        while !rest.is_empty() && self.client.read_tls(&mut rest).is_ok() {
            let Ok(state) = self.client.process_new_packets() else {
                assert!(!self.is_honest, "an honest client is content");
                return;
            };
            let mut heard = vec![0; state.plaintext_bytes_to_read()];
            let _ = std::io::Read::read_exact(&mut self.client.reader(), &mut heard);
        }
    }

    fn speak(&mut self) {
        while self.client.wants_write() && self.client.write_tls(&mut self.flight).is_ok() {}
    }

    /// Whether things may go on.
    fn step(&mut self, input: &mut Input<'_>, what: u8) -> bool {
        match what % 8 {
            0 => {
                self.speak();
                let piece = input.number() * 8;
                return self.arrive(if what & 0x80 == 0 { usize::MAX } else { piece });
            }
            1 => {
                self.speak();
                self.is_honest = false;
                input.spoil(&mut self.flight);
            }
            2 => {
                self.is_honest = false;
                let bytes = input.piece();
                self.flight.extend_from_slice(bytes);
            }
            3 => {
                // A record of any kind, as long as it says or not.
                self.is_honest = false;
                let (kind, length, bytes) = (what >> 3, input.wide(), input.piece());
                self.flight.extend([kind, 3, 3]);
                self.flight.extend((length as u16).to_be_bytes());
                self.flight.extend_from_slice(bytes);
            }
            4 => {
                let bytes = input.piece();
                // Before the handshake is over it is kept, and said then.
                if self.client.writer().write_all(bytes).is_ok() {
                    self.said.extend_from_slice(bytes);
                }
            }
            5 => {
                let plain = input.piece().repeat(1 + usize::from(what >> 3));
                self.answer(if self.server.is_shaken() { &plain } else { b"" }, true);
            }
            6 => {
                // An honest client has no reason to do it often, and rustls knows that.
                self.refreshed += 1;
                self.is_honest &= self.refreshed <= REFRESHES_HONEST;
                let _ = self.client.refresh_traffic_keys();
            }
            _ => self.answer(b"", what & 0x80 == 0),
        }
        true
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let Some(manner) = input.byte() else { return };
    let client = ClientConnection::new(Arc::clone(&CLIENT), trust::name()).expect("a valid configuration");
    let mut world = World {
        client,
        server: Secure::new(Arc::clone(&SERVER), Decoder::new(Role::Server, 1 << 16)),
        arena: Arena::default(),
        flight: Vec::new(),
        plain: Vec::new(),
        said: Vec::new(),
        came_bytes: 0,
        sent_bytes: 0,
        sealed_bytes: 0,
        refreshed: 0,
        is_honest: true,
    };
    if manner & 1 != 0 {
        // Shakes hands first, so that a script need not find out how.
        for _ in 0..4 {
            world.speak();
            assert!(world.arrive(usize::from(manner)));
            world.answer(b"", true);
        }
        assert!(world.server.is_shaken() && !world.client.is_handshaking());
    }
    for _ in 0..STEPS_MAX {
        let Some(what) = input.byte() else { break };
        if !world.step(&mut input, what) {
            return;
        }
    }
});
