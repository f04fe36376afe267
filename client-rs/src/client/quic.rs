//! A connection over QUIC (W-70): one stream for everything that has an order, streams of the server's for pages of
//! history, datagrams for who types and who is there.
//!
//! Absent: framing, which is the [`Link`](crate::ws::Link)'s, and what may go early, which the core knows: `Hello` and
//! publishes that have numbers (W-73).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream, TransportConfig,
    VarInt, WriteError, ZeroRttAccepted,
};
use ringwire_protocol::Fault;
use ringwire_protocol::frame::FrameReader;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::shared::Shared;
use super::task::{Output, Task};
use crate::core::Cause;
use crate::limits::{
    FRAME_BYTES_TAKEN, GOODBYE_TIMEOUT, QUIC_BYTES_MAX, QUIC_DATAGRAM_BYTES_MAX, QUIC_EARLY_TIMEOUT,
    QUIC_NEXT_ADDRESS_AFTER, QUIC_PAGES_MAX, QUIC_STREAM_BYTES_MAX, RECEIVE_BYTES,
};
use crate::ws::Action;

/// A connection with its stream.
pub(super) struct Quic {
    endpoint: Endpoint,
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    early: Option<Early>,
}

/// What goes before the handshake is over, by a ticket of an earlier connection.
struct Early {
    accepted: ZeroRttAccepted,
    /// Everything said so far, bounded by what the core says before `Welcome`: a server that forgot the ticket has not read
    /// it, and is told again.
    said: Vec<u8>,
    until: Instant,
}

/// Connects to the first of these addresses that answers; each later one begins a little after the one before. Where
/// there is a ticket and `may_be_early`, it does not wait for an answer.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    host: &str,
    crypto: Arc<QuicClientConfig>,
    may_be_early: bool,
) -> io::Result<Quic> {
    let mut config = ClientConfig::new(crypto);
    config.transport_config(Arc::new(transport()));
    let mut attempts = JoinSet::new();
    for (&address, nth) in addresses.iter().zip(0..) {
        let (host, config) = (host.to_owned(), config.clone());
        attempts.spawn(async move {
            sleep(QUIC_NEXT_ADDRESS_AFTER * nth).await;
            attempt(address, &host, config, may_be_early).await
        });
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    while let Some(attempt) = attempts.join_next().await {
        match attempt.map_err(io::Error::other).flatten() {
            Ok(quic) => return Ok(quic),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn attempt(
    address: SocketAddr,
    host: &str,
    config: ClientConfig,
    may_be_early: bool,
) -> io::Result<Quic> {
    let endpoint = Endpoint::client(any(address.is_ipv6()))?;
    let connecting = endpoint.connect_with(config, address, host).map_err(io::Error::other)?;
    let (connection, early) = match if may_be_early { connecting.into_0rtt() } else { Err(connecting) } {
        Ok((connection, accepted)) => {
            let until = Instant::now() + QUIC_EARLY_TIMEOUT;
            (connection, Some(Early { accepted, said: Vec::new(), until }))
        }
        Err(connecting) => (connecting.await?, None),
    };
    let (send, recv) = connection.open_bi().await?;
    Ok(Quic { endpoint, connection, send, recv, early })
}

/// Whether the server took what was said early; without anything early, never. An error where it does not answer.
async fn verdict(early: &mut Option<Early>) -> Result<bool, ()> {
    match early {
        None => std::future::pending().await,
        Some(early) => timeout_at(early.until, &mut early.accepted).await.map_err(drop),
    }
}

/// Any port of this machine.
fn any(is_ipv6: bool) -> SocketAddr {
    if is_ipv6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        // Whether the server lives is the heartbeat's to find out, and how long silence may last the server's to say.
        .max_idle_timeout(None)
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(QUIC_PAGES_MAX))
        .stream_receive_window(VarInt::from_u32(QUIC_STREAM_BYTES_MAX))
        .receive_window(VarInt::from_u32(QUIC_BYTES_MAX))
        .datagram_receive_buffer_size(Some(QUIC_DATAGRAM_BYTES_MAX))
        .datagram_send_buffer_size(QUIC_DATAGRAM_BYTES_MAX);
    transport
}

impl Task {
    /// Moves frames until the connection is gone; says why.
    pub(super) async fn online_quic(&self, quic: Quic) -> Cause {
        let Quic { endpoint, connection, mut send, mut recv, mut early } = quic;
        let mut input = vec![0; RECEIVE_BYTES];
        let mut output = Output::default();
        // They end with the connection: what they would bring later belongs to nobody.
        let mut pages = JoinSet::new();
        loop {
            self.ask_for_token();
            let (action, datagrams) = self.shared.quietly(|inner, now| {
                if output.is_empty() {
                    output.clear();
                    inner.link.poll_output(now, &mut output.bytes);
                }
                let datagrams: Vec<Vec<u8>> = std::iter::from_fn(|| inner.link.poll_datagram()).collect();
                (inner.link.poll_action(), datagrams)
            });
            for datagram in datagrams {
                // A server that takes none, or a path too narrow for it: the stream is never too narrow.
                if let Err(
                    quinn::SendDatagramError::UnsupportedByPeer
                    | quinn::SendDatagramError::Disabled
                    | quinn::SendDatagramError::TooLarge,
                ) = connection.send_datagram(datagram.clone().into())
                {
                    output.bytes.extend_from_slice(&datagram);
                }
            }
            if let Some(Action::Close | Action::Connect { .. }) = action {
                let (code, reason) = self.shared.look(|inner| inner.link.take_goodbye());
                let _ = timeout(GOODBYE_TIMEOUT, send.write_all(output.rest())).await;
                connection.close(VarInt::from_u32(code.into()), reason.as_bytes());
                // The last word has left when the socket has nothing more to do.
                let _ = timeout(GOODBYE_TIMEOUT, endpoint.wait_idle()).await;
                return Cause::Wanted;
            }
            tokio::select! {
                verdict = verdict(&mut early) => match (verdict, early.take()) {
                    (Ok(false), Some(Early { mut said, .. })) => {
                        said.extend_from_slice(output.rest());
                        output = Output { bytes: said, written: 0 };
                        (send, recv) = match connection.open_bi().await {
                            Ok(streams) => streams,
                            Err(error) => return cause(error),
                        };
                    }
                    (Ok(_), _) => {}
                    (Err(()), _) => {
                        self.dialer.give_up_on_quic();
                        return Cause::Network("QUIC: the server does not answer".to_owned());
                    }
                },
                received = recv.read(&mut input) => match received {
                    Ok(Some(count)) => {
                        self.shared.quietly(|inner, now| inner.link.on_bytes(now, &mut input[..count]));
                    }
                    // The verdict comes right behind it.
                    Err(ReadError::ZeroRttRejected) if early.is_some() => tokio::task::yield_now().await,
                    Ok(None) => return end(&connection, "the server ended the stream"),
                    Err(error) => return read_error(&connection, error),
                },
                written = send.write(output.rest()), if !output.is_empty() => match written {
                    Ok(count) => {
                        if let Some(early) = &mut early {
                            early.said.extend_from_slice(&output.rest()[..count]);
                        }
                        output.written += count;
                    }
                    Err(WriteError::ZeroRttRejected) if early.is_some() => tokio::task::yield_now().await,
                    Err(WriteError::ConnectionLost(error)) => return cause(error),
                    Err(error) => return end(&connection, &error.to_string()),
                },
                page = connection.accept_uni() => match page {
                    Ok(page) => drop(pages.spawn(read_page(Arc::clone(&self.shared), page))),
                    Err(error) => return cause(error),
                },
                datagram = connection.read_datagram() => match datagram {
                    Ok(datagram) => self.shared.quietly(|inner, now| inner.link.on_frame(now, &datagram)),
                    Err(error) => return cause(error),
                },
                Some(_) = pages.join_next() => {}
                () = self.shared.moved.notified() => {
                    if let Err(error) = rebind(&endpoint).await {
                        return end(&connection, &format!("moving to another network: {error}"));
                    }
                }
                () = self.shared.wake.notified() => {}
                () = self.due() => {
                    // What has been received by now is handed in before the clock is looked at.
                    tokio::task::yield_now().await;
                    let received = tokio::select! {
                        biased;
                        received = recv.read(&mut input) => Some(received),
                        () = std::future::ready(()) => None,
                    };
                    match received {
                        None => {}
                        Some(Ok(Some(count))) => {
                            self.shared.quietly(|inner, now| inner.link.on_bytes(now, &mut input[..count]));
                        }
                        Some(Ok(None)) => return end(&connection, "the server ended the stream"),
                        Some(Err(error)) => return read_error(&connection, error),
                    }
                    self.shared.quietly(|inner, now| inner.core().on_timer(now));
                }
            }
        }
    }
}

/// Gives the endpoint a new socket, and thereby whatever network there is now; its connection stays.
async fn rebind(endpoint: &Endpoint) -> io::Result<()> {
    let socket = UdpSocket::bind(any(endpoint.local_addr()?.is_ipv6())).await?;
    endpoint.rebind(socket.into_std()?)
}

/// Takes a stream of whole frames that the server opened.
async fn read_page(shared: Arc<Shared>, mut page: RecvStream) {
    let mut reader = FrameReader::new(FRAME_BYTES_TAKEN);
    let mut input = vec![0; RECEIVE_BYTES];
    // Reset or lost: the request was not answered, and its time-out asks again.
    while let Ok(Some(count)) = page.read(&mut input).await {
        let result = shared.quietly(|inner, now| {
            let mut rest = &input[..count];
            while let Some(frame) = reader.next(&mut rest)? {
                inner.link.on_frame(now, frame.bytes);
            }
            Ok::<(), Fault>(())
        });
        if let Err(fault) = result {
            return shared.with(|inner, _| inner.link.on_fault(fault));
        }
    }
}

fn read_error(connection: &Connection, error: ReadError) -> Cause {
    match error {
        ReadError::ConnectionLost(error) => cause(error),
        error => end(connection, &error.to_string()),
    }
}

/// Why the connection is over that its stream has ended on: as the server said, if it did.
fn end(connection: &Connection, what: &str) -> Cause {
    match connection.close_reason() {
        Some(error) => cause(error),
        None => Cause::Network(what.to_owned()),
    }
}

fn cause(error: ConnectionError) -> Cause {
    match error {
        ConnectionError::ApplicationClosed(close) => Cause::Closed {
            code: u16::try_from(close.error_code.into_inner()).ok(),
            reason: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        error => Cause::Network(format!("QUIC: {error}")),
    }
}
