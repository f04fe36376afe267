//! What a browser gets that asks for a page: the chat app, from a fixed small table, and where else this server is found.
//!
//! On the path between the handshake's parser, which finds that a request is no upgrade ([`Plain`]), and the connection's
//! queue; the connection ends behind the answer. Made once at boot, shared by all shards, never changed. The files are those of
//! `client-web/dist-app`, which is committed, so that building the server needs no node, and a check compares it with its
//! sources.
//!
//! Invariants: nothing outside the table is ever served, and no name of a file comes from the request. The page may load and
//! connect to nothing but what its policy names, and no other page may show it in a frame.
//!
//! Absent: files on disk, ranges, listings, anything that depends on who asks.

use ringwire_protocol::ws::handshake::Plain;

use crate::transport::tls::offer::hex;

/// What a page cannot know of the server it came from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    /// The port of media, on the same host; `None`: there are none.
    pub media_port: Option<u16>,
    /// Whether that port speaks TLS.
    pub has_media_tls: bool,
    /// SHA-256 of a certificate that was made for this run: a page has to name it to get through by WebTransport, which
    /// takes none that no authority has signed. `None`: browsers can judge it by themselves.
    pub certificate: Option<[u8; 32]>,
}

impl Places {
    /// As `/v1/places` says it.
    fn document(&self) -> String {
        let is_secure = self.has_media_tls;
        let media = self.media_port.map(|port| format!("\"media_port\":{port},\"media_tls\":{is_secure}"));
        let certificate =
            self.certificate.map(|sha256| format!("\"certificate_sha256\":\"{}\"", hex(&sha256)));
        let known: Vec<String> = media.into_iter().chain(certificate).collect();
        format!("{{{}}}", known.join(","))
    }

    /// What the page may do: its own scripts, styles and pictures, those that it has fetched and holds in memory, and
    /// connections to this server's media and to any WebSocket server, because a `GoAway` may name another one.
    fn policy(&self) -> String {
        let scheme = if self.has_media_tls { "https" } else { "http" };
        let media = self.media_port.map(|port| format!(" {scheme}://*:{port}")).unwrap_or_default();
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
             connect-src 'self' ws: wss:{media}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    }
}

/// One file.
struct File {
    path: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    /// The same, compressed; for who takes it.
    gzip: Option<&'static [u8]>,
}

macro_rules! file {
    ($path:literal, $content_type:literal, $name:literal) => {
        File {
            path: $path,
            content_type: $content_type,
            plain: include_bytes!(concat!("../../client-web/dist-app/", $name)),
            gzip: None,
        }
    };
    ($path:literal, $content_type:literal, $name:literal, gzip) => {
        File {
            gzip: Some(include_bytes!(concat!("../../client-web/dist-app/", $name, ".gz"))),
            ..file!($path, $content_type, $name)
        }
    };
}

const FILES: &[File] = &[
    file!("/", "text/html; charset=utf-8", "index.html"),
    file!("/app.js", "text/javascript; charset=utf-8", "app.js", gzip),
    file!("/app.css", "text/css; charset=utf-8", "app.css", gzip),
    file!("/icon.svg", "image/svg+xml", "icon.svg"),
];

/// The pages of one server.
#[derive(Clone, Debug)]
pub struct Site {
    policy: String,
    places: String,
}

impl Site {
    /// The chat app, for a server that is found there.
    pub fn new(places: &Places) -> Self {
        Site { policy: places.policy(), places: places.document() }
    }

    /// The whole answer to an ordinary request, if there is one.
    pub fn answer(&self, request: &Plain) -> Option<Vec<u8>> {
        if request.path == PLACES {
            return Some(self.whole(request, "application/json", self.places.as_bytes(), false));
        }
        let file = FILES.iter().find(|file| file.path == request.path)?;
        let compressed = file.gzip.filter(|_| request.accepts_gzip);
        let content = compressed.unwrap_or(file.plain);
        Some(self.whole(request, file.content_type, content, compressed.is_some()))
    }

    fn whole(&self, request: &Plain, content_type: &str, content: &[u8], is_compressed: bool) -> Vec<u8> {
        // A name for these bytes: a browser that has them is told so, one that has others gets the new ones at once.
        let tag = format!("\"{}\"", &blake3::hash(content).to_hex()[..16]);
        let known = request.if_none_match.as_deref().is_some_and(|list| {
            list.split(',').map(|known| known.trim().trim_start_matches("W/")).any(|known| known == tag)
        });
        let status = if known { "304 Not Modified" } else { "200 OK" };
        let encoding = if is_compressed { "Content-Encoding: gzip\r\n" } else { "" };
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{encoding}ETag: {tag}\r\n\
             Cache-Control: no-cache\r\nVary: Accept-Encoding\r\nContent-Security-Policy: {}\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Cross-Origin-Opener-Policy: same-origin\r\nConnection: close\r\n\r\n",
            content.len(),
            self.policy,
        )
        .into_bytes();
        if !known && !request.head {
            answer.extend_from_slice(content);
        }
        answer
    }
}

/// Where [`Places`] are told.
const PLACES: &str = "/v1/places";

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, change: impl FnOnce(&mut Plain)) -> Option<(String, Vec<u8>)> {
        let mut request = Plain {
            head: false,
            path: path.to_owned(),
            accepts_gzip: false,
            if_none_match: None,
            consumed: 0,
        };
        change(&mut request);
        let bytes = Site::new(&Places { media_port: Some(7401), ..Places::default() }).answer(&request)?;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        Some((String::from_utf8(bytes[..end].to_vec()).expect("text"), bytes[end..].to_vec()))
    }

    #[test]
    fn every_file_is_served_whole_with_the_headers_that_keep_it_safe() {
        for file in FILES {
            let (head, body) = ask(file.path, |_| {}).expect("it is in the table");
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            for header in ["nosniff", "default-src 'none'", "frame-ancestors 'none'", file.content_type] {
                assert!(head.contains(header), "{header} is missing:\n{head}");
            }
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            assert_eq!(body, file.plain);
        }
    }

    #[test]
    fn who_takes_it_gets_it_compressed_under_another_tag() {
        let (plain, _) = ask("/app.js", |_| {}).expect("there");
        let (head, body) = ask("/app.js", |request| request.accepts_gzip = true).expect("there");
        assert!(head.contains("Content-Encoding: gzip\r\n") && body.starts_with(&[0x1f, 0x8b]), "{head}");
        assert_ne!(tag_of(&plain), tag_of(&head));
    }

    fn tag_of(head: &str) -> String {
        let line = head.lines().find_map(|line| line.strip_prefix("ETag: "));
        line.expect("a tag").to_owned()
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let (head, _) = ask("/", |_| {}).expect("there");
        let tag = tag_of(&head);
        for list in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
            let (head, body) = ask("/", |request| request.if_none_match = Some(list)).expect("there");
            assert!(head.starts_with("HTTP/1.1 304 ") && body.is_empty(), "{head}");
        }
        let (head, body) =
            ask("/", |request| request.if_none_match = Some("\"old\"".to_owned())).expect("there");
        assert!(head.starts_with("HTTP/1.1 200 ") && !body.is_empty());
        let (head, body) = ask("/", |request| request.head = true).expect("there");
        assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty());
    }

    #[test]
    fn a_page_learns_where_the_media_are_and_may_go_there() {
        let (head, body) = ask("/v1/places", |_| {}).expect("there");
        assert_eq!(body, br#"{"media_port":7401,"media_tls":false}"#);
        assert!(head.contains("application/json") && head.contains(" http://*:7401;"), "{head}");
        let places = Places { media_port: Some(1), has_media_tls: true, certificate: Some([0xab; 32]) };
        let pinned = Site::new(&places);
        let digits = "ab".repeat(32);
        let expected = format!("{{\"media_port\":1,\"media_tls\":true,\"certificate_sha256\":\"{digits}\"}}");
        assert_eq!(pinned.places, expected);
        assert!(pinned.policy.contains(" https://*:1;"), "{}", pinned.policy);
        let without = Site::new(&Places::default());
        assert_eq!(without.places, "{}");
        assert!(!without.policy.contains("http:"), "{}", without.policy);
    }

    #[test]
    fn nothing_else_is_there() {
        for path in ["/app.js.gz", "/../Cargo.toml", "//", "/index.html/", "/APP.JS", "/v1/ws"] {
            assert!(ask(path, |_| {}).is_none(), "{path}");
        }
    }
}
