//! TLS before HTTP: with the certificate of the clients' port, renewed with it.
//!
//! Whoever connects has so long to shake hands, and so many do at a time; what comes over TLS is then served like
//! anything else. HTTP in the clear is told where to go (as W-66 has it of the clients' port).
//!
//! Owner: the task that accepts. Absent: names and ALPN other than HTTP/1.1, which `boot/tls` decides.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::reply::Problem;
use crate::limits::PLANE_HANDSHAKES_MAX;
use crate::transport::tls::offer::Offer;

/// Time for the first byte, and from the connection's turn to the end of its handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Time until its turn, where others do not come to an end with theirs.
const TURN_PATIENCE: Duration = Duration::from_secs(30);

/// What a connection came to.
pub(super) enum Opened {
    /// No TLS is spoken here.
    Clear(TcpStream),
    /// TLS, with the handshake over.
    Secure(Box<TlsStream<TcpStream>>),
    /// TLS is spoken here, and the client does not.
    Astray(TcpStream),
}

/// Where connections come in.
pub(super) struct Door {
    tls: Option<Offer>,
    handshakes: Arc<Semaphore>,
}

impl Door {
    /// Without an offer of certificates nothing is encrypted.
    pub(super) fn new(tls: Option<Offer>) -> Self {
        Door { tls, handshakes: Arc::new(Semaphore::new(PLANE_HANDSHAKES_MAX)) }
    }

    /// Opens to one connection. The newest certificate is the one of now, not of when its turn comes.
    pub(super) fn open(&mut self, stream: TcpStream) -> impl Future<Output = io::Result<Opened>> + use<> {
        let acceptor = self.tls.as_mut().map(|offer| TlsAcceptor::from(Arc::clone(&offer.current().tcp)));
        let handshakes = Arc::clone(&self.handshakes);
        async move {
            let Some(acceptor) = acceptor else { return Ok(Opened::Clear(stream)) };
            shake(stream, &acceptor, &handshakes).await
        }
    }
}

async fn shake(stream: TcpStream, acceptor: &TlsAcceptor, handshakes: &Semaphore) -> io::Result<Opened> {
    let mut first = [0];
    // Who says nothing takes nobody's turn.
    timeout(HANDSHAKE_PATIENCE, stream.peek(&mut first)).await??;
    // The first byte of TLS is 22, that of an HTTP request a capital letter.
    if first[0].is_ascii_uppercase() {
        return Ok(Opened::Astray(stream));
    }
    let _turn = timeout(TURN_PATIENCE, handshakes.acquire()).await?.map_err(io::Error::other)?;
    let stream = timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream)).await??;
    Ok(Opened::Secure(Box::new(stream)))
}

/// What is said to who speaks HTTP in the clear where TLS is spoken.
pub(super) fn astray() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "cleartext", "this port speaks TLS: use https:// here")
}
