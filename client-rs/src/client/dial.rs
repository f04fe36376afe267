//! Getting through to a server: TCP, TLS over it, QUIC, or whichever of the last two is there first.
//!
//! ```text
//!   ringwire://   QUIC ─────────────── ready ──► used
//!                  └─ no answer yet, or refused ─► TLS over TCP as well; the first that is ready is used
//! ```
//!
//! Where QUIC lost, the next connections begin with both at once for a while, and then it gets its head start again:
//! a network that swallows UDP costs a client 300 ms once, and not for ever.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use super::quic::{self, Quic};
use super::tls::Tls;
use super::url::{Endpoint, Scheme};
use crate::error::Error;
use crate::limits::{QUIC_AGAIN_AFTER, QUIC_HEAD_START};

/// What a connection is made of.
pub(super) enum Stream {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
    Quic(Box<Quic>),
}

/// Makes the connections of one client, and remembers what worked.
pub(super) struct Dialer {
    /// Absent where nothing is encrypted.
    tls: Option<Tls>,
    /// Until when QUIC has no head start, because it lost.
    quic_lost: Mutex<Option<Instant>>,
}

impl Dialer {
    /// For addresses of this scheme.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub(super) fn new(scheme: Scheme, pin: Option<[u8; 32]>) -> Result<Self, Error> {
        // A server that is spoken to in the clear may name one that is not.
        let tls = if scheme.is_secure() || pin.is_some() { Some(Tls::new(pin)?) } else { None };
        Ok(Dialer { tls, quic_lost: Mutex::new(None) })
    }

    /// Gets through, or says why not.
    pub(super) async fn dial(&self, endpoint: &Endpoint) -> Result<Stream, String> {
        let Endpoint { scheme, host, port, .. } = endpoint;
        let result = match scheme {
            Scheme::Ws => tcp(endpoint).await.map(Stream::Plain),
            Scheme::Wss => self.secure(endpoint).await,
            Scheme::Quic => self.quic(endpoint, true).await,
            Scheme::Either => self.either(endpoint).await,
        };
        result.map_err(|error| format!("connecting to {host} port {port}: {error}"))
    }

    fn tls(&self) -> io::Result<Tls> {
        match &self.tls {
            Some(tls) => Ok(tls.clone()),
            None => Tls::new(None).map_err(io::Error::other),
        }
    }

    async fn secure(&self, endpoint: &Endpoint) -> io::Result<Stream> {
        let name = ServerName::try_from(endpoint.host.clone()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.tls()?.tcp);
        let stream = tcp(endpoint).await?;
        Ok(Stream::Secure(Box::new(connector.connect(name, stream).await?)))
    }

    async fn quic(&self, endpoint: &Endpoint, may_be_early: bool) -> io::Result<Stream> {
        let addresses: Vec<SocketAddr> =
            lookup_host((endpoint.host.as_str(), endpoint.port)).await?.collect();
        let tls = self.tls()?.quic;
        quic::connect(&addresses, &endpoint.host, tls, may_be_early)
            .await
            .map(|quic| Stream::Quic(Box::new(quic)))
    }

    async fn either(&self, endpoint: &Endpoint) -> io::Result<Stream> {
        let began = Instant::now();
        let lost = *self.lock();
        // Early data are ready at once, which says nothing about whether they arrive: only after QUIC has worked.
        let head_start = match lost {
            Some(until) if began < until => Duration::ZERO,
            _ => QUIC_HEAD_START,
        };
        let quic = self.quic(endpoint, lost.is_none());
        let is_up_to_tcp = Notify::new();
        let secure = async {
            tokio::select! {
                () = sleep_until(began + head_start) => {}
                () = is_up_to_tcp.notified() => {}
            }
            self.secure(endpoint).await
        };
        let (mut quic, mut secure) = (std::pin::pin!(quic), std::pin::pin!(secure));
        tokio::select! {
            biased;
            stream = &mut quic => match stream {
                Ok(stream) => {
                    *self.lock() = None;
                    Ok(stream)
                }
                Err(error) => {
                    debug!(%error, "QUIC does not get through; using TLS over TCP");
                    self.give_up_on_quic();
                    is_up_to_tcp.notify_one();
                    secure.await.map_err(|refused| both(&refused, &error))
                }
            },
            stream = &mut secure => match stream {
                Ok(stream) => {
                    debug!("TLS over TCP was ready before QUIC");
                    self.give_up_on_quic();
                    Ok(stream)
                }
                Err(refused) => quic.await.map_err(|error| both(&refused, &error)),
            },
        }
    }

    /// QUIC gets no head start for a while.
    pub(super) fn give_up_on_quic(&self) {
        *self.lock() = Some(Instant::now() + QUIC_AGAIN_AFTER);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.quic_lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn both(tcp: &io::Error, quic: &io::Error) -> io::Error {
    io::Error::new(tcp.kind(), format!("{tcp}; and over QUIC: {quic}"))
}

async fn tcp(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
