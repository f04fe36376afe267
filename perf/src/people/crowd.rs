//! Ten thousand honest clients on one thread: sockets that do not block, the codec, and one look at all of them
//! per turn.
//!
//! Owner: one measurement. What a client knows is the measurement's; here is only how it talks.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringwire_protocol::frame;
use ringwire_protocol::message::{Encoder, ServerFrame};
use ringwire_protocol::ws::{self, Decoder, Event, Opcode, Role, handshake};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::fault::{Fault, Result};

/// The largest WebSocket message that a server sends.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Bytes taken in one read.
const READ_BYTES: usize = 64 * 1024;

/// One client's connection.
struct Line {
    socket: TcpStream,
    decoder: Option<Decoder>,
    /// The answer to the handshake, as far as it has come.
    head: Vec<u8>,
    /// What the socket has not taken.
    out: Vec<u8>,
}

/// All clients.
pub struct Crowd {
    address: SocketAddr,
    lines: Vec<Option<Line>>,
    poll: OwnedFd,
    encoder: Encoder,
    scratch: Vec<u8>,
    /// Bytes that came, since the crowd was made.
    pub received_bytes: u64,
}

/// Whom a frame came to, and what it was.
pub type Each<'a> = dyn FnMut(usize, &ServerFrame<'_>) -> Result<()> + 'a;

impl Crowd {
    /// `count` clients of `address`, none of them connected.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new(address: SocketAddr, count: usize) -> Result<Self> {
        let poll = epoll::create(CreateFlags::CLOEXEC)
            .map_err(|error| Fault::system("making an epoll")(error.into()))?;
        Ok(Crowd {
            address,
            lines: (0..count).map(|_| None).collect(),
            poll,
            encoder: Encoder::new(),
            scratch: vec![0; READ_BYTES],
            received_bytes: 0,
        })
    }

    /// How many clients there are, connected or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Connects a client to `path` and sends the handshake; frames may be said at once.
    ///
    /// # Errors
    /// The connection is refused.
    pub fn connect(&mut self, client: usize, path: &str) -> Result<()> {
        let failed = |error| Fault::system(format!("connecting client {client}"))(error);
        let socket = TcpStream::connect(self.address).map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        epoll::add(&self.poll, &socket, EventData::new_u64(client as u64), EventFlags::IN)
            .map_err(|error| failed(error.into()))?;
        let out = handshake::request(&self.address.to_string(), path, [7; 16]);
        self.lines[client] = Some(Line { socket, decoder: None, head: Vec::new(), out });
        Ok(())
    }

    /// Lets a client's connection go.
    pub fn cut(&mut self, client: usize) {
        // Closing takes it out of the epoll.
        self.lines[client] = None;
    }

    /// Says one frame; it leaves with the next [`Crowd::turn`] or [`Crowd::send`].
    pub fn say(&mut self, client: usize, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let Some(line) = &mut self.lines[client] else { return };
        let mut frame = Vec::new();
        write(&mut self.encoder, &mut frame);
        ws::write_message(&mut line.out, Opcode::Binary, &frame, Some([1, 2, 3, 4]));
    }

    /// Sends what a client has to say, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, client: usize) -> Result<()> {
        let Some(line) = &mut self.lines[client] else { return Ok(()) };
        while !line.out.is_empty() {
            match line.socket.write(&line.out) {
                Ok(count) => drop(line.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(Fault::system(format!("writing of client {client}"))(error)),
            }
        }
        Ok(())
    }

    /// Waits up to `timeout` and takes what has come; `each` is given every frame. Whether anything came.
    ///
    /// # Errors
    /// A connection ends, what comes is not the protocol, or `each` objects.
    pub fn turn(&mut self, timeout: Duration, each: &mut Each<'_>) -> Result<bool> {
        let mut events = Vec::with_capacity(1024);
        let timeout =
            rustix::event::Timespec::try_from(timeout).map_err(|_| Fault::Usage("no such time".into()))?;
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Fault::system("waiting for sockets")(error.into())),
        }
        let ready: VecDeque<usize> =
            events.iter().map(|event: &epoll::Event| event.data.u64() as usize).collect();
        let any = !ready.is_empty();
        for client in ready {
            self.read(client, each)?;
        }
        Ok(any)
    }

    fn read(&mut self, client: usize, each: &mut Each<'_>) -> Result<()> {
        let Some(line) = &mut self.lines[client] else { return Ok(()) };
        let count = match line.socket.read(&mut self.scratch) {
            Ok(0) => return Err(Fault::Server(format!("it closed the connection of client {client}"))),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Fault::system(format!("reading of client {client}"))(error)),
        };
        self.received_bytes += count as u64;
        let broken = |why: String| Fault::Server(format!("client {client} gets {why}"));
        let mut input = &mut self.scratch[..count];
        let mut rest;
        if line.decoder.is_none() {
            line.head.extend_from_slice(input);
            let Some(end) = line.head.windows(4).position(|window| window == b"\r\n\r\n") else {
                return Ok(());
            };
            if !line.head.starts_with(b"HTTP/1.1 101 ") {
                return Err(broken(String::from_utf8_lossy(&line.head).into_owned()));
            }
            rest = line.head.split_off(end + 4);
            input = &mut rest;
            line.head = Vec::new();
            line.decoder = Some(Decoder::new(Role::Client, MESSAGE_BYTES_MAX));
        }
        let Some(decoder) = &mut line.decoder else { return Ok(()) };
        loop {
            match decoder.next(&mut input).map_err(|fault| broken(fault.to_string()))? {
                None => break,
                Some(Event::Message { mut data, .. }) => {
                    while let Some(frame) = frame::split(&mut data, MESSAGE_BYTES_MAX)
                        .map_err(|fault| broken(fault.to_string()))?
                    {
                        let frame = ServerFrame::decode(frame).map_err(|fault| broken(fault.to_string()))?;
                        each(client, &frame)?;
                    }
                }
                Some(Event::Ping(payload)) => {
                    ws::write_message(&mut line.out, Opcode::Pong, payload, Some([1, 2, 3, 4]));
                }
                Some(Event::Pong(_)) => {}
                Some(Event::Close { code, reason }) => return Err(broken(format!("{code:?} {reason}"))),
            }
        }
        self.send(client)
    }

    /// Whether a client's handshake is over.
    #[must_use]
    pub fn is_open(&self, client: usize) -> bool {
        self.lines[client].as_ref().is_some_and(|line| line.decoder.is_some())
    }
}
