//! The bare loop: what the kernel costs when nothing is between a publish and the sends.
//!
//! A request head gets a constant answer, a path names the rooms, a publisher's payload goes to every socket
//! of its room as it came. No protocol, no order, no users, no memory per message. It is what the server is
//! compared with, so it does as little as possible, and refuses to go on where it would have to do more (a
//! socket that takes less than everything).
//!
//! Deliberately absent: fairness, limits, partial writes.

pub mod quic;
mod table;
pub mod wire;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::fault::{Fault, Result};
use table::{Peer, Table};
use wire::{put_ack, put_frame, take_frame};

/// Bytes taken in one read.
const READ_BYTES: usize = 64 * 1024;

/// Token of the listening socket.
const LISTENER: u64 = u64::MAX;

/// How the loop works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// All messages of one read leave as one send per socket.
    pub coalesces: bool,
    /// Bytes of an acknowledgement to the publisher, with its header; 0: none.
    pub ack_bytes: usize,
}

/// Serves until killed.
///
/// # Errors
/// The kernel refuses something, or a socket does not take everything.
pub fn serve(options: &Options) -> Result<()> {
    crate::system::want_descriptors(1024)?;
    let listener = TcpListener::bind(options.listen).map_err(Fault::system("listening"))?;
    listener.set_nonblocking(true).map_err(Fault::system("listening"))?;
    // std listens with a backlog of 4,096 at most; a storm of handshakes waits in SYN retries beyond it.
    rustix::net::listen(&listener, 4096).map_err(|error| Fault::system("listening")(error.into()))?;
    let poller =
        epoll::create(CreateFlags::CLOEXEC).map_err(|error| Fault::system("opening epoll")(error.into()))?;
    watch(&poller, &listener, LISTENER)?;
    println!("listening on {}", listener.local_addr().map_err(Fault::system("listening"))?);
    let mut bare = Bare {
        options: *options,
        table: Table::default(),
        buffer: vec![0; READ_BYTES].into_boxed_slice(),
        out: Vec::new(),
        acks: Vec::new(),
        rest: Vec::new(),
    };
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&poller, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Fault::system("waiting for events")(error.into())),
        }
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => bare.accept(&listener, &poller)?,
                slot => bare.receive(slot as usize)?,
            }
        }
    }
}

fn watch(poller: &OwnedFd, fd: impl std::os::fd::AsFd, token: u64) -> Result<()> {
    epoll::add(poller, fd, EventData::new_u64(token), EventFlags::IN)
        .map_err(|error| Fault::system("watching a socket")(error.into()))
}

struct Bare {
    options: Options,
    table: Table,
    buffer: Box<[u8]>,
    out: Vec<u8>,
    acks: Vec<u8>,
    /// A frame that is not whole yet, of the publisher it was kept for.
    rest: Vec<(usize, Vec<u8>)>,
}

impl Bare {
    fn accept(&mut self, listener: &TcpListener, poller: &OwnedFd) -> Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Fault::system("accepting")(error)),
            };
            stream.set_nonblocking(true).map_err(Fault::system("accepting"))?;
            stream.set_nodelay(true).map_err(Fault::system("accepting"))?;
            let slot = self.table.next_slot();
            watch(poller, &stream, slot as u64)?;
            self.table.put(slot, Peer { stream, rooms: Vec::new(), is_upgraded: false });
        }
    }

    fn receive(&mut self, slot: usize) -> Result<()> {
        let Some(peer) = self.table.get(slot) else { return Ok(()) };
        let count = match (&peer.stream).read(&mut self.buffer) {
            Ok(0) | Err(_) => {
                self.table.remove(slot);
                return Ok(());
            }
            Ok(count) => count,
        };
        if !peer.is_upgraded {
            return self.upgrade(slot, count);
        }
        let mut joined = match self.rest.iter().position(|(other, _)| *other == slot) {
            Some(at) => self.rest.swap_remove(at).1,
            None => Vec::new(),
        };
        joined.extend_from_slice(&self.buffer[..count]);
        let mut input = &joined[..];
        self.out.clear();
        self.acks.clear();
        let mut room_of_out = None;
        while let Some((payload, rest)) = take_frame(input) {
            input = rest;
            let Some(room) = wire::room(payload) else {
                put_frame(payload, &mut self.acks);
                continue;
            };
            if room_of_out.is_some_and(|other| other != room) || !self.options.coalesces {
                self.fan_out(room_of_out)?;
            }
            room_of_out = Some(room);
            put_frame(payload, &mut self.out);
            if self.options.ack_bytes > 0 {
                put_ack(self.options.ack_bytes, &mut self.acks);
            }
            if !self.options.coalesces {
                self.fan_out(room_of_out)?;
            }
        }
        self.fan_out(room_of_out)?;
        if !self.acks.is_empty()
            && let Some(peer) = self.table.get(slot)
        {
            send(&peer.stream, &self.acks)?;
        }
        if !input.is_empty() {
            let rest = input.to_vec();
            self.rest.push((slot, rest));
        }
        Ok(())
    }

    fn upgrade(&mut self, slot: usize, count: usize) -> Result<()> {
        let rooms = wire::rooms(&self.buffer[..count]);
        self.table.subscribe(slot, &rooms);
        match self.table.get(slot) {
            Some(peer) => send(&peer.stream, wire::SWITCH.as_bytes()),
            None => Ok(()),
        }
    }

    /// Sends what was gathered to every socket of the room.
    fn fan_out(&mut self, room: Option<u32>) -> Result<()> {
        if let Some(room) = room
            && !self.out.is_empty()
        {
            for stream in self.table.streams(room) {
                send(stream, &self.out)?;
            }
            self.out.clear();
        }
        Ok(())
    }
}

fn send(mut stream: &TcpStream, bytes: &[u8]) -> Result<()> {
    match stream.write(bytes) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => {
            Err(Fault::Machine("a socket took part of a send: the bare loop keeps no queues".to_owned()))
        }
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
        Err(error) => {
            Err(Fault::Machine(format!("a send failed, and the bare loop keeps no queues: {error}")))
        }
    }
}
