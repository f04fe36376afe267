//! Answers: texts, JSON, and problems that say what to do.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

use crate::plane::exchange::AskError;

/// The body of an answer: whole, or a stream that may fail on the way.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A whole body.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn response(status: StatusCode, content: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    // None of what is said here is true for long.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A plain text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    response(status, "text/plain; charset=utf-8", whole(text))
}

/// JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // Only maps with keys that are no strings, or a `Serialize` that fails by itself, cannot be written.
    let body = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
    response(status, "application/json", whole(body))
}

/// Nothing but a status, and headers to come.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(""));
    *response.status_mut() = status;
    response
}

/// Why a request is not served, and what would be.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Problem {
    status: StatusCode,
    /// A word for programs.
    pub(super) code: &'static str,
    what: String,
    /// A header that goes with the status.
    header: Option<(header::HeaderName, HeaderValue)>,
}

impl Problem {
    /// `code` is for programs, `what` for people.
    pub fn new(status: StatusCode, code: &'static str, what: impl Into<String>) -> Self {
        Problem { status, code, what: what.into(), header: None }
    }

    /// The same, with a header.
    #[must_use]
    pub fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// Nothing has this path.
    pub fn not_found(path: &str) -> Self {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is nothing at {path}; docs/operating.md lists the paths"),
        )
    }

    /// The path is right, the method is not.
    pub fn method(allowed: &'static str) -> Self {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("this path takes {allowed} only"),
        )
        .with(header::ALLOW, HeaderValue::from_static(allowed))
    }

    /// Our own disk or another service failed.
    pub fn internal(what: impl Into<String>) -> Self {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", what)
    }

    /// The word for programs.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        self.status.is_server_error()
    }

    /// Who has to act: the one who asked, this server and who runs it, or nobody, because a rule decided.
    fn whose(&self) -> &'static str {
        match self.status.as_u16() {
            401 | 403 | 413 | 415 | 429 => "policy",
            ..500 => "peer",
            _ => "server",
        }
    }

    /// As an answer (RFC 9457).
    pub fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Said<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: &'a str,
            whose: &'a str,
        }
        let mut response = json(
            self.status,
            &Said {
                r#type: format!("urn:ringwire:problem:{}", self.code),
                title: self.status.canonical_reason().unwrap_or(self.code),
                status: self.status.as_u16(),
                detail: &self.what,
                code: self.code,
                whose: self.whose(),
            },
        );
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", error.to_string())
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }
}
