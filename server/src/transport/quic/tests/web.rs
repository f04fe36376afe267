//! WebTransport: what a browser says, in its words.

use web_transport_proto::Settings;

use super::words::{self, Head, PATH};
use super::*;

const ORIGIN: &str = "https://app.example";

/// A browser that has asked for a session.
struct Browser {
    client: Client,
    request: StreamId,
}

fn request(path: &str, origin: &str) -> Vec<u8> {
    words::request("localhost:7400", path, origin).unwrap()
}

impl Browser {
    /// Connects, and sends `request` on its first stream, `piece` bytes at a time.
    fn new(world: &mut World, nth: u32, request: &[u8], piece: usize) -> Self {
        let mut client = world.connect(nth, &client_config("h3"));
        world.exchange(&mut [&mut client]);
        for greeting in words::greetings() {
            let stream = client.open(Dir::Uni);
            client.connection.send_stream(stream).write(&greeting).unwrap();
        }
        let stream = client.open(Dir::Bi);
        for piece in request.chunks(piece) {
            client.connection.send_stream(stream).write(piece).unwrap();
            world.exchange(&mut [&mut client]);
        }
        Browser { client, request: stream }
    }

    fn status(&mut self) -> u16 {
        words::status(&self.client.read(self.request)).expect("an answer").0
    }

    /// A stream in the session, which says `said`.
    fn stream(&mut self, said: &[u8]) -> StreamId {
        let stream = self.client.open(Dir::Bi);
        let bytes = [&words::stream_head(Dir::Bi, self.request.into())[..], said].concat();
        self.client.connection.send_stream(stream).write(&bytes).unwrap();
        stream
    }

    /// The next stream of the server in the session, without its head.
    fn incoming(&mut self) -> Vec<u8> {
        let stream = self.client.connection.streams().accept(Dir::Uni).expect("there is one");
        let bytes = self.client.read(stream);
        match words::head(Dir::Uni, &bytes) {
            Head::Session(session, head_bytes) if session == u64::from(self.request) => {
                bytes[head_bytes..].to_vec()
            }
            other => panic!("{other:?}"),
        }
    }

    /// How the server ends the session.
    fn end(&mut self) -> (u32, String) {
        words::closed(&self.client.read(self.request)).expect("the end of the session")
    }
}

#[test]
fn a_session_of_a_browser_is_a_session_like_any_other() {
    for piece in [1, 7, 1000] {
        let mut world = World::new();
        let mut browser = Browser::new(&mut world, 1, &request(PATH, ORIGIN), piece);
        let control =
            browser.client.connection.streams().accept(Dir::Uni).expect("the server's control stream");
        let settings = browser.client.read(control);
        assert_eq!(Settings::decode(&mut &settings[..]).unwrap().supports_webtransport(), 1);
        assert_eq!(browser.status(), 200);
        assert!(world.events.is_empty(), "a session without a stream is none yet: {:?}", world.events);

        let live = browser.stream(b"hello");
        world.exchange(&mut [&mut browser.client]);
        let id = world.opened();
        assert_eq!(world.read_all(id), b"hello");
        browser.client.connection.send_stream(live).write(b"more").unwrap();
        world.exchange(&mut [&mut browser.client]);
        assert_eq!(world.read_all(id), b"more");
        assert_eq!(world.quic.write(id, &Bytes::from_static(b"welcome")), 7);
        world.quic.page(id, Bytes::from_static(b"page"));
        assert!(world.quic.tell(id, &Bytes::from_static(b"typing")));
        world.exchange(&mut [&mut browser.client]);
        assert_eq!(browser.client.read(live), b"welcome");
        assert_eq!(browser.incoming(), b"page");
        let datagram = browser.client.connection.datagrams().recv().expect("one");
        assert_eq!(words::undo_datagram(browser.request.into(), datagram).as_deref(), Some(&b"typing"[..]));
        browser.client.connection.datagrams().send(Bytes::from_static(b"\0mine"), true).unwrap();
        browser
            .client
            .connection
            .datagrams()
            .send(Bytes::from_static(b"\x09another session's"), true)
            .unwrap();
        world.quic.challenge(id);
        world.exchange(&mut [&mut browser.client]);
        world.pass(200, &mut [&mut browser.client]);
        let datagrams: Vec<_> =
            world.events.iter().filter(|event| matches!(event, Event::Datagram(..))).collect();
        assert!(
            matches!(datagrams[..], [Event::Datagram(of, bytes)] if *of == id && bytes[..] == b"mine"[..])
        );
        assert!(world.has(|event| matches!(event, Event::Proven(of) if *of == id)));

        world.quic.close(world.now, id, 3554, "replaced");
        world.exchange(&mut [&mut browser.client]);
        assert_eq!(browser.end(), (3554, "replaced".to_owned()));
        world.pass(10_000, &mut [&mut browser.client]);
        assert_eq!(world.quic.counters.connections, 0, "a browser that stays is put out");
    }
}

#[test]
fn a_browser_that_ends_its_session_is_lost() {
    for by_reset in [false, true] {
        let mut world = World::new();
        let mut browser = Browser::new(&mut world, 1, &request(PATH, ORIGIN), 1000);
        browser.stream(b"x");
        world.exchange(&mut [&mut browser.client]);
        let id = world.opened();
        world.read_all(id);
        let mut stream = browser.client.connection.send_stream(browser.request);
        if by_reset {
            stream.reset(VarInt::from_u32(0)).unwrap();
        } else {
            stream.finish().unwrap();
        }
        world.exchange(&mut [&mut browser.client]);
        assert!(world.has(|event| matches!(event, Event::Lost(of) if *of == id)), "{:?}", world.events);
    }
}

#[test]
fn who_may_not_is_told_by_a_status() {
    for (path, origin, status) in
        [(PATH, "https://elsewhere.example", 403), ("/v1/ws", ORIGIN, 404), ("/", ORIGIN, 404)]
    {
        let mut world = World::new();
        let mut browser = Browser::new(&mut world, 1, &request(path, origin), 1000);
        assert_eq!(browser.status(), status, "{path} from {origin}");
        browser.stream(b"hello");
        world.exchange(&mut [&mut browser.client]);
        assert!(world.events.is_empty(), "{:?}", world.events);
        world.pass(20_000, &mut [&mut browser.client]);
        assert_eq!((world.quic.counters.connections, world.quic.counters.overdue), (0, 1));
    }
}

#[test]
fn what_is_no_request_is_answered_and_leaves_nothing() {
    let long = [&[1, 0x80, 0, 0x50, 0][..], &[b'x'; 20_000]].concat();
    for bytes in [&b"\x01\x04\0\0\xd1\xd7"[..], &[0x41], &[0x40], &[0; 64], &[0xff; 64], &long] {
        let mut world = World::new();
        let mut browser = Browser::new(&mut world, 1, bytes, 1000);
        assert!(world.events.is_empty(), "{:?}", world.events);
        world.pass(20_000, &mut [&mut browser.client]);
        assert_eq!(world.quic.counters.connections, 0, "after {:?}", &bytes[..1]);
    }
}

#[test]
fn a_stream_may_come_before_its_request_and_a_second_one_may_not() {
    let mut world = World::new();
    let asked = request(PATH, ORIGIN);
    let (first, rest) = asked.split_at(10);
    let mut browser = Browser::new(&mut world, 1, first, 1000);
    browser.stream(b"early");
    world.exchange(&mut [&mut browser.client]);
    assert!(world.events.is_empty());
    browser.client.connection.send_stream(browser.request).write(rest).unwrap();
    world.exchange(&mut [&mut browser.client]);
    let id = world.opened();
    assert_eq!(world.read_all(id), b"early");
    assert_eq!(browser.status(), 200);
    browser.stream(b"another");
    world.exchange(&mut [&mut browser.client]);
    assert!(world.has(|event| matches!(event, Event::Lost(of) if *of == id)));
    assert_eq!(browser.end().0, u32::from(Code::UNEXPECTED_FRAME.number()));
}
