//! HTTP/3 and WebTransport of any content, on the streams and in the datagrams of a connection: at most one session, no
//! more kept of a stream than a head may be long, and nothing left when the client is silent.

#![no_main]

use std::sync::LazyLock;

use quinn_proto::{ClientConfig, Dir, StreamId, VarInt};
use ringwire::limits::QUIC_SEND_BYTES;
use ringwire::transport::quic::words::{self, Head};
use ringwire_fuzz::input::Input;
use ringwire_fuzz::quic::{Client, Server, config};

/// Steps of one script.
const STEPS_MAX: usize = 64;

static WEB: LazyLock<ClientConfig> = LazyLock::new(|| config("h3"));

/// What is read by itself: the same however much of it has come.
fn read_words(data: &[u8]) {
    for dir in [Dir::Bi, Dir::Uni] {
        if let Head::Session(session, head_bytes) = words::head(dir, data) {
            assert!(head_bytes <= data.len());
            assert_eq!(words::head(dir, &data[..head_bytes]), Head::Session(session, head_bytes));
            assert_eq!(words::head(dir, &words::stream_head(dir, session)), {
                let shortest = words::stream_head(dir, session).len();
                Head::Session(session, shortest)
            });
        }
    }
    if let Some((status, bytes)) = words::status(data) {
        assert!((100..1000).contains(&status) && bytes <= data.len());
    }
    if let Some((code, reason)) = words::closed(data) {
        assert_eq!(words::closed(&words::close(code, &reason)), Some((code, reason)));
    }
    let _ = words::undo_datagram(0, data.to_vec().into());
}

struct World {
    server: Server,
    client: Client,
    streams: Vec<StreamId>,
}

impl World {
    fn open(&mut self, dir: Dir, bytes: &[u8]) {
        let Some(stream) = self.client.connection.streams().open(dir) else { return };
        self.streams.push(stream);
        let _ = self.client.connection.send_stream(stream).write(bytes);
    }

    fn step(&mut self, input: &mut Input<'_>, what: u8) {
        let at = input.number().checked_rem(self.streams.len());
        let stream =
            at.map(|at| self.streams[at]).filter(|stream| stream.initiator() == quinn_proto::Side::Client);
        match (what % 8, stream) {
            (0, _) => {
                let bytes = input.piece();
                self.open(Dir::Bi, bytes);
            }
            (1, _) => {
                let bytes = input.piece();
                self.open(Dir::Uni, bytes);
            }
            (2, _) => {
                // A stream of the session, or of one that there is not.
                let session = u64::from(what >> 3);
                let bytes = [&words::stream_head(Dir::Bi, session)[..], input.piece()].concat();
                self.open(Dir::Bi, &bytes);
            }
            (3, Some(stream)) => {
                let bytes = input.piece();
                let _ = self.client.connection.send_stream(stream).write(bytes);
            }
            (4, Some(stream)) => {
                let mut bytes = match what >> 6 {
                    0 => words::request("fuzz", words::PATH, "https://app.example").unwrap_or_default(),
                    1 => words::close(3554, "replaced"),
                    2 => words::control(),
                    _ => vec![what; input.wide() / 2],
                };
                input.spoil(&mut bytes);
                let _ = self.client.connection.send_stream(stream).write(&bytes);
            }
            (5, Some(stream)) if what & 0x80 == 0 => {
                let _ = self.client.connection.send_stream(stream).finish();
            }
            (5, Some(stream)) => {
                let _ = self.client.connection.send_stream(stream).reset(VarInt::from_u32(what.into()));
            }
            (6, _) => {
                let bytes = input.piece().to_vec();
                let _ = self.client.connection.datagrams().send(bytes.into(), true);
            }
            _ => self.server.exchange(&mut self.client),
        }
    }

    /// What the server would say in a session.
    fn say(&mut self) {
        let Some(id) = self.server.opened.first().copied() else { return };
        let frame = bytes::Bytes::from_static(b"what a session says");
        self.server.quic.write(id, &frame);
        self.server.quic.tell(id, &frame);
        self.server.quic.page(id, frame);
        self.server.quic.challenge(id);
        assert!(self.server.quic.page_bytes(id) as u64 <= QUIC_SEND_BYTES);
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    read_words(data);
    let mut input = Input(data);
    let Some(manner) = input.byte() else { return };
    let server = Server::new();
    let client = Client::new(server.instant(), 1, &WEB);
    let mut world = World { server, client, streams: Vec::new() };
    world.server.exchange(&mut world.client);
    if manner & 1 != 0 {
        words::greetings().iter().for_each(|greeting| world.open(Dir::Uni, greeting));
    }
    if manner & 2 != 0 {
        let mut asked = words::request("fuzz", words::PATH, "https://app.example").unwrap_or_default();
        if manner & 4 != 0 {
            input.spoil(&mut asked);
        }
        world.open(Dir::Bi, &asked);
    }
    for _ in 0..STEPS_MAX {
        let Some(what) = input.byte() else { break };
        world.step(&mut input, what);
    }
    world.server.exchange(&mut world.client);
    world.say();
    world.server.exchange(&mut world.client);
    assert!(world.server.opened.len() <= 1, "one connection is at most one session");
    if let Some(id) = world.server.opened.first().copied() {
        let now = world.server.now();
        world.server.quic.close(now, id, 3554, "replaced");
        world.server.exchange(&mut world.client);
    }
    world.server.come_to_rest();
});
