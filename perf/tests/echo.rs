//! The echo server over real sockets, on every driver this kernel gives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::disallowed_methods, reason = "a test has threads, files and clocks of its own")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringwire_driver::{Kind, OpenError};
use ringwire_perf::echo::{Echo, EchoError};
use ringwire_protocol::ws::{self, Decoder, Event, Opcode, Role, handshake};

/// Far longer than anything here takes; a test that hangs ends with a message.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a thread of its own.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `None` where the kernel refuses io_uring.
    fn start(kind: Kind) -> Option<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut echo = match Echo::open(kind, ([127, 0, 0, 1], 0).into()) {
                Ok(echo) => echo,
                Err(EchoError::Open(OpenError::Uring(why))) => {
                    println!("not tested: io_uring: {why}");
                    return;
                }
                Err(error) => panic!("{error}"),
            };
            sender.send(echo.address()).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                echo.turn(Some(Duration::from_millis(10))).unwrap();
            }
        });
        match receiver.recv() {
            Ok(address) => Some(Self { address, stop, thread: Some(thread) }),
            Err(mpsc::RecvError) => {
                thread.join().unwrap();
                assert_eq!(kind, Kind::Uring, "epoll is everywhere");
                None
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the server thread ended well");
    }
}

/// A client that blocks.
struct Client {
    socket: TcpStream,
    decoder: Decoder,
    buffer: Vec<u8>,
}

/// An event with its data.
#[derive(Debug, PartialEq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    End,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let key = [7; 16];
        socket.write_all(&handshake::request("localhost", "/", key)).unwrap();
        let mut head = Vec::new();
        let consumed = loop {
            let mut byte = [0];
            assert_eq!(socket.read(&mut byte).unwrap(), 1, "the server answers the handshake");
            head.push(byte[0]);
            if let Some(consumed) = handshake::parse_response(&head, key).unwrap() {
                break consumed;
            }
        };
        assert_eq!(consumed, head.len());
        Self { socket, decoder: Decoder::new(Role::Client, 1 << 27), buffer: Vec::new() }
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut bytes = Vec::new();
        ws::write_message(&mut bytes, opcode, payload, Some([1, 2, 3, 4]));
        self.socket.write_all(&bytes).unwrap();
    }

    /// The next event. One at a time is asked for, so what is left of a read is kept.
    fn next(&mut self) -> Got {
        loop {
            let mut input = self.buffer.as_mut_slice();
            let before = input.len();
            let got = match self.decoder.next(&mut input).unwrap() {
                None => None,
                Some(Event::Message { text: true, data }) => {
                    Some(Got::Text(String::from_utf8(data.to_vec()).unwrap()))
                }
                Some(Event::Message { text: false, data }) => Some(Got::Binary(data.to_vec())),
                Some(Event::Ping(_)) => panic!("the echo server does not ping"),
                Some(Event::Pong(data)) => Some(Got::Pong(data.to_vec())),
                Some(Event::Close { code, .. }) => Some(Got::Close(code)),
            };
            let consumed = before - input.len();
            self.buffer.drain(..consumed);
            if let Some(got) = got {
                return got;
            }
            let mut piece = vec![0; 1 << 16];
            let count = match self.socket.read(&mut piece) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
                Err(error) => panic!("nothing came for {PATIENCE:?}: {error}"),
            };
            if count == 0 {
                return Got::End;
            }
            self.buffer.extend_from_slice(&piece[..count]);
        }
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

/// Runs a claim on every driver.
fn on_each_driver(claim: fn(SocketAddr)) {
    for kind in [Kind::Epoll, Kind::Uring] {
        if let Some(server) = Server::start(kind) {
            claim(server.address);
        }
    }
}

#[test]
fn messages_of_all_sizes_come_back_as_they_were() {
    on_each_driver(|address| {
        let mut client = Client::connect(address);
        for len in [0, 1, 125, 126, 65_535, 65_536, 3_000_000] {
            client.send(Opcode::Binary, &bytes(len));
            assert!(client.next() == Got::Binary(bytes(len)), "{len} bytes");
        }
        client.send(Opcode::Text, "κόσμε".as_bytes());
        client.send(Opcode::Ping, b"there?");
        assert_eq!(client.next(), Got::Text("κόσμε".to_owned()));
        assert_eq!(client.next(), Got::Pong(b"there?".to_vec()));
        client.send(Opcode::Close, &1000_u16.to_be_bytes());
        assert_eq!(client.next(), Got::Close(Some(1000)));
        assert_eq!(client.next(), Got::End, "the server closes first");
    });
}

#[test]
fn a_reader_that_stalls_gets_everything_later_and_others_do_not_wait() {
    on_each_driver(|address| {
        let mut slow = Client::connect(address);
        // More than the kernel's buffers hold on both sides. The server reads all of it while we do not.
        for _ in 0..4 {
            slow.send(Opcode::Binary, &bytes(8_000_000));
        }
        slow.send(Opcode::Close, &[]);
        let mut quick = Client::connect(address);
        for n in 0..100 {
            quick.send(Opcode::Binary, &[n]);
            assert_eq!(quick.next(), Got::Binary(vec![n]));
        }
        for _ in 0..4 {
            assert!(slow.next() == Got::Binary(bytes(8_000_000)));
        }
        assert_eq!(slow.next(), Got::Close(None));
        assert_eq!(slow.next(), Got::End);
    });
}

#[test]
fn a_broken_peer_is_told_why_and_dropped() {
    on_each_driver(|address| {
        let mut client = Client::connect(address);
        client.socket.write_all(&[0x82, 0x01, 0x00]).unwrap();
        assert_eq!(client.next(), Got::Close(Some(1002)), "frames of clients are masked");
        assert_eq!(client.next(), Got::End);

        let mut browser = TcpStream::connect(address).unwrap();
        browser.set_read_timeout(Some(PATIENCE)).unwrap();
        browser.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        browser.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    });
}

#[test]
fn slots_are_used_again() {
    on_each_driver(|address| {
        for round in 0..1_500_u32 {
            let mut client = Client::connect(address);
            client.send(Opcode::Binary, &round.to_le_bytes());
            assert_eq!(client.next(), Got::Binary(round.to_le_bytes().to_vec()));
            if round % 2 == 0 {
                client.send(Opcode::Close, &[]);
                assert_eq!(client.next(), Got::Close(None));
            }
        }
    });
}
