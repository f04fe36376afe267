//! Downloads: whole or in ranges, with what keeps a browser from being tricked.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::Role;
use tokio::sync::mpsc;

use super::hash::ObjectId;
use super::range::{Selection, select};
use super::store::{Content, Reference};
use super::transfers::Place;
use super::{Media, kind, name, store_problem};
use crate::plane::http::reply::{self, Body, Problem};

/// A content never changes under its name, but who may see it does: a browser keeps it for a day, for the user
/// who asked, and nobody else does.
const CACHE: &str = "private, max-age=86400, immutable";

/// Whatever the content is: it loads nothing, runs nothing, and is of no origin.
const POLICY: &str = "default-src 'none'; sandbox";

/// Nothing has this name, in this conversation.
pub(super) fn no_such_object() -> Problem {
    let what = "there is no such object in this conversation, or not any more";
    Problem::new(StatusCode::NOT_FOUND, "no_such_object", what)
}

impl Media {
    /// `GET` and `HEAD`.
    pub(super) async fn download(
        &self,
        request: &Request<Incoming>,
        method: &Method,
        conversation: ConversationId,
        object: ObjectId,
    ) -> Result<Response<Body>, Problem> {
        let user = self.identify(request.headers())?.user;
        let place = self.transfers.begin(user)?;
        self.role(user, conversation).await?;
        let reference = self.reference(object, conversation).await?;
        let tag = format!("\"{object}\"");
        let length = reference.length;
        let is_get = method == Method::GET;
        let range = match select(request.headers(), &tag, length, is_get) {
            Selection::Whole => 0..length,
            Selection::Part(range) => range,
            Selection::NotModified => {
                let mut response = reply::empty(StatusCode::NOT_MODIFIED);
                put(response.headers_mut(), header::ETAG, &tag)?;
                cached(response.headers_mut());
                return Ok(response);
            }
            Selection::Failed => {
                let what =
                    "the object is not the one that If-Match names; its name is its hash, it never changes";
                return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "other_object", what));
            }
            Selection::Malformed => {
                let what = "Range is not of the form bytes=FIRST-LAST; leave it out, or mend the client";
                return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_range", what));
            }
            Selection::Unsatisfiable => {
                let what = format!("the object has {length} bytes, and none of those that Range names");
                let value = HeaderValue::from_str(&format!("bytes */{length}"));
                let value = value.map_err(|error| Problem::internal(error.to_string()))?;
                return Err(Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_outside", what)
                    .with(header::CONTENT_RANGE, value));
            }
        };
        let is_part = range.end - range.start < length;
        let body = if is_get {
            let content = self.store.read(object, range.clone()).await.map_err(|error| match error {
                object_store::Error::NotFound { .. } => no_such_object(),
                error => store_problem(&error),
            })?;
            send(content, range.end - range.start, place, self.config.stall_timeout)
        } else {
            reply::whole("")
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        if is_part {
            put(
                headers,
                header::CONTENT_RANGE,
                &format!("bytes {}-{}/{length}", range.start, range.end - 1),
            )?;
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        put(headers, header::ETAG, &tag)?;
        describe(headers, &reference)?;
        cached(headers);
        if is_part {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }

    /// `DELETE`: the conversation forgets the object, if whoever uploaded it there or an admin says so. The content
    /// goes with the next sweep if no other conversation refers to it.
    pub(super) async fn forget(
        &self,
        request: &Request<Incoming>,
        conversation: ConversationId,
        object: ObjectId,
    ) -> Result<Response<Body>, Problem> {
        let user = self.identify(request.headers())?.user;
        let role = self.role(user, conversation).await?;
        let reference = self.reference(object, conversation).await?;
        if reference.user != user.to_string() && role < Role::Admin {
            let what = "only who uploaded it, or an admin of the conversation, takes an object away";
            return Err(Problem::new(StatusCode::FORBIDDEN, Code::FORBIDDEN.name(), what));
        }
        let removed = self.store.remove_reference(object, conversation).await;
        removed.map_err(|error| store_problem(&error))?;
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    async fn reference(&self, object: ObjectId, conversation: ConversationId) -> Result<Reference, Problem> {
        let reference = self.store.reference(object, conversation).await;
        reference.map_err(|error| store_problem(&error))?.ok_or_else(no_such_object)
    }
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, value: &str) -> Result<(), Problem> {
    let value = HeaderValue::from_str(value).map_err(|error| Problem::internal(error.to_string()))?;
    headers.insert(name, value);
    Ok(())
}

fn cached(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    headers.append(header::VARY, HeaderValue::from_static("Authorization"));
}

fn describe(headers: &mut HeaderMap, reference: &Reference) -> Result<(), Problem> {
    let inline = kind::is_inline(&reference.kind);
    put(headers, header::CONTENT_TYPE, &reference.kind)?;
    put(headers, header::CONTENT_DISPOSITION, &name::disposition(inline, &reference.name))?;
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(())
}

/// A body that is read from the store while it is sent, one piece ahead. A reader that takes nothing for too
/// long loses its place; its connection is cut by whoever owns that.
fn send(mut content: Content, length: u64, place: Place, stall: Duration) -> Body {
    let (sender, pieces) = mpsc::channel(1);
    tokio::task::spawn_local(async move {
        let _place = place;
        loop {
            let piece = match tokio::time::timeout(stall, content.next()).await {
                Ok(Some(piece)) => piece,
                Ok(None) => return,
                Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
            };
            if let Err(error) = &piece {
                tracing::warn!(%error, "a media download is cut: its content cannot be read");
            }
            let is_last = piece.is_err();
            let taken = tokio::time::timeout(stall, sender.send(piece)).await;
            if is_last || !matches!(taken, Ok(Ok(()))) {
                return;
            }
        }
    });
    Piped { pieces, left: length }.boxed_unsync()
}

struct Piped {
    pieces: mpsc::Receiver<std::io::Result<Bytes>>,
    left: u64,
}

impl HttpBody for Piped {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(Ok(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(error)) => Some(Err(error)),
            // Fewer bytes than were promised are not the end of an object.
            None => Some(Err(std::io::ErrorKind::UnexpectedEof.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
