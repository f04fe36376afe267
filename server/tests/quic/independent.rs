//! Implementations of QUIC that share no code with ours: aioquic, in Python, and quiche, in node. Both are told what to
//! do in the same words. `cargo xtask test --only quic` installs them; without it these tests are ignored.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Encoder, Join, Kind, ServerFrame, Typing};

use crate::on_both;
use crate::peer::{Peer, frames};
use crate::support::{Owned, words};

const AIOQUIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/quic/aioquic/client.py");
const QUICHE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/quic/quiche/client.mjs");

/// Something the client heard.
#[derive(Debug)]
enum Heard {
    Ready {
        early: bool,
    },
    /// Whole frames of a stream, by its number.
    Frame(u64, Owned),
    Datagram(Owned),
    Closed(u64),
}

struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    partial: BTreeMap<u64, Vec<u8>>,
    heard: Vec<Heard>,
    encoder: Encoder,
}

impl Client {
    fn aioquic(address: SocketAddr, alpn: &str, tickets: Option<&Path>) -> Client {
        let interpreter =
            std::env::var_os("RINGWIRE_AIOQUIC").expect("the step says which Python has aioquic");
        let mut command = Command::new(interpreter);
        Client::start(command.arg(AIOQUIC), address, alpn, tickets)
    }

    fn quiche(address: SocketAddr, alpn: &str) -> Client {
        Client::start(Command::new("node").arg(QUICHE), address, alpn, None)
    }

    fn start(command: &mut Command, address: SocketAddr, alpn: &str, tickets: Option<&Path>) -> Client {
        command.arg(address.ip().to_string()).arg(address.port().to_string()).arg(alpn);
        command.args(tickets).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Client { child, input, output, partial: BTreeMap::new(), heard: Vec::new(), encoder: Encoder::new() }
    }

    fn frame(&mut self, verb: &str, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut self.encoder, &mut bytes);
        self.bytes(verb, &bytes);
    }

    fn bytes(&mut self, verb: &str, bytes: &[u8]) {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.input, "{verb} {digits}").unwrap();
    }

    fn hello(&mut self, name: &str) {
        let token = format!("dev:{name}");
        let hello = words::hello(&token, name, 0);
        self.frame("stream", |encoder, out| hello.encode(encoder, out));
    }

    fn publish(&mut self, room: &str, client_sequence: u64, body: &[u8]) {
        let publish = words::publish(room, client_sequence, body);
        self.frame("stream", |encoder, out| publish.encode(encoder, out));
    }

    fn line(&mut self) {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "the client ended; it heard {:?}", self.heard);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ready", early] => self.heard.push(Heard::Ready { early: early == "True" }),
            ["stream", id, digits, ..] => {
                let id = id.parse().unwrap();
                let partial = self.partial.entry(id).or_default();
                partial.extend(unhex(digits));
                while let Some(length) =
                    partial.first_chunk().map(|bytes| 8 + u32::from_le_bytes(*bytes) as usize)
                    && partial.len() >= length
                {
                    let frame: Vec<u8> = partial.drain(..length).collect();
                    self.heard.push(Heard::Frame(id, Owned(frame)));
                }
            }
            ["datagram", digits] => self.heard.push(Heard::Datagram(Owned(unhex(digits)))),
            ["closed", code, ..] => self.heard.push(Heard::Closed(code.parse().unwrap())),
            _ => panic!("the client said {line}"),
        }
    }

    /// Waits until something fits, and takes it out.
    fn expect<T>(&mut self, mut fits: impl FnMut(&Heard) -> Option<T>) -> T {
        loop {
            if let Some((at, found)) =
                self.heard.iter().enumerate().find_map(|(at, heard)| Some((at, fits(heard)?)))
            {
                self.heard.remove(at);
                return found;
            }
            self.line();
        }
    }

    /// The next frame of the client's stream that fits.
    fn frame_where(&mut self, wanted: impl Fn(&ServerFrame<'_>) -> bool) -> Owned {
        self.expect(|heard| match heard {
            Heard::Frame(0, frame) if wanted(&frame.get()) => Some(frame.clone()),
            _ => None,
        })
    }

    fn text(&mut self) -> Vec<u8> {
        let frame = self.frame_where(
            |frame| matches!(frame, ServerFrame::Message(message) if message.kind == Kind::Text),
        );
        match frame.get() {
            ServerFrame::Message(message) => message.body.to_vec(),
            _ => unreachable!("found as such"),
        }
    }

    fn closed(&mut self) -> u64 {
        self.expect(|heard| match heard {
            Heard::Closed(code) => Some(*code),
            _ => None,
        })
    }

    fn end(mut self) {
        self.bytes("end", &[]);
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    digits.as_bytes().chunks_exact(2).map(|two| digit(two[0]) << 4 | digit(two[1])).collect()
}

/// Twenty messages in both directions.
async fn chat(alice: &mut Client, bob: &mut Peer) {
    alice.expect(|heard| matches!(heard, Heard::Ready { early: false }).then_some(()));
    alice.hello("alice");
    alice.frame_where(|frame| matches!(frame, ServerFrame::Welcome(_)));
    alice.frame("stream", |encoder, out| Join { request: 1, name: "lobby" }.encode(encoder, out));
    alice.frame_where(|frame| matches!(frame, ServerFrame::Joined(_)));
    bob.join("lobby").await;
    for n in 1..=20u64 {
        alice.publish("lobby", n, &n.to_le_bytes());
        alice.frame_where(|frame| matches!(frame, ServerFrame::Ack(ack) if ack.client_sequence == n));
        // Behind his own, perhaps.
        while bob.text().await != n.to_le_bytes() {}
        assert_eq!(alice.text(), n.to_le_bytes(), "her own");
        bob.say("lobby", n, b"answer").await;
        assert_eq!(alice.text(), b"answer");
    }
}

#[test]
#[ignore = "needs what `cargo xtask test --only quic` installs"]
fn quiche_says_hello_publishes_and_hears() {
    on_both(&[], async |server| {
        let mut alice = Client::quiche(server.address, "ringwire/1");
        let mut bob = Peer::sign_in(server.address, "bob").await;
        chat(&mut alice, &mut bob).await;
        alice.end();
        let mut stranger = Client::quiche(server.address, "ringwire/1");
        stranger.expect(|heard| matches!(heard, Heard::Ready { .. }).then_some(()));
        stranger.bytes("stream", &[0xff; 64]);
        assert_eq!(stranger.closed(), 3500);
        let mut other = Client::quiche(server.address, "something/9");
        assert_eq!(other.closed(), 0x178, "no_application_protocol");
    });
}

#[test]
#[ignore = "needs what `cargo xtask test --only quic` installs"]
fn hello_publish_message_history_and_typing() {
    on_both(&[], async |server| {
        let mut alice = Client::aioquic(server.address, "ringwire/1", None);
        let mut bob = Peer::sign_in(server.address, "bob").await;
        chat(&mut alice, &mut bob).await;
        let fetch = words::fetch("lobby", 7, 1);
        alice.frame("stream", |encoder, out| fetch.encode(encoder, out));
        let page = alice.expect(|heard| match heard {
            Heard::Frame(id, frame) if *id != 0 => Some(frame.clone()),
            _ => None,
        });
        let ServerFrame::Page(page) = page.get() else { panic!("a page, not {:?}", page.get()) };
        assert_eq!((page.request, frames(page.frames).len()), (7, 42));

        let typing = Typing { conversation: ConversationId::from_name("lobby"), active: true };
        alice.frame("datagram", |encoder, out| typing.encode(encoder, out));
        let notice = Owned(bob.connection.read_datagram().await.unwrap().to_vec());
        assert!(matches!(notice.get(), ServerFrame::TypingNotice(_)));
        let bytes = bob.encoded(|encoder, out| typing.encode(encoder, out));
        bob.connection.send_datagram(bytes.into()).unwrap();
        // On a thread of its own: Bob's connection has to go on meanwhile.
        let hears = move || {
            alice.expect(|heard| match heard {
                Heard::Datagram(frame) => matches!(frame.get(), ServerFrame::TypingNotice(_)).then_some(()),
                _ => None,
            });
            alice.end();
        };
        tokio::task::spawn_blocking(hears).await.unwrap();
    });
}

#[test]
#[ignore = "needs what `cargo xtask test --only quic` installs"]
fn a_ticket_carries_the_first_message() {
    on_both(&[], async |server| {
        let folder = tempfile::tempdir().unwrap();
        let tickets = folder.path().join("ticket");
        let mut before = Client::aioquic(server.address, "ringwire/1", Some(&tickets));
        before.expect(|heard| matches!(heard, Heard::Ready { .. }).then_some(()));
        before.hello("alice");
        before.frame("stream", |encoder, out| Join { request: 1, name: "lobby" }.encode(encoder, out));
        before.publish("lobby", 1, b"first");
        before.frame_where(|frame| matches!(frame, ServerFrame::Ack(_)));
        before.end();

        let mut alice = Client::aioquic(server.address, "ringwire/1", Some(&tickets));
        alice.hello("alice");
        alice.publish("lobby", 2, b"early");
        alice.expect(|heard| matches!(heard, Heard::Ready { early: true }).then_some(()));
        let ack = alice.frame_where(|frame| matches!(frame, ServerFrame::Ack(_)));
        assert!(matches!(ack.get(), ServerFrame::Ack(ack) if ack.client_sequence == 2 && !ack.duplicate));
        alice.end();
    });
}

#[test]
#[ignore = "needs what `cargo xtask test --only quic` installs"]
fn what_is_wrong_is_closed_with_its_code() {
    on_both(&[], async |server| {
        let mut stranger = Client::aioquic(server.address, "ringwire/1", None);
        stranger.expect(|heard| matches!(heard, Heard::Ready { .. }).then_some(()));
        stranger.bytes("stream", &[0xff; 64]);
        assert_eq!(stranger.closed(), 3500);
        let mut other = Client::aioquic(server.address, "something/9", None);
        assert_eq!(other.closed(), 0x178, "no_application_protocol");
    });
}
