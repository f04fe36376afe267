//! Media: resumable uploads (tus 1.0.0) and ranged downloads, for members of conversations.
//!
//! ```text
//!   POST, PATCH ──► upload ──► spool (bounded, survives kill -9) ──► store (folder or S3)
//!   GET, HEAD ◄──── download ◄──────────────────────────────────────── │
//!                                            sweep: what is past its time goes
//!
//!   OPTIONS, POST                /v1/media/uploads                  what is spoken; a new upload
//!   HEAD, PATCH, DELETE, POST    /v1/media/uploads/ID               how far, more of it, give it up
//!   GET, HEAD, DELETE            /v1/media/CONVERSATION/OBJECT      content, with ranges; forget it there
//! ```
//!
//! Owner: the plane; one for the process. A request shows the same token as a session, and the owner shard of
//! the conversation says what its user may do there: readers and above download, members and above upload.
//!
//! Invariants: no upload is in memory as a whole; an object is whole, and what its name says; what was refused
//! leaves nothing behind.
//!
//! Absent: messages. A message refers to an object by its hash, and nothing here reads messages.

mod cors;
mod download;
mod hash;
mod kind;
mod name;
mod range;
mod receive;
mod spool;
mod store;
mod sweep;
mod transfers;
mod tus;
mod upload;

use std::error::Error as _;
use std::io;
use std::rc::Rc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::Role;

use crate::config::media::Media as Config;
use crate::plane::exchange::Shards;
use crate::plane::http::reply::{self, Body, Problem};
use crate::session::auth::{Authenticator, Identity};
use cors::Origins;
use hash::ObjectId;
use spool::{Recovered, Spool, UploadId};
use store::Store;
use transfers::Transfers;

/// Where all of it begins.
const PATH: &str = "/v1/media";

/// What media sharing needs, opened by boot; it is taken to the plane's thread.
pub struct Opened {
    config: Config,
    authenticator: Authenticator,
    origins: Vec<String>,
    store: Store,
    found: Recovered,
    now_ms: Box<dyn Fn() -> u64 + Send>,
}

/// Opens store and spool.
///
/// # Errors
/// Which of them cannot be had, and why.
pub fn open(
    config: &Config,
    authenticator: Authenticator,
    origins: Vec<String>,
    now_ms: impl Fn() -> u64 + Send + 'static,
) -> Result<Opened, String> {
    let store = Store::open(&config.place).map_err(|error| format!("media.store cannot be used: {error}"))?;
    let found = Recovered::read(&config.spool)
        .map_err(|error| format!("media.spool {} cannot be used: {error}", config.spool.display()))?;
    Ok(Opened { config: config.clone(), authenticator, origins, store, found, now_ms: Box::new(now_ms) })
}

/// Media sharing, on the plane's thread.
pub struct Media {
    config: Config,
    authenticator: Authenticator,
    origins: Origins,
    shards: Shards,
    store: Store,
    spool: Spool,
    transfers: Transfers,
    now_ms: Box<dyn Fn() -> u64 + Send>,
}

impl Media {
    /// Takes up what boot has opened, and begins to clean up.
    pub fn start(opened: Opened, shards: Shards) -> Rc<Self> {
        let Opened { config, authenticator, origins, store, found, now_ms } = opened;
        let spool = Spool::new(found, config.spool_bytes, config.uploads_per_user);
        let origins = Origins::new(origins);
        let transfers = Transfers::default();
        let media =
            Rc::new(Media { config, authenticator, origins, shards, store, spool, transfers, now_ms });
        tokio::task::spawn_local(sweep::run(Rc::clone(&media)));
        media
    }

    /// Answers a request below `PATH`; `rest` are the segments behind it.
    pub async fn answer(self: &Rc<Self>, request: Request<Incoming>, rest: &[&str]) -> Response<Body> {
        let origin = match self.origins.check(request.headers()) {
            Ok(origin) => origin,
            Err(problem) => return problem.into_response(),
        };
        let is_tus = rest.first() == Some(&"uploads");
        let mut response = match self.route(request, rest).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        };
        if is_tus {
            let version = HeaderValue::from_static(tus::VERSION);
            response.headers_mut().insert(tus::names::TUS_RESUMABLE, version);
        }
        cors::allow(response.headers_mut(), origin);
        response
    }

    async fn route(
        self: &Rc<Self>,
        request: Request<Incoming>,
        rest: &[&str],
    ) -> Result<Response<Body>, Problem> {
        let method = method(&request)?;
        if method == Method::OPTIONS {
            return Ok(self.options());
        }
        match rest {
            ["uploads"] => {
                tus::check_version(request.headers())?;
                match method {
                    Method::POST => self.create(request).await,
                    _ => Err(Problem::method("OPTIONS, POST")),
                }
            }
            ["uploads", id] => {
                tus::check_version(request.headers())?;
                let id = UploadId::parse(id).ok_or_else(upload::no_such_upload)?;
                match method {
                    Method::HEAD => self.offset(&request, id).await,
                    Method::PATCH => self.append(request, id).await,
                    Method::DELETE => self.terminate(&request, id).await,
                    _ => Err(Problem::method("HEAD, PATCH, DELETE")),
                }
            }
            [conversation, object] => {
                let no_object = download::no_such_object;
                let conversation: ConversationId = conversation.parse().map_err(|_| no_object())?;
                let object: ObjectId = object.parse().map_err(|_| no_object())?;
                match method {
                    Method::GET | Method::HEAD => {
                        self.download(&request, &method, conversation, object).await
                    }
                    Method::DELETE => self.forget(&request, conversation, object).await,
                    _ => Err(Problem::method("GET, HEAD, DELETE")),
                }
            }
            _ => Err(Problem::not_found(request.uri().path())),
        }
    }

    /// Says what is spoken here; a browser asks the same before it sends anything.
    fn options(&self) -> Response<Body> {
        let mut response = reply::empty(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        headers.insert(tus::names::TUS_VERSION, HeaderValue::from_static(tus::VERSION));
        headers.insert(tus::names::TUS_EXTENSION, HeaderValue::from_static(tus::EXTENSIONS));
        headers.insert(tus::names::TUS_MAX_SIZE, HeaderValue::from(self.config.bytes_max));
        headers.insert(tus::names::TUS_CHECKSUM_ALGORITHM, HeaderValue::from_static(hash::ALGORITHMS));
        cors::preflight(headers);
        response
    }

    /// Who asks.
    fn identify(&self, headers: &header::HeaderMap) -> Result<Identity, Problem> {
        let shown = tus::text(headers, &header::AUTHORIZATION)?.unwrap_or("");
        let token = match shown.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => "",
        };
        self.authenticator.verify(token, (self.now_ms)()).map_err(|fault| {
            let what = match fault.code() {
                Code::TOKEN_MISSING => {
                    "no token came along; send the session's token as `Authorization: Bearer TOKEN`"
                        .to_owned()
                }
                _ => fault.to_string(),
            };
            let challenge = match fault.code() {
                Code::TOKEN_MISSING => "Bearer",
                _ => "Bearer error=\"invalid_token\"",
            };
            Problem::new(StatusCode::UNAUTHORIZED, fault.code().name(), what)
                .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
        })
    }

    /// What somebody may do in a conversation. Whether it exists is told to its members only.
    async fn role(&self, user: UserId, conversation: ConversationId) -> Result<Role, Problem> {
        self.shards.role(user, conversation).await?.ok_or_else(|| {
            let what = "you are no member of this conversation; join it, or ask somebody to add you";
            Problem::new(StatusCode::FORBIDDEN, Code::NOT_A_MEMBER.name(), what)
        })
    }

    async fn may_upload(&self, user: UserId, conversation: ConversationId) -> Result<(), Problem> {
        if self.role(user, conversation).await? >= Role::Member {
            return Ok(());
        }
        let what = "readers of this conversation do not upload to it; ask an admin for another role";
        Err(Problem::new(StatusCode::FORBIDDEN, Code::FORBIDDEN.name(), what))
    }
}

/// The method that is meant: proxies that let only GET and POST pass are told of another in a header.
fn method(request: &Request<Incoming>) -> Result<Method, Problem> {
    match tus::text(request.headers(), &tus::names::METHOD_OVERRIDE)? {
        None => Ok(request.method().clone()),
        Some(name) => Method::from_bytes(name.as_bytes()).map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "bad_header", "X-HTTP-Method-Override names no method")
        }),
    }
}

/// Our own disk refuses.
fn disk_problem(error: &io::Error) -> Problem {
    tracing::warn!(%error, "the media spool refuses");
    if is_full(error) {
        let what = "the server's disk for uploads is full, and nothing of this was kept; try again later, \
                    its operator has to make room";
        return Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", what)
            .with(header::RETRY_AFTER, HeaderValue::from_static("60"));
    }
    Problem::internal(format!("the server's disk for uploads failed ({}); try again later", error.kind()))
}

/// The store refuses.
fn store_problem(error: &object_store::Error) -> Problem {
    tracing::warn!(error = %error, "the media store refuses");
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(is_full) {
            let what = "the server's media store is full, and nothing of this was kept; try again later, its \
                        operator has to make room";
            return Problem::new(StatusCode::INSUFFICIENT_STORAGE, "store_full", what)
                .with(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        source = cause.source();
    }
    let what = "the server's media store does not answer; nothing is lost, try again in a moment";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", what)
        .with(header::RETRY_AFTER, HeaderValue::from_static("5"))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
