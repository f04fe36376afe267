//! A push service that records what it gets and answers as it is told.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Patience: the machine may be slow and shared. Nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What came.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub version: Version,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let value =
            self.headers.get(name).unwrap_or_else(|| panic!("{name} is missing in {:?}", self.headers));
        value.to_str().expect("ASCII")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// How it is answered.
pub enum Reply {
    /// A status, headers and a body.
    Say(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Hang,
    /// The stream is reset.
    Reset,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::Say(status, Vec::new(), String::new())
    }

    pub fn json(status: u16, body: serde_json::Value) -> Reply {
        Reply::Say(status, Vec::new(), body.to_string())
    }
}

type Script = Box<dyn FnMut(&Received) -> Reply + Send>;

/// A running service; on the runtime that it was started on.
pub struct Service {
    pub url: String,
    /// Its certificate, for whoever is to trust it.
    pub root_pem: String,
    received: Arc<Mutex<Vec<Received>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    /// Starts one that answers by `script`.
    pub async fn start(script: impl FnMut(&Received) -> Reply + Send + 'static) -> Service {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let mut tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("a sound certificate");
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let authority = listener.local_addr().expect("bound").to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let sink = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, sink, script) = (acceptor.clone(), Arc::clone(&sink), Arc::clone(&script));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper::service::service_fn(move |request| {
                        answer(request, Arc::clone(&sink), Arc::clone(&script))
                    });
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A client that goes away is none of our business.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Service { url: format!("https://{authority}"), root_pem: certified.cert.pem(), received }
    }

    /// What came so far.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    /// What came, once it is so much.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let until = Instant::now() + PATIENCE;
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(Instant::now() < until, "{count} were to come, {} did", received.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Why a stream is reset.
#[derive(Debug, thiserror::Error)]
#[error("as the test wants it")]
struct AsTold;

async fn answer(
    request: http::Request<hyper::body::Incoming>,
    sink: Arc<Mutex<Vec<Received>>>,
    script: Arc<Mutex<Script>>,
) -> Result<Response<Full<Bytes>>, AsTold> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| AsTold)?.to_bytes();
    let received = Received {
        at: Instant::now(),
        version: head.version,
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
    };
    let reply = lock(&script)(&received);
    lock(&sink).push(received);
    match reply {
        Reply::Say(status, headers, body) => {
            let mut response = Response::new(Full::new(Bytes::from(body)));
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().expect("a header"));
            }
            Ok(response)
        }
        Reply::Hang => match std::future::pending::<Infallible>().await {},
        Reply::Reset => Err(AsTold),
    }
}
