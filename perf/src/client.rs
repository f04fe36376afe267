//! A client of one socket and the codec, blocking, with next to no memory of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringwire_protocol::DeviceId;
use ringwire_protocol::frame;
use ringwire_protocol::message::{Encoder, Hello, ServerFrame, VERSION};
use ringwire_protocol::ws::{self, Decoder, Event, Opcode, Role, handshake};

/// Nothing here takes long; a server that hangs ends the measurement.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server's first frames may take.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Connects, upgrades, signs in as `name` and waits for the Welcome; the socket is then idle.
pub(crate) fn sign_in(address: SocketAddr, name: &str) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let key = *DeviceId::from_name(name).as_bytes();
    socket.write_all(&handshake::request(&address.to_string(), ws::PATH, key))?;
    let mut received = Vec::new();
    let consumed = loop {
        read_more(&mut socket, &mut received)?;
        if let Some(consumed) = handshake::parse_response(&received, key).map_err(io::Error::other)? {
            break consumed;
        }
    };
    socket.write_all(&hello(name))?;

    received.drain(..consumed);
    let mut decoder = Decoder::new(Role::Client, FRAME_BYTES_MAX);
    loop {
        let mut input = received.as_mut_slice();
        while let Some(event) = decoder.next(&mut input).map_err(io::Error::other)? {
            if is_welcome(event)? {
                return Ok(socket);
            }
        }
        received.clear();
        read_more(&mut socket, &mut received)?;
    }
}

fn hello(name: &str) -> Vec<u8> {
    let token = format!("dev:{name}");
    let hello = Hello {
        version_min: VERSION,
        version_max: VERSION,
        device: DeviceId::from_name(name),
        capabilities: 0,
        token: &token,
        agent: "ringwire-perf",
        cursors: Default::default(),
        attempt: 0,
    };
    let (mut frame, mut message) = (Vec::new(), Vec::new());
    hello.encode(&mut Encoder::new(), &mut frame);
    ws::write_message(&mut message, Opcode::Binary, &frame, Some([1, 2, 3, 4]));
    message
}

fn is_welcome(event: Event<'_>) -> io::Result<bool> {
    match event {
        Event::Message { mut data, .. } => {
            while let Some(frame) = frame::split(&mut data, FRAME_BYTES_MAX).map_err(io::Error::other)? {
                if let ServerFrame::Welcome(_) = ServerFrame::decode(frame).map_err(io::Error::other)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Event::Close { code, reason } => {
            Err(io::Error::other(format!("the server closed with {code:?}: {reason}")))
        }
        Event::Ping(_) | Event::Pong(_) => Ok(false),
    }
}

fn read_more(socket: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 2_048];
    match socket.read(&mut piece)? {
        0 => Err(io::Error::other("the server closed the connection")),
        count => {
            received.extend_from_slice(&piece[..count]);
            Ok(())
        }
    }
}
