//! Web pages of other origins (the Fetch standard's CORS protocol), by the list that sessions have.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::plane::http::reply::Problem;

/// What a page may send.
const METHODS: &str = "GET, HEAD, POST, PATCH, DELETE, OPTIONS";
const SENT: &str = "Authorization, Content-Type, Tus-Resumable, Upload-Length, Upload-Offset, Upload-Metadata, \
                    Upload-Checksum, Upload-Defer-Length, Upload-Concat, X-HTTP-Method-Override, \
                    X-Requested-With, Range, If-Range, If-Match, If-None-Match";

/// What a page may see.
const SHOWN: &str = "Location, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, \
                     Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires, Ringwire-Media, \
                     Content-Location, Content-Disposition, Content-Range, Content-Length, Accept-Ranges, ETag, \
                     Retry-After, WWW-Authenticate";

/// Pages that may ask.
pub(super) struct Origins {
    /// Empty: any.
    allowed: Vec<String>,
}

impl Origins {
    pub(super) fn new(allowed: Vec<String>) -> Self {
        Origins { allowed }
    }

    /// The page's origin, if a page asks.
    ///
    /// # Errors
    /// Where it is not one of those that may.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(None) };
        if self.allowed.is_empty() || self.allowed.iter().any(|allowed| allowed.as_bytes() == origin) {
            return Ok(Some(origin.clone()));
        }
        let what =
            "pages of this origin may not ask here; the operator lists those that may in sessions.origins";
        Err(Problem::new(StatusCode::FORBIDDEN, "origin_forbidden", what))
    }
}

/// Lets a page of that origin see the answer. Without credentials of the browser's own: a page shows its token.
pub(super) fn allow(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
    }
}

/// What a browser wants to know before it sends.
pub(super) fn preflight(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SENT));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_decides_and_programs_that_are_no_pages_pass() {
        let list = Origins::new(vec!["https://app.example".to_owned()]);
        let ask = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            headers
        };
        assert!(list.check(&ask(None)).expect("no page").is_none());
        assert!(list.check(&ask(Some("https://app.example"))).expect("listed").is_some());
        for origin in ["https://app.example.evil", "http://app.example", "null", "https://App.example"] {
            assert!(list.check(&ask(Some(origin))).is_err(), "{origin}");
            assert!(Origins::new(Vec::new()).check(&ask(Some(origin))).is_ok(), "an empty list lets all in");
        }
    }
}
