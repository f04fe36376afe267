//! HTTP/1.1 on a port of its own: for operators, for what watches the server, and for uploads. Over TLS where the
//! clients' port speaks it, unless the operator says otherwise.
//!
//! One task per connection, so many at most; a request head that does not come, or a connection that says
//! nothing, is given up. What a path means is decided in `Service::answer` and nowhere else.
//!
//! Absent: HTTP/2.

pub mod admin;
mod dead_letters;
mod door;
mod metrics;
mod patient;
pub mod reply;

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};

use super::exchange::Shards;
use super::objects::Media;
use super::push::Push;
use super::status::{Phase, Status};
use crate::limits::PLANE_CONNECTIONS_MAX;
use crate::transport::tls::offer::Offer;
use admin::AdminKey;
use door::{Door, Opened};
use patient::Patient;
use reply::{Body, Problem};

/// Time for a request's head, and between two requests on a connection.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// Time that requests under way have to end when the process does.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Pause after the system refused to accept a connection, for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is served; one for the process, shared by all connections of the plane's thread.
pub struct Service {
    /// The ways to the shards.
    pub shards: Shards,
    status: Arc<Status>,
    admin_key: Option<AdminKey>,
    push: Push,
    media: Option<Rc<Media>>,
}

impl Service {
    /// Of a running server.
    pub fn new(
        shards: Shards,
        status: Arc<Status>,
        admin_key: Option<AdminKey>,
        push: Push,
        media: Option<Rc<Media>>,
    ) -> Rc<Self> {
        Rc::new(Service { shards, status, admin_key, push, media })
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let result = match (request.method(), &segments[..]) {
            (&Method::GET, ["healthz"]) => Ok(reply::text(StatusCode::OK, "alive\n")),
            (&Method::GET, ["readyz"]) => Ok(self.ready()),
            (&Method::GET, ["metrics"]) => metrics::page(self).await,
            (_, ["healthz" | "readyz" | "metrics"]) => Err(Problem::method("GET")),
            (_, ["admin", rest @ ..]) => self.admin(&request, rest).await,
            (_, ["v1", "media", rest @ ..]) => match &self.media {
                Some(media) => Ok(media.answer(request, rest).await),
                None => Err(Problem::new(
                    StatusCode::NOT_FOUND,
                    "media_off",
                    "media sharing is off on this server; its operator turns it on with media.store",
                )),
            },
            _ => Err(Problem::not_found(&path)),
        };
        result.unwrap_or_else(Problem::into_response)
    }

    fn ready(&self) -> Response<Body> {
        match self.status.phase() {
            Phase::Ready => reply::text(StatusCode::OK, "ready\n"),
            Phase::Starting => reply::text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            Phase::Draining => reply::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    }

    /// Lets in who has the key, then looks what is wanted.
    async fn admin(&self, request: &Request<Incoming>, rest: &[&str]) -> Result<Response<Body>, Problem> {
        admin::check(self.admin_key.as_ref(), request.headers())?;
        match rest {
            ["dead-letters", rest @ ..] => {
                dead_letters::answer(&self.push, request.method(), request.uri().query(), rest).await
            }
            _ => Err(Problem::not_found(&format!("/admin/{}", rest.join("/")))),
        }
    }
}

/// Serves until `stopped`, then lets requests end that are under way. With an offer of certificates TLS is spoken.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Offer>,
    service: Rc<Service>,
    stopped: oneshot::Receiver<()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(PLANE_CONNECTIONS_MAX));
    let mut door = Door::new(tls);
    // Handshakes under way are not requests: they end with it.
    let (ending, ended) = watch::channel(());
    tokio::pin!(stopped);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            // Also where the sender is gone: nobody would stop it later.
            _ = &mut stopped => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the plane cannot accept connections for the moment");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (service, watcher) = (Rc::clone(&service), graceful.watcher());
        let (opening, mut ended) = (door.open(stream), ended.clone());
        tokio::task::spawn_local(async move {
            let _place = place;
            let opened = tokio::select! {
                opened = opening => opened,
                _ = ended.changed() => return,
            };
            let result = match opened {
                Ok(Opened::Clear(stream)) => attend(stream, Some(service), watcher).await,
                Ok(Opened::Secure(stream)) => attend(stream, Some(service), watcher).await,
                Ok(Opened::Astray(stream)) => attend(stream, None, watcher).await,
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                tracing::debug!(%error, "a connection to the plane ended early");
            }
        });
    }
    drop((listener, ending));
    if tokio::time::timeout(END_PATIENCE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests to the plane are cut: they did not end in time");
    }
}

/// Answers what is asked on one connection. Without a service it is one in the clear where TLS is spoken, and is told so.
async fn attend<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    service: Option<Rc<Service>>,
    watcher: Watcher,
) -> std::io::Result<()> {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .keep_alive(service.is_some())
        .serve_connection(
            TokioIo::new(Patient::new(stream)),
            hyper::service::service_fn(move |request| {
                let service = service.clone();
                async move {
                    Ok::<_, Infallible>(match service {
                        Some(service) => service.answer(request).await,
                        None => door::astray().into_response(),
                    })
                }
            }),
        );
    watcher.watch(connection).await.map_err(std::io::Error::other)
}
