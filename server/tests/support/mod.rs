//! The real binary, and a client made of a socket and the codec alone, so that it can misbehave.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]

pub mod metrics;
mod said;
pub mod words;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringwire_protocol::code::Code;
use ringwire_protocol::frame;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{
    Direction, Durability, Encoder, Fetch, Join, Kind, Publish, ServerFrame, View,
};
use ringwire_protocol::ws::{self, Decoder, Event, Opcode, Role};

use said::said;
#[allow(unused_imports, reason = "each test file uses its own part")]
pub use said::{Said, message};

/// Both drivers, for tests that hold for either.
pub const DRIVERS: [&str; 2] = ["uring", "epoll"];

/// Patience: the machine may be slow and shared. Nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// The operators' port, where there is one.
    pub plane: Option<SocketAddr>,
    /// The certificate's hash, where TLS is spoken.
    pub sha256: Option<String>,
    log: std::sync::Arc<std::sync::Mutex<String>>,
}

/// How a server that does not start says so.
pub struct Refusal {
    pub code: Option<i32>,
    pub text: String,
}

fn command(data: &Path, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringwire"));
    command.arg("serve").arg("--data").arg(data);
    if !extra.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    if !extra.contains(&"--plane") {
        command.args(["--plane", "127.0.0.1:0"]);
    }
    // Everybody in a test comes from one address.
    if !extra.iter().any(|argument| argument.starts_with("limits.handshakes=")) {
        command.args(["--set", "limits.handshakes=0"]);
    }
    command.args(extra).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Server {
    /// Starts a server with its data in `data`.
    pub fn start(data: &Path, extra: &[&str]) -> Server {
        match Self::try_start(data, extra) {
            Ok(server) => server,
            Err(refusal) => panic!("the server does not start: {}", refusal.text),
        }
    }

    /// Starts a server that may refuse to start.
    pub fn try_start(data: &Path, extra: &[&str]) -> Result<Server, Refusal> {
        let mut child = command(data, extra).spawn().expect("the binary is there");
        let log = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("piped");
        let stderr_log = std::sync::Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = stderr_log.lock().expect("no panic while held");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        let (mut address, mut plane, mut sha256) = (None, None, None);
        while stdout.read_line(&mut line).expect("readable") > 0 {
            if let Some(url) = line.trim().strip_prefix("clients") {
                let rest = url.trim().strip_prefix("wss://").or_else(|| url.trim().strip_prefix("ws://"));
                let text = rest.and_then(|rest| rest.strip_suffix("/v1/ws"));
                address = Some(text.and_then(|text| text.parse().ok()).expect("a WebSocket URL"));
            } else if let Some(url) = line.trim().strip_prefix("operators") {
                let rest = url.trim().strip_prefix("https://").or_else(|| url.trim().strip_prefix("http://"));
                let text = rest.and_then(|rest| rest.strip_suffix('/'));
                plane = Some(text.and_then(|text| text.parse().ok()).expect("a URL"));
            } else if line.trim().len() == 64 {
                sha256 = Some(line.trim().to_owned());
            } else if line.trim().starts_with("data") {
                let address = address.expect("the banner names the clients' address first");
                // The rest of the banner is read, so that the server never writes into a closed pipe.
                std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
                return Ok(Server { child, address, plane, sha256, log });
            }
            line.clear();
        }
        let code = child.wait().expect("it ends").code();
        reader.join().expect("the log is read");
        let text = log.lock().expect("no panic while held").clone();
        Err(Refusal { code, text })
    }

    /// The client's address.
    pub fn url(&self) -> String {
        let scheme = if self.sha256.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}/v1/ws", self.address)
    }

    /// The certificate's hash, as a client pins it.
    pub fn pin(&self) -> [u8; 32] {
        let text = self.sha256.as_deref().expect("it speaks TLS");
        std::array::from_fn(|nth| u8::from_str_radix(&text[nth * 2..nth * 2 + 2], 16).expect("hexadecimal"))
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic while held").clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM; waits for the end and returns the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait()
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([format!("-{signal}"), self.child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(status.success());
    }

    pub fn wait(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(Instant::now() < until, "the server does not end; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a connection ended with.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// A WebSocket close with this code.
    Close(u16),
    /// The socket was closed without one.
    Eof,
}

/// A frame from the server, owned.
#[derive(Debug, Clone)]
pub struct Owned(pub Vec<u8>);

impl Owned {
    pub fn get(&self) -> ServerFrame<'_> {
        let mut bytes = &self.0[..];
        let frame = frame::split(&mut bytes, 1 << 24).expect("whole").expect("one");
        ServerFrame::decode(frame).expect("the server sends valid frames")
    }
}

/// A client that sends what it is told, right or wrong.
pub struct Raw<S = TcpStream> {
    pub stream: S,
    decoder: Decoder,
    frames: std::collections::VecDeque<Owned>,
    end: Option<End>,
    encoder: Encoder,
    /// An honest client does (W-23).
    pub answers_pings: bool,
    /// What it says in `Hello`.
    pub capabilities: u64,
}

impl Raw {
    /// Connects and upgrades.
    pub fn connect(address: SocketAddr) -> Raw {
        let mut raw = Raw::connect_tcp(address);
        raw.upgrade(&address.to_string());
        raw
    }

    /// Connects without upgrading.
    pub fn connect_tcp(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("settable");
        stream.set_nodelay(true).expect("settable");
        Raw::over(stream)
    }

    /// Connects, upgrades and signs in; the device is called as the user is.
    pub fn sign_in(address: SocketAddr, name: &str) -> Raw {
        Raw::sign_in_on(address, name, name)
    }

    /// Connects, upgrades and signs in on a device.
    pub fn sign_in_on(address: SocketAddr, name: &str, device: &str) -> Raw {
        let mut raw = Raw::connect(address);
        raw.welcome(name, device);
        raw
    }
}

impl<S: Read + Write> Raw<S> {
    /// Over a stream that is there.
    pub fn over(stream: S) -> Raw<S> {
        Raw {
            stream,
            decoder: Decoder::new(Role::Client, 1 << 24),
            frames: std::collections::VecDeque::new(),
            end: None,
            encoder: Encoder::new(),
            answers_pings: true,
            capabilities: 0,
        }
    }

    /// Asks for a WebSocket.
    pub fn upgrade(&mut self, host: &str) {
        let key = [7; 16];
        self.stream.write_all(&ws::handshake::request(host, ws::PATH, key)).expect("the request is sent");
        let mut head = Vec::new();
        while ws::handshake::parse_response(&head, key).expect("a valid response").is_none() {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("a response");
            head.push(byte[0]);
        }
    }

    /// Signs in.
    pub fn welcome(&mut self, name: &str, device: &str) {
        self.hello(&format!("dev:{name}"), device);
        match self.next().get() {
            ServerFrame::Welcome(_) => {}
            other => panic!("expected Welcome, got {other:?}"),
        }
    }

    pub fn hello(&mut self, token: &str, device: &str) {
        let hello = words::hello(token, device, self.capabilities);
        self.frame(|encoder, out| hello.encode(encoder, out));
    }

    /// Joins and returns the head and the last client sequence.
    pub fn join(&mut self, name: &str) -> (u64, u64) {
        self.frame(|encoder, out| Join { request: 1, name }.encode(encoder, out));
        loop {
            match self.next().get() {
                ServerFrame::Joined(joined) => return (joined.head, joined.client_sequence),
                ServerFrame::Message(_) => {}
                other => panic!("expected Joined, got {other:?}"),
            }
        }
    }

    pub fn publish(&mut self, room: &str, client_sequence: u64, body: &[u8]) {
        let publish = words::publish(room, client_sequence, body);
        self.frame(|encoder, out| publish.encode(encoder, out));
    }

    /// Sends a request and returns its answer, whatever comes between.
    pub fn ask(&mut self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> Owned {
        self.frame(write);
        self.next_where(|frame| {
            matches!(
                frame,
                ServerFrame::Done(_)
                    | ServerFrame::Joined(_)
                    | ServerFrame::MemberPage(_)
                    | ServerFrame::Page(_)
                    | ServerFrame::Reject(_)
            )
        })
    }

    /// Publishes, and returns the sequence it was given, or why not.
    pub fn say(
        &mut self,
        room: ConversationId,
        client_sequence: u64,
        kind: Kind,
        reference: u64,
        body: &[u8],
    ) -> Result<u64, Code> {
        let durability = Durability::Synced;
        let publish = Publish { conversation: room, client_sequence, reference, kind, durability, body };
        self.frame(|encoder, out| publish.encode(encoder, out));
        let answer = self.next_where(|frame| match frame {
            ServerFrame::Ack(ack) => ack.client_sequence == client_sequence,
            ServerFrame::Reject(reject) => reject.client_sequence == client_sequence,
            _ => false,
        });
        match answer.get() {
            ServerFrame::Ack(ack) => Ok(ack.sequence),
            ServerFrame::Reject(reject) => {
                assert!(!reject.reason.is_empty(), "a refusal says why");
                Err(reject.code)
            }
            _ => unreachable!(),
        }
    }

    /// Reads the whole history as it stands now, page by page: the messages, and what was said about them.
    pub fn current(&mut self, room: ConversationId, limit: u16) -> (Vec<Said>, Vec<Said>) {
        let (mut messages, mut amendments) = (Vec::new(), Vec::new());
        let mut from = 1;
        loop {
            let fetch = Fetch {
                request: 9,
                conversation: room,
                from,
                limit,
                direction: Direction::Forward,
                view: View::Current,
            };
            match self.ask(|encoder, out| fetch.encode(encoder, out)).get() {
                ServerFrame::Page(page) => {
                    from = page.to + 1;
                    messages.extend(said(page.frames));
                    amendments.extend(said(page.amendments));
                    if page.complete {
                        return (messages, amendments);
                    }
                }
                other => panic!("no page: {other:?}"),
            }
        }
    }

    /// Reads the whole history, page by page.
    pub fn history(&mut self, room: &str) -> Vec<(u64, Vec<u8>, Kind)> {
        let mut messages: Vec<(u64, Vec<u8>, Kind)> = Vec::new();
        let mut from = 1;
        loop {
            let fetch = words::fetch(room, 9, from);
            self.frame(|encoder, out| fetch.encode(encoder, out));
            let page =
                self.next_where(|frame| matches!(frame, ServerFrame::Page(_) | ServerFrame::Reject(_)));
            match page.get() {
                ServerFrame::Page(page) => {
                    from = page.to + 1;
                    let mut frames = page.frames;
                    while let Some(frame) = frame::split(&mut frames, 1 << 24).expect("whole") {
                        let Ok(ServerFrame::Message(message)) = ServerFrame::decode(frame) else {
                            panic!("a page holds messages")
                        };
                        messages.push((message.sequence, message.body.to_vec(), message.kind));
                    }
                    if page.complete {
                        return messages;
                    }
                }
                other => panic!("no history: {other:?}"),
            }
        }
    }

    /// Sends one frame in one binary message.
    pub fn frame(&mut self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut self.encoder, &mut bytes);
        self.binary(&bytes);
    }

    pub fn binary(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        ws::write_message(&mut out, Opcode::Binary, bytes, Some([1, 2, 3, 4]));
        self.bytes(&out);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        // The server may have closed already; what it said is still to be read.
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame; panics where the connection ends.
    pub fn next(&mut self) -> Owned {
        match self.next_or_end() {
            Ok(frame) => frame,
            Err(end) => panic!("the connection ended: {end:?}"),
        }
    }

    pub fn next_where(&mut self, wanted: impl Fn(&ServerFrame<'_>) -> bool) -> Owned {
        loop {
            let frame = self.next();
            if wanted(&frame.get()) {
                return frame;
            }
        }
    }

    /// The next frame, or how the connection ended.
    pub fn next_or_end(&mut self) -> Result<Owned, End> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(frame);
            }
            if let Some(end) = self.end.take() {
                return Err(end);
            }
            let mut buffer = [0; 65_536];
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(End::Eof),
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) =>
                {
                    return Err(End::Eof);
                }
                other => other.expect("something within patience"),
            };
            let mut input = &mut buffer[..count];
            let mut pongs = Vec::new();
            while let Some(event) = self.decoder.next(&mut input).expect("the server speaks WebSocket") {
                match event {
                    Event::Message { data, .. } => {
                        let mut data = data;
                        while let Some(frame) = frame::split(&mut data, 1 << 24).expect("whole frames") {
                            self.frames.push_back(Owned(frame.bytes.to_vec()));
                        }
                    }
                    Event::Close { code, .. } => self.end = Some(End::Close(code.unwrap_or(1005))),
                    Event::Ping(payload) if self.answers_pings => {
                        ws::write_message(&mut pongs, Opcode::Pong, payload, Some([4, 3, 2, 1]));
                    }
                    Event::Ping(_) | Event::Pong(_) => {}
                }
            }
            self.bytes(&pongs);
        }
    }

    /// Reads until the end: the code of the last `Reject`, and how it ended.
    pub fn until_end(&mut self) -> (Option<(Code, String)>, End) {
        let mut rejected = None;
        loop {
            match self.next_or_end() {
                Ok(frame) => {
                    if let ServerFrame::Reject(reject) = frame.get() {
                        rejected = Some((reject.code, reject.reason.to_owned()));
                    }
                }
                Err(end) => return (rejected, end),
            }
        }
    }
}
