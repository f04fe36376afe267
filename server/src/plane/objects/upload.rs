//! Uploads: begun, looked at, continued, given up, and what becomes of one that is whole.
//!
//! Bytes are received by a task of their own, so that what came counts although the connection broke: a client
//! that comes back asks for the offset and goes on. What is refused for good leaves nothing.

use std::rc::Rc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use ringwire_protocol::id::UserId;

use super::hash::{Checksum, ChecksumFault};
use super::receive::{self, End};
use super::spool::{About, Full, Upload, UploadId};
use super::tus::{self, names};
use super::{Media, PATH, disk_problem, kind, store_problem};
use crate::plane::http::reply::{self, Body, Problem};

/// Nothing has this id.
pub(super) fn no_such_upload() -> Problem {
    let what = "there is no such upload, or not any more; begin a new one";
    Problem::new(StatusCode::NOT_FOUND, "no_such_upload", what)
}

fn superseded() -> Problem {
    let what = "another request took this upload over; ask for the offset and go on from there";
    Problem::new(StatusCode::CONFLICT, "superseded", what)
}

/// What a request brings besides its bytes.
struct Sent {
    user: UserId,
    checksum: Option<Checksum>,
}

impl Media {
    /// `POST`: announces an upload, and may bring its first bytes.
    pub(super) async fn create(
        self: &Rc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        let (parts, body) = request.into_parts();
        let (about, sent) = match self.check_creation(&parts.headers).await {
            Ok(checked) => checked,
            Err(problem) => return Err(receive::refuse(body, problem).await),
        };
        let place = self.transfers.begin(sent.user)?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Problem::internal(format!("the system has no random numbers: {error}")))?;
        let upload = match self.spool.create(UploadId::new(random), about).await {
            Ok(Ok(upload)) => upload,
            Ok(Err(full)) => return Err(receive::refuse(body, self.full_problem(full)).await),
            Err(error) => return Err(receive::refuse(body, disk_problem(&error)).await),
        };
        let location = format!("{PATH}/uploads/{}", upload.id);
        let brings = has_offset_stream(&parts.headers);
        if brings || upload.about.length == 0 {
            let (media, created) = (Rc::clone(self), Rc::clone(&upload));
            let task = tokio::task::spawn_local(async move {
                let _place = place;
                let appended = media.receive(&created, sent, brings.then_some(body)).await;
                if appended.is_err() {
                    // Its client never learns what it was called.
                    media.spool.remove(&created).await;
                }
                appended
            });
            task.await.map_err(|error| Problem::internal(error.to_string()))??;
        }
        let mut response = self.progress(&upload, StatusCode::CREATED);
        let location = HeaderValue::from_str(&location).map_err(|e| Problem::internal(e.to_string()))?;
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    }

    async fn check_creation(&self, headers: &HeaderMap) -> Result<(About, Sent), Problem> {
        let user = self.identify(headers)?.user;
        for name in [names::UPLOAD_DEFER_LENGTH, names::UPLOAD_CONCAT] {
            if headers.contains_key(&name) {
                let what = format!("{name} is not supported here; announce the length, and send one upload");
                return Err(Problem::new(StatusCode::BAD_REQUEST, "not_supported", what));
            }
        }
        let length = tus::number(headers, &names::UPLOAD_LENGTH)?;
        if length > self.config.bytes_max {
            let max = self.config.bytes_max;
            let what = format!("{length} bytes are more than this server takes, which is {max}");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", what));
        }
        let metadata = tus::text(headers, &names::UPLOAD_METADATA)?.unwrap_or("");
        let announced = tus::metadata(metadata)?;
        if !kind::is_allowed(&self.config.types, &announced.kind) {
            let what = format!("{} is no type that this server takes", announced.kind);
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "type_not_allowed", what));
        }
        let checksum = checksum(headers)?;
        self.may_upload(user, announced.conversation).await?;
        let expires = u64::try_from(self.config.upload_expires.as_millis()).unwrap_or(u64::MAX);
        let about = About {
            user,
            conversation: announced.conversation,
            name: announced.name,
            kind: announced.kind,
            length,
            hash: announced.hash,
            metadata: metadata.to_owned(),
            expires_ms: (self.now_ms)().saturating_add(expires),
        };
        Ok((about, Sent { user, checksum }))
    }

    fn full_problem(&self, full: Full) -> Problem {
        match full {
            Full::User => {
                let count = self.config.uploads_per_user;
                let what = format!("you have {count} uploads under way already; finish one or give it up");
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_uploads", what)
            }
            Full::Spool => {
                let what = "the server has no place for so many bytes of uploads under way; try again later";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "spool_full", what)
                    .with(header::RETRY_AFTER, HeaderValue::from_static("60"))
            }
        }
    }

    /// An upload, for its own user.
    fn find(&self, id: UploadId, user: UserId) -> Result<Rc<Upload>, Problem> {
        let upload = self.spool.get(id).ok_or_else(no_such_upload)?;
        if upload.about.user != user {
            let what = "this upload is somebody else's; begin one of your own";
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_your_upload", what));
        }
        if upload.about.expires_ms <= (self.now_ms)() {
            let what = "this upload was not finished in time; begin a new one";
            return Err(Problem::new(StatusCode::GONE, "upload_expired", what));
        }
        Ok(upload)
    }

    /// Whether an upload is still there after one has waited for it.
    fn still(&self, upload: &Upload) -> Result<(), Problem> {
        self.spool.get(upload.id).map(drop).ok_or_else(no_such_upload)
    }

    /// `HEAD`: how far it is. One that is whole but not stored yet, because the store refused, is stored now.
    pub(super) async fn offset(
        self: &Rc<Self>,
        request: &Request<Incoming>,
        id: UploadId,
    ) -> Result<Response<Body>, Problem> {
        let user = self.identify(request.headers())?.user;
        let upload = self.find(id, user)?;
        let (media, found) = (Rc::clone(self), Rc::clone(&upload));
        let task = tokio::task::spawn_local(async move {
            let _turn = found.take_turn().await.ok_or_else(locked)?;
            media.still(&found)?;
            media.complete(&found).await
        });
        task.await.map_err(|error| Problem::internal(error.to_string()))??;
        let mut response = self.progress(&upload, StatusCode::OK);
        let headers = response.headers_mut();
        headers.insert(names::UPLOAD_LENGTH, HeaderValue::from(upload.about.length));
        if let Ok(metadata) = HeaderValue::from_str(&upload.about.metadata) {
            headers.insert(names::UPLOAD_METADATA, metadata);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// `PATCH`: more bytes.
    pub(super) async fn append(
        self: &Rc<Self>,
        request: Request<Incoming>,
        id: UploadId,
    ) -> Result<Response<Body>, Problem> {
        let (parts, body) = request.into_parts();
        let checked = || {
            let user = self.identify(&parts.headers)?.user;
            if !has_offset_stream(&parts.headers) {
                let what = format!("the bytes of an upload have the Content-Type {}", tus::OFFSET_STREAM);
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_content_type", what));
            }
            let offset = tus::number(&parts.headers, &names::UPLOAD_OFFSET)?;
            let upload = self.find(id, user)?;
            let place = self.transfers.begin(user)?;
            Ok((upload, offset, Sent { user, checksum: checksum(&parts.headers)? }, place))
        };
        let (upload, offset, sent, place) = match checked() {
            Ok(checked) => checked,
            Err(problem) => return Err(receive::refuse(body, problem).await),
        };
        let (media, found) = (Rc::clone(self), Rc::clone(&upload));
        let task = tokio::task::spawn_local(async move {
            let _place = place;
            let turn = async {
                let turn = found.take_turn().await.ok_or_else(locked)?;
                media.still(&found)?;
                let here = found.offset();
                if offset != here {
                    let what = format!("the upload goes on at {here}, not at {offset}");
                    return Err(Problem::new(StatusCode::CONFLICT, "wrong_offset", what)
                        .with(names::UPLOAD_OFFSET, HeaderValue::from(here)));
                }
                media.may_upload(sent.user, found.about.conversation).await?;
                Ok(turn)
            };
            match turn.await {
                Ok(_turn) => media.receive(&found, sent, Some(body)).await,
                Err(problem) => Err(receive::refuse(body, problem).await),
            }
        });
        task.await.map_err(|error| Problem::internal(error.to_string()))??;
        Ok(self.progress(&upload, StatusCode::NO_CONTENT))
    }

    /// `DELETE`: gives an upload up. An object that came of it stays.
    pub(super) async fn terminate(
        &self,
        request: &Request<Incoming>,
        id: UploadId,
    ) -> Result<Response<Body>, Problem> {
        let user = self.identify(request.headers())?.user;
        let upload = self.find(id, user)?;
        let _turn = upload.take_turn().await.ok_or_else(locked)?;
        self.still(&upload)?;
        self.spool.remove(&upload).await;
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    /// Takes bytes behind the offset. The caller has the turn.
    async fn receive(&self, upload: &Rc<Upload>, sent: Sent, body: Option<Incoming>) -> Result<(), Problem> {
        if let Some(body) = body {
            self.receive_bytes(upload, sent.checksum, body).await?;
        }
        self.complete(upload).await
    }

    async fn receive_bytes(
        &self,
        upload: &Rc<Upload>,
        mut checksum: Option<Checksum>,
        mut body: Incoming,
    ) -> Result<(), Problem> {
        let too_long = || {
            let what = format!(
                "more bytes came than the {} that were announced; none of this request was kept",
                upload.about.length
            );
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_long", what)
        };
        let announced = hyper::body::Body::size_hint(&body).lower();
        if announced > upload.about.length - upload.offset() {
            return Err(receive::refuse(body, too_long()).await);
        }
        if upload.object().is_some() || announced == 0 && hyper::body::Body::is_end_stream(&body) {
            return Ok(());
        }
        let is_checked = checksum.is_some();
        let mut writer = match self.spool.writer(upload, is_checked).await {
            Ok(writer) => writer,
            Err(error) => return Err(receive::refuse(body, disk_problem(&error)).await),
        };
        let stall = self.config.stall_timeout;
        let end = receive::pump(&mut body, &mut writer, checksum.as_mut(), upload, stall).await;
        let problem = match end {
            End::Whole if checksum.is_none_or(Checksum::matches) => {
                return writer.keep().await.map_err(|error| disk_problem(&error));
            }
            End::Whole => {
                writer.discard().await;
                let what = "the bytes are not those that Upload-Checksum is of; none of them was kept";
                return Err(Problem::new(tus::checksum_mismatch(), "checksum_mismatch", what));
            }
            End::TooLong => {
                writer.discard().await;
                return Err(receive::refuse(body, too_long()).await);
            }
            End::Disk(error) => {
                writer.discard().await;
                return Err(receive::refuse(body, disk_problem(&error)).await);
            }
            End::Broken(error) => {
                tracing::debug!(%error, upload = %upload.id, "an upload's connection broke");
                Problem::new(StatusCode::BAD_REQUEST, "broken", "the request ended in the middle")
            }
            End::Wanted => superseded(),
            End::Stalled => {
                let what =
                    format!("too few bytes came in {stall:?}; ask for the offset and go on from there");
                Problem::new(StatusCode::REQUEST_TIMEOUT, "stalled", what)
                    .with(header::CONNECTION, HeaderValue::from_static("close"))
            }
        };
        // What came before the break counts, unless its checksum was still to come out.
        if is_checked {
            writer.discard().await;
        } else if let Err(error) = writer.keep().await {
            return Err(disk_problem(&error));
        }
        Err(problem)
    }

    /// Makes an object of an upload that is whole; does nothing for others. The caller has the turn.
    async fn complete(&self, upload: &Rc<Upload>) -> Result<(), Problem> {
        if upload.object().is_some() || upload.offset() < upload.about.length {
            return Ok(());
        }
        let about = &upload.about;
        let file = self.spool.bytes_of(upload);
        let read = tokio::task::spawn_blocking({
            let file = file.clone();
            move || receive::read_whole(&file)
        });
        let read = read.await.map_err(|error| Problem::internal(error.to_string()))?;
        let (object, head) = read.map_err(|error| disk_problem(&error))?;
        let refused = if !kind::is_honest(&about.kind, &head) {
            let what = format!("the content is no {}; nothing was stored", about.kind);
            Some(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "type_mismatch", what))
        } else if about.hash.is_some_and(|announced| announced != object) {
            let what = "the content's BLAKE3 is not the one that was announced; nothing was stored";
            Some(Problem::new(tus::checksum_mismatch(), "content_mismatch", what))
        } else {
            self.may_upload(about.user, about.conversation).await.err()
        };
        if let Some(problem) = refused {
            if !problem.is_transient() {
                self.spool.remove(upload).await;
            }
            return Err(problem);
        }
        let reference = super::store::Reference {
            kind: about.kind.clone(),
            name: about.name.clone(),
            length: about.length,
            user: about.user.to_string(),
            uploaded_ms: (self.now_ms)(),
        };
        let stored = self.store.put(&file, object, about.conversation, &reference).await;
        stored.map_err(|error| store_problem(&error))?;
        self.spool.finish(upload, object).await.map_err(|error| disk_problem(&error))
    }

    /// An answer that says how far an upload is, and what it became.
    fn progress(&self, upload: &Upload, status: StatusCode) -> Response<Body> {
        let mut response = reply::empty(status);
        let headers = response.headers_mut();
        headers.insert(names::UPLOAD_OFFSET, HeaderValue::from(upload.offset()));
        if let Ok(value) = HeaderValue::from_str(&http_date(upload.about.expires_ms)) {
            headers.insert(names::UPLOAD_EXPIRES, value);
        }
        if let Some(object) = upload.object() {
            let location = format!("{PATH}/{}/{object}", upload.about.conversation);
            for (name, text) in
                [(names::RINGWIRE_MEDIA, object.to_string()), (header::CONTENT_LOCATION, location)]
            {
                if let Ok(value) = HeaderValue::from_str(&text) {
                    headers.insert(name, value);
                }
            }
        }
        response
    }
}

fn locked() -> Problem {
    let what = "another request is writing this upload; try again in a moment";
    Problem::new(StatusCode::LOCKED, "locked", what).with(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

fn has_offset_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == tus::OFFSET_STREAM)
}

fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    let text = tus::text(headers, &names::UPLOAD_CHECKSUM)?;
    text.map(Checksum::parse).transpose().map_err(|fault| {
        let code = match fault {
            ChecksumFault::Malformed => "bad_checksum",
            ChecksumFault::Unknown => "unknown_checksum",
        };
        Problem::new(StatusCode::BAD_REQUEST, code, fault.to_string())
    })
}

/// A time as HTTP writes it.
fn http_date(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.unwrap_or(jiff::Timestamp::MAX).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_written_as_http_does() {
        assert_eq!(super::http_date(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(super::http_date(u64::MAX).ends_with("GMT"));
    }
}
